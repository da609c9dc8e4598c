//! Why a command becomes a dead letter.

use dispatch_proto::{command::Refusal, rabbit::shard_queue};
use thiserror::Error;

/// Why a command becomes a dead letter, in words for the person who sent it.
#[derive(Debug, Error)]
pub enum Rejection {
    /// It can't be carried out.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// Its deadline has passed while it lay in its shard's queue, or waited to get there.
    #[error("no shard took the command in time (COMMAND_TTL is {ttl_ms} ms){obstacle}")]
    Expired {
        /// The longest time for a command.
        ttl_ms: u64,
        /// What was in its way, if that is known.
        obstacle: Obstacle,
    },
    /// It can't wait, because many already do.
    #[error("rabbitmq refuses commands for {}, which may be full, and too many wait for it", shard_queue(*.0))]
    TooMany(u32),
    /// It was delivered so often that RabbitMQ may drop it the next time.
    #[error("delivered {0} times, and no router could pass it on")]
    Redelivered(u64),
}

/// What was in the way of a command that expired.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Obstacle {
    /// Nothing but its shard, which was away.
    Shard,
    /// The number of shards was unknown.
    NumberOfShards,
    /// RabbitMQ refused commands for this shard's queue.
    Refused(u32),
    /// RabbitMQ did not confirm the command before it for this shard.
    Unconfirmed(u32),
}

impl std::fmt::Display for Obstacle {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Shard => Ok(()),
            Self::NumberOfShards => {
                f.write_str(": the number of shards is unknown (gateway_shards in redis)")
            }
            Self::Refused(shard) => {
                let queue = shard_queue(*shard);
                write!(
                    f,
                    ": rabbitmq refuses commands for {queue}, which may be full"
                )
            }
            Self::Unconfirmed(shard) => {
                write!(
                    f,
                    ": rabbitmq does not confirm commands for {}",
                    shard_queue(*shard)
                )
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reasons_name_what_is_in_the_way() {
        let expired = |obstacle| {
            let ttl_ms = 2_000;
            Rejection::Expired { ttl_ms, obstacle }.to_string()
        };
        assert_eq!(
            expired(Obstacle::Shard),
            "no shard took the command in time (COMMAND_TTL is 2000 ms)"
        );
        assert!(expired(Obstacle::NumberOfShards).ends_with("(gateway_shards in redis)"));
        assert!(expired(Obstacle::Refused(3)).contains("gateway:3"));
        assert!(Rejection::TooMany(7).to_string().contains("gateway:7"));
    }
}
