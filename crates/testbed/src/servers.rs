//! RabbitMQ and Redis of one's own: free loopback ports, a temporary folder, nothing left behind.

mod rabbitmq;
mod redis;

use std::path::Path;

use anyhow::Result;

pub use rabbitmq::{RabbitMq, connect as rabbitmq_connection, queue_depths};
pub use redis::{Persistence, Redis, connection as redis_connection};

/// Both servers, in a folder that goes with them.
#[derive(Debug)]
pub struct Servers {
    /// The broker.
    pub rabbitmq: RabbitMq,
    /// The store.
    pub redis: Redis,
    // Last: removed after the servers have ended.
    dir: tempfile::TempDir,
}

impl Servers {
    /// Starts both at once.
    ///
    /// # Errors
    ///
    /// If one is not installed or doesn't come up.
    pub async fn start(persistence: Persistence) -> Result<Self> {
        let dir = tempfile::Builder::new().prefix("dispatch-").tempdir()?;
        let (rabbitmq, redis) = tokio::try_join!(
            RabbitMq::start(dir.path()),
            Redis::start(dir.path(), persistence)
        )?;
        Ok(Self {
            rabbitmq,
            redis,
            dir,
        })
    }

    /// The temporary folder: logs of services go there too.
    #[must_use]
    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// Starts again whatever is down, and lifts an alarm.
    ///
    /// # Errors
    ///
    /// If one doesn't come up.
    pub async fn heal(&mut self) -> Result<()> {
        if !self.rabbitmq.runs() {
            self.rabbitmq.restart().await?;
        }
        if !self.redis.runs() {
            self.redis.restart().await?;
        }
        self.rabbitmq.set_memory_alarm(false).await
    }

    /// Makes both as good as new, in a second instead of ten: a virtual host that nobody has used, an empty Redis.
    ///
    /// # Errors
    ///
    /// If one doesn't answer.
    pub async fn renew(&mut self) -> Result<()> {
        self.rabbitmq.renew().await?;
        self.redis.flush().await
    }
}
