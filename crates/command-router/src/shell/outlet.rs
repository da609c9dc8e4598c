//! What leaves the router: commands to shards' queues, dead letters, replies, acknowledgements.

use dispatch_proto::{
    codec::Encoding,
    command::{DEADLINE_HEADER, OPERATION_HEADER, REPLY_TYPE_HEADER, Reply},
    rabbit::shard_queue,
};
use dispatch_service::amqp::{Answer, DeadLetter, PublishError, Publisher};
use lapin::{
    BasicProperties, PublisherConfirm,
    message::Delivery,
    options::BasicAckOptions,
    types::{AMQPValue, FieldTable},
};
use serde_json::value::RawValue;

use super::{intake::Incoming, shards::Shards};
use crate::{
    core::route::Forward,
    error::RouterError,
    metrics::{self, Outcome},
};

/// A message, the queue it came from, and the encoding in which its sender reads an answer.
#[derive(Debug)]
pub(crate) struct Envelope {
    pub(crate) queue: String,
    pub(crate) delivery: Delivery,
    pub(crate) encoding: Encoding,
}

impl Envelope {
    pub(crate) fn of(incoming: Incoming, encoding: Encoding) -> Self {
        Self {
            queue: incoming.queue,
            delivery: incoming.delivery,
            encoding,
        }
    }
}

/// Publishes a command to its shard's queue. The reply address travels on, with the encoding in which the sender reads the
/// answer: the shard's owner replies when it took it.
pub(crate) async fn forward(
    publisher: &Publisher,
    received: &BasicProperties,
    encoding: Encoding,
    forward: Forward,
    deadline: u64,
) -> Result<PublisherConfirm, PublishError> {
    let mut headers = FieldTable::default();
    if let Some(operation) = forward.operation.header() {
        let operation = AMQPValue::LongString(operation.into());
        headers.insert(OPERATION_HEADER.into(), operation);
    }
    let deadline = i64::try_from(deadline).unwrap_or(i64::MAX);
    headers.insert(DEADLINE_HEADER.into(), AMQPValue::LongLongInt(deadline));
    if received.reply_to().is_some() && encoding != Encoding::Json {
        let content_type = AMQPValue::LongString(encoding.content_type().into());
        headers.insert(REPLY_TYPE_HEADER.into(), content_type);
    }
    // No expiration: RabbitMQ would drop the message without a word.
    let mut properties = BasicProperties::default()
        .with_content_type(Encoding::Json.content_type().into())
        .with_headers(headers);
    if let Some(id) = received.correlation_id() {
        properties = properties.with_correlation_id(id.clone());
    }
    if let Some(address) = received.reply_to() {
        properties = properties.with_reply_to(address.clone());
    }
    if let Some(id) = received.message_id() {
        properties = properties.with_message_id(id.clone());
    }
    if let Some(priority) = received.priority() {
        properties = properties.with_priority(*priority);
    }
    let queue = shard_queue(forward.shard);
    publisher
        .send("", &queue, true, properties, forward.body.as_bytes())
        .await
}

/// Dead-letters a message, tells its sender, and acknowledges it.
pub(crate) async fn reject(
    publisher: &Publisher,
    envelope: Envelope,
    reason: &str,
) -> Result<(), RouterError> {
    let Envelope {
        queue, delivery, ..
    } = &envelope;
    tracing::warn!(queue, reason, "command rejected");
    let letter = DeadLetter {
        source: queue,
        reason,
    };
    publisher
        .dead_letter(letter, delivery.properties.clone(), &delivery.data)
        .await?;
    reply(publisher, &envelope, &Reply::error(reason)).await?;
    acknowledge(delivery).await
}

/// Replies with a shard's status and acknowledges the message.
pub(crate) async fn answer(
    publisher: &Publisher,
    envelope: Envelope,
    shards: &Shards,
    shard: u32,
) -> Result<(), RouterError> {
    let status = match shards.status(shard).await {
        Ok(Some(text)) => serde_json::from_str::<Box<RawValue>>(&text)
            .map_err(|_| format!("the status of shard {shard} on redis is not json")),
        Ok(None) => Err(format!("shard {shard} has no status yet")),
        Err(error) => Err(format!("redis does not answer: {error}")),
    };
    match &status {
        Ok(status) => reply(publisher, &envelope, &Reply::status(shard, status)).await?,
        Err(reason) => reply(publisher, &envelope, &Reply::error(reason)).await?,
    }
    acknowledge(&envelope.delivery).await?;
    metrics::finished(Outcome::Answered);
    Ok(())
}

/// Lets RabbitMQ forget a message. If the channel is gone, the message comes again.
pub(crate) async fn acknowledge(delivery: &Delivery) -> Result<(), RouterError> {
    delivery.acker.ack(BasicAckOptions::default()).await?;
    Ok(())
}

/// Replies to a message, if its sender wants it. A sender that is gone gets none: its address leads nowhere.
async fn reply(
    publisher: &Publisher,
    envelope: &Envelope,
    reply: &Reply<'_>,
) -> Result<(), PublishError> {
    let properties = &envelope.delivery.properties;
    let Some(answer) = Answer::to(properties, reply, envelope.encoding) else {
        return Ok(());
    };
    match answer.publish(publisher).await {
        Err(PublishError::Unroutable) => Ok(()),
        published => published,
    }
}
