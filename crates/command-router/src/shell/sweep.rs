//! Dead-lettering commands that wait too long for a shard that nobody runs.

use std::{collections::HashSet, convert::Infallible, time::Duration};

use dispatch_proto::rabbit::shard_queue;
use dispatch_service::{
    amqp::{Publisher, close_channel, deadline, reply_encoding},
    topology,
};
use lapin::{
    Channel, Connection,
    options::{BasicGetOptions, QueueDeclareOptions},
    types::FieldTable,
};
use tokio::time::{MissedTickBehavior, interval};

use super::{
    millis, now_ms,
    outlet::{self, Envelope},
    session::declare,
    shards::Shards,
};
use crate::{
    config::Config,
    core::{
        deadline::expired_reason,
        unattended::{Head, Unattended},
    },
    error::RouterError,
    metrics::{self, Outcome},
};

/// How often the shards' queues are looked over.
const INTERVAL: Duration = Duration::from_secs(1);

/// Looks over the queues of all shards. Only the active router does.
pub(crate) struct Sweep<'a> {
    shards: &'a Shards,
    connection: &'a Connection,
    unattended: Unattended,
    reason: String,
    /// Shards whose queue is known to exist.
    declared: HashSet<u32>,
}

impl<'a> Sweep<'a> {
    pub(crate) fn new(config: &Config, shards: &'a Shards, connection: &'a Connection) -> Self {
        let ttl = millis(config.command_ttl);
        Self {
            shards,
            connection,
            unattended: Unattended::new(ttl),
            reason: expired_reason(ttl),
            declared: HashSet::new(),
        }
    }

    /// Looks the queues over again and again. What goes wrong is tried again at the next turn.
    pub(crate) async fn run(mut self) -> Infallible {
        let mut interval = interval(INTERVAL);
        interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            interval.tick().await;
            if let Err(error) = self.look_over().await {
                tracing::debug!(%error, "cannot look over the shards' queues");
            }
        }
    }

    async fn look_over(&mut self) -> Result<(), RouterError> {
        let channel = self.connection.create_channel().await?;
        let looked = self.look_over_with(&channel).await;
        close_channel(&channel).await;
        looked
    }

    async fn look_over_with(&mut self, channel: &Channel) -> Result<(), RouterError> {
        for shard in 0..self.shards.total().unwrap_or(0) {
            if !self.declared.contains(&shard) {
                declare(self.connection, async |channel| {
                    topology::declare_shard_queue(channel, shard).await
                })
                .await?;
                self.declared.insert(shard);
            }
            let passive = QueueDeclareOptions {
                passive: true,
                ..QueueDeclareOptions::default()
            };
            let queue = channel
                .queue_declare(shard_queue(shard).into(), passive, FieldTable::default())
                .await
                .inspect_err(|_| {
                    self.declared.remove(&shard);
                })?;
            let (messages, consumers) = (queue.message_count(), queue.consumer_count());
            if self
                .unattended
                .observe(shard, messages, consumers, now_ms())
            {
                self.expire(shard).await?;
            }
        }
        Ok(())
    }

    /// Dead-letters from the head of a shard's queue what has waited too long.
    ///
    /// The first message that has not goes back to its place when its channel is closed.
    async fn expire(&mut self, shard: u32) -> Result<(), RouterError> {
        let publisher = Publisher::open(self.connection).await?;
        let channel = self.connection.create_channel().await?;
        let expired = self.expire_with(shard, &publisher, &channel).await;
        close_channel(&channel).await;
        close_channel(publisher.channel()).await;
        expired
    }

    async fn expire_with(
        &mut self,
        shard: u32,
        publisher: &Publisher,
        channel: &Channel,
    ) -> Result<(), RouterError> {
        let queue = shard_queue(shard);
        loop {
            let options = BasicGetOptions::default();
            let Some(message) = channel.basic_get(queue.as_str().into(), options).await? else {
                return Ok(());
            };
            let behind = message.message_count;
            let delivery = message.delivery;
            let deadline = deadline(&delivery.properties);
            match self.unattended.head(shard, deadline, behind, now_ms()) {
                Head::Waits => return Ok(()),
                Head::Expired => {
                    let encoding = reply_encoding(&delivery.properties);
                    let envelope = Envelope {
                        queue: queue.clone(),
                        delivery,
                        encoding,
                    };
                    outlet::reject(publisher, envelope, &self.reason).await?;
                    metrics::finished(Outcome::Expired);
                }
            }
        }
    }
}
