//! What can be wrong with a server, and how it is put right.

use anyhow::Result;
use testbed::stack::Stack;

/// Something that is wrong with a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outage {
    /// RabbitMQ's memory alarm: what is published is not confirmed.
    RabbitMqBlocked,
    /// RabbitMQ's sockets are open, and nothing comes from them.
    RabbitMqFrozen,
    /// Connections to RabbitMQ are refused.
    RabbitMqKilled,
    /// Redis's socket is open, and nothing comes from it.
    RedisFrozen,
    /// Connections to Redis are refused.
    RedisKilled,
}

impl Outage {
    /// Every one.
    pub(crate) const ALL: [Self; 5] = [
        Self::RabbitMqBlocked,
        Self::RabbitMqFrozen,
        Self::RabbitMqKilled,
        Self::RedisFrozen,
        Self::RedisKilled,
    ];

    pub(crate) async fn begin(self, stack: &mut Stack) -> Result<()> {
        let servers = &mut stack.servers;
        match self {
            Self::RabbitMqBlocked => servers.rabbitmq.set_memory_alarm(true).await?,
            Self::RabbitMqFrozen => servers.rabbitmq.freeze(),
            Self::RabbitMqKilled => servers.rabbitmq.kill(),
            Self::RedisFrozen => servers.redis.freeze(),
            Self::RedisKilled => servers.redis.kill(),
        }
        Ok(())
    }

    pub(crate) async fn end(self, stack: &mut Stack) -> Result<()> {
        let servers = &mut stack.servers;
        match self {
            Self::RabbitMqBlocked => servers.rabbitmq.set_memory_alarm(false).await?,
            Self::RabbitMqFrozen => servers.rabbitmq.wake(),
            Self::RabbitMqKilled => servers.rabbitmq.restart().await?,
            Self::RedisFrozen => servers.redis.wake(),
            Self::RedisKilled => servers.redis.restart().await?,
        }
        Ok(())
    }
}
