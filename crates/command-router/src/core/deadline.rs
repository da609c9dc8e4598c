//! How long a command may wait.

/// Until when a shard may take a command, in milliseconds of Unix time.
///
/// `ttl_ms` from now, or less if the sender gave its message an `expiration`, which is in milliseconds too. The time counts
/// from when a router first has the command: what it waited in `gateway.send` while no router ran is not known.
#[must_use]
pub fn deadline(now_ms: u64, ttl_ms: u64, expiration: Option<&str>) -> u64 {
    let expiration = expiration.and_then(|text| text.parse().ok());
    now_ms.saturating_add(expiration.map_or(ttl_ms, |own: u64| own.min(ttl_ms)))
}

/// The reason of a dead letter whose deadline has passed.
#[must_use]
pub fn expired_reason(ttl_ms: u64) -> String {
    format!("no shard took the command in time (COMMAND_TTL is {ttl_ms} ms)")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shorter_time_counts() {
        assert_eq!(deadline(1_000, 60_000, None), 61_000);
        assert_eq!(deadline(1_000, 60_000, Some("500")), 1_500);
        assert_eq!(deadline(1_000, 60_000, Some("90000")), 61_000);
        assert_eq!(deadline(1_000, 60_000, Some("soon")), 61_000);
        assert_eq!(deadline(u64::MAX, 60_000, None), u64::MAX);
    }
}
