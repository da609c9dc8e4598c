//! What Redis says about the shards.

use std::{collections::HashMap, sync::Arc, time::Duration};

use dispatch_proto::{
    redis::{GIVEN_AWAY, OWNERS_HASH, SESSION_STARTS_HASH, SHARDS, STATUSES_HASH, shard_field},
    session::{ShardEntry, ShardStatus},
};
use dispatch_service::{clock::unix_millis, health::Condition};
use redis::{AsyncCommands, RedisError};
use tokio::sync::watch;

use super::clock::Clock;
use crate::config::Config;

/// How often the number of shards is read.
const INTERVAL: Duration = Duration::from_secs(1);

/// The number of shards, followed; and the shards' statuses, read when asked for.
#[derive(Clone)]
pub(crate) struct Shards {
    config: Config,
    connected: Condition,
    clock: Clock,
    last: Arc<watch::Sender<Option<Read>>>,
}

/// The number of shards as it was read.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Read {
    pub(crate) total: u32,
    /// When the reading began.
    pub(crate) began: u64,
}

impl std::fmt::Debug for Shards {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shards")
            .field("total", &self.total())
            .finish_non_exhaustive()
    }
}

impl Shards {
    pub(crate) fn new(config: Config, connected: Condition, clock: Clock) -> Self {
        Self {
            config,
            connected,
            clock,
            last: Arc::new(watch::Sender::new(None)),
        }
    }

    /// The number of shards as last read. It stays while Redis is away or empty: shards don't vanish with it.
    pub(crate) fn total(&self) -> Option<u32> {
        self.last.borrow().map(|read| read.total)
    }

    /// Tells of each time the number is read.
    pub(crate) fn reads(&self) -> watch::Receiver<Option<Read>> {
        self.last.subscribe()
    }

    async fn read(&self) -> Result<(), RedisError> {
        let began = self.clock.now();
        let key = self.config.namespace.name(SHARDS);
        let read: Option<String> = self.config.redis.connection().await?.get(key).await?;
        let number = read.as_deref().and_then(|text| text.trim().parse().ok());
        let known = self.total();
        // What was known stays while Redis is empty.
        let Some(total) = number.filter(|total| *total > 0).or(known) else {
            return Ok(());
        };
        if known != Some(total) {
            tracing::info!(total, "number of shards");
        }
        self.last.send_replace(Some(Read { total, began }));
        Ok(())
    }

    /// Reads the number again and again, and says whether Redis answers. Never returns.
    pub(crate) async fn follow(&self) {
        let mut interval = tokio::time::interval(INTERVAL);
        interval.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut failing = false;
        loop {
            interval.tick().await;
            match self.read().await {
                Ok(()) => {
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
        let total = self.total().unwrap_or_default();
        let key = self.config.namespace.name(STATUSES_HASH);
        let mut redis = self.config.redis.connection().await?;
        redis.hget(key, shard_field(total, shard)).await
    }

    /// All shards that have a status.
    pub(crate) async fn list(&self) -> Result<Vec<ShardEntry>, RedisError> {
        let mut redis = self.config.redis.connection().await?;
        let mut pipe = redis::pipe();
        for key in [STATUSES_HASH, OWNERS_HASH, SESSION_STARTS_HASH] {
            pipe.hgetall(self.config.namespace.name(key));
        }
        type Fields<T> = HashMap<String, T>;
        let (statuses, mut owners, starts): (Fields<String>, Fields<String>, Fields<u64>) =
            pipe.query_async(&mut redis).await?;
        let now = unix_millis();
        let total = self.total().unwrap_or_default();
        let entry = |shard| {
            let field = shard_field(total, shard);
            let status = serde_json::from_str::<ShardStatus>(statuses.get(&field)?).ok()?;
            let owner = owners.remove(&field).filter(|owner| owner != GIVEN_AWAY);
            let start = starts.get(&field);
            Some(ShardEntry {
                owner,
                session_age: start.map(|start| now.saturating_sub(*start)),
                status,
            })
        };
        Ok((0..total).filter_map(entry).collect())
    }
}
