//! What becomes of each command, and when.
//!
//! Each shard has a *lane*: commands wait in it in the order in which they arrived, and one at a time is published. So a command
//! that RabbitMQ refuses holds up what follows for its shard, which keeps the order, and nothing else. Every command has its own
//! deadline; one that can't be published before it becomes a dead letter, so a lane always drains.
//!
//! The machine is told what happened ([`Forwarder::deliver`], [`Forwarder::confirmed`], …) and says what to do
//! ([`Forwarder::poll`]). Times are milliseconds of a clock that only goes forward.
//!
//! **Invariant:** a command is published, answered or rejected, and only one of the three, unless its delivery is [lost].
//!
//! **Invariant:** a shard has one command in flight, and it is the first of those that wait.
//!
//! [lost]: Forwarder::lost

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use dispatch_proto::command::{Command, Refusal};

use super::{
    rejection::{Obstacle, Rejection},
    route::{Forward, Place, place},
};

/// How long a command for an unknown shard waits for the number of shards to be read again: it may have grown just now.
const READ_LIMIT_MS: u64 = 2_000;
/// Commands that wait so at a time. Those beyond are judged by the number that is known.
const UNKNOWN_MAX: usize = 256;
/// Commands that may wait for queues that refuse them. The prefetch is larger: there is room for other shards' commands.
pub const REFUSED_MAX: usize = 1_500;
/// First and longest time before a refused command is tried again.
const RETRY_MS: (u64, u64) = (100, 2_000);
/// Age of a delivery at which it is better taken again: RabbitMQ closes a channel over one that is 30 minutes old.
const HOLD_MS: u64 = 10 * 60 * 1_000;
/// Deliveries of one message after which it does not wait for long any more. From RabbitMQ 4.0 on, a quorum queue drops a message
/// after 20, unless its policy says otherwise.
const DELIVERIES: u64 = 15;
/// How long it may wait then.
const LAST_WAIT_MS: u64 = 5_000;

/// Number of a command, in the order of their deliveries.
pub type Id = u64;
/// A queue that commands come in by.
pub type QueueId = usize;

/// A command as it was delivered.
#[derive(Debug)]
pub struct Delivered {
    /// The queue it came from.
    pub queue: QueueId,
    /// What it says, or why it can't be carried out.
    pub command: Result<Command, Refusal>,
    /// Since when it has been waiting.
    pub arrived: u64,
    /// Until when a shard may take it.
    pub deadline: u64,
    /// How often it was delivered before, as far as RabbitMQ says.
    pub deliveries: u64,
}

/// What to do with a command.
#[derive(Debug)]
pub enum Action {
    /// Publish it to its shard's queue; then [`Forwarder::confirmed`] or [`Forwarder::refused`].
    Publish(Id, Forward),
    /// Reply with the status of this shard, or of all, and acknowledge; then [`Forwarder::settled`].
    Answer(Id, Option<u32>),
    /// Dead-letter it, reply, and acknowledge; then [`Forwarder::settled`].
    Reject(Id, Rejection),
}

/// The commands that are delivered and not acknowledged.
#[derive(Debug)]
pub struct Forwarder {
    ttl_ms: u64,
    total: Option<u32>,
    next: Id,
    commands: BTreeMap<Id, Entry>,
    /// Commands whose shard is not known yet.
    unplaced: BTreeSet<Id>,
    lanes: BTreeMap<u32, Lane>,
    /// Lane of each command in flight; it outlives the command's delivery.
    in_flight: BTreeMap<Id, u32>,
    /// When those that wait give up.
    expiries: BTreeSet<(u64, Id)>,
    /// When lanes whose command was refused try again.
    retries: BTreeSet<(u64, u32)>,
    actions: VecDeque<Action>,
}

#[derive(Debug)]
struct Entry {
    queue: QueueId,
    arrived: u64,
    delivered: u64,
    deadline: u64,
    deliveries: u64,
    /// When it stops waiting to be published.
    give_up: u64,
    /// When it stops waiting for what it waits for now.
    waits_until: u64,
    /// `None` if it can't be carried out.
    command: Option<Command>,
    state: State,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Unplaced,
    Waiting(u32),
    Publishing,
    /// It is being rejected or answered.
    Ending,
}

#[derive(Debug, Default)]
struct Lane {
    waiting: BTreeSet<Id>,
    busy: bool,
    retry_at: Option<u64>,
    /// Refusals since the last confirm.
    refusals: u32,
}

impl Forwarder {
    /// `ttl_ms` is how long a command may wait.
    #[must_use]
    pub fn new(ttl_ms: u64) -> Self {
        Self {
            ttl_ms,
            total: None,
            next: 0,
            commands: BTreeMap::new(),
            unplaced: BTreeSet::new(),
            lanes: BTreeMap::new(),
            in_flight: BTreeMap::new(),
            expiries: BTreeSet::new(),
            retries: BTreeSet::new(),
            actions: VecDeque::new(),
        }
    }

    /// A command was delivered. Its number is what actions name it by.
    pub fn deliver(&mut self, delivered: Delivered, now: u64) -> Id {
        let id = self.next;
        self.next += 1;
        let (command, refusal) = match delivered.command {
            Ok(command) => (Some(command), None),
            Err(refusal) => (None, Some(refusal)),
        };
        let last_wait = now.saturating_add(LAST_WAIT_MS);
        let give_up = match delivered.deliveries {
            DELIVERIES.. => delivered.deadline.min(last_wait),
            _ => delivered.deadline,
        };
        let entry = Entry {
            queue: delivered.queue,
            arrived: delivered.arrived,
            delivered: now,
            deadline: delivered.deadline,
            deliveries: delivered.deliveries,
            give_up,
            waits_until: give_up,
            command,
            state: State::Ending,
        };
        self.commands.insert(id, entry);
        match refusal {
            Some(refusal) => self.actions.push_back(Action::Reject(id, refusal.into())),
            None => self.find_place(id, self.unplaced.len() >= UNKNOWN_MAX, now),
        }
        id
    }

    /// The number of shards was read. `began` is when the reading began: it answers what had come before.
    pub fn shards_read(&mut self, total: u32, began: u64, now: u64) {
        let changed = self.total != Some(total);
        self.total = Some(total);
        let mut again: BTreeSet<Id> = self.unplaced.clone();
        if changed {
            // Those that wait for a shard's queue too: guilds have moved.
            again.extend(self.lanes.values().flat_map(|lane| &lane.waiting));
        }
        // All are taken out before the first is placed, so that none is overtaken.
        for id in &again {
            self.take_out(*id);
        }
        for id in again {
            let delivered = self.commands.get(&id).map(|entry| entry.delivered);
            self.find_place(
                id,
                delivered.is_some_and(|delivered| delivered <= began),
                now,
            );
        }
    }

    /// A command that was published is in its shard's queue, and acknowledged.
    pub fn confirmed(&mut self, id: Id, now: u64) {
        self.commands.remove(&id);
        if let Some(shard) = self.landed(id) {
            self.lane(shard).refusals = 0;
            self.advance(shard, now);
        }
    }

    /// RabbitMQ did not take a command that was published.
    pub fn refused(&mut self, id: Id, now: u64) {
        let Some(shard) = self.landed(id) else { return };
        let lane = self.lane(shard);
        let (first, longest) = RETRY_MS;
        let pause = first
            .saturating_mul(1 << lane.refusals.min(10))
            .min(longest);
        lane.refusals += 1;
        let at = now.saturating_add(pause);
        lane.retry_at = Some(at);
        self.retries.insert((at, shard));
        if self.commands.contains_key(&id) {
            self.find_place(id, true, now);
        }
    }

    /// A command that was rejected or answered is acknowledged.
    pub fn settled(&mut self, id: Id) {
        self.commands.remove(&id);
    }

    /// The deliveries of a queue are void: what is not acknowledged comes again. Returns when each of them had arrived, in order.
    pub fn lost(&mut self, queue: QueueId, now: u64) -> Vec<u64> {
        let of_queue = self
            .commands
            .iter()
            .filter(|(_, entry)| entry.queue == queue);
        let lost: BTreeSet<Id> = of_queue.map(|(id, _)| *id).collect();
        // What has not begun must not be done for a delivery that is void.
        let actions = std::mem::take(&mut self.actions);
        let (void, valid): (VecDeque<_>, _) = actions
            .into_iter()
            .partition(|action| lost.contains(&action.id()));
        self.actions = valid;
        let freed: Vec<u32> = void
            .iter()
            .filter_map(|action| self.landed(action.id()))
            .collect();
        let arrived = lost.into_iter().filter_map(|id| {
            self.take_out(id);
            Some(self.commands.remove(&id)?.arrived)
        });
        let arrived = arrived.collect();
        for shard in freed {
            self.advance(shard, now);
        }
        arrived
    }

    /// The next thing to do now, if there is one.
    pub fn poll(&mut self, now: u64) -> Option<Action> {
        while let Some((_, id)) = self.expiries.first().filter(|(at, _)| *at <= now).copied() {
            self.give_up(id, now);
        }
        while let Some((at, shard)) = self.retries.first().filter(|(at, _)| *at <= now).copied() {
            self.retries.remove(&(at, shard));
            let lane = self.lane(shard);
            lane.retry_at = lane.retry_at.filter(|other| *other != at);
            self.advance(shard, now);
        }
        self.actions.pop_front()
    }

    /// When [`Self::poll`] has something to do again, if nothing happens before.
    #[must_use]
    pub fn wakeup(&self) -> Option<u64> {
        let expiry = self.expiries.first().map(|(at, _)| *at);
        let retry = self.retries.first().map(|(at, _)| *at);
        expiry.into_iter().chain(retry).min()
    }

    /// Commands that wait.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.expiries.len()
    }

    /// What commands wait for, in words, but for what takes only moments.
    #[must_use]
    pub fn obstacles(&self) -> Vec<String> {
        let unknown = self.total.is_none() && !self.unplaced.is_empty();
        let unknown = unknown.then_some(Obstacle::NumberOfShards);
        let refused = self.lanes.iter().filter(|(_, lane)| lane.refusals > 1);
        let refused = refused.map(|(shard, _)| Obstacle::Refused(*shard));
        unknown
            .into_iter()
            .chain(refused)
            .map(|obstacle| obstacle.to_string())
            .collect()
    }

    /// Queues whose oldest delivery is to be taken again, before RabbitMQ closes the channel over it. A queue with a command in
    /// flight is left out as long as possible: that one would be published twice.
    #[must_use]
    pub fn overdue(&self, now: u64) -> BTreeSet<QueueId> {
        let older = |age: u64| {
            let old = self
                .commands
                .values()
                .take_while(move |entry| entry.delivered.saturating_add(age) <= now);
            old.map(|entry| entry.queue)
        };
        let mut overdue: BTreeSet<QueueId> = older(HOLD_MS).collect();
        for entry in self.commands.values() {
            if matches!(entry.state, State::Publishing | State::Ending) {
                overdue.remove(&entry.queue);
            }
        }
        overdue.extend(older(2 * HOLD_MS));
        overdue
    }

    /// Puts a command that waits nowhere where it belongs now. `known` is whether the number of shards is up to date for it.
    fn find_place(&mut self, id: Id, known: bool, now: u64) {
        let Some(entry) = self.commands.get(&id) else {
            return;
        };
        let Some(command) = &entry.command else {
            return;
        };
        let (fresh, give_up) = (entry.state == State::Ending, entry.give_up);
        let read_limit = entry.delivered.saturating_add(READ_LIMIT_MS);
        match self.total.map(|total| place(command, total)) {
            None => self.wait(id, State::Unplaced, give_up),
            Some(Ok(Place::Forward(forward))) => {
                let shard = forward.shard;
                if fresh && self.lane(shard).refusals > 0 && self.refused_waiting() >= REFUSED_MAX {
                    self.end(id, Action::Reject(id, Rejection::TooMany(shard)));
                    return;
                }
                self.wait(id, State::Waiting(shard), give_up);
                self.advance(shard, now);
            }
            Some(Ok(Place::Status(shard))) => self.end(id, Action::Answer(id, shard)),
            Some(Err(Refusal::UnknownShard { .. })) if !known => {
                self.wait(id, State::Unplaced, give_up.min(read_limit));
            }
            Some(Err(refusal)) => self.end(id, Action::Reject(id, refusal.into())),
        }
    }

    fn give_up(&mut self, id: Id, now: u64) {
        let waited = self.take_out(id);
        let Some(entry) = self.commands.get(&id) else {
            return;
        };
        let unknown = match (&entry.command, self.total) {
            (Some(command), Some(total)) => place(command, total).err(),
            _ => None,
        };
        let rejection = match (unknown, waited) {
            (Some(refusal), _) => Rejection::Refused(refusal),
            _ if now < entry.deadline => Rejection::Redelivered(entry.deliveries),
            (_, Some(State::Waiting(shard))) => self.expired(match self.lanes.get(&shard) {
                Some(lane) if lane.refusals > 0 => Obstacle::Refused(shard),
                _ => Obstacle::Unconfirmed(shard),
            }),
            _ => self.expired(Obstacle::NumberOfShards),
        };
        self.end(id, Action::Reject(id, rejection));
    }

    fn expired(&self, obstacle: Obstacle) -> Rejection {
        let ttl_ms = self.ttl_ms;
        Rejection::Expired { ttl_ms, obstacle }
    }

    /// Publishes the first command that waits for a shard, if nothing is in its way.
    fn advance(&mut self, shard: u32, now: u64) {
        let lane = self.lane(shard);
        if lane.busy || lane.retry_at.is_some_and(|at| at > now) {
            return;
        }
        let Some(id) = lane.waiting.first().copied() else {
            return;
        };
        lane.busy = true;
        self.take_out(id);
        let Some(entry) = self.commands.get_mut(&id) else {
            return;
        };
        entry.state = State::Publishing;
        self.in_flight.insert(id, shard);
        let placed = entry.command.as_ref().zip(self.total);
        if let Some(Ok(Place::Forward(forward))) =
            placed.map(|(command, total)| place(command, total))
        {
            self.actions.push_back(Action::Publish(id, forward));
        }
    }

    /// A command is not in flight any more; the shard that it went to.
    fn landed(&mut self, id: Id) -> Option<u32> {
        let shard = self.in_flight.remove(&id)?;
        self.lane(shard).busy = false;
        Some(shard)
    }

    fn wait(&mut self, id: Id, state: State, give_up: u64) {
        match state {
            State::Waiting(shard) => self.lane(shard).waiting.insert(id),
            _ => self.unplaced.insert(id),
        };
        self.expiries.insert((give_up, id));
        if let Some(entry) = self.commands.get_mut(&id) {
            entry.state = state;
            entry.waits_until = give_up;
        }
    }

    /// Takes a command from where it waits; what it waited for.
    fn take_out(&mut self, id: Id) -> Option<State> {
        let entry = self.commands.get(&id)?;
        let (state, until) = (entry.state, entry.waits_until);
        match state {
            State::Waiting(shard) => self.lane(shard).waiting.remove(&id),
            State::Unplaced => self.unplaced.remove(&id),
            State::Publishing | State::Ending => return None,
        };
        self.expiries.remove(&(until, id));
        Some(state)
    }

    fn end(&mut self, id: Id, action: Action) {
        if let Some(entry) = self.commands.get_mut(&id) {
            entry.state = State::Ending;
        }
        self.actions.push_back(action);
    }

    fn lane(&mut self, shard: u32) -> &mut Lane {
        self.lanes.entry(shard).or_default()
    }

    /// Commands that wait for queues that refuse them.
    fn refused_waiting(&self) -> usize {
        let refused = self.lanes.values().filter(|lane| lane.refusals > 0);
        refused.map(|lane| lane.waiting.len()).sum()
    }
}

impl Action {
    /// The command.
    #[must_use]
    pub fn id(&self) -> Id {
        match self {
            Self::Publish(id, _) | Self::Answer(id, _) | Self::Reject(id, _) => *id,
        }
    }
}

#[cfg(test)]
mod tests;
