//! The dispatcher: the world, every session, and what was sent on each shard.
//!
//! **Invariant:** a change of the world, the sequence of the dispatch that tells of it, and its
//! place in the log are made in one call on [`Dispatcher`], and the one `Dispatcher` is behind one lock.

mod interactions;
mod reading;
mod ready;
mod session;
mod shard;
mod view;

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    sync::Arc,
    time::{Duration, Instant},
};

use serde_json::Value;
use tokio::sync::Notify;

pub use interactions::InteractionCounts;
pub use shard::SentEvent;

pub(crate) use interactions::{Interaction, Interactions};

pub(crate) use session::{ConnectionId, Link, Sent, Session, SessionKey};
use shard::{Fate, Keeping, ShardLog};
use view::{Eyes, View};

use crate::{
    config::SimConfig,
    generator::Mix,
    protocol::handshake::Identify,
    world::{Action, BOT_ID, Dispatch, Done, World},
};

/// Settled entries for each new one, once the log is overdue.
const SETTLE_STEP: usize = 2;

/// Sessions that have ended are remembered until their events are settled; beyond so many it is looked whether they are.
const ENDED_KEPT: usize = 10_000;

/// Where a session was when it ended.
#[derive(Debug, Clone, Copy)]
struct Ended {
    delivered: u64,
    shadowed_from: Option<u64>,
}

/// Why a session could not be resumed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ResumeError {
    /// Never was, has ended, or its replay buffer no longer reaches back so far.
    Gone,
    /// The client claims a sequence that was never given.
    InvalidSequence,
}

/// A session that a connection has been given.
#[derive(Debug)]
pub(crate) struct Attached {
    pub(crate) key: SessionKey,
    pub(crate) shard: u32,
    pub(crate) wake: Arc<Notify>,
    /// The sequence of its READY or RESUMED.
    pub(crate) sequence: u64,
    /// The connection that had the session until now.
    pub(crate) replaced: Option<ConnectionId>,
}

/// Whether events may be made now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Room {
    /// Yes.
    Free,
    /// No: there is no session that would get them.
    NoSession,
    /// No: a session's reader is too far behind.
    Behind,
}

/// See the module's documentation.
#[derive(Debug)]
pub(crate) struct Dispatcher {
    pub(crate) world: World,
    pub(crate) interactions: Interactions,
    sessions: BTreeMap<SessionKey, Session>,
    ids: HashMap<Arc<str>, SessionKey>,
    ended: HashMap<SessionKey, Ended>,
    /// By total and shard.
    shards: BTreeMap<(u32, u32), ShardLog>,
    newest_total: u32,
    next_key: u64,
    replay_limit: usize,
    session_lifetime: Duration,
    keeping: Keeping,
}

impl Dispatcher {
    pub(crate) fn new(config: &SimConfig) -> Self {
        Self {
            world: World::new(config.world.clone()),
            interactions: Interactions::new(|time| config.scaled(time)),
            sessions: BTreeMap::new(),
            ids: HashMap::new(),
            ended: HashMap::new(),
            shards: BTreeMap::new(),
            newest_total: config.recommended_shards,
            next_key: 1,
            replay_limit: config.replay_limit.max(1),
            session_lifetime: config.session_lifetime,
            keeping: Keeping {
                payloads: config.keep_payloads,
                truth: config.keep_truth,
                messages: config.truth_messages,
            },
        }
    }

    /// Starts a session: READY and the guilds' GUILD_CREATEs are logged before anything else can
    /// happen in the world.
    ///
    /// A disconnected session of the same shard ends: its client has given it up. A connected one
    /// goes on, as at Discord, but the truth follows the new one.
    pub(crate) fn open(
        &mut self,
        identify: &Identify,
        connection: ConnectionId,
        resume_url: Option<&str>,
    ) -> Attached {
        let Identify {
            shard,
            total,
            intents,
            large_threshold,
            ..
        } = *identify;
        self.supersede(shard, total);
        self.newest_total = total;

        let key = SessionKey(self.next_key);
        self.next_key += 1;
        let id: Arc<str> = ready::session_id().into();
        let session = Session::new(
            (key, Arc::clone(&id)),
            (shard, total),
            (intents, large_threshold),
            connection,
            self.replay_limit,
        );
        let wake = Arc::clone(&session.wake);
        self.sessions.insert(key, session);
        self.ids.insert(Arc::clone(&id), key);
        self.shards
            .entry((total, shard))
            .or_insert_with(|| ShardLog::new(self.keeping))
            .sessions
            .insert(key);

        let ready = self.ready(identify, &id, resume_url);
        let creates = self
            .world
            .guild_creates(shard, total, intents, large_threshold);
        if let Some(session) = self.sessions.get_mut(&key) {
            session.widen_limit(1 + creates.len());
        }
        self.record(key, "READY", ready.to_string().into());
        for create in creates {
            self.dispatch_to(key, &create);
        }
        Attached {
            key,
            shard,
            wake,
            sequence: 1,
            replaced: None,
        }
    }

    fn supersede(&mut self, shard: u32, total: u32) {
        let Some(log) = self.shards.get(&(total, shard)) else {
            return;
        };
        for key in log.sessions.iter().copied().collect::<Vec<_>>() {
            match self.sessions.get_mut(&key) {
                Some(session) if session.is_connected() => {
                    session.shadowed_from.get_or_insert(session.sequence);
                }
                _ => self.end(key),
            }
        }
    }

    /// Gives a session to a new connection and logs RESUMED after what the client has missed.
    pub(crate) fn resume(
        &mut self,
        id: &str,
        sequence: u64,
        connection: ConnectionId,
    ) -> Result<Attached, ResumeError> {
        let key = *self.ids.get(id).ok_or(ResumeError::Gone)?;
        let session = self.sessions.get_mut(&key).ok_or(ResumeError::Gone)?;
        if sequence > session.sequence {
            self.end(key);
            return Err(ResumeError::InvalidSequence);
        }
        if !session.can_replay_from(sequence) {
            self.end(key);
            return Err(ResumeError::Gone);
        }
        let replaced = match session.link {
            Link::Connected(other) => Some(other),
            Link::Disconnected(_) => None,
        };
        session.rewind(sequence, connection);
        let (shard, wake) = (session.shard, Arc::clone(&session.wake));
        let sequence = session.sequence + 1;
        self.record(key, "RESUMED", r#"{"_trace":["[\"discord-sim\"]"]}"#.into());
        Ok(Attached {
            key,
            shard,
            wake,
            sequence,
            replaced,
        })
    }

    /// The shard of a session that could perhaps be resumed.
    pub(crate) fn shard_of(&self, id: &str) -> Option<u32> {
        self.ids
            .get(id)
            .and_then(|key| self.sessions.get(key))
            .map(|session| session.shard)
    }

    /// The connection is gone; the session waits for a resume. One that a newer session of its shard
    /// has replaced ends instead: nobody will come for it.
    pub(crate) fn disconnect(&mut self, key: SessionKey, connection: ConnectionId, now: Instant) {
        let Some(session) = self.sessions.get_mut(&key) else {
            return;
        };
        if session.link != Link::Connected(connection) {
            return;
        }
        session.link = Link::Disconnected(now);
        if session.shadowed_from.is_some() {
            self.end(key);
        }
    }

    /// Whether this connection is the one that has the session.
    pub(crate) fn is_held_by(&self, key: SessionKey, connection: ConnectionId) -> bool {
        self.sessions
            .get(&key)
            .is_some_and(|s| s.link == Link::Connected(connection))
    }

    /// Ends the session of this name, if it lives.
    pub(crate) fn end_named(&mut self, id: &str) {
        if let Some(key) = self.ids.get(id) {
            self.end(*key);
        }
    }

    /// Ends a session: what it has not delivered, it never will.
    pub(crate) fn end(&mut self, key: SessionKey) {
        let Some(session) = self.sessions.remove(&key) else {
            return;
        };
        self.ids.remove(&session.id);
        let Session {
            delivered,
            shadowed_from,
            ..
        } = session;
        self.ended.insert(
            key,
            Ended {
                delivered,
                shadowed_from,
            },
        );
        if let Some(log) = self.shards.get_mut(&(session.total, session.shard)) {
            log.sessions.remove(&key);
        }
        if self.ended.len() > ENDED_KEPT {
            self.settle();
            let unsettled: HashSet<SessionKey> =
                self.shards.values().flat_map(ShardLog::unsettled).collect();
            self.ended.retain(|key, _| unsettled.contains(key));
        }
    }

    /// Ends sessions that have been disconnected for longer than their lifetime.
    pub(crate) fn expire(&mut self, now: Instant) {
        let expired = |session: &&Session| match session.link {
            Link::Connected(_) => false,
            Link::Disconnected(since) => now.duration_since(since) >= self.session_lifetime,
        };
        let keys: Vec<_> = self
            .sessions
            .values()
            .filter(expired)
            .map(|s| s.key)
            .collect();
        for key in keys {
            self.end(key);
        }
    }

    /// Moves the world by one event and tells the sessions; returns which were told.
    pub(crate) fn step(&mut self, mix: &Mix) -> Vec<SessionKey> {
        let dispatch = self.world.step(mix);
        self.dispatch(&dispatch)
    }

    /// Lets a user do something, and tells the sessions of it and of what follows.
    pub(crate) fn act(&mut self, action: &Action) -> Result<Done, String> {
        let (told, done) = self.world.act(action)?;
        for dispatch in told {
            self.dispatch(&dispatch);
        }
        while let Some(dispatch) = self.world.next_planned() {
            self.dispatch(&dispatch);
        }
        Ok(done)
    }

    /// Sends a dispatch to every session whose shard and intents it concerns; returns which.
    pub(crate) fn dispatch(&mut self, dispatch: &Dispatch) -> Vec<SessionKey> {
        let d: Arc<str> = dispatch.d.as_str().into();
        if dispatch.t == "INTERACTION_CREATE"
            && let Ok(d) = serde_json::from_str(&d)
        {
            self.interactions.sent(&d, Instant::now());
        }
        let mut told = self.concerned(dispatch);
        told.retain(|key| self.show(*key, dispatch, &d));
        told
    }

    fn concerned(&self, dispatch: &Dispatch) -> Vec<SessionKey> {
        let mut keys = Vec::with_capacity(1);
        let mut total = 0;
        // One look-up for each total, not one for each shard.
        while let Some((&(next, _), _)) = self.shards.range((total + 1, 0)..).next() {
            total = next;
            let shard = dispatch
                .guild
                .map_or(0, |guild| (guild >> 22) % u64::from(total));
            let Ok(shard) = u32::try_from(shard) else {
                continue;
            };
            let Some(log) = self.shards.get(&(total, shard)) else {
                continue;
            };
            let wants = |key: &SessionKey| {
                dispatch.intent == 0
                    || self
                        .sessions
                        .get(key)
                        .is_some_and(|s| s.intents & dispatch.intent != 0)
            };
            keys.extend(log.sessions.iter().copied().filter(wants));
        }
        keys
    }

    /// Sends a dispatch to one session, if its intents ask for it.
    pub(crate) fn dispatch_to(&mut self, key: SessionKey, dispatch: &Dispatch) {
        let wanted = self
            .sessions
            .get(&key)
            .is_some_and(|s| dispatch.intent == 0 || s.intents & dispatch.intent != 0);
        if wanted {
            self.show(key, dispatch, &dispatch.d.as_str().into());
        }
    }

    /// Records what the session's intents leave of an event; false if that is nothing.
    fn show(&mut self, key: SessionKey, dispatch: &Dispatch, d: &Arc<str>) -> bool {
        let Some(session) = self.sessions.get(&key) else {
            return false;
        };
        let eyes = Eyes {
            intents: session.intents,
            large_threshold: session.large_threshold,
            bot: BOT_ID,
        };
        let t = &*dispatch.t;
        let guild = dispatch.guild.filter(|_| t == "GUILD_CREATE");
        let guild = guild.and_then(|guild| self.world.guilds.get(guild));
        let members = guild.map_or(0, |guild| guild.members.len());
        let mut shown = Arc::clone(d);
        if view::may_differ(t, eyes, members)
            && let Ok(whole) = serde_json::from_str(d)
        {
            match view::view(t, &whole, eyes) {
                View::Whole => {}
                View::Part(part) => shown = part.to_string().into(),
                View::Nothing => return false,
            }
        }
        self.record(key, t, shown);
        true
    }

    /// Sends any event with any text as its `d` to a shard's sessions (newest total).
    pub(crate) fn inject(&mut self, shard: u32, t: &str, d: &str) -> usize {
        let keys = self.sessions_of(shard);
        for key in &keys {
            self.record(*key, t, d.into());
        }
        keys.len()
    }

    /// Sends any text at all to a shard's sessions (newest total).
    pub(crate) fn inject_raw(&mut self, shard: u32, text: &str) -> usize {
        let keys = self.sessions_of(shard);
        for key in &keys {
            let Some(session) = self.sessions.get_mut(key) else {
                continue;
            };
            let (sent, sequenced) = session.push_raw(text);
            if sequenced {
                self.log(*key, sent);
            }
        }
        keys.len()
    }

    fn sessions_of(&self, shard: u32) -> Vec<SessionKey> {
        let log = self.shards.get(&(self.newest_total, shard));
        log.map(|log| log.sessions.iter().copied().collect())
            .unwrap_or_default()
    }

    fn record(&mut self, key: SessionKey, t: &str, d: Arc<str>) {
        if let Some(session) = self.sessions.get_mut(&key) {
            let sent = session.push(t, d);
            self.log(key, sent);
        }
    }

    fn log(&mut self, key: SessionKey, sent: Arc<Sent>) {
        let Some(session) = self.sessions.get_mut(&key) else {
            return;
        };
        let resumable = session.trim();
        let place = (session.total, session.shard);
        if (self.keeping.payloads || self.keeping.truth)
            && let Some(log) = self.shards.get_mut(&place)
        {
            log.add(sent);
            if log.is_overdue() {
                let fate = |sent: &Sent| fate(&self.sessions, &self.ended, sent);
                log.settle(SETTLE_STEP, self.keeping, fate);
            }
        }
        if !resumable {
            self.end(key);
        }
    }

    /// Whether events may be made. `behind` is how many unwritten ones a session may have; `None`:
    /// as many as its replay buffer holds while it is connected, any number while it is not.
    pub(crate) fn room(&self, behind: Option<usize>) -> Room {
        let late = |session: &Session| match behind {
            Some(limit) => session.behind() > limit,
            None => session.is_connected() && session.is_full(),
        };
        if self.sessions.is_empty() {
            Room::NoSession
        } else if self.sessions.values().any(late) {
            Room::Behind
        } else {
            Room::Free
        }
    }

    /// The session's next entries for `connection`'s socket; `None` if it has lost the session.
    pub(crate) fn take(
        &mut self,
        key: SessionKey,
        connection: ConnectionId,
        entries: usize,
        bytes: usize,
    ) -> Option<(Vec<Arc<Sent>>, u64)> {
        let session = self.sessions.get_mut(&key)?;
        (session.link == Link::Connected(connection)).then(|| session.take(entries, bytes))
    }

    /// What [`Dispatcher::take`] gave was written, up to `position` and `sequence`.
    pub(crate) fn mark_written(
        &mut self,
        key: SessionKey,
        connection: ConnectionId,
        position: u64,
        sequence: u64,
    ) {
        if let Some(session) = self.sessions.get_mut(&key)
            && session.link == Link::Connected(connection)
        {
            session.mark_written(position, sequence);
        }
    }

    /// Notes a command of a session's client.
    pub(crate) fn add_command(&mut self, key: SessionKey, now: Instant, command: Value) {
        let Some(session) = self.sessions.get(&key) else {
            return;
        };
        if let Some(log) = self.shards.get_mut(&(session.total, session.shard)) {
            log.add_command(now, command);
        }
    }
}

fn fate(
    sessions: &BTreeMap<SessionKey, Session>,
    ended: &HashMap<SessionKey, Ended>,
    sent: &Sent,
) -> Fate {
    let (delivered, shadowed_from, live) = match sessions.get(&sent.session) {
        Some(session) => (session.delivered, session.shadowed_from, true),
        None => ended.get(&sent.session).map_or((0, None, false), |ended| {
            (ended.delivered, ended.shadowed_from, false)
        }),
    };
    let shadowed = shadowed_from.is_some_and(|from| sent.sequence > from);
    match (sent.sequence <= delivered, live) {
        (true, _) if shadowed => Fate::Shadowed,
        (true, _) => Fate::Delivered,
        (false, true) if !shadowed => Fate::Waiting,
        (false, _) => Fate::Undelivered,
    }
}
