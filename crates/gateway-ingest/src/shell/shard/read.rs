//! From the connection to the publisher.

use dispatch_proto::{envelope::Envelope, session::SessionRecord};
use dispatch_service::clock::unix_millis;
use tokio::time::Instant;

use super::{Task, client::Received, room::Beat};
use crate::{
    core::{
        command::rate_limited,
        connection::{Cause, Input, Session},
        gateway_url,
        payload::{Ready, heartbeat_interval, resumable},
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
    /// Takes in what the connection brought.
    pub(super) fn received(&mut self, received: Received) -> Result<(), IngestError> {
        match received {
            Received::Upgraded => {
                self.slot = None;
                self.happened(Input::Upgraded)
            }
            Received::IdentifySent => self.happened(Input::IdentifySent),
            Received::Payload(text) => self.payload(text),
            Received::Closes(cause) => self.happened(Input::ClientCloses(cause)),
            Received::Ended(ending) => {
                let cause = ending.cause;
                self.ending = Some(ending);
                self.happened(Input::Ended(cause))
            }
        }
    }

    fn payload(&mut self, text: String) -> Result<(), IngestError> {
        let envelope = Envelope::read(&text);
        match envelope.op {
            Some(DISPATCH) => {
                let sequence = envelope.sequence;
                match envelope.name.as_deref() {
                    Some("READY") => self.ready(envelope.data(), sequence)?,
                    Some("RESUMED") => self.resumed()?,
                    Some("RATE_LIMITED") => {
                        if let Some(limited) = rate_limited(&text) {
                            self.refused(&limited);
                        }
                    }
                    _ => {}
                }
                drop(envelope);
                self.happened(Input::Event(sequence))?;
                self.take_in(text, sequence);
            }
            Some(HELLO) => self.hello(envelope.data())?,
            Some(HEARTBEAT_ACK) => self.heartbeat(),
            Some(RECONNECT) => return self.happened(Input::Reconnect),
            Some(INVALID_SESSION) => {
                let resumable = resumable(envelope.data());
                return self.happened(Input::InvalidSession { resumable });
            }
            Some(_) => {}
            None => {
                let (sequence, bytes) = (envelope.sequence, text.len());
                drop(envelope);
                tracing::warn!(
                    shard = self.number,
                    bytes,
                    sequence,
                    "payload can't be read, passing it on"
                );
                self.happened(Input::Event(sequence))?;
                self.take_in(text, sequence);
            }
        }
        self.close_with_client()
    }

    /// The client has its own reading of an envelope, which goes wrong where `d` comes first with an `op` in it: it may take an
    /// event for op 7. That can't be kept from it, but nothing is lost: the event was taken in, and the session goes on.
    fn close_with_client(&mut self) -> Result<(), IngestError> {
        let closes = |client: &super::Client| client.is_disconnected();
        if self.client.as_ref().is_some_and(closes) && !self.policy.is_closing() {
            return self.happened(Input::ClientCloses(Cause::Misread));
        }
        Ok(())
    }

    fn hello(&mut self, data: &str) -> Result<(), IngestError> {
        self.slot = None;
        let (Some(interval), Some(client)) = (heartbeat_interval(data), &mut self.client) else {
            // Without an interval nothing can follow, and the time for a HELLO ends.
            return Ok(());
        };
        let understood = client.hello(interval);
        self.reading.beat = Beat {
            interval: Some(interval),
            since: Some(Instant::now()),
            due: false,
        };
        self.tell(ShardEvent::Connected);
        self.happened(Input::Hello)?;
        match self.policy.status() {
            Status::Resuming => self.tell(ShardEvent::Resuming),
            Status::Identifying => self.tell(ShardEvent::Identifying),
            Status::Disconnected | Status::Connected => {}
        }
        if understood {
            Ok(())
        } else {
            self.happened(Input::ClientCloses(Cause::Misread))
        }
    }

    fn ready(&mut self, data: &str, sequence: Option<u64>) -> Result<(), IngestError> {
        let Some(ready) = Ready::read(data) else {
            tracing::warn!(shard = self.number, "READY names no session");
            return Ok(());
        };
        let id = ready.session_id.as_str();
        let url = gateway_url::usable(ready.resume_url());
        let known = self
            .policy
            .session()
            .is_some_and(|session| &*session.id == id);
        // The client takes no READY without a URL, and could not connect to one that is none.
        let usable = self.client.as_ref().and_then(|client| client.session()) == Some(id)
            && (url.is_some() || ready.resume_url().is_empty());
        let session = Session {
            id: id.into(),
            sequence: sequence.unwrap_or_default(),
            url,
        };
        if !known {
            // Sequence 0: nothing of the session is confirmed yet.
            let record = SessionRecord {
                shard: self.number,
                session_id: ready.session_id.clone(),
                resume_url: session.url.clone().unwrap_or_default(),
                sequence: 0,
                shards_total: self.context.total,
            };
            metrics::identified();
            self.context.identifies.begun(self.number);
            tracing::info!(shard = self.number, session = record.session_id, "ready");
            // Stored at once, before anything of it is confirmed: a crash right now must find it.
            self.context.table.begin(record);
            self.context.table.identified(self.number, unix_millis());
            self.tell(ShardEvent::Ready);
        }
        self.happened(Input::Ready { session, usable })
    }

    fn resumed(&mut self) -> Result<(), IngestError> {
        self.happened(Input::Resumed)?;
        metrics::resumed();
        let session = self.policy.session().map(|session| &*session.id);
        tracing::info!(shard = self.number, session, "resumed");
        self.tell(ShardEvent::Resumed);
        Ok(())
    }

    fn heartbeat(&mut self) {
        self.heartbeat_acknowledged();
        let Some(measured) = self.client.as_ref().map(super::Client::latency) else {
            return;
        };
        let Some(latency) = measured.recent().first() else {
            return;
        };
        let latency = latency.as_millis() as u64;
        metrics::latency(self.number, latency);
        self.context
            .table
            .heartbeat(self.number, latency, store::timestamp());
    }

    pub(super) fn tell(&self, event: ShardEvent) {
        metrics::shard_event(event);
        self.context.notices.shard(self.number, event);
    }
}
