//! The protocol of a partition's owner: what P1 to P4 rest on, without the I/O.
//!
//! [`Owner::next_action`] says what to do; the shell does it and reports how it went. For the events in hand:
//!
//! 1. **Claim** the partition on Redis: put a new token into its epoch, and read in the same transaction what is applied
//!    and the journal. Once for every connection to Redis, so that what an earlier connection still has under way is
//!    refused, whoever's it is.
//! 2. **Judge** each event by its sequence: new; applied and in the journal, so perhaps not published; or applied and
//!    published, so to be dropped. What the journal has is **published** again with the `old` it had.
//! 3. For each batch of what is new: **purge**, **read**, **commit** (entities, applied sequences and journal in one
//!    transaction), **publish**. While its confirms are awaited, the next batches take the same way.
//! 4. **Acknowledge** deliveries whose events are all done: applied, published and confirmed.
//!
//! If Redis fails, the outcome of what was under way is not known: the next claim tells, and the events that are not done
//! are judged again. If publishing fails, the channel is dead, and with it the right to the partition: the owner ends.
//!
//! **Invariant:** what is in the journal stays there until it is confirmed: each batch's journal also holds what is in flight. So
//! "applied and not in the journal" implies "published". Redelivered events come in the order in which they came first, so
//! those that are applied precede those that are new, and what a predecessor's journal has of them is confirmed before the first
//! commit. A crash between any two steps therefore loses nothing.

mod action;
#[cfg(test)]
mod tests;

use std::{collections::VecDeque, sync::Arc};

use dispatch_proto::notice::Gap;

pub use action::{Action, Claim, Commit, EventId, Finding, Loaded, Publication, Reason};

use super::{
    applied::{Applied, Verdict},
    journal::{Journal, JournalError, JournalWriter},
};

/// The most events of one transaction: what bounds the time that Redis is held up.
pub const MAX_BATCH: usize = 1_000;
/// Publications that may be in flight when a batch is begun: what bounds the journal, which is written with each batch.
const MAX_IN_FLIGHT: usize = 2;

/// The owner of a partition, from its first delivery until it lets go.
#[derive(Debug)]
pub struct Owner {
    nonce: String,
    /// Connections that a claim was made on, or tried.
    connections: u64,
    /// Whether a claim has succeeded, on whichever connection.
    held: bool,
    /// Whether the present connection is the one that claimed.
    claimed: bool,
    batches: u64,
    /// The batch whose commit was sent, while its outcome is not known.
    attempted: Option<Batch>,
    applied: Arc<Applied>,
    /// What is applied and published for certain.
    published: Option<Arc<Applied>>,
    /// The journal on Redis as far as its events are neither published by this owner nor known to be.
    journal: Journal,
    /// Whether Redis may lack applied sequences that are known here.
    rewrite: bool,
    /// The events in hand: those that were delivered last.
    events: Vec<EventId>,
    /// How many were delivered before them.
    before: usize,
    /// Of all events the first that is not done.
    front: usize,
    /// How far those from the front on have come.
    stages: VecDeque<Stage>,
    /// For each delivery that is not acknowledged the end of its events.
    ends: VecDeque<usize>,
    in_flight: VecDeque<InFlight>,
    unreadable: Option<String>,
    new: VecDeque<New>,
    step: Step,
    end: Option<Reason>,
    findings: Vec<Finding>,
}

/// An event that is not applied yet.
#[derive(Debug)]
struct New {
    event: usize,
    gap: Option<Gap>,
}

/// How far an event has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    InHand,
    InFlight,
    Done,
}

/// What is to be done with the events in hand.
#[derive(Debug, Default)]
enum Step {
    #[default]
    Judge,
    Replay(Vec<Publication>),
    Purge,
    Read(Vec<New>),
    Commit(Batch),
    Publish(Batch),
}

/// What is published and not confirmed yet.
#[derive(Debug)]
struct InFlight {
    /// Their numbers among all events.
    events: Vec<usize>,
    /// None if they come from a journal that was found.
    batch: Option<Applying>,
}

/// What a batch writes beside the entities.
#[derive(Debug)]
struct Applying {
    applied: Arc<Applied>,
    journal: JournalWriter,
}

/// A batch that is planned.
#[derive(Debug)]
struct Batch {
    id: String,
    commit: Commit,
    applying: Applying,
    publications: Vec<Publication>,
}

impl Owner {
    /// An owner that has claimed nothing yet. `nonce` is what no other owner has. `known` is what this process knows to be applied
    /// and published, if it has owned the partition before: it may be more than Redis knows.
    #[must_use]
    pub fn new(nonce: String, known: Option<Arc<Applied>>) -> Self {
        Self {
            nonce,
            connections: 0,
            held: false,
            claimed: false,
            batches: 0,
            attempted: None,
            applied: known.unwrap_or_default(),
            published: None,
            journal: Journal::default(),
            rewrite: false,
            events: Vec::new(),
            before: 0,
            front: 0,
            stages: VecDeque::new(),
            ends: VecDeque::new(),
            in_flight: VecDeque::new(),
            unreadable: None,
            new: VecDeque::new(),
            step: Step::Judge,
            end: None,
            findings: Vec::new(),
        }
    }

    /// What is applied and published for certain; none before the first batch of this owner.
    #[must_use]
    pub fn published(&self) -> Option<&Arc<Applied>> {
        self.published.as_ref()
    }

    /// What has happened since this was asked last.
    pub fn findings(&mut self) -> Vec<Finding> {
        std::mem::take(&mut self.findings)
    }

    /// Whether the journal can be deleted: everything in it is confirmed.
    #[must_use]
    pub fn may_retire(&self) -> bool {
        self.claimed && self.journal.is_empty() && self.stages.is_empty()
    }

    /// Deliveries have come, each with so many events; only when [`Action::Await`] asks for them. `unreadable` says why one more
    /// behind them can't be read, if there is one.
    pub fn delivered(&mut self, deliveries: Vec<Vec<EventId>>, unreadable: Option<String>) {
        self.before += self.events.len();
        self.events.clear();
        for events in deliveries {
            self.events.extend(events);
            self.ends.push_back(self.before + self.events.len());
        }
        let delivered = self.before + self.events.len();
        self.stages.resize(delivered - self.front, Stage::InHand);
        self.unreadable = unreadable;
        self.step = Step::Judge;
    }

    /// The claim has succeeded.
    pub fn claimed(&mut self, loaded: &Loaded) {
        match decode(loaded) {
            Ok((applied, journal)) => self.reconcile(applied, journal),
            Err(error) => self.end = Some(Reason::Unreadable(error)),
        }
        self.held = true;
        self.claimed = true;
    }

    /// What the first `batch` of the events of [`Action::Purge`] need purged is purged.
    pub fn purged(&mut self, batch: usize) {
        let batch = batch.max(1).min(self.new.len());
        self.step = Step::Read(self.new.drain(..batch).collect());
    }

    /// The batch is planned: the state before each of its events.
    pub fn planned(&mut self, old: Vec<Option<String>>) {
        if let Step::Read(events) = std::mem::take(&mut self.step) {
            self.step = Step::Commit(self.batch(events, old));
        }
    }

    /// The batch is applied.
    pub fn committed(&mut self) {
        if let Some(batch) = self.attempted.take() {
            self.applied = batch.applying.applied.clone();
            self.rewrite = false;
            self.is_applied(batch);
        }
    }

    /// All of the [`Action::Publish`] that is the oldest in flight is confirmed.
    pub fn confirmed(&mut self) {
        let Some(InFlight { events, batch }) = self.in_flight.pop_front() else {
            return;
        };
        if let Some(batch) = batch {
            self.published = Some(batch.applied);
        }
        for event in events {
            self.stages[event - self.front] = Stage::Done;
        }
        self.advance();
    }

    /// Redis has failed: no answer in time, a lost connection, a write that it does not take for now.
    pub fn timed_out(&mut self) {
        self.claimed = false;
        self.step = Step::Judge;
    }

    /// Another process has claimed the partition.
    pub fn refused(&mut self) {
        self.end = Some(Reason::Fenced);
    }

    /// What is in flight is not confirmed, and can't be any more.
    pub fn unpublished(&mut self) {
        self.end = Some(Reason::Unpublished);
    }

    /// What to do next. To be asked once for each report.
    #[must_use]
    pub fn next_action(&mut self) -> Action {
        loop {
            if let Some(reason) = &self.end {
                return Action::GiveUp(reason.clone());
            }
            if let Some(deliveries) = self.acknowledge() {
                return Action::Acknowledge(deliveries);
            }
            if !self.stages.contains(&Stage::InHand) {
                match self.unreadable.take_if(|_| self.in_flight.is_empty()) {
                    Some(what) => self.end = Some(Reason::Unreadable(what)),
                    None if self.unreadable.is_some() => return Action::AwaitConfirm,
                    None => return Action::Await,
                }
            } else if !self.claimed {
                return Action::Claim(self.claim());
            } else if let Some(action) = self.step() {
                return action;
            }
        }
    }

    fn claim(&mut self) -> Claim {
        self.connections += 1;
        Claim {
            token: format!("{}:{}", self.nonce, self.connections),
            holder: self.held.then(|| format!("{}:", self.nonce)),
        }
    }

    /// The step that is due; none if it needs nobody else.
    fn step(&mut self) -> Option<Action> {
        match std::mem::take(&mut self.step) {
            Step::Judge => {
                let replays = self.judge();
                self.step = match replays.is_empty() {
                    true => Step::Purge,
                    false => Step::Replay(replays),
                };
                None
            }
            Step::Replay(publications) => {
                self.step = Step::Purge;
                Some(self.publish(publications, None))
            }
            Step::Purge if self.must_wait() => {
                self.step = Step::Purge;
                Some(Action::AwaitConfirm)
            }
            Step::Purge => {
                let candidates = self.new.iter().take(MAX_BATCH);
                let action = Action::Purge(candidates.map(|new| new.event).collect());
                self.step = Step::Purge;
                Some(action)
            }
            Step::Read(events) => {
                self.step = Step::Read(events);
                Some(Action::Read)
            }
            Step::Commit(mut batch) => {
                let commit = std::mem::take(&mut batch.commit);
                self.attempted = Some(batch);
                Some(Action::Commit(commit))
            }
            Step::Publish(batch) => {
                self.step = Step::Purge;
                Some(self.publish(batch.publications, Some(batch.applying)))
            }
        }
    }

    /// Whether a commit would replace a journal whose events are not confirmed, or make it too long.
    fn must_wait(&self) -> bool {
        let is_replay = |in_flight: &InFlight| in_flight.batch.is_none();
        self.in_flight.len() >= MAX_IN_FLIGHT || self.in_flight.iter().any(is_replay)
    }

    fn publish(&mut self, publications: Vec<Publication>, batch: Option<Applying>) -> Action {
        let number = |publication: &Publication| self.before + publication.event;
        let events: Vec<_> = publications.iter().map(number).collect();
        for event in &events {
            self.stages[event - self.front] = Stage::InFlight;
        }
        self.in_flight.push_back(InFlight { events, batch });
        Action::Publish(publications)
    }

    /// Tells new events from applied ones; returns those that are to be published again.
    fn judge(&mut self) -> Vec<Publication> {
        self.new.clear();
        let (mut replays, mut duplicates) = (Vec::new(), 0);
        let mut ahead = Applied::clone(&self.applied);
        for (at, event) in self.events.iter().enumerate() {
            let number = self.before + at;
            if number < self.front || self.stages[number - self.front] != Stage::InHand {
                continue;
            }
            let (session, sequence) = (&*event.session, event.sequence);
            match ahead.judge(event.of(), session, sequence) {
                Verdict::New(gap) => {
                    ahead.advance(event.of(), session, sequence);
                    self.new.push_back(New { event: at, gap });
                }
                Verdict::Applied => match self.journal.take(session, sequence) {
                    Some(journaled) => replays.push(Publication {
                        event: at,
                        old: journaled.old,
                        gap: journaled.gap,
                    }),
                    None => {
                        self.stages[number - self.front] = Stage::Done;
                        duplicates += 1;
                    }
                },
            }
        }
        self.find(duplicates, Finding::Duplicates);
        self.find(replays.len(), Finding::Replays);
        self.advance();
        replays
    }

    fn find(&mut self, count: usize, finding: fn(usize) -> Finding) {
        if count > 0 {
            self.findings.push(finding(count));
        }
    }

    fn batch(&mut self, events: Vec<New>, old: Vec<Option<String>>) -> Batch {
        let mut journal = JournalWriter::default();
        let mut applied = Applied::clone(&self.applied);
        let mut shards = Vec::new();
        let mut publications = Vec::with_capacity(events.len());
        for (New { event, gap }, old) in events.into_iter().zip(old) {
            let id = &self.events[event];
            journal.push(&id.session, id.sequence, old.as_deref(), gap.as_ref());
            applied.advance(id.of(), &id.session, id.sequence);
            shards.push(id.of());
            publications.push(Publication { event, old, gap });
        }
        if self.rewrite {
            shards.extend(applied.shards());
        }
        shards.sort_unstable();
        shards.dedup();
        self.batches += 1;
        let id = format!("{}/{}", self.nonce, self.batches);
        let in_flight = self.in_flight.iter().filter_map(|one| one.batch.as_ref());
        let unconfirmed = in_flight.map(|batch| &batch.journal).chain([&journal]);
        Batch {
            commit: Commit {
                applied: applied.encode(shards),
                journal: JournalWriter::finish(&id, unconfirmed),
            },
            applying: Applying {
                applied: Arc::new(applied),
                journal,
            },
            id,
            publications,
        }
    }

    fn is_applied(&mut self, batch: Batch) {
        self.journal = Journal::published(batch.id.clone());
        self.step = Step::Publish(batch);
    }

    /// Takes in what Redis says. What is known here beyond that was applied once, and lost with newer data: a fail-over to a replica
    /// that lagged, say.
    fn reconcile(&mut self, mut stored: Applied, journal: Journal) {
        let lost = self.applied.ahead_of(&stored);
        stored.merge(&self.applied, &lost);
        self.applied = Arc::new(stored);
        self.step = Step::Judge;
        let attempted = self.attempted.take();
        match attempted.filter(|batch| journal.batch() == Some(&*batch.id)) {
            Some(batch) => self.is_applied(batch),
            // The same journal as before is kept as it is here: what was published from it since is not to be published again. So
            // it is if Redis came back with an older one, whose events are published.
            None if self.held && journal.batch() == self.journal.batch() => {}
            None if self.held && !lost.is_empty() => {}
            None => self.journal = journal,
        }
        if !lost.is_empty() {
            self.rewrite = true;
            let lost = lost.into_iter().collect();
            self.findings.push(Finding::RolledBack(lost));
        }
    }

    fn advance(&mut self) {
        while self
            .stages
            .pop_front_if(|stage| *stage == Stage::Done)
            .is_some()
        {
            self.front += 1;
        }
    }

    fn acknowledge(&mut self) -> Option<usize> {
        let deliveries = self.ends.partition_point(|end| *end <= self.front);
        self.ends.drain(..deliveries);
        (deliveries > 0).then_some(deliveries)
    }
}

fn decode(loaded: &Loaded) -> Result<(Applied, Journal), String> {
    let applied = Applied::decode(&loaded.applied).map_err(|error| error.to_string())?;
    let journal = loaded.journal.as_deref().map(Journal::decode).transpose();
    let journal = journal.map_err(|error: JournalError| error.to_string())?;
    Ok((applied, journal.unwrap_or_default()))
}
