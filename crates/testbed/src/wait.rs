//! Waiting for a condition: polled, with a deadline.

use std::time::{Duration, Instant};

use anyhow::{Result, bail};

/// Time between two looks at a condition.
const INTERVAL: Duration = Duration::from_millis(20);

/// Polls `condition` until it holds; returns how long that took.
///
/// # Errors
///
/// If it doesn't hold within `limit`; the message names `what`.
pub async fn until(
    what: &str,
    limit: Duration,
    mut condition: impl AsyncFnMut() -> bool,
) -> Result<Duration> {
    let start = Instant::now();
    loop {
        if condition().await {
            return Ok(start.elapsed());
        }
        if start.elapsed() > limit {
            bail!("{what}: not within {:.1} s", limit.as_secs_f64());
        }
        tokio::time::sleep(INTERVAL).await;
    }
}
