//! Publishing commands to the queues of their shards.

use dispatch_proto::{
    codec::Encoding,
    command::{DEADLINE_HEADER, OPERATION_HEADER, REPLY_TYPE_HEADER},
    rabbit::shard_queue,
};
use dispatch_service::amqp::{PublishError, Publisher, told_if_slow};
use lapin::{
    BasicProperties,
    types::{AMQPValue, FieldTable},
};

use super::{envelope::Envelope, queues::Queues};
use crate::core::route::Forward;

/// The channel that commands are published on.
#[derive(Clone, Debug)]
pub(crate) struct Publications {
    publisher: Publisher,
    queues: Queues,
}

impl Publications {
    pub(crate) fn new(publisher: Publisher, queues: Queues) -> Self {
        Self { publisher, queues }
    }

    /// Publishes a command and waits until RabbitMQ has it. `deadline` is in milliseconds of Unix time, `declare` whether its queue
    /// may not exist yet.
    ///
    /// An error of the link is one of this channel; a queue that can't be declared refuses the command.
    pub(crate) async fn publish(
        &self,
        envelope: &Envelope,
        forward: &Forward,
        deadline: u64,
        declare: bool,
    ) -> Result<(), PublishError> {
        let shard = forward.shard;
        if declare && let Err(error) = self.queues.declare_shard(shard).await {
            tracing::warn!(shard, %error, "cannot declare the shard's queue");
            return Err(PublishError::Unroutable);
        }
        let properties = properties(envelope, forward, deadline);
        let queue = self.queues.namespace().name(shard_queue(shard));
        let body = forward.body.as_bytes();
        let publication = self.publisher.publish("", &queue, true, properties, body);
        told_if_slow("a command", publication).await
    }
}

/// The reply address travels on, with the encoding in which the sender reads the answer: the shard's owner replies when it took
/// the command.
fn properties(envelope: &Envelope, forward: &Forward, deadline: u64) -> BasicProperties {
    let received = &envelope.delivery.properties;
    let mut headers = FieldTable::default();
    if let Some(operation) = forward.operation.header() {
        let operation = AMQPValue::LongString(operation.into());
        headers.insert(OPERATION_HEADER.into(), operation);
    }
    let deadline = i64::try_from(deadline).unwrap_or(i64::MAX);
    headers.insert(DEADLINE_HEADER.into(), AMQPValue::LongLongInt(deadline));
    if received.reply_to().is_some() && envelope.encoding != Encoding::Json {
        let content_type = AMQPValue::LongString(envelope.encoding.content_type().into());
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
    properties
}
