//! Which events are applied already: the last sequence of each session of each shard.

use std::collections::HashMap;

use dispatch_proto::notice::{Gap, GapReason};

/// Sessions remembered for each shard. A frame of an earlier session can only come back unacknowledged after a crash, and
/// identifies are at least 5 s apart, so even a few would do.
const SESSIONS: usize = 8;

/// The last applied sequence of each shard's newest sessions.
///
/// **Invariant:** it is stored in the same transaction as what the events changed, so an event is applied if and only if
/// its sequence is not above the one stored for its session.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Applied {
    /// For each shard its sessions, the newest first.
    shards: HashMap<u32, Vec<(String, u64)>>,
}

/// What is to be done with an event that was delivered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Not applied yet; a gap before it, if there is one.
    New(Option<Gap>),
    /// Applied before.
    Applied,
}

impl Applied {
    /// Judges an event by what is applied.
    #[must_use]
    pub fn judge(&self, shard: u32, session: &str, sequence: u64) -> Verdict {
        let sessions = self.shards.get(&shard).map_or(&[][..], Vec::as_slice);
        let gap = |reason, (last_session, last_sequence): &(String, u64)| Gap {
            shard,
            reason,
            last_session: last_session.clone(),
            last_sequence: *last_sequence,
            next_session: session.to_owned(),
            next_sequence: sequence,
        };
        match sessions.iter().find(|(known, _)| known == session) {
            Some((_, last)) if sequence <= *last => Verdict::Applied,
            Some(known) if sequence > known.1 + 1 => {
                Verdict::New(Some(gap(GapReason::SequenceSkipped, known)))
            }
            Some(_) => Verdict::New(None),
            None => Verdict::New(
                sessions
                    .first()
                    .map(|newest| gap(GapReason::SessionReplaced, newest)),
            ),
        }
    }

    /// Notes an event as applied.
    pub fn advance(&mut self, shard: u32, session: &str, sequence: u64) {
        let sessions = self.shards.entry(shard).or_default();
        match sessions.iter().position(|(known, _)| known == session) {
            Some(0) => {}
            Some(position) => sessions[..=position].rotate_right(1),
            None => {
                sessions.insert(0, (session.to_owned(), 0));
                sessions.truncate(SESSIONS);
            }
        }
        sessions[0].1 = sessions[0].1.max(sequence);
    }

    /// The shards that are known.
    pub fn shards(&self) -> impl Iterator<Item = u32> {
        self.shards.keys().copied()
    }

    /// The stored text of a shard.
    #[must_use]
    pub fn encode(&self, shard: u32) -> String {
        let sessions = self.shards.get(&shard).map_or(&[][..], Vec::as_slice);
        serde_json::Value::from_iter(
            sessions
                .iter()
                .map(|(session, last)| serde_json::json!([session, last])),
        )
        .to_string()
    }

    /// Takes in the stored text of a shard.
    ///
    /// # Errors
    ///
    /// If the text is not what [`Self::encode`] writes.
    pub fn decode(&mut self, shard: u32, text: &str) -> Result<(), serde_json::Error> {
        self.shards.insert(shard, serde_json::from_str(text)?);
        Ok(())
    }

    /// The shards of which `self` has applied more than `stored` says: what Redis lost by coming back with older data.
    #[must_use]
    pub fn ahead_of(&self, stored: &Self) -> Vec<u32> {
        let lags = |(shard, sessions): (&u32, &Vec<(String, u64)>)| {
            let (session, last) = sessions.first()?;
            matches!(stored.judge(*shard, session, *last), Verdict::New(_)).then_some(*shard)
        };
        self.shards.iter().filter_map(lags).collect()
    }

    /// Takes over what `other` has applied of these shards beyond `self`.
    pub fn merge(&mut self, other: &Self, shards: &[u32]) {
        for shard in shards {
            for (session, last) in other.shards.get(shard).into_iter().flatten().rev() {
                self.advance(*shard, session, *last);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn applied(events: &[(&str, u64)]) -> Applied {
        let mut applied = Applied::default();
        for (session, sequence) in events {
            applied.advance(0, session, *sequence);
        }
        applied
    }

    fn reason(verdict: Verdict) -> Option<GapReason> {
        match verdict {
            Verdict::New(gap) => gap.map(|gap| gap.reason),
            Verdict::Applied => panic!("applied"),
        }
    }

    #[test]
    fn the_first_session_of_a_shard_is_no_gap() {
        assert_eq!(Applied::default().judge(0, "a", 1), Verdict::New(None));
    }

    #[test]
    fn sequences_follow_each_other() {
        let applied = applied(&[("a", 1), ("a", 2)]);
        assert_eq!(applied.judge(0, "a", 2), Verdict::Applied);
        assert_eq!(applied.judge(0, "a", 3), Verdict::New(None));
        assert_eq!(
            reason(applied.judge(0, "a", 4)),
            Some(GapReason::SequenceSkipped)
        );
    }

    #[test]
    fn a_new_session_is_a_gap_and_the_old_one_stays_applied() {
        let mut applied = applied(&[("a", 7)]);
        let Verdict::New(Some(gap)) = applied.judge(0, "b", 1) else {
            panic!("no gap")
        };
        assert_eq!(
            (gap.last_session.as_str(), gap.last_sequence, gap.reason),
            ("a", 7, GapReason::SessionReplaced)
        );
        assert_eq!(gap.message_id(), "b:1:gap");
        applied.advance(0, "b", 1);
        assert_eq!(applied.judge(0, "a", 7), Verdict::Applied);
        assert_eq!(applied.judge(0, "b", 2), Verdict::New(None));
    }

    #[test]
    fn a_redelivered_old_session_does_not_make_the_new_one_new() {
        let applied = applied(&[("a", 1), ("b", 5), ("a", 1)]);
        assert_eq!(applied.judge(0, "b", 5), Verdict::Applied);
        assert_eq!(applied.judge(0, "a", 1), Verdict::Applied);
    }

    #[test]
    fn a_rollback_of_redis_is_seen() {
        let memory = applied(&[("a", 7)]);
        assert_eq!(memory.ahead_of(&applied(&[("a", 5)])), [0]);
        assert_eq!(memory.ahead_of(&Applied::default()), [0]);
        assert!(memory.ahead_of(&applied(&[("a", 7)])).is_empty());
        assert!(memory.ahead_of(&applied(&[("a", 9), ("b", 1)])).is_empty());
    }

    #[test]
    fn what_was_lost_is_taken_from_memory_for_the_shards_that_lost_it() {
        let mut memory = applied(&[("a", 7)]);
        memory.advance(1, "c", 4);
        let mut stored = applied(&[("a", 5)]);
        stored.advance(1, "c", 4);
        stored.advance(1, "d", 2);
        let lost = memory.ahead_of(&stored);
        assert_eq!(lost, [0]);
        stored.merge(&memory, &lost);
        assert_eq!(stored.judge(0, "a", 7), Verdict::Applied);
        assert_eq!(stored.encode(1), r#"[["d",2],["c",4]]"#);
    }

    proptest! {
        #[test]
        fn what_is_stored_is_what_is_read(events in prop::collection::vec(("[a-d]", 1_u64..50), 0..30)) {
            let mut applied = Applied::default();
            for (session, sequence) in &events {
                applied.advance(3, session, *sequence);
            }
            let mut read = Applied::default();
            read.decode(3, &applied.encode(3)).unwrap();
            for (session, sequence) in &events {
                prop_assert_eq!(read.judge(3, session, *sequence), Verdict::Applied);
                prop_assert_eq!(read.judge(3, session, 99) , applied.judge(3, session, 99));
            }
        }
    }
}
