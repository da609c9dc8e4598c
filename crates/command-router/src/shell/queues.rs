//! The queues of commands: their names, and how they are declared.

use std::sync::Arc;

use dispatch_proto::namespace::Namespace;
use dispatch_service::topology::{self, QueueType, ensure};
use lapin::{Connection, ExchangeKind};

use crate::config::Config;

/// Declares queues, each with a channel of its own. What exists with other properties is used as it is.
#[derive(Clone, Debug)]
pub(crate) struct Queues {
    connection: Arc<Connection>,
    namespace: Namespace,
    queue_type: QueueType,
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

/// Name of the queue for an event, also of the queues that clients send to.
pub(crate) fn spectacles_queue(exchange: &str, event: &str) -> String {
    format!("{exchange}:{event}")
}
