//! Taking messages from the queues that commands come in by.
//!
//! Each queue is consumed on a channel of its own. What one can't be consumed for, be it another consumer that has it for itself, is
//! reported and tried again, while the others are consumed.

use std::{
    collections::BTreeSet,
    convert::Infallible,
    sync::Arc,
    time::{Duration, Instant},
};

use dispatch_proto::rabbit::SEND_QUEUE;
use dispatch_service::{
    amqp::close_channel,
    topology::{Counts, counts},
};
use futures_util::{StreamExt, future::BoxFuture, stream::FuturesUnordered};
use lapin::{
    Channel, Connection, Consumer,
    message::Delivery,
    options::{BasicConsumeOptions, BasicQosOptions},
    protocol::{AMQPErrorKind, AMQPSoftError},
    types::FieldTable,
};
use tokio::{
    sync::{mpsc, oneshot, watch},
    time::{MissedTickBehavior, interval, sleep},
};

use super::{
    clock::Clock,
    queues::{Queues, spectacles_queue},
    readiness::Readiness,
    shards::Shards,
};
use crate::{
    config::Spectacles,
    core::{arrivals::Arrivals, forwarder::QueueId, route::Source},
    metrics,
};

/// Messages of a queue that are in hand at a time: valid ones have some kilobytes, others leave at once. More than may wait for a
/// shard's queue that is full, see [`crate::core::forwarder::REFUSED_MAX`].
const PREFETCH: u16 = 2_000;
/// The same for a queue of one shard.
const SHARD_PREFETCH: u16 = 100;
/// How often a queue's length and its other consumers are looked at.
const LOOK: Duration = Duration::from_millis(500);
/// Time between two attempts to consume a queue.
const RETRY: Duration = Duration::from_secs(1);
/// How long a queue that another consumer had for itself is taken for granted to be so, as long as it has a consumer. An attempt
/// in vain is an error in RabbitMQ's log.
const TAKEN: Duration = Duration::from_secs(10);
/// How long the consumer of a router before may take to vanish; what it holds comes back with its end.
const LEFTOVER: Duration = Duration::from_secs(1);
/// How often the same complaint is logged.
const REPEAT: Duration = Duration::from_secs(60);

/// What the consumers report.
#[derive(Debug)]
pub(crate) enum Event {
    /// A message.
    Delivered(Box<Incoming>),
    /// What a queue has delivered is void. It waits to be told when each message that is not acknowledged had arrived.
    Lost(QueueId, oneshot::Sender<Vec<u64>>),
}

/// A message with its source.
#[derive(Debug)]
pub(crate) struct Incoming {
    pub(crate) queue: QueueId,
    pub(crate) name: Arc<str>,
    pub(crate) source: Source,
    pub(crate) delivery: Delivery,
    pub(crate) arrived: u64,
}

/// The consumers of all queues.
pub(crate) struct Consumers<'a> {
    pub(crate) connection: &'a Connection,
    pub(crate) queues: &'a Queues,
    pub(crate) spectacles: Option<&'a Spectacles>,
    pub(crate) shards: &'a Shards,
    pub(crate) readiness: &'a Readiness,
    pub(crate) clock: Clock,
    pub(crate) events: mpsc::Sender<Event>,
    /// Queues whose deliveries are to be taken again.
    pub(crate) renewals: watch::Receiver<BTreeSet<QueueId>>,
}

impl Consumers<'_> {
    /// Consumes all queues, those of new shards too, for ever.
    ///
    /// To be dropped after the connection is closed: a consumer that is dropped on an open channel would be cancelled, and what
    /// it holds could come back out of order.
    pub(crate) async fn run(&self) -> Infallible {
        let mut sources = vec![Source::Send];
        sources.extend(self.spectacles.map(|_| Source::SpectaclesSend));
        for source in &sources {
            self.readiness
                .is_missing(&self.name(*source), "not consumed yet");
        }
        let mut reads = self.shards.reads();
        let mut running: FuturesUnordered<BoxFuture<'_, Infallible>> = FuturesUnordered::new();
        let (mut started, mut shards) = (0, 0);
        loop {
            if let Some(spectacles) = self.spectacles {
                let total = reads.borrow_and_update().map(|read| read.total);
                let unknown = spectacles_queue(&spectacles.exchange, "<shard>");
                match total {
                    None => self
                        .readiness
                        .is_missing(&unknown, "the number of shards is unknown"),
                    Some(total) => {
                        for shard in shards..total {
                            let source = Source::SpectaclesShard(shard);
                            self.readiness
                                .is_missing(&self.name(source), "not consumed yet");
                            sources.push(source);
                        }
                        shards = shards.max(total);
                        self.readiness.is_there(&unknown);
                    }
                }
            }
            for (id, source) in sources.iter().enumerate().skip(started) {
                running.push(Box::pin(self.keep(id, *source)));
            }
            started = sources.len();
            tokio::select! {
                Some(never) = running.next() => match never {},
                Ok(()) = reads.changed() => {}
            }
        }
    }

    fn name(&self, source: Source) -> String {
        let exchange = self
            .spectacles
            .map_or("", |spectacles| &spectacles.exchange);
        match source {
            Source::Send => self.queues.namespace().name(SEND_QUEUE).into_owned(),
            Source::SpectaclesSend => spectacles_queue(exchange, "SEND"),
            Source::SpectaclesShard(shard) => spectacles_queue(exchange, &shard.to_string()),
        }
    }

    /// Consumes one queue, again and again.
    async fn keep(&self, id: QueueId, source: Source) -> Infallible {
        let name: Arc<str> = self.name(source).into();
        let mut queue = Queue {
            consumers: self,
            id,
            source,
            arrivals: Arrivals::default(),
            taken_until: None,
            complaint: Complaint::default(),
            name,
        };
        loop {
            let ended = match queue.open().await {
                Ok((channel, consumer)) => queue.consume(&channel, consumer).await,
                Err(error) => Ended::Failed(error),
            };
            match ended {
                Ended::Renewed => continue,
                Ended::Gone => queue.missing("rabbitmq ended its consumer: was it deleted?"),
                Ended::Failed(error) => queue.missing(&error),
            }
            sleep(RETRY).await;
        }
    }
}

struct Queue<'a> {
    consumers: &'a Consumers<'a>,
    id: QueueId,
    name: Arc<str>,
    source: Source,
    arrivals: Arrivals,
    /// Until when it is taken for granted that another consumer has it for itself.
    taken_until: Option<Instant>,
    complaint: Complaint,
}

/// How consuming a queue came to its end.
enum Ended {
    /// Its deliveries are to be taken again.
    Renewed,
    Gone,
    Failed(String),
}

const TAKEN_BY_ANOTHER: &str = "another consumer has it for itself";

impl Queue<'_> {
    /// Declares the queue and begins to consume it.
    async fn open(&mut self) -> Result<(Channel, Consumer), String> {
        let failed = |error: lapin::Error| error.to_string();
        self.declare().await.map_err(failed)?;
        let channel = self
            .consumers
            .connection
            .create_channel()
            .await
            .map_err(failed)?;
        let began = Instant::now();
        loop {
            let counts = counts(&channel, &self.name).await.map_err(failed)?;
            self.arrivals
                .observe(counts.messages, counts.consumers == 0, self.now());
            if counts.consumers == 0 {
                break;
            }
            if self.taken_until.is_some_and(|until| Instant::now() < until) {
                close_channel(&channel).await;
                return Err(TAKEN_BY_ANOTHER.to_owned());
            }
            if began.elapsed() >= LEFTOVER {
                break;
            }
            sleep(LEFTOVER / 20).await;
        }
        self.taken_until = None;
        let consumer = self.subscribe(&channel).await;
        match consumer {
            Ok(consumer) => Ok((channel, consumer)),
            Err(error) if is_taken(&error) => {
                self.taken_until = Some(Instant::now() + TAKEN);
                Err(TAKEN_BY_ANOTHER.to_owned())
            }
            Err(error) => Err(error.to_string()),
        }
    }

    async fn declare(&self) -> lapin::Result<()> {
        let Consumers {
            queues, spectacles, ..
        } = self.consumers;
        let exchange = spectacles.map_or("", |spectacles| &spectacles.exchange);
        match self.source {
            Source::Send => queues.declare_send().await,
            Source::SpectaclesSend => queues.declare_spectacles(exchange, "SEND").await,
            Source::SpectaclesShard(shard) => {
                queues
                    .declare_spectacles(exchange, &shard.to_string())
                    .await
            }
        }
    }

    async fn subscribe(&self, channel: &Channel) -> lapin::Result<Consumer> {
        let prefetch = match self.source {
            Source::Send | Source::SpectaclesSend => PREFETCH,
            Source::SpectaclesShard(_) => SHARD_PREFETCH,
        };
        channel
            .basic_qos(prefetch, BasicQosOptions::default())
            .await?;
        let options = BasicConsumeOptions::default();
        let arguments = FieldTable::default();
        channel
            .basic_consume((&*self.name).into(), "".into(), options, arguments)
            .await
    }

    /// Reports messages until the consumer ends or is to be renewed; then closes it, so that what it holds comes back in order.
    async fn consume(&mut self, channel: &Channel, mut consumer: Consumer) -> Ended {
        tracing::debug!(queue = %self.name, "consumed");
        self.complaint.over(&self.name);
        self.consumers.readiness.is_there(&self.name);
        let ended = self.messages(channel, &mut consumer).await;
        close_channel(channel).await;
        drop(consumer);
        let (arrived, answer) = oneshot::channel();
        self.report(Event::Lost(self.id, arrived)).await;
        if let Ok(arrived) = answer.await {
            self.arrivals.redeliver(&arrived);
        }
        ended
    }

    async fn messages(&mut self, channel: &Channel, consumer: &mut Consumer) -> Ended {
        let mut renewals = self.consumers.renewals.clone();
        renewals.mark_unchanged();
        let mut looks = interval(LOOK);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut foreign = Complaint::default();
        loop {
            tokio::select! {
                delivery = consumer.next() => match delivery {
                    Some(Ok(delivery)) => {
                        let incoming = Incoming {
                            queue: self.id,
                            name: self.name.clone(),
                            source: self.source,
                            delivery,
                            arrived: self.arrivals.deliver(self.now()),
                        };
                        self.report(Event::Delivered(Box::new(incoming))).await;
                    }
                    Some(Err(error)) => return Ended::Failed(error.to_string()),
                    None => return Ended::Gone,
                },
                _ = looks.tick() => match counts(channel, &self.name).await {
                    Ok(counts) => self.look(counts, &mut foreign),
                    Err(error) => return Ended::Failed(error.to_string()),
                },
                Ok(()) = renewals.changed() => {
                    if renewals.borrow().contains(&self.id) {
                        tracing::info!(queue = %self.name, "taking its messages again, before they are held too long");
                        return Ended::Renewed;
                    }
                }
            }
        }
    }

    fn look(&mut self, counts: Counts, complaint: &mut Complaint) {
        let foreign = counts.consumers.saturating_sub(1);
        metrics::foreign_consumers(&self.name, foreign);
        self.arrivals
            .observe(counts.messages, foreign == 0, self.now());
        if foreign == 0 {
            complaint.forget();
        } else if complaint.is_due("") {
            let queue = &self.name;
            tracing::warn!(%queue, foreign, "others consume the queue too: commands that they get are not routed");
        }
    }

    async fn report(&self, event: Event) {
        if self.consumers.events.send(event).await.is_err() {
            // The session is ending.
            std::future::pending::<()>().await;
        }
    }

    fn missing(&mut self, reason: &str) {
        self.consumers.readiness.is_missing(&self.name, reason);
        if self.complaint.is_due(reason) {
            tracing::warn!(queue = %self.name, reason, "the queue is not consumed: its commands wait");
        }
    }

    fn now(&self) -> u64 {
        self.consumers.clock.now()
    }
}

/// Something that is logged when it begins, when it changes, and every minute.
#[derive(Debug, Default)]
struct Complaint {
    last: Option<(String, Instant)>,
}

impl Complaint {
    fn is_due(&mut self, text: &str) -> bool {
        let known = self.last.as_ref();
        if known.is_some_and(|(last, at)| last == text && at.elapsed() < REPEAT) {
            return false;
        }
        self.last = Some((text.to_owned(), Instant::now()));
        true
    }

    fn forget(&mut self) {
        self.last = None;
    }

    fn over(&mut self, queue: &str) {
        if self.last.take().is_some() {
            tracing::info!(queue, "the queue is consumed again");
        }
    }
}

/// Whether a queue could not be consumed because another consumer has it for itself.
fn is_taken(error: &lapin::Error) -> bool {
    match error.kind() {
        lapin::ErrorKind::ProtocolError(error) => matches!(
            error.kind(),
            AMQPErrorKind::Soft(AMQPSoftError::ACCESSREFUSED)
        ),
        _ => false,
    }
}
