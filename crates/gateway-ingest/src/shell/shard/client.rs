//! The websocket client of one connection.
//!
//! twilight's `Shard` connects again by itself, without a pause, in the same poll that finds the connection ended. That is not its
//! decision here ([`crate::core::connection`] takes it). So a [`Client`] is good for one connection: when that ends it says so, and
//! is dropped before anything has gone out for the next one.

#[cfg(test)]
mod tests;

use std::{
    error::Error,
    fmt::{self, Write as _},
    io,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use futures_util::Stream as _;
use tokio::{
    sync::oneshot,
    task::coop::{has_budget_remaining, poll_proceed},
    time::error::Elapsed,
};
use tokio_websockets::Error as WebsocketError;
use twilight_gateway::{
    CloseFrame, CommandRatelimiter, Config, ConfigBuilder, Latency, Message, Session as Resume,
    Shard, ShardId, ShardState,
    error::{ReceiveMessageError, ReceiveMessageErrorType},
    queue::Queue,
};

use crate::core::{
    connection::{Cause, Target},
    gateway_url,
};

/// Where Discord's gateway is, should the configured URL be unusable.
const GATEWAY: &str = "wss://gateway.discord.gg";
/// The close code that stands for "no close frame" (RFC 6455, section 7.4.1).
const ABNORMAL: u16 = 1006;

/// What a connection brings.
#[derive(Debug)]
pub(super) enum Received {
    /// The websocket is there.
    Upgraded,
    /// The turn to identify has come.
    IdentifySent,
    /// A payload, whatever it is.
    Payload(String),
    /// The client ends the connection, and not because the peer asked for it: a close frame is on its way.
    Closes(Cause),
    /// The connection ended, or did not come about.
    Ended(Ending),
}

/// How a connection ended.
#[derive(Debug)]
pub(super) struct Ending {
    pub(super) cause: Cause,
    /// The peer's reason, or the error with its causes.
    pub(super) detail: Option<String>,
}

/// One connection.
#[derive(Debug)]
pub(super) struct Client<Q> {
    shard: Shard<Turns<Q>>,
    /// The websocket was there.
    upgraded: bool,
    /// The last poll would have done more.
    at_limit: bool,
    turn: Arc<Turn>,
    heartbeat_interval: Option<Duration>,
}

impl<Q> Client<Q>
where
    Q: Queue + Clone + fmt::Debug + Unpin,
{
    /// A client that connects when it is polled. `gateway` says how, but for the session.
    pub(super) fn new(gateway: &Config<Q>, id: ShardId, target: &Target) -> Self {
        let turn = Arc::new(Turn::default());
        let turns = Turns {
            queue: gateway.queue().clone(),
            turn: turn.clone(),
        };
        let main = gateway.proxy_url().and_then(gateway_url::usable);
        let main = main.unwrap_or_else(|| GATEWAY.to_owned());
        let mut builder = ConfigBuilder::from(gateway.clone())
            .queue(turns)
            .proxy_url(gateway_url::looked_up(&main));
        if let Some(session) = &target.session {
            builder = builder.session(Resume::new(session.sequence, session.id.to_string()));
            if let Some(url) = &session.url {
                builder = builder.resume_url(gateway_url::looked_up(url));
            }
        }
        Self {
            shard: Shard::with_config(id, builder.build()),
            upgraded: false,
            at_limit: false,
            turn,
            heartbeat_interval: None,
        }
    }

    /// What the connection brings next. Not to be polled again after [`Received::Ended`].
    pub(super) fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Received> {
        let limited = !self.is_active();
        if limited {
            limit_operations(cx, if self.at_limit { 2 } else { 1 });
        }
        let polled = Pin::new(&mut self.shard).poll_next(cx);
        self.at_limit = limited && polled.is_pending() && !has_budget_remaining();
        let received = match polled {
            Poll::Pending => return self.look(),
            Poll::Ready(Some(Ok(Message::Text(text)))) => Received::Payload(text),
            Poll::Ready(Some(Ok(Message::Close(frame)))) => Received::Ended(self.closed(frame)),
            Poll::Ready(Some(Err(error))) => self.failed(error),
            Poll::Ready(None) => Received::Ended(Cause::Cut.into()),
        };
        self.upgraded = true;
        Poll::Ready(received)
    }

    /// What has changed without a message.
    fn look(&mut self) -> Poll<Received> {
        let disconnected = self.is_disconnected();
        if !self.upgraded && !disconnected {
            self.upgraded = true;
            return Poll::Ready(Received::Upgraded);
        }
        if self.upgraded && disconnected && is_connecting(&self.shard) {
            return Poll::Ready(Received::Ended(Cause::Cut.into()));
        }
        if self.turn.has_come.swap(false, Ordering::Relaxed) {
            return Poll::Ready(Received::IdentifySent);
        }
        Poll::Pending
    }

    fn closed(&self, frame: Option<CloseFrame<'static>>) -> Ending {
        match frame {
            Some(frame) if frame.code == ABNORMAL => {
                let overdue = self.heartbeat_is_overdue();
                (if overdue { Cause::Zombie } else { Cause::Cut }).into()
            }
            frame => Ending {
                cause: Cause::Closed(frame.as_ref().map(|frame| frame.code)),
                detail: frame.map(|frame| frame.reason.into_owned()),
            },
        }
    }

    fn failed(&self, error: ReceiveMessageError) -> Received {
        match error.kind() {
            // It connects again by itself, and that failed at once.
            ReceiveMessageErrorType::Reconnect if self.upgraded => {
                Received::Ended(Cause::Cut.into())
            }
            ReceiveMessageErrorType::Reconnect => Received::Ended(Ending {
                cause: error.source().map_or(Cause::Network, not_connected),
                detail: error.source().map(causes),
            }),
            // The client's own text holds the whole payload, which is not for logs.
            ReceiveMessageErrorType::Deserializing { .. } => match error.into_parts().0 {
                ReceiveMessageErrorType::Deserializing { event } => Received::Payload(event),
                _ => Received::Closes(Cause::Misread),
            },
            _ => Received::Closes(Cause::Undecodable),
        }
    }

    /// A heartbeat was sent an interval ago, and not acknowledged.
    fn heartbeat_is_overdue(&self) -> bool {
        let latency = self.shard.latency();
        let (Some(sent), Some(interval)) = (latency.sent(), self.heartbeat_interval) else {
            return false;
        };
        latency.received().is_none() && sent.elapsed() >= interval.mul_f64(0.9)
    }

    /// HELLO came, with this interval. Whether the client has taken it for that, and is about to resume or identify.
    pub(super) fn hello(&mut self, interval: Duration) -> bool {
        self.heartbeat_interval = Some(interval);
        self.shard.state() == ShardState::Resuming || self.turn.was_asked.load(Ordering::Relaxed)
    }

    /// Sends a packet as soon as the limit allows; see [`Self::limiter`].
    pub(super) fn send(&self, packet: String) {
        self.shard.send(packet);
    }

    /// The limit on what may be sent; `None` before HELLO.
    pub(super) const fn limiter(&self) -> Option<&CommandRatelimiter> {
        self.shard.ratelimiter()
    }

    /// Asks the peer to close the connection; not with a code that ends the session, unless that is wanted.
    pub(super) fn close(&self, end_session: bool) {
        // A client that closes by itself has sent its frame, and takes no other.
        if !(self.upgraded && self.is_disconnected()) {
            self.shard.close(if end_session {
                CloseFrame::NORMAL
            } else {
                CloseFrame::RESUME
            });
        }
    }

    /// Whether the client itself holds the session live.
    pub(super) fn is_active(&self) -> bool {
        self.shard.state() == ShardState::Active
    }

    /// Whether the client sends heartbeats when it is polled.
    pub(super) fn sends_heartbeats(&self) -> bool {
        self.shard.state().is_identified()
    }

    /// Whether there is no connection, or the client is about to end it.
    pub(super) const fn is_disconnected(&self) -> bool {
        matches!(
            self.shard.state(),
            ShardState::Disconnected { .. } | ShardState::FatallyClosed
        )
    }

    /// The session that the client has.
    pub(super) fn session(&self) -> Option<&str> {
        self.shard.session().map(Resume::id)
    }

    /// When heartbeats were sent and acknowledged.
    pub(super) const fn latency(&self) -> &Latency {
        self.shard.latency()
    }
}

impl From<Cause> for Ending {
    fn from(cause: Cause) -> Self {
        Self {
            cause,
            detail: None,
        }
    }
}

/// Uses up the task's cooperative budget but for so many reads and writes, so that a poll does not get far.
///
/// With more, one poll may see the upgrade and the end of the connection, or the end and the next host's address, and go on to
/// connect to it. What the rest of the budget would have done is done in the next poll, which tokio schedules at once. One operation
/// is too few only for the client's farewell, which reads twice.
fn limit_operations(cx: &mut Context<'_>, operations: u8) {
    // A budget has fewer units than that; a task that has no budget goes on without one.
    for _ in 0..u8::MAX {
        let Poll::Ready(unit) = poll_proceed(cx) else {
            return;
        };
        if has_units(cx, operations) {
            unit.made_progress();
        } else {
            // Given back.
            return;
        }
    }
}

/// Whether the budget has so many units more. None is used.
fn has_units(cx: &mut Context<'_>, units: u8) -> bool {
    if units == 0 {
        return true;
    }
    if !has_budget_remaining() {
        return false;
    }
    // Dropped, it is given back, after those of the calls below.
    match poll_proceed(cx) {
        Poll::Ready(_unit) => has_units(cx, units - 1),
        Poll::Pending => false,
    }
}

/// Whether the client has lost its connection and begun to make another one. It says so nowhere but in its `Debug` form, in a
/// field that comes early; what comes after it is not written.
fn is_connecting<Q: fmt::Debug>(shard: &Shard<Q>) -> bool {
    struct Until {
        text: String,
    }
    impl fmt::Write for Until {
        fn write_str(&mut self, text: &str) -> fmt::Result {
            self.text.push_str(text);
            let found = [CONNECTING, NOT_CONNECTING].map(|end| self.text.ends_with(end));
            if found.contains(&true) {
                Err(fmt::Error)
            } else {
                Ok(())
            }
        }
    }
    const CONNECTING: &str = " connection_future: Some";
    const NOT_CONNECTING: &str = " connection_future: None";

    let mut until = Until {
        text: String::new(),
    };
    let _ = write!(until, "{shard:?}");
    until.text.ends_with(CONNECTING)
}

/// Why no connection came about.
fn not_connected(error: &(dyn Error + 'static)) -> Cause {
    if error.is::<Elapsed>() {
        return Cause::ConnectTimeout;
    }
    match error.downcast_ref::<WebsocketError>() {
        Some(WebsocketError::CannotResolveHost) => Cause::Dns,
        Some(WebsocketError::Rustls(_) | WebsocketError::InvalidDNSName(_)) => Cause::Tls,
        Some(WebsocketError::Upgrade(_) | WebsocketError::Protocol(_)) => Cause::Upgrade,
        Some(WebsocketError::Io(error)) => match error.kind() {
            io::ErrorKind::ConnectionRefused => Cause::Refused,
            io::ErrorKind::ConnectionReset
            | io::ErrorKind::BrokenPipe
            | io::ErrorKind::UnexpectedEof => Cause::Cut,
            // rustls wraps what it refuses so.
            io::ErrorKind::InvalidData => Cause::Tls,
            io::ErrorKind::TimedOut => Cause::ConnectTimeout,
            _ => Cause::Network,
        },
        _ => Cause::Network,
    }
}

/// An error with its causes.
fn causes(error: &(dyn Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        // Some texts hold those of their causes already.
        if !text.ends_with(&cause_text) {
            text.push_str(": ");
            text.push_str(&cause_text);
        }
        source = cause.source();
    }
    text
}

/// Whether this connection has asked for its turn to identify, and got it.
#[derive(Debug, Default)]
struct Turn {
    was_asked: AtomicBool,
    has_come: AtomicBool,
}

/// The process's queue, seen from one connection.
#[derive(Debug)]
struct Turns<Q> {
    queue: Q,
    turn: Arc<Turn>,
}

impl<Q: Queue> Queue for Turns<Q> {
    fn enqueue(&self, shard: u32) -> oneshot::Receiver<()> {
        self.turn.was_asked.store(true, Ordering::Relaxed);
        let granted = self.queue.enqueue(shard);
        let (mut pass_on, passed_on) = oneshot::channel();
        let turn = self.turn.clone();
        tokio::spawn(async move {
            let granted = tokio::select! {
                // The connection is gone, and so is its place in the queue.
                () = pass_on.closed() => return,
                granted = granted => granted,
            };
            // A request that the queue drops is made again by the client, which sees that this one is dropped too.
            if granted.is_ok() {
                turn.has_come.store(true, Ordering::Relaxed);
                let _ = pass_on.send(());
            }
        });
        passed_on
    }
}
