//! The right to publish a shard's frames: the lock that the shard holds, and the session that it begins with.

use std::{sync::Arc, time::Duration};

use lapin::Connection;

use super::{Claiming, Start, Task};
use crate::{
    core::{
        connection::{Input, Session},
        gateway_url,
        status::ShardEvent,
    },
    error::IngestError,
    shell::{
        claim::{self, Attempt},
        commands, store,
    },
};

impl Task {
    /// The connection to RabbitMQ ended or was made anew: a lock on another one is gone.
    pub(super) fn connection_changed(&mut self, current: Option<&Arc<Connection>>) {
        let lost = |held: &mut Arc<Connection>| current.is_none_or(|of| !Arc::ptr_eq(held, of));
        if let Some(held) = self.claim.take_if(lost) {
            self.context.publishers.release(self.number);
            self.broken = Some(held);
        }
    }

    /// Tries to own the shard, if it is not owned.
    pub(super) fn try_claim(&mut self) {
        if self.claim.is_some() || self.attempt.is_some() {
            return;
        }
        let (context, shard) = (self.context.clone(), self.number);
        let delay = self.claim_backoff.next_delay();
        let (fresh, broken) = (!self.policy.has_begun(), self.broken.clone());
        // The first try is not to wait; a lock that our own old connection still holds is free in a moment.
        let delay = if fresh && !self.locked_logged && broken.is_none() {
            Duration::ZERO
        } else {
            delay
        };
        self.attempt = Some(Box::pin(async move {
            let attempt = claim::attempt(context.clone(), shard, delay, broken).await;
            let start = match attempt {
                Attempt::Held { taken, .. } if taken || fresh => Some(Start {
                    record: store::session(&context, shard).await,
                }),
                _ => None,
            };
            Claiming { attempt, start }
        }));
    }

    pub(super) async fn claimed(&mut self, claiming: Claiming) -> Result<(), IngestError> {
        let shard = self.number;
        match claiming.attempt {
            Attempt::Held { connection, taken } => {
                if self.locked_logged {
                    tracing::info!(shard, "the shard is free, owning it now");
                }
                self.locked_logged = false;
                self.claim_backoff.reset();
                self.broken = None;
                if taken && self.policy.has_begun() {
                    self.let_go().await?;
                }
                self.own(connection, claiming.start)?;
                // It may have ended since, and what was heard of that was about the one before.
                let current = self.context.publishing.borrow().clone();
                self.connection_changed(current.as_ref());
            }
            Attempt::Locked { taken } => {
                if !self.locked_logged {
                    self.locked_logged = true;
                    tracing::info!(shard, "another connection owns the shard, waiting for it");
                }
                if taken && self.policy.has_begun() {
                    self.let_go().await?;
                }
            }
            Attempt::Failed { error, connection } => {
                tracing::warn!(%error, shard, "cannot try the shard's lock");
                self.broken = Some(connection);
            }
        }
        Ok(())
    }

    fn own(
        &mut self,
        connection: Arc<Connection>,
        start: Option<Start>,
    ) -> Result<(), IngestError> {
        self.context.publishers.own(self.number, &connection);
        self.claim = Some(connection);
        self.context.table.own(self.number);
        if self.commands.is_none() {
            self.commands = Some(commands::consume(self.context.clone(), self.number));
        }
        match start {
            Some(start) if !self.policy.has_begun() => self.begin(start),
            _ => self.happened(Input::Owned),
        }
    }

    fn begin(&mut self, start: Start) -> Result<(), IngestError> {
        let shard = self.number;
        let session = start.record.map(|record| {
            let session = Session {
                id: record.session_id.as_str().into(),
                sequence: record.sequence,
                url: gateway_url::usable(&record.resume_url),
            };
            tracing::info!(
                shard,
                session = record.session_id,
                sequence = record.sequence,
                "resuming"
            );
            self.context.table.begin(record);
            session
        });
        if session.is_none() {
            tracing::info!(shard, "no session to resume");
        }
        self.tell(ShardEvent::Connecting);
        self.happened(Input::Begin(session))
    }
}
