//! The two connections to RabbitMQ: made, watched, made again.

use std::{sync::Arc, time::Duration};

use dispatch_proto::namespace::Namespace;
use dispatch_service::{
    amqp::AmqpLink,
    backoff::Backoff,
    health::Condition,
    topology::{QueueType, declare_dead, declare_raw},
};
use futures_util::{StreamExt as _, stream};
use lapin::{Channel, Connection, Event};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

/// The connection of the moment; `None` while there is none.
pub(crate) type Current = watch::Receiver<Option<Arc<Connection>>>;

/// How often a connection is looked at, in case its end went unannounced.
const LOOK: Duration = Duration::from_millis(500);

/// What must exist before anything is published.
#[derive(Clone, Debug)]
pub(crate) struct Topology {
    pub(crate) namespace: Namespace,
    pub(crate) partitions: u32,
    pub(crate) queue_type: QueueType,
}

impl Topology {
    pub(crate) async fn declare(&self, channel: &Channel) -> lapin::Result<()> {
        declare_dead(channel, &self.namespace).await?;
        declare_raw(channel, &self.namespace, self.partitions, self.queue_type).await
    }
}

/// The connection of the moment, or the next one.
pub(crate) async fn current(mut connections: Current) -> Arc<Connection> {
    loop {
        if let Some(connection) = connections.borrow_and_update().clone() {
            return connection;
        }
        if connections.changed().await.is_err() {
            // The keeper has ended: the process is about to.
            std::future::pending::<()>().await;
        }
    }
}

/// Keeps a connection until `stop`, then closes it.
pub(crate) async fn keep(
    link: AmqpLink,
    name: &'static str,
    topology: Topology,
    connected: Condition,
    current: watch::Sender<Option<Arc<Connection>>>,
    stop: CancellationToken,
) {
    let mut backoff = Backoff::default();
    // The condition is met when the topology stands, not already when the socket does.
    let socket = dispatch_service::health::Health::default().condition(name);
    while let Some(connection) = link.connect_until(name, &socket, &stop).await {
        if let Err(error) = declare(&connection, &topology).await {
            let delay = backoff.next_delay();
            tracing::error!(%error, retry_in_ms = delay.as_millis(), "cannot declare exchanges and queues");
            if stop
                .run_until_cancelled(tokio::time::sleep(delay))
                .await
                .is_none()
            {
                return;
            }
            continue;
        }
        backoff.reset();
        let connection = Arc::new(connection);
        current.send_replace(Some(connection.clone()));
        connected.set(true);
        tracing::info!(connection = name, "connected to rabbitmq");
        if stop
            .run_until_cancelled(until_ended(&connection))
            .await
            .is_none()
        {
            let close = connection.close(200, "stopping".into());
            let _ = tokio::time::timeout(Duration::from_secs(1), close).await;
            return;
        }
        connected.set(false);
        current.send_replace(None);
        tracing::warn!(connection = name, "connection to rabbitmq ended");
    }
}

async fn declare(connection: &Connection, topology: &Topology) -> lapin::Result<()> {
    let channel = connection.create_channel().await?;
    topology.declare(&channel).await?;
    channel.close(200, "declared".into()).await
}

async fn until_ended(connection: &Connection) {
    let events = connection.events_listener().fuse();
    let looks = stream::unfold(tokio::time::interval(LOOK), async |mut interval| {
        interval.tick().await;
        Some((None, interval))
    });
    let mut signals = std::pin::pin!(stream::select(events.map(Some), looks));
    while let Some(signal) = signals.next().await {
        match signal {
            Some(Event::ConnectionBlocked(reason)) => {
                tracing::warn!(reason, "rabbitmq blocks publishers");
            }
            Some(Event::ConnectionUnblocked) => tracing::info!("rabbitmq takes messages again"),
            _ => {}
        }
        // A channel's error is an event too: only the connection's own state tells.
        if !connection.status().connected() {
            return;
        }
    }
}
