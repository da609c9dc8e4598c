//! What Discord's REST API answers, and when to ask it again. Pure.
//!
//! An address that sends 10,000 requests answered with 401, 403 or 429 in 10 minutes is banned (Discord, "Invalid Request
//! Limit"), and a bot that is down is often one of many that ask at the same time. So no failure is followed by another
//! request before a pause that grows.

use std::time::{Duration, SystemTime};

use serde::Deserialize;
use thiserror::Error;

/// First and longest pause after an answer that is no success.
const PAUSES: (Duration, Duration) = (Duration::from_secs(5), Duration::from_secs(60));
/// After a connection that could not be made: nobody has counted it.
const UNREACHABLE_PAUSES: (Duration, Duration) =
    (Duration::from_millis(500), Duration::from_secs(30));
/// After Cloudflare has blocked the address: it looks at what keeps coming.
const BLOCKED_PAUSES: (Duration, Duration) =
    (Duration::from_secs(10 * 60), Duration::from_secs(60 * 60));
/// The shortest wait that a `Retry-After` may ask for.
const SHORTEST_RETRY: Duration = Duration::from_secs(1);
/// The longest; Discord has been seen to ask for 82,000 s.
const LONGEST_RETRY: Duration = Duration::from_secs(7 * 24 * 60 * 60);
/// Most that is added to a pause at random, so that many processes don't come back in step.
const MOST_JITTER: Duration = Duration::from_secs(5);
/// Characters of a foreign text that are worth a place in a log line.
const EXCERPT: usize = 120;
/// More shards than any bot has: a larger number is nonsense.
const MOST_SHARDS: f64 = 100_000.0;

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

    const fn retry_after(&self) -> Option<Duration> {
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
            .map(|pause| pause.min(PAUSES.1));
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

fn excerpt(text: &str) -> String {
    text.trim().chars().take(EXCERPT).collect()
}

/// When to ask again after failures in a row.
#[derive(Clone, Debug, Default)]
pub struct Retry {
    failures: u32,
}

impl Retry {
    /// The pause after one more failure. `random`, from 0 to 1, spreads those who ask in step.
    ///
    /// A `Retry-After` is obeyed, and never shortened; one that keeps coming back does not shorten the pause that grows.
    pub fn pause(&mut self, failure: &Failure, random: f64) -> Duration {
        let before = self.failures;
        self.failures = before.saturating_add(1);
        let pause = match failure {
            Failure::Unreachable(_) => doubled(UNREACHABLE_PAUSES, before),
            Failure::Blocked { .. } | Failure::Token(_) => doubled(BLOCKED_PAUSES, before),
            Failure::Limited {
                retry_after: Some(_),
                ..
            } if before == 0 => SHORTEST_RETRY,
            Failure::Limited {
                retry_after: Some(_),
                ..
            } => doubled(PAUSES, before - 1),
            _ => doubled(PAUSES, before),
        };
        let pause = pause.max(failure.retry_after().unwrap_or_default());
        pause + (pause / 4).min(MOST_JITTER).mul_f64(random.clamp(0.0, 1.0))
    }

    /// A request has succeeded: the next failure is the first again.
    pub const fn succeeded(&mut self) {
        self.failures = 0;
    }
}

fn doubled((first, longest): (Duration, Duration), times: u32) -> Duration {
    first
        .saturating_mul(2_u32.saturating_pow(times))
        .min(longest)
}

/// `GET /gateway/bot`, checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GatewayBot {
    /// Where the gateway is.
    pub url: String,
    /// The number of shards that Discord recommends.
    pub shards: u32,
    /// What may be begun.
    pub limit: StartLimit,
}

/// Discord's "Session Start Limit Object".
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StartLimit {
    /// Identifies until it resets.
    pub total: u32,
    /// Identifies that are left.
    pub remaining: u32,
    /// Time until it resets.
    pub reset_after: Duration,
    /// Shards that may identify at the same time.
    pub max_concurrency: u32,
}

/// Numbers as they may come: too large, negative, with a fraction.
#[derive(Deserialize)]
struct GatewayAnswer {
    url: String,
    shards: f64,
    session_start_limit: LimitAnswer,
}

#[derive(Deserialize)]
struct LimitAnswer {
    total: f64,
    remaining: f64,
    reset_after: f64,
    max_concurrency: f64,
}

impl GatewayBot {
    /// Reads the body. What has only one sensible reading is read so (a concurrency of 0 is 1); what has none is a failure.
    ///
    /// # Errors
    ///
    /// If it is not JSON, lacks a field, or names no gateway or no possible number of shards.
    pub fn parse(body: &str) -> Result<Self, Failure> {
        let answer: GatewayAnswer = serde_json::from_str(body)
            .map_err(|error| Failure::Malformed(format!("{error}, in {:?}", excerpt(body))))?;
        let url = answer.url.trim().trim_end_matches('/');
        if !["ws://", "wss://"].iter().any(|scheme| {
            url.strip_prefix(scheme)
                .is_some_and(|host| !host.is_empty())
        }) {
            let url = excerpt(url);
            return Err(Failure::Malformed(format!("the gateway's URL is {url:?}")));
        }
        if !(1.0..=MOST_SHARDS).contains(&answer.shards) {
            let shards = answer.shards;
            return Err(Failure::Malformed(format!("{shards} shards")));
        }
        let limit = answer.session_start_limit;
        // A cast saturates: negative numbers are 0.
        let total = limit.total as u32;
        Ok(Self {
            url: url.to_owned(),
            shards: answer.shards as u32,
            limit: StartLimit {
                total,
                remaining: (limit.remaining as u32).min(total),
                reset_after: Duration::from_millis(limit.reset_after as u64).min(LONGEST_RETRY),
                max_concurrency: (limit.max_concurrency as u32).max(1),
            },
        })
    }
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

    /// The pauses of `failure` repeated, in seconds.
    fn pauses(failure: &Failure, times: usize) -> Vec<f64> {
        let mut retry = Retry::default();
        (0..times)
            .map(|_| retry.pause(failure, 0.0).as_secs_f64())
            .collect()
    }

    #[test]
    fn pauses_grow_and_are_never_shorter_than_asked() {
        let limited = |seconds: Option<f64>| Failure::Limited {
            by: "discord",
            retry_after: seconds.map(Duration::from_secs_f64),
        };
        let grown = [5.0, 10.0, 20.0, 40.0, 60.0, 60.0];
        let server = |retry_after| Failure::Server {
            status: 503,
            retry_after,
        };
        assert_eq!(pauses(&server(None), 6), grown);
        assert_eq!(pauses(&limited(None), 6), grown);
        assert_eq!(pauses(&Failure::Malformed(String::new()), 6), grown);
        assert_eq!(pauses(&limited(Some(0.0)), 5), [1.0, 5.0, 10.0, 20.0, 40.0]);
        assert_eq!(pauses(&limited(Some(8.0)), 4), [8.0, 8.0, 10.0, 20.0]);
        assert_eq!(pauses(&limited(Some(82_000.0)), 2), [82_000.0; 2]);
        assert_eq!(pauses(&server(Some(Duration::from_secs(90))), 2), [90.0; 2]);
        let blocked = |retry_after| Failure::Blocked { retry_after };
        assert_eq!(pauses(&blocked(None), 4), [600.0, 1200.0, 2400.0, 3600.0]);
        let day = Duration::from_secs(86_400);
        assert_eq!(pauses(&blocked(Some(day)), 2), [86_400.0; 2]);
        let unreachable = Failure::Unreachable(String::new());
        assert_eq!(pauses(&unreachable, 8)[..4], [0.5, 1.0, 2.0, 4.0]);
        assert_eq!(pauses(&unreachable, 100)[99], 30.0);
        let mut retry = Retry::default();
        retry.pause(&server(None), 0.0);
        retry.succeeded();
        assert_eq!(retry.pause(&server(None), 1.0).as_secs_f64(), 6.25);
        let jittered = retry.pause(&limited(Some(82_000.0)), 1.0);
        assert_eq!(jittered.as_secs_f64(), 82_005.0);
    }

    #[test]
    fn no_answer_is_asked_for_more_than_a_few_times_a_minute() {
        for status in 100..1000 {
            for waits in [SILENT, retry_after("0"), retry_after("0.001")] {
                let Err(failure) = judge(status, waits, "{}") else {
                    continue;
                };
                let (mut retry, mut at, mut requests) = (Retry::default(), 0.0, 0);
                while at <= 60.0 {
                    requests += 1;
                    at += retry.pause(&failure, 0.0).as_secs_f64();
                }
                assert!(requests <= 5, "{status}: {requests}");
            }
        }
    }

    fn body(shards: &str, limit: &str) -> String {
        format!(
            r#"{{"url":"wss://gateway.discord.gg/","shards":{shards},"session_start_limit":{limit}}}"#
        )
    }

    #[test]
    fn a_gateway_answer_is_checked() {
        let limit = r#"{"total":1000,"remaining":999,"reset_after":14400000,"max_concurrency":16}"#;
        let info = GatewayBot::parse(&body("9", limit)).unwrap();
        assert_eq!(info.url, "wss://gateway.discord.gg");
        assert_eq!((info.shards, info.limit.max_concurrency), (9, 16));
        assert_eq!(info.limit.reset_after, Duration::from_secs(14_400));
        let odd = r#"{"total":10.5,"remaining":-1,"reset_after":1e30,"max_concurrency":0}"#;
        let limit_read = GatewayBot::parse(&body("1e3", odd)).unwrap().limit;
        assert_eq!(
            limit_read,
            StartLimit {
                total: 10,
                remaining: 0,
                reset_after: LONGEST_RETRY,
                max_concurrency: 1
            }
        );
        let url = |url: &str| body("1", limit).replace("wss://gateway.discord.gg/", url);
        for wrong in [
            String::new(),
            HTML.to_owned(),
            "null".to_owned(),
            "[]".to_owned(),
            body("0", limit),
            body("-1", limit),
            body("4294967296", limit),
            body("null", limit),
            body("\"9\"", limit),
            body("9", "null"),
            body("9", r#"{"total":1000}"#),
            url(""),
            url("wss://"),
            url("https://discord.com"),
        ] {
            let failure = GatewayBot::parse(&wrong).unwrap_err();
            assert!(matches!(failure, Failure::Malformed(_)), "{wrong}");
        }
    }
}
