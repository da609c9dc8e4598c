//! Publishing: the exchange `gateway`, the Spectacles exchange, the dead letters.

use std::{
    collections::{HashSet, VecDeque},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use dispatch_proto::{
    codec::{self, Encoding},
    event::{enriched, message_id},
    namespace::Namespace,
    notice::{GAP, Gap},
    rabbit::{EVENTS_EXCHANGE, HEADER_SEQ, HEADER_SHARD},
};
use dispatch_service::{
    amqp::{DeadLetter, Message, PublishError, Publisher, told_if_slow},
    backoff::Backoff,
    clock::unix_micros,
};
use lapin::{
    BasicProperties, PublisherConfirm,
    types::{AMQPValue, FieldTable},
};

use crate::{
    config::Destination,
    core::sending::Sending,
    metrics::{self, EventCounters},
};

use super::{acknowledgements::Acknowledgements, shared::Shared};

/// How often a dead letter is tried before it is dropped.
const DEAD_LETTER_TRIES: u32 = 3;

/// Publishes a partition's events.
pub(super) struct EventPublisher {
    publisher: Publisher,
    /// Those of the deliveries whose events are published, on the same channel.
    pub(super) acknowledgements: Acknowledgements,
    in_flight: VecDeque<InFlight>,
    namespace: Namespace,
    /// Where enriched events go.
    events: Arc<Destination>,
    filter: Option<HashSet<String>>,
    spectacles: Option<Arc<Destination>>,
    counters: EventCounters,
    /// Whether the last dead letter was dropped: the next is tried once only.
    drops_dead_letters: bool,
    /// The largest body that RabbitMQ takes, in bytes, as far as is known.
    largest: Arc<AtomicUsize>,
}

/// An event about to be published.
#[derive(Clone, Debug)]
pub(super) struct Outgoing<'a> {
    pub(super) shard: u32,
    pub(super) session: &'a str,
    pub(super) sequence: u64,
    /// When it was read from the socket, in microseconds of Unix time.
    pub(super) received_us: u64,
    pub(super) name: &'a str,
    pub(super) data: &'a str,
    pub(super) old: Option<&'a str>,
    pub(super) gap: Option<Gap>,
    /// Why it can't be published; then `payload` goes to the dead letters.
    pub(super) unpublishable: Option<String>,
    pub(super) payload: &'a [u8],
}

/// A message that is kept until RabbitMQ has it, as it may have to be sent again. Its properties are made each time that it is sent: the
/// client takes them for its own.
struct Prepared {
    destination: Arc<Destination>,
    shard: u32,
    sequence: u64,
    /// Routing key and `type`.
    name: String,
    id: String,
    body: Vec<u8>,
}

/// What is to be published of a batch.
#[derive(Default)]
struct Parcel<'a> {
    messages: Vec<Prepared>,
    dead_letters: Vec<(String, &'a [u8])>,
}

/// What is published together, while its confirms are awaited.
struct InFlight {
    messages: Vec<Prepared>,
    /// Of the messages whose confirm has not come, from the first on.
    confirms: Vec<PublisherConfirm>,
    /// Whether each of the messages behind those was taken.
    taken: VecDeque<bool>,
    begun: Instant,
    /// When its events were read from the socket, in microseconds of Unix time.
    received_us: Vec<u64>,
}

impl EventPublisher {
    pub(super) fn new(publisher: Publisher, shared: &Shared) -> Self {
        let config = &shared.config;
        let events = Destination {
            exchange: config.namespace.name(EVENTS_EXCHANGE).into_owned(),
            encoding: Encoding::Json,
        };
        Self {
            largest: shared.largest.clone(),
            acknowledgements: Acknowledgements::new(publisher.channel().clone()),
            in_flight: VecDeque::new(),
            publisher,
            namespace: config.namespace.clone(),
            events: Arc::new(events),
            filter: config.events.clone(),
            spectacles: config.spectacles.clone().map(Arc::new),
            counters: EventCounters::default(),
            drops_dead_letters: false,
        }
    }

    /// Publishes events in order, behind what is in flight; [`Self::confirmed`] tells when they are confirmed. Acknowledgements that are due
    /// go with them.
    pub(super) async fn publish(&mut self, events: &[Outgoing<'_>]) -> Result<(), PublishError> {
        let begun = Instant::now();
        let mut parcel = Parcel::default();
        for event in events {
            if let Some(gap) = &event.gap {
                self.add_gap(&mut parcel, event, gap);
            }
            self.add_event(&mut parcel, event);
        }
        let Parcel {
            messages,
            dead_letters,
        } = parcel;
        let mut confirms = Vec::new();
        if !messages.is_empty() {
            let due = self.acknowledgements.take();
            let sent = messages.iter().map(Prepared::message);
            let sent = self.publisher.send_all(sent, due).await;
            confirms = self.limited(sent)?;
        }
        self.in_flight.push_back(InFlight {
            taken: VecDeque::with_capacity(messages.len()),
            messages,
            confirms,
            begun,
            received_us: events.iter().map(|event| event.received_us).collect(),
        });
        if !dead_letters.is_empty() {
            self.resend_refused().await?;
        }
        for (reason, body) in dead_letters {
            self.dead_letter(&reason, body).await?;
        }
        Ok(())
    }

    pub(super) fn has_in_flight(&self) -> bool {
        !self.in_flight.is_empty()
    }

    /// Waits until RabbitMQ has answered for what is longest in flight; for ever if nothing is. May be dropped and called again.
    pub(super) async fn answered(&mut self) -> Result<(), PublishError> {
        let Some(oldest) = self.in_flight.front_mut() else {
            return std::future::pending().await;
        };
        let answered = told_if_slow("a batch of events", oldest.answered()).await;
        self.limited(answered)
    }

    /// Waits until what is longest in flight is confirmed.
    pub(super) async fn confirmed(&mut self) -> Result<(), PublishError> {
        self.answered().await?;
        if self.in_flight[0].is_refused() {
            self.resend_refused().await?;
        }
        if let Some(oldest) = self.in_flight.pop_front() {
            metrics::published(oldest.begun.elapsed().as_secs_f64());
            let now = unix_micros();
            let latency = |received| Duration::from_micros(now.saturating_sub(received));
            let latencies = oldest.received_us.into_iter().map(latency);
            metrics::latencies(latencies.map(|latency| latency.as_secs_f64()));
        }
        Ok(())
    }

    /// Notes the largest message that RabbitMQ takes, if that is what it says.
    fn limited<T>(&self, result: Result<T, PublishError>) -> Result<T, PublishError> {
        if let Some(limit) = result.as_ref().err().and_then(PublishError::size_limit) {
            tracing::warn!(limit, "rabbitmq takes no larger message");
            self.largest.fetch_min(limit, Ordering::Relaxed);
        }
        result
    }

    /// Publishes the body of what can't be published itself to the dead letters. One that RabbitMQ refuses (a full queue with
    /// `reject-publish`, say) is dropped after some tries: it must not hold up what follows.
    ///
    /// # Errors
    ///
    /// If the channel fails.
    pub(super) async fn dead_letter(
        &mut self,
        reason: &str,
        body: &[u8],
    ) -> Result<(), PublishError> {
        let letter = DeadLetter {
            namespace: &self.namespace,
            source: env!("CARGO_PKG_NAME"),
            reason,
            limit: self.largest(),
        };
        let mut backoff = Backoff::default();
        let mut tries = match self.drops_dead_letters {
            true => 1,
            false => DEAD_LETTER_TRIES,
        };
        loop {
            let properties = BasicProperties::default();
            let error = match self.publisher.dead_letter(letter, properties, body).await {
                Err(error @ (PublishError::Nacked | PublishError::Unroutable)) => error,
                result => {
                    self.drops_dead_letters = false;
                    return result;
                }
            };
            tries -= 1;
            if tries == 0 {
                tracing::error!(%error, reason, bytes = body.len(), "dead letter can't be delivered and is dropped");
                metrics::dead_letter_dropped();
                self.drops_dead_letters = true;
                return Ok(());
            }
            tokio::time::sleep(backoff.next_delay()).await;
        }
    }

    /// Tells of a gap, also those who have chosen their events: without it their state would be stale unnoticed.
    fn add_gap(&self, parcel: &mut Parcel<'_>, event: &Outgoing<'_>, gap: &Gap) {
        let data = serde_json::to_string(gap).unwrap_or_else(|_| "null".to_owned());
        let prepared = |destination: &Arc<Destination>, body| Prepared {
            name: GAP.to_owned(),
            id: gap.message_id(),
            ..Prepared::new(destination, event, body)
        };
        if let Some(spectacles) = &self.spectacles
            && let Ok(body) = codec::encode(&data, spectacles.encoding)
        {
            parcel.messages.push(prepared(spectacles, body));
        }
        let body = enriched(GAP, event.sequence, &data, None);
        parcel.messages.push(prepared(&self.events, body));
    }

    fn add_event<'a>(&mut self, parcel: &mut Parcel<'a>, event: &Outgoing<'a>) {
        if let Some(reason) = &event.unpublishable {
            metrics::dead_letter("unpublishable");
            tracing::warn!(
                shard = event.shard,
                session = event.session,
                sequence = event.sequence,
                reason,
                "event can't be published"
            );
            parcel.dead_letters.push((reason.clone(), event.payload));
            return;
        }
        if self
            .filter
            .as_ref()
            .is_some_and(|names| !names.contains(event.name))
        {
            return;
        }
        self.counters.count(event.shard, event.name);
        self.add_spectacles(parcel, event);
        let mut body = enriched(event.name, event.sequence, event.data, event.old);
        if body.len() > self.largest() {
            tracing::warn!(shard = event.shard, event = %event.name, bytes = body.len(), "event is too large with its old state, which is left out");
            body = enriched(event.name, event.sequence, event.data, None);
        }
        if body.len() > self.largest() {
            parcel.add_too_large(event, body.len());
            return;
        }
        parcel
            .messages
            .push(Prepared::new(&self.events, event, body));
    }

    fn add_spectacles<'a>(&self, parcel: &mut Parcel<'a>, event: &Outgoing<'a>) {
        let Some(spectacles) = &self.spectacles else {
            return;
        };
        let body = match codec::encode(event.data, spectacles.encoding) {
            Ok(body) if body.len() <= self.largest() => body,
            Ok(body) => return parcel.add_too_large(event, body.len()),
            Err(error) => {
                metrics::dead_letter("encoding");
                let reason = format!("can't be encoded: {error}");
                parcel.dead_letters.push((reason, event.payload));
                return;
            }
        };
        parcel.messages.push(Prepared::new(spectacles, event, body));
    }

    fn largest(&self) -> usize {
        self.largest.load(Ordering::Relaxed)
    }

    /// Awaits all confirms, and sends again what was refused and all after it, until everything in flight is taken. A consumer's limit with
    /// `reject-publish` holds the partition up rather than losing events.
    async fn resend_refused(&mut self) -> Result<(), PublishError> {
        for in_flight in &mut self.in_flight {
            told_if_slow("a batch of events", in_flight.answered()).await?;
        }
        let messages = self.in_flight.iter().flat_map(|one| &one.messages);
        let messages: Vec<_> = messages.collect();
        let mut taken: Vec<_> = self
            .in_flight
            .iter()
            .flat_map(|one| &one.taken)
            .copied()
            .collect();
        let mut backoff = Backoff::default();
        let mut sending = Sending::new(messages.len());
        loop {
            sending.answered(&taken);
            if sending.next().is_empty() {
                break;
            }
            let refused = taken.iter().filter(|taken| !**taken).count();
            if refused > 0 {
                metrics::refused(refused);
                let delay = backoff.next_delay();
                tracing::warn!(
                    messages = refused,
                    retry_in_ms = delay.as_millis(),
                    "rabbitmq refused messages: a queue is full, say; from the first of them on all are sent again"
                );
                tokio::time::sleep(delay).await;
            }
            let due = self.acknowledgements.take();
            let next = messages[sending.next()].iter();
            let sent = next.map(|message| message.message());
            let confirms = self.publisher.send_all(sent, due).await?;
            let confirmed = Publisher::all_confirmed(confirms);
            taken = told_if_slow("a batch of events", confirmed).await?;
        }
        for in_flight in &mut self.in_flight {
            in_flight.taken.iter_mut().for_each(|taken| *taken = true);
        }
        Ok(())
    }
}

impl InFlight {
    /// Waits until the broker has answered for each message. May be dropped and called again.
    async fn answered(&mut self) -> Result<(), PublishError> {
        // The last usually comes last: so the task is not woken for each.
        while let Some(confirm) = self.confirms.last_mut() {
            let taken = Publisher::is_taken(confirm).await?;
            self.taken.push_front(taken);
            self.confirms.pop();
        }
        Ok(())
    }

    fn is_refused(&self) -> bool {
        self.taken.contains(&false)
    }
}

impl<'a> Parcel<'a> {
    fn add_too_large(&mut self, event: &Outgoing<'a>, bytes: usize) {
        metrics::dead_letter("too_large");
        let reason = format!("event of {bytes} bytes is larger than a message may be");
        self.dead_letters.push((reason, event.payload));
    }
}

impl Prepared {
    /// The message of an event.
    fn new(destination: &Arc<Destination>, event: &Outgoing<'_>, body: Vec<u8>) -> Self {
        Self {
            destination: destination.clone(),
            shard: event.shard,
            sequence: event.sequence,
            name: event.name.to_owned(),
            id: message_id(event.session, event.sequence),
            body,
        }
    }

    fn message(&self) -> Message<'_> {
        let mut headers = FieldTable::default();
        headers.insert(
            HEADER_SHARD.into(),
            AMQPValue::LongInt(i32::try_from(self.shard).unwrap_or(i32::MAX)),
        );
        headers.insert(
            HEADER_SEQ.into(),
            AMQPValue::LongLongInt(i64::try_from(self.sequence).unwrap_or(i64::MAX)),
        );
        let Destination { exchange, encoding } = &*self.destination;
        let properties = BasicProperties::default()
            .with_content_type(encoding.content_type().into())
            .with_type(self.name.as_str().into())
            .with_message_id(self.id.as_str().into())
            .with_headers(headers);
        Message {
            exchange,
            routing_key: &self.name,
            properties,
            body: &self.body,
        }
    }
}
