//! When a shard connects, to where, for which session, how long it waits for its peer, and when it gives up.
//!
//! [`Connection`] is told what happened ([`Input`]) and says what to do ([`Output`]). The time and the randomness are arguments.
//! The client is the shell's matter: it is made for one connection, and dropped with it.
//!
//! **Invariant:** each state either has a deadline or waits for something of this process (`State` names it); so there is a way out
//! of each, whatever the peer does or leaves undone.
//!
//! **Invariant:** between two connections lies a delay, which grows until a connection has been live for [`STABLE`].

mod cause;
mod delay;
#[cfg(test)]
mod tests;

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

pub use cause::Cause;

use super::{close::fatal_advice, status::Status};

/// For name, TCP, TLS and upgrade together. The client's own limit is 10 s.
const CONNECT: Duration = Duration::from_secs(15);
const HELLO: Duration = Duration::from_secs(20);
const READY: Duration = Duration::from_secs(60);
/// Counted from the last event that was replayed.
const RESUMED: Duration = Duration::from_secs(60);
const CLOSE: Duration = Duration::from_secs(5);
/// As [`CLOSE`], where the process ends.
const LAST_CLOSE: Duration = Duration::from_secs(2);

/// A connection that was live for so long is one that works: failures before it count no more.
pub const STABLE: Duration = Duration::from_secs(30);

/// From so many connections to the resume URL on that did not become stable, the main URL is used.
const RESUME_URL_FAILURES: u32 = 3;
/// From so many refused resumes on, a new session is begun.
const REFUSED_RESUMES: u32 = 5;

/// A session that can be resumed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Session {
    /// Discord's name for it.
    pub id: Arc<str>,
    /// Sequence of the last event that was received.
    pub sequence: u64,
    /// Where Discord wants it resumed; `None` for the main URL.
    pub url: Option<String>,
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Input {
    /// The shard is this process's now, to be begun with this session.
    Begin(Option<Session>),
    /// The shard is (still) this process's: it may connect again.
    Owned,
    /// Another process owns the shard.
    NotOwned,
    /// There is leave to connect: nothing of this process stands against it.
    MayConnect,
    /// The websocket is there.
    Upgraded,
    /// Discord's first payload.
    Hello,
    /// The shard's turn to identify has come.
    IdentifySent,
    /// A session has begun. `usable` if the client has taken it so.
    Ready {
        /// The session.
        session: Session,
        /// Whether the client can go on with it.
        usable: bool,
    },
    /// All missed events were replayed.
    Resumed,
    /// An event with its sequence.
    Event(Option<u64>),
    /// Op 7.
    Reconnect,
    /// Op 9.
    InvalidSession {
        /// Whether the session may be resumed later.
        resumable: bool,
    },
    /// The client ends the connection for another reason than the peer's wish.
    ClientCloses(Cause),
    /// A command wants another connection.
    Command {
        /// Whether it wants another session too.
        new_session: bool,
    },
    /// The connection ended, or was not made.
    Ended(Cause),
    /// Whether the connection is read: there may be no room for what it brings.
    Reading(bool),
    /// The shard ends in this process.
    Stop,
    /// Nothing but time has passed.
    Time,
}

/// What to do, or worth knowing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output {
    /// Make a connection.
    Connect(Target),
    /// Ask the peer to close the connection, unless the client has.
    Close {
        /// Whether the session ends with it.
        end_session: bool,
    },
    /// Drop the connection, if there still is one.
    Drop {
        /// Whether the peer was asked to close it.
        asked: bool,
    },
    /// A connection was waited for in vain.
    Missed(Deadline),
    /// The resume URL is left for the main URL.
    LeftResumeUrl,
    /// The session is gone: a new one follows, and events between the two are lost.
    SessionLost {
        /// Too many resumes were refused; else Discord has said that it is gone.
        given_up: bool,
    },
    /// The connection ended, or was not made. The next one is made after `delay`.
    Retry {
        /// Why.
        cause: Cause,
        /// Connections in a row that did not become stable.
        failures: u32,
        /// Time until the next.
        delay: Duration,
    },
    /// Discord does not want the shard to reconnect after this close code.
    Fatal(u16),
}

/// Where to connect, and what for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// The session to resume; `None` to identify.
    pub session: Option<Session>,
}

/// What a peer did not do in time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Deadline {
    /// TCP, TLS and upgrade.
    Connect,
    /// HELLO.
    Hello,
    /// READY.
    Ready,
    /// An event, or RESUMED.
    Resumed,
    /// The answer to our close frame.
    Close,
}

impl Deadline {
    /// All labels.
    pub const LABELS: &'static [&'static str] = &["connect", "hello", "ready", "resumed", "close"];

    /// Label of `gateway_deadlines_missed_total`.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::Connect => "connect",
            Self::Hello => "hello",
            Self::Ready => "ready",
            Self::Resumed => "resumed",
            Self::Close => "close",
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Not begun: waits for this process to own the shard.
    Idle,
    /// Another process has the shard: waits for this process to own it, or to let go of it.
    NotOwned,
    /// Until the next connection.
    Waiting {
        until: Instant,
    },
    /// Waits for leave of this process: the shard's owner, and how many connections are being made.
    AskingLeave,
    Connecting {
        until: Instant,
    },
    AwaitingHello {
        until: Instant,
    },
    /// Waits for this process's turn to identify. The client's heartbeats watch the connection.
    AwaitingTurn,
    Identifying {
        until: Instant,
    },
    Resuming {
        until: Instant,
    },
    /// The client's heartbeats watch the connection.
    Live {
        since: Instant,
    },
    Closing {
        until: Instant,
        then: Then,
    },
    /// For good.
    Over,
}

/// What follows a close.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Then {
    Retry(Cause),
    Stop,
}

/// What is known of the connection of the moment.
#[derive(Clone, Copy, Debug, Default)]
struct Attempt {
    /// It is to resume a session.
    resumes: bool,
    /// It goes to the resume URL.
    on_resume_url: bool,
    /// HELLO came, upon which the client resumes.
    hello: bool,
    live_since: Option<Instant>,
}

/// The connection of one shard.
#[derive(Debug)]
pub struct Connection {
    state: State,
    session: Option<Session>,
    attempt: Attempt,
    /// Connections in a row that did not become stable.
    failures: u32,
    /// Those among them to the resume URL.
    resume_url_failures: u32,
    /// Resumes in a row that ended before RESUMED.
    refused_resumes: u32,
    /// What the peer sends is read, so that its silence says something.
    reading: bool,
}

impl Default for Connection {
    fn default() -> Self {
        Self {
            state: State::Idle,
            session: None,
            attempt: Attempt::default(),
            failures: 0,
            resume_url_failures: 0,
            refused_resumes: 0,
            reading: true,
        }
    }
}

impl Connection {
    /// What to show of it.
    #[must_use]
    pub const fn status(&self) -> Status {
        match self.state {
            State::AwaitingTurn | State::Identifying { .. } => Status::Identifying,
            State::Resuming { .. } => Status::Resuming,
            State::Live { .. } => Status::Connected,
            _ => Status::Disconnected,
        }
    }

    /// The session of the moment: live, or to be resumed.
    #[must_use]
    pub const fn session(&self) -> Option<&Session> {
        self.session.as_ref()
    }

    /// Whether the session is live.
    #[must_use]
    pub const fn is_live(&self) -> bool {
        matches!(self.state, State::Live { .. })
    }

    /// Whether Discord has been asked for a new session, and has not answered.
    #[must_use]
    pub const fn is_identifying(&self) -> bool {
        matches!(self.state, State::Identifying { .. })
    }

    /// Whether the close of the connection is awaited.
    #[must_use]
    pub const fn is_closing(&self) -> bool {
        matches!(self.state, State::Closing { .. })
    }

    /// Whether the shard has ended in this process.
    #[must_use]
    pub const fn is_over(&self) -> bool {
        matches!(self.state, State::Over)
    }

    /// Whether the shard was begun in this process, and has not ended.
    #[must_use]
    pub const fn has_begun(&self) -> bool {
        !matches!(self.state, State::Idle | State::Over)
    }

    /// Whether it is to be found out whether this process may connect the shard now, which [`Input::MayConnect`] or
    /// [`Input::NotOwned`] answers.
    #[must_use]
    pub const fn asks_leave(&self) -> bool {
        matches!(self.state, State::AskingLeave)
    }

    /// When to give [`Input::Time`], if nothing comes before.
    #[must_use]
    pub const fn deadline(&self) -> Option<Instant> {
        match self.state {
            State::Waiting { until } | State::Closing { until, .. } => Some(until),
            // Silence says nothing about a peer that is not listened to.
            State::Connecting { until }
            | State::AwaitingHello { until }
            | State::Identifying { until }
            | State::Resuming { until }
                if self.reading =>
            {
                Some(until)
            }
            _ => None,
        }
    }

    /// Takes in what happened at `now`, and says what to do about it, in this order. `random` is between 0 and 1.
    #[must_use]
    pub fn handle(&mut self, input: Input, now: Instant, random: f64) -> Vec<Output> {
        let mut todo = Vec::new();
        match input {
            Input::Begin(session) => {
                if self.state == State::Idle {
                    self.state = State::AskingLeave;
                    self.session = session;
                }
            }
            Input::Owned => {
                if self.state == State::NotOwned {
                    self.state = State::AskingLeave;
                }
            }
            Input::NotOwned => {
                if self.state == State::AskingLeave {
                    self.state = State::NotOwned;
                }
            }
            Input::MayConnect => self.connect(now, &mut todo),
            Input::Upgraded => {
                if matches!(self.state, State::Connecting { .. }) {
                    self.state = State::AwaitingHello { until: now + HELLO };
                }
            }
            Input::Hello => self.hello(now),
            Input::IdentifySent => {
                if self.state == State::AwaitingTurn {
                    self.state = State::Identifying { until: now + READY };
                }
            }
            Input::Ready { session, usable } => self.ready(session, usable, now, random, &mut todo),
            Input::Resumed => self.resumed(now),
            Input::Event(sequence) => self.event(sequence, now),
            Input::Reconnect => self.close(Then::Retry(Cause::Reconnect), false, now, &mut todo),
            Input::InvalidSession { resumable } => {
                let cause = Cause::InvalidSession { resumable };
                self.close(Then::Retry(cause), !resumable, now, &mut todo);
            }
            Input::ClientCloses(cause) => self.close(Then::Retry(cause), false, now, &mut todo),
            Input::Command { new_session } => {
                let cause = Cause::Command { new_session };
                self.close(Then::Retry(cause), new_session, now, &mut todo);
            }
            Input::Ended(cause) => self.ended(cause, now, random, &mut todo),
            Input::Reading(reading) => self.set_reading(reading, now),
            Input::Stop => self.stop(now, &mut todo),
            Input::Time => self.time(now, random, &mut todo),
        }
        todo
    }

    fn connect(&mut self, now: Instant, todo: &mut Vec<Output>) {
        if self.state != State::AskingLeave {
            return;
        }
        self.state = State::Connecting {
            until: now + CONNECT,
        };
        self.attempt = Attempt {
            resumes: self.session.is_some(),
            on_resume_url: self.session.as_ref().is_some_and(|s| s.url.is_some()),
            ..Attempt::default()
        };
        let session = self.session.clone();
        todo.push(Output::Connect(Target { session }));
    }

    fn hello(&mut self, now: Instant) {
        if !matches!(
            self.state,
            State::Connecting { .. } | State::AwaitingHello { .. }
        ) {
            return;
        }
        self.attempt.hello = true;
        self.state = if self.attempt.resumes {
            State::Resuming {
                until: now + RESUMED,
            }
        } else {
            State::AwaitingTurn
        };
    }

    fn ready(
        &mut self,
        session: Session,
        usable: bool,
        now: Instant,
        random: f64,
        todo: &mut Vec<Output>,
    ) {
        let known = self.session.as_ref().map(|known| &known.id);
        if known == Some(&session.id) {
            // A session that is resumed from its beginning brings its READY again, among what is replayed.
            self.event(Some(session.sequence), now);
            return;
        }
        if self.is_closing() {
            // It came too late to be live, but can be resumed.
            self.session = Some(session);
            return;
        }
        if !self.is_identified_or_about_to() {
            return;
        }
        self.session = Some(session);
        self.resume_url_failures = 0;
        self.refused_resumes = 0;
        self.live(now);
        if !usable {
            // Nothing was read after it: the session is resumed with a client that knows it.
            todo.push(Output::Drop { asked: false });
            self.retry(Cause::UnusableReady, now, random, todo);
        }
    }

    fn resumed(&mut self, now: Instant) {
        if matches!(self.state, State::Resuming { .. }) {
            self.refused_resumes = 0;
            self.live(now);
        }
    }

    fn live(&mut self, now: Instant) {
        self.state = State::Live { since: now };
        self.attempt.live_since = Some(now);
    }

    fn event(&mut self, sequence: Option<u64>, now: Instant) {
        if let State::Resuming { until } = &mut self.state {
            *until = now + RESUMED;
        }
        if let (Some(session), Some(sequence)) = (&mut self.session, sequence) {
            session.sequence = session.sequence.max(sequence);
        }
    }

    fn set_reading(&mut self, reading: bool, now: Instant) {
        if reading && !self.reading {
            match &mut self.state {
                State::Connecting { until } => *until = now + CONNECT,
                State::AwaitingHello { until } => *until = now + HELLO,
                State::Identifying { until } => *until = now + READY,
                State::Resuming { until } => *until = now + RESUMED,
                _ => {}
            }
        }
        self.reading = reading;
    }

    fn close(&mut self, then: Then, end_session: bool, now: Instant, todo: &mut Vec<Output>) {
        let open = matches!(
            self.state,
            State::Connecting { .. } | State::AwaitingHello { .. }
        ) || self.is_identified_or_about_to();
        if open {
            let until = now + CLOSE;
            self.state = State::Closing { until, then };
            todo.push(Output::Close { end_session });
        }
    }

    const fn is_identified_or_about_to(&self) -> bool {
        matches!(
            self.state,
            State::AwaitingTurn
                | State::Identifying { .. }
                | State::Resuming { .. }
                | State::Live { .. }
        )
    }

    fn ended(&mut self, cause: Cause, now: Instant, random: f64, todo: &mut Vec<Output>) {
        let then = match self.state {
            State::Closing { then, .. } => then,
            State::Idle
            | State::NotOwned
            | State::Waiting { .. }
            | State::AskingLeave
            | State::Over => return,
            _ => Then::Retry(cause),
        };
        let asked = self.is_closing();
        todo.push(Output::Drop { asked });
        if let Cause::Closed(Some(code)) = cause
            && fatal_advice(code).is_some()
            && then != Then::Stop
        {
            self.state = State::Over;
            todo.push(Output::Fatal(code));
            return;
        }
        match then {
            Then::Stop => self.state = State::Over,
            Then::Retry(cause) => self.retry(cause, now, random, todo),
        }
    }

    fn time(&mut self, now: Instant, random: f64, todo: &mut Vec<Output>) {
        if self.deadline().is_none_or(|deadline| now < deadline) {
            return;
        }
        let (missed, cause) = match self.state {
            State::Waiting { .. } => {
                self.state = State::AskingLeave;
                return;
            }
            State::Connecting { .. } => (Deadline::Connect, Cause::ConnectTimeout),
            State::AwaitingHello { .. } => (Deadline::Hello, Cause::NoHello),
            State::Identifying { .. } => (Deadline::Ready, Cause::NoReady),
            State::Resuming { .. } => (Deadline::Resumed, Cause::NoResumed),
            State::Closing { .. } => (Deadline::Close, Cause::Cut),
            _ => return,
        };
        todo.push(Output::Missed(missed));
        self.ended(cause, now, random, todo);
    }

    fn stop(&mut self, now: Instant, todo: &mut Vec<Output>) {
        let connected =
            self.is_identified_or_about_to() || matches!(self.state, State::AwaitingHello { .. });
        match self.state {
            State::Closing { until, .. } => {
                let until = until.min(now + LAST_CLOSE);
                let then = Then::Stop;
                self.state = State::Closing { until, then };
            }
            _ if connected => {
                let until = now + LAST_CLOSE;
                let then = Then::Stop;
                self.state = State::Closing { until, then };
                // Not one that ends the session.
                todo.push(Output::Close { end_session: false });
            }
            _ => {
                self.state = State::Over;
                todo.push(Output::Drop { asked: false });
            }
        }
    }

    /// The one rule for what follows the end of a connection.
    fn retry(&mut self, cause: Cause, now: Instant, random: f64, todo: &mut Vec<Output>) {
        let attempt = std::mem::take(&mut self.attempt);
        let asked = matches!(cause, Cause::Command { .. });
        let stable = attempt
            .live_since
            .is_some_and(|since| now.saturating_duration_since(since) >= STABLE);
        if stable {
            self.failures = 0;
            self.resume_url_failures = 0;
            self.refused_resumes = 0;
        } else if !asked {
            self.failures = self.failures.saturating_add(1);
            self.count_resume(attempt, todo);
        }
        let invalid = matches!(cause, Cause::InvalidSession { .. });
        let lost = cause.ends_session() && self.session.is_some();
        let given_up = self.refused_resumes >= REFUSED_RESUMES && self.session.is_some();
        if lost || given_up {
            self.session = None;
            self.refused_resumes = 0;
            self.resume_url_failures = 0;
            todo.push(Output::SessionLost { given_up });
        }
        if cause == (Cause::Command { new_session: true }) {
            self.session = None;
        }
        let delay = if invalid && lost && attempt.resumes && attempt.live_since.is_none() {
            // The answer to a resume, once for each session, so it needs no growth: what follows is an identify.
            delay::invalid_session(random)
        } else if invalid {
            delay::backoff(self.failures, random).max(delay::invalid_session(random))
        } else if asked {
            delay::backoff(0, random)
        } else {
            delay::backoff(self.failures, random)
        };
        self.state = State::Waiting { until: now + delay };
        todo.push(Output::Retry {
            cause,
            failures: self.failures,
            delay,
        });
    }

    /// Counts a failed try to resume, and leaves the resume URL when it does not help.
    fn count_resume(&mut self, attempt: Attempt, todo: &mut Vec<Output>) {
        if !attempt.resumes {
            return;
        }
        if attempt.hello && attempt.live_since.is_none() {
            self.refused_resumes += 1;
        }
        if !attempt.on_resume_url {
            return;
        }
        self.resume_url_failures += 1;
        // A host that does not even say HELLO is not tried twice.
        if (!attempt.hello || self.resume_url_failures >= RESUME_URL_FAILURES)
            && let Some(session) = &mut self.session
            && session.url.take().is_some()
        {
            todo.push(Output::LeftResumeUrl);
        }
    }
}
