//! The router's settings.

use std::time::Duration;

use dispatch_proto::{codec::Encoding, namespace::Namespace, rabbit::EVENTS_EXCHANGE};
use dispatch_service::{
    amqp::AmqpLink,
    identity::Guard,
    redis_link::RedisLink,
    settings::{
        Reader,
        catalogue::{COMMAND_TTL, SPECTACLES_ENCODING, SPECTACLES_EXCHANGE},
    },
    topology::QueueType,
};

/// Longest name of an exchange, in bytes: its queues' names, which end in a shard's number, are AMQP short strings.
const LONGEST_EXCHANGE: usize = 200;

/// Connections to Redis: one for the number of shards, the others for statuses that are asked for.
const REDIS_CONNECTIONS: usize = 8;

/// The router's settings.
#[derive(Clone, Debug)]
pub struct Config {
    /// Where RabbitMQ is.
    pub amqp: AmqpLink,
    /// Where Redis is.
    pub redis: RedisLink,
    /// Stands before every name on both servers.
    pub namespace: Namespace,
    /// Whether the names are another bot's.
    pub guard: Guard,
    /// Type of the queues of commands.
    pub queue_type: QueueType,
    /// How long a command may wait for its shard.
    pub command_ttl: Duration,
    /// Where Spectacles clients send, if they may.
    pub spectacles: Option<Spectacles>,
}

/// The Spectacles side.
#[derive(Clone, Debug)]
pub struct Spectacles {
    /// Name of the direct exchange, with the namespace.
    pub exchange: String,
    /// Encoding of messages whose content type names none.
    pub encoding: Encoding,
}

impl Config {
    /// Reads the settings; what is wrong is reported by [`Reader::finish`].
    pub fn read(reader: &mut Reader) -> Option<Self> {
        let namespace = reader.namespace();
        let amqp = AmqpLink::read(reader);
        let redis = RedisLink::read(reader, REDIS_CONNECTIONS);
        let queue_type = QueueType::read(reader);
        let command_ttl = Duration::from_millis(reader.millis(&COMMAND_TTL, 1));
        let encoding = reader
            .word(&SPECTACLES_ENCODING, Encoding::named)
            .unwrap_or_default();
        let exchange = reader.optional(&SPECTACLES_EXCHANGE);
        let spectacles = exchange.as_deref().map(|exchange| Spectacles {
            exchange: namespace.name(exchange).into_owned(),
            encoding,
        });
        if let Some(exchange) = &exchange
            && (exchange == EVENTS_EXCHANGE || exchange.len() > LONGEST_EXCHANGE)
        {
            let expected = format!(
                "a name of at most {LONGEST_EXCHANGE} bytes, and not {EVENTS_EXCHANGE}, which is a topic exchange"
            );
            reader.problem(&SPECTACLES_EXCHANGE, expected);
        }
        let redis = redis?;
        Some(Self {
            amqp: amqp?,
            guard: Guard::read(reader, redis.clone(), namespace.clone()),
            redis,
            namespace,
            queue_type,
            command_ttl,
            spectacles,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn defaults_are_complete() {
        let mut reader = Reader::of([]);
        let config = Config::read(&mut reader).unwrap();
        reader.finish().unwrap();
        assert_eq!(config.command_ttl, Duration::from_secs(60));
        assert!(config.spectacles.is_none());
    }

    #[test]
    fn wrong_settings_are_reported() {
        let mut reader = Reader::of([
            ("COMMAND_TTL", "0"),
            ("SPECTACLES_EXCHANGE", "gateway"),
            ("SPECTACLES_ENCODING", "xml"),
        ]);
        Config::read(&mut reader);
        let message = reader.finish().unwrap_err().to_string();
        assert!(message.starts_with("3 wrong setting(s)"), "{message}");
    }
}
