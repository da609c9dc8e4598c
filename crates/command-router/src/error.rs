//! What ends a session with RabbitMQ. What RabbitMQ refuses is none of it: that is the business of the one command.

use dispatch_service::amqp::PublishError;
use thiserror::Error;

/// The router can't go on with this connection. Commands that are not acknowledged come again on the next one.
#[derive(Debug, Error)]
pub(crate) enum RouterError {
    /// The connection or a channel failed.
    #[error("link to rabbitmq failed: {0}")]
    Link(#[from] lapin::Error),
    /// The channel that commands are published on failed.
    #[error(transparent)]
    Publish(#[from] PublishError),
    /// The lock is gone, while the connection is not: another router may be active.
    #[error("the lock is gone")]
    LockLost,
}
