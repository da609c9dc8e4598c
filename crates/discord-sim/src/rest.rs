//! Discord's REST under `/api/v10` and `/api/v9` (any version), `/api` and bare: a table of routes, answered from the world.
//! Whatever changes the world tells of it on the gateway.
//!
//! <https://discord.com/developers/docs/reference>

mod auto_moderation;
mod bans;
mod body;
mod call;
mod channels;
mod commands;
mod community;
mod expressions;
mod guilds;
mod interactions;
mod invites;
mod linked_roles;
mod lobbies;
mod login;
mod members;
mod messages;
mod monetization;
mod pins;
mod reactions;
mod refusal;
mod roles;
mod routes;
mod scheduled;
mod threads;
mod unlisted;
mod upgrade;
mod webhooks;
mod wrong;

use std::{sync::Arc, time::Instant};

use axum::{
    Json,
    body::{Bytes, to_bytes},
    extract::{ConnectInfo, Request, State},
    http::{
        HeaderMap, HeaderValue, StatusCode,
        header::{AUTHORIZATION, CONTENT_TYPE, VIA},
        request::Parts,
    },
    response::{IntoResponse, Response},
};

use crate::{
    protocol::buckets::{Limit, Verdict},
    state::{Peer, RestRequest, Shared},
    world::snowflake_of,
};
use body::Body;
use call::{Answer, Call, Reply};
use refusal::Refusal;
use routes::{Missing, decoded};

/// Longest request body taken (bytes): Discord's 10 MiB a file, ten files.
const MAX_BODY: usize = 101 * 1024 * 1024;

/// Longest body that is shown among the requests (bytes).
const SHOWN: usize = 64 * 1024;

/// Answers any request that is not for the control API.
pub(crate) async fn handle(
    State(shared): State<Arc<Shared>>,
    ConnectInfo(peer): ConnectInfo<Peer>,
    request: Request,
) -> Response {
    if upgrade::is_wanted(&request) {
        return upgrade::answer(shared, peer, request).await;
    }
    let at = Instant::now();
    let path = without_version(request.uri().path()).to_owned();
    let route = format!("{} {path}", request.method());
    let fault = shared.lock().faults.rest.take(&path);
    let reset = fault.as_ref().is_some_and(|fault| fault.reset);
    let (answer, body) = match fault {
        Some(fault) => wrong::answer(&shared, fault, request).await,
        None => answer(&shared, request).await,
    };
    let status = (!reset).then(|| answer.status().as_u16());
    let mut state = shared.lock();
    if matches!(status, Some(401 | 403 | 429)) {
        state.rest_limits.invalid(at);
    }
    state.traffic.requested(RestRequest {
        at,
        route,
        status,
        body,
    });
    drop(state);
    if reset {
        peer.cut.reset();
    }
    answer
}

/// The answer, and the request's body as it is shown.
async fn answer(shared: &Shared, request: Request) -> (Response, String) {
    let (parts, body) = request.into_parts();
    let Ok(body) = to_bytes(body, MAX_BODY).await else {
        let message = "Request entity too large";
        let refusal = Refusal::new(StatusCode::PAYLOAD_TOO_LARGE, 40_005, message);
        return (refusal.into_response(), String::new());
    };
    let mut response = route(shared, &parts, &body);
    let headers = response.headers_mut();
    // Without it clients take the answer for one of Cloudflare's.
    headers
        .entry(VIA)
        .or_insert(HeaderValue::from_static("1.1 google"));
    let content_type = parts
        .headers
        .get(CONTENT_TYPE)
        .and_then(|value| value.to_str().ok());
    let mut shown = body::shown(content_type.unwrap_or_default(), &body);
    shown.truncate(shown.floor_char_boundary(SHOWN));
    (response, shown)
}

/// Strips `/api` and `/v<number>` from the front of a path.
fn without_version(path: &str) -> &str {
    let Some(rest) = path.strip_prefix("/api") else {
        return path;
    };
    let Some((version, tail)) = rest
        .strip_prefix("/v")
        .and_then(|rest| rest.split_once('/'))
    else {
        return rest;
    };
    if version.is_empty() || !version.bytes().all(|byte| byte.is_ascii_digit()) {
        return rest;
    }
    &rest[rest.len() - tail.len() - 1..]
}

fn route(shared: &Shared, parts: &Parts, body: &Bytes) -> Response {
    let path = without_version(parts.uri.path());
    let found = match routes::find(&parts.method, path) {
        Ok(found) => found,
        Err(missing) => return unrouted(shared, parts, path, missing, body),
    };
    let route = found.route;
    if route.needs_token
        && let Err(refusal) = authorise(shared, &parts.headers)
    {
        return refusal.into_response();
    }
    let (now, mut state) = (Instant::now(), shared.lock());
    let mut headers = HeaderMap::new();
    if shared.config.rest_limits {
        // What a bucket is for: a channel, a guild or a webhook, the first of the path.
        let majors = ["channel", "guild", "webhook", "interaction"];
        let major = found.params.iter().find(|(name, _)| majors.contains(name));
        let major = major.map_or("", |(_, id)| id.as_str());
        let bucket = format!("{} {major}", parts.method);
        let limit = Limit {
            window: shared.config.scaled(route.limit.window),
            ..route.limit
        };
        let verdict = state
            .rest_limits
            .admit((route.path, &bucket), limit, route.is_global, now);
        match verdict {
            // Discord tells nothing of the limits of a first answer.
            Verdict::Pass(_) if route.is_first_answer() => {}
            Verdict::Pass(bucket) => headers = wrong::bucket_headers(route.path, bucket),
            refused => return wrong::too_many(route.path, refused),
        }
    }
    let content_type = parts
        .headers
        .get(CONTENT_TYPE)
        .and_then(|value| value.to_str().ok());
    let answer = Body::read(content_type.unwrap_or_default(), body).and_then(|body| {
        let mut call = Call {
            shared,
            state: &mut state,
            params: found.params,
            query: query(parts.uri.query().unwrap_or_default()),
            body,
            reason: reason(&parts.headers),
            now,
        };
        (route.act)(&mut call)
    });
    drop(state);
    let mut response = respond(answer);
    response.headers_mut().extend(headers);
    response
}

/// The reason that a request gives, URL-encoded.
fn reason(headers: &HeaderMap) -> Option<String> {
    let text = headers.get("x-audit-log-reason")?;
    let text = decoded(&String::from_utf8_lossy(text.as_bytes()));
    Some(text).filter(|text| !text.is_empty())
}

fn query(text: &str) -> Vec<(String, String)> {
    let pairs = text.split('&').filter_map(|pair| pair.split_once('='));
    let plain = |text: &str| decoded(&text.replace('+', " "));
    pairs
        .map(|(name, value)| (plain(name), plain(value)))
        .collect()
}

fn respond(answer: Answer) -> Response {
    match answer {
        Ok(Reply::Json(body)) => Json(body).into_response(),
        Ok(Reply::Created(body)) => (StatusCode::CREATED, Json(body)).into_response(),
        Ok(Reply::File(kind, content)) => ([(CONTENT_TYPE, kind)], content).into_response(),
        Ok(Reply::Empty) => StatusCode::NO_CONTENT.into_response(),
        Err(refusal) => refusal.into_response(),
    }
}

/// A request that no route of the table is for.
fn unrouted(
    shared: &Shared,
    parts: &Parts,
    path: &str,
    missing: Missing,
    body: &Bytes,
) -> Response {
    if missing == Missing::Method {
        let status = StatusCode::METHOD_NOT_ALLOWED;
        return Refusal::new(status, 0, "405: Method Not Allowed").into_response();
    }
    if !unlisted::is_discords(path) {
        return Refusal::not_found().into_response();
    }
    if let Err(refusal) = authorise(shared, &parts.headers) {
        return refusal.into_response();
    }
    let content_type = parts
        .headers
        .get(CONTENT_TYPE)
        .and_then(|value| value.to_str().ok());
    let body = match Body::read(content_type.unwrap_or_default(), body) {
        Ok(body) => body.json,
        Err(refusal) => return refusal.into_response(),
    };
    let fresh = shared.lock().dispatcher.world.next_id();
    respond(Ok(unlisted::answer(&parts.method, path, body, fresh)))
}

fn authorise(shared: &Shared, headers: &HeaderMap) -> Result<(), Refusal> {
    let token = headers
        .get(AUTHORIZATION)
        .and_then(|value| value.to_str().ok());
    match token.and_then(|value| value.strip_prefix("Bot ")) {
        Some(token) if shared.knows(token) => Ok(()),
        _ => Err(Refusal::new(
            StatusCode::UNAUTHORIZED,
            0,
            "401: Unauthorized",
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_version_is_stripped() {
        assert_eq!(without_version("/api/v10/gateway/bot"), "/gateway/bot");
        assert_eq!(without_version("/api/v9/users/@me"), "/users/@me");
        assert_eq!(without_version("/api/gateway"), "/gateway");
        assert_eq!(without_version("/gateway"), "/gateway");
        assert_eq!(without_version("/api/vx/gateway"), "/vx/gateway");
    }

    #[test]
    fn a_query_is_decoded() {
        assert_eq!(
            query("a=1&q=b%20c+d"),
            [("a".into(), "1".into()), ("q".into(), "b c d".into())]
        );
        assert!(query("").is_empty());
    }
}
