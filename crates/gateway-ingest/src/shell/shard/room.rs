//! Room for what is received: `BUFFER_BYTES` for all shards, and what a shard does when they are used up.
//!
//! It stops reading. But the client sends heartbeats only while it is polled, and a session without heartbeats is closed
//! by Discord after one or two intervals, with a code that may end it. So at each heartbeat one message is read, on a reserve that is
//! part of `BUFFER_BYTES`. When the reserve is used up too, the next message is held without a permit and nothing is read any more.

use std::time::Duration;

use dispatch_service::clock::unix_micros;
use futures_util::future::BoxFuture;
use tokio::{sync::OwnedSemaphorePermit, time::Instant};

use super::{Event, Task};
use crate::{
    core::{
        connection::Input,
        outbox::{Place, Received},
    },
    error::IngestError,
};

/// What holding an event costs beside its payload, in bytes.
const OVERHEAD: usize = 128;

/// How much later than the client's own timer a heartbeat is looked for.
const MARGIN: Duration = Duration::from_millis(5);

/// Whether the shard reads, or waits for room.
#[derive(Default)]
pub(super) struct Reading {
    /// Waits for room, perhaps with an event that has none yet. Meanwhile nothing is read but for a heartbeat's sake.
    pub(super) admission: Option<BoxFuture<'static, Option<Event>>>,
    /// Whether an event waits in `admission`.
    pub(super) holds_one: bool,
    /// What is read now is dropped: something before it was.
    pub(super) discarding: bool,
    /// Whether others have it that there is no room.
    full: bool,
    pub(super) beat: Beat,
}

/// When a shard that has no room next reads a message, for the sake of a heartbeat.
#[derive(Debug, Default)]
pub(super) struct Beat {
    /// Discord's interval on this connection.
    pub(super) interval: Option<Duration>,
    /// When the connection began, or a message was last read for a heartbeat.
    pub(super) since: Option<Instant>,
    /// A message is to be read now.
    pub(super) due: bool,
}

impl Task {
    /// Hands a payload to the publisher, or makes it wait for room.
    pub(super) fn take_in(&mut self, payload: String, sequence: Option<u64>) {
        if self.reading.discarding {
            return;
        }
        self.events.increment(1);
        let budget = &self.context.budget;
        // What it takes, not what is in it: a large payload has grown by doubling.
        let bytes = u32::try_from(payload.capacity() + OVERHEAD).unwrap_or(u32::MAX);
        // An event larger than all there is takes all there is.
        let wanted = bytes.min(budget.size);
        let session = self.policy.session().map(|session| session.id.clone());
        let place = session.zip(sequence);
        let received_us = unix_micros();
        let received = move |permit: OwnedSemaphorePermit| Received {
            place: place.map(|(session, sequence)| Place { session, sequence }),
            received_us,
            payload,
            permit,
        };
        if let Ok(permit) = budget.main.clone().try_acquire_many_owned(wanted) {
            self.hand_in(received(permit));
            return;
        }
        let room = budget.main.clone().acquire_many_owned(wanted);
        match budget.reserve.clone().try_acquire_many_owned(bytes) {
            Ok(permit) => {
                self.hand_in(received(permit));
                // The room waited for is left to what comes next.
                if self.reading.admission.is_none() {
                    self.reading.admission = Some(Box::pin(async move {
                        drop(room.await);
                        None
                    }));
                }
            }
            Err(_) => {
                self.reading.holds_one = true;
                self.reading.admission =
                    Some(Box::pin(async move { room.await.ok().map(received) }));
            }
        }
    }

    fn hand_in(&self, event: Event) {
        self.context.publishers.push(self.number, event);
    }

    pub(super) fn admitted(&mut self, event: Option<Event>) {
        self.reading.holds_one = false;
        if let Some(event) = event {
            self.hand_in(event);
        }
    }

    /// Whether the connection may be read.
    pub(super) fn readable(&self) -> bool {
        self.client.is_some() && (self.reading.admission.is_none() || self.reading.beat.due)
    }

    /// When to read a message in spite of everything, because the client then sends a heartbeat.
    pub(super) fn beat_at(&self) -> Option<Instant> {
        let client = self.client.as_ref()?;
        if self.reading.admission.is_none() || self.reading.holds_one || !client.sends_heartbeats()
        {
            return None;
        }
        let sent = client.latency().sent().map(Instant::from_std);
        let since = sent.max(self.reading.beat.since)?;
        Some(since + self.reading.beat.interval? + MARGIN)
    }

    /// A message was read.
    pub(super) fn note_read(&mut self) {
        if std::mem::take(&mut self.reading.beat.due) {
            self.reading.beat.since = Some(Instant::now());
        }
    }

    /// Notes whether there is room, for others to see.
    pub(super) fn note_room(&mut self) -> Result<(), IngestError> {
        let full = self.reading.admission.is_some();
        if self.reading.full == full {
            return Ok(());
        }
        self.reading.full = full;
        self.context.table.full(self.number, full);
        self.happened(Input::Reading(!full))
    }
}
