//! One shard: its socket, what it has received until its partition's publisher has it, its commands.
//!
//! Everything of a shard happens in one task, so that nothing of it can change places.
//!
//! When it connects, how long it waits and what follows is decided in [`crate::core::connection`]; [`Task::happened`] tells it what
//! happened, and carries out what it says.
//!
//! **Invariant:** a shard makes a connection only while it holds its lock, or while Redis still names this process as its
//! owner ([`Task::ask_leave`]): two processes that resume one session in turns would never come to rest.

mod client;
mod command;
mod connect;
mod end;
mod outcome;
mod ownership;
mod read;
mod room;

use std::{
    future::{pending, poll_fn},
    sync::Arc,
};

use super::{
    commands::{Commands, Inbound},
    context::Context,
    identify::IdentifyQueue,
    order::{Order, Stay},
};
use crate::{
    core::{
        connection::{Connection as Policy, Input},
        outbox,
        status::Status,
    },
    error::IngestError,
};
use client::{Ending, Received};
use command::CommandQueue;
use connect::Leave;
use dispatch_proto::session::SessionRecord;
use dispatch_service::metrics::Counter;
use futures_util::future::BoxFuture;
use lapin::Connection;
use room::Reading;
use tokio::{
    sync::{OwnedSemaphorePermit, watch},
    time::{Instant, sleep_until},
};
use tokio_util::sync::CancellationToken;

type Client = client::Client<IdentifyQueue>;
type Event = outbox::Received<OwnedSemaphorePermit>;

/// Runs one shard, which begins with `session`, until it is ordered to leave, or `stop`.
///
/// # Errors
///
/// If Discord closes the shard for good.
pub(crate) async fn run(
    context: Arc<Context>,
    number: u32,
    session: Option<SessionRecord>,
    orders: watch::Receiver<Order>,
    stop: CancellationToken,
) -> Result<(), IngestError> {
    let mut task = Task::new(context, number);
    let result = match task.begin(session) {
        Ok(()) => task.hold(orders, &stop).await,
        Err(error) => Err(error),
    };
    if let Ok(Stay::LetGo) = result {
        return task.let_go().await;
    }
    let finished = task.finish().await;
    result.map(drop).and(finished)
}

struct Task {
    context: Arc<Context>,
    number: u32,
    events: Counter,

    /// Decides when to connect.
    policy: Policy,
    /// The connection that there is.
    client: Option<Client>,
    /// One of the connections that the process may be making at once, while this shard makes its own.
    slot: Option<OwnedSemaphorePermit>,
    /// Whether this process may connect the shard now.
    leave: Option<BoxFuture<'static, Leave>>,
    /// How the connection has ended that is about to be dropped.
    ending: Option<Ending>,
    /// What others were told of the connection.
    status: Status,

    reading: Reading,

    /// The connection on which the shard's lock is held.
    claim: Option<Arc<Connection>>,

    queue: CommandQueue,
}

impl Task {
    fn new(context: Arc<Context>, number: u32) -> Self {
        Self {
            context,
            number,
            events: crate::metrics::events(number),
            policy: Policy::default(),
            client: None,
            slot: None,
            leave: None,
            ending: None,
            status: Status::Disconnected,
            reading: Reading::default(),
            claim: None,
            queue: CommandQueue::default(),
        }
    }

    async fn hold(
        &mut self,
        mut orders: watch::Receiver<Order>,
        stop: &CancellationToken,
    ) -> Result<Stay, IngestError> {
        orders.mark_changed();
        let mut stay = Stay::Yes;
        loop {
            // An identify that Discord has is not wasted.
            if stay == Stay::LetGo || (stay == Stay::Release && !self.policy.is_identifying()) {
                return Ok(stay);
            }
            self.ask_leave();
            self.hand_over_due().await?;
            self.note_room()?;
            let (readable, beat_at) = (self.readable(), self.beat_at());
            let deadline = self.policy.deadline().map(Instant::from_std);
            tokio::select! {
                biased;
                () = stop.cancelled() => return Ok(Stay::Release),
                Ok(()) = orders.changed() => {
                    let order = orders.borrow_and_update().clone();
                    stay = self.ordered(order)?;
                }
                leave = finished(&mut self.leave) => self.leave_answered(leave)?,
                event = finished(&mut self.reading.admission) => self.admitted(event),
                Some(inbound) = received(&mut self.queue.consumer) => self.command(inbound),
                () = reached(self.queue.look_at) => self.look_now(),
                () = reached(deadline) => self.happened(Input::Time)?,
                received = next(&mut self.client), if readable => {
                    self.note_read();
                    self.received(received)?;
                }
                () = reached(beat_at), if !readable => self.reading.beat.due = true,
            }
        }
    }

    /// The schedule is to be looked at.
    fn look_now(&mut self) {
        self.queue.look_at = Some(Instant::now());
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

async fn received(commands: &mut Option<Commands>) -> Option<Inbound> {
    match commands {
        Some(commands) => commands.next().await,
        None => pending().await,
    }
}

async fn next(client: &mut Option<Client>) -> Received {
    match client {
        Some(client) => poll_fn(|cx| client.poll_next(cx)).await,
        None => pending().await,
    }
}

async fn reached(at: Option<Instant>) {
    match at {
        Some(at) => sleep_until(at).await,
        None => pending().await,
    }
}
