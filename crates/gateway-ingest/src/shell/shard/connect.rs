//! Carries out what [`crate::core::connection`] decides.

use std::time::Duration;

use tokio::{
    sync::OwnedSemaphorePermit,
    time::{Instant, sleep, timeout},
};
use twilight_gateway::ShardId;

use super::{Client, Task, room::Beat};
use crate::{
    core::{
        close::fatal_advice,
        connection::{Cause, Input, Output, Target},
        status::ShardEvent,
    },
    error::IngestError,
    metrics,
    shell::store,
};

/// Longest wait for Redis to name the owner; others may be waiting for the slot.
const OWNER_WITHIN: Duration = Duration::from_secs(2);
/// Time until Redis is asked again, when it did not answer.
const OWNER_AGAIN: Duration = Duration::from_secs(1);

/// How the question for leave to connect was answered.
pub(super) enum Leave {
    /// The process may make another connection.
    Slot(OwnedSemaphorePermit),
    /// Redis was asked for the owner.
    Owner(Ownership, OwnedSemaphorePermit),
}

/// Whose the shard is by what Redis says.
#[derive(Clone, Copy)]
pub(super) enum Ownership {
    Ours,
    Others,
    Unknown,
}

impl Task {
    /// Tells the policy what happened, and carries out what it says.
    pub(super) fn happened(&mut self, input: Input) -> Result<(), IngestError> {
        let now = Instant::now().into_std();
        for output in self.policy.handle(input, now, fastrand::f64()) {
            self.carry_out(output)?;
        }
        let status = self.policy.status();
        if self.status != status {
            self.status = status;
            self.context.table.status(self.number, status);
            // Commands may go now, or must wait.
            self.look_now();
        }
        Ok(())
    }

    fn carry_out(&mut self, output: Output) -> Result<(), IngestError> {
        let shard = self.number;
        match output {
            Output::Connect(target) => self.connect(&target),
            Output::Close { end_session } => {
                if let Some(client) = &self.client {
                    client.close(end_session);
                }
            }
            Output::Drop { asked } => self.drop_client(asked),
            Output::Missed(deadline) => metrics::deadline_missed(deadline.label()),
            Output::LeftResumeUrl => {
                metrics::escalated("main_url");
                tracing::warn!(
                    shard,
                    "the resume URL does not help, resuming on the main URL"
                );
            }
            Output::SessionLost { given_up } => {
                metrics::session_lost();
                if given_up {
                    metrics::escalated("new_session");
                }
                tracing::warn!(
                    shard,
                    given_up,
                    "the session can't be resumed, a new one follows"
                );
            }
            Output::Retry {
                cause,
                failures,
                delay,
            } => self.retry_after(cause, failures, delay),
            Output::Fatal(code) => {
                let advice = fatal_advice(code).unwrap_or("discord does not let it reconnect");
                return Err(IngestError::Closed {
                    shard,
                    code,
                    advice,
                });
            }
        }
        Ok(())
    }

    /// Finds out whether the shard may connect now, if it is to: whether the process makes few enough connections at the moment,
    /// and whether the shard is still its own.
    pub(super) fn ask_leave(&mut self) {
        // What is not read does not connect either.
        if !self.policy.asks_leave() || self.leave.is_some() || self.reading.admission.is_some() {
            return;
        }
        self.leave = Some(Box::pin(slot(self.context.slots.clone())));
    }

    pub(super) fn leave_answered(&mut self, leave: Leave) -> Result<(), IngestError> {
        if !self.policy.asks_leave() {
            return Ok(());
        }
        let owned = self.claim.is_some();
        match leave {
            Leave::Slot(slot) | Leave::Owner(_, slot) if owned => self.may_connect(slot),
            // Without the lock, only Redis can tell whether the shard is still ours to connect.
            Leave::Slot(slot) => {
                let (context, shard) = (self.context.clone(), self.number);
                self.leave = Some(Box::pin(async move {
                    let owner = timeout(OWNER_WITHIN, store::owner(&context, shard)).await;
                    let ownership = match owner {
                        Ok(Some(owner)) if owner != context.instance => Ownership::Others,
                        Ok(_) => Ownership::Ours,
                        Err(_) => Ownership::Unknown,
                    };
                    Leave::Owner(ownership, slot)
                }));
                Ok(())
            }
            Leave::Owner(Ownership::Ours, slot) => self.may_connect(slot),
            Leave::Owner(Ownership::Others, _) => {
                let shard = self.number;
                tracing::info!(shard, "not connecting: another process owns the shard");
                self.happened(Input::NotOwned)
            }
            Leave::Owner(Ownership::Unknown, given_back) => {
                drop(given_back);
                let slots = self.context.slots.clone();
                self.leave = Some(Box::pin(async move {
                    sleep(OWNER_AGAIN).await;
                    slot(slots).await
                }));
                Ok(())
            }
        }
    }

    fn may_connect(&mut self, slot: OwnedSemaphorePermit) -> Result<(), IngestError> {
        self.slot = Some(slot);
        self.happened(Input::MayConnect)
    }

    fn connect(&mut self, target: &Target) {
        let shard = self.number;
        let id = ShardId::new(shard, self.context.total);
        let session = target.session.as_ref();
        tracing::debug!(
            shard,
            session = session.map(|session| &*session.id),
            sequence = session.map(|session| session.sequence),
            url = session.and_then(|session| session.url.as_deref()),
            "connecting"
        );
        self.ending = None;
        self.client = Some(Client::new(&self.context.gateway, id, target));
    }

    fn drop_client(&mut self, asked: bool) {
        self.slot = None;
        if self.client.take().is_none() {
            return;
        }
        let greeted = self.reading.beat.interval.is_some();
        self.reading.beat = Beat::default();
        let code = match self.ending.as_ref().map(|ending| ending.cause) {
            Some(Cause::Closed(code)) => code,
            _ => None,
        };
        self.connection_ended(code, asked);
        if greeted {
            self.tell(ShardEvent::Disconnected);
        }
    }

    fn retry_after(&mut self, cause: Cause, failures: u32, delay: Duration) {
        metrics::reconnect(cause.label());
        let ending = self.ending.take();
        self.tell(ShardEvent::Reconnecting);
        let now = Instant::now().into_std();
        let Some(repeats) = self.context.repeats(cause.label(), now) else {
            return;
        };
        tracing::warn!(
            shard = self.number,
            %cause,
            detail = ending.and_then(|ending| ending.detail),
            failures,
            retry_in_ms = delay.as_millis(),
            repeats,
            "disconnected"
        );
    }
}

async fn slot(slots: std::sync::Arc<tokio::sync::Semaphore>) -> Leave {
    match slots.acquire_owned().await {
        Ok(slot) => Leave::Slot(slot),
        // It is never closed.
        Err(_) => std::future::pending().await,
    }
}
