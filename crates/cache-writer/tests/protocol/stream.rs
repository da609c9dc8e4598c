//! What Discord sends and ingest puts into the partition's queue, and what must come of it.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use cache_writer::core::owner::EventId;

/// Things that the cache holds.
pub(crate) const ENTITIES: u8 = 3;

/// An event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Event {
    pub(crate) id: EventId,
    pub(crate) change: Change,
}

/// What an event does to the cache.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Change {
    /// Replaces the entity's value; its `old` is the one before.
    Set(u8),
    /// Purges the entity, which is done before the batch that the event is in.
    Purge(u8),
}

impl Change {
    pub(crate) fn entity(self) -> u8 {
        match self {
            Self::Set(entity) | Self::Purge(entity) => entity,
        }
    }
}

/// A message in the partition's queue.
pub(crate) type Frame = Arc<Vec<Event>>;

/// What an event must be published with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Expected {
    pub(crate) old: Option<String>,
    pub(crate) gap: bool,
}

/// The shards' sessions, and the state that one application of each event gives.
#[derive(Debug, Default)]
pub(crate) struct Stream {
    /// For each shard, the events of the present session.
    sessions: [Vec<Event>; 2],
    started: [u32; 2],
    pub(crate) sent: Vec<EventId>,
    pub(crate) expected: HashMap<(Arc<str>, u64), Expected>,
    pub(crate) entities: BTreeMap<u8, String>,
}

impl Stream {
    /// The next frame of a shard: up to three new events, behind some that ingest had sent before but not seen confirmed.
    pub(crate) fn frame(&mut self, mut pick: impl FnMut(usize) -> usize) -> Frame {
        let shard = pick(2);
        let (new, again) = (pick(4), pick(3));
        if self.sessions[shard].is_empty() || pick(10) == 0 {
            self.sessions[shard].clear();
            self.started[shard] += 1;
        }
        let from = self.sessions[shard].len().saturating_sub(again);
        for _ in 0..new {
            let entity = pick(usize::from(ENTITIES)) as u8;
            let change = match pick(5) {
                0 => Change::Purge(entity),
                _ => Change::Set(entity),
            };
            self.happen(shard, change);
        }
        Arc::new(self.sessions[shard][from..].to_vec())
    }

    fn happen(&mut self, shard: usize, change: Change) {
        let sequence = self.sessions[shard].len() as u64 + 1;
        let id = EventId {
            shard: shard as u32,
            session: format!("s{shard}.{}", self.started[shard]).into(),
            sequence,
        };
        let old = match change {
            Change::Set(entity) => self.entities.insert(entity, value(&id)),
            Change::Purge(entity) => {
                self.entities.remove(&entity);
                None
            }
        };
        let gap = sequence == 1 && self.sent.iter().any(|sent| sent.shard == id.shard);
        self.expected
            .insert((id.session.clone(), sequence), Expected { old, gap });
        self.sent.push(id.clone());
        self.sessions[shard].push(Event { id, change });
    }
}

/// What an entity holds after an event: JSON text.
pub(crate) fn value(id: &EventId) -> String {
    format!("\"{}:{}\"", id.session, id.sequence)
}
