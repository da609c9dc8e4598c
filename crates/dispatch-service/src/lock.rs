//! Locks on RabbitMQ: exclusive queues, which go with the connection that holds them.
//!
//! A lock that another connection holds costs RabbitMQ a channel error, and a line in its log, for each try. So who waits for one sends
//! a message to it, which comes back if there is no such queue.

use lapin::{
    BasicProperties, Channel, ErrorKind,
    options::QueueDeclareOptions,
    types::{AMQPValue, FieldTable},
};

use crate::amqp::{PublishError, Publisher};

/// AMQP's reply code for a queue that is exclusive to another connection.
const RESOURCE_LOCKED: u16 = 405;

/// Takes the lock, or finds it on this connection already; `false` if another connection holds it, and then the channel is closed.
///
/// # Errors
///
/// If the channel fails.
pub async fn take(channel: &Channel, name: &str) -> lapin::Result<bool> {
    let exclusive = QueueDeclareOptions {
        exclusive: true,
        ..QueueDeclareOptions::default()
    };
    let mut arguments = FieldTable::default();
    // Said, because a virtual host may have another default, and only classic queues are exclusive.
    let classic = AMQPValue::LongString("classic".into());
    arguments.insert("x-queue-type".into(), classic);
    // The messages of those that look.
    arguments.insert("x-max-length".into(), AMQPValue::LongInt(1));
    let declared = channel.queue_declare(name.into(), exclusive, arguments);
    match declared.await {
        Ok(_) => Ok(true),
        Err(error) if is_locked(&error) => Ok(false),
        Err(error) => Err(error),
    }
}

/// Whether some connection holds the lock.
///
/// # Errors
///
/// If the channel fails.
pub async fn is_held(publisher: &Publisher, name: &str) -> Result<bool, PublishError> {
    let message = BasicProperties::default();
    match publisher.publish("", name, true, message, b"").await {
        Err(PublishError::Unroutable) => Ok(false),
        Ok(()) | Err(PublishError::Nacked) => Ok(true),
        Err(error) => Err(error),
    }
}

fn is_locked(error: &lapin::Error) -> bool {
    matches!(error.kind(), ErrorKind::ProtocolError(error) if error.get_id() == RESOURCE_LOCKED)
}
