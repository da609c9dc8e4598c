//! How long to wait before the next connection.

use std::time::Duration;

/// What the limit of the delay starts from; it doubles with each failure.
const FIRST: Duration = Duration::from_millis(500);
/// No delay after a failure is shorter.
const SHORTEST: Duration = Duration::from_millis(500);
/// The limit's limit: short enough for a peer that works again to have the shard within a minute.
const LONGEST: Duration = Duration::from_secs(40);
/// Longest delay after a connection that was stable: enough to keep a process's shards from connecting in step.
const QUICK: Duration = Duration::from_millis(500);

/// The delay after `failures` in a row.
///
/// Exponential with jitter over three quarters of it. Full jitter would now and then wait for nothing at all several times in a
/// row; with a lower end that grows too, the number of connections in a time is bounded for certain.
pub(super) fn backoff(failures: u32, random: f64) -> Duration {
    let Some(doublings) = failures.checked_sub(1) else {
        return QUICK.mul_f64(random);
    };
    let limit = (2 * FIRST * 2_u32.pow(doublings.min(16))).min(LONGEST);
    between((limit / 4).max(SHORTEST), limit, random)
}

/// The delay after op 9 (Discord, "Invalid Session": 1 to 5 s).
pub(super) fn invalid_session(random: f64) -> Duration {
    between(Duration::from_secs(1), Duration::from_secs(5), random)
}

fn between(low: Duration, high: Duration, random: f64) -> Duration {
    low + (high - low).mul_f64(random)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn range(failures: u32) -> [u128; 2] {
        [0.0, 1.0].map(|random| backoff(failures, random).as_millis())
    }

    #[test]
    fn doubles_up_to_the_limit() {
        let ranges: Vec<_> = (0..=8).map(range).collect();
        let expected = [
            [0, 500],
            [500, 1000],
            [500, 2000],
            [1000, 4000],
            [2000, 8000],
            [4000, 16_000],
            [8000, 32_000],
            [10_000, 40_000],
            [10_000, 40_000],
        ];
        assert_eq!(ranges, expected);
        assert_eq!(range(u32::MAX), [10_000, 40_000]);
    }
}
