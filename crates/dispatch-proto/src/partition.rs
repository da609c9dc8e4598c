//! Which shard owns a guild, and which partition queue carries a shard.

/// The shard that owns a guild: `(guild_id >> 22) % total`.
///
/// Source: Discord, "Sharding" (the sharding formula). `None` if `total` is 0.
#[must_use]
pub fn shard_of(guild_id: u64, total: u32) -> Option<u32> {
    let shard = (guild_id >> 22).checked_rem(u64::from(total))?;
    u32::try_from(shard).ok()
}

/// The partition queue that carries a shard's raw events: `shard % partitions`.
///
/// `partitions` below 1 counts as 1; the settings refuse it earlier.
#[must_use]
pub fn partition_of(shard: u32, partitions: u32) -> u32 {
    shard % partitions.max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shard_follows_discords_formula() {
        assert_eq!(shard_of(197_038_439_483_310_086, 1), Some(0));
        assert_eq!(
            shard_of(197_038_439_483_310_086, 10),
            Some(((197_038_439_483_310_086_u64 >> 22) % 10) as u32)
        );
        assert_eq!(shard_of(1, 0), None);
    }

    #[test]
    fn partitions_take_turns() {
        assert_eq!(
            (0..5).map(|s| partition_of(s, 2)).collect::<Vec<_>>(),
            [0, 1, 0, 1, 0]
        );
        assert_eq!(partition_of(7, 0), 0);
    }
}
