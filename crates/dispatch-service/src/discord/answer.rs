//! What Discord's REST API answers. Pure.

use std::time::{Duration, SystemTime};

use serde::Deserialize;
use thiserror::Error;

/// The longest wait that a `Retry-After` may ask for; Discord has been seen to ask for 82,000 s.
pub(super) const LONGEST_RETRY: Duration = Duration::from_secs(7 * 24 * 60 * 60);
/// The longest pause after a success that has used up its bucket.
const LONGEST_USED_UP: Duration = Duration::from_secs(60);
/// Characters of a foreign text that are worth a place in a log line.
const EXCERPT: usize = 120;

/// Discord's own error codes that say the token is at fault: "unauthorized, provide a valid token", "invalid authentication
/// token provided" (Discord, "JSON Error Codes").
const TOKEN_CODES: [u64; 2] = [40_001, 50_014];

/// Why a request brought nothing.
#[derive(Clone, Debug, Error, PartialEq)]
pub enum Failure {
    /// There was no answer.
    #[error("{0}")]
    Unreachable(String),
    /// 429.
    #[error("{by} limits our requests (429{})", wish(*.retry_after))]
    Limited {
        /// Discord, or Cloudflare in front of it.
        by: &'static str,
        /// How long to wait, if it says so.
        retry_after: Option<Duration>,
    },
    /// 5xx.
    #[error("discord has an error of its own ({status}{})", wish(*.retry_after))]
    Server {
        /// The status.
        status: u16,
        /// How long to wait, if it says so.
        retry_after: Option<Duration>,
    },
    /// 401, or 403 with a code that says the same.
    #[error("discord refuses the token ({0})")]
    Token(u16),
    /// 403 without Discord's error in it.
    #[error(
        "cloudflare blocks this address (403 without discord's own error): the token is not the cause{}",
        wish(*.retry_after)
    )]
    Blocked {
        /// How long to wait, if it says so.
        retry_after: Option<Duration>,
    },
    /// Another status that is no success.
    #[error("discord refuses the request ({status}, code {code}: {message:?})")]
    Refused {
        /// The status.
        status: u16,
        /// Discord's error code; 0 if there is none.
        code: u64,
        /// Discord's text, or the beginning of another.
        message: String,
    },
    /// A success whose body makes no sense.
    #[error("discord's answer makes no sense: {0}")]
    Malformed(String),
}

fn wish(retry_after: Option<Duration>) -> String {
    retry_after
        .map(|after| format!(", again in {} s", after.as_secs_f64()))
        .unwrap_or_default()
}

impl Failure {
    /// Whether only another request can do better: this one is refused for what it is.
    #[must_use]
    pub const fn is_final(&self) -> bool {
        matches!(self, Self::Token(_) | Self::Refused { .. })
    }

    pub(super) const fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Limited { retry_after, .. }
            | Self::Server { retry_after, .. }
            | Self::Blocked { retry_after } => *retry_after,
            _ => None,
        }
    }
}

/// The headers of an answer that say how long to wait, and when they came.
#[derive(Clone, Copy, Debug)]
pub struct Waits<'a> {
    /// `Retry-After`: seconds, or a date.
    pub retry_after: Option<&'a str>,
    /// `X-RateLimit-Remaining`.
    pub remaining: Option<&'a str>,
    /// `X-RateLimit-Reset-After`: seconds.
    pub reset_after: Option<&'a str>,
    /// When the answer came.
    pub now: SystemTime,
}

/// Discord's error, as far as it is of use.
#[derive(Deserialize)]
struct ApiError {
    code: Option<u64>,
    message: Option<String>,
    retry_after: Option<f64>,
}

/// What an answer means. A success may come with a pause that is due before the next request to the same route.
///
/// # Errors
///
/// Every status but 2xx.
pub fn judge(status: u16, waits: Waits<'_>, body: &str) -> Result<Option<Duration>, Failure> {
    if (200..300).contains(&status) {
        let used_up = waits.remaining.is_some_and(|left| left.trim() == "0");
        let pause = waits
            .reset_after
            .filter(|_| used_up)
            .and_then(seconds)
            .map(|pause| pause.min(LONGEST_USED_UP));
        return Ok(pause);
    }
    let error = serde_json::from_str::<ApiError>(body).ok();
    let in_body = error.as_ref().and_then(|error| error.retry_after);
    let asked = [
        waits
            .retry_after
            .and_then(|text| seconds(text).or_else(|| until(text, waits.now))),
        waits
            .reset_after
            .filter(|_| status == 429)
            .and_then(seconds),
        in_body.and_then(duration),
    ];
    let retry_after = asked.into_iter().flatten().max();
    let code = error.as_ref().and_then(|error| error.code);
    Err(match status {
        429 => Failure::Limited {
            by: if error.is_some() {
                "discord"
            } else {
                "discord or cloudflare"
            },
            retry_after,
        },
        500..600 => Failure::Server {
            status,
            retry_after,
        },
        401 => Failure::Token(status),
        403 if code.is_some_and(|code| TOKEN_CODES.contains(&code)) => Failure::Token(status),
        403 if code.is_none() => Failure::Blocked { retry_after },
        _ => Failure::Refused {
            status,
            code: code.unwrap_or_default(),
            message: excerpt(
                error
                    .and_then(|error| error.message)
                    .as_deref()
                    .unwrap_or(body),
            ),
        },
    })
}

fn seconds(text: &str) -> Option<Duration> {
    text.trim().parse().ok().and_then(duration)
}

fn duration(seconds: f64) -> Option<Duration> {
    if seconds >= LONGEST_RETRY.as_secs_f64() {
        return Some(LONGEST_RETRY);
    }
    Duration::try_from_secs_f64(seconds).ok()
}

fn until(date: &str, now: SystemTime) -> Option<Duration> {
    let date = httpdate::parse_http_date(date.trim()).ok()?;
    Some(
        date.duration_since(now)
            .unwrap_or_default()
            .min(LONGEST_RETRY),
    )
}

pub(super) fn excerpt(text: &str) -> String {
    text.trim().chars().take(EXCERPT).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: SystemTime = SystemTime::UNIX_EPOCH;
    const SILENT: Waits<'_> = Waits {
        retry_after: None,
        remaining: None,
        reset_after: None,
        now: NOW,
    };
    const HTML: &str = "<!DOCTYPE html><title>Access denied | error code 1015</title>";

    fn retry_after(text: &str) -> Waits<'_> {
        Waits {
            retry_after: Some(text),
            ..SILENT
        }
    }

    fn limited(waits: Waits<'_>, body: &str) -> Option<f64> {
        match judge(429, waits, body).unwrap_err() {
            Failure::Limited { retry_after, .. } => retry_after.map(|after| after.as_secs_f64()),
            failure => panic!("{failure}"),
        }
    }

    #[test]
    fn a_429_is_obeyed_wherever_it_says_how_long() {
        for (header, body, expected) in [
            (Some("7"), "", Some(7.0)),
            (Some("0.3"), HTML, Some(0.3)),
            (Some(" 82000 "), HTML, Some(82_000.0)),
            (Some("Thu, 01 Jan 1970 00:01:30 GMT"), HTML, Some(90.0)),
            (Some("1e300"), "", Some(604_800.0)),
            (Some("18446744073709551616"), "", Some(604_800.0)),
            (Some("inf"), "", Some(604_800.0)),
            (Some("-3"), "", None),
            (Some("NaN"), "", None),
            (Some("soon"), "", None),
            (
                None,
                r#"{"message":"slow","retry_after":2.5,"global":false}"#,
                Some(2.5),
            ),
            (
                Some("1"),
                r#"{"message":"slow","retry_after":64.57}"#,
                Some(64.57),
            ),
            (
                Some("65"),
                r#"{"message":"slow","retry_after":64.57}"#,
                Some(65.0),
            ),
            (None, r#"{"retry_after":"x"}"#, None),
            (None, HTML, None),
            (None, "", None),
        ] {
            let waits = header.map_or(SILENT, retry_after);
            assert_eq!(limited(waits, body), expected, "{header:?} {body}");
        }
        let bucket = Waits {
            remaining: Some("0"),
            reset_after: Some("4.2"),
            ..SILENT
        };
        assert_eq!(limited(bucket, ""), Some(4.2));
    }

    #[test]
    fn only_discord_itself_can_refuse_the_token() {
        let judged = |status, body: &str| judge(status, SILENT, body).unwrap_err();
        let unauthorized = r#"{"message":"401: Unauthorized","code":0}"#;
        assert_eq!(judged(401, unauthorized), Failure::Token(401));
        assert_eq!(judged(401, ""), Failure::Token(401));
        let code = |code: u64| format!(r#"{{"message":"no","code":{code}}}"#);
        assert_eq!(judged(403, &code(40_001)), Failure::Token(403));
        assert_eq!(judged(403, &code(50_014)), Failure::Token(403));
        let other = judged(403, &code(50_001));
        assert!(matches!(other, Failure::Refused { code: 50_001, .. }));
        for body in [
            HTML,
            "",
            "{",
            "error code: 1020",
            r#"{"message":"blocked"}"#,
            "[]",
        ] {
            let failure = judged(403, body);
            assert_eq!(failure, Failure::Blocked { retry_after: None }, "{body}");
            assert!(failure.to_string().contains("cloudflare"));
        }
        let failure = judge(403, retry_after("60"), HTML).unwrap_err();
        assert_eq!(failure.retry_after(), Some(Duration::from_secs(60)));
    }

    #[test]
    fn other_statuses() {
        let judged = |status, body: &str| judge(status, SILENT, body).unwrap_err();
        for status in [500, 502, 503, 520, 599] {
            let server = Failure::Server {
                status,
                retry_after: None,
            };
            assert_eq!(judged(status, HTML), server);
        }
        for status in [100, 301, 400, 404, 418, 600, 999] {
            let message = match judged(status, &"x".repeat(5000)) {
                Failure::Refused { message, .. } => message,
                failure => panic!("{failure}"),
            };
            assert_eq!(message.len(), EXCERPT);
        }
        assert_eq!(judge(200, SILENT, HTML), Ok(None));
        let used_up = Waits {
            remaining: Some("0"),
            reset_after: Some("1.5"),
            ..SILENT
        };
        assert_eq!(
            judge(204, used_up, ""),
            Ok(Some(Duration::from_millis(1500)))
        );
    }
}
