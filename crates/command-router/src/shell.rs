//! The router's I/O.
//!
//! [`session`] holds the connection to RabbitMQ and starts over when it fails; [`lock`] says which router is active. Within a
//! session [`consumers`] take the messages, [`forwarder`] carries out what is decided about them, with [`publications`],
//! [`dead_letters`] and [`replies`]; [`expiry`] sees to queues that nobody consumes. [`shards`] follows Redis.

mod clock;
mod consumers;
mod dead_letters;
mod envelope;
mod expiry;
mod forwarder;
mod lock;
mod publications;
mod queues;
mod readiness;
mod replies;
mod session;
mod shards;
mod side_channel;

use dispatch_service::{health::Condition, start::Surroundings};
use tokio_util::sync::CancellationToken;

use crate::config::Config;
use clock::Clock;
use readiness::Readiness;
use shards::Shards;

/// The router, put together and not yet running.
#[derive(Debug)]
pub struct App {
    config: Config,
    clock: Clock,
    shards: Shards,
    rabbit_connected: Condition,
    readiness: Readiness,
    stop: CancellationToken,
}

impl App {
    /// Puts the router together. Nothing is connected yet.
    #[must_use]
    pub fn build(config: Config, surroundings: Surroundings) -> Self {
        let clock = Clock::start();
        let redis_connected = surroundings.health.condition("redis");
        Self {
            shards: Shards::new(config.clone(), redis_connected, clock),
            rabbit_connected: surroundings.health.condition("rabbitmq"),
            readiness: Readiness::new(surroundings.health.condition("queues")),
            config,
            clock,
            stop: surroundings.stop,
        }
    }

    /// Routes commands until the process is asked to stop.
    ///
    /// # Errors
    ///
    /// None for now: whatever is away is waited for.
    pub async fn run(self) -> anyhow::Result<()> {
        tokio::select! {
            () = session::serve(&self) => Ok(()),
            () = self.shards.follow() => Ok(()),
        }
    }
}
