//! Which events are applied already: the last sequence of each session of each shard.
//!
//! What belongs to a shard is kept by total and number: under another total the same number is another shard, and both may run at
//! once. The version before keeps it by the number alone. While one version replaces the other, their processes take turns on a
//! partition, so both are written in each transaction, and what only one of them says counts as well.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use dispatch_proto::{
    notice::{Gap, GapReason},
    redis::shard_field,
};
use foldhash::HashMap;
use thiserror::Error;

/// Sessions remembered for each shard. A frame of an earlier session can only come back unacknowledged after a crash, and
/// identifies are at least 5 s apart, so even a few would do.
const SESSIONS: usize = 8;

/// The total of shards, and the number of one.
pub type Shard = (u32, u32);

/// The last applied sequence of each shard's newest sessions.
///
/// **Invariant:** it is stored in the same transaction as what the events changed, so an event is applied if and only if
/// its sequence is not above the one stored for its session.
///
/// Each batch has its own, and differs from the one before in few shards: what is the same is shared.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Applied {
    shards: HashMap<Shard, Arc<Sessions>>,
    /// By the number alone, whatever the total.
    numbers: HashMap<u32, Arc<Sessions>>,
}

/// What Redis holds of [`Applied`]: texts by the fields of both hashes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stored {
    /// By [`shard_field`].
    pub shards: BTreeMap<String, String>,
    /// By the shard's number, as the version before has it.
    pub numbers: BTreeMap<u32, String>,
}

/// What is stored is nothing that this version writes.
#[derive(Debug, Error)]
#[error("what redis holds of applied events of shard {field} is unreadable")]
pub struct Unreadable {
    field: String,
    #[source]
    source: Option<serde_json::Error>,
}

/// What is to be done with an event that was delivered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Not applied yet; a gap before it, if there is one.
    New(Option<Gap>),
    /// Applied before.
    Applied,
}

impl Stored {
    /// Writes what `newer` has over it, as Redis does.
    pub fn extend(&mut self, newer: Self) {
        self.shards.extend(newer.shards);
        self.numbers.extend(newer.numbers);
    }
}

impl Applied {
    /// Judges an event by what is applied.
    #[must_use]
    pub fn judge(&self, shard: Shard, session: &str, sequence: u64) -> Verdict {
        let gap = |reason, last_session: &str, last_sequence| Gap {
            shard: shard.1,
            reason,
            last_session: last_session.to_owned(),
            last_sequence,
            next_session: session.to_owned(),
            next_sequence: sequence,
        };
        match self.last(shard, session) {
            Some(last) if sequence <= last => Verdict::Applied,
            Some(last) if sequence > last + 1 => {
                Verdict::New(Some(gap(GapReason::SequenceSkipped, session, last)))
            }
            Some(_) => Verdict::New(None),
            None => Verdict::New(self.newest(shard).map(|newest| {
                let last = self.last(shard, newest).unwrap_or_default();
                gap(GapReason::SessionReplaced, newest, last)
            })),
        }
    }

    /// Notes an event as applied.
    pub fn advance(&mut self, shard: Shard, session: &str, sequence: u64) {
        let own = self.shards.entry(shard).or_default();
        Arc::make_mut(own).advance(session, sequence);
        let number = self.numbers.entry(shard.1).or_default();
        Arc::make_mut(number).advance(session, sequence);
    }

    /// The shards that are known by total and number.
    pub fn shards(&self) -> impl Iterator<Item = Shard> {
        self.shards.keys().copied()
    }

    /// What is to be stored of these shards.
    #[must_use]
    pub fn encode(&self, shards: impl IntoIterator<Item = Shard>) -> Stored {
        let mut stored = Stored::default();
        for shard in shards {
            let (total, number) = shard;
            let text = self
                .shards
                .get(&shard)
                .map(|sessions| sessions.encode())
                .unwrap_or_default();
            stored.shards.insert(shard_field(total, number), text);
            let text = self
                .numbers
                .get(&number)
                .map(|sessions| sessions.encode())
                .unwrap_or_default();
            stored.numbers.insert(number, text);
        }
        stored
    }

    /// Reads what is stored.
    ///
    /// # Errors
    ///
    /// If it is not what [`Self::encode`] writes.
    pub fn decode(stored: &Stored) -> Result<Self, Unreadable> {
        let mut applied = Self::default();
        for (field, text) in &stored.shards {
            let shard = parse(field).ok_or_else(|| Unreadable::new(field, None))?;
            let sessions = Sessions::decode(field, text)?;
            applied.shards.insert(shard, Arc::new(sessions));
        }
        for (number, text) in &stored.numbers {
            let sessions = Sessions::decode(number, text)?;
            applied.numbers.insert(*number, Arc::new(sessions));
        }
        Ok(applied)
    }

    /// The shards of which `self` has applied more than `stored` says: what Redis lost by coming back with older data. Each by its
    /// number.
    #[must_use]
    pub fn ahead_of(&self, stored: &Self) -> BTreeSet<u32> {
        let lags = |shard: Shard, sessions: &Sessions| {
            let (session, last) = sessions.0.first()?;
            (stored.last(shard, session) < Some(*last)).then_some(shard.1)
        };
        let shards = self.shards.iter();
        let shards = shards.filter_map(|(shard, sessions)| lags(*shard, sessions));
        let numbers = self.numbers.iter();
        shards
            .chain(numbers.filter_map(|(number, sessions)| lags((0, *number), sessions)))
            .collect()
    }

    /// Takes over what `other` has applied of the shards with these numbers beyond `self`.
    pub fn merge(&mut self, other: &Self, numbers: &BTreeSet<u32>) {
        for (shard, sessions) in &other.shards {
            if numbers.contains(&shard.1) {
                Arc::make_mut(self.shards.entry(*shard).or_default()).merge(sessions);
            }
        }
        for (number, sessions) in &other.numbers {
            if numbers.contains(number) {
                Arc::make_mut(self.numbers.entry(*number).or_default()).merge(sessions);
            }
        }
    }

    /// The last sequence of a session, by whichever version.
    fn last(&self, shard: Shard, session: &str) -> Option<u64> {
        let own = self.shards.get(&shard);
        let number = self.numbers.get(&shard.1);
        let last = |sessions: Option<&Arc<Sessions>>| sessions?.last(session);
        last(own).max(last(number))
    }

    /// The newest session of a shard. One that only the version before has noted counts as the shard's. Where the shard had none, it is
    /// that of another total: who changes the total must not believe that nothing was missed.
    fn newest(&self, shard: Shard) -> Option<&str> {
        let others = self.shards.iter();
        let others: Vec<_> = others
            .filter(|(other, _)| other.1 == shard.1 && other.0 != shard.0)
            .map(|(_, sessions)| sessions)
            .collect();
        let numbers = self.numbers.get(&shard.1).into_iter();
        let mut numbers = numbers.flat_map(|sessions| sessions.names());
        let foreign = |session: &&str| others.iter().any(|other| other.last(session).is_some());
        let any = numbers.clone().next();
        let own = self.shards.get(&shard).into_iter();
        numbers
            .find(|session| !foreign(session))
            .or_else(|| own.flat_map(|sessions| sessions.names()).next())
            .or(any)
    }
}

/// Sessions and their last applied sequences, the newest first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Sessions(Vec<(String, u64)>);

impl Sessions {
    fn last(&self, session: &str) -> Option<u64> {
        let known = self.0.iter().find(|(known, _)| known == session);
        known.map(|(_, last)| *last)
    }

    fn names(&self) -> impl Iterator<Item = &str> + Clone {
        self.0.iter().map(|(session, _)| &**session)
    }

    fn advance(&mut self, session: &str, sequence: u64) {
        match self.0.iter().position(|(known, _)| known == session) {
            Some(0) => {}
            Some(position) => self.0[..=position].rotate_right(1),
            None => {
                self.0.insert(0, (session.to_owned(), 0));
                self.0.truncate(SESSIONS);
            }
        }
        self.0[0].1 = self.0[0].1.max(sequence);
    }

    fn merge(&mut self, other: &Self) {
        for (session, last) in other.0.iter().rev() {
            self.advance(session, *last);
        }
    }

    fn encode(&self) -> String {
        let sessions = self.0.iter();
        let sessions = sessions.map(|(session, last)| serde_json::json!([session, last]));
        serde_json::Value::from_iter(sessions).to_string()
    }

    fn decode(field: impl ToString, text: &str) -> Result<Self, Unreadable> {
        let sessions = serde_json::from_str(text);
        let sessions = sessions.map_err(|source| Unreadable::new(field, Some(source)))?;
        Ok(Self(sessions))
    }
}

impl Unreadable {
    fn new(field: impl ToString, source: Option<serde_json::Error>) -> Self {
        let field = field.to_string();
        Self { field, source }
    }
}

/// The shard of a [`shard_field`].
fn parse(field: &str) -> Option<Shard> {
    let (total, number) = field.split_once(':')?;
    Some((total.parse().ok()?, number.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SHARD: Shard = (1, 0);
    /// The same number under another total.
    const OTHER: Shard = (2, 0);

    fn applied(events: &[(&str, u64)]) -> Applied {
        let mut applied = Applied::default();
        for (session, sequence) in events {
            applied.advance(SHARD, session, *sequence);
        }
        applied
    }

    fn gap(verdict: Verdict) -> Option<(GapReason, String, u64)> {
        match verdict {
            Verdict::New(gap) => gap.map(|gap| (gap.reason, gap.last_session, gap.last_sequence)),
            Verdict::Applied => panic!("applied"),
        }
    }

    fn replaced(session: &str, sequence: u64) -> Option<(GapReason, String, u64)> {
        Some((GapReason::SessionReplaced, session.to_owned(), sequence))
    }

    fn read(stored: &Stored) -> Applied {
        Applied::decode(stored).unwrap()
    }

    #[test]
    fn the_first_session_of_a_shard_is_no_gap() {
        assert_eq!(Applied::default().judge(SHARD, "a", 1), Verdict::New(None));
    }

    #[test]
    fn sequences_follow_each_other() {
        let applied = applied(&[("a", 1), ("a", 2)]);
        assert_eq!(applied.judge(SHARD, "a", 2), Verdict::Applied);
        assert_eq!(applied.judge(SHARD, "a", 3), Verdict::New(None));
        assert_eq!(
            gap(applied.judge(SHARD, "a", 4)),
            Some((GapReason::SequenceSkipped, "a".to_owned(), 2))
        );
    }

    #[test]
    fn a_new_session_is_a_gap_and_the_old_one_stays_applied() {
        let mut applied = applied(&[("a", 7)]);
        let verdict = applied.judge(SHARD, "b", 1);
        let Verdict::New(Some(notice)) = verdict.clone() else {
            panic!("no gap")
        };
        assert_eq!(notice.message_id(), "b:1:gap");
        assert_eq!(gap(verdict), replaced("a", 7));
        applied.advance(SHARD, "b", 1);
        assert_eq!(applied.judge(SHARD, "a", 7), Verdict::Applied);
        assert_eq!(applied.judge(SHARD, "b", 2), Verdict::New(None));
    }

    #[test]
    fn a_redelivered_old_session_does_not_make_the_new_one_new() {
        let applied = applied(&[("a", 1), ("b", 5), ("a", 1)]);
        assert_eq!(applied.judge(SHARD, "b", 5), Verdict::Applied);
        assert_eq!(applied.judge(SHARD, "a", 1), Verdict::Applied);
    }

    #[test]
    fn two_totals_live_beside_each_other() {
        let mut applied = applied(&[("a", 7)]);
        // The total may have been changed, and what lay between was missed.
        assert_eq!(gap(applied.judge(OTHER, "b", 1)), replaced("a", 7));
        applied.advance(OTHER, "b", 1);
        assert_eq!(applied.judge(SHARD, "a", 8), Verdict::New(None));
        applied.advance(SHARD, "a", 8);
        assert_eq!(gap(applied.judge(OTHER, "c", 1)), replaced("b", 1));
        assert_eq!(gap(applied.judge(SHARD, "c", 1)), replaced("a", 8));
        // One that begins many sessions doesn't make the other's forgotten.
        for session in 'd'..='z' {
            applied.advance(OTHER, &session.to_string(), 1);
        }
        let applied = read(&applied.encode([SHARD, OTHER]));
        assert_eq!(applied.judge(SHARD, "a", 8), Verdict::Applied);
        assert_eq!(gap(applied.judge(SHARD, "A", 1)), replaced("a", 8));
        assert_eq!(gap(applied.judge(OTHER, "A", 1)), replaced("z", 1));
    }

    #[test]
    fn what_the_version_before_has_applied_counts() {
        let older = |text: &str| Stored {
            numbers: [(0, text.to_owned())].into(),
            ..Stored::default()
        };
        let mut applied = read(&older(r#"[["b",3],["a",7]]"#));
        assert_eq!(applied.judge(SHARD, "b", 3), Verdict::Applied);
        assert_eq!(applied.judge(SHARD, "b", 4), Verdict::New(None));
        assert_eq!(gap(applied.judge(SHARD, "c", 1)), replaced("b", 3));
        applied.advance(SHARD, "b", 4);
        // It has had another turn.
        let mut stored = applied.encode([SHARD]);
        stored.extend(older(r#"[["c",2],["b",6],["a",7]]"#));
        let applied = read(&stored);
        assert_eq!(applied.judge(SHARD, "b", 6), Verdict::Applied);
        assert_eq!(applied.judge(SHARD, "c", 3), Verdict::New(None));
        assert_eq!(gap(applied.judge(SHARD, "d", 1)), replaced("c", 2));
        assert!(applied.ahead_of(&read(&stored)).is_empty());
    }

    #[test]
    fn another_kind_of_field_is_not_taken_for_nothing() {
        for (field, text) in [("9", "[]"), ("2:0:0", "[]"), ("2:x", "[]"), ("2:0", "v9")] {
            let stored = Stored {
                shards: [(field.to_owned(), text.to_owned())].into(),
                ..Stored::default()
            };
            assert!(Applied::decode(&stored).is_err(), "{field}: {text}");
        }
    }

    #[test]
    fn a_rollback_of_redis_is_seen() {
        let memory = applied(&[("a", 7)]);
        let lost = |stored: &Applied| memory.ahead_of(stored).into_iter().collect::<Vec<_>>();
        assert_eq!(lost(&applied(&[("a", 5)])), [0]);
        assert_eq!(lost(&Applied::default()), [0]);
        assert!(lost(&applied(&[("a", 7)])).is_empty());
        assert!(lost(&applied(&[("a", 9), ("b", 1)])).is_empty());
        // Also where it is the version before that had applied more.
        let numbers = [(0, r#"[["b",1],["a",7]]"#.to_owned())].into();
        let memory = Stored {
            numbers,
            ..memory.encode([SHARD])
        };
        assert_eq!(read(&memory).ahead_of(&applied(&[("a", 7)])), [0].into());
    }

    #[test]
    fn what_was_lost_is_taken_from_memory_for_the_shards_that_lost_it() {
        let mut memory = applied(&[("a", 7)]);
        memory.advance((1, 1), "c", 4);
        let mut stored = applied(&[("a", 5)]);
        stored.advance((1, 1), "c", 4);
        stored.advance((1, 1), "d", 2);
        let lost = memory.ahead_of(&stored);
        assert_eq!(lost, [0].into());
        stored.merge(&memory, &lost);
        assert_eq!(stored.judge(SHARD, "a", 7), Verdict::Applied);
        let text = r#"[["d",2],["c",4]]"#.to_owned();
        let expected = Stored {
            shards: [("1:1".to_owned(), text.clone())].into(),
            numbers: [(1, text)].into(),
        };
        assert_eq!(stored.encode([(1, 1)]), expected);
    }

    /// A turn of a writer: whether it is of the version before, whose shard it is, whether that has a new session, and how many of
    /// its events came before.
    type Turn = (bool, usize, bool, u64);

    /// What the version before makes of an event: whether it is new, by the shard's number alone.
    fn turn_of_the_version_before(stored: &mut Stored, session: &str, sequence: u64) -> bool {
        let text = stored.numbers.entry(0).or_insert_with(|| "[]".to_owned());
        let mut known: Vec<(String, u64)> = serde_json::from_str(text).unwrap();
        let at = known.iter().position(|(other, _)| other == session);
        if at.is_some_and(|at| known[at].1 >= sequence) {
            return false;
        }
        if let Some(at) = at {
            known.remove(at);
        }
        known.insert(0, (session.to_owned(), sequence));
        known.truncate(SESSIONS);
        *text = serde_json::to_string(&known).unwrap();
        true
    }

    proptest! {
        #[test]
        fn each_event_is_new_once_whichever_version_sees_it(
            turns in prop::collection::vec(any::<(bool, prop::sample::Index, bool, u8)>(), 1..60),
        ) {
            let turn = |(older, shard, new, again): &(bool, prop::sample::Index, bool, u8)| -> Turn {
                (*older, shard.index(2), *new && again % 4 == 0, u64::from(again % 3))
            };
            let mut stored = Stored::default();
            let mut sessions = [(0_usize, 0_u64), (0, 0)];
            for (older, shard, new, again) in turns.iter().map(turn) {
                // As many as the version before remembers of both together.
                let begun = sessions[0].0 + sessions[1].0 + 2;
                let (session, last) = &mut sessions[shard];
                if new && begun < SESSIONS {
                    (*session, *last) = (*session + 1, 0);
                }
                let name = format!("{shard}.{session}");
                for sequence in last.saturating_sub(again).max(1)..=*last + 2 {
                    let is_new = if older {
                        turn_of_the_version_before(&mut stored, &name, sequence)
                    } else {
                        let shard = [SHARD, OTHER][shard];
                        let mut applied = read(&stored);
                        let verdict = applied.judge(shard, &name, sequence);
                        if let Verdict::New(gap) = &verdict {
                            prop_assert!(gap.is_none() || sequence == 1, "{gap:?}");
                            applied.advance(shard, &name, sequence);
                            stored.extend(applied.encode([shard]));
                        }
                        verdict != Verdict::Applied
                    };
                    prop_assert_eq!(is_new, sequence > *last, "{} {}", name, sequence);
                }
                *last += 2;
            }
        }

        #[test]
        fn what_is_stored_is_what_is_read(
            events in prop::collection::vec((1_u32..3, "[a-d]", 1_u64..50), 0..30),
        ) {
            let mut applied = Applied::default();
            for (total, session, sequence) in &events {
                applied.advance((*total, 3), session, *sequence);
            }
            prop_assert_eq!(read(&applied.encode(applied.shards())), applied);
        }
    }
}
