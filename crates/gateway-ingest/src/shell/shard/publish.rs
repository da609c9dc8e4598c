//! From the outbox to RabbitMQ, and the right to do so.

use std::{
    pin::Pin,
    sync::Arc,
    task::{self, Poll},
    time::Duration,
};

use dispatch_proto::{
    frame::CONTENT_TYPE,
    partition::partition_of,
    rabbit::{HEADER_SHARD, RAW_EXCHANGE},
};
use dispatch_service::amqp::{DeadLetter, PublishError, Publisher};
use futures_util::future::BoxFuture;
use lapin::{
    BasicProperties, Connection,
    types::{AMQPValue, FieldTable},
};
use tokio::time::Instant;

use super::{Claiming, Start, Task};
use crate::{
    core::{
        connection::{Input, Session},
        gateway_url,
        outbox::{DeadReason, Parcel},
        status::ShardEvent,
    },
    error::IngestError,
    metrics,
    shell::{
        claim::{self, Attempt, Claim},
        commands,
        context::Context,
        store,
    },
};

/// Source of dead letters that come from the socket.
const SOURCE: &str = "gateway-ingest";

/// A publication whose confirm is awaited.
pub(super) struct InFlight {
    confirm: BoxFuture<'static, Result<(), PublishError>>,
    connection: Arc<Connection>,
    parcel: Outline,
    since: Instant,
}

/// What is worth knowing of a parcel once it is confirmed.
#[derive(Clone, Copy)]
enum Outline {
    Frame(u32),
    DeadLetter(DeadReason),
}

/// The end of a publication.
pub(super) struct Published {
    result: Result<(), PublishError>,
    connection: Arc<Connection>,
    parcel: Outline,
    took: Duration,
}

impl Future for InFlight {
    type Output = Published;

    fn poll(mut self: Pin<&mut Self>, cx: &mut task::Context<'_>) -> Poll<Published> {
        self.confirm.as_mut().poll(cx).map(|result| Published {
            result,
            connection: self.connection.clone(),
            parcel: self.parcel,
            took: self.since.elapsed(),
        })
    }
}

impl Task {
    /// Publishes the next parcel, or again the one that is not confirmed, if nothing is in flight and the shard is owned.
    pub(super) fn publish(&mut self) {
        let (None, Some(claim)) = (&self.in_flight, &self.claim) else {
            return;
        };
        let Some(parcel) = self.outbox.parcel() else {
            return;
        };
        let parcel_outline = outline(&parcel);
        self.publications += 1;
        if self.publications > 1 {
            metrics::republished();
        }
        let publication = Publication {
            context: self.context.clone(),
            shard: self.number,
            publisher: claim.publisher.clone(),
            parcel,
            after: self.publish_after.take(),
        };
        self.in_flight = Some(InFlight {
            confirm: Box::pin(publication.run()),
            connection: claim.connection.clone(),
            parcel: parcel_outline,
            since: Instant::now(),
        });
    }

    pub(super) fn published(&mut self, published: Published) {
        let shard = self.number;
        match published.result {
            Ok(()) => {
                match published.parcel {
                    Outline::Frame(events) => metrics::frame_confirmed(events, published.took),
                    Outline::DeadLetter(reason) => {
                        metrics::dead_letter(reason.label());
                        tracing::warn!(
                            shard,
                            reason = reason.text(),
                            "payload became a dead letter"
                        );
                    }
                }
                self.publications = 0;
                self.publish_backoff.reset();
                // One parcel is in flight at a time (core::outbox), so all before this place is confirmed too.
                if let Some(place) = self.outbox.confirm() {
                    self.context.book.confirmed(shard, &place);
                }
            }
            // The channel works, the broker won't take the message: again, in its place, on the same channel.
            Err(error @ (PublishError::Nacked | PublishError::Unroutable)) => {
                let delay = self.publish_backoff.next_delay();
                tracing::warn!(%error, shard, retry_in_ms = delay.as_millis(), "frame not taken, publishing it again");
                self.publish_after = Some(delay);
            }
            Err(error @ (PublishError::Link(_) | PublishError::NotConfirmed)) => {
                tracing::warn!(%error, shard, "frame not confirmed, it will be published again");
                self.lose_claim_on(&published.connection);
            }
        }
    }

    /// The connection to RabbitMQ ended or was made anew: a lock on another one is gone.
    pub(super) fn connection_changed(&mut self, current: Option<&Arc<Connection>>) {
        let lost = self.claim.as_ref().map(|claim| claim.connection.clone());
        let lost = lost.filter(|held| current.is_none_or(|current| !Arc::ptr_eq(held, current)));
        if let Some(connection) = lost {
            self.lose_claim_on(&connection);
        }
    }

    fn lose_claim_on(&mut self, connection: &Arc<Connection>) {
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
        self.context.book.own(self.number);
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
            self.context.book.begin(record);
            session
        });
        if session.is_none() {
            tracing::info!(shard, "no session to resume");
        }
        self.tell(ShardEvent::Connecting);
        self.happened(Input::Begin(session))
    }
}

/// One publication of a parcel.
struct Publication {
    context: Arc<Context>,
    shard: u32,
    publisher: Publisher,
    parcel: Parcel,
    /// Set if the broker refused it: how long to wait. A queue may be missing, so everything is declared again first.
    after: Option<Duration>,
}

impl Publication {
    async fn run(self) -> Result<(), PublishError> {
        if let Some(after) = self.after {
            tokio::time::sleep(after).await;
            self.context
                .topology
                .declare(self.publisher.channel())
                .await?;
        }
        let mut headers = FieldTable::default();
        headers.insert(
            HEADER_SHARD.into(),
            AMQPValue::LongLongInt(self.shard.into()),
        );
        let properties = BasicProperties::default().with_headers(headers);
        match &self.parcel {
            Parcel::Frame { body, .. } => {
                let partition = partition_of(self.shard, self.context.topology.partitions);
                let properties = properties
                    .with_content_type(CONTENT_TYPE.into())
                    .with_type("frame".into());
                self.publisher
                    .publish(RAW_EXCHANGE, &partition.to_string(), true, properties, body)
                    .await
            }
            Parcel::DeadLetter { body, reason } => {
                let letter = DeadLetter {
                    source: SOURCE,
                    reason: reason.text(),
                };
                self.publisher.dead_letter(letter, properties, body).await
            }
        }
    }
}

fn outline(parcel: &Parcel) -> Outline {
    match parcel {
        Parcel::Frame { events, .. } => Outline::Frame(*events),
        Parcel::DeadLetter { reason, .. } => Outline::DeadLetter(*reason),
    }
}
