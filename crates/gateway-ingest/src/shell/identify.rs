//! Who may identify when.
//!
//! Discord allows one identify per bucket (`shard % max_concurrency`) every 5 s, and so many a day; **beyond that it resets
//! the token** (Discord, "Session Start Limit Object"). So a process whose limit is used up waits; resuming needs no leave.

use std::{
    sync::{Arc, Mutex as StdMutex, PoisonError},
    time::Duration,
};

use dispatch_service::discord::StartLimit;
use tokio::{
    sync::{Mutex, oneshot},
    time::{Instant, sleep_until},
};
use twilight_gateway::queue::Queue;

/// Time until the limit is whole again, counted from its first use.
const PERIOD: Duration = Duration::from_secs(24 * 60 * 60);
/// Below this many left, each identify is worth a warning.
const LOW: u32 = 50;

/// The queue of all shards of this process.
#[derive(Clone, Debug)]
pub(crate) struct IdentifyQueue {
    buckets: Arc<[Mutex<Bucket>]>,
    limit: Arc<StdMutex<Limit>>,
    wait: Duration,
}

#[derive(Debug, Default)]
struct Bucket {
    /// When the next one may identify.
    free_at: Option<Instant>,
}

#[derive(Debug)]
struct Limit {
    remaining: u32,
    total: u32,
    resets_at: Instant,
}

impl IdentifyQueue {
    pub(crate) fn new(buckets: u32, wait: Duration, limit: &StartLimit) -> Self {
        let limit = Limit {
            remaining: limit.remaining,
            total: limit.total.max(1),
            resets_at: Instant::now() + limit.reset_after,
        };
        Self {
            buckets: (0..buckets.max(1)).map(|_| Mutex::default()).collect(),
            limit: Arc::new(StdMutex::new(limit)),
            wait,
        }
    }

    async fn grant(self, shard: u32, leave: oneshot::Sender<()>) {
        let bucket = &self.buckets[shard as usize % self.buckets.len()];
        let mut bucket = bucket.lock().await;
        // A shard that disconnected meanwhile asks again; its old request must not use up a turn.
        if leave.is_closed() {
            return;
        }
        if let Some(free_at) = bucket.free_at {
            sleep_until(free_at).await;
        }
        while let Some(resets_at) = self.use_one(!leave.is_closed()) {
            let wait = resets_at.saturating_duration_since(Instant::now());
            tracing::error!(
                shard,
                wait_s = wait.as_secs(),
                "discord's session start limit is used up: waiting until it resets"
            );
            sleep_until(resets_at).await;
        }
        if leave.send(()).is_ok() {
            bucket.free_at = Some(Instant::now() + self.wait);
        }
    }

    /// Counts one identify; `Some` if none is left, with the time when there is.
    fn use_one(&self, wanted: bool) -> Option<Instant> {
        if !wanted {
            return None;
        }
        let now = Instant::now();
        let mut limit = self.limit.lock().unwrap_or_else(PoisonError::into_inner);
        if now >= limit.resets_at {
            limit.remaining = limit.total;
            limit.resets_at = now + PERIOD;
        }
        let Some(left) = limit.remaining.checked_sub(1) else {
            return Some(limit.resets_at);
        };
        limit.remaining = left;
        if left < LOW {
            tracing::warn!(
                left,
                "few identifies are left of discord's session start limit"
            );
        }
        None
    }
}

impl Queue for IdentifyQueue {
    fn enqueue(&self, shard: u32) -> oneshot::Receiver<()> {
        let (leave, granted) = oneshot::channel();
        tokio::spawn(self.clone().grant(shard, leave));
        granted
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limit(remaining: u32, reset_after: u64) -> StartLimit {
        StartLimit {
            max_concurrency: 1,
            remaining,
            reset_after: Duration::from_millis(reset_after),
            total: 1000,
        }
    }

    async fn granted_after(queue: &IdentifyQueue, shard: u32) -> Duration {
        let start = Instant::now();
        queue.enqueue(shard).await.unwrap();
        start.elapsed()
    }

    const WAIT: Duration = Duration::from_millis(60);

    #[tokio::test]
    async fn one_per_bucket_and_wait() {
        let queue = IdentifyQueue::new(2, WAIT, &limit(10, 0));
        let start = Instant::now();
        for shard in 0..4 {
            queue.enqueue(shard).await.unwrap();
        }
        assert!(start.elapsed() >= WAIT);
    }

    #[tokio::test]
    async fn a_used_up_limit_is_waited_for() {
        let queue = IdentifyQueue::new(1, WAIT, &limit(0, 80));
        assert!(granted_after(&queue, 0).await >= Duration::from_millis(75));
    }

    #[tokio::test]
    async fn a_shard_that_left_uses_no_turn() {
        let queue = IdentifyQueue::new(1, Duration::from_secs(60), &limit(10, 60_000));
        drop(queue.enqueue(0));
        tokio::task::yield_now().await;
        assert!(granted_after(&queue, 1).await < Duration::from_secs(30));
    }
}
