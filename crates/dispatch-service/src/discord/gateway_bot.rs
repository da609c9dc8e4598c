//! What `GET /gateway/bot` answers. Pure.

use std::time::Duration;

use serde::Deserialize;

use super::answer::{Failure, LONGEST_RETRY, excerpt};

/// More shards than any bot has: a larger number is nonsense.
const MOST_SHARDS: f64 = 100_000.0;

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
            "<!DOCTYPE html>".to_owned(),
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
