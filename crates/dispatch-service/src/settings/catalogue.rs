//! Every setting there is: its name, default and what a right value looks like.
//!
//! `.env.example` is held against this list by a test, `--help` prints it, and a wrong value's message quotes it.

/// A setting's description.
#[derive(Clone, Copy, Debug)]
pub struct Setting {
    /// Name of the environment variable.
    pub name: &'static str,
    /// Value if it is not set; empty means none.
    pub default: &'static str,
    /// What a right value looks like, as in "expected …".
    pub expected: &'static str,
    /// Whether the value must not appear in logs.
    pub secret: bool,
}

macro_rules! settings {
    ($($name:ident = $default:literal, $expected:literal $(, $secret:ident)?;)*) => {
        $(
            #[doc = concat!("`", stringify!($name), "`: ", $expected, ".")]
            pub const $name: Setting = Setting {
                name: stringify!($name),
                default: $default,
                expected: $expected,
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
    BOT_TOKEN = "", "the bot's token, without spaces or control characters", secret;
    BOT_TOKEN_FILE = "", "a file that holds BOT_TOKEN, which is not set then";
    SHARDS_START = "0", "the first shard of this process, a number";
    SHARDS_END = "", "the last shard of this process (inclusive), a number below SHARDS_TOTAL; empty for the last";
    SHARDS_TOTAL = "auto", "the number of shards, or `auto` to ask Discord";
    SHARDS_CONCURRENCY = "", "how many shards may identify at once, a number; empty to ask Discord, whose limit is never exceeded";
    SHARDS_WAIT = "5", "seconds between identifies of one bucket, a number from 5";
    IDENTIFY_RESERVE = "10%", "identifies that are never spent, a number or a percentage of Discord's limit";
    CLUSTERS = "", "a number; accepted for twilight-dispatch's sake, without effect";
    RESUME = "true", "true or false: resume stored sessions after a restart";
    INTENTS = "53575421", "gateway intents, a number (bit field)";
    LARGE_THRESHOLD = "250", "members above which Discord sends only those online, a number from 50 to 250";
    STATUS = "online", "one of online, idle, dnd, invisible, offline";
    ACTIVITY_TYPE = "0", "Discord's activity type, a number from 0 to 5";
    ACTIVITY_NAME = "", "text of the activity; empty for none";
    LOG_CHANNEL = "", "id of the channel that gets shard logs; empty or 0 for none";
    LOG_GUILD_CHANNEL = "", "id of the channel that gets guild joins and leaves; empty or 0 for none";
    DEFAULT_QUEUE = "true", "true or false: keep the queue gateway.recv, bound to every event";
    EVENTS = "", "names of the events to publish, separated by commas; empty for all";
    COMMAND_TTL = "60000", "milliseconds a command may wait for its shard, a number from 1";
    STATE_ENABLED = "true", "true or false: keep the state cache";
    STATE_MEMBER = "true", "true or false: cache members";
    STATE_MEMBER_TTL = "0", "milliseconds a member is kept, a number; 0 for no expiry";
    STATE_MESSAGE = "true", "true or false: cache messages";
    STATE_MESSAGE_TTL = "600000", "milliseconds a message is kept, a number; 0 for no expiry";
    STATE_PRESENCE = "true", "true or false: cache presences";
    STATE_EMOJI = "true", "true or false: cache emojis and stickers";
    STATE_VOICE = "true", "true or false: cache voice states";
    STATE_OLD = "true", "true or false: add the previous state to events";
    CACHE_LAYOUT = "dispatch", "one of dispatch, spectacles, both";
    SPECTACLES_EXCHANGE = "", "name of the exchange for Spectacles clients; empty for none";
    SPECTACLES_ENCODING = "json", "one of json, etf, msgpack";
    RABBIT_URL = "", "an AMQP URL (amqp:// or amqps://) with a host, special characters of the password percent-encoded, instead of the RABBIT_* parts", secret;
    RABBIT_URL_FILE = "", "a file that holds RABBIT_URL, which is not set then";
    RABBIT_HOST = "127.0.0.1", "host name or address of RabbitMQ (its port goes to RABBIT_PORT)";
    RABBIT_PORT = "5672", "port of RabbitMQ, a number from 1 to 65535";
    RABBIT_USERNAME = "guest", "user name on RabbitMQ";
    RABBIT_PASSWORD = "guest", "password on RabbitMQ", secret;
    RABBIT_PASSWORD_FILE = "", "a file that holds RABBIT_PASSWORD, which is not set then";
    RABBIT_QUEUE_TYPE = "classic", "one of classic, quorum: the type of Dispatch's own queues";
    PARTITIONS = "16", "number of partition queues, from 1 to 1024; the same for all services";
    REDIS_URL = "", "a Redis URL (redis:// or rediss://) with a host, special characters of the password percent-encoded, instead of the REDIS_* parts", secret;
    REDIS_URL_FILE = "", "a file that holds REDIS_URL, which is not set then";
    REDIS_HOST = "127.0.0.1", "host name or address of Redis (its port goes to REDIS_PORT)";
    REDIS_PORT = "6379", "port of Redis, a number from 1 to 65535";
    REDIS_MESSAGES_URL = "", "a Redis URL for the messages of the Spectacles layout, on the server of REDIS_URL; empty for its database 1", secret;
    REDIS_MESSAGES_URL_FILE = "", "a file that holds REDIS_MESSAGES_URL, which is not set then";
    REDIS_POOL_SIZE = "", "most connections to Redis that a process opens, a number; empty for as many as it needs (cache-writer: PARTITIONS + 4, the others: 8)";
    REDIS_POOL_TIMEOUT = "5000", "milliseconds to wait for a free connection to Redis, a number from 1";
    TLS_CA_FILE = "", "a PEM file of certificate authorities to trust beside the system's, for amqps:// and rediss://; empty for none";
    TLS_CERT_FILE = "", "a PEM file of the client certificate for RabbitMQ, with its chain; TLS_KEY_FILE belongs to it";
    TLS_KEY_FILE = "", "a PEM file of the private key of TLS_CERT_FILE";
    PROMETHEUS_HOST = "127.0.0.1", "address on which metrics and health are served";
    PROMETHEUS_PORT = "", "port of metrics and health, a number from 1 to 65535; empty for 8005 (gateway-ingest), 8006 (cache-writer), 8007 (command-router)";
    BUFFER_BYTES = "67108864", "bytes of events that gateway-ingest holds while RabbitMQ is away, a number from 1048576";
    DISCORD_API_URL = "https://discord.com", "an http:// or https:// URL of Discord's API";
    DISCORD_GATEWAY_URL = "", "a ws:// or wss:// URL of the gateway; empty to ask Discord";
    REFUSAL_WAIT = "0", "milliseconds until a process ends that Discord has refused (token, intents, shards), a number";
    RUST_LOG = "info", "a log filter such as info or gateway_ingest=debug";
    LOG_FORMAT = "text", "one of text, json";
}
