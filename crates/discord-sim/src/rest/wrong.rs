//! What REST answers while it has a fault.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use axum::{
    Json,
    extract::Request,
    http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header},
    response::{Html, IntoResponse, Response},
};
use serde_json::json;
use tokio::time::sleep;

use super::refusal::Refusal;
use crate::{
    faults::{RestBody, RestFault},
    protocol::buckets::{BucketState, Verdict},
    state::Shared,
    world::image,
};

/// Answers a request as the fault demands.
pub(super) async fn answer(
    shared: &Shared,
    fault: RestFault,
    request: Request,
) -> (Response, String) {
    let delay = sleep(Duration::from_millis(fault.delay_ms));
    if shared.stop.run_until_cancelled(delay).await.is_none() {
        return (
            StatusCode::SERVICE_UNAVAILABLE.into_response(),
            String::new(),
        );
    }
    let mut shown = String::new();
    let status = fault
        .status
        .and_then(|code| StatusCode::from_u16(code).ok());
    let mut answer = match status {
        _ if fault.reset => StatusCode::OK.into_response(),
        Some(status) => (status, body(&fault, status)).into_response(),
        None => {
            let answer;
            (answer, shown) = super::answer(shared, request).await;
            answer
        }
    };
    if let Some(value) = &fault.retry_after
        && let Ok(value) = HeaderValue::from_str(value)
    {
        answer.headers_mut().insert(header::RETRY_AFTER, value);
    }
    if fault.bucket_headers {
        let bucket = BucketState {
            limit: 5,
            remaining: 0,
            reset_after: Duration::from_secs_f64(retry_after(&fault).max(0.0)),
        };
        let headers = answer.headers_mut();
        headers.extend(bucket_headers("exhausted", bucket));
        headers.insert("x-ratelimit-scope", HeaderValue::from_static("user"));
    }
    if fault.body != RestBody::Html {
        let via = HeaderValue::from_static("1.1 google");
        answer.headers_mut().insert(header::VIA, via);
    }
    (answer, shown)
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
            Refusal::new(status, 0, &format!("{}: {words}", status.as_u16())).into_response()
        }
        RestBody::Html => Html(cloudflare(status.as_str(), words)).into_response(),
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

/// What an answer says about its bucket.
///
/// <https://discord.com/developers/docs/topics/rate-limits#header-format>
pub(super) fn bucket_headers(route: &str, bucket: BucketState) -> HeaderMap {
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    let reset_after = bucket.reset_after.as_secs_f64();
    let values = [
        ("x-ratelimit-limit", bucket.limit.to_string()),
        ("x-ratelimit-remaining", bucket.remaining.to_string()),
        (
            "x-ratelimit-reset",
            format!("{:.3}", now.as_secs_f64() + reset_after),
        ),
        ("x-ratelimit-reset-after", format!("{reset_after:.3}")),
        ("x-ratelimit-bucket", bucket_name(route)),
    ];
    let header = |(name, value): (&'static str, String)| {
        let value = HeaderValue::from_str(&value).ok()?;
        Some((HeaderName::from_static(name), value))
    };
    values.into_iter().filter_map(header).collect()
}

/// A bucket's name like Discord's: 32 hexadecimal digits that say nothing.
fn bucket_name(route: &str) -> String {
    let mix = |hash: u64, byte: u8| (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01B3);
    let hash = route.bytes().fold(0xCBF2_9CE4_8422_2325, mix);
    image(hash)
}

/// 429, of the kind that the verdict says.
pub(super) fn too_many(route: &str, verdict: Verdict) -> Response {
    let (wait, scope, bucket) = match verdict {
        Verdict::Banned(wait) => {
            let page = cloudflare("1015", "You are being rate limited");
            let mut answer = (StatusCode::TOO_MANY_REQUESTS, Html(page)).into_response();
            answer
                .headers_mut()
                .insert(header::RETRY_AFTER, seconds(wait));
            return answer;
        }
        Verdict::Global(wait) => (wait, "global", None),
        Verdict::Bucket(state) | Verdict::Pass(state) => (state.reset_after, "user", Some(state)),
    };
    let body = json!({
        "message": "You are being rate limited.",
        "retry_after": (wait.as_secs_f64() * 1_000.0).ceil() / 1_000.0,
        "global": bucket.is_none(),
    });
    let mut answer = (StatusCode::TOO_MANY_REQUESTS, Json(body)).into_response();
    let headers = answer.headers_mut();
    headers.insert(header::RETRY_AFTER, seconds(wait));
    headers.insert("x-ratelimit-scope", HeaderValue::from_static(scope));
    match bucket {
        Some(bucket) => headers.extend(bucket_headers(route, bucket)),
        None => {
            headers.insert("x-ratelimit-global", HeaderValue::from_static("true"));
        }
    }
    answer
}

/// Whole seconds, as the header counts them.
fn seconds(wait: Duration) -> HeaderValue {
    HeaderValue::from(wait.as_secs_f64().ceil() as u64)
}

fn cloudflare(code: &str, words: &str) -> String {
    format!(
        "<!DOCTYPE html><html><head><title>{words} | discord.com | Cloudflare</title></head>\
         <body><h1>Error {code}</h1></body></html>"
    )
}
