//! From the socket to the outbox.

use dispatch_proto::{event::sequence_of, session::SessionRecord};
use tokio::sync::OwnedSemaphorePermit;
use twilight_gateway::{
    CloseFrame, Message, Session, Shard, ShardId, ShardState,
    error::{ReceiveMessageError, ReceiveMessageErrorType},
};
use twilight_model::gateway::event::GatewayEventDeserializer;

use super::{Event, Item, Task};
use crate::{
    core::{
        close::fatal_advice,
        command::rate_limited,
        outbox::{Place, Received},
        status::{ShardEvent, Status},
    },
    error::IngestError,
    metrics,
    shell::{
        context::{unix_millis, unix_time},
        store,
    },
};

const DISPATCH: u8 = 0;
const HELLO: u8 = 10;
const HEARTBEAT_ACK: u8 = 11;
const INVALID_SESSION: u8 = 9;

/// What holding an event costs beside its payload, in bytes.
const OVERHEAD: usize = 128;

/// The client doubles its wait with each failed connection, up to minutes. From so many on (8 s) it starts over, because a
/// session that waits longer than needed may be lost.
const MOST_ATTEMPTS: u8 = 4;

impl Task {
    /// Takes in what the socket brought.
    pub(super) fn read(&mut self, item: Item) -> Result<(), IngestError> {
        match item {
            Some(Ok(Message::Text(text))) => {
                self.text(text);
                Ok(())
            }
            Some(Ok(Message::Close(frame))) => self.closed(frame),
            Some(Err(error)) => {
                self.failed(error);
                Ok(())
            }
            // It ends after a fatal close only, which has been told as such.
            None => self.closed(None),
        }
    }

    /// As [`Self::read`], when we have asked Discord to close. `false` when there is no more to read.
    pub(super) fn read_while_closing(&mut self, item: Item) -> bool {
        match item {
            Some(Ok(Message::Text(text))) => {
                // The peer dropped the socket instead of answering, and the client has connected anew: not to resume now.
                let hello = GatewayEventDeserializer::from_json(&text)
                    .is_some_and(|event| event.op() == HELLO);
                if !hello {
                    self.text(text);
                }
                !hello
            }
            Some(Err(error))
                if matches!(error.kind(), ReceiveMessageErrorType::Deserializing { .. }) =>
            {
                self.failed(error);
                true
            }
            _ => false,
        }
    }

    fn text(&mut self, text: String) {
        let Some(event) = GatewayEventDeserializer::from_json(&text) else {
            return;
        };
        let (op, sequence, name) = event.into_parts();
        match op {
            DISPATCH => {
                match name.as_deref() {
                    Some("READY") => self.ready(),
                    Some("RESUMED") => self.resumed(),
                    Some("RATE_LIMITED") => self.limited(&text),
                    _ => {}
                }
                drop(name);
                self.take_in(text, sequence);
            }
            HELLO => self.hello(),
            HEARTBEAT_ACK => self.heartbeat(),
            INVALID_SESSION => {
                tracing::warn!(shard = self.number, "discord does not accept the session");
            }
            _ => {}
        }
    }

    /// Puts a payload into the outbox, or makes it wait for room.
    fn take_in(&mut self, payload: String, sequence: Option<u64>) {
        self.events.increment(1);
        // An event larger than the whole budget takes the whole.
        let budget = self.context.config.buffer_bytes;
        let bytes = u32::try_from(payload.len() + OVERHEAD)
            .unwrap_or(u32::MAX)
            .min(budget);
        let place = self.session.clone().zip(sequence);
        let received_us = unix_time().as_micros() as u64;
        let received = move |permit: OwnedSemaphorePermit| Received {
            place: place.map(|(session, sequence)| Place { session, sequence }),
            received_us,
            payload,
            permit,
        };
        let semaphore = self.context.budget.clone();
        match semaphore.clone().try_acquire_many_owned(bytes) {
            Ok(permit) => self.outbox.push(received(permit)),
            Err(_) => {
                self.admission = Some(Box::pin(async move {
                    semaphore.acquire_many_owned(bytes).await.ok().map(received)
                }));
            }
        }
    }

    pub(super) fn admitted(&mut self, event: Option<Event>) {
        if let Some(event) = event {
            self.outbox.push(event);
        }
    }

    fn hello(&mut self) {
        self.tell(ShardEvent::Connected);
        let resuming = self
            .socket
            .as_ref()
            .is_some_and(|socket| socket.state() == ShardState::Resuming);
        let (status, event) = if resuming {
            (Status::Resuming, ShardEvent::Resuming)
        } else {
            (Status::Identifying, ShardEvent::Identifying)
        };
        self.set_status(status);
        self.tell(event);
    }

    fn ready(&mut self) {
        let Some(socket) = &self.socket else { return };
        let Some(session) = socket.session().map(Session::id) else {
            return;
        };
        // Sequence 0: nothing of the session is confirmed yet.
        let record = SessionRecord {
            shard: self.number,
            session_id: session.to_owned(),
            resume_url: socket.resume_url().unwrap_or_default().to_owned(),
            sequence: 0,
            shards_total: self.context.total,
        };
        self.set_status(Status::Connected);
        let before = self.session.replace(record.session_id.as_str().into());
        // A session that is resumed from its beginning brings its READY again.
        if before.as_deref() == Some(record.session_id.as_str()) {
            return;
        }
        let dropped = std::mem::take(&mut self.session_dropped);
        let lost = before.is_some() && !dropped;
        if lost {
            metrics::session_lost();
        }
        metrics::identified();
        tracing::info!(
            shard = self.number,
            session = record.session_id,
            lost,
            "ready"
        );
        // Stored at once, before anything of it is confirmed: a crash right now must find it.
        self.context.book.begin(record);
        self.tell(ShardEvent::Ready);
    }

    fn resumed(&mut self) {
        self.set_status(Status::Connected);
        metrics::resumed();
        tracing::info!(
            shard = self.number,
            session = self.session.as_deref(),
            "resumed"
        );
        self.tell(ShardEvent::Resumed);
    }

    fn limited(&mut self, payload: &str) {
        if let Some(limited) = rate_limited(payload) {
            tracing::info!(
                shard = self.number,
                opcode = limited.opcode,
                wait_ms = limited.retry_after_ms,
                "discord asks to wait with requests for a guild"
            );
            let until = unix_millis() + limited.retry_after_ms;
            self.schedule.limit(limited.opcode, limited.guild, until);
        }
    }

    fn heartbeat(&mut self) {
        let latency = self
            .socket
            .as_ref()
            .and_then(|socket| socket.latency().recent().first());
        let Some(latency) = latency.map(|latency| latency.as_millis() as u64) else {
            return;
        };
        metrics::latency(self.number, latency);
        self.context
            .book
            .heartbeat(self.number, latency, store::timestamp());
    }

    fn closed(&mut self, frame: Option<CloseFrame<'static>>) -> Result<(), IngestError> {
        let shard = self.number;
        let code = frame.as_ref().map(|frame| frame.code);
        let reason = frame.as_ref().map(|frame| frame.reason.as_ref());
        tracing::info!(shard, code, reason, "disconnected");
        self.set_status(Status::Disconnected);
        self.tell(ShardEvent::Disconnected);
        let fatal = self
            .socket
            .as_ref()
            .is_some_and(|socket| socket.state() == ShardState::FatallyClosed);
        if fatal {
            let code = code.unwrap_or_default();
            let advice = fatal_advice(code).unwrap_or("discord does not let it reconnect");
            return Err(IngestError::Closed {
                shard,
                code,
                advice,
            });
        }
        // A socket that ended by itself is polled no more; only a fatal close does that.
        self.tell(ShardEvent::Reconnecting);
        self.ask_owner();
        Ok(())
    }

    /// Without the lock, only Redis can tell whether the shard is still ours to connect.
    fn ask_owner(&mut self) {
        if self.claim.is_some() {
            return;
        }
        let (context, shard) = (self.context.clone(), self.number);
        self.asking_owner = Some(Box::pin(async move {
            let owner = store::owner(&context, shard).await;
            owner.is_none_or(|owner| owner == context.instance)
        }));
    }

    pub(super) fn owner_answered(&mut self, ours: bool) {
        if !ours {
            tracing::info!(
                shard = self.number,
                "not reconnecting: another process owns the shard"
            );
            // Asked again after a moment is needless: the lock's next try finds the same and lets go.
            self.asking_owner = Some(Box::pin(std::future::pending()));
        }
    }

    fn failed(&mut self, error: ReceiveMessageError) {
        let shard = self.number;
        match error.kind() {
            ReceiveMessageErrorType::Deserializing { event } => {
                tracing::warn!(%error, shard, "payload can't be read, passing it on");
                let sequence = sequence_of(event.as_bytes());
                self.take_in(event.clone(), sequence);
            }
            ReceiveMessageErrorType::Reconnect => {
                tracing::warn!(
                    error = causes(&error),
                    shard,
                    "cannot connect to the gateway"
                );
                self.limit_attempts();
                self.ask_owner();
            }
            _ => tracing::warn!(
                error = causes(&error),
                shard,
                "reading from the gateway failed"
            ),
        }
    }

    fn limit_attempts(&mut self) {
        let Some(socket) = &self.socket else { return };
        let ShardState::Disconnected { reconnect_attempts } = socket.state() else {
            return;
        };
        if reconnect_attempts < MOST_ATTEMPTS {
            return;
        }
        // What was received up to here is in the outbox, so the session goes on from what the client has seen.
        let record = socket.session().map(|session| SessionRecord {
            shard: self.number,
            session_id: session.id().to_owned(),
            resume_url: String::new(),
            sequence: session.sequence(),
            shards_total: self.context.total,
        });
        let config = self.context.shard_config(record.as_ref());
        let id = ShardId::new(self.number, self.context.total);
        self.socket = Some(Shard::with_config(id, config));
    }

    pub(super) fn tell(&self, event: ShardEvent) {
        metrics::shard_event(event);
        self.context.notices.shard(self.number, event);
    }
}

/// An error with its causes: the client's own text leaves them out.
fn causes(error: &ReceiveMessageError) -> String {
    let mut text = error.to_string();
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}
