//! Requests for what is Discord's, but not in the table: accepted and answered plausibly, so that no bot dies of a 404.

use axum::http::Method;
use serde_json::{Value, json};

use super::{Reply, snowflake_of};
use crate::world::id;

/// What Discord's paths begin with.
const ROOTS: [&str; 16] = [
    "applications",
    "channels",
    "guilds",
    "users",
    "webhooks",
    "interactions",
    "invites",
    "stickers",
    "sticker-packs",
    "stage-instances",
    "skus",
    "lobbies",
    "oauth2",
    "voice",
    "soundboard-default-sounds",
    "partner-sdk",
];

/// Whether a path could be one of Discord's.
pub(super) fn is_discords(path: &str) -> bool {
    let root = path.trim_matches('/').split('/').next();
    root.is_some_and(|root| ROOTS.contains(&root))
}

/// Something that such a request could be answered with.
pub(super) fn answer(method: &Method, path: &str, body: Value, fresh: u64) -> Reply {
    let last = path
        .trim_matches('/')
        .rsplit('/')
        .next()
        .unwrap_or_default();
    let named = snowflake_of(&json!(last));
    match *method {
        Method::DELETE => Reply::Empty,
        // A list, or one thing that is named.
        Method::GET => Reply::Json(named.map_or(json!([]), |named| json!({"id": id(named)}))),
        _ => match body {
            Value::Object(mut fields) => {
                fields.entry("id").or_insert(id(named.unwrap_or(fresh)));
                Reply::Json(Value::Object(fields))
            }
            Value::Null => Reply::Empty,
            other => Reply::Json(other),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plausible_answer_has_the_shape_of_its_request() {
        let body = |reply| match reply {
            Reply::Json(body) | Reply::Created(body) => body,
            Reply::File(..) | Reply::Empty => Value::Null,
        };
        let get = |path| body(answer(&Method::GET, path, Value::Null, 7));
        assert_eq!(
            (get("/guilds/1/sales"), get("/skus/5")),
            (json!([]), json!({"id": "5"}))
        );
        let made = body(answer(&Method::POST, "/lobbies", json!({"a": 1}), 7));
        assert_eq!(made, json!({"a": 1, "id": "7"}));
        assert!(is_discords("/guilds/1/sales") && !is_discords("/nothing"));
    }
}
