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
        claim::{self, Attempt, Claim},
        commands, store,
    },
};

impl Task {
    /// The connection to RabbitMQ ended or was made anew: a lock on another one is gone.
    pub(super) fn connection_changed(&mut self, current: Option<&Arc<Connection>>) {
        let lost = self.claim.as_ref().map(|claim| claim.connection.clone());
        let lost = lost.filter(|held| current.is_none_or(|current| !Arc::ptr_eq(held, current)));
        if let Some(connection) = lost {
            self.lose_claim_on(&connection);
        }
    }

    pub(super) fn lose_claim_on(&mut self, connection: &Arc<Connection>) {
        let on_it = |of: &Arc<Connection>| Arc::ptr_eq(of, connection);
        if self
            .claim
            .as_ref()
            .is_some_and(|claim| on_it(&claim.connection))
        {
            self.claim = None;
            self.broken = Some(connection.clone());
        }
        // Its confirm can't come any more; the parcel stays in the outbox.
        if self
            .in_flight
            .as_ref()
            .is_some_and(|flight| on_it(&flight.connection))
        {
            self.in_flight = None;
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
            Attempt::Held { claim, taken } => {
                if self.locked_logged {
                    tracing::info!(shard, "the shard is free, owning it now");
                }
                self.locked_logged = false;
                self.claim_backoff.reset();
                self.broken = None;
                if taken && self.policy.has_begun() {
                    self.let_go().await?;
                }
                self.own(claim, claiming.start)?;
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
                tracing::warn!(%error, shard, "cannot open the shard's channel");
                self.broken = Some(connection);
            }
        }
        Ok(())
    }

    fn own(&mut self, claim: Claim, start: Option<Start>) -> Result<(), IngestError> {
        self.claim = Some(claim);
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
