//! What Redis says about the shards.

use std::{sync::Arc, time::Duration};

use dispatch_proto::redis::{SHARDS, STATUSES_HASH};
use dispatch_service::{health::Condition, redis_link::RedisLink};
use redis::{AsyncCommands, RedisError};
use tokio::sync::watch;

/// How often the number of shards is read.
const INTERVAL: Duration = Duration::from_secs(1);

/// The number of shards, followed; and the shards' statuses, read when asked for.
#[derive(Clone)]
pub(crate) struct Shards {
    redis: RedisLink,
    connected: Condition,
    total: Arc<watch::Sender<Option<u32>>>,
}

impl std::fmt::Debug for Shards {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shards")
            .field("total", &self.total())
            .finish_non_exhaustive()
    }
}

impl Shards {
    pub(crate) fn new(redis: RedisLink, connected: Condition) -> Self {
        Self {
            redis,
            connected,
            total: Arc::new(watch::Sender::new(None)),
        }
    }

    /// The number of shards as last read. It stays while Redis is away or empty: shards don't vanish with it.
    pub(crate) fn total(&self) -> Option<u32> {
        *self.total.borrow()
    }

    /// Tells of changes of the number.
    pub(crate) fn changes(&self) -> watch::Receiver<Option<u32>> {
        self.total.subscribe()
    }

    /// Reads the number now.
    pub(crate) async fn refresh(&self) -> Result<Option<u32>, RedisError> {
        let read: Option<String> = self.redis.connection().await?.get(SHARDS).await?;
        let number = read.as_deref().and_then(|text| text.trim().parse().ok());
        if let Some(total) = number.filter(|total| *total > 0) {
            self.total.send_if_modified(|known| {
                let changed = *known != Some(total);
                if changed {
                    tracing::info!(total, "number of shards");
                }
                *known = Some(total);
                changed
            });
        }
        Ok(self.total())
    }

    /// Reads the number again and again, and says whether Redis answers. Never returns.
    pub(crate) async fn follow(&self) {
        let mut interval = tokio::time::interval(INTERVAL);
        interval.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut failing = false;
        loop {
            interval.tick().await;
            match self.refresh().await {
                Ok(_) => {
                    if failing {
                        tracing::info!("redis answers again");
                    }
                    failing = false;
                }
                Err(error) => {
                    if !failing {
                        tracing::warn!(%error, "redis does not answer: the last known number of shards stays");
                    }
                    failing = true;
                }
            }
            self.connected.set(!failing);
        }
    }

    /// A shard's status as its owner wrote it, `None` if there is none yet.
    pub(crate) async fn status(&self, shard: u32) -> Result<Option<String>, RedisError> {
        self.redis
            .connection()
            .await?
            .hget(STATUSES_HASH, shard)
            .await
    }
}
