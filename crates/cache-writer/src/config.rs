//! Settings of the cache-writer.

use std::collections::HashSet;

use dispatch_proto::{codec::Encoding, namespace::Namespace, rabbit::EVENTS_EXCHANGE};
use dispatch_service::{
    amqp::AmqpLink,
    discord::{ApiUrl, Token},
    identity::Guard,
    redis_link::RedisLink,
    settings::{
        Reader,
        catalogue::{
            CACHE_LAYOUT, DEFAULT_QUEUE, EVENTS, LOG_GUILD_CHANNEL, PARTITIONS, REDIS_MESSAGES_URL,
            SPECTACLES_ENCODING, SPECTACLES_EXCHANGE, STATE_EMOJI, STATE_ENABLED, STATE_MEMBER,
            STATE_MEMBER_TTL, STATE_MESSAGE, STATE_MESSAGE_TTL, STATE_OLD, STATE_PRESENCE,
            STATE_VOICE,
        },
    },
    topology::QueueType,
};

use twilight_model::id::{Id, marker::ChannelMarker};

use crate::core::settings::Settings;

/// Connections to Redis beyond those that the partitions' workers hold.
const OTHER_REDIS_CONNECTIONS: usize = 4;

/// Channels beyond those of the partitions: declarations, and looks at the queues.
const OTHER_CHANNELS: usize = 2;

/// Everything the cache-writer is told.
#[derive(Clone, Debug)]
pub struct Config {
    /// Where RabbitMQ is.
    pub amqp: AmqpLink,
    /// Where the cache is.
    pub redis: RedisLink,
    /// Where the messages of the Spectacles layout are: a database of the same server.
    pub messages: RedisLink,
    /// Stands before every name on both servers.
    pub namespace: Namespace,
    /// Whether the names are another bot's.
    pub guard: Guard,
    /// Number of partition queues.
    pub partitions: u32,
    /// Type of the partition queues.
    pub queue_type: QueueType,
    /// Whether to keep the queue that receives every event.
    pub default_queue: bool,
    /// What the cache keeps.
    pub state: Settings,
    /// Names of the events to publish; none = all.
    pub events: Option<HashSet<String>>,
    /// The exchange for Spectacles clients.
    pub spectacles: Option<Destination>,
    /// Where guild joins and leaves are told.
    pub guild_log: Option<GuildLogConfig>,
}

/// An exchange, and how bodies are written for it.
#[derive(Clone, Debug)]
pub struct Destination {
    /// Name of the exchange, with the namespace.
    pub exchange: String,
    /// How bodies are written.
    pub encoding: Encoding,
}

/// The channel on Discord that gets guild joins and leaves.
#[derive(Clone, Debug)]
pub struct GuildLogConfig {
    /// The channel.
    pub channel: Id<ChannelMarker>,
    /// The bot's token.
    pub token: Token,
    /// Discord's API.
    pub api: ApiUrl,
}

impl Config {
    /// Reads the settings; problems are left with the reader.
    pub fn read(reader: &mut Reader) -> Option<Self> {
        let namespace = reader.namespace();
        let partitions: u32 = reader.number(&PARTITIONS, 1..=1024);
        let redis = RedisLink::read(reader, partitions as usize + OTHER_REDIS_CONNECTIONS);
        let messages = redis.as_ref().and_then(|redis| {
            redis
                .read_other(reader, &REDIS_MESSAGES_URL)
                .or_else(|| redis.with_database(1).ok())
        });
        let elsewhere = redis.as_ref().zip(messages.as_ref());
        if elsewhere.is_some_and(|(redis, messages)| !redis.same_server(messages)) {
            // Two servers have no transaction in common, so a writer that wakes up late could not be kept from writing.
            reader.problem(
                &REDIS_MESSAGES_URL,
                "another database of the server of REDIS_URL, with the same user".to_owned(),
            );
        }
        let queue_type = QueueType::read(reader);
        let default_queue = reader.flag(&DEFAULT_QUEUE);
        let state = read_state(reader);
        let events = reader.optional(&EVENTS).map(|names| {
            names
                .split(',')
                .map(|name| name.trim().to_ascii_uppercase())
                .filter(|name| !name.is_empty())
                .collect()
        });
        let encoding = reader.word(&SPECTACLES_ENCODING, Encoding::named);
        let exchange = reader.optional(&SPECTACLES_EXCHANGE);
        if exchange.as_deref() == Some(EVENTS_EXCHANGE) {
            // Spectacles clients assert a direct exchange; the name is taken by the topic exchange.
            reader.problem(
                &SPECTACLES_EXCHANGE,
                format!("a name other than {EVENTS_EXCHANGE}"),
            );
        }
        let spectacles = exchange
            .zip(encoding)
            .map(|(exchange, encoding)| Destination {
                exchange: namespace.name(exchange).into_owned(),
                encoding,
            });
        let guild_log = read_guild_log(reader);
        let amqp = AmqpLink::read(reader)
            .map(|amqp| amqp.needing_channels(partitions as usize + OTHER_CHANNELS));
        let redis = redis?;
        Some(Self {
            amqp: amqp?,
            guard: Guard::read(reader, redis.clone(), namespace.clone()),
            redis,
            messages: messages?,
            namespace,
            partitions,
            queue_type,
            default_queue,
            state,
            events,
            spectacles,
            guild_log,
        })
    }
}

fn read_state(reader: &mut Reader) -> Settings {
    Settings {
        enabled: reader.flag(&STATE_ENABLED),
        old: reader.flag(&STATE_OLD),
        member: reader.flag(&STATE_MEMBER),
        member_ttl_ms: reader.millis(&STATE_MEMBER_TTL, 0),
        message: reader.flag(&STATE_MESSAGE),
        message_ttl_ms: reader.millis(&STATE_MESSAGE_TTL, 0),
        presence: reader.flag(&STATE_PRESENCE),
        emoji: reader.flag(&STATE_EMOJI),
        voice: reader.flag(&STATE_VOICE),
        layouts: reader
            .word(&CACHE_LAYOUT, |text| text.parse().ok())
            .unwrap_or(Settings::default().layouts),
    }
}

fn read_guild_log(reader: &mut Reader) -> Option<GuildLogConfig> {
    let channel = reader.optional_id(&LOG_GUILD_CHANNEL)?.into();
    let token = Token::read(reader);
    let api = ApiUrl::read(reader)?;
    Some(GuildLogConfig {
        channel,
        token: token?,
        api,
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    /// Redis refuses a key that expires beyond its clock, again and again.
    #[test]
    fn a_time_to_live_beyond_the_clock_is_refused() {
        for (ttl, refused) in [
            ("0", false),
            ("9999999999999", false),
            ("18446744073709551615", true),
            ("-1", true),
        ] {
            for name in ["STATE_MESSAGE_TTL", "STATE_MEMBER_TTL"] {
                let mut reader = Reader::of([(name, ttl)]);
                Config::read(&mut reader);
                let error = reader.finish().err().map(|error| error.to_string());
                let told = error.is_some_and(|error| error.contains(name));
                assert_eq!(told, refused, "{name}={ttl}");
            }
        }
    }

    #[test]
    fn messages_on_another_server_are_refused() {
        for (url, refused) in [
            ("", false),
            ("redis://127.0.0.1:6390/3", false),
            ("redis://127.0.0.1:6390", false),
            ("redis://127.0.0.1:6391/1", true),
            ("redis://127.0.0.2:6390/1", true),
            ("redis://somebody:x@127.0.0.1:6390/1", true),
        ] {
            let mut reader = Reader::of([
                ("BOT_TOKEN", "t"),
                ("REDIS_URL", "redis://127.0.0.1:6390/0"),
                ("REDIS_MESSAGES_URL", url),
            ]);
            Config::read(&mut reader);
            let error = reader.finish().err().map(|error| error.to_string());
            let told = error.as_ref().is_some_and(|error| {
                error.contains("REDIS_MESSAGES_URL") && error.contains("same user")
            });
            assert_eq!(told, refused, "{url}: {error:?}");
        }
    }
}
