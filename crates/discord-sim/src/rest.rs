//! Discord's REST, as far as a bot's start and its log messages need it, under `/api/v10` (any
//! version), `/api` and bare.
//!
//! <https://discord.com/developers/docs/reference>

mod wrong;

use std::{sync::Arc, time::Instant};

use axum::{
    Json,
    body::{Bytes, to_bytes},
    extract::{ConnectInfo, Request, State},
    http::{HeaderMap, Method, StatusCode, header::AUTHORIZATION},
    response::{IntoResponse, Response},
};
use serde_json::{Value, json};

use crate::state::{Cut, RestRequest, Shared};

/// Longest request body taken (bytes).
const MAX_BODY: usize = 8 * 1024 * 1024;

/// Longest message content (characters).
const MAX_CONTENT: usize = 2_000;

/// Discord's answer to what it refuses: an HTTP status and a JSON body with a code of its own.
#[derive(Debug)]
struct Refusal(StatusCode, Value);

impl Refusal {
    fn new(status: StatusCode, code: u32, message: &str) -> Self {
        Self(status, json!({"message": message, "code": code}))
    }

    fn not_found() -> Self {
        Self::new(StatusCode::NOT_FOUND, 0, "404: Not Found")
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        (self.0, Json(self.1)).into_response()
    }
}

/// Answers any request that is not for the control API.
pub(crate) async fn handle(
    State(shared): State<Arc<Shared>>,
    ConnectInfo(cut): ConnectInfo<Cut>,
    request: Request,
) -> Response {
    let at = Instant::now();
    let path = without_version(request.uri().path());
    let route = format!("{} {path}", request.method());
    let fault = shared.lock().faults.rest.take(path);
    let reset = fault.as_ref().is_some_and(|fault| fault.reset);
    let answer = match fault {
        Some(fault) => wrong::answer(&shared, fault, request).await,
        None => answer(&shared, request).await,
    };
    let status = (!reset).then(|| answer.status().as_u16());
    shared
        .lock()
        .traffic
        .requested(RestRequest { at, route, status });
    if reset {
        cut.reset();
    }
    answer
}

async fn answer(shared: &Shared, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let Ok(body) = to_bytes(body, MAX_BODY).await else {
        let message = "Request entity too large";
        return Refusal::new(StatusCode::PAYLOAD_TOO_LARGE, 40_005, message).into_response();
    };
    let path = without_version(parts.uri.path());
    match route(shared, &parts.method, path, &parts.headers, &body) {
        Ok(answer) => Json(answer).into_response(),
        Err(refusal) => refusal.into_response(),
    }
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

fn route(
    shared: &Shared,
    method: &Method,
    path: &str,
    headers: &HeaderMap,
    body: &Bytes,
) -> Result<Value, Refusal> {
    let segments: Vec<&str> = path.trim_matches('/').split('/').collect();
    let expected = match segments[..] {
        ["channels", _, "messages"] => Method::POST,
        ["gateway"]
        | ["gateway", "bot"]
        | ["users" | "applications", "@me"]
        | ["oauth2", "applications", "@me"] => Method::GET,
        _ => return Err(Refusal::not_found()),
    };
    if *method != expected {
        let status = StatusCode::METHOD_NOT_ALLOWED;
        return Err(Refusal::new(status, 0, "405: Method Not Allowed"));
    }
    if segments[..] == ["gateway"] {
        return Ok(json!({"url": shared.gateway_url()}));
    }
    authorise(shared, headers)?;
    match segments[..] {
        ["gateway", "bot"] => Ok(gateway_bot(shared)),
        ["users", "@me"] => Ok(shared.lock().dispatcher.world.bot_user()),
        ["channels", channel, "messages"] => create_message(shared, channel, body),
        _ => Ok(shared.lock().dispatcher.world.application()),
    }
}

fn authorise(shared: &Shared, headers: &HeaderMap) -> Result<(), Refusal> {
    let token = headers
        .get(AUTHORIZATION)
        .and_then(|value| value.to_str().ok());
    match token.and_then(|value| value.strip_prefix("Bot ")) {
        Some(token) if token == shared.config.token => Ok(()),
        _ => Err(Refusal::new(
            StatusCode::UNAUTHORIZED,
            0,
            "401: Unauthorized",
        )),
    }
}

fn gateway_bot(shared: &Shared) -> Value {
    let state = shared.lock();
    let reset = state.starts.reset_after(Instant::now()).as_millis();
    json!({
        "url": shared.gateway_url(),
        "shards": shared.config.recommended_shards,
        "session_start_limit": {
            "total": state.starts.total(),
            "remaining": state.starts.remaining(),
            "reset_after": u64::try_from(reset).unwrap_or(u64::MAX),
            "max_concurrency": shared.config.max_concurrency,
        },
    })
}

fn create_message(shared: &Shared, channel: &str, body: &Bytes) -> Result<Value, Refusal> {
    let bad = StatusCode::BAD_REQUEST;
    let form = |field: &str, code: &str, message: &str| {
        let error = json!({"_errors": [{"code": code, "message": message}]});
        let errors = json!({field: error});
        Refusal(
            bad,
            json!({"message": "Invalid Form Body", "code": 50_035, "errors": errors}),
        )
    };
    let channel: u64 = channel.parse().map_err(|_| {
        form(
            "channel_id",
            "NUMBER_TYPE_COERCE",
            &format!("Value \"{channel}\" is not snowflake."),
        )
    })?;
    let message: Value = serde_json::from_slice(body)
        .ok()
        .filter(Value::is_object)
        .ok_or_else(|| Refusal::new(bad, 50_109, "The request body contains invalid JSON."))?;
    let content = &message["content"];
    if !content.is_null() && !content.is_string() {
        return Err(form(
            "content",
            "STRING_TYPE_CONVERT",
            "Could not interpret as string.",
        ));
    }
    let content = content.as_str().unwrap_or_default();
    if content.chars().count() > MAX_CONTENT {
        let words = "Must be 2000 or fewer in length.";
        return Err(form("content", "BASE_TYPE_MAX_LENGTH", words));
    }
    let has_other = ["embeds", "components", "sticker_ids"].iter().any(|field| {
        message[field]
            .as_array()
            .is_some_and(|list| !list.is_empty())
    });
    if content.is_empty() && !has_other && !message["poll"].is_object() {
        return Err(Refusal::new(bad, 50_006, "Cannot send an empty message"));
    }
    let mut state = shared.lock();
    let (message, dispatch) = state
        .dispatcher
        .world
        .create_message(channel, &message)
        .ok_or_else(|| Refusal::new(StatusCode::NOT_FOUND, 10_003, "Unknown Channel"))?;
    state.dispatcher.dispatch(&dispatch);
    Ok(message)
}

#[cfg(test)]
mod tests {
    use super::without_version;

    #[test]
    fn any_version_is_stripped() {
        assert_eq!(without_version("/api/v10/gateway/bot"), "/gateway/bot");
        assert_eq!(without_version("/api/v9/users/@me"), "/users/@me");
        assert_eq!(without_version("/api/gateway"), "/gateway");
        assert_eq!(without_version("/gateway"), "/gateway");
        assert_eq!(without_version("/api/vx/gateway"), "/vx/gateway");
    }
}
