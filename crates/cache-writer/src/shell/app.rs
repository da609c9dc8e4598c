//! The link to RabbitMQ and the tasks that live on it.

use std::{sync::Arc, time::Duration};

use anyhow::Context as _;
use dispatch_service::{amqp::AmqpLink, backoff::Backoff, health::Condition, start::Surroundings};
use lapin::Connection;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::{
    assignment::Assignments, declarations, gauges, guild_log::GuildLog, partition::Partition,
    shared::Shared, twilight,
};
use crate::{config::Config, metrics};

/// How long the partitions may take to finish the batch in hand at the end.
const LET_GO: Duration = Duration::from_secs(6);

/// The cache-writer, ready to run.
pub struct App {
    amqp: AmqpLink,
    stop: CancellationToken,
    rabbit_up: Condition,
    redis_up: Condition,
    shared: Arc<Shared>,
}

impl App {
    /// Prepares the service; nothing is connected yet.
    #[must_use]
    pub fn new(config: Config, surroundings: Surroundings) -> Self {
        let guild_log = config.guild_log.as_ref().map(GuildLog::start);
        let redis_up = surroundings.health.condition("redis");
        Self {
            amqp: config.amqp.clone(),
            rabbit_up: surroundings.health.condition("rabbitmq"),
            shared: Arc::new(Shared::new(config, guild_log, redis_up.clone())),
            redis_up,
            stop: surroundings.stop,
        }
    }

    /// Serves partitions until the process is asked to end.
    ///
    /// # Errors
    ///
    /// None for now: whatever is away is waited for.
    pub async fn run(self) -> anyhow::Result<()> {
        let redis = &self.shared.config.redis;
        if redis
            .connect_until(&self.redis_up, &self.stop)
            .await
            .is_none()
        {
            return Ok(());
        }
        if !twilight::take_over(&self.shared.config, &self.redis_up, &self.stop).await {
            return Ok(());
        }
        let gauges = tokio::spawn(gauges::run(self.shared.clone(), self.stop.clone()));
        let mut backoff = Backoff::default();
        while let Some(connection) = self
            .amqp
            .connect_until(env!("CARGO_PKG_NAME"), &self.rabbit_up, &self.stop)
            .await
        {
            if let Err(error) = self.declare(&connection).await {
                let delay = backoff.next_delay();
                tracing::error!(%error, retry_in_ms = delay.as_millis(), "cannot declare exchanges and queues");
                self.rabbit_up.set(false);
                let _ = self
                    .stop
                    .run_until_cancelled(tokio::time::sleep(delay))
                    .await;
                continue;
            }
            backoff.reset();
            tracing::info!("connected to rabbitmq");
            self.serve(&Arc::new(connection)).await;
            self.rabbit_up.set(false);
        }
        gauges.await.context("the gauges' task failed")
    }

    async fn declare(&self, connection: &Connection) -> lapin::Result<()> {
        let config = &self.shared.config;
        let channel = connection.create_channel().await?;
        declarations::declare(&channel, config, 0..config.partitions).await?;
        channel.close(200, "declared".into()).await
    }

    /// Runs all partitions on a connection until it dies or the process is asked to end.
    async fn serve(&self, connection: &Arc<Connection>) {
        let assignments = Arc::new(Assignments::new(self.shared.config.partitions));
        let mut tasks = JoinSet::new();
        for number in 0..self.shared.config.partitions {
            let partition = Partition::new(
                number,
                self.shared.clone(),
                connection.clone(),
                assignments.clone(),
                self.stop.clone(),
            );
            tasks.spawn(partition.serve());
        }
        let balance = tokio::spawn(assignments.balance(connection.clone(), self.shared.clone()));
        self.join(&mut tasks).await;
        balance.abort();
        let close = connection.close(200, "stopping".into());
        let _ = tokio::time::timeout(Duration::from_secs(1), close).await;
        metrics::partitions_active(0);
    }

    /// Waits for the partitions' tasks. They end by themselves only with the process or the connection.
    async fn join(&self, tasks: &mut JoinSet<()>) {
        let ended =
            async { while tasks.join_next().await.is_some() && self.stop.is_cancelled() {} };
        let overdue = async {
            self.stop.cancelled().await;
            tokio::time::sleep(LET_GO).await;
        };
        tokio::select! {
            () = ended => {}
            () = overdue => tracing::warn!("rabbitmq does not take what is in hand; it will come again"),
        }
        // Wherever a task is, being aborted is as harmless as a crash.
        tasks.abort_all();
        while tasks.join_next().await.is_some() {}
    }
}
