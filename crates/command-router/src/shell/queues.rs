//! The queues of commands: their names, and how they are declared.

use std::sync::Arc;

use dispatch_proto::namespace::Namespace;
use dispatch_service::topology::{self, QueueType, ensure};
use lapin::{Channel, Connection, ExchangeKind, options::QueueDeclareOptions, types::FieldTable};

use crate::config::Config;

/// Declares queues, each with a channel of its own. What exists with other properties is used as it is.
#[derive(Clone, Debug)]
pub(crate) struct Queues {
    connection: Arc<Connection>,
    namespace: Namespace,
    queue_type: QueueType,
}

/// What a queue holds, and who takes from it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Counts {
    pub(crate) messages: u32,
    pub(crate) consumers: u32,
}

impl Queues {
    pub(crate) fn new(connection: Arc<Connection>, config: &Config) -> Self {
        Self {
            connection,
            namespace: config.namespace.clone(),
            queue_type: config.queue_type,
        }
    }

    /// What stands before their names.
    pub(crate) fn namespace(&self) -> &Namespace {
        &self.namespace
    }

    pub(crate) async fn declare_send(&self) -> lapin::Result<()> {
        ensure(&self.connection, async |channel| {
            topology::declare_send(channel, &self.namespace, self.queue_type).await
        })
        .await
    }

    pub(crate) async fn declare_dead(&self) -> lapin::Result<()> {
        ensure(&self.connection, async |channel| {
            topology::declare_dead(channel, &self.namespace).await
        })
        .await
    }

    pub(crate) async fn declare_shard(&self, shard: u32) -> lapin::Result<()> {
        ensure(&self.connection, async |channel| {
            topology::declare_shard_queue(channel, &self.namespace, shard, self.queue_type).await
        })
        .await
    }

    /// Declares the exchange that Spectacles clients publish to, and a queue bound to it.
    pub(crate) async fn declare_spectacles(
        &self,
        exchange: &str,
        event: &str,
    ) -> lapin::Result<()> {
        let queue = spectacles_queue(exchange, event);
        ensure(&self.connection, async |channel| {
            topology::declare_exchange(channel, exchange, ExchangeKind::Direct).await
        })
        .await?;
        ensure(&self.connection, async |channel| {
            topology::declare_queue(channel, &queue, self.queue_type.for_commands()).await
        })
        .await?;
        ensure(&self.connection, async |channel| {
            topology::bind(channel, &queue, exchange, event).await
        })
        .await
    }
}

/// Looks at a queue. If there is none, the channel is closed.
pub(crate) async fn counts(channel: &Channel, queue: &str) -> lapin::Result<Counts> {
    let passive = QueueDeclareOptions {
        passive: true,
        ..QueueDeclareOptions::default()
    };
    let queue = channel
        .queue_declare(queue.into(), passive, FieldTable::default())
        .await?;
    Ok(Counts {
        messages: queue.message_count(),
        consumers: queue.consumer_count(),
    })
}

/// Name of the queue for an event, also of the queues that clients send to.
pub(crate) fn spectacles_queue(exchange: &str, event: &str) -> String {
    format!("{exchange}:{event}")
}
