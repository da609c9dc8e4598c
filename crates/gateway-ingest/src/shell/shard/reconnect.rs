//! Connecting again, and what goes wrong on the way.

use dispatch_proto::{event::sequence_of, session::SessionRecord};
use twilight_gateway::{
    Shard, ShardId, ShardState,
    error::{ReceiveMessageError, ReceiveMessageErrorType},
};

use super::Task;
use crate::shell::store;

/// The client doubles its wait with each failed connection, up to minutes. From so many on (8 s) it starts over, because a
/// session that waits longer than needed may be lost.
const MOST_ATTEMPTS: u8 = 4;

impl Task {
    /// Without the lock, only Redis can tell whether the shard is still ours to connect.
    pub(super) fn ask_owner(&mut self) {
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

    pub(super) fn failed(&mut self, error: ReceiveMessageError) {
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
        if reconnect_attempts >= MOST_ATTEMPTS {
            self.renew_socket(false);
        }
    }

    /// A new client for the session. What was received up to here is in the outbox, so it goes on from what the client has seen.
    pub(super) fn renew_socket(&mut self, same_url: bool) {
        let Some(socket) = &self.socket else { return };
        let resume_url = socket.resume_url().filter(|_| same_url).unwrap_or_default();
        let record = socket.session().map(|session| SessionRecord {
            shard: self.number,
            session_id: session.id().to_owned(),
            resume_url: resume_url.to_owned(),
            sequence: session.sequence(),
            shards_total: self.context.total,
        });
        let config = self.context.shard_config(record.as_ref());
        let id = ShardId::new(self.number, self.context.total);
        self.socket = Some(Shard::with_config(id, config));
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
