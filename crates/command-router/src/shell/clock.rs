//! The router's clock.

use std::time::{Duration, Instant};

use dispatch_service::clock::unix_millis;

/// Milliseconds since the start of the process. They never go back, as those of the system's clock may.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock {
    start: Instant,
}

impl Clock {
    pub(crate) fn start() -> Self {
        Self {
            start: Instant::now(),
        }
    }

    pub(crate) fn now(self) -> u64 {
        millis(self.start.elapsed())
    }

    /// A time of this clock in milliseconds of Unix time.
    pub(crate) fn unix(self, time: u64) -> u64 {
        let (now, unix) = (self.now(), unix_millis());
        (unix.saturating_add(time)).saturating_sub(now)
    }

    /// Waits until a time; for ever if there is none.
    pub(crate) async fn until(self, time: Option<u64>) {
        match time {
            Some(time) => {
                let left = time.saturating_sub(self.now());
                tokio::time::sleep(Duration::from_millis(left)).await;
            }
            None => std::future::pending().await,
        }
    }
}

pub(crate) fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
