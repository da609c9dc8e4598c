//! The life of a partition's subscription.
//!
//! RabbitMQ serves one consumer of a partition at a time. Whoever is served takes the partition over on Redis with its first
//! delivery, works off batch after batch, and lets go by closing the channel, which gives back what is unacknowledged in
//! order. It publishes on the channel it consumes from: when the broker drops the connection, the right to publish for the
//! partition and the ability to do so end together.

use std::{
    collections::HashMap,
    mem::ManuallyDrop,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use dispatch_proto::rabbit::raw_queue;
use dispatch_service::{
    amqp::{Publisher, close_channel},
    backoff::Backoff,
    health::Condition,
    topology,
};
use futures_util::{FutureExt, StreamExt};
use lapin::{
    Connection, Consumer,
    message::Delivery,
    options::{BasicAckOptions, BasicConsumeOptions, BasicQosOptions},
    types::FieldTable,
};
use tokio_util::sync::CancellationToken;

use super::{
    batch::Owner,
    guild_log::GuildLog,
    outlet::Outlet,
    seats::{Seat, Seats},
};
use crate::{config::Config, core::applied::Applied, error::PartitionError, metrics};

/// Frames that may be on their way to a partition's task: at up to 256 KiB a frame, 4 MiB.
const PREFETCH: u16 = 16;

/// What all partitions share.
pub(super) struct Shared {
    pub(super) config: Config,
    pub(super) guild_log: Option<GuildLog>,
    pub(super) redis_up: Condition,
    /// By partition, what was applied and published when this process served it last.
    published: Mutex<HashMap<u32, Arc<Applied>>>,
}

impl Shared {
    pub(super) fn new(config: Config, guild_log: Option<GuildLog>, redis_up: Condition) -> Self {
        Self {
            config,
            guild_log,
            redis_up,
            published: Mutex::default(),
        }
    }

    /// What was applied and published when this process served the partition last.
    pub(super) fn published(&self, partition: u32) -> Option<Arc<Applied>> {
        self.lock_published().get(&partition).cloned()
    }

    pub(super) fn set_published(&self, partition: u32, published: Arc<Applied>) {
        self.lock_published().insert(partition, published);
    }

    fn lock_published(&self) -> MutexGuard<'_, HashMap<u32, Arc<Applied>>> {
        self.published
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

/// One partition's task.
pub(super) struct Partition {
    number: u32,
    shared: Arc<Shared>,
    connection: Arc<Connection>,
    seats: Arc<Seats>,
    stop: CancellationToken,
}

impl Partition {
    pub(super) fn new(
        number: u32,
        shared: Arc<Shared>,
        connection: Arc<Connection>,
        seats: Arc<Seats>,
        stop: CancellationToken,
    ) -> Self {
        Self {
            number,
            shared,
            connection,
            seats,
            stop,
        }
    }

    /// Subscribes, again and again, until the process is asked to end or the connection dies.
    pub(super) async fn serve(self) {
        let mut backoff = Backoff::default();
        while !self.stop.is_cancelled() {
            match self.subscription().await {
                Ok(()) => backoff.reset(),
                Err(PartitionError::Fenced) => {
                    tracing::warn!(
                        partition = self.number,
                        "partition belongs to another writer now"
                    );
                    metrics::fenced();
                }
                Err(error) if !self.connection.status().connected() => {
                    tracing::warn!(partition = self.number, %error, "connection to rabbitmq lost");
                    return;
                }
                Err(error) => {
                    let delay = backoff.next_delay();
                    tracing::error!(partition = self.number, %error, retry_in_ms = delay.as_millis(), "partition interrupted");
                    let _ = self
                        .stop
                        .run_until_cancelled(tokio::time::sleep(delay))
                        .await;
                }
            }
        }
    }

    async fn subscription(&self) -> Result<(), PartitionError> {
        let publisher = Publisher::open(&self.connection).await?;
        let channel = publisher.channel();
        let config = &self.shared.config;
        topology::declare_raw_queue(channel, self.number, config.queue_type).await?;
        topology::declare_dead(channel).await?;
        channel
            .basic_qos(PREFETCH, BasicQosOptions::default())
            .await?;
        let queue = raw_queue(self.number);
        let options = BasicConsumeOptions::default();
        let consumer = channel
            .basic_consume(queue.into(), "".into(), options, FieldTable::default())
            .await?;
        // A consumer that is dropped cancels itself, after which another may start while this channel still holds
        // deliveries. So it is dropped when the channel is closed, and never if this task is aborted.
        let mut consumer = ManuallyDrop::new(consumer);
        let outlet = Outlet::new(publisher.clone(), config);
        let result = self.consume(&mut consumer, outlet).await;
        close_channel(channel).await;
        drop(ManuallyDrop::into_inner(consumer));
        self.seats.set(self.number, Seat::Waiting);
        result
    }

    async fn consume(
        &self,
        consumer: &mut Consumer,
        mut outlet: Outlet,
    ) -> Result<(), PartitionError> {
        let mut owner: Option<Owner> = None;
        loop {
            let deliveries = tokio::select! {
                biased;
                () = self.stop.cancelled() => break,
                () = self.seats.leaving(self.number) => break,
                deliveries = next_deliveries(consumer) => deliveries?,
            };
            let owner = match &mut owner {
                Some(owner) => owner,
                None => match self.take_over().await {
                    Some(new) => {
                        self.seats.set(self.number, Seat::Active);
                        owner.insert(new)
                    }
                    None => break,
                },
            };
            if !owner.process(&deliveries, &mut outlet).await? {
                // Redis was away to the end: what its journal holds may not be published yet, so it stays.
                return Ok(());
            }
            if let Some(last) = deliveries.last() {
                last.acker.ack(BasicAckOptions { multiple: true }).await?;
            }
        }
        if let Some(owner) = owner {
            owner.retire().await;
        }
        Ok(())
    }

    /// Takes the partition over on Redis; none if the process is asked to end before Redis answers.
    async fn take_over(&self) -> Option<Owner> {
        let (shared, stop) = (self.shared.clone(), self.stop.clone());
        let owner = Owner::take_over(self.number, shared, stop).await?;
        metrics::takeover();
        tracing::info!(partition = self.number, "partition taken over");
        Some(owner)
    }
}

/// Waits for a delivery, then takes what else has arrived: under load frames are worked off together.
async fn next_deliveries(consumer: &mut Consumer) -> Result<Vec<Delivery>, PartitionError> {
    let closed = || std::io::Error::from(std::io::ErrorKind::ConnectionAborted);
    let first = consumer
        .next()
        .await
        .ok_or_else(|| lapin::Error::from(closed()))??;
    let mut deliveries = vec![first];
    while deliveries.len() < usize::from(PREFETCH) {
        match consumer.next().now_or_never() {
            Some(Some(delivery)) => deliveries.push(delivery?),
            _ => break,
        }
    }
    Ok(deliveries)
}
