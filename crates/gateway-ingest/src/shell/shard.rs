//! One shard: its socket, what it has received, its frames on their way to RabbitMQ, its commands.
//!
//! Everything of a shard happens in one task, so that nothing of it can change places.
//!
//! **Invariant:** a shard makes a connection only while it holds its lock, or while Redis still names this process as its
//! owner: two processes that resume one session in turns would never come to rest.

mod command;
mod publish;
mod read;

use std::{future::pending, sync::Arc, time::Duration};

use dispatch_service::backoff::Backoff;
use futures_util::{StreamExt as _, future::BoxFuture};
use lapin::{Connection, message::Delivery};
use tokio::{
    sync::{OwnedSemaphorePermit, mpsc},
    time::{Instant, sleep_until, timeout_at},
};
use tokio_util::sync::CancellationToken;
use twilight_gateway::{CloseFrame, Message, Shard, ShardState, error::ReceiveMessageError};

use super::{
    claim::{Attempt, Claim},
    commands::Inbound,
    context::Context,
    identify::IdentifyQueue,
};
use crate::{
    core::{
        outbox::{Outbox, Received},
        schedule::Schedule,
        status::Status,
    },
    error::IngestError,
};
use publish::InFlight;

/// Longest wait for Discord's answer to our close frame.
const CLOSE_LIMIT: Duration = Duration::from_secs(2);
/// Longest time to publish what is in hand at the end.
const DRAIN_LIMIT: Duration = Duration::from_secs(5);

type Socket = Shard<IdentifyQueue>;
type Event = Received<OwnedSemaphorePermit>;
type Item = Option<Result<Message, ReceiveMessageError>>;

/// Holds one shard until `stop`.
///
/// # Errors
///
/// If Discord closes the shard for good.
pub(crate) async fn run(
    context: Arc<Context>,
    number: u32,
    stop: CancellationToken,
) -> Result<(), IngestError> {
    let mut task = Task::new(context, number);
    let result = task.hold(&stop).await;
    task.finish().await;
    result
}

struct Task {
    context: Arc<Context>,
    number: u32,
    events: metrics::Counter,

    socket: Option<Socket>,
    /// The session that the socket has or is about to resume.
    session: Option<Arc<str>>,
    status: Status,
    /// The next new session was asked for: the one before is not lost.
    session_dropped: bool,

    outbox: Outbox<OwnedSemaphorePermit>,
    /// The event for which there is no room yet. While there is one, nothing is read.
    admission: Option<BoxFuture<'static, Option<Event>>>,
    in_flight: Option<InFlight>,
    /// How often the parcel in flight was published.
    publications: u32,
    /// Set after a refusal: when to publish again.
    publish_after: Option<Duration>,
    publish_backoff: Backoff,

    claim: Option<Claim>,
    attempt: Option<BoxFuture<'static, Claiming>>,
    /// The connection on which the shard's channel failed last.
    broken: Option<Arc<Connection>>,
    claim_backoff: Backoff,
    locked_logged: bool,
    /// Whether the socket was closed while the lock was not held, and Redis's answer is awaited.
    asking_owner: Option<BoxFuture<'static, bool>>,

    commands: Option<mpsc::Receiver<Inbound>>,
    schedule: Schedule<Box<Delivery>>,
    /// When the schedule is to be looked at again.
    look_at: Option<Instant>,
}

/// How a try to own the shard ended, with the session to begin with if it was fresh or taken.
struct Claiming {
    attempt: Attempt,
    start: Option<Start>,
}

/// The shard begins, or begins anew, with this session.
struct Start {
    record: Option<dispatch_proto::session::SessionRecord>,
}

impl Task {
    fn new(context: Arc<Context>, number: u32) -> Self {
        let total = context.total;
        Self {
            context,
            number,
            events: crate::metrics::events(number),
            socket: None,
            session: None,
            status: Status::Disconnected,
            session_dropped: false,
            outbox: Outbox::new(number, total),
            admission: None,
            in_flight: None,
            publications: 0,
            publish_after: None,
            publish_backoff: Backoff::default(),
            claim: None,
            attempt: None,
            broken: None,
            claim_backoff: Backoff::default(),
            locked_logged: false,
            asking_owner: None,
            commands: None,
            schedule: Schedule::default(),
            look_at: None,
        }
    }

    async fn hold(&mut self, stop: &CancellationToken) -> Result<(), IngestError> {
        let mut publishing = self.context.publishing.clone();
        loop {
            self.strive();
            self.hand_over_due().await?;
            let readable = self.readable();
            tokio::select! {
                biased;
                () = stop.cancelled() => return Ok(()),
                result = finished(&mut self.in_flight) => self.published(result),
                claiming = finished(&mut self.attempt) => self.claimed(claiming).await,
                Ok(()) = publishing.changed() => {
                    let current = publishing.borrow_and_update().clone();
                    self.connection_changed(current.as_ref());
                }
                ours = finished(&mut self.asking_owner) => self.owner_answered(ours),
                event = finished(&mut self.admission) => self.admitted(event),
                Some(inbound) = received(&mut self.commands) => self.command(inbound),
                () = reached(self.look_at) => self.look_at = Some(Instant::now()),
                item = next(&mut self.socket), if readable => self.read(item)?,
            }
        }
    }

    /// Starts what can be started: the next publication, the next try to own the shard.
    fn strive(&mut self) {
        self.publish();
        self.try_claim();
    }

    /// Whether the socket may be polled. Polling a closed one connects it.
    fn readable(&self) -> bool {
        self.socket.is_some() && self.admission.is_none() && self.asking_owner.is_none()
    }

    /// Closes the socket resumably, and publishes what is in hand.
    async fn finish(&mut self) {
        self.commands = None;
        self.schedule.clear();
        let drained_by = Instant::now() + DRAIN_LIMIT;
        let closed_by = Instant::now() + CLOSE_LIMIT;
        let mut closing = self.begin_close();
        // An event without room is dropped: it is not confirmed, so Discord will send it again.
        self.admission = None;
        while closing || !self.outbox.is_empty() {
            self.strive();
            tokio::select! {
                biased;
                () = sleep_until(drained_by) => {
                    tracing::warn!(shard = self.number, "not all events could be published in time; discord will send them again");
                    break;
                }
                result = finished(&mut self.in_flight) => self.published(result),
                claiming = finished(&mut self.attempt) => self.claimed(claiming).await,
                () = sleep_until(closed_by), if closing => closing = false,
                item = next(&mut self.socket), if closing && self.admission.is_none() => closing = self.read_while_closing(item),
            }
        }
        self.socket = None;
        self.set_status(Status::Disconnected);
    }

    /// Asks Discord to close; `false` if there is nothing to close.
    fn begin_close(&mut self) -> bool {
        let open = |socket: &&mut Socket| {
            !matches!(
                socket.state(),
                ShardState::Disconnected { .. } | ShardState::FatallyClosed
            )
        };
        let socket = self.socket.as_mut().filter(open);
        // Not 1000: that ends the session.
        socket.is_some_and(|socket| {
            socket.close(CloseFrame::RESUME);
            true
        })
    }

    /// Closes the socket and forgets everything of the shard: another process owns it now.
    async fn let_go(&mut self) {
        tracing::warn!(
            shard = self.number,
            "another process has taken the shard over"
        );
        self.context.book.forget(self.number);
        self.outbox.clear();
        self.in_flight = None;
        self.admission = None;
        self.asking_owner = None;
        self.publications = 0;
        self.commands = None;
        self.schedule.clear();
        if self.begin_close() {
            let closed_by = Instant::now() + CLOSE_LIMIT;
            while let Ok(Some(item)) = timeout_at(closed_by, next(&mut self.socket)).await {
                if matches!(item, Ok(Message::Close(_))) || self.is_disconnected() {
                    break;
                }
            }
        }
        self.socket = None;
        self.session = None;
        self.set_status(Status::Disconnected);
    }

    fn is_disconnected(&self) -> bool {
        self.socket
            .as_ref()
            .is_none_or(|socket| matches!(socket.state(), ShardState::Disconnected { .. }))
    }

    fn set_status(&mut self, status: Status) {
        if self.status != status {
            self.status = status;
            self.context.book.status(self.number, status);
            // Commands may go now, or must wait.
            self.look_at = Some(Instant::now());
        }
    }
}

/// The slot's future; the slot is empty afterwards. Waits for ever on an empty one.
async fn finished<F: Future + Unpin>(slot: &mut Option<F>) -> F::Output {
    match slot {
        Some(future) => {
            let output = future.await;
            *slot = None;
            output
        }
        None => pending().await,
    }
}

async fn received<T>(queue: &mut Option<mpsc::Receiver<T>>) -> Option<T> {
    match queue {
        Some(queue) => queue.recv().await,
        None => pending().await,
    }
}

async fn next(socket: &mut Option<Socket>) -> Item {
    match socket {
        Some(socket) => socket.next().await,
        None => pending().await,
    }
}

async fn reached(at: Option<Instant>) {
    match at {
        Some(at) => sleep_until(at).await,
        None => pending().await,
    }
}
