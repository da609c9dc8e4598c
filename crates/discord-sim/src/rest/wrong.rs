//! What REST answers while it has a fault.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use axum::{
    Json,
    extract::Request,
    http::{HeaderName, HeaderValue, StatusCode, header},
    response::{Html, IntoResponse, Response},
};
use serde_json::{Value, json};
use tokio::time::sleep;

use super::Refusal;
use crate::{
    faults::{RestBody, RestFault},
    state::Shared,
};

/// The bucket that is exhausted, where headers name one.
const BUCKET: &str = "d7a2f1c05e8b4f6c9a3e";

/// Answers a request as the fault demands.
pub(super) async fn answer(shared: &Shared, fault: RestFault, request: Request) -> Response {
    let delay = sleep(Duration::from_millis(fault.delay_ms));
    if shared.stop.run_until_cancelled(delay).await.is_none() {
        return StatusCode::SERVICE_UNAVAILABLE.into_response();
    }
    let status = fault
        .status
        .and_then(|code| StatusCode::from_u16(code).ok());
    let mut answer = match status {
        _ if fault.reset => StatusCode::OK.into_response(),
        Some(status) => (status, body(&fault, status)).into_response(),
        None => super::answer(shared, request).await,
    };
    if let Some(value) = &fault.retry_after
        && let Ok(value) = HeaderValue::from_str(value)
    {
        answer.headers_mut().insert(header::RETRY_AFTER, value);
    }
    if fault.bucket_headers {
        answer.headers_mut().extend(bucket(retry_after(&fault)));
    }
    answer
}

fn body(fault: &RestFault, status: StatusCode) -> Response {
    let words = status.canonical_reason().unwrap_or("Error");
    match &fault.body {
        RestBody::Json if status == StatusCode::TOO_MANY_REQUESTS => Json(json!({
            "message": "You are being rate limited.",
            "retry_after": retry_after(fault),
            "global": false,
        }))
        .into_response(),
        RestBody::Json => {
            let Refusal(_, body) =
                Refusal::new(status, 0, &format!("{}: {words}", status.as_u16()));
            Json(body).into_response()
        }
        RestBody::Html => Html(format!(
            "<!DOCTYPE html><html><head><title>{words} | discord.com | Cloudflare</title></head>\
             <body><h1>Error {}</h1></body></html>",
            status.as_u16()
        ))
        .into_response(),
        RestBody::Text(text) => {
            let json = [(header::CONTENT_TYPE, "application/json")];
            (json, text.clone()).into_response()
        }
    }
}

/// Seconds to wait, as far as the header says it in numbers.
fn retry_after(fault: &RestFault) -> f64 {
    let seconds = fault
        .retry_after
        .as_deref()
        .and_then(|text| text.parse().ok());
    seconds.unwrap_or(1.0)
}

/// <https://discord.com/developers/docs/topics/rate-limits#header-format>
fn bucket(reset_after: f64) -> impl IntoIterator<Item = (HeaderName, HeaderValue)> {
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    let values: [(&'static str, Value); 5] = [
        ("x-ratelimit-limit", json!(5)),
        ("x-ratelimit-remaining", json!(0)),
        ("x-ratelimit-reset", json!(now.as_secs_f64() + reset_after)),
        ("x-ratelimit-reset-after", json!(reset_after)),
        ("x-ratelimit-scope", json!("user")),
    ];
    let header = |(name, value): (&'static str, Value)| {
        let text = value.as_str().map_or(value.to_string(), str::to_owned);
        let value = HeaderValue::from_str(&text).ok()?;
        Some((HeaderName::from_static(name), value))
    };
    let named = HeaderName::from_static("x-ratelimit-bucket");
    let bucket = (named, HeaderValue::from_static(BUCKET));
    let mut headers: Vec<_> = values.into_iter().filter_map(header).collect();
    headers.push(bucket);
    headers
}
