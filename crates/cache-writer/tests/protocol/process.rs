//! A process that serves the partition: the shell's part, one step at a time.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::sync::Arc;

use cache_writer::core::{
    applied::Applied,
    owner::{Action, Claim, Owner, Publication},
    sending::Sending,
};

use super::broker::{Broker, Published};
use super::redis::{Answer, Effect, Redis, Transaction};
use super::stream::{Change, Event, Frame, value};

#[derive(Debug)]
pub(crate) struct Process {
    number: usize,
    /// Whether it is of the version before, which keeps what is applied by the shard's number alone.
    older: bool,
    /// Owners that this process has had.
    owners: u64,
    /// What was published when it owned the partition last; gone with a crash.
    known: Option<Arc<Applied>>,
    pub(crate) serving: Option<Serving>,
}

#[derive(Debug)]
pub(crate) struct Serving {
    pub(crate) channel: u64,
    older: bool,
    owner: Option<Owner>,
    /// The token of the present connection to Redis.
    token: String,
    /// The run of Redis that the present connection is to.
    run: u64,
    events: Vec<Event>,
    /// What is published and not confirmed: the messages of each action, and whether they are taken.
    in_flight: VecDeque<Vec<(Published, bool)>>,
    /// The batch that is planned.
    batch: Vec<usize>,
    writes: BTreeMap<u8, Option<String>>,
    watching: Option<Transaction>,
    doing: Doing,
}

/// What is under way.
#[derive(Debug)]
enum Doing {
    Nothing,
    Action(Action),
    /// EXEC is to be sent.
    Execute(Transaction, Action),
    /// So many are sent.
    Publishing(Vec<Publication>, usize),
}

/// How Redis treats a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Luck {
    Answered,
    /// Carried out, the answer is lost.
    Unanswered,
    /// Never arrives.
    Lost,
    /// Arrives when nobody waits for it any more.
    Late,
}

impl Process {
    pub(crate) fn new(number: usize, older: bool) -> Self {
        Self {
            number,
            older,
            owners: 0,
            known: None,
            serving: None,
        }
    }

    /// `kill -9` and a start. What it had sent to Redis may still arrive.
    pub(crate) fn crash(&mut self, broker: &mut Broker, redis: &mut Redis, luck: Luck) {
        self.known = None;
        if let Some(serving) = self.serving.take() {
            broker.close(serving.channel);
            if let Doing::Execute(transaction, _) = serving.doing {
                send(redis, transaction, luck);
            }
        }
    }

    /// Lets go in order, between batches only. False if it had to leave the journal behind.
    pub(crate) fn hand_over(&mut self, broker: &mut Broker, redis: &mut Redis) -> bool {
        let Some(serving) = &mut self.serving else {
            return true;
        };
        let idle = matches!(serving.doing, Doing::Nothing | Doing::Action(Action::Await));
        let Some(owner) = serving.owner.as_ref().filter(|_| idle) else {
            return true;
        };
        let mut retired = false;
        let is_connected = serving.run == redis.runs;
        let is_ours = redis.data.epoch.as_ref() == Some(&serving.token);
        if owner.may_retire() && is_connected && is_ours {
            let transaction = redis.watch(Effect::Retire);
            retired = matches!(redis.execute(transaction), Answer::Done(_));
        }
        self.leave(broker);
        retired
    }

    /// One step; false if it gives the partition up. `pick` chooses where the shell, or the world, has a choice.
    pub(crate) fn step(
        &mut self,
        broker: &mut Broker,
        redis: &mut Redis,
        luck: Luck,
        mut pick: impl FnMut(usize) -> usize,
    ) -> bool {
        let Some(serving) = &mut self.serving else {
            self.serving = Some(Serving::new(broker.consume(), self.older));
            return true;
        };
        let stays = serving.step(broker, redis, luck, &mut pick, || {
            self.owners += 1;
            let nonce = format!("{}.{}", self.number, self.owners);
            Owner::new(nonce, self.known.clone())
        });
        if !stays {
            self.leave(broker);
        }
        stays
    }

    fn leave(&mut self, broker: &mut Broker) {
        if let Some(serving) = self.serving.take() {
            broker.close(serving.channel);
            let confirmed = serving.owner.and_then(|owner| owner.published().cloned());
            self.known = confirmed.or(self.known.take());
        }
    }
}

impl Serving {
    fn new(channel: u64, older: bool) -> Self {
        Self {
            channel,
            older,
            owner: None,
            token: String::new(),
            run: 0,
            events: Vec::new(),
            in_flight: VecDeque::new(),
            batch: Vec::new(),
            writes: BTreeMap::new(),
            watching: None,
            doing: Doing::Nothing,
        }
    }

    /// False if the partition is given up.
    fn step(
        &mut self,
        broker: &mut Broker,
        redis: &mut Redis,
        luck: Luck,
        pick: &mut impl FnMut(usize) -> usize,
        new: impl FnOnce() -> Owner,
    ) -> bool {
        let mut owner = match self.owner.take() {
            Some(owner) => owner,
            None => new(),
        };
        self.doing = match std::mem::replace(&mut self.doing, Doing::Nothing) {
            Doing::Nothing if !self.in_flight.is_empty() && pick(4) == 1 => {
                self.confirm(&mut owner, broker, pick);
                Doing::Nothing
            }
            Doing::Nothing => Doing::Action(owner.next_action()),
            Doing::Action(action) => self.begin(&mut owner, action, broker, redis, luck, pick),
            Doing::Execute(transaction, action) => {
                self.execute(&mut owner, transaction, action, redis, luck);
                Doing::Nothing
            }
            Doing::Publishing(publications, sent) => {
                self.publish(&mut owner, &publications, sent, broker, pick)
            }
        };
        let stays = !matches!(self.doing, Doing::Action(Action::GiveUp(_)));
        self.owner = Some(owner);
        stays
    }

    fn begin(
        &mut self,
        owner: &mut Owner,
        action: Action,
        broker: &mut Broker,
        redis: &mut Redis,
        luck: Luck,
        pick: &mut impl FnMut(usize) -> usize,
    ) -> Doing {
        match &action {
            Action::Await => {
                if !broker.is_open(self.channel) {
                    owner.unpublished();
                    return Doing::Nothing;
                }
                let frames = broker.deliver(self.channel, 1 + pick(3));
                if !frames.is_empty() {
                    self.deliver(owner, &frames);
                } else if !self.in_flight.is_empty() {
                    self.confirm(owner, broker, pick);
                } else {
                    return Doing::Action(action);
                }
            }
            Action::AwaitConfirm => self.confirm(owner, broker, pick),
            Action::Acknowledge(frames) => {
                if !broker.acknowledge(self.channel, *frames) {
                    owner.unpublished();
                }
            }
            Action::Publish(publications) => {
                self.in_flight.push_back(Vec::new());
                return Doing::Publishing(publications.clone(), 0);
            }
            Action::GiveUp(_) => return Doing::Action(action),
            Action::Claim(_) | Action::Purge(_) | Action::Read | Action::Commit(_) => {
                if luck != Luck::Answered {
                    owner.timed_out();
                    return Doing::Nothing;
                }
                return self.ask(owner, action, redis, pick);
            }
        }
        Doing::Nothing
    }

    fn deliver(&mut self, owner: &mut Owner, frames: &[Frame]) {
        self.events = frames
            .iter()
            .flat_map(|frame| frame.iter().cloned())
            .collect();
        let ids = |frame: &Frame| frame.iter().map(|event| event.id.clone()).collect();
        owner.delivered(frames.iter().map(ids).collect(), None);
    }

    /// Asks Redis for what needs an answer before anything is written.
    fn ask(
        &mut self,
        owner: &mut Owner,
        action: Action,
        redis: &mut Redis,
        pick: &mut impl FnMut(usize) -> usize,
    ) -> Doing {
        let ours = |redis: &Redis, token: &str| redis.data.epoch.as_deref() == Some(token);
        match &action {
            Action::Claim(Claim { token, holder }) => {
                self.run = redis.runs;
                let epoch = redis.data.epoch.as_deref();
                let foreign =
                    |holder: &String| epoch.is_some_and(|epoch| !epoch.starts_with(holder));
                if holder.as_ref().is_some_and(foreign) {
                    owner.refused();
                    return Doing::Nothing;
                }
                let transaction = redis.watch(Effect::Claim(token.clone()));
                return Doing::Execute(transaction, action);
            }
            // The connection has ended with the server, also where this one has the same epoch.
            _ if self.run != redis.runs => owner.timed_out(),
            Action::Purge(candidates) => {
                self.batch = candidates[..1 + pick(candidates.len())].to_vec();
                let cut = self.cut();
                self.batch.truncate(cut);
                let purges = self
                    .batch
                    .iter()
                    .filter_map(|at| match self.events[*at].change {
                        Change::Purge(entity) => Some(entity),
                        Change::Set(_) => None,
                    });
                let purges: Vec<u8> = purges.collect();
                if purges.is_empty() {
                    owner.purged(self.batch.len());
                } else if ours(redis, &self.token) {
                    return Doing::Execute(redis.watch(Effect::Purge(purges)), action);
                } else {
                    check(owner, redis);
                }
            }
            Action::Read if ours(redis, &self.token) => {
                self.watching = Some(redis.watch(Effect::Retire));
                owner.planned(self.plan(redis));
            }
            Action::Read => check(owner, redis),
            Action::Commit(commit) => {
                let mut commit = commit.clone();
                if self.older {
                    commit.applied.shards.clear();
                }
                let effect = Effect::Commit(self.writes.clone(), commit);
                let mut transaction = self.watching.take().unwrap();
                transaction.effect = effect;
                return Doing::Execute(transaction, action);
            }
            _ => unreachable!("{action:?}"),
        }
        Doing::Nothing
    }

    /// As the plan cuts: an event that purges what an earlier one touches starts a new batch.
    fn cut(&self) -> usize {
        let mut touched = BTreeSet::new();
        let conflicts = |at: &usize| {
            let change = self.events[*at].change;
            let conflict = matches!(change, Change::Purge(entity) if touched.contains(&entity));
            touched.insert(change.entity());
            conflict
        };
        let cut = self.batch.iter().position(conflicts);
        cut.unwrap_or(self.batch.len())
    }

    fn plan(&mut self, redis: &Redis) -> Vec<Option<String>> {
        self.writes.clear();
        let mut state: HashMap<u8, String> = redis.data.entities.clone().into_iter().collect();
        let mut olds = Vec::new();
        for at in &self.batch {
            let event = &self.events[*at];
            olds.push(match event.change {
                Change::Set(entity) => {
                    self.writes.insert(entity, Some(value(&event.id)));
                    state.insert(entity, value(&event.id))
                }
                Change::Purge(_) => None,
            });
        }
        olds
    }

    fn execute(
        &mut self,
        owner: &mut Owner,
        transaction: Transaction,
        action: Action,
        redis: &mut Redis,
        luck: Luck,
    ) {
        match (send(redis, transaction, luck), action) {
            (None | Some(Answer::Error), _) => owner.timed_out(),
            // Not ours, or touched and ours again.
            (Some(Answer::Nil), Action::Claim(_)) => owner.timed_out(),
            (Some(Answer::Nil), _) => check(owner, redis),
            (Some(Answer::Done(mut loaded)), Action::Claim(claim)) => {
                self.token = claim.token;
                if self.older {
                    loaded.applied.shards.clear();
                }
                owner.claimed(&loaded);
            }
            (Some(Answer::Done(_)), Action::Purge(_)) => owner.purged(self.batch.len()),
            (Some(Answer::Done(_)), _) => owner.committed(),
        }
    }

    fn publish(
        &mut self,
        owner: &mut Owner,
        publications: &[Publication],
        sent: usize,
        broker: &mut Broker,
        pick: &mut impl FnMut(usize) -> usize,
    ) -> Doing {
        let Some(next) = publications.get(sent) else {
            return Doing::Nothing;
        };
        let message = Published {
            id: self.events[next.event].id.clone(),
            old: next.old.clone(),
            gap: (next.gap.as_ref()).map(|gap| (gap.last_session.clone(), gap.last_sequence)),
        };
        let Some(taken) = broker.publish(self.channel, message.clone(), pick) else {
            owner.unpublished();
            return Doing::Nothing;
        };
        self.in_flight.back_mut().unwrap().push((message, taken));
        Doing::Publishing(publications.to_vec(), sent + 1)
    }

    /// The confirms of the oldest publications in flight arrive. If the broker has refused one, it and all after it are published again,
    /// those of later actions too.
    fn confirm(
        &mut self,
        owner: &mut Owner,
        broker: &mut Broker,
        pick: &mut impl FnMut(usize) -> usize,
    ) {
        let mut alive = broker.is_open(self.channel);
        let is_refused = |(_, taken): &(_, bool)| !taken;
        if self.in_flight[0].iter().any(is_refused) {
            let in_flight = self.in_flight.iter_mut().flatten();
            let (messages, taken): (Vec<_>, Vec<_>) = in_flight
                .map(|(message, taken)| (message.clone(), std::mem::replace(taken, true)))
                .unzip();
            let mut sending = Sending::new(messages.len());
            sending.answered(&taken);
            while alive && !sending.next().is_empty() {
                if pick(20) == 1 {
                    broker.close(self.channel);
                }
                let next = messages[sending.next()].iter().cloned();
                let answers = next.map(|message| broker.publish(self.channel, message, pick));
                match answers.collect::<Option<Vec<_>>>() {
                    Some(taken) => sending.answered(&taken),
                    None => alive = false,
                }
            }
        }
        match alive {
            true => owner.confirmed(),
            false => owner.unpublished(),
        }
        self.in_flight.pop_front();
    }
}

/// Sends a transaction; none if there is no answer.
fn send(redis: &mut Redis, transaction: Transaction, luck: Luck) -> Option<Answer> {
    match luck {
        Luck::Answered => Some(redis.execute(transaction)),
        Luck::Unanswered => {
            redis.execute(transaction);
            None
        }
        Luck::Lost => None,
        Luck::Late => {
            redis.late.push(transaction);
            None
        }
    }
}

/// What the store makes of an epoch that is not, or not certainly, this connection's.
fn check(owner: &mut Owner, redis: &Redis) {
    match redis.data.epoch {
        Some(_) => owner.refused(),
        None => owner.timed_out(),
    }
}

/// What a journal lists.
pub(crate) fn listed(journal: Option<&str>) -> Vec<(String, u64)> {
    let journal: Option<serde_json::Value> =
        journal.map(|journal| serde_json::from_str(journal).unwrap());
    let events = journal.map(|journal| journal["events"].as_array().unwrap().clone());
    let id = |event: &serde_json::Value| {
        (
            event[0].as_str().unwrap().to_owned(),
            event[1].as_u64().unwrap(),
        )
    };
    events.unwrap_or_default().iter().map(id).collect()
}
