//! Which stored session a shard may resume.

use std::collections::{BTreeMap, HashMap};

use dispatch_proto::session::SessionRecord;
use serde::Deserialize;

/// What Redis holds about sessions, as text.
#[derive(Clone, Debug, Default)]
pub struct Stored {
    /// The shard's field of `dispatch:sessions`.
    pub own: Option<String>,
    /// The shard's part of `gateway_sessions` as it was before this process started ([`shared_records`]).
    pub shared: Option<SessionRecord>,
    /// `gateway_shards` as it was before this process started.
    pub total: Option<u32>,
}

/// The session that `shard` of `total` may resume; `None` if there is none.
///
/// A session can only be resumed under the shard total that it was identified with (Discord, "Sharding"). A record without a
/// total, which twilight-dispatch wrote, counts as one of `gateway_shards`.
#[must_use]
pub fn resumable(stored: &Stored, shard: u32, total: u32) -> Option<SessionRecord> {
    let own = stored
        .own
        .as_deref()
        .and_then(|text| serde_json::from_str::<SessionRecord>(text).ok());
    let record = own.or_else(|| stored.shared.clone())?;
    let recorded_total = match record.shards_total {
        0 => stored.total,
        known => Some(known),
    };
    let fits =
        record.shard == shard && recorded_total == Some(total) && !record.session_id.is_empty();
    fits.then_some(SessionRecord {
        shards_total: total,
        ..record
    })
}

/// twilight-dispatch's record: an object from the shard's number to this.
#[derive(Deserialize)]
struct Older {
    session_id: String,
    sequence: u64,
    #[serde(default)]
    resume_url: Option<String>,
}

/// What `gateway_sessions` holds, by shard: ours (an array), or twilight-dispatch's, whose records have no total.
#[must_use]
pub fn shared_records(text: &str) -> BTreeMap<u32, SessionRecord> {
    if let Ok(records) = serde_json::from_str::<Vec<SessionRecord>>(text) {
        return records
            .into_iter()
            .map(|record| (record.shard, record))
            .collect();
    }
    let older: HashMap<String, Older> = serde_json::from_str(text).unwrap_or_default();
    let records = older.into_iter().filter_map(|(shard, older)| {
        let shard = shard.parse().ok()?;
        let record = SessionRecord {
            shard,
            session_id: older.session_id,
            resume_url: older.resume_url.unwrap_or_default(),
            sequence: older.sequence,
            shards_total: 0,
        };
        Some((shard, record))
    });
    records.collect()
}

/// What Redis holds about the number of shards.
#[derive(Clone, Debug, Default)]
pub struct StoredTotal {
    /// `gateway_shards`.
    pub total: Option<u32>,
    /// The number that Discord has refused last.
    pub refused: Option<u32>,
    /// The totals of the stored sessions; 0 where a record names none.
    pub sessions: Vec<u32>,
}

impl StoredTotal {
    /// The number of shards to go on with; `None`: what Discord recommends.
    ///
    /// Sessions can only be resumed under the number that they were begun with, and several processes that share a bot's shards
    /// must use one number although they start at different times, while Discord's advice changes.
    #[must_use]
    pub fn kept(&self) -> Option<u32> {
        let total = self.total.filter(|total| *total > 0)?;
        let of_it = |of: &u32| *of == total || *of == 0;
        (self.refused != Some(total) && self.sessions.iter().any(of_it)).then_some(total)
    }
}

/// What the public keys held before this process started to rewrite them: perhaps twilight-dispatch's sessions.
#[derive(Clone, Debug, Default)]
pub struct Inherited {
    /// `gateway_sessions`, by shard.
    pub sessions: BTreeMap<u32, SessionRecord>,
    /// `gateway_shards`, and what speaks for and against it.
    pub total: StoredTotal,
}

impl Inherited {
    /// The number of shards to go on with, if there are sessions to resume.
    #[must_use]
    pub fn total(&self) -> Option<u32> {
        self.total.kept()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stored(own: Option<&str>, shared: Option<&str>, total: Option<u32>) -> Stored {
        Stored {
            own: own.map(str::to_owned),
            shared: shared.and_then(|text| shared_records(text).remove(&1)),
            total,
        }
    }

    fn found(stored: &Stored) -> Option<(String, u64)> {
        resumable(stored, 1, 2).map(|record| (record.session_id, record.sequence))
    }

    #[test]
    fn own_record_wins_over_the_shared_one() {
        let own =
            r#"{"shard":1,"session_id":"a","resume_url":"ws://x","sequence":5,"shards_total":2}"#;
        let shared = r#"[{"shard":1,"session_id":"b","sequence":3,"shards_total":2}]"#;
        let both = stored(Some(own), Some(shared), None);
        assert_eq!(found(&both), Some(("a".to_owned(), 5)));
        let shared_only = stored(None, Some(shared), None);
        assert_eq!(found(&shared_only), Some(("b".to_owned(), 3)));
        let broken_own = stored(Some("{"), Some(shared), None);
        assert_eq!(found(&broken_own), Some(("b".to_owned(), 3)));
    }

    #[test]
    fn twilight_dispatchs_map_is_understood() {
        let map = r#"{"0":{"session_id":"x","sequence":1},"1":{"session_id":"y","sequence":9}}"#;
        assert_eq!(
            found(&stored(None, Some(map), Some(2))),
            Some(("y".to_owned(), 9))
        );
        assert_eq!(found(&stored(None, Some(map), Some(4))), None);
        assert_eq!(found(&stored(None, Some(map), None)), None);
    }

    #[test]
    fn a_total_is_kept_while_it_has_sessions_and_is_not_refused() {
        let stored = |total, refused, sessions: &[u32]| StoredTotal {
            total,
            refused,
            sessions: sessions.to_vec(),
        };
        for (stored, kept) in [
            (stored(Some(16), None, &[8, 16]), Some(16)),
            (stored(Some(16), Some(8), &[16]), Some(16)),
            (stored(Some(16), Some(16), &[16]), None),
            (stored(Some(16), None, &[8]), None),
            (stored(Some(16), None, &[]), None),
            (stored(Some(2), None, &[0]), Some(2)),
            (stored(Some(0), None, &[0]), None),
            (stored(None, None, &[16]), None),
        ] {
            assert_eq!(stored.kept(), kept, "{stored:?}");
        }
    }

    #[test]
    fn another_total_or_nonsense_is_not_resumed() {
        let other = r#"{"shard":1,"session_id":"a","sequence":5,"shards_total":4}"#;
        assert_eq!(found(&stored(Some(other), None, Some(2))), None);
        let empty = r#"{"shard":1,"session_id":"","sequence":5,"shards_total":2}"#;
        assert_eq!(found(&stored(Some(empty), None, Some(2))), None);
        assert_eq!(found(&stored(None, Some("nonsense"), Some(2))), None);
        assert_eq!(found(&Stored::default()), None);
    }
}
