//! Which shards a process holds, and how many may identify at once.

use std::ops::RangeInclusive;

use thiserror::Error;

/// A range of shards that does not exist.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[error(
    "there are no shards {start} to {end} of {total}: check SHARDS_START, SHARDS_END and SHARDS_TOTAL"
)]
pub struct RangeError {
    start: u32,
    end: u32,
    total: u32,
}

/// The shards from `start` to `end` (inclusive; the last one if `None`) of `total`.
///
/// # Errors
///
/// If the range is empty or reaches beyond the total.
pub fn range(start: u32, end: Option<u32>, total: u32) -> Result<RangeInclusive<u32>, RangeError> {
    let end = end.unwrap_or_else(|| total.saturating_sub(1));
    if start <= end && end < total {
        Ok(start..=end)
    } else {
        Err(RangeError { start, end, total })
    }
}

/// Number of identify buckets to use: Discord's `max_concurrency`, or fewer if `wanted` is lower.
///
/// A lower number must divide Discord's, so that two shards of one of Discord's buckets (`shard % max_concurrency`) never
/// come to lie in different ones of ours and identify at the same time.
#[must_use]
pub fn buckets(max_concurrency: u32, wanted: Option<u32>) -> u32 {
    let max = max_concurrency.max(1);
    let wanted = wanted.unwrap_or(max).clamp(1, max);
    (1..=wanted)
        .rev()
        .find(|buckets| max.is_multiple_of(*buckets))
        .unwrap_or(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn range_is_checked() {
        assert_eq!(range(0, None, 4), Ok(0..=3));
        assert_eq!(range(2, Some(3), 4), Ok(2..=3));
        assert!(range(2, Some(1), 4).is_err());
        assert!(range(0, Some(4), 4).is_err());
        assert!(range(4, None, 4).is_err());
        assert!(range(0, None, 0).is_err());
    }

    #[test]
    fn buckets_divide_discords() {
        assert_eq!(buckets(16, None), 16);
        assert_eq!(buckets(16, Some(10)), 8);
        assert_eq!(buckets(16, Some(100)), 16);
        assert_eq!(buckets(1, Some(3)), 1);
        assert_eq!(buckets(0, None), 1);
    }
}
