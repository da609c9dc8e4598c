//! Waiting between attempts to reach a server that is away.

use std::{fmt::Display, time::Duration};

use tokio_util::sync::CancellationToken;

use crate::health::Condition;

const FIRST: Duration = Duration::from_millis(100);
const LONGEST: Duration = Duration::from_secs(5);

/// Delays that double from 100 ms to 5 s.
///
/// Short at first, because a restarted broker is back within seconds and everything waits for it; capped low, because the
/// cost of an attempt is one TCP connection.
#[derive(Debug)]
pub struct Backoff {
    next: Duration,
}

impl Default for Backoff {
    fn default() -> Self {
        Self { next: FIRST }
    }
}

impl Backoff {
    /// The delay before the next attempt.
    pub fn next_delay(&mut self) -> Duration {
        let delay = self.next;
        self.next = (delay * 2).min(LONGEST);
        delay
    }

    /// To be called after a success: the next failure starts again at the shortest delay.
    pub fn reset(&mut self) {
        self.next = FIRST;
    }
}

/// Connects to `server`, again and again until it works; `None` if `stop` comes first. Says of `connected` how it goes.
pub async fn connect_until<C, E: Display, F: Future<Output = Result<C, E>>>(
    server: &str,
    connected: &Condition,
    stop: &CancellationToken,
    connect: impl Fn() -> F,
) -> Option<C> {
    let mut backoff = Backoff::default();
    let connection = stop.run_until_cancelled(async {
        loop {
            match connect().await {
                Ok(connection) => break connection,
                Err(error) => {
                    connected.set(false);
                    let delay = backoff.next_delay();
                    tracing::warn!(%error, retry_in_ms = delay.as_millis(), "cannot connect to {server}");
                    tokio::time::sleep(delay).await;
                }
            }
        }
    });
    let connection = connection.await?;
    connected.set(true);
    Some(connection)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn doubles_up_to_the_cap_and_resets() {
        let mut backoff = Backoff::default();
        let delays: Vec<_> = (0..8).map(|_| backoff.next_delay().as_millis()).collect();
        assert_eq!(delays, [100, 200, 400, 800, 1600, 3200, 5000, 5000]);
        backoff.reset();
        assert_eq!(backoff.next_delay(), FIRST);
    }
}
