//! Publishing with confirms.

use std::{
    future::Future,
    pin::pin,
    task::{Context, Poll, Waker},
    time::Duration,
};

use dispatch_proto::{
    namespace::Namespace,
    rabbit::{DEAD_QUEUE, HEADER_REASON, HEADER_SOURCE},
};
use futures_util::future::maybe_done;
use lapin::{
    BasicProperties, Channel, Confirmation, Connection, PublisherConfirm,
    options::{BasicAckOptions, BasicPublishOptions, ConfirmSelectOptions},
    types::{AMQPValue, FieldTable},
};
use thiserror::Error;

/// RabbitMQ confirms within milliseconds, unless its disk is slow or an alarm holds publishers back.
const SLOW: Duration = Duration::from_secs(10);
/// Persistent, as AMQP spells it.
const PERSISTENT: u8 = 2;

/// A message was not taken by the broker.
#[derive(Debug, Error)]
pub enum PublishError {
    /// The channel or connection failed; the broker may or may not have the message.
    #[error("link to rabbitmq failed: {0}")]
    Link(#[from] lapin::Error),
    /// The broker refused the message.
    #[error("rabbitmq refused the message")]
    Nacked,
    /// The message was mandatory and no queue is bound for it.
    #[error("no queue for the message")]
    Unroutable,
    /// The channel is not in confirm mode: a bug, never to be taken for a success.
    #[error("channel does not confirm")]
    NotConfirmed,
}

impl PublishError {
    /// The size in bytes of the largest message that RabbitMQ takes (`max_message_size`), if it has closed the channel over a
    /// larger one: its words are all that tells.
    #[must_use]
    pub fn size_limit(&self) -> Option<usize> {
        match self {
            Self::Link(error) => size_limit(&error.to_string()),
            _ => None,
        }
    }
}

/// `message size 3000000 is larger than configured max size 1048576`, or without `configured`.
fn size_limit(error: &str) -> Option<usize> {
    let (_, told) = error.split_once("message size ")?;
    let (_, limit) = told.split_once(" max size ")?;
    let digits = limit.find(|c: char| !c.is_ascii_digit());
    limit[..digits.unwrap_or(limit.len())].parse().ok()
}

/// A channel in confirm mode. One for each ordered stream: a channel keeps the order of what is published on it.
#[derive(Clone, Debug)]
pub struct Publisher {
    channel: Channel,
}

/// A message to be published.
#[derive(Clone, Debug)]
pub struct Message<'a> {
    /// The exchange.
    pub exchange: &'a str,
    /// The routing key.
    pub routing_key: &'a str,
    /// The properties; the message is persistent whatever they say.
    pub properties: BasicProperties,
    /// The body.
    pub body: &'a [u8],
}

/// Where a dead letter came from and why it was rejected.
#[derive(Clone, Copy, Debug)]
pub struct DeadLetter<'a> {
    /// That of the queue of dead letters.
    pub namespace: &'a Namespace,
    /// The queue or service it came from.
    pub source: &'a str,
    /// Why, in words for a person.
    pub reason: &'a str,
    /// The largest body that RabbitMQ takes, in bytes.
    pub limit: usize,
}

impl Publisher {
    /// Opens a channel and puts it into confirm mode.
    ///
    /// # Errors
    ///
    /// If the connection fails.
    pub async fn open(connection: &Connection) -> lapin::Result<Self> {
        let channel = connection.create_channel().await?;
        channel
            .confirm_select(ConfirmSelectOptions::default())
            .await?;
        Ok(Self { channel })
    }

    /// The channel, for declarations.
    #[must_use]
    pub fn channel(&self) -> &Channel {
        &self.channel
    }

    /// Hands a persistent message to the connection. The confirm must be awaited, as by [`Publisher::is_taken`].
    ///
    /// # Errors
    ///
    /// If the connection fails.
    pub async fn send(
        &self,
        exchange: &str,
        routing_key: &str,
        mandatory: bool,
        properties: BasicProperties,
        body: &[u8],
    ) -> Result<PublisherConfirm, PublishError> {
        let message = Message {
            exchange,
            routing_key,
            properties,
            body,
        };
        Ok(self.sending(message, mandatory).await?)
    }

    /// As a plain function: another future around the client's would take half of its size again, for each message of a batch.
    fn sending<'a>(
        &'a self,
        message: Message<'a>,
        mandatory: bool,
    ) -> impl Future<Output = lapin::Result<PublisherConfirm>> {
        let options = BasicPublishOptions {
            mandatory,
            ..BasicPublishOptions::default()
        };
        self.channel.basic_publish(
            message.exchange.into(),
            message.routing_key.into(),
            options,
            message.body,
            message.properties.with_delivery_mode(PERSISTENT),
        )
    }

    /// Hands messages to the connection in order, to be written together; returns their confirms.
    ///
    /// A message is queued when its future is polled first, and the future ends when the message is on the socket. To await one after
    /// the other would cost a switch to the connection's thread and a write for each; so the last is awaited first, and alone has a
    /// waker: the others are done by then.
    ///
    /// With them goes the acknowledgement of a delivery on the same channel, as of [`acknowledge_up_to`].
    ///
    /// # Errors
    ///
    /// If the connection fails.
    pub async fn send_all<'a>(
        &self,
        messages: impl Iterator<Item = Message<'a>>,
        acknowledge: Option<u64>,
    ) -> Result<Vec<PublisherConfirm>, PublishError> {
        let mut sends = Vec::with_capacity(messages.size_hint().0);
        for message in messages {
            let mut send = Box::pin(maybe_done(self.sending(message, false)));
            let _ = send.as_mut().poll(&mut Context::from_waker(Waker::noop()));
            sends.push(send);
        }
        if let Some(delivery_tag) = acknowledge {
            acknowledge_up_to(&self.channel, delivery_tag)?;
        }
        for send in sends.iter_mut().rev() {
            send.as_mut().await;
        }
        let mut confirms = Vec::with_capacity(sends.len());
        for mut send in sends {
            confirms.extend(send.as_mut().take_output().transpose()?);
        }
        Ok(confirms)
    }

    /// Publishes a persistent message and waits until the broker has it.
    ///
    /// # Errors
    ///
    /// If the broker does not confirm it, or (with `mandatory`) has no queue for it.
    pub async fn publish(
        &self,
        exchange: &str,
        routing_key: &str,
        mandatory: bool,
        properties: BasicProperties,
        body: &[u8],
    ) -> Result<(), PublishError> {
        confirmed(
            self.send(exchange, routing_key, mandatory, properties, body)
                .await?,
        )
        .await
    }

    /// [`Self::publish`] on a channel on which nothing else is published meanwhile: with one switch fewer from and to the connection's
    /// thread, because that the message is on the socket is not awaited, only its confirm.
    ///
    /// # Errors
    ///
    /// As [`Self::publish`].
    pub async fn publish_alone(
        &self,
        exchange: &str,
        routing_key: &str,
        mandatory: bool,
        properties: BasicProperties,
        body: &[u8],
    ) -> Result<(), PublishError> {
        let mut send = pin!(self.send(exchange, routing_key, mandatory, properties, body));
        // The message is queued now. What wakes this task next is its confirm.
        let sent = (send.as_mut()).poll(&mut Context::from_waker(Waker::noop()));
        let confirm = match sent {
            Poll::Ready(sent) => sent?,
            Poll::Pending => {
                self.channel.wait_for_confirms().await?;
                send.await?
            }
        };
        confirmed(confirm).await
    }

    /// Publishes a dead letter with its reason: the body untouched, unless it is too large for the broker, then its beginning.
    ///
    /// # Errors
    ///
    /// As [`Self::publish`].
    pub async fn dead_letter(
        &self,
        letter: DeadLetter<'_>,
        properties: BasicProperties,
        body: &[u8],
    ) -> Result<(), PublishError> {
        let mut headers = properties.headers().clone().unwrap_or_default();
        insert(&mut headers, HEADER_REASON, letter.reason);
        insert(&mut headers, HEADER_SOURCE, letter.source);
        if body.len() > letter.limit {
            headers.insert(
                "full-size".into(),
                AMQPValue::LongLongInt(body.len() as i64),
            );
        }
        // The sender's expiry and reply address are spent: a dead letter stays until somebody reads it.
        let mut kept = BasicProperties::default().with_headers(headers);
        if let Some(id) = properties.message_id() {
            kept = kept.with_message_id(id.clone());
        }
        if let Some(content_type) = properties.content_type() {
            kept = kept.with_content_type(content_type.clone());
        }
        self.publish(
            "",
            &letter.namespace.name(DEAD_QUEUE),
            true,
            kept,
            &body[..body.len().min(letter.limit)],
        )
        .await
    }
}

fn insert(headers: &mut FieldTable, name: &str, value: &str) {
    headers.insert(name.into(), AMQPValue::LongString(value.into()));
}

impl Publisher {
    /// Waits for the confirms of messages that were sent together; for each, whether the broker has taken it. The last is awaited
    /// first: it usually comes last, and the task is not woken for each.
    ///
    /// # Errors
    ///
    /// If the link fails.
    pub async fn all_confirmed(confirms: Vec<PublisherConfirm>) -> Result<Vec<bool>, PublishError> {
        let mut taken = Vec::with_capacity(confirms.len());
        for mut confirm in confirms.into_iter().rev() {
            taken.push(Self::is_taken(&mut confirm).await?);
        }
        taken.reverse();
        Ok(taken)
    }

    /// Waits for a confirm; whether the broker has taken the message. May be dropped and called again.
    ///
    /// # Errors
    ///
    /// If the link fails.
    pub async fn is_taken(confirm: &mut PublisherConfirm) -> Result<bool, PublishError> {
        match confirmed(confirm).await {
            Ok(()) => Ok(true),
            Err(PublishError::Nacked) => Ok(false),
            Err(error) => Err(error),
        }
    }
}

/// Acknowledges a delivery and all before it on the channel. It is in the queue of the connection then, ahead of whatever the channel
/// is closed with. Nothing waits until it is written: should it not be, the deliveries come again.
///
/// # Errors
///
/// If the channel is closed.
pub fn acknowledge_up_to(channel: &Channel, delivery_tag: u64) -> lapin::Result<()> {
    let ack = pin!(channel.basic_ack(delivery_tag, BasicAckOptions { multiple: true }));
    match ack.poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(written) => written,
        Poll::Pending => Ok(()),
    }
}

crate::catalogue! {
    pub(crate) METRICS:
    SLOW_CONFIRMS = counter "rabbitmq_slow_confirms_total",
        "Times that something published had waited another 10 s for RabbitMQ's confirm: its disk or processor is short, or an \
         alarm holds publishers back";
}

/// Awaits a publication. While it is not confirmed, says so every 10 s, in the log and in `rabbitmq_slow_confirms_total`: nothing
/// is lost meanwhile, but nothing moves either, and RabbitMQ itself tells a publisher nothing.
pub async fn told_if_slow<T>(what: &str, publication: impl Future<Output = T>) -> T {
    let mut publication = pin!(publication);
    let mut waited = Duration::ZERO;
    loop {
        if let Ok(done) = tokio::time::timeout(SLOW, &mut publication).await {
            return done;
        }
        waited += SLOW;
        SLOW_CONFIRMS.counter().increment(1);
        tracing::warn!(
            waited_s = waited.as_secs(),
            "rabbitmq has not confirmed {what}: its disk is slow, or an alarm (memory, disk space) holds publishers back"
        );
    }
}

async fn confirmed(
    confirm: impl Future<Output = lapin::Result<Confirmation>>,
) -> Result<(), PublishError> {
    match confirm.await? {
        Confirmation::Ack(None) => Ok(()),
        Confirmation::Ack(Some(_)) => Err(PublishError::Unroutable),
        Confirmation::Nack(_) => Err(PublishError::Nacked),
        Confirmation::NotRequested => Err(PublishError::NotConfirmed),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_limit_is_read_from_what_rabbitmq_says() {
        for (error, limit) in [
            (
                "protocol error: PRECONDITION-FAILED: PRECONDITION_FAILED - message size 2097210 is larger than configured max \
                 size 1048576",
                Some(1_048_576),
            ),
            (
                "PRECONDITION_FAILED - message size 600000000 is larger than max size 536870912",
                Some(536_870_912),
            ),
            ("PRECONDITION_FAILED - unknown delivery tag 80", None),
            ("message size 1 is larger than max size ", None),
        ] {
            assert_eq!(size_limit(error), limit, "{error}");
        }
    }
}
