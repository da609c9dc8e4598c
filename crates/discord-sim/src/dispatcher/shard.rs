//! The log of one shard: what was sent on it, in order, and the truth that follows from it.

use std::{
    collections::{BTreeSet, VecDeque},
    sync::Arc,
    time::Instant,
};

use serde_json::Value;

use super::session::{Body, Sent, SessionKey};
use crate::truth::Truth;

/// Commands kept for each shard; older ones are forgotten.
const COMMANDS_KEPT: usize = 100_000;

/// Bytes of commands kept for each shard.
const COMMAND_BYTES_KEPT: usize = 32 * 1024 * 1024;

/// Entries that may wait before [`ShardLog::settle`] is also done while events are made.
const UNSETTLED: usize = 1_024;

/// A dispatch that was sent on a shard, or was recorded for it while its session was disconnected.
#[derive(Debug, Clone)]
pub struct SentEvent {
    /// Shard id.
    pub shard: u32,
    /// Session id, as in READY.
    pub session: String,
    /// Sequence in the session.
    pub seq: u64,
    /// Event name; empty for a raw text without a readable one.
    pub t: String,
    /// Discord's bytes of `d`; for a raw text, the whole of it.
    pub d: Arc<str>,
    /// What an exact cache reports as `old`. `None` too while the event is not delivered.
    pub old: Option<Value>,
    /// Whether it was written to a socket of its session. What is not and belongs to a session that
    /// has ended could never reach the client; what is not and belongs to a live one may yet.
    pub delivered: bool,
    /// Whether the session lives, that is, can still deliver or replay this event.
    pub session_live: bool,
}

/// What becomes of an entry of the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fate {
    /// Written: it counts.
    Delivered,
    /// Written, but by a session that a newer one has replaced: a cache ignores it.
    Shadowed,
    /// Its session ended before it was written.
    Undelivered,
    /// Not written yet.
    Waiting,
}

#[derive(Debug)]
struct Entry {
    sent: Arc<Sent>,
    old: Option<Box<str>>,
    delivered: bool,
}

/// The log of one (shard, total).
#[derive(Debug, Default)]
pub(super) struct ShardLog {
    /// Live sessions, oldest first.
    pub(super) sessions: BTreeSet<SessionKey>,
    pub(super) truth: Truth,
    pub(super) commands: VecDeque<(Instant, Value)>,
    /// Of each command.
    command_bytes: VecDeque<usize>,
    /// Of all of them.
    bytes_of_commands: usize,
    entries: VecDeque<Entry>,
    /// Entries that were dropped from the front.
    dropped: usize,
    /// Entries at the front whose fate is settled.
    settled: usize,
}

/// What the log keeps.
#[derive(Debug, Clone, Copy)]
pub(super) struct Keeping {
    pub(super) payloads: bool,
    pub(super) truth: bool,
    /// Messages in the truth of a shard.
    pub(super) messages: usize,
}

impl ShardLog {
    pub(super) fn new(keeping: Keeping) -> Self {
        Self {
            truth: Truth::bounded(keeping.messages, keeping.payloads),
            ..Self::default()
        }
    }

    pub(super) fn add(&mut self, sent: Arc<Sent>) {
        self.entries.push_back(Entry {
            sent,
            old: None,
            delivered: false,
        });
    }

    pub(super) fn add_command(&mut self, now: Instant, command: Value) {
        let bytes = command.to_string().len();
        self.command_bytes.push_back(bytes);
        self.bytes_of_commands += bytes;
        self.commands.push_back((now, command));
        while self.commands.len() > COMMANDS_KEPT || self.bytes_of_commands > COMMAND_BYTES_KEPT {
            self.commands.pop_front();
            self.bytes_of_commands -= self.command_bytes.pop_front().unwrap_or_default();
        }
    }

    /// The sessions of what is not settled.
    pub(super) fn unsettled(&self) -> impl Iterator<Item = SessionKey> {
        let entries = self.entries.iter().skip(self.settled);
        entries.map(|entry| entry.sent.session)
    }

    /// Whether so much is unsettled that a part should be settled now.
    pub(super) fn is_overdue(&self) -> bool {
        self.entries.len() - self.settled > UNSETTLED
    }

    /// Applies up to `limit` entries to the truth, in order, as far as their fate is known.
    pub(super) fn settle(&mut self, limit: usize, keeping: Keeping, fate: impl Fn(&Sent) -> Fate) {
        for _ in 0..limit {
            let Some(entry) = self.entries.get_mut(self.settled) else {
                return;
            };
            let fate = fate(&entry.sent);
            if fate == Fate::Waiting {
                return;
            }
            entry.delivered = fate != Fate::Undelivered;
            if keeping.truth && fate == Fate::Delivered {
                let old = apply(&mut self.truth, &entry.sent);
                // As text it is smaller.
                let old = old.filter(|_| keeping.payloads);
                entry.old = old.map(|old| old.to_string().into());
            }
            if keeping.payloads {
                self.settled += 1;
            } else {
                self.entries.pop_front();
                self.dropped += 1;
            }
        }
    }

    /// The entries from index `after` on (counted from the shard's first), at most `limit`.
    pub(super) fn events(
        &self,
        shard: u32,
        after: usize,
        limit: usize,
        is_live: impl Fn(SessionKey) -> bool,
    ) -> Vec<SentEvent> {
        let skip = after.saturating_sub(self.dropped).min(self.entries.len());
        let event = |entry: &Entry| {
            let sent = &entry.sent;
            let (t, d) = match &sent.body {
                Body::Dispatch { t, d } => (t.to_string(), Arc::clone(d)),
                Body::Raw { text } => (String::new(), Arc::clone(text)),
            };
            SentEvent {
                shard,
                session: sent.session_id.to_string(),
                seq: sent.sequence,
                t,
                d,
                old: entry
                    .old
                    .as_deref()
                    .and_then(|old| serde_json::from_str(old).ok()),
                delivered: entry.delivered,
                session_live: is_live(sent.session),
            }
        };
        self.entries.range(skip..).take(limit).map(event).collect()
    }

    /// How many entries there have been.
    pub(super) fn len(&self) -> usize {
        self.dropped + self.entries.len()
    }
}

/// Applies one entry; what can't be read changes nothing.
fn apply(truth: &mut Truth, sent: &Sent) -> Option<Value> {
    match &sent.body {
        Body::Dispatch { t, .. } if !Truth::is_concerned(t) => None,
        Body::Dispatch { t, d } => {
            let d: Value = serde_json::from_str(d).ok()?;
            truth.apply(&sent.session_id, t, &d)
        }
        Body::Raw { text } => {
            let payload: Value = serde_json::from_str(text).ok()?;
            let t = payload["t"].as_str()?;
            truth.apply(&sent.session_id, t, &payload["d"])
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_are_kept_up_to_so_many_bytes() {
        let mut log = ShardLog::default();
        let long = Value::from("x".repeat(COMMAND_BYTES_KEPT / 3));
        for _ in 0..5 {
            log.add_command(Instant::now(), long.clone());
        }
        log.add_command(Instant::now(), Value::Null);
        assert_eq!(log.commands.len(), 3);
        assert_eq!(
            log.commands.back().map(|(_, command)| command.is_null()),
            Some(true)
        );
    }
}
