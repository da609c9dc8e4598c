//! The router's I/O.
//!
//! [`session`] holds the connection to RabbitMQ and starts over when it fails; within a session [`intake`] delivers the
//! messages, [`pump`] carries them out through [`outlet`], [`sweep`] sees to queues that nobody consumes. [`shards`]
//! follows Redis.

mod intake;
mod outlet;
mod pump;
mod session;
mod shards;
mod sweep;

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use dispatch_service::{health::Condition, start::Surroundings};
use tokio_util::sync::CancellationToken;

use crate::{config::Config, metrics};
use shards::Shards;

/// The router, put together and not yet running.
#[derive(Debug)]
pub struct App {
    config: Config,
    shards: Shards,
    rabbit_connected: Condition,
    /// The queues that commands come in by are there. What is sent to one before is lost to everybody.
    queues: Condition,
    stop: CancellationToken,
}

impl App {
    /// Puts the router together. Nothing is connected yet.
    #[must_use]
    pub fn build(config: Config, surroundings: Surroundings) -> Self {
        metrics::describe();
        let redis_connected = surroundings.health.condition("redis");
        Self {
            shards: Shards::new(config.redis.clone(), redis_connected),
            rabbit_connected: surroundings.health.condition("rabbitmq"),
            queues: surroundings.health.condition("queues"),
            config,
            stop: surroundings.stop,
        }
    }

    /// Routes commands until the process is asked to stop.
    pub async fn run(self) {
        tokio::select! {
            () = session::serve(&self) => {}
            () = self.shards.follow() => {}
        }
    }
}

/// Milliseconds of Unix time.
fn now_ms() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, millis)
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
