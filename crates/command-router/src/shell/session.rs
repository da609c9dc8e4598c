//! One connection to RabbitMQ after the other.

use std::{pin::pin, time::Duration};

use dispatch_proto::rabbit::SEND_QUEUE;
use dispatch_service::{
    amqp::{Publisher, close_channel},
    backoff::Backoff,
    health::Condition,
    topology,
};
use lapin::{Channel, Connection, ExchangeKind, types::FieldTable};
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use super::{
    App,
    intake::{Intake, differs, is_taken},
    pump::Pump,
    shards::Shards,
    sweep::Sweep,
};
use crate::{
    config::{Config, Spectacles},
    core::route::Source,
    error::RouterError,
};

/// Name of the connection, as RabbitMQ shows it.
const NAME: &str = "command-router";
/// How often a router that stands by tries to become the active one.
const STANDBY: Duration = Duration::from_secs(1);
/// How long the connection's orderly end may take.
const CLOSING: Duration = Duration::from_secs(2);
/// How long a session may take to end when it is asked to.
const ENDING: Duration = Duration::from_secs(5);

/// Routes commands until `stop`, however often the connection fails.
pub(crate) async fn serve(app: &App) {
    let App {
        config,
        shards,
        rabbit_connected: connected,
        queues,
        stop,
    } = app;
    let mut backoff = Backoff::default();
    while let Some(connection) = config.amqp.connect_until(NAME, connected, stop).await {
        let session = Session {
            config,
            shards,
            queues,
            connection: &connection,
            stop,
        };
        let ended = session.run_to_its_end(&mut backoff).await;
        connected.set(false);
        queues.set(false);
        if stop.is_cancelled() {
            return;
        }
        if let Err(error) = ended {
            let delay = backoff.next_delay();
            tracing::warn!(%error, retry_in_ms = delay.as_millis(), "routing was interrupted");
            stop.run_until_cancelled(sleep(delay)).await;
        }
    }
}

struct Session<'a> {
    config: &'a Config,
    shards: &'a Shards,
    queues: &'a Condition,
    connection: &'a Connection,
    stop: &'a CancellationToken,
}

impl Session<'_> {
    /// Runs and closes the connection, whereupon what is not acknowledged goes back to its queue.
    async fn run_to_its_end(&self, backoff: &mut Backoff) -> Result<(), RouterError> {
        // It outlives the connection: if it were dropped before, its consumers would be cancelled, and what they hold could
        // come back out of order.
        let mut run = pin!(self.run(backoff));
        let ended = tokio::select! {
            ended = &mut run => ended,
            // A broker that blocks its publishers must not keep the process from ending.
            () = async { self.stop.cancelled().await; sleep(ENDING).await } => Ok(()),
        };
        let _ = timeout(CLOSING, self.connection.close(200, "ending".into())).await;
        ended
    }

    async fn run(&self, backoff: &mut Backoff) -> Result<(), RouterError> {
        self.declare().await?;
        let Some(intake) = self.take_over().await? else {
            return Ok(());
        };
        backoff.reset();
        tracing::info!("active");
        tokio::select! {
            ended = self.route(intake) => ended,
            never = Sweep::new(self.config, self.shards, self.connection).run() => match never {},
        }
    }

    async fn route(&self, intake: Intake) -> Result<(), RouterError> {
        let channel = intake.channel().clone();
        let publisher = Publisher::open(self.connection).await?;
        let publishing = publisher.channel().clone();
        let mut pump = Pump::new(self.config, self.shards, self.connection, publisher, intake);
        let ended = pump.run(self.queues, self.stop).await;
        // While the consumers are still there, see `Intake::channel`.
        close_channel(&channel).await;
        close_channel(&publishing).await;
        ended
    }

    async fn declare(&self) -> lapin::Result<()> {
        declare(self.connection, topology::declare_dead).await?;
        declare(self.connection, topology::declare_send).await?;
        let Some(Spectacles { exchange, .. }) = &self.config.spectacles else {
            return Ok(());
        };
        declare(self.connection, async |channel| {
            topology::declare_exchange(channel, exchange, ExchangeKind::Direct).await
        })
        .await?;
        declare_spectacles_queue(self.connection, exchange, "SEND").await
    }

    /// Becomes the active router; `None` if `stop` comes first.
    async fn take_over(&self) -> Result<Option<Intake>, RouterError> {
        let mut told = false;
        loop {
            let mut intake = Intake::open(self.connection).await?;
            // Looked at first, because a refused attempt is logged as an error by the client and by RabbitMQ.
            let consumed = match intake.consumers(SEND_QUEUE).await {
                Ok(0) => self.consume(&mut intake).await.map(|()| true),
                Ok(_) => Ok(false),
                Err(error) => Err(error),
            };
            if let Ok(true) = consumed {
                return Ok(Some(intake));
            }
            close_channel(intake.channel()).await;
            if let Err(error) = consumed
                && !is_taken(&error)
            {
                return Err(error.into());
            }
            if !told {
                tracing::info!("another consumer has the commands, standing by");
                told = true;
                // The queues are the other one's business.
                self.queues.set(true);
            }
            if self
                .stop
                .run_until_cancelled(sleep(STANDBY))
                .await
                .is_none()
            {
                return Ok(None);
            }
        }
    }

    async fn consume(&self, intake: &mut Intake) -> lapin::Result<()> {
        intake.consume(SEND_QUEUE.to_owned(), Source::Send).await?;
        if let Some(Spectacles { exchange, .. }) = &self.config.spectacles {
            let queue = spectacles_queue(exchange, "SEND");
            intake.consume(queue, Source::SpectaclesSend).await?;
        }
        Ok(())
    }
}

/// Declares with a channel of its own, because a declaration that is refused closes it. What exists with other properties
/// is used as it is: a client declared it so, and commands must not stop over it.
pub(crate) async fn declare(
    connection: &Connection,
    declaration: impl AsyncFnOnce(&Channel) -> lapin::Result<()>,
) -> lapin::Result<()> {
    let channel = connection.create_channel().await?;
    match declaration(&channel).await {
        Ok(()) => {
            close_channel(&channel).await;
            Ok(())
        }
        Err(error) if differs(&error) => {
            tracing::warn!(%error, "exists with other properties, used as it is");
            Ok(())
        }
        Err(error) => Err(error),
    }
}

/// Declares and binds `<exchange>:<event>`, as Spectacles clients do.
pub(crate) async fn declare_spectacles_queue(
    connection: &Connection,
    exchange: &str,
    event: &str,
) -> lapin::Result<()> {
    let queue = spectacles_queue(exchange, event);
    declare(connection, async |channel| {
        topology::declare_queue(channel, &queue, FieldTable::default()).await
    })
    .await?;
    declare(connection, async |channel| {
        topology::bind(channel, &queue, exchange, event).await
    })
    .await
}

/// Name of the queue for an event, also of the queues that clients send to.
pub(crate) fn spectacles_queue(exchange: &str, event: &str) -> String {
    format!("{exchange}:{event}")
}
