//! The publisher of one partition.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use dispatch_proto::{
    frame::CONTENT_TYPE,
    rabbit::{HEADER_SHARD, RAW_EXCHANGE},
};
use dispatch_service::{
    amqp::{DeadLetter, PublishError, Publisher},
    backoff::Backoff,
};
use lapin::{
    BasicProperties, Connection,
    types::{AMQPValue, FieldTable},
};
use tokio::{
    sync::{Notify, OwnedSemaphorePermit},
    time::{Instant, sleep},
};

use crate::{
    core::outbox::{Outbox, Publication, Received},
    metrics::FrameMetrics,
    shell::{
        link::{Current, Topology},
        table::SessionTable,
    },
};

/// Source of dead letters that come from the socket.
const SOURCE: &str = "gateway-ingest";

/// What shards hand in, and the task that publishes it.
#[derive(Debug)]
pub(super) struct Partition {
    number: u32,
    table: Arc<SessionTable>,
    state: Mutex<State>,
    /// There may be something to publish.
    wake: Notify,
    /// Everything of a shard is confirmed.
    drained: Notify,
}

#[derive(Debug)]
struct State {
    outbox: Outbox<OwnedSemaphorePermit>,
    /// The connection on which the owned shards hold their locks.
    connection: Option<Arc<Connection>>,
}

impl State {
    /// What is to be published next, and where.
    fn next(&mut self) -> Option<(Arc<Connection>, Publication)> {
        let connection = self.connection.clone()?;
        if !connection.status().connected() {
            self.lost(&connection);
            return None;
        }
        Some((connection, self.outbox.publication()?))
    }

    /// The connection has ended, and the locks on it with it.
    fn lost(&mut self, connection: &Arc<Connection>) {
        if self.is_on(connection) {
            self.connection = None;
            self.outbox.release_all();
        }
    }

    fn is_on(&self, connection: &Arc<Connection>) -> bool {
        let current = self.connection.as_ref();
        current.is_some_and(|current| Arc::ptr_eq(current, connection))
    }
}

impl Partition {
    pub(super) fn new(number: u32, total: u32, table: Arc<SessionTable>) -> Self {
        Self {
            number,
            table,
            state: Mutex::new(State {
                outbox: Outbox::new(total),
                connection: None,
            }),
            wake: Notify::new(),
            drained: Notify::new(),
        }
    }

    pub(super) fn own(&self, shard: u32, connection: &Arc<Connection>) {
        // One that has ended holds no lock, whenever it is heard of; and there is but one that has not.
        if !connection.status().connected() {
            return;
        }
        let mut state = self.state();
        if !state.is_on(connection) {
            state.outbox.release_all();
            state.connection = Some(connection.clone());
        }
        state.outbox.own(shard);
        drop(state);
        self.wake.notify_one();
    }

    pub(super) fn release(&self, shard: u32) {
        self.state().outbox.release(shard);
    }

    pub(super) fn clear(&self, shard: u32) {
        self.state().outbox.clear(shard);
        self.drained.notify_waiters();
    }

    pub(super) fn push(&self, shard: u32, received: Received<OwnedSemaphorePermit>) {
        let mut state = self.state();
        state.outbox.push(shard, received);
        let busy = state.outbox.is_in_flight();
        drop(state);
        // After each confirm the publisher looks by itself.
        if !busy {
            self.wake.notify_one();
        }
    }

    pub(super) fn is_drained(&self, shard: u32) -> bool {
        self.state().outbox.is_drained(shard)
    }

    pub(super) async fn drained(&self, shard: u32) {
        loop {
            let mut drained = std::pin::pin!(self.drained.notified());
            drained.as_mut().enable();
            if self.is_drained(shard) {
                return;
            }
            drained.await;
        }
    }

    /// Publishes one publication after the other, each until it is confirmed.
    pub(super) async fn publish(self: Arc<Self>, topology: Topology, mut publishing: Current) {
        let metrics = FrameMetrics::default();
        let mut channel = Channel::new(self.number, topology);
        let mut backoff = Backoff::default();
        let mut again = false;
        loop {
            let (connection, publication) = self.next().await;
            if std::mem::replace(&mut again, true) {
                metrics.republished();
            }
            let since = Instant::now();
            let limit = self.state().outbox.largest();
            let replaced = publishing.wait_for(|current| {
                let current = current.as_ref();
                current.is_none_or(|current| !Arc::ptr_eq(current, &connection))
            });
            let result = tokio::select! {
                biased;
                result = channel.publish(&connection, &publication, limit) => result,
                // No confirm comes from it any more, should its end not have reached this channel.
                _ = replaced => Err(PublishError::NotConfirmed),
            };
            let Err(error) = result else {
                backoff.reset();
                again = false;
                let events = self.confirmed(&connection);
                metrics.confirmed(&publication, events, since.elapsed());
                if let Publication::DeadLetter { shard, reason, .. } = &publication {
                    let reason = reason.text();
                    tracing::warn!(shard, reason, "payload became a dead letter");
                }
                continue;
            };
            let partition = self.number;
            if let Some(limit) = error.size_limit() {
                tracing::warn!(limit, "rabbitmq takes no larger message");
                self.state().outbox.limit(limit);
            }
            if !connection.status().connected() {
                tracing::warn!(%error, partition, "frame not confirmed, it will be published again");
                self.state().lost(&connection);
                continue;
            }
            // The connection works: RabbitMQ won't take the message, or has closed the channel over something that is missing.
            channel.declare_again();
            let delay = backoff.next_delay();
            let retry_in_ms = delay.as_millis();
            tracing::warn!(%error, partition, retry_in_ms, "frame not taken, publishing it again");
            sleep(delay).await;
        }
    }

    async fn next(&self) -> (Arc<Connection>, Publication) {
        loop {
            let next = self.state().next();
            match next {
                Some(next) => return next,
                None => self.wake.notified().await,
            }
        }
    }

    /// What is in flight on this connection is confirmed; returns the number of events.
    fn confirmed(&self, connection: &Arc<Connection>) -> usize {
        let mut state = self.state();
        if !state.is_on(connection) {
            return 0;
        }
        let confirmed = state.outbox.confirm();
        let mut drained = false;
        for part in &confirmed {
            // Noted before the lock is given back: after a clear nothing is noted.
            if let Some(place) = &part.place {
                self.table.confirmed(part.shard, place);
            }
            drained |= state.outbox.is_drained(part.shard);
        }
        drop(state);
        if drained {
            self.drained.notify_waiters();
        }
        confirmed.iter().map(|part| part.events).sum()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The channel that a partition is published on, on whatever connection.
struct Channel {
    topology: Topology,
    exchange: String,
    routing_key: String,
    properties: BasicProperties,
    open: Option<(Arc<Connection>, Publisher)>,
    /// What RabbitMQ needs may be missing: it is declared before the next message.
    declare: bool,
}

impl Channel {
    fn new(partition: u32, topology: Topology) -> Self {
        let properties = BasicProperties::default()
            .with_content_type(CONTENT_TYPE.into())
            .with_type("frame".into());
        Self {
            exchange: topology.namespace.name(RAW_EXCHANGE).into_owned(),
            topology,
            routing_key: partition.to_string(),
            properties,
            open: None,
            declare: false,
        }
    }

    fn declare_again(&mut self) {
        self.declare = true;
    }

    async fn publish(
        &mut self,
        connection: &Arc<Connection>,
        publication: &Publication,
        limit: usize,
    ) -> Result<(), PublishError> {
        let publisher = match &self.open {
            Some((on, publisher))
                if Arc::ptr_eq(on, connection) && publisher.channel().status().connected() =>
            {
                publisher
            }
            _ => {
                let publisher = Publisher::open(connection).await?;
                &self.open.insert((connection.clone(), publisher)).1
            }
        };
        if self.declare {
            self.topology.declare(publisher.channel()).await?;
            self.declare = false;
        }
        match publication {
            Publication::Frame(body) => {
                let (key, properties) = (&self.routing_key, self.properties.clone());
                publisher
                    .publish_alone(&self.exchange, key, true, properties, body)
                    .await
            }
            Publication::DeadLetter {
                shard,
                body,
                reason,
            } => {
                let letter = DeadLetter {
                    namespace: &self.topology.namespace,
                    source: SOURCE,
                    reason: reason.text(),
                    limit,
                };
                let mut headers = FieldTable::default();
                let number = AMQPValue::LongLongInt((*shard).into());
                headers.insert(HEADER_SHARD.into(), number);
                let properties = BasicProperties::default().with_headers(headers);
                publisher.dead_letter(letter, properties, body).await
            }
        }
    }
}
