//! Which router is active.
//!
//! **Invariant:** who holds the exclusive queue `gateway.owner.router` is the active router, and publishes on the connection that
//! holds it: when RabbitMQ drops the connection, the right and the ability to publish end together.

use std::{
    hash::{BuildHasher, RandomState},
    time::Duration,
};

use dispatch_service::{
    amqp::{Publisher, close_channel},
    lock,
};
use futures_util::StreamExt;
use lapin::{Connection, Consumer, options::BasicConsumeOptions, types::FieldTable};
use tokio::time::sleep;

use crate::error::RouterError;

/// How often a router that stands by looks whether the lock is free, and how much later that may be by chance.
const LOOK: Duration = Duration::from_millis(300);
const JITTER_MS: u64 = 100;

/// The lock, held.
#[derive(Debug)]
pub(crate) struct Lock {
    consumer: Consumer,
}

impl Lock {
    /// Waits for the lock of this name; `standing_by` is called when another router has it.
    ///
    /// Meanwhile nothing is asked that RabbitMQ would refuse, and write to its log: a message to a queue that isn't there comes
    /// back.
    pub(crate) async fn acquire(
        connection: &Connection,
        name: &str,
        standing_by: impl Fn(),
    ) -> Result<Self, RouterError> {
        loop {
            if let Some(lock) = Self::attempt(connection, name).await? {
                return Ok(lock);
            }
            standing_by();
            let publisher = Publisher::open(connection).await?;
            while lock::is_held(&publisher, name).await? {
                sleep(LOOK + jitter()).await;
            }
            close_channel(publisher.channel()).await;
        }
    }

    /// `None` if another connection has it.
    async fn attempt(connection: &Connection, name: &str) -> Result<Option<Self>, RouterError> {
        let channel = connection.create_channel().await?;
        if !lock::take(&channel, name).await? {
            return Ok(None);
        }
        let options = BasicConsumeOptions {
            no_ack: true,
            ..BasicConsumeOptions::default()
        };
        let consumer =
            channel.basic_consume(name.into(), "".into(), options, FieldTable::default());
        Ok(Some(Self {
            consumer: consumer.await?,
        }))
    }

    /// Waits until the lock is gone: the connection has died, or somebody has deleted the queue.
    pub(crate) async fn lost(&mut self) -> RouterError {
        while let Some(message) = self.consumer.next().await {
            if let Err(error) = message {
                return error.into();
            }
        }
        RouterError::LockLost
    }
}

/// Routers that were started together don't look together.
fn jitter() -> Duration {
    Duration::from_millis(RandomState::new().hash_one(()) % JITTER_MS)
}
