//! What Discord's close codes say.

/// What ended the connection and what to change, if a shard must not reconnect after this close code.
///
/// Source: Discord, "Gateway Close Event Codes", the rows whose "Reconnect" is false.
#[must_use]
pub const fn fatal_advice(code: u16) -> Option<&'static str> {
    Some(match code {
        4004 => "the token is not valid: check BOT_TOKEN",
        4010 => "the shard number is not valid: check SHARDS_START, SHARDS_END and SHARDS_TOTAL",
        4011 => {
            "the bot is in too many guilds for so few shards: raise SHARDS_TOTAL, or set it to auto"
        }
        4012 => "the gateway version is no longer supported: install a newer build",
        4013 => "the intents are not valid: check INTENTS",
        4014 => {
            "an intent is not allowed for this bot: enable it on Discord's developer portal or remove it from INTENTS"
        }
        _ => return None,
    })
}

/// Whether a close code says that the bot can't be run with this number of shards.
#[must_use]
pub const fn refuses_total(code: u16) -> bool {
    matches!(code, 4010 | 4011)
}

/// Whether a close code says that a packet was at fault: sent again, it would end the next connection too.
///
/// 4008 says that there were too many, so that they go again in time.
#[must_use]
pub const fn blames_a_packet(code: u16) -> bool {
    matches!(code, 4001 | 4002)
}

#[cfg(test)]
mod tests {
    use super::fatal_advice;

    #[test]
    fn exactly_the_codes_without_reconnect_are_fatal() {
        let fatal: Vec<u16> = (1000..5000)
            .filter(|code| fatal_advice(*code).is_some())
            .collect();
        assert_eq!(fatal, [4004, 4010, 4011, 4012, 4013, 4014]);
    }
}
