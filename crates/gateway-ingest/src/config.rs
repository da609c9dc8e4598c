//! The settings of gateway-ingest.

use std::borrow::Cow;
use std::time::Duration;

use dispatch_proto::namespace::Namespace;
use dispatch_service::{
    amqp::AmqpLink,
    discord::{ApiUrl, Token},
    redis_link::RedisLink,
    settings::{
        Reader, address,
        catalogue::{
            ACTIVITY_NAME, ACTIVITY_TYPE, BUFFER_BYTES, CLUSTERS, COMMAND_TTL, DISCORD_GATEWAY_URL,
            IDENTIFY_RESERVE, INTENTS, LARGE_THRESHOLD, LOG_CHANNEL, PARTITIONS, RESUME,
            SHARDS_CONCURRENCY, SHARDS_END, SHARDS_ORDINAL, SHARDS_REPLICAS, SHARDS_START,
            SHARDS_TOTAL, SHARDS_WAIT, STATUS,
        },
    },
    topology::QueueType,
};
use twilight_gateway::Intents;
use twilight_model::{
    gateway::{
        payload::outgoing::update_presence::UpdatePresencePayload,
        presence::{Activity, ActivityType, MinimalActivity, Status},
    },
    id::{Id, marker::ChannelMarker},
};

use crate::core::{
    identify::{Policy, Reserve},
    shards::{Range, ordinal},
};

/// Bytes that a semaphore can count; far more than anybody's memory on 64 bits.
const MOST_BUFFER_BYTES: u32 = u32::MAX;

/// A day: Discord counts identifies by it.
const LONGEST_WAIT_S: u64 = 86_400;

/// Connections to Redis: one for what is stored all the time, the others for shards that start.
const REDIS_CONNECTIONS: usize = 8;

/// All settings.
#[derive(Clone, Debug)]
pub struct Config {
    pub(crate) rabbit: AmqpLink,
    pub(crate) redis: RedisLink,
    pub(crate) namespace: Namespace,
    pub(crate) queue_type: QueueType,
    pub(crate) partitions: u32,
    pub(crate) discord: DiscordConfig,
    pub(crate) shards: ShardsConfig,
    pub(crate) resume: bool,
    /// Bytes of received events that may be held.
    pub(crate) buffer_bytes: u32,
    /// How long a command without a deadline of its own may wait.
    pub(crate) command_ttl: Duration,
    pub(crate) log_channel: Option<Id<ChannelMarker>>,
    /// Whether `CLUSTERS` is set, which has no effect.
    pub(crate) clusters: bool,
}

/// Where Discord is, and what it is told.
#[derive(Clone, Debug)]
pub(crate) struct DiscordConfig {
    pub(crate) token: Token,
    pub(crate) api: ApiUrl,
    pub(crate) gateway_url: Option<String>,
    pub(crate) intents: Intents,
    pub(crate) large_threshold: u64,
    pub(crate) presence: UpdatePresencePayload,
}

/// Which shards there are, and how they identify.
#[derive(Clone, Debug)]
pub(crate) struct ShardsConfig {
    /// Those that this process may hold.
    pub(crate) range: Range,
    /// `None`: ask Discord.
    pub(crate) total: Option<u32>,
    pub(crate) identifies: Policy,
}

impl Config {
    /// A name on RabbitMQ or Redis, in the namespace.
    pub(crate) fn name<'a>(&self, name: impl Into<Cow<'a, str>>) -> Cow<'a, str> {
        self.namespace.name(name)
    }

    /// Reads the settings; `None` if one is wrong, which `reader` then reports.
    pub fn read(reader: &mut Reader) -> Option<Self> {
        let rabbit = AmqpLink::read(reader);
        let redis = RedisLink::read(reader, REDIS_CONNECTIONS);
        let discord = discord(reader);
        let shards = shards(reader);
        let others = (
            QueueType::read(reader),
            reader.number(&PARTITIONS, 1..=1024),
            reader.flag(&RESUME),
            reader.number(&BUFFER_BYTES, 1_048_576..=MOST_BUFFER_BYTES),
            Duration::from_millis(reader.millis(&COMMAND_TTL, 1)),
            reader.optional_id(&LOG_CHANNEL).map(Id::from),
        );
        let (queue_type, partitions, resume, buffer_bytes, command_ttl, log_channel) = others;
        Some(Self {
            rabbit: rabbit?,
            redis: redis?,
            namespace: reader.namespace(),
            queue_type,
            partitions,
            discord: discord?,
            shards,
            resume,
            buffer_bytes,
            command_ttl,
            log_channel,
            clusters: reader.optional(&CLUSTERS).is_some(),
        })
    }
}

fn discord(reader: &mut Reader) -> Option<DiscordConfig> {
    let token = Token::read(reader);
    let api = ApiUrl::read(reader);
    let gateway_url = match reader.optional(&DISCORD_GATEWAY_URL) {
        Some(_) => reader.checked(&DISCORD_GATEWAY_URL, gateway_url),
        None => None,
    };
    let intents = Intents::from_bits_retain(reader.number(&INTENTS, 0..));
    let large_threshold = reader.number(&LARGE_THRESHOLD, 50..=250);
    let presence = presence(reader);
    Some(DiscordConfig {
        token: token?,
        api: api?,
        gateway_url,
        intents,
        large_threshold,
        presence: presence?,
    })
}

fn shards(reader: &mut Reader) -> ShardsConfig {
    ShardsConfig {
        range: range(reader),
        total: match reader.text(&SHARDS_TOTAL) {
            auto if auto.eq_ignore_ascii_case("auto") => None,
            _ => Some(reader.number(&SHARDS_TOTAL, 1..)),
        },
        identifies: Policy {
            wait: Duration::from_secs(reader.number(&SHARDS_WAIT, 0..=LONGEST_WAIT_S)),
            concurrency: reader
                .optional(&SHARDS_CONCURRENCY)
                .map(|_| reader.number(&SHARDS_CONCURRENCY, 1..)),
            reserve: reader
                .checked(&IDENTIFY_RESERVE, |text| text.parse().ok())
                .unwrap_or(Reserve::Number(0)),
        },
    }
}

/// By a replica's number, if there is one, else from one shard to another.
fn range(reader: &mut Reader) -> Range {
    let start = reader.number(&SHARDS_START, 0..);
    let end = reader.optional_parsed(&SHARDS_END);
    if reader.optional(&SHARDS_ORDINAL).is_none() {
        return Range::Numbers { start, end };
    }
    let ordinal = reader.checked(&SHARDS_ORDINAL, ordinal).unwrap_or_default();
    let replicas = reader.number(&SHARDS_REPLICAS, 1..);
    if ordinal >= replicas {
        let expected = format!("a number above that of SHARDS_ORDINAL, {ordinal}");
        reader.problem(&SHARDS_REPLICAS, expected);
    }
    if start != 0 || end.is_some() {
        let expected = "no SHARDS_START and SHARDS_END beside it".to_owned();
        reader.problem(&SHARDS_ORDINAL, expected);
    }
    Range::Part { ordinal, replicas }
}

fn presence(reader: &mut Reader) -> Option<UpdatePresencePayload> {
    let status = reader.word(&STATUS, |text| {
        Some(match text {
            "online" => Status::Online,
            "idle" => Status::Idle,
            "dnd" => Status::DoNotDisturb,
            "invisible" => Status::Invisible,
            "offline" => Status::Offline,
            _ => return None,
        })
    });
    let kind = ActivityType::from(reader.number::<u8>(&ACTIVITY_TYPE, 0..=5));
    let activity = reader
        .optional(&ACTIVITY_NAME)
        .map(|name| activity(kind, name));
    Some(UpdatePresencePayload {
        activities: activity.into_iter().collect(),
        afk: false,
        since: None,
        status: status?,
    })
}

/// A custom activity shows its `state`; the others show their `name` (Discord, "Activity Object").
fn activity(kind: ActivityType, name: String) -> Activity {
    let state = (kind == ActivityType::Custom).then(|| name.clone());
    let activity = MinimalActivity {
        kind,
        name,
        url: None,
    };
    Activity {
        state,
        ..activity.into()
    }
}

/// A query or a trailing slash is cut: the client adds its own.
fn gateway_url(text: &str) -> Option<String> {
    address::url(text, &["ws", "wss"])?;
    let base = text.split('?').next()?.trim_end_matches('/');
    Some(base.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read<'a>(
        settings: impl IntoIterator<Item = (&'a str, &'a str)>,
    ) -> (Option<Config>, String) {
        let mut reader = Reader::of(settings);
        let config = Config::read(&mut reader);
        let problems = reader.finish().err().map(|error| error.to_string());
        (config, problems.unwrap_or_default())
    }

    #[test]
    fn the_token_is_all_that_is_needed() {
        let (config, problems) = read([("BOT_TOKEN", "secret")]);
        assert_eq!(problems, "");
        let config = config.unwrap();
        assert_eq!(config.shards.total, None);
        assert!(config.discord.presence.activities.is_empty());
        assert!(!format!("{config:?}").contains("secret"));
    }

    #[test]
    fn twilight_dispatchs_settings_are_understood() {
        let (config, problems) = read([
            ("BOT_TOKEN", "t"),
            ("SHARDS_START", "1"),
            ("SHARDS_END", "2"),
            ("SHARDS_TOTAL", "4"),
            ("SHARDS_CONCURRENCY", "1"),
            ("SHARDS_WAIT", "6"),
            ("CLUSTERS", "1"),
            ("STATUS", "dnd"),
            ("ACTIVITY_TYPE", "4"),
            ("ACTIVITY_NAME", "hello"),
            ("LOG_CHANNEL", "12345"),
            ("DISCORD_GATEWAY_URL", "ws://127.0.0.1:9/?v=9"),
            ("DISCORD_API_URL", "http://127.0.0.1:8/"),
        ]);
        assert_eq!(problems, "");
        let config = config.unwrap();
        let range = Range::Numbers {
            start: 1,
            end: Some(2),
        };
        assert_eq!((config.shards.range, config.shards.total), (range, Some(4)));
        assert_eq!(config.shards.identifies.wait, Duration::from_secs(6));
        assert_eq!(config.shards.identifies.reserve, Reserve::Percent(10));
        assert_eq!(
            config.discord.presence.activities[0].state.as_deref(),
            Some("hello")
        );
        assert_eq!(
            config.discord.gateway_url.as_deref(),
            Some("ws://127.0.0.1:9")
        );
        assert_eq!(config.log_channel.map(Id::get), Some(12_345));
    }

    #[test]
    fn words_may_have_any_case_and_spaces_around_them() {
        let (config, problems) = read([
            ("BOT_TOKEN", " t\n"),
            ("SHARDS_TOTAL", " AUTO "),
            ("SHARDS_WAIT", " 6 "),
            ("STATUS", " \"Idle\" "),
            ("RESUME", " FALSE "),
            ("RABBIT_QUEUE_TYPE", "Quorum"),
            // twilight-dispatch's way to write none.
            ("LOG_CHANNEL", " 0 "),
            ("DISCORD_GATEWAY_URL", "ws://[::1]:9/"),
            ("DISCORD_API_URL", "http://[::1]:8"),
        ]);
        assert_eq!(problems, "");
        let config = config.unwrap();
        assert_eq!(config.discord.token.reveal(), "t");
        assert_eq!(config.shards.total, None);
        assert!(!config.resume);
        assert_eq!(config.log_channel, None);
        assert_eq!(config.discord.presence.status, Status::Idle);
    }

    #[test]
    fn a_range_may_be_that_of_a_pod() {
        let token = ("BOT_TOKEN", "secret");
        let pod = ("SHARDS_ORDINAL", "gateway-ingest-2");
        let (config, problems) = read([token, pod, ("SHARDS_REPLICAS", "3")]);
        assert_eq!(problems, "");
        let part = Range::Part {
            ordinal: 2,
            replicas: 3,
        };
        assert_eq!(config.unwrap().shards.range, part);
        for wrong in [
            vec![token, pod],
            vec![token, pod, ("SHARDS_REPLICAS", "2")],
            vec![token, pod, ("SHARDS_REPLICAS", "3"), ("SHARDS_END", "4")],
            vec![
                token,
                ("SHARDS_ORDINAL", "ingest"),
                ("SHARDS_REPLICAS", "3"),
            ],
        ] {
            assert!(read(wrong).1.contains("SHARDS_"));
        }
    }

    #[test]
    fn wrong_values_are_all_reported() {
        let wrong = [
            ("SHARDS_TOTAL", "0"),
            ("SHARDS_WAIT", "18446744073709551615"),
            ("COMMAND_TTL", "18446744073709551615"),
            ("IDENTIFY_RESERVE", "101%"),
            ("STATUS", "busy"),
            ("ACTIVITY_TYPE", "9"),
            ("LARGE_THRESHOLD", "1000"),
            ("DISCORD_API_URL", "discord.com"),
            ("DISCORD_GATEWAY_URL", "https://x"),
            ("LOG_CHANNEL", "x"),
            ("BUFFER_BYTES", "1"),
        ];
        let (_, problems) = read(wrong);
        for (name, _) in wrong.into_iter().chain([("BOT_TOKEN", "")]) {
            assert!(problems.contains(name), "{name} is not in {problems}");
        }
    }
}
