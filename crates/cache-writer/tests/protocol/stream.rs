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
    /// Session and sequence of the last event before the gap.
    pub(crate) gap: Option<(String, u64)>,
}

/// The shards' sessions, and the state that one application of each event gives.
#[derive(Debug)]
pub(crate) struct Stream {
    /// Total and number of each shard.
    pub(crate) shards: [(u32, u32); 2],
    /// For each shard, the events of the present session.
    sessions: [Vec<Event>; 2],
    started: [u32; 2],
    pub(crate) sent: Vec<EventId>,
    pub(crate) expected: HashMap<(Arc<str>, u64), Expected>,
    pub(crate) entities: BTreeMap<u8, String>,
}

impl Stream {
    pub(crate) fn new(shards: [(u32, u32); 2]) -> Self {
        Self {
            shards,
            sessions: [vec![], vec![]],
            started: [0, 0],
            sent: Vec::new(),
            expected: HashMap::new(),
            entities: BTreeMap::new(),
        }
    }

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
        let (total, number) = self.shards[shard];
        let id = EventId {
            total,
            shard: number,
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
        let before = || {
            let mut sent = self.sent.iter().rev();
            let of = |total| move |sent: &&EventId| (sent.total, sent.shard) == (total, number);
            // Of another total, if the shard had no session.
            let before = sent.clone().find(of(total));
            before.or_else(|| sent.find(|sent| sent.shard == number))
        };
        let before = before().filter(|_| sequence == 1);
        let gap = before.map(|id| (id.session.to_string(), id.sequence));
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
