//! When to ask Discord's REST API again. Pure.
//!
//! An address that sends 10,000 requests answered with 401, 403 or 429 in 10 minutes is banned (Discord, "Invalid Request
//! Limit"), and a bot that is down is often one of many that ask at the same time. So no failure is followed by another
//! request before a pause that grows.

use std::time::Duration;

use super::answer::Failure;

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
/// Most that is added to a pause at random, so that many processes don't come back in step.
const MOST_JITTER: Duration = Duration::from_secs(5);

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

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use super::super::answer::{Waits, judge};
    use super::*;

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
            for retry_after in [None, Some("0"), Some("0.001")] {
                let waits = Waits {
                    retry_after,
                    remaining: None,
                    reset_after: None,
                    now: SystemTime::UNIX_EPOCH,
                };
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
}
