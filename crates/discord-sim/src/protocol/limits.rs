//! Discord's limits, as pure values: time comes in as an argument.

use std::{
    collections::{HashMap, VecDeque},
    time::{Duration, Instant},
};

/// What a client sends at most: 120 payloads in any 60 s, heartbeats included.
#[derive(Debug)]
pub(crate) struct SendLimit {
    count: usize,
    window: Duration,
    sent: VecDeque<Instant>,
}

impl SendLimit {
    /// `count` payloads in any `window`.
    pub(crate) fn new(count: u32, window: Duration) -> Self {
        Self {
            count: count as usize,
            window,
            sent: VecDeque::new(),
        }
    }

    /// Counts one payload; false if it is one too many.
    pub(crate) fn admit(&mut self, now: Instant) -> bool {
        while self
            .sent
            .front()
            .is_some_and(|at| now.duration_since(*at) >= self.window)
        {
            self.sent.pop_front();
        }
        if self.sent.len() >= self.count {
            return false;
        }
        self.sent.push_back(now);
        true
    }
}

/// One IDENTIFY for each `shard % max_concurrency` in each interval.
#[derive(Debug)]
pub(crate) struct IdentifyBuckets {
    max_concurrency: u32,
    interval: Duration,
    last: HashMap<u32, Instant>,
}

impl IdentifyBuckets {
    /// Buckets for `max_concurrency`. A twentieth of the interval is forgiven: two IDENTIFYs sent
    /// an interval apart may arrive a little closer together.
    pub(crate) fn new(max_concurrency: u32, interval: Duration) -> Self {
        Self {
            max_concurrency: max_concurrency.max(1),
            interval: interval.mul_f64(0.95),
            last: HashMap::new(),
        }
    }

    /// Counts one IDENTIFY; false if the bucket was used less than an interval ago.
    pub(crate) fn admit(&mut self, shard: u32, now: Instant) -> bool {
        let bucket = shard % self.max_concurrency;
        if self
            .last
            .get(&bucket)
            .is_some_and(|at| now.duration_since(*at) < self.interval)
        {
            return false;
        }
        self.last.insert(bucket, now);
        true
    }
}

/// How many sessions may be started in a day; beyond that Discord resets the token.
#[derive(Debug)]
pub(crate) struct SessionStarts {
    total: u32,
    window: Duration,
    used: u32,
    since: Instant,
}

impl SessionStarts {
    /// Discord's window.
    pub(crate) const WINDOW: Duration = Duration::from_secs(24 * 60 * 60);

    /// `total` starts in each window, the first beginning now.
    pub(crate) fn new(total: u32, window: Duration, now: Instant) -> Self {
        Self {
            total,
            window,
            used: 0,
            since: now,
        }
    }

    /// Counts one session start; false if the day's are used up.
    pub(crate) fn admit(&mut self, now: Instant) -> bool {
        if now.duration_since(self.since) >= self.window {
            self.used = 0;
            self.since = now;
        }
        if self.used >= self.total {
            return false;
        }
        self.used += 1;
        true
    }

    /// Starts allowed in a window.
    pub(crate) fn total(&self) -> u32 {
        self.total
    }

    /// Starts left in this window.
    pub(crate) fn remaining(&self) -> u32 {
        self.total - self.used
    }

    /// Time until the window ends.
    pub(crate) fn reset_after(&self, now: Instant) -> Duration {
        self.window.saturating_sub(now.duration_since(self.since))
    }
}

/// Guilds remembered; beyond that, those that may be asked for again are forgotten.
const GUILDS_KEPT: usize = 10_000;

/// Requests for a guild's whole member list: one for each guild in each interval.
#[derive(Debug, Default)]
pub(crate) struct MemberRequests {
    last: HashMap<u64, Instant>,
}

impl MemberRequests {
    /// Counts one request for all members of `guild`.
    ///
    /// # Errors
    ///
    /// The time to wait, if it comes too early.
    pub(crate) fn admit(
        &mut self,
        guild: u64,
        now: Instant,
        every: Duration,
    ) -> Result<(), Duration> {
        if let Some(at) = self.last.get(&guild) {
            let waited = now.duration_since(*at);
            if waited < every {
                return Err(every - waited);
            }
        }
        if self.last.len() >= GUILDS_KEPT {
            self.last.retain(|_, at| now.duration_since(*at) < every);
        }
        self.last.insert(guild, now);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn sends_are_counted_in_a_sliding_window() {
        let start = Instant::now();
        let mut limit = SendLimit::new(3, 10 * SECOND);
        assert!((0..3).all(|n| limit.admit(start + n * SECOND)));
        assert!(!limit.admit(start + 9 * SECOND));
        assert!(limit.admit(start + 10 * SECOND));
        assert!(!limit.admit(start + 10 * SECOND));
    }

    #[test]
    fn identify_buckets_are_independent() {
        let start = Instant::now();
        let mut buckets = IdentifyBuckets::new(2, 5 * SECOND);
        assert!(buckets.admit(0, start) && buckets.admit(1, start));
        assert!(!buckets.admit(2, start + SECOND));
        assert!(buckets.admit(2, start + 5 * SECOND));
    }

    #[test]
    fn session_starts_come_back_after_a_day() {
        let start = Instant::now();
        let mut starts = SessionStarts::new(1, SessionStarts::WINDOW, start);
        assert!(starts.admit(start));
        assert!(!starts.admit(start + SECOND));
        assert_eq!(starts.remaining(), 0);
        assert!(starts.admit(start + SessionStarts::WINDOW));
    }

    #[test]
    fn member_lists_are_limited_for_each_guild() {
        let start = Instant::now();
        let mut requests = MemberRequests::default();
        assert!(requests.admit(1, start, 30 * SECOND).is_ok());
        assert!(requests.admit(2, start, 30 * SECOND).is_ok());
        let wait = requests.admit(1, start + 10 * SECOND, 30 * SECOND);
        assert_eq!(wait, Err(20 * SECOND));
    }
}
