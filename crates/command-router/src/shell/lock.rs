//! Which router is active.
//!
//! **Invariant:** who holds the exclusive queue `gateway.owner.router` is the active router, and publishes on the connection that
//! holds it: when RabbitMQ drops the connection, the right and the ability to publish end together.

use std::{
    hash::{BuildHasher, RandomState},
    time::Duration,
};

use dispatch_service::amqp::{PublishError, Publisher, close_channel};
use futures_util::StreamExt;
use lapin::{
    BasicProperties, Connection, Consumer, ErrorKind,
    options::{BasicConsumeOptions, QueueDeclareOptions},
    types::{AMQPValue, FieldTable},
};
use tokio::time::sleep;

use crate::error::RouterError;

/// How often a router that stands by looks whether the lock is free, and how much later that may be by chance.
const LOOK: Duration = Duration::from_millis(300);
const JITTER_MS: u64 = 100;
/// AMQP's reply code for a queue that is exclusive to another connection.
const RESOURCE_LOCKED: u16 = 405;

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
            while is_held(&publisher, name).await? {
                sleep(LOOK + jitter()).await;
            }
            close_channel(publisher.channel()).await;
        }
    }

    /// `None` if another connection has it.
    async fn attempt(connection: &Connection, name: &str) -> Result<Option<Self>, RouterError> {
        let channel = connection.create_channel().await?;
        let exclusive = QueueDeclareOptions {
            exclusive: true,
            ..QueueDeclareOptions::default()
        };
        let mut arguments = FieldTable::default();
        // Said, because a virtual host may have another default, and only classic queues are exclusive.
        let classic = AMQPValue::LongString("classic".into());
        arguments.insert("x-queue-type".into(), classic);
        // The messages of those that look.
        arguments.insert("x-max-length".into(), AMQPValue::LongInt(1));
        let declared = channel.queue_declare(name.into(), exclusive, arguments);
        match declared.await {
            Ok(_) => {}
            Err(error) if is_locked(&error) => return Ok(None),
            Err(error) => return Err(error.into()),
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

async fn is_held(publisher: &Publisher, name: &str) -> Result<bool, PublishError> {
    let message = BasicProperties::default();
    match publisher.publish("", name, true, message, b"").await {
        Err(PublishError::Unroutable) => Ok(false),
        Ok(()) | Err(PublishError::Nacked) => Ok(true),
        Err(error) => Err(error),
    }
}

fn is_locked(error: &lapin::Error) -> bool {
    matches!(error.kind(), ErrorKind::ProtocolError(error) if error.get_id() == RESOURCE_LOCKED)
}

/// Routers that were started together don't look together.
fn jitter() -> Duration {
    Duration::from_millis(RandomState::new().hash_one(()) % JITTER_MS)
}
