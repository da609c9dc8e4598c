//! One look at everything that runs.

use std::collections::BTreeMap;
use std::time::Instant;

use dispatch_proto::session::ShardStatus;
use dispatch_proto::{rabbit, redis as keys};
use lapin::{Connection, ConnectionProperties};
use redis::AsyncCommands;
use redis::aio::MultiplexedConnection;
use testbed::metrics::Metrics;
use testbed::servers::{queue_depths, redis_connection};

use super::layout::Pipeline;
use crate::running::Running;
use testbed::http;

/// Takes samples. What can't be reached is missing from them; the next one tries again.
#[derive(Debug)]
pub(super) struct Sampler {
    ingests: Vec<(String, u16)>,
    writers: Vec<u16>,
    queues: Vec<String>,
    statuses: String,
    dead: Vec<String>,
    running: Running,
    rabbitmq: Option<Connection>,
    redis: Option<MultiplexedConnection>,
}

/// What was seen.
#[derive(Clone, Debug)]
pub(super) struct Sample {
    /// When.
    pub(super) at: Instant,
    /// Metrics of all gateway-ingests, one after the other.
    pub(super) ingest: Metrics,
    /// Which shards each gateway-ingest owns.
    pub(super) owned: Vec<(String, Vec<u32>)>,
    /// Metrics of all cache-writers, one after the other.
    pub(super) writers: Metrics,
    /// State of each shard.
    pub(super) shards: Vec<ShardStatus>,
    /// Frames of raw events that wait.
    pub(super) lag: Option<u64>,
    /// Dead letters that nobody has taken.
    pub(super) dead: Option<u64>,
}

impl Sampler {
    pub(super) fn new(pipeline: &Pipeline) -> Self {
        Self {
            ingests: pipeline
                .ingests
                .iter()
                .map(|ingest| (ingest.name().to_owned(), ingest.port()))
                .collect(),
            writers: pipeline
                .writers
                .iter()
                .map(|writer| writer.port())
                .collect(),
            queues: (0..pipeline.partitions)
                .map(rabbit::raw_queue)
                .map(|queue| pipeline.namespace.name(queue).into_owned())
                .collect(),
            statuses: pipeline.namespace.name(keys::STATUSES).into_owned(),
            dead: vec![pipeline.namespace.name(rabbit::DEAD_QUEUE).into_owned()],
            running: pipeline.running.clone(),
            rabbitmq: None,
            redis: None,
        }
    }

    pub(super) async fn sample(&mut self) -> Sample {
        let mut writers = Metrics::default();
        for port in &self.writers {
            writers.samples.extend(metrics(*port).await.samples);
        }
        let (mut ingest, mut owned) = (Metrics::default(), Vec::new());
        for (name, port) in &self.ingests {
            let metrics = metrics(*port).await;
            let shards = metrics.by("gateway_latencies", "shard").into_keys();
            let mut shards: Vec<u32> = shards.filter_map(|shard| shard.parse().ok()).collect();
            shards.sort_unstable();
            owned.push((name.clone(), shards));
            ingest.samples.extend(metrics.samples);
        }
        let shards = self.shards().await.unwrap_or_default();
        let lag = self.depth(&self.queues.clone()).await;
        let dead = self.depth(&self.dead.clone()).await;
        Sample {
            at: Instant::now(),
            ingest,
            owned,
            writers,
            shards,
            lag,
            dead,
        }
    }

    async fn shards(&mut self) -> Option<Vec<ShardStatus>> {
        if self.redis.is_none() {
            self.redis = redis_connection(&self.running.redis_url).await.ok();
        }
        let statuses: redis::RedisResult<String> = self.redis.as_mut()?.get(&self.statuses).await;
        if statuses
            .as_ref()
            .is_err_and(redis::RedisError::is_unrecoverable_error)
        {
            self.redis = None;
        }
        serde_json::from_str(&statuses.ok()?).ok()
    }

    /// Messages in these queues.
    async fn depth(&mut self, queues: &[String]) -> Option<u64> {
        if self.rabbitmq.is_none() {
            let properties = ConnectionProperties::default();
            self.rabbitmq = Connection::connect(&self.running.rabbit_url, properties)
                .await
                .ok();
        }
        match queue_depths(self.rabbitmq.as_ref()?, queues).await {
            Ok(depths) => Some(depths.values().map(|depth| u64::from(*depth)).sum()),
            Err(_) => {
                self.rabbitmq = None;
                None
            }
        }
    }
}

impl Sample {
    /// Events received from Discord so far.
    pub(super) fn received(&self) -> u64 {
        self.ingest.sum("ingest_events_total").unwrap_or_default() as u64
    }

    /// Events published so far.
    pub(super) fn published(&self) -> u64 {
        self.writers.sum("gateway_events").unwrap_or_default() as u64
    }

    /// Gaps that were told on the exchange so far.
    pub(super) fn gaps(&self) -> u64 {
        self.writers.sum("writer_gaps_total").unwrap_or_default() as u64
    }

    /// Cached objects by family. Every writer shows all of them, so the largest number counts.
    pub(super) fn cached(&self) -> BTreeMap<&str, u64> {
        let mut families = BTreeMap::new();
        for sample in &self.writers.samples {
            if let Some(family) = sample.name.strip_prefix("state_") {
                let size = families.entry(family).or_insert(0);
                *size = (sample.value as u64).max(*size);
            }
        }
        families
    }
}

async fn metrics(port: u16) -> Metrics {
    let answer = http::fetch(port, "/metrics").await;
    answer
        .map(|answer| Metrics::parse(&answer.body))
        .unwrap_or_default()
}
