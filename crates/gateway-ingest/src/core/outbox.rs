//! What the shards of one partition have received and RabbitMQ has not confirmed yet.
//!
//! A partition is the unit of order: its events travel through one outbox, in frames that hold events of several shards.
//!
//! **Invariant:** one publication is in flight at a time, and the next one is made only when it is confirmed. A shard's events
//! travel through one outbox, in order. So confirms are contiguous for each shard: the last confirmed place is the one to resume
//! from, everything before it is confirmed too.
//!
//! **Invariant:** a publication that is handed out holds events of owned shards alone. What is in flight may have been published
//! while a shard was owned; it is made anew without a shard that is not owned any more before it is published again.

#[cfg(test)]
mod tests;

use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
};

use dispatch_proto::{
    frame::{FrameBuilder, MAX_INFLATED, compressed},
    rabbit::MAX_BODY,
};

/// A frame is closed when it has reached this size, in bytes.
const FRAME_BYTES: usize = 256 * 1024;
/// A larger frame is compressed, in bytes: that of a single event.
const COMPRESSED_BYTES: usize = 1024 * 1024;
/// A frame holds at most so many events.
const FRAME_EVENTS: usize = 512;
/// What a frame adds to its one event, in bytes: more than header, session id and event header take.
const FRAME_OVERHEAD: usize = 1024;
/// What a frame adds to each event, in bytes.
const EVENT_OVERHEAD: usize = 64;
/// A queue that has emptied keeps memory for so many events.
const KEPT_CAPACITY: usize = 32;

/// A payload that was received. `P` is dropped when it is confirmed: the permit to hold its bytes.
#[derive(Debug)]
pub struct Received<P> {
    /// Its place in a session; `None` if it has none and can only become a dead letter.
    pub place: Option<Place>,
    /// When it was read from the socket, in microseconds of Unix time.
    pub received_us: u64,
    /// Discord's own text.
    pub payload: String,
    /// The permit to hold it.
    pub permit: P,
}

/// A position in a session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// Discord's id of the session.
    pub session: Arc<str>,
    /// The sequence (`s`).
    pub sequence: u64,
}

/// What is published in one go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Publication {
    /// A frame with one or more events.
    Frame(Arc<Vec<u8>>),
    /// A payload that can't travel in a frame.
    DeadLetter {
        /// Whose it is.
        shard: u32,
        /// Discord's own text.
        body: Arc<Vec<u8>>,
        /// Why.
        reason: DeadReason,
    },
}

/// Why a payload can't travel in a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeadReason {
    /// Larger than what RabbitMQ takes.
    TooLarge,
    /// Without a sequence, or outside of a session.
    NoPlace,
}

impl DeadReason {
    /// In words, for the dead letter's header.
    #[must_use]
    pub const fn text(self) -> &'static str {
        match self {
            Self::TooLarge => "payload is larger than the broker takes",
            Self::NoPlace => "payload has no sequence in a session",
        }
    }

    /// As a metric's label.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::TooLarge => "too_large",
            Self::NoPlace => "no_place",
        }
    }
}

/// What a confirm has confirmed of one shard.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Confirmed {
    /// The shard.
    pub shard: u32,
    /// Number of events.
    pub events: usize,
    /// The place up to which everything is confirmed, if it has moved.
    pub place: Option<Place>,
}

/// The payloads of a partition's shards, from the socket to the confirm.
#[derive(Debug)]
pub struct Outbox<P> {
    total: u32,
    lines: BTreeMap<u32, Line<P>>,
    /// Owned shards that have something to publish, the one whose turn it is first.
    turns: VecDeque<u32>,
    in_flight: Option<InFlight>,
    /// Largest body that RabbitMQ takes, in bytes.
    limit: usize,
}

/// A shard's payloads.
#[derive(Debug)]
struct Line<P> {
    /// Everything that is not confirmed, also what is in flight.
    waiting: VecDeque<Received<P>>,
    owned: bool,
    /// Whether it is among the turns.
    queued: bool,
}

impl<P> Default for Line<P> {
    fn default() -> Self {
        Self {
            waiting: VecDeque::new(),
            owned: false,
            queued: false,
        }
    }
}

#[derive(Debug)]
struct InFlight {
    publication: Publication,
    /// Whose events it holds: the first of these shards' lines.
    of: Vec<Confirmed>,
    /// It holds events of a shard that has been released since: not to be published again.
    stale: bool,
}

impl<P> Outbox<P> {
    /// An empty outbox of shards of `total`.
    #[must_use]
    pub const fn new(total: u32) -> Self {
        Self {
            total,
            lines: BTreeMap::new(),
            turns: VecDeque::new(),
            in_flight: None,
            limit: MAX_BODY,
        }
    }

    /// RabbitMQ takes no larger body than this, in bytes: what is in flight is made anew.
    pub fn limit(&mut self, bytes: usize) {
        self.limit = self.limit.min(bytes);
        if let Some(flight) = &mut self.in_flight {
            flight.stale = true;
        }
    }

    /// The largest body that RabbitMQ takes, in bytes.
    #[must_use]
    pub const fn largest(&self) -> usize {
        self.limit
    }

    /// The shard's events may be published from now on.
    pub fn own(&mut self, shard: u32) {
        let line = self.lines.entry(shard).or_default();
        line.owned = true;
        queue(&mut self.turns, shard, line);
    }

    /// The shard's events may not be published any more, until it is owned again. They are kept.
    pub fn release(&mut self, shard: u32) {
        let Some(line) = self.lines.get_mut(&shard) else {
            return;
        };
        line.owned = false;
        line.queued = false;
        self.turns.retain(|queued| *queued != shard);
        if line.waiting.is_empty() {
            self.lines.remove(&shard);
        }
        if let Some(flight) = &mut self.in_flight {
            flight.stale |= flight.of.iter().any(|part| part.shard == shard);
        }
    }

    /// The connection has ended: no shard is owned, and no confirm comes any more of what is in flight.
    pub fn release_all(&mut self) {
        self.in_flight = None;
        self.turns.clear();
        self.lines.retain(|_, line| {
            line.owned = false;
            line.queued = false;
            !line.waiting.is_empty()
        });
    }

    /// Releases the shard and drops what is not confirmed of it. A confirm of what is in flight says nothing of it any more.
    pub fn clear(&mut self, shard: u32) {
        self.release(shard);
        self.lines.remove(&shard);
        if let Some(flight) = &mut self.in_flight {
            flight.of.retain(|part| part.shard != shard);
        }
    }

    /// Adds what was received.
    pub fn push(&mut self, shard: u32, received: Received<P>) {
        let line = self.lines.entry(shard).or_default();
        line.waiting.push_back(received);
        queue(&mut self.turns, shard, line);
    }

    /// Whether everything of the shard is confirmed.
    #[must_use]
    pub fn is_drained(&self, shard: u32) -> bool {
        let line = self.lines.get(&shard);
        line.is_none_or(|line| line.waiting.is_empty())
    }

    /// Whether a publication was handed out that is not confirmed yet.
    #[must_use]
    pub const fn is_in_flight(&self) -> bool {
        self.in_flight.is_some()
    }

    /// The publication to publish: the one that is not confirmed yet, unchanged if it may be published still, else a new one.
    pub fn publication(&mut self) -> Option<Publication> {
        if let Some(stale) = self.in_flight.take_if(|flight| flight.stale) {
            for part in stale.of.iter().rev() {
                let line = self.lines.get_mut(&part.shard);
                if let Some(line) = line.filter(|line| line.owned && !line.queued) {
                    line.queued = true;
                    self.turns.push_front(part.shard);
                }
            }
        }
        if self.in_flight.is_none() {
            self.in_flight = self.pack();
        }
        self.in_flight
            .as_ref()
            .map(|flight| flight.publication.clone())
    }

    /// The publication is confirmed. Returns what that says of each shard.
    pub fn confirm(&mut self) -> Vec<Confirmed> {
        let confirmed = self.in_flight.take().map_or(Vec::new(), |flight| flight.of);
        for part in &confirmed {
            let Some(line) = self.lines.get_mut(&part.shard) else {
                continue;
            };
            line.waiting.drain(..part.events);
            if line.waiting.is_empty() {
                line.waiting.shrink_to(KEPT_CAPACITY);
            }
            queue(&mut self.turns, part.shard, line);
        }
        confirmed
    }

    fn pack(&mut self) -> Option<InFlight> {
        let of = self.choose();
        let publication = match of.as_slice() {
            [] => return None,
            [only] if only.events == 1 => self.single(only),
            _ => Publication::Frame(Arc::new(self.frame(&of))),
        };
        for part in &of {
            if let Some(line) = self.lines.get_mut(&part.shard) {
                line.queued = false;
            }
        }
        let lines = &self.lines;
        self.turns
            .retain(|shard| lines.get(shard).is_some_and(|line| line.queued));
        Some(InFlight {
            publication,
            of,
            stale: false,
        })
    }

    /// How many events of which shards go next: one of each shard in turn until a frame is full, or a single dead letter. A shard that
    /// has none among them stays ahead of those that have.
    fn choose(&mut self) -> Vec<Confirmed> {
        let lines = &mut self.lines;
        self.turns.retain(|shard| {
            let line = lines.get_mut(shard);
            line.is_some_and(|line| {
                line.queued = !line.waiting.is_empty();
                line.queued
            })
        });
        let mut open: Vec<(u32, usize, &VecDeque<Received<P>>)> = (self.turns.iter())
            .filter_map(|shard| Some((*shard, 0, &self.lines.get(shard)?.waiting)))
            .collect();
        let first = open.first().and_then(|(_, _, waiting)| waiting.front());
        if first.is_some_and(|first| dead_reason(first).is_some()) {
            open.truncate(1);
            return open
                .into_iter()
                .map(|open| part(open.0, 1, open.2))
                .collect();
        }
        let (mut bytes, mut events) = (0, 0);
        let mut chosen = Vec::with_capacity(open.len());
        while !open.is_empty() {
            open.retain_mut(|(shard, taken, waiting)| {
                let next = waiting.get(*taken).filter(|next| {
                    let len = next.payload.len() + EVENT_OVERHEAD;
                    let fits =
                        events < FRAME_EVENTS && bytes + len <= FRAME_BYTES.min(self.limit / 2);
                    dead_reason(next).is_none() && (fits || events == 0)
                });
                if let Some(next) = next {
                    bytes += next.payload.len() + EVENT_OVERHEAD;
                    events += 1;
                    *taken += 1;
                } else if *taken > 0 {
                    chosen.push(part(*shard, *taken, waiting));
                }
                next.is_some()
            });
        }
        chosen
    }

    /// A shard's first payload by itself, compressed if it is large; a dead letter if it is too large nevertheless.
    fn single(&self, of: &Confirmed) -> Publication {
        let shard = of.shard;
        let first = self.lines.get(&shard);
        let first = first.and_then(|line| line.waiting.front());
        let dead = |reason| Publication::DeadLetter {
            shard,
            body: Arc::new(first.map_or(Vec::new(), |first| first.payload.as_bytes().to_vec())),
            reason,
        };
        if let Some(reason) = first.and_then(dead_reason) {
            return dead(reason);
        }
        let mut frame = Some(self.frame(std::slice::from_ref(of)));
        if frame
            .as_ref()
            .is_some_and(|frame| frame.len() > COMPRESSED_BYTES.min(self.limit))
        {
            frame = frame.and_then(|frame| compressed(&frame));
        }
        match frame.filter(|frame| frame.len() <= self.limit) {
            Some(frame) => Publication::Frame(Arc::new(frame)),
            None => dead(DeadReason::TooLarge),
        }
    }

    fn frame(&self, of: &[Confirmed]) -> Vec<u8> {
        let events = || {
            of.iter().flat_map(|part| {
                let line = self.lines.get(&part.shard).into_iter();
                let events = line.flat_map(|line| line.waiting.iter().take(part.events));
                events.filter_map(|event| Some((part.shard, event.place.as_ref()?, event)))
            })
        };
        let payloads: usize = events()
            .map(|(_, _, event)| event.payload.len() + EVENT_OVERHEAD)
            .sum();
        let mut frame = FrameBuilder::with_capacity(payloads + FRAME_OVERHEAD);
        let mut section = None;
        for (shard, place, event) in events() {
            let this = Some((shard, &*place.session));
            if section != this {
                section = this;
                frame.section(shard, self.total, &place.session);
            }
            frame.push(place.sequence, event.received_us, event.payload.as_bytes());
        }
        frame.finish()
    }
}

/// Gives an owned shard that has something to publish a turn.
fn queue<P>(turns: &mut VecDeque<u32>, shard: u32, line: &mut Line<P>) {
    if line.owned && !line.queued && !line.waiting.is_empty() {
        line.queued = true;
        turns.push_back(shard);
    }
}

/// The first so many events of a shard.
fn part<P>(shard: u32, events: usize, waiting: &VecDeque<Received<P>>) -> Confirmed {
    let last = waiting.get(events - 1);
    Confirmed {
        shard,
        events,
        place: last.and_then(|last| last.place.clone()),
    }
}

fn dead_reason<P>(received: &Received<P>) -> Option<DeadReason> {
    if received.place.is_none() {
        Some(DeadReason::NoPlace)
    } else if received.payload.len() > MAX_INFLATED - FRAME_OVERHEAD {
        Some(DeadReason::TooLarge)
    } else {
        None
    }
}
