//! Publishing: the exchange `gateway`, the Spectacles exchange, the dead letters.

use std::{borrow::Cow, collections::HashSet, time::Duration};

use dispatch_proto::{
    codec::{self, Encoding},
    event::{enriched, message_id},
    notice::{GAP, Gap},
    rabbit::{EVENTS_EXCHANGE, HEADER_SEQ, HEADER_SHARD, MAX_BODY},
};
use dispatch_service::{
    amqp::{DeadLetter, PublishError, Publisher, told_if_slow},
    backoff::Backoff,
};
use lapin::{
    BasicProperties, PublisherConfirm,
    types::{AMQPValue, FieldTable},
};

use crate::{
    config::{Config, SpectaclesConfig},
    metrics::{self, EventCounters},
};

/// Where a partition's events go.
pub(super) struct Outlet {
    publisher: Publisher,
    filter: Option<HashSet<String>>,
    spectacles: Option<SpectaclesConfig>,
    counters: EventCounters,
}

/// An event about to be published.
#[derive(Clone, Debug)]
pub(super) struct Outgoing<'a> {
    pub(super) shard: u32,
    pub(super) session: &'a str,
    pub(super) sequence: u64,
    /// When it was read from the socket, in microseconds of Unix time.
    pub(super) received_us: u64,
    pub(super) name: Cow<'a, str>,
    pub(super) data: &'a str,
    pub(super) old: Option<Cow<'a, str>>,
    pub(super) gap: Option<Gap>,
    /// Why it can't be published; then `payload` goes to the dead letters.
    pub(super) unpublishable: Option<String>,
    pub(super) payload: &'a [u8],
}

/// A message on its way, kept until it is confirmed.
struct Message {
    exchange: Cow<'static, str>,
    routing_key: String,
    properties: BasicProperties,
    body: Vec<u8>,
}

impl Outlet {
    pub(super) fn new(publisher: Publisher, config: &Config) -> Self {
        Self {
            publisher,
            filter: config.events.clone(),
            spectacles: config.spectacles.clone(),
            counters: EventCounters::default(),
        }
    }

    /// Publishes events in order and returns when the broker has confirmed them all.
    pub(super) async fn publish(&mut self, events: &[Outgoing<'_>]) -> Result<(), PublishError> {
        if events.is_empty() {
            return Ok(());
        }
        let begun = std::time::Instant::now();
        told_if_slow("a batch of events", self.publish_all(events)).await?;
        metrics::published(begun.elapsed().as_secs_f64());
        let now = now_us();
        for event in events {
            metrics::latency(
                Duration::from_micros(now.saturating_sub(event.received_us)).as_secs_f64(),
            );
        }
        Ok(())
    }

    async fn publish_all(&mut self, events: &[Outgoing<'_>]) -> Result<(), PublishError> {
        let mut pending = Vec::with_capacity(events.len());
        for event in events {
            if let Some(gap) = &event.gap {
                self.send_gap(&mut pending, event, gap).await?;
            }
            self.send_event(&mut pending, event).await?;
        }
        self.settle(pending).await
    }

    /// Publishes a body that is no frame to the dead letters.
    pub(super) async fn dead_letter(&self, reason: &str, body: &[u8]) -> Result<(), PublishError> {
        let letter = DeadLetter {
            source: env!("CARGO_PKG_NAME"),
            reason,
        };
        self.publisher
            .dead_letter(letter, BasicProperties::default(), body)
            .await
    }

    /// Tells of a gap, also those who have chosen their events: without it their state would be stale unnoticed.
    async fn send_gap(
        &self,
        pending: &mut Vec<(Message, PublisherConfirm)>,
        event: &Outgoing<'_>,
        gap: &Gap,
    ) -> Result<(), PublishError> {
        let data = serde_json::to_string(gap).unwrap_or_else(|_| "null".to_owned());
        let properties = properties(event, GAP, gap.message_id());
        if let Some(SpectaclesConfig { exchange, encoding }) = &self.spectacles
            && let Ok(body) = codec::encode(&data, *encoding)
        {
            let message = Message {
                exchange: exchange.clone().into(),
                routing_key: GAP.to_owned(),
                properties: properties
                    .clone()
                    .with_content_type(encoding.content_type().into()),
                body,
            };
            self.send(pending, message).await?;
        }
        let message = Message {
            exchange: EVENTS_EXCHANGE.into(),
            routing_key: GAP.to_owned(),
            properties,
            body: enriched(GAP, event.sequence, &data, None),
        };
        self.send(pending, message).await
    }

    async fn send_event(
        &mut self,
        pending: &mut Vec<(Message, PublisherConfirm)>,
        event: &Outgoing<'_>,
    ) -> Result<(), PublishError> {
        if let Some(reason) = &event.unpublishable {
            metrics::dead_letter("unpublishable");
            tracing::warn!(
                shard = event.shard,
                session = event.session,
                sequence = event.sequence,
                reason,
                "event can't be published"
            );
            return self.dead_letter(reason, event.payload).await;
        }
        if self
            .filter
            .as_ref()
            .is_some_and(|names| !names.contains(event.name.as_ref()))
        {
            return Ok(());
        }
        self.counters.count(event.shard, &event.name);
        if let Some(message) = self.spectacles_message(event).await? {
            self.send(pending, message).await?;
        }
        let mut body = enriched(
            &event.name,
            event.sequence,
            event.data,
            event.old.as_deref(),
        );
        if body.len() > MAX_BODY {
            tracing::warn!(shard = event.shard, event = %event.name, bytes = body.len(), "event is too large with its old state, which is left out");
            body = enriched(&event.name, event.sequence, event.data, None);
        }
        if body.len() > MAX_BODY {
            metrics::dead_letter("too_large");
            let reason = format!(
                "event of {} bytes is larger than a message may be",
                body.len()
            );
            return self.dead_letter(&reason, event.payload).await;
        }
        let message = Message {
            exchange: EVENTS_EXCHANGE.into(),
            routing_key: event.name.clone().into_owned(),
            properties: properties(
                event,
                &event.name,
                message_id(event.session, event.sequence),
            ),
            body,
        };
        self.send(pending, message).await
    }

    async fn spectacles_message(
        &self,
        event: &Outgoing<'_>,
    ) -> Result<Option<Message>, PublishError> {
        let Some(spectacles) = &self.spectacles else {
            return Ok(None);
        };
        let body = match codec::encode(event.data, spectacles.encoding) {
            Ok(body) if body.len() <= MAX_BODY => body,
            Ok(body) => {
                metrics::dead_letter("too_large");
                let reason = format!(
                    "event of {} bytes is larger than a message may be",
                    body.len()
                );
                self.dead_letter(&reason, event.payload).await?;
                return Ok(None);
            }
            Err(error) => {
                metrics::dead_letter("encoding");
                self.dead_letter(&format!("can't be encoded: {error}"), event.payload)
                    .await?;
                return Ok(None);
            }
        };
        let id = message_id(event.session, event.sequence);
        let content_type = spectacles.encoding.content_type();
        Ok(Some(Message {
            exchange: spectacles.exchange.clone().into(),
            routing_key: event.name.clone().into_owned(),
            properties: properties(event, &event.name, id).with_content_type(content_type.into()),
            body,
        }))
    }

    async fn send(
        &self,
        pending: &mut Vec<(Message, PublisherConfirm)>,
        message: Message,
    ) -> Result<(), PublishError> {
        let confirm = self.hand_over(&message).await?;
        pending.push((message, confirm));
        Ok(())
    }

    async fn hand_over(&self, message: &Message) -> Result<PublisherConfirm, PublishError> {
        let properties = message.properties.clone();
        self.publisher
            .send(
                &message.exchange,
                &message.routing_key,
                false,
                properties,
                &message.body,
            )
            .await
    }

    /// Awaits the confirms. What the broker refuses (a full queue with `reject-publish`, say) is published again, in
    /// order, until it is taken: a consumer's limit holds the partition up rather than losing events.
    async fn settle(
        &self,
        mut pending: Vec<(Message, PublisherConfirm)>,
    ) -> Result<(), PublishError> {
        let mut backoff = Backoff::default();
        loop {
            let mut refused = Vec::new();
            for (message, confirm) in pending {
                match Publisher::confirmed(confirm).await {
                    Ok(()) => {}
                    Err(PublishError::Nacked) => refused.push(message),
                    Err(error) => return Err(error),
                }
            }
            if refused.is_empty() {
                return Ok(());
            }
            let delay = backoff.next_delay();
            tracing::warn!(
                messages = refused.len(),
                retry_in_ms = delay.as_millis(),
                "rabbitmq refused messages"
            );
            tokio::time::sleep(delay).await;
            pending = Vec::with_capacity(refused.len());
            for message in refused {
                self.send(&mut pending, message).await?;
            }
        }
    }
}

fn properties(event: &Outgoing<'_>, kind: &str, id: String) -> BasicProperties {
    let mut headers = FieldTable::default();
    headers.insert(
        HEADER_SHARD.into(),
        AMQPValue::LongInt(i32::try_from(event.shard).unwrap_or(i32::MAX)),
    );
    headers.insert(
        HEADER_SEQ.into(),
        AMQPValue::LongLongInt(i64::try_from(event.sequence).unwrap_or(i64::MAX)),
    );
    BasicProperties::default()
        .with_content_type(Encoding::Json.content_type().into())
        .with_type(kind.into())
        .with_message_id(id.into())
        .with_headers(headers)
}

/// Microseconds of Unix time.
fn now_us() -> u64 {
    let now = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .unwrap_or_default();
    u64::try_from(now.as_micros()).unwrap_or(u64::MAX)
}
