//! Every setting there is: its name, default and what a right value looks like.
//!
//! `.env.example` is held against this list by a test, the table of deploy/README.md is made of it (`cargo xtask docs`), `--help`
//! prints it, and a wrong value's message quotes it.

use serde::Serialize;

/// A setting's description.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Setting {
    /// Name of the environment variable.
    pub name: &'static str,
    /// Value if it is not set; empty means none.
    pub default: &'static str,
    /// What a right value looks like, as in "expected …".
    pub expected: &'static str,
    /// What it does, for the documents.
    pub meaning: &'static str,
    /// Whether the value must not appear in logs.
    pub secret: bool,
}

macro_rules! settings {
    ($($name:ident = $default:literal, $expected:literal, $meaning:literal $(, $secret:ident)?;)*) => {
        $(
            #[doc = concat!("`", stringify!($name), "`: ", $expected, ".")]
            pub const $name: Setting = Setting {
                name: stringify!($name),
                default: $default,
                expected: $expected,
                meaning: $meaning,
                secret: settings!(@secret $($secret)?),
            };
        )*
        /// All settings, in the order of `.env.example`.
        pub const ALL: &[Setting] = &[$($name),*];
    };
    (@secret) => { false };
    (@secret secret) => { true };
}

settings! {
    BOT_TOKEN = "", "the bot's token, without spaces or control characters",
        "The bot's token; white space around it and a leading `Bot ` are dropped. Needed by gateway-ingest, and by cache-writer if `LOG_GUILD_CHANNEL` is set.", secret;
    BOT_TOKEN_FILE = "", "a file that holds BOT_TOKEN, which is not set then",
        "A file that holds it instead, as secrets are mounted.";
    SHARDS_START = "0", "the first shard that this process may hold, a number",
        "First shard that this process may hold. Processes with the same range share it; left at their defaults, all share all shards.";
    SHARDS_END = "", "the last shard that this process may hold (inclusive), a number below SHARDS_TOTAL; empty for the last",
        "Last shard that this process may hold, inclusive; empty: the last there is.";
    SHARDS_ORDINAL = "", "a StatefulSet pod's name or number, for the part of the shards that this process may hold; empty for none",
        "Instead of a range: the name or number of a StatefulSet's pod, for its part of the shards.";
    SHARDS_REPLICAS = "", "the number of parts that SHARDS_ORDINAL counts, a number from 1",
        "The number of parts that `SHARDS_ORDINAL` counts.";
    SHARDS_TOTAL = "auto", "the number of shards, or `auto` to ask Discord",
        "Number of shards, or `auto` for what Discord recommends. With `auto`, the number of the last run stays while there are sessions to resume and Discord has not refused it (4010, 4011); `RESUME=false` takes Discord's.";
    SHARDS_CONCURRENCY = "", "how many shards may identify at once, a number; empty to ask Discord, whose limit is never exceeded",
        "How many shards may identify at once; empty: what Discord allows, which is never exceeded.";
    SHARDS_WAIT = "5", "seconds between identifies of one bucket, a number up to 86400",
        "Seconds between identifies of one bucket; never less than 5.25 s are kept.";
    IDENTIFY_RESERVE = "10%", "identifies that are never spent, a number or a percentage of Discord's limit",
        "Identifies of Discord's daily limit that are never spent (a number or a percentage): with only them left, shards resume and begin no session.";
    CLUSTERS = "", "a number; accepted for twilight-dispatch's sake, without effect",
        "Accepted for twilight-dispatch's sake; no effect.";
    RESUME = "true", "true or false: resume stored sessions after a restart",
        "Resume stored sessions after a restart.";
    INTENTS = "53575421", "gateway intents, a number (bit field)",
        "Gateway intents (bit field). The default is all but the privileged ones: add 2 for members, 256 for presences, 32768 for message content.";
    LARGE_THRESHOLD = "250", "members above which Discord sends only those online, a number from 50 to 250",
        "Members above which Discord sends only those online, 50 to 250.";
    STATUS = "online", "one of online, idle, dnd, invisible, offline",
        "`online`, `idle`, `dnd`, `invisible` or `offline`.";
    ACTIVITY_TYPE = "0", "Discord's activity type, a number from 0 to 5",
        "Discord's activity type, 0 to 5.";
    ACTIVITY_NAME = "", "text of the activity; empty for none",
        "Text of the activity; empty: none.";
    LOG_CHANNEL = "", "id of the channel that gets shard logs; empty or 0 for none",
        "Id of the channel that gets shard logs; empty or 0: none.";
    LOG_GUILD_CHANNEL = "", "id of the channel that gets guild joins and leaves; empty or 0 for none",
        "Id of the channel that gets guild joins and leaves; empty or 0: none.";
    NAMESPACE = "", "at most 40 ASCII letters, digits, - and _, which stand with a colon in front of every name on RabbitMQ and Redis; empty for none",
        "Stands with a colon in front of every name on both servers, see [several bots](#several-bots-on-the-same-servers). At most 40 ASCII letters, digits, `-` and `_`.";
    DEFAULT_QUEUE = "true", "true or false: keep the queue gateway.recv, bound to every event",
        "Keep the queue `gateway.recv`, bound to every event.";
    EVENTS = "", "names of the events to publish, separated by commas; empty for all",
        "Names to publish, separated by commas; empty: all.";
    COMMAND_TTL = "60000", "milliseconds a command may wait for its shard, a number from 1",
        "How long a command may wait for a connected shard to take it; waiting for Discord's send limit after that does not count.";
    STATE_ENABLED = "true", "true or false: keep the state cache",
        "Keep the state cache; without it, no `old`.";
    STATE_MEMBER = "true", "true or false: cache members",
        "Cache members.";
    STATE_MEMBER_TTL = "0", "milliseconds a member is kept, a number; 0 for no expiry",
        "How long a member is kept after its last change; 0: until it leaves. Without effect while `CACHE_LAYOUT` includes `spectacles`.";
    STATE_MESSAGE = "true", "true or false: cache messages",
        "Cache messages.";
    STATE_MESSAGE_TTL = "600000", "milliseconds a message is kept, a number; 0 for no expiry",
        "How long a message is kept after its last change; 0: for ever.";
    STATE_PRESENCE = "true", "true or false: cache presences",
        "Cache presences.";
    STATE_EMOJI = "true", "true or false: cache emojis and stickers",
        "Cache emojis and stickers.";
    STATE_VOICE = "true", "true or false: cache voice states",
        "Cache voice states.";
    STATE_OLD = "true", "true or false: add the previous state to events",
        "Add the previous state to events.";
    CACHE_LAYOUT = "dispatch", "one of dispatch, spectacles, both",
        "`dispatch`, `spectacles` or `both`.";
    SPECTACLES_EXCHANGE = "", "name of the exchange for Spectacles clients; empty for none",
        "Exchange for Spectacles clients; empty: none.";
    SPECTACLES_ENCODING = "json", "one of json, etf, msgpack",
        "`json`, `etf` or `msgpack`.";
    RABBIT_URL = "", "an AMQP URL (amqp:// or amqps://) with a host, special characters of the password percent-encoded, instead of the RABBIT_* parts",
        "AMQP URL (`amqp://`, `amqps://`), instead of the parts below; special characters percent-encoded.", secret;
    RABBIT_URL_FILE = "", "a file that holds RABBIT_URL, which is not set then",
        "A file that holds it instead.";
    RABBIT_HOST = "127.0.0.1", "host name or address of RabbitMQ (its port goes to RABBIT_PORT)",
        "Host name or address of RabbitMQ (IPv6 with or without brackets).";
    RABBIT_PORT = "5672", "port of RabbitMQ, a number from 1 to 65535",
        "Its port.";
    RABBIT_USERNAME = "guest", "user name on RabbitMQ",
        "User name.";
    RABBIT_PASSWORD = "guest", "password on RabbitMQ",
        "Password, as it is (nothing encoded).", secret;
    RABBIT_PASSWORD_FILE = "", "a file that holds RABBIT_PASSWORD, which is not set then",
        "A file that holds it instead.";
    RABBIT_QUEUE_TYPE = "classic", "one of classic, quorum: the type of Dispatch's own queues",
        "`classic` or `quorum`: the type of Dispatch's own queues.";
    PARTITIONS = "16", "number of partition queues, from 1 to 1024; the same for all services",
        "Number of partition queues, 1 to 1024; the same for all services.";
    REDIS_URL = "", "a Redis URL (redis:// or rediss://) with a host, special characters of the password percent-encoded, instead of the REDIS_* parts",
        "Redis URL (`redis://`, `rediss://`), instead of the parts below; special characters percent-encoded.", secret;
    REDIS_URL_FILE = "", "a file that holds REDIS_URL, which is not set then",
        "A file that holds it instead.";
    REDIS_HOST = "127.0.0.1", "host name or address of Redis (its port goes to REDIS_PORT)",
        "Host name or address of Redis.";
    REDIS_PORT = "6379", "port of Redis, a number from 1 to 65535",
        "Its port.";
    REDIS_MESSAGES_URL = "", "a Redis URL for the messages of the Spectacles layout, on the server of REDIS_URL; empty for its database 1",
        "The database for the messages of the Spectacles layout, on the same server as `REDIS_URL`; empty: database 1.", secret;
    REDIS_MESSAGES_URL_FILE = "", "a file that holds REDIS_MESSAGES_URL, which is not set then",
        "A file that holds it instead.";
    REDIS_POOL_SIZE = "", "most connections to Redis that a process opens, a number; empty for as many as it needs (cache-writer: PARTITIONS + 4, the others: 8)",
        "Connections to Redis that a process may open; empty: as many as it needs.";
    REDIS_POOL_TIMEOUT = "5000", "milliseconds to wait for a free connection to Redis, a number from 1",
        "Milliseconds to wait for one that is free.";
    TLS_CA_FILE = "", "a PEM file of certificate authorities to trust beside the system's, for amqps:// and rediss://; empty for none",
        "Certificate authorities (PEM) to trust beside the system's, for `amqps://` and `rediss://`.";
    TLS_CERT_FILE = "", "a PEM file of the client certificate for RabbitMQ, with its chain; TLS_KEY_FILE belongs to it",
        "Client certificate (PEM) for a RabbitMQ that asks for one.";
    TLS_KEY_FILE = "", "a PEM file of the private key of TLS_CERT_FILE",
        "Its private key (PEM).";
    PROMETHEUS_HOST = "127.0.0.1", "address on which metrics and health are served",
        "Address on which metrics and health are served.";
    PROMETHEUS_PORT = "", "port of metrics and health, a number from 1 to 65535; empty for 8005 (gateway-ingest), 8006 (cache-writer), 8007 (command-router)",
        "Its port; empty: 8005 gateway-ingest, 8006 cache-writer, 8007 command-router.";
    BUFFER_BYTES = "67108864", "bytes of events that gateway-ingest holds while RabbitMQ is away, a number from 1048576",
        "Bytes of events that gateway-ingest holds while RabbitMQ is away, 1 MiB or more. A sixteenth is kept back for what must be read so that heartbeats go on. Each shard may hold one event more.";
    DISCORD_API_URL = "https://discord.com", "an http:// or https:// URL of Discord's API",
        "Discord's API; another URL for a proxy or a simulator.";
    DISCORD_GATEWAY_URL = "", "a ws:// or wss:// URL of the gateway; empty to ask Discord",
        "Discord's gateway (`ws://`, `wss://`); empty: ask the API.";
    REFUSAL_WAIT = "", "milliseconds until a process ends that Discord has refused (token, intents, shards) or that meets another bot, a number; empty for 0",
        "Milliseconds until a process ends (exit code 3) when Discord has refused the token, the intents or the shards, or when the names on the servers are another bot's; empty: at once, in Compose after five minutes. Give it some minutes where whatever runs it starts it again at once; `/readyz` says why meanwhile.";
    RUST_LOG = "info", "a log filter such as info or gateway_ingest=debug",
        "Log level or filter, such as `gateway_ingest=debug`.";
    LOG_FORMAT = "text", "one of text, json",
        "`text` or `json`.";
}
