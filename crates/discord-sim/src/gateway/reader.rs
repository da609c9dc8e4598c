//! The reading half of a connection: what the client sends, checked and acted on.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use futures_util::{StreamExt, stream::SplitStream};
use serde_json::Value;
use tokio::{sync::mpsc, time::timeout_at};

use super::{Ending, Socket, commands};
use crate::{
    dispatcher::{Attached, ConnectionId, ResumeError},
    faults::{Answer, Host, Point},
    protocol::{
        close::CloseCode,
        handshake::{Dialect, Identify, Resume, Rules},
        limits::SendLimit,
        payload::{self, MAX_PAYLOAD, Payload},
    },
    state::{Asked, Order, Shared, State},
};

/// Update Presence.
const PRESENCE: u64 = 3;

/// A heartbeat that comes so much after it was due is late.
const LATE: Duration = Duration::from_secs(1);

/// How often a client may change its presence, in which time.
const PRESENCES: (u32, Duration) = (5, Duration::from_secs(20));

/// See the module's documentation.
pub(super) struct Reader<'a> {
    shared: &'a Arc<Shared>,
    id: ConnectionId,
    host: Host,
    dialect: Dialect,
    orders: mpsc::Sender<Order>,
    rules: Rules,
    limit: SendLimit,
    presences: SendLimit,
    last_heartbeat: Instant,
    /// A client that is silent for longer, two intervals, is a zombie.
    patience: Duration,
}

impl<'a> Reader<'a> {
    pub(super) fn new(
        shared: &'a Arc<Shared>,
        (id, host): (ConnectionId, Host),
        dialect: Dialect,
        orders: mpsc::Sender<Order>,
    ) -> Self {
        let (count, window) = shared.config.send_limit;
        Self {
            shared,
            id,
            host,
            dialect,
            orders,
            rules: shared.config.rules(),
            limit: SendLimit::new(count, window),
            presences: SendLimit::new(PRESENCES.0, shared.config.scaled(PRESENCES.1)),
            last_heartbeat: Instant::now(),
            patience: shared.config.heartbeat_interval * 2,
        }
    }

    /// Nobody has told the client how often: it is waited for as long as its session lasts.
    pub(super) fn expect_no_heartbeats(&mut self) {
        self.patience = self.shared.config.session_lifetime;
    }

    pub(super) async fn run(&mut self, messages: &mut SplitStream<Socket>) -> Ending {
        loop {
            let deadline = self.last_heartbeat + self.patience;
            let message = match timeout_at(deadline.into(), messages.next()).await {
                Err(_) => return CloseCode::SessionTimedOut.into(),
                Ok(None | Some(Err(_))) => return Ending::Gone,
                Ok(Some(Ok(message))) => message,
            };
            if let Some((code, _)) = message.as_close() {
                return Ending::ClientClosed(code.into());
            }
            if (message.is_text() || message.is_binary())
                && let Err(ending) = self.receive(message.as_payload())
            {
                return ending;
            }
        }
    }

    fn receive(&mut self, message: &[u8]) -> Result<(), Ending> {
        let now = Instant::now();
        let mut state = self.shared.lock();
        if !self.limit.admit(now) {
            state.violation(format!("connection {}: too many payloads", self.id.0));
            return Err(CloseCode::RateLimited.into());
        }
        if message.len() > MAX_PAYLOAD {
            let size = message.len();
            state.violation(format!("connection {}: payload of {size} bytes", self.id.0));
        }
        match Payload::read(message, self.dialect.encoding)? {
            Payload::Heartbeat => {
                state.counts.heartbeats += 1;
                let due = self.last_heartbeat + self.shared.config.heartbeat_interval;
                if now > due + self.shared.config.scaled(LATE) {
                    state.counts.late_heartbeats += 1;
                }
                self.last_heartbeat = now;
                let shard = state.connections.get(&self.id).and_then(|c| c.shard);
                if state.faults.stalls_acks(shard) {
                    return Ok(());
                }
                self.order(Order::Text(payload::heartbeat_ack()))
            }
            Payload::Identify(d) => self.identify(&mut state, &d, now),
            Payload::Resume(d) => self.resume(&mut state, &d, now),
            Payload::Command(op, command) => {
                let connection = state.connections.get(&self.id);
                let shard = connection.and_then(|c| c.shard);
                let session = connection.and_then(|c| c.session);
                let key = session.ok_or(CloseCode::NotAuthenticated)?;
                if let Some(answer) = self.fault(&mut state, Point::Command(op), shard) {
                    return self.answer(answer);
                }
                if op == PRESENCE && !self.presences.admit(now) {
                    // Discord takes it and shows nothing of it.
                    state.counts.refused_commands += 1;
                    tracing::warn!(shard, "more than 5 presences in 20 s: without effect");
                }
                commands::obey(self.shared, &mut state, key, op, command, now);
                Ok(())
            }
        }
    }

    fn identify(&self, state: &mut State, d: &Value, now: Instant) -> Result<(), Ending> {
        self.expect_no_session(state)?;
        let identify = Identify::read(d, self.dialect.version, &self.rules)?;
        let shard = Some(identify.shard);
        self.note(state, Asked::Identify, shard);
        if state.faults.refuses(shard) {
            return Err(Ending::Reset);
        }
        if !state.buckets.admit(identify.shard, now) {
            let shard = identify.shard;
            state.violation(format!(
                "shard {shard}: IDENTIFY before its bucket was free"
            ));
            return self.refuse_session(state);
        }
        if !state.starts.admit(now) {
            state.violation("IDENTIFY with no session starts left".to_owned());
            return Err(CloseCode::AuthenticationFailed.into());
        }
        // Discord has counted it, whatever comes of it.
        if let Some(answer) = self.fault(state, Point::Identify, shard) {
            return self.answer(answer);
        }
        state.dispatcher.expire(now);
        let resume_url = self.shared.resume_url();
        let attached = state
            .dispatcher
            .open(&identify, self.id, resume_url.as_deref());
        state.counts.identifies += 1;
        tracing::info!(
            shard = identify.shard,
            total = identify.total,
            "session started"
        );
        if identify.compress {
            self.order(Order::Compress)?;
        }
        self.attach(state, attached)
    }

    fn resume(&self, state: &mut State, d: &Value, now: Instant) -> Result<(), Ending> {
        self.expect_no_session(state)?;
        let resume = Resume::read(d, &self.rules)?;
        state.dispatcher.expire(now);
        let shard = state.dispatcher.shard_of(&resume.session_id);
        self.note(state, Asked::Resume, shard);
        if shard.is_some() && state.faults.refuses(shard) {
            return Err(Ending::Reset);
        }
        if let Some(answer) = self.fault(state, Point::Resume, shard) {
            if answer.ends_session() {
                state.dispatcher.end_named(&resume.session_id);
            }
            return self.answer(answer);
        }
        match state
            .dispatcher
            .resume(&resume.session_id, resume.sequence, self.id)
        {
            Ok(attached) => {
                state.counts.resumes += 1;
                tracing::info!(shard, from = resume.sequence, "session resumed");
                self.attach(state, attached)
            }
            Err(ResumeError::Gone) => {
                tracing::info!(shard, from = resume.sequence, "session can't be resumed");
                self.refuse_session(state)
            }
            Err(ResumeError::InvalidSequence) => Err(CloseCode::InvalidSequence.into()),
        }
    }

    fn expect_no_session(&self, state: &State) -> Result<(), CloseCode> {
        match state
            .connections
            .get(&self.id)
            .and_then(|connection| connection.session)
        {
            Some(_) => Err(CloseCode::AlreadyAuthenticated),
            None => Ok(()),
        }
    }

    fn attach(&self, state: &mut State, attached: Attached) -> Result<(), Ending> {
        let Attached {
            key,
            shard,
            wake,
            sequence,
            replaced,
        } = attached;
        if let Some(other) = replaced.and_then(|id| state.connections.get_mut(&id)) {
            other.session = None;
            let code = CloseCode::UnknownError.code();
            let reason = "Session resumed elsewhere.".to_owned();
            if other
                .orders
                .try_send(Order::Close { code, reason })
                .is_err()
            {
                other.cut.reset();
            }
        }
        if let Some(connection) = state.connections.get_mut(&self.id) {
            connection.session = Some(key);
            connection.shard = Some(shard);
        }
        self.shared.progress.notify_waiters();
        let then = self.fault(state, Point::Session, Some(shard));
        self.order(Order::Attach {
            key,
            shard,
            wake,
            then: then.map(|answer| (sequence, answer)),
        })
    }

    fn refuse_session(&self, state: &mut State) -> Result<(), Ending> {
        state.counts.invalid_sessions += 1;
        self.order(Order::Text(payload::invalid_session(false)))
    }

    /// Takes the wrong answer that is due here, if there is one.
    fn fault(&self, state: &mut State, at: Point, shard: Option<u32>) -> Option<Answer> {
        let answer = state.faults.answers.take(at, shard, self.host)?;
        tracing::info!(?at, ?answer, shard, "wrong answer");
        Some(answer)
    }

    /// What has an end is not left to the writer: nothing more is read.
    fn answer(&self, answer: Answer) -> Result<(), Ending> {
        match Ending::of(answer) {
            Some(ending) => Err(ending),
            None => self.order(Order::Answer(answer)),
        }
    }

    fn note(&self, state: &mut State, asked: Asked, shard: Option<u32>) {
        if let Some(connection) = state.connections.get(&self.id) {
            state.traffic.asked(connection.number, asked, shard);
        }
    }

    /// Hands an order to the writer. One that can't take any more does not read its answers.
    fn order(&self, order: Order) -> Result<(), Ending> {
        self.orders.try_send(order).map_err(|_| Ending::Cut)
    }
}
