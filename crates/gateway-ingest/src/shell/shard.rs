//! One shard: its socket, what it has received, its frames on their way to RabbitMQ, its commands.
//!
//! Everything of a shard happens in one task, so that nothing of it can change places.
//!
//! **Invariant:** a shard makes a connection only while it holds its lock, or while Redis still names this process as its
//! owner: two processes that resume one session in turns would never come to rest.

mod command;
mod end;
mod outcome;
mod publish;
mod read;
mod reconnect;
mod room;

use std::{future::pending, sync::Arc, time::Duration};

use dispatch_service::backoff::Backoff;
use futures_util::{StreamExt as _, future::BoxFuture};
use lapin::{Connection, message::Delivery};
use tokio::{
    sync::{OwnedSemaphorePermit, mpsc},
    time::{Instant, sleep_until},
};
use tokio_util::sync::CancellationToken;
use twilight_gateway::{Message, Shard, error::ReceiveMessageError};

use super::{
    claim::{Attempt, Claim},
    commands::Inbound,
    context::Context,
    identify::IdentifyQueue,
};
use crate::{
    core::{
        departures::Departures,
        outbox::{Outbox, Received},
        schedule::Schedule,
        status::Status,
        unacknowledged::Unacknowledged,
    },
    error::IngestError,
};
use command::Leaving;
use outcome::Ticket;
use publish::InFlight;
use room::Beat;

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
    /// We have asked Discord to close this connection.
    closing: bool,

    outbox: Outbox<OwnedSemaphorePermit>,
    /// Waits for room, perhaps with an event that has none yet. Meanwhile nothing is read but for a heartbeat's sake.
    admission: Option<BoxFuture<'static, Option<Event>>>,
    /// Whether an event waits in `admission`.
    holds_one: bool,
    /// What is read now is dropped: something before it was.
    discarding: bool,
    /// Whether the book has it that there is no room.
    told_full: bool,
    beat: Beat,
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
    schedule: Schedule<Ticket>,
    leaving: Option<Leaving>,
    departures: Departures,
    unacknowledged: Unacknowledged<Box<Delivery>>,
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
            closing: false,
            outbox: Outbox::new(number, total),
            admission: None,
            holds_one: false,
            discarding: false,
            told_full: false,
            beat: Beat::default(),
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
            leaving: None,
            departures: Departures::default(),
            unacknowledged: Unacknowledged::default(),
            look_at: None,
        }
    }

    async fn hold(&mut self, stop: &CancellationToken) -> Result<(), IngestError> {
        let mut publishing = self.context.publishing.clone();
        loop {
            self.strive();
            self.hand_over_due().await?;
            self.tell_room();
            let (readable, beat_at) = (self.readable(), self.beat_at());
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
                () = reached(self.look_at) => self.look_now(),
                item = next(&mut self.socket), if readable => {
                    self.beaten();
                    self.read(item)?;
                }
                () = reached(beat_at), if !readable => self.beat.due = true,
            }
        }
    }

    /// Starts what can be started: the next publication, the next try to own the shard.
    fn strive(&mut self) {
        self.publish();
        self.try_claim();
    }

    fn set_status(&mut self, status: Status) {
        if self.status != status {
            self.status = status;
            self.context.book.status(self.number, status);
            // Commands may go now, or must wait.
            self.look_now();
        }
    }

    /// The schedule is to be looked at.
    fn look_now(&mut self) {
        self.look_at = Some(Instant::now());
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
