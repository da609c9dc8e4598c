//! What can end the work on a partition.

use dispatch_service::amqp::PublishError;
use redis::RedisError;
use thiserror::Error;

use crate::core::owner::Reason;

/// Redis did not do what was asked.
#[derive(Debug, Error)]
pub(crate) enum StoreError {
    /// Another consumer has taken the partition over.
    #[error("another writer has taken the partition over")]
    Fenced,
    /// The partition's epoch is gone, or was touched on the way: a claim tells what has happened.
    #[error("redis has lost the partition's epoch")]
    Lost,
    /// Redis is away, or can't take writes for now.
    #[error("redis: {0}")]
    Redis(#[from] RedisError),
}

/// Work on a partition can't go on under this subscription.
#[derive(Debug, Error)]
pub(crate) enum PartitionError {
    /// The channel or connection to RabbitMQ failed.
    #[error("rabbitmq: {0}")]
    Link(#[from] lapin::Error),
    /// An event could not be published.
    #[error("cannot publish: {0}")]
    Publish(#[from] PublishError),
    /// The owner lets go; whatever is in hand comes again, elsewhere perhaps.
    #[error(transparent)]
    GivenUp(#[from] Reason),
}
