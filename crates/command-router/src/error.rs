//! What can go wrong while commands are routed. All of it ends with a new connection and the commands in hand coming again.

use dispatch_service::amqp::PublishError;
use thiserror::Error;

/// The router can't go on with this connection.
#[derive(Debug, Error)]
pub(crate) enum RouterError {
    /// The connection or a channel failed.
    #[error("link to rabbitmq failed: {0}")]
    Link(#[from] lapin::Error),
    /// A command, dead letter or reply was not taken.
    #[error(transparent)]
    Publish(#[from] PublishError),
    /// RabbitMQ ended a consumer, as it does when its queue is deleted.
    #[error("rabbitmq ended the consumer of {0}")]
    ConsumerEnded(String),
}
