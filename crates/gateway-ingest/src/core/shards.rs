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

/// The shards that a process may hold, as they are set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Range {
    /// From one number to another, which is included; the last there is if `None`.
    Numbers {
        /// The first.
        start: u32,
        /// The last.
        end: Option<u32>,
    },
    /// The part of the replica with this number, out of so many.
    Part {
        /// From 0 on.
        ordinal: u32,
        /// How many there are.
        replicas: u32,
    },
}

impl Range {
    /// Those of `total`; `None` if that is all of them.
    ///
    /// # Errors
    ///
    /// If a range by numbers is empty or reaches beyond the total.
    pub fn of(self, total: u32) -> Result<Option<RangeInclusive<u32>>, RangeError> {
        let range = match self {
            Self::Numbers { start, end } => {
                let end = end.unwrap_or_else(|| total.saturating_sub(1));
                if start > end || end >= total {
                    return Err(RangeError { start, end, total });
                }
                start..=end
            }
            Self::Part { ordinal, replicas } => {
                let from = |ordinal: u32| {
                    let (ordinal, replicas) = (u64::from(ordinal), u64::from(replicas.max(1)));
                    (u64::from(total) * ordinal / replicas) as u32
                };
                let (start, after) = (from(ordinal), from(ordinal.saturating_add(1)));
                match after.checked_sub(1) {
                    Some(end) if start <= end => start..=end,
                    // More replicas than shards.
                    _ => RangeInclusive::new(1, 0),
                }
            }
        };
        let all = *range.start() == 0 && range.end().checked_add(1) == Some(total);
        Ok((!all).then_some(range))
    }
}

/// The number of a StatefulSet's pod: it stands at the end of its name, `gateway-ingest-3`, or alone.
#[must_use]
pub fn ordinal(name: &str) -> Option<u32> {
    let before = name.trim_end_matches(|letter: char| letter.is_ascii_digit());
    let alone = before.is_empty() || before.ends_with('-');
    name[before.len()..].parse().ok().filter(|_| alone)
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
        let range = |start, end, total| Range::Numbers { start, end }.of(total);
        assert_eq!(range(0, None, 4), Ok(None));
        assert_eq!(range(0, Some(3), 4), Ok(None));
        assert_eq!(range(0, Some(2), 4), Ok(Some(0..=2)));
        assert_eq!(range(2, Some(3), 4), Ok(Some(2..=3)));
        assert!(range(2, Some(1), 4).is_err());
        assert!(range(0, Some(4), 4).is_err());
        assert!(range(4, None, 4).is_err());
        assert!(range(0, None, 0).is_err());
    }

    #[test]
    fn replicas_have_parts_that_cover_all_shards_once() {
        for (total, replicas) in [(8, 3), (2, 5), (1000, 7), (3, 3), (5, 1)] {
            let parts = (0..replicas).map(|ordinal| Range::Part { ordinal, replicas }.of(total));
            let parts = parts.map(|part| part.unwrap().unwrap_or(0..=total - 1));
            let shards: Vec<u32> = parts.flatten().collect();
            assert_eq!(shards, (0..total).collect::<Vec<_>>());
        }
    }

    #[test]
    fn a_pods_name_or_its_number_is_understood() {
        assert_eq!(ordinal("gateway-ingest-12"), Some(12));
        assert_eq!(ordinal("0"), Some(0));
        for wrong in ["", "ingest", "ingest3", "ingest-", "3-x"] {
            assert_eq!(ordinal(wrong), None, "{wrong}");
        }
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
