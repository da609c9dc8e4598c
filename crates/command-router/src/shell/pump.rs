//! Carrying out what is decided about messages.

use std::{
    collections::HashSet,
    future,
    time::{Duration, Instant},
};

use dispatch_proto::{codec::Encoding, command::Refusal};
use dispatch_service::{amqp::Publisher, health::Condition, topology};
use futures_util::{StreamExt, future::BoxFuture, stream::FuturesUnordered};
use lapin::Connection;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use super::{
    intake::{Incoming, Intake},
    millis, now_ms,
    outlet::{self, Envelope},
    session::{declare, declare_spectacles_queue, spectacles_queue},
    shards::Shards,
};
use crate::{
    config::Config,
    core::{
        deadline::{deadline, expired_reason},
        route::{Forward, Message, Route, Source, route},
    },
    error::RouterError,
    metrics::{self, Outcome},
};

/// Commands that may be published and not yet confirmed.
const IN_FLIGHT: usize = 256;
/// How long the confirms of what is in flight are waited for at the end.
const DRAIN: Duration = Duration::from_secs(3);
/// How long the number of shards may take to be read before a command for an unknown shard is refused.
const REFRESH: Duration = Duration::from_secs(2);

/// Takes messages one by one and publishes them in that order; confirms and acknowledgements follow as they come.
pub(crate) struct Pump<'a> {
    config: &'a Config,
    shards: &'a Shards,
    connection: &'a Connection,
    publisher: Publisher,
    intake: Intake,
    in_flight: FuturesUnordered<BoxFuture<'static, Result<(), RouterError>>>,
    /// A command that waits for the number of shards, with its deadline; everything behind it waits too.
    held: Option<(Incoming, u64)>,
    /// Shards whose queue is known to exist.
    declared: HashSet<u32>,
    /// Number of shards whose Spectacles queues are consumed.
    consumed: u32,
}

impl<'a> Pump<'a> {
    pub(crate) fn new(
        config: &'a Config,
        shards: &'a Shards,
        connection: &'a Connection,
        publisher: Publisher,
        intake: Intake,
    ) -> Self {
        Self {
            config,
            shards,
            connection,
            publisher,
            intake,
            in_flight: FuturesUnordered::new(),
            held: None,
            declared: HashSet::new(),
            consumed: 0,
        }
    }

    /// Routes until `stop`, then waits for what is in flight. What was delivered and not looked at comes again.
    ///
    /// Says of `queues` when all of them are there, those for Spectacles and each shard too.
    pub(crate) async fn run(
        &mut self,
        queues: &Condition,
        stop: &CancellationToken,
    ) -> Result<(), RouterError> {
        let mut changes = self.shards.changes();
        self.consume_shards(queues).await?;
        loop {
            let room = self.held.is_none() && self.in_flight.len() < IN_FLIGHT;
            let expiry = self.held.as_ref().map(|(_, deadline)| *deadline);
            tokio::select! {
                biased;
                () = stop.cancelled() => break,
                Some(done) = self.in_flight.next(), if !self.in_flight.is_empty() => done?,
                Ok(()) = changes.changed() => {
                    self.consume_shards(queues).await?;
                    self.retry().await?;
                }
                () = passed(expiry) => self.retry().await?,
                incoming = self.intake.next(), if room => {
                    let incoming = incoming?;
                    let properties = &incoming.delivery.properties;
                    let expiration = properties.expiration().as_ref().map(|text| text.as_str());
                    let ttl = millis(self.config.command_ttl);
                    let deadline = deadline(now_ms(), ttl, expiration);
                    self.take(incoming, deadline).await?;
                }
            }
        }
        let drain = async {
            while let Some(done) = self.in_flight.next().await {
                done?;
            }
            Ok(())
        };
        timeout(DRAIN, drain).await.unwrap_or(Ok(()))
    }

    async fn retry(&mut self) -> Result<(), RouterError> {
        match self.held.take() {
            Some((incoming, deadline)) => self.take(incoming, deadline).await,
            None => Ok(()),
        }
    }

    async fn take(&mut self, incoming: Incoming, deadline: u64) -> Result<(), RouterError> {
        let encoding = message(&incoming).encoding(self.encoding());
        let mut decision = self.decide(&incoming, self.shards.total());
        if matches!(decision, Route::Refuse(Refusal::UnknownShard { .. }))
            && let Ok(Ok(total)) = timeout(REFRESH, self.shards.refresh()).await
        {
            decision = self.decide(&incoming, total);
        }
        match decision {
            Route::Forward(forward) => {
                self.forward(incoming, encoding, forward, deadline).await?;
            }
            Route::Status(shard) => {
                let envelope = Envelope::of(incoming, encoding);
                let (publisher, shards) = (self.publisher.clone(), self.shards.clone());
                self.push(
                    async move { outlet::answer(&publisher, envelope, &shards, shard).await },
                );
            }
            Route::Wait if now_ms() < deadline => self.held = Some((incoming, deadline)),
            Route::Wait => {
                let reason = expired_reason(millis(self.config.command_ttl));
                let (publisher, envelope) =
                    (self.publisher.clone(), Envelope::of(incoming, encoding));
                self.push(async move {
                    outlet::reject(&publisher, envelope, &reason).await?;
                    metrics::finished(Outcome::Expired);
                    Ok(())
                });
            }
            Route::Refuse(refusal) => {
                let (publisher, envelope) =
                    (self.publisher.clone(), Envelope::of(incoming, encoding));
                self.push(async move {
                    let reason = refusal.to_string();
                    outlet::reject(&publisher, envelope, &reason).await?;
                    metrics::refused(&refusal);
                    Ok(())
                });
            }
        }
        Ok(())
    }

    fn decide(&self, incoming: &Incoming, total: Option<u32>) -> Route {
        route(&message(incoming), total, self.encoding())
    }

    fn encoding(&self) -> Encoding {
        let spectacles = self.config.spectacles.as_ref();
        spectacles.map_or_else(Encoding::default, |spectacles| spectacles.encoding)
    }

    async fn forward(
        &mut self,
        incoming: Incoming,
        encoding: Encoding,
        forward: Forward,
        deadline: u64,
    ) -> Result<(), RouterError> {
        let shard = forward.shard;
        if !self.declared.contains(&shard) {
            declare(self.connection, async |channel| {
                topology::declare_shard_queue(channel, shard).await
            })
            .await?;
            self.declared.insert(shard);
        }
        if forward.astray {
            tracing::debug!(shard, "command for a shard that is not its guild's");
            metrics::astray();
        }
        // Published here and now, so that the order of the queue is the order of arrival; only the confirm is waited for
        // beside others.
        let delivery = incoming.delivery;
        let received = Instant::now();
        let confirm = outlet::forward(
            &self.publisher,
            &delivery.properties,
            encoding,
            forward,
            deadline,
        )
        .await?;
        self.push(async move {
            Publisher::confirmed(confirm).await?;
            outlet::acknowledge(&delivery).await?;
            metrics::forwarded(received.elapsed());
            Ok(())
        });
        Ok(())
    }

    /// Consumes the Spectacles queues of shards that are new.
    async fn consume_shards(&mut self, queues: &Condition) -> Result<(), RouterError> {
        let Some(spectacles) = &self.config.spectacles else {
            queues.set(true);
            return Ok(());
        };
        let Some(total) = self.shards.total() else {
            return Ok(());
        };
        let exchange = &spectacles.exchange;
        for shard in self.consumed..total {
            let event = shard.to_string();
            declare_spectacles_queue(self.connection, exchange, &event).await?;
            let queue = spectacles_queue(exchange, &event);
            self.intake
                .consume(queue, Source::SpectaclesShard(shard))
                .await?;
            self.consumed = shard + 1;
        }
        queues.set(true);
        Ok(())
    }

    fn push(&mut self, work: impl Future<Output = Result<(), RouterError>> + Send + 'static) {
        self.in_flight.push(Box::pin(work));
    }
}

fn message(incoming: &Incoming) -> Message<'_> {
    let properties = &incoming.delivery.properties;
    Message {
        source: incoming.source,
        body: &incoming.delivery.data,
        content_type: properties.content_type().as_ref().map(|text| text.as_str()),
        wants_reply: properties.reply_to().is_some(),
    }
}

/// Waits until a time in milliseconds of Unix time, for ever if there is none.
async fn passed(time: Option<u64>) {
    match time {
        Some(time) => sleep(Duration::from_millis(time.saturating_sub(now_ms()))).await,
        None => future::pending().await,
    }
}
