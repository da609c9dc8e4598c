//! From the socket to the outbox.

use dispatch_proto::session::SessionRecord;
use tokio::time::Instant;
use twilight_gateway::{
    CloseFrame, Message, Session, Shard, ShardState, error::ReceiveMessageErrorType,
};
use twilight_model::gateway::event::GatewayEventDeserializer;

use super::{Item, Task, outcome::ABNORMAL, room::Beat};
use crate::{
    core::{
        close::fatal_advice,
        command::rate_limited,
        hello::heartbeat_interval,
        status::{ShardEvent, Status},
    },
    error::IngestError,
    metrics,
    shell::store,
};

const DISPATCH: u8 = 0;
const RECONNECT: u8 = 7;
const INVALID_SESSION: u8 = 9;
const HELLO: u8 = 10;
const HEARTBEAT_ACK: u8 = 11;

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
            Some(Ok(Message::Close(frame))) => {
                self.connection_ended(frame.map(|frame| frame.code));
                false
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
                    Some("RATE_LIMITED") => {
                        if let Some(limited) = rate_limited(&text) {
                            self.refused(&limited);
                        }
                    }
                    _ => {}
                }
                drop(name);
                self.take_in(text, sequence);
            }
            HELLO => self.hello(&text),
            HEARTBEAT_ACK => self.heartbeat(),
            // The client closes the connection.
            RECONNECT => self.closing = true,
            INVALID_SESSION => {
                self.closing = true;
                tracing::warn!(shard = self.number, "discord does not accept the session");
            }
            _ => {}
        }
    }

    fn hello(&mut self, payload: &str) {
        // The client connects anew by itself where a connection ends without a close frame.
        self.connection_ended(None);
        self.beat = Beat {
            interval: heartbeat_interval(payload),
            since: Some(Instant::now()),
            due: false,
        };
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
        self.context.identifies.begun(self.number);
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

    fn heartbeat(&mut self) {
        self.heartbeat_acknowledged();
        let Some(measured) = self.socket.as_ref().map(Shard::latency) else {
            return;
        };
        let Some(latency) = measured.recent().first() else {
            return;
        };
        let latency = latency.as_millis() as u64;
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
        self.connection_ended(code);
        if code == Some(ABNORMAL) {
            // What the client's own queues still hold is sent again by us.
            self.renew_socket(true);
        }
        self.tell(ShardEvent::Reconnecting);
        self.ask_owner();
        Ok(())
    }

    pub(super) fn tell(&self, event: ShardEvent) {
        metrics::shard_event(event);
        self.context.notices.shard(self.number, event);
    }
}
