//! Settings of the services, as environment variables.

use std::collections::BTreeMap;

/// All intents that are documented, privileged ones too, so that every kind of event is sent.
pub const ALL_INTENTS: u64 = 0x1FFFF | 0x30_0000 | 0x300_0000;

/// Where RabbitMQ and Redis are.
#[must_use]
pub fn links(rabbit_url: &str, redis_url: &str) -> BTreeMap<String, String> {
    map([("RABBIT_URL", rabbit_url), ("REDIS_URL", redis_url)])
}

/// Where Discord is.
#[must_use]
pub fn discord(token: &str, api_url: &str, gateway_url: &str) -> BTreeMap<String, String> {
    map([
        ("BOT_TOKEN", token),
        ("DISCORD_API_URL", api_url),
        ("DISCORD_GATEWAY_URL", gateway_url),
    ])
}

/// Shards 0 to `shards` − 1 in one process.
#[must_use]
pub fn shards(shards: u32) -> BTreeMap<String, String> {
    map([
        ("SHARDS_START", "0"),
        ("SHARDS_END", &shards.saturating_sub(1).to_string()),
        ("SHARDS_TOTAL", &shards.to_string()),
    ])
}

/// What an exact comparison needs: every intent, a cache in which nothing expires, no queue that nobody reads.
#[must_use]
pub fn exact(shards: u32) -> BTreeMap<String, String> {
    let mut settings = self::shards(shards);
    settings.extend(map([
        ("INTENTS", &ALL_INTENTS.to_string()),
        ("DEFAULT_QUEUE", "false"),
        ("STATE_MEMBER_TTL", "0"),
        ("STATE_MESSAGE_TTL", "0"),
        ("RUST_LOG", "info"),
    ]));
    settings
}

fn map<const N: usize>(settings: [(&str, &str); N]) -> BTreeMap<String, String> {
    settings
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_intents_are_discords_documented_bits() {
        assert_eq!(ALL_INTENTS, 53_608_447);
    }
}
