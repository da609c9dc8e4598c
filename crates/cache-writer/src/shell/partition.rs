//! The life of a partition's subscription.
//!
//! RabbitMQ serves one consumer of a partition at a time. Whoever is served takes the partition over on Redis with its first
//! delivery, works off batch after batch, and lets go by closing the channel, which gives back what is unacknowledged in
//! order. It publishes on the channel it consumes from: when the broker drops the connection, the right to publish for the
//! partition and the ability to do so end together.

use std::{mem::ManuallyDrop, sync::Arc, time::Duration};

use dispatch_proto::{frame::inflated_size, rabbit::raw_queue};
use dispatch_service::{
    amqp::{Publisher, close_channel},
    backoff::Backoff,
};
use futures_util::{FutureExt, StreamExt};
use lapin::{
    Connection, Consumer,
    message::Delivery,
    options::{BasicConsumeOptions, BasicQosOptions},
    types::FieldTable,
};
use tokio_util::sync::CancellationToken;

use super::{
    assignment::{Assignment, Assignments},
    declarations,
    owner::PartitionOwner,
    publish::EventPublisher,
    shared::Shared,
};
use crate::{core::owner::Reason, error::PartitionError, metrics};

/// Frames that may be on their way to a partition's task, or waiting there: more than it takes at once, so that the next are
/// there when it has done so. At up to 256 KiB a frame, 8 MiB.
const PREFETCH: u16 = 32;
/// Bytes of frames that are worked off together, but for the last.
const TAKE: usize = 1024 * 1024;
/// How long a partition is left to others if it holds what this process can't read.
const UNREADABLE_DELAY: Duration = Duration::from_secs(30);

/// One partition's task.
pub(super) struct Partition {
    number: u32,
    shared: Arc<Shared>,
    connection: Arc<Connection>,
    assignments: Arc<Assignments>,
    stop: CancellationToken,
}

impl Partition {
    pub(super) fn new(
        number: u32,
        shared: Arc<Shared>,
        connection: Arc<Connection>,
        assignments: Arc<Assignments>,
        stop: CancellationToken,
    ) -> Self {
        Self {
            number,
            shared,
            connection,
            assignments,
            stop,
        }
    }

    /// Subscribes, again and again, until the process is asked to end or the connection dies.
    pub(super) async fn serve(self) {
        let mut backoff = Backoff::default();
        while !self.stop.is_cancelled() {
            match self.subscription().await {
                Ok(()) => backoff.reset(),
                Err(PartitionError::GivenUp(Reason::Fenced)) => {
                    tracing::warn!(
                        partition = self.number,
                        "partition belongs to another writer now"
                    );
                    metrics::fenced();
                }
                Err(PartitionError::GivenUp(Reason::Unreadable(what))) => {
                    tracing::error!(
                        partition = self.number,
                        retry_in_ms = UNREADABLE_DELAY.as_millis(),
                        "{what}: the partition is left to a process that can read it; update this one"
                    );
                    metrics::unreadable();
                    self.pause(UNREADABLE_DELAY).await;
                }
                Err(error) if !self.connection.status().connected() => {
                    tracing::warn!(partition = self.number, %error, "connection to rabbitmq lost");
                    return;
                }
                Err(error) => {
                    let delay = backoff.next_delay();
                    tracing::error!(partition = self.number, %error, retry_in_ms = delay.as_millis(), "partition interrupted");
                    self.pause(delay).await;
                }
            }
        }
    }

    async fn pause(&self, delay: Duration) {
        let sleep = tokio::time::sleep(delay);
        let _ = self.stop.run_until_cancelled(sleep).await;
    }

    async fn subscription(&self) -> Result<(), PartitionError> {
        let publisher = Publisher::open(&self.connection).await?;
        let channel = publisher.channel();
        let config = &self.shared.config;
        // Also what others declare: it may have been deleted since.
        declarations::declare(channel, config, self.number..self.number + 1).await?;
        channel
            .basic_qos(PREFETCH, BasicQosOptions::default())
            .await?;
        let queue = config.namespace.name(raw_queue(self.number));
        let options = BasicConsumeOptions::default();
        let consumer = channel
            .basic_consume((&*queue).into(), "".into(), options, FieldTable::default())
            .await?;
        // A consumer that is dropped cancels itself, after which another may start while this channel still holds
        // deliveries. So it is dropped when the channel is closed, and never if this task is aborted.
        let mut consumer = ManuallyDrop::new(consumer);
        let result = self.consume(&mut consumer, &publisher).await;
        close_channel(channel).await;
        drop(ManuallyDrop::into_inner(consumer));
        self.assignments.set(self.number, Assignment::Waiting);
        result
    }

    async fn consume(
        &self,
        consumer: &mut Consumer,
        publisher: &Publisher,
    ) -> Result<(), PartitionError> {
        let (shared, stop) = (self.shared.clone(), self.stop.clone());
        let channel = publisher.channel().clone();
        let mut events = EventPublisher::new(publisher.clone(), &shared);
        let mut owner = PartitionOwner::new(self.number, shared, channel, stop);
        loop {
            let overdue = events.acknowledgements.overdue();
            let deliveries = tokio::select! {
                biased;
                () = self.stop.cancelled() => break,
                () = self.assignments.leaving(self.number) => break,
                answered = events.answered() => {
                    answered?;
                    owner.confirmed(&mut events).await?;
                    continue;
                }
                deliveries = next_deliveries(consumer) => deliveries?,
                () = overdue => {
                    events.acknowledgements.send()?;
                    continue;
                }
            };
            self.assignments.set(self.number, Assignment::Active);
            if !owner.process(&deliveries, &mut events).await? {
                break;
            }
        }
        owner.retire(&mut events).await
    }
}

/// Waits for a delivery, then takes what else has arrived: under load frames are worked off together.
async fn next_deliveries(consumer: &mut Consumer) -> Result<Vec<Delivery>, PartitionError> {
    let closed = || std::io::Error::from(std::io::ErrorKind::ConnectionAborted);
    let first = consumer
        .next()
        .await
        .ok_or_else(|| lapin::Error::from(closed()))??;
    let mut bytes = inflated_size(&first.data);
    let mut deliveries = vec![first];
    while bytes < TAKE && deliveries.len() < usize::from(PREFETCH) {
        match consumer.next().now_or_never() {
            Some(Some(delivery)) => {
                let delivery = delivery?;
                bytes += inflated_size(&delivery.data);
                deliveries.push(delivery);
            }
            _ => break,
        }
    }
    Ok(deliveries)
}
