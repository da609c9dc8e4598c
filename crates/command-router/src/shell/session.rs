//! One connection to RabbitMQ after the other.

use std::{
    collections::BTreeSet,
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use dispatch_proto::rabbit::ROUTER_LOCK;
use dispatch_service::{amqp::Publisher, backoff::Backoff};
use lapin::Connection;
use tokio::{
    sync::{mpsc, watch},
    time::{sleep, timeout},
};

use super::{
    App, consumers::Consumers, dead_letters::DeadLetters, expiry::Expiry, forwarder::Forwarder,
    lock::Lock, publications::Publications, queues::Queues, replies::Replies,
};
use crate::{error::RouterError, metrics};

/// Name of the connection, as RabbitMQ shows it.
const NAME: &str = "command-router";
/// Messages on their way from the consumers to the forwarder.
const INCOMING: usize = 32;
/// How long the connection's orderly end may take.
const CLOSING: Duration = Duration::from_secs(2);
/// How long a session may take to end when it is asked to.
const ENDING: Duration = Duration::from_secs(5);

/// Routes commands until `stop`, however often the connection fails.
pub(crate) async fn serve(app: &App) {
    let (connected, stop) = (&app.rabbit_connected, &app.stop);
    let mut backoff = Backoff::default();
    while let Some(connection) = app.config.amqp.connect_until(NAME, connected, stop).await {
        let connection = Arc::new(connection);
        let session = Session {
            app,
            queues: Queues::new(connection.clone(), &app.config),
            connection,
            progress: AtomicBool::new(false),
        };
        let ended = session.run_to_its_end().await;
        connected.set(false);
        app.readiness.disconnected();
        metrics::active(false);
        if stop.is_cancelled() {
            return;
        }
        // Not by being active alone: that comes before what may go wrong again.
        if session.progress.load(Ordering::Relaxed) {
            backoff.reset();
        }
        if let Err(error) = ended {
            let delay = backoff.next_delay();
            tracing::warn!(%error, retry_in_ms = delay.as_millis(), "routing was interrupted");
            stop.run_until_cancelled(sleep(delay)).await;
        }
    }
}

struct Session<'a> {
    app: &'a App,
    connection: Arc<Connection>,
    queues: Queues,
    /// Whether RabbitMQ has confirmed a command or a dead letter.
    progress: AtomicBool,
}

impl Session<'_> {
    /// Runs and closes the connection, whereupon what is not acknowledged goes back to its queue.
    async fn run_to_its_end(&self) -> Result<(), RouterError> {
        let mut run = pin!(self.run());
        let ended = tokio::select! {
            ended = &mut run => ended,
            // A broker that blocks its publishers must not keep the process from ending.
            () = async { self.app.stop.cancelled().await; sleep(ENDING).await } => Ok(()),
        };
        // Consumers that are still there outlive the connection, see `Consumers::run`.
        self.close().await;
        ended
    }

    async fn run(&self) -> Result<(), RouterError> {
        self.queues.declare_dead().await?;
        self.queues.declare_send().await?;
        if let Some(spectacles) = &self.app.config.spectacles {
            let exchange = &spectacles.exchange;
            self.queues.declare_spectacles(exchange, "SEND").await?;
        }
        let name = self.queues.namespace().name(ROUTER_LOCK);
        let acquired = Lock::acquire(&self.connection, &name, || {
            tracing::info!("another router is active, standing by");
            self.app.readiness.stand_by();
        });
        let Some(lock) = self.app.stop.run_until_cancelled(acquired).await else {
            return Ok(());
        };
        tracing::info!("active");
        metrics::active(true);
        self.route(lock?).await
    }

    /// Routes, as long as the lock is held.
    async fn route(&self, mut lock: Lock) -> Result<(), RouterError> {
        let App {
            config,
            clock,
            shards,
            readiness,
            stop,
            ..
        } = self.app;
        let publisher = Publisher::open(&self.connection).await?;
        let (events, incoming) = mpsc::channel(INCOMING);
        let (renewals, renewed) = watch::channel(BTreeSet::new());
        let dead_letters = DeadLetters::new(self.connection.clone(), self.queues.clone());
        let replies = Replies::new(self.connection.clone());
        let consumers = Consumers {
            connection: &self.connection,
            queues: &self.queues,
            spectacles: config.spectacles.as_ref(),
            shards,
            readiness,
            clock: *clock,
            events,
            renewals: renewed,
        };
        let forwarder = Forwarder {
            config,
            clock: *clock,
            shards,
            publications: Publications::new(publisher, self.queues.clone()),
            dead_letters: &dead_letters,
            replies: &replies,
            progress: &self.progress,
            renewals,
        };
        let expiry = Expiry::new(
            config,
            shards,
            &self.connection,
            &self.queues,
            &dead_letters,
            &replies,
        );
        let ending = stop.child_token();
        let mut consuming = pin!(consumers.run());
        let routing = async {
            let ended = tokio::select! {
                ended = forwarder.run(incoming, stop) => ended,
                never = &mut consuming => match never {},
                error = lock.lost() => Err(error),
            };
            ending.cancel();
            ended
        };
        let expiring = async {
            tokio::select! {
                () = expiry.run(&ending) => {}
                () = async { ending.cancelled().await; sleep(CLOSING).await } => {}
            }
        };
        let (ended, ()) = tokio::join!(routing, expiring);
        // While the consumers are still there.
        self.close().await;
        ended
    }

    async fn close(&self) {
        let _ = timeout(CLOSING, self.connection.close(200, "ending".into())).await;
    }
}
