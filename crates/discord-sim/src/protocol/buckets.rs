//! REST's rate limits, pure: buckets, the global one, and the ban for too many invalid requests.
//!
//! <https://discord.com/developers/docs/topics/rate-limits>

use std::{
    collections::{HashMap, VecDeque},
    time::{Duration, Instant},
};

/// Buckets kept; full ones that have expired are dropped beyond that.
const KEPT: usize = 10_000;

/// In this time so many requests with 401, 403 or 429 ban the address.
pub(crate) const INVALID_WINDOW: Duration = Duration::from_secs(600);

/// How many requests a bucket takes, in which time.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Limit {
    pub(crate) requests: u32,
    pub(crate) window: Duration,
}

/// What the headers of an answer say about its bucket.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct BucketState {
    pub(crate) limit: u32,
    pub(crate) remaining: u32,
    pub(crate) reset_after: Duration,
}

/// Whether a request may pass.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Verdict {
    /// Yes.
    Pass(BucketState),
    /// 429: its bucket is empty.
    Bucket(BucketState),
    /// 429: too many requests in all.
    Global(Duration),
    /// 429 of Cloudflare, without JSON: the address is banned for that long.
    Banned(Duration),
}

/// See the module's documentation.
#[derive(Debug)]
pub(crate) struct RestLimits {
    global: Limit,
    most_invalid: usize,
    invalid_window: Duration,
    recent: VecDeque<Instant>,
    invalid: VecDeque<Instant>,
    /// By bucket and the id that it is for: when it began, and how many requests it has had since.
    buckets: HashMap<(&'static str, String), (Instant, u32)>,
}

impl RestLimits {
    /// `global` over all routes; so many invalid requests in such a window.
    pub(crate) fn new(global: Limit, (most_invalid, invalid_window): (usize, Duration)) -> Self {
        Self {
            global,
            most_invalid,
            invalid_window,
            recent: VecDeque::new(),
            invalid: VecDeque::new(),
            buckets: HashMap::new(),
        }
    }

    /// Counts a request for `route` with the id that its bucket is for.
    pub(crate) fn admit(
        &mut self,
        (route, major): (&'static str, &str),
        limit: Limit,
        is_global: bool,
        now: Instant,
    ) -> Verdict {
        if let Some(left) = self.banned_for(now) {
            return Verdict::Banned(left);
        }
        if is_global {
            expire(&mut self.recent, now, self.global.window);
            if self.recent.len() >= self.global.requests as usize {
                let oldest = self.recent.front().copied().unwrap_or(now);
                return Verdict::Global(oldest + self.global.window - now);
            }
        }
        if self.buckets.len() >= KEPT {
            let longest = self.invalid_window;
            self.buckets
                .retain(|_, (begun, _)| now.duration_since(*begun) < longest);
        }
        let bucket = self
            .buckets
            .entry((route, major.to_owned()))
            .or_insert((now, 0));
        if now.duration_since(bucket.0) >= limit.window {
            *bucket = (now, 0);
        }
        let mut state = BucketState {
            limit: limit.requests,
            remaining: 0,
            reset_after: bucket.0 + limit.window - now,
        };
        if bucket.1 >= limit.requests {
            return Verdict::Bucket(state);
        }
        bucket.1 += 1;
        state.remaining = limit.requests - bucket.1;
        if is_global {
            self.recent.push_back(now);
        }
        Verdict::Pass(state)
    }

    /// Counts an answer that Discord calls invalid: 401, 403, or a 429 that is no shared one.
    pub(crate) fn invalid(&mut self, now: Instant) {
        expire(&mut self.invalid, now, self.invalid_window);
        if self.invalid.len() < self.most_invalid {
            self.invalid.push_back(now);
        }
    }

    fn banned_for(&mut self, now: Instant) -> Option<Duration> {
        expire(&mut self.invalid, now, self.invalid_window);
        let oldest = self.invalid.front()?;
        (self.invalid.len() >= self.most_invalid).then(|| *oldest + self.invalid_window - now)
    }
}

fn expire(times: &mut VecDeque<Instant>, now: Instant, window: Duration) {
    while times
        .front()
        .is_some_and(|at| now.duration_since(*at) >= window)
    {
        times.pop_front();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limit(requests: u32, seconds: u64) -> Limit {
        Limit {
            requests,
            window: Duration::from_secs(seconds),
        }
    }

    #[test]
    fn a_bucket_is_for_its_id_and_fills_again() {
        let (start, mut limits) = (
            Instant::now(),
            RestLimits::new(limit(50, 1), (100, INVALID_WINDOW)),
        );
        let at = |millis| start + Duration::from_millis(millis);
        let mut ask =
            |major, millis| limits.admit(("POST messages", major), limit(2, 5), true, at(millis));
        assert!(matches!(ask("1", 0), Verdict::Pass(state) if state.remaining == 1));
        assert!(matches!(ask("1", 10), Verdict::Pass(state) if state.remaining == 0));
        let refused = ask("1", 1_000);
        assert!(
            matches!(refused, Verdict::Bucket(state) if state.reset_after == Duration::from_secs(4))
        );
        assert!(matches!(ask("2", 1_000), Verdict::Pass(_)));
        assert!(matches!(ask("1", 5_000), Verdict::Pass(_)));
    }

    #[test]
    fn all_requests_together_have_a_limit_and_interactions_none() {
        let (now, mut limits) = (
            Instant::now(),
            RestLimits::new(limit(3, 1), (100, INVALID_WINDOW)),
        );
        for major in ["1", "2", "3"] {
            let verdict = limits.admit(("x", major), limit(9, 9), true, now);
            assert!(matches!(verdict, Verdict::Pass(_)));
        }
        let verdict = limits.admit(("x", "4"), limit(9, 9), true, now);
        assert_eq!(verdict, Verdict::Global(Duration::from_secs(1)));
        let verdict = limits.admit(("y", "4"), limit(9, 9), false, now);
        assert!(matches!(verdict, Verdict::Pass(_)));
    }

    #[test]
    fn invalid_requests_ban_for_a_while() {
        let (now, mut limits) = (
            Instant::now(),
            RestLimits::new(limit(50, 1), (2, INVALID_WINDOW)),
        );
        limits.invalid(now);
        limits.invalid(now);
        let verdict = limits.admit(("x", "1"), limit(9, 9), true, now);
        assert_eq!(verdict, Verdict::Banned(INVALID_WINDOW));
        let later = now + INVALID_WINDOW;
        let verdict = limits.admit(("x", "1"), limit(9, 9), true, later);
        assert!(matches!(verdict, Verdict::Pass(_)));
    }
}
