//! How long a command may wait.

/// Until when a shard may take a command that arrived at `arrived`, in milliseconds.
///
/// `ttl_ms` later, or earlier if the sender gave its message an `expiration`, which is in milliseconds too. What it waited in
/// `gateway.send` while no router ran is not known, and doesn't count.
#[must_use]
pub fn deadline(arrived: u64, ttl_ms: u64, expiration: Option<&str>) -> u64 {
    let expiration = expiration.and_then(|text| text.parse().ok());
    arrived.saturating_add(expiration.map_or(ttl_ms, |own: u64| own.min(ttl_ms)))
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
