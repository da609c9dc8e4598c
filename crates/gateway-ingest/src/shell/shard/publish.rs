//! From the outbox to RabbitMQ.

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

use super::Task;
use crate::{
    core::outbox::{DeadReason, Parcel},
    metrics,
    shell::context::Context,
};

/// Source of dead letters that come from the socket.
const SOURCE: &str = "gateway-ingest";

/// A publication whose confirm is awaited.
pub(super) struct InFlight {
    confirm: BoxFuture<'static, Result<(), PublishError>>,
    pub(super) connection: Arc<Connection>,
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
                    self.context.table.confirmed(shard, &place);
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
