//! What all parts of the simulator share: the configuration, and everything that changes behind one
//! lock.

mod seen;
mod status;
mod traffic;

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use tokio::sync::{Notify, mpsc};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{
    config::{ResumeUrl, SimConfig},
    dispatcher::{ConnectionId, Dispatcher, SessionKey},
    faults::{Answer, Fault, Host, LastingFaults, RestFault, Scope},
    protocol::{
        buckets::{INVALID_WINDOW, Limit, RestLimits},
        limits::{IdentifyBuckets, MemberRequests, SessionStarts},
    },
};

pub use status::{SessionStatus, Status};
pub use traffic::{Asked, ConnectionMade, RestRequest};

pub(crate) use seen::Seen;
pub(crate) use traffic::ConnectionNumber;

use traffic::Traffic;

/// Requests that a bot may make over all routes.
const GLOBAL_LIMIT: Limit = Limit {
    requests: 50,
    window: Duration::from_secs(1),
};

/// Violations kept; further ones are only counted.
const VIOLATIONS_KEPT: usize = 10_000;

/// Shared by the listener, the connections, REST, the control API and the generator.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) config: SimConfig,
    pub(crate) address: SocketAddr,
    /// Of the address for resuming, if it is one of its own.
    pub(crate) resume_address: Option<SocketAddr>,
    /// Notified whenever a reader advances or sessions come and go.
    pub(crate) progress: Notify,
    /// What runs beside the handlers.
    pub(crate) tasks: TaskTracker,
    /// Cancelled at shutdown.
    pub(crate) stop: CancellationToken,
    state: Mutex<State>,
}

/// Everything that changes.
#[derive(Debug)]
pub(crate) struct State {
    pub(crate) dispatcher: Dispatcher,
    pub(crate) faults: LastingFaults,
    pub(crate) buckets: IdentifyBuckets,
    pub(crate) starts: SessionStarts,
    pub(crate) members: MemberRequests,
    pub(crate) rest_limits: RestLimits,
    pub(crate) connections: BTreeMap<ConnectionId, Connection>,
    pub(crate) counts: Counts,
    pub(crate) traffic: Traffic,
    violations: Vec<String>,
    next_connection: u64,
    /// Ends the loads that run now.
    pub(crate) loads: CancellationToken,
}

/// What has happened so far.
#[derive(Debug, Default, Clone, Copy, serde::Serialize)]
pub struct Counts {
    /// IDENTIFYs that started a session.
    pub identifies: u64,
    /// RESUMEs that were granted.
    pub resumes: u64,
    /// Op 9s sent, of both kinds.
    pub invalid_sessions: u64,
    /// Gateway connections accepted.
    pub connections: u64,
    /// Commands (op 3, 4, 8, 31, 43) received.
    pub commands: u64,
    /// Commands that had no effect (a missing intent, a field too few, too many presences).
    pub refused_commands: u64,
    /// Heartbeats received.
    pub heartbeats: u64,
    /// Those of them that came more than a second after they were due.
    pub late_heartbeats: u64,
    /// Dispatches made by loads.
    pub produced: u64,
    /// Breaches of Discord's limits by clients.
    pub violations: u64,
}

/// The handle of one gateway connection.
#[derive(Debug)]
pub(crate) struct Connection {
    pub(crate) orders: mpsc::Sender<Order>,
    pub(crate) cut: Cut,
    pub(crate) session: Option<SessionKey>,
    pub(crate) shard: Option<u32>,
    pub(crate) number: ConnectionNumber,
}

/// What a connection's writer is told to do, in order.
#[derive(Debug, Clone)]
pub(crate) enum Order {
    /// Send this text.
    Text(String),
    /// From now on compress large payloads one by one.
    Compress,
    /// From now on send this session's log.
    Attach {
        key: SessionKey,
        shard: u32,
        wake: Arc<Notify>,
        /// The answer that follows this sequence.
        then: Option<(u64, Answer)>,
    },
    /// Answer so.
    Answer(Answer),
    /// Send op 1.
    RequestHeartbeat,
    /// Close with this code.
    Close { code: u16, reason: String },
}

/// Where a connection of HTTP comes from, and the handle by which it can be cut.
#[derive(Debug, Clone)]
pub(crate) struct Peer {
    pub(crate) cut: Cut,
    pub(crate) host: Host,
}

/// Ends a connection without a close frame, whatever it is doing.
#[derive(Debug, Clone, Default)]
pub(crate) struct Cut {
    token: CancellationToken,
    hole: CancellationToken,
    reset: Arc<AtomicBool>,
}

impl Cut {
    /// Cuts with a TCP reset: what the kernel still holds is thrown away.
    pub(crate) fn reset(&self) {
        self.reset.store(true, Ordering::Release);
        self.token.cancel();
    }

    /// Resolves when the connection is to be cut.
    pub(crate) async fn requested(&self) {
        self.token.cancelled().await;
    }

    /// Leaves the connection open and never looks at it again.
    pub(crate) fn forget(&self) {
        self.hole.cancel();
    }

    /// Resolves when the connection is not to be looked at any more.
    pub(crate) async fn forgotten(&self) {
        self.hole.cancelled().await;
    }

    /// Whether the socket is to be reset when it is dropped.
    pub(crate) fn is_reset(&self) -> bool {
        self.reset.load(Ordering::Acquire)
    }
}

impl Shared {
    pub(crate) fn new(
        config: SimConfig,
        address: SocketAddr,
        resume_address: Option<SocketAddr>,
    ) -> Self {
        let config = config.with_scaled_times();
        let global = Limit {
            window: config.scaled(GLOBAL_LIMIT.window),
            ..GLOBAL_LIMIT
        };
        let state = State {
            dispatcher: Dispatcher::new(&config),
            faults: LastingFaults::default(),
            buckets: IdentifyBuckets::new(config.max_concurrency, config.identify_interval),
            starts: SessionStarts::new(
                config.session_start_limit,
                config.scaled(SessionStarts::WINDOW),
                Instant::now(),
            ),
            members: MemberRequests::default(),
            rest_limits: RestLimits::new(
                global,
                (config.invalid_requests, config.scaled(INVALID_WINDOW)),
            ),
            connections: BTreeMap::new(),
            counts: Counts::default(),
            traffic: Traffic::default(),
            violations: Vec::new(),
            next_connection: 1,
            loads: CancellationToken::new(),
        };
        Self {
            config,
            address,
            resume_address,
            progress: Notify::new(),
            tasks: TaskTracker::new(),
            stop: CancellationToken::new(),
            state: Mutex::new(state),
        }
    }

    /// Takes the lock. A panic while it was held leaves a state that may be wrong, but tests then
    /// fail by that panic; poisoning would only hide it.
    pub(crate) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether a token is the bot's.
    pub(crate) fn knows(&self, token: &str) -> bool {
        token == self.config.token || token == self.config.bot_token()
    }

    pub(crate) fn http_url(&self) -> String {
        format!("http{}://{}", self.secure(), self.authority())
    }

    pub(crate) fn gateway_url(&self) -> String {
        format!("ws{}://{}", self.secure(), self.authority())
    }

    /// What a scheme has more with TLS.
    fn secure(&self) -> &'static str {
        if self.config.tls.is_some() { "s" } else { "" }
    }

    /// What READY names for resuming.
    pub(crate) fn resume_url(&self) -> Option<String> {
        let own = |address: SocketAddr| match &self.config.advertise {
            Some(advertised) => {
                let host = advertised
                    .rsplit_once(':')
                    .map_or(&**advertised, |(host, _)| host);
                format!("ws{}://{host}:{}", self.secure(), address.port())
            }
            None => format!("ws{}://{address}", self.secure()),
        };
        match self.config.resume_url {
            ResumeUrl::Main => Some(self.gateway_url()),
            ResumeUrl::Own(_) => self.resume_address.map(own),
            ResumeUrl::Absent => None,
        }
    }

    fn authority(&self) -> String {
        self.config
            .advertise
            .clone()
            .unwrap_or_else(|| self.address.to_string())
    }
}

impl State {
    pub(crate) fn add_connection(
        &mut self,
        orders: mpsc::Sender<Order>,
        cut: Cut,
        number: ConnectionNumber,
    ) -> ConnectionId {
        let id = ConnectionId(self.next_connection);
        self.next_connection += 1;
        self.counts.connections += 1;
        self.connections.insert(
            id,
            Connection {
                orders,
                cut,
                session: None,
                shard: None,
                number,
            },
        );
        id
    }

    /// Notes that a client broke a rule.
    pub(crate) fn violation(&mut self, what: String) {
        tracing::warn!(violation = what, "client broke one of Discord's limits");
        self.counts.violations += 1;
        if self.violations.len() < VIOLATIONS_KEPT {
            self.violations.push(what);
        }
    }

    pub(crate) fn violations(&self) -> &[String] {
        &self.violations
    }

    pub(crate) fn rest_fault(&mut self, fault: RestFault) {
        tracing::info!(?fault, "fault");
        self.faults.rest.add(fault);
    }

    /// Causes a fault; returns how many connections it reached at once.
    pub(crate) fn fault(&mut self, fault: Fault, scope: Scope) -> usize {
        tracing::info!(?fault, ?scope, "fault");
        self.faults.set(fault, scope);
        let answer = |answer| Some(Order::Answer(answer));
        let order = match fault {
            Fault::Drop | Fault::BlackHole => None,
            Fault::Reconnect => answer(Answer::Reconnect),
            Fault::ReconnectThenSilence => answer(Answer::ReconnectThenSilence),
            Fault::InvalidSession { resumable } => answer(Answer::InvalidSession { resumable }),
            Fault::RequestHeartbeat => Some(Order::RequestHeartbeat),
            Fault::Close(code) => answer(Answer::Close(code)),
            // Refusing leaves the connections that exist alone.
            Fault::RefuseConnections(_)
            | Fault::StallAcks(_)
            | Fault::SlowSocket { .. }
            | Fault::NormalSocket
            | Fault::SplitMessages(_)
            | Fault::Answer { .. }
            | Fault::AnswerNormally { .. } => return 0,
        };
        let mut reached = 0;
        for connection in self.connections.values().filter(|c| scope.covers(c.shard)) {
            reached += 1;
            match &order {
                _ if fault == Fault::BlackHole => connection.cut.forget(),
                // A connection whose queue is full is not being read: cutting it is all that is left.
                Some(order) if connection.orders.try_send(order.clone()).is_ok() => {}
                _ => connection.cut.reset(),
            }
        }
        reached
    }
}
