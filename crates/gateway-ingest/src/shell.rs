//! The part of gateway-ingest that does I/O.

mod claim;
mod commands;
mod context;
mod discord;
mod identify;
mod link;
mod links;
mod notices;
mod publishers;
mod replies;
mod shard;
mod store;
mod table;

use std::{
    hash::{BuildHasher as _, RandomState},
    sync::{Arc, Mutex},
    time::Duration,
};

use dispatch_service::{
    discord::{Client, GatewayBot, StartLimit},
    health::{Condition, Health},
    start::Surroundings,
};
use tokio::{sync::Semaphore, task::JoinSet};
use tokio_util::sync::CancellationToken;
use twilight_gateway::{Config as ShardConfig, ConfigBuilder};

use crate::{
    config::Config,
    core::{close::refuses_total, schedule::prefetch, shards::range},
    error::IngestError,
    metrics,
};
use claim::Sighted;
use context::{Budget, Context};
use identify::IdentifyQueue;
use link::Topology;
use links::Links;
use notices::Notices;
use publishers::Publishers;
use replies::Replies;
use store::Inherited;
use table::SessionTable;

/// Connections to Discord that may be made at once: enough for any start, and few enough for a CPU that also has heartbeats to
/// send.
const CONNECTING: usize = 32;

/// Locks that may be tried at once.
const TRYING: usize = 8;

/// Channels of the publishing connection beyond those of the partitions: declarations, replies, looks at the locks.
const OTHER_CHANNELS: usize = 4 + TRYING;

/// Longest time for what is left to do after the shards have ended.
const LAST_STEPS: Duration = Duration::from_millis(1500);

/// What readiness depends on.
#[derive(Debug)]
pub(crate) struct Conditions {
    rabbitmq: Condition,
    redis: Condition,
    shards: Condition,
    /// There is room for what Discord sends.
    buffer: Condition,
}

impl Conditions {
    pub(crate) fn new(health: &Health) -> Self {
        Self {
            rabbitmq: health.condition("rabbitmq"),
            redis: health.condition("redis"),
            shards: health.condition("shards"),
            buffer: health.condition("buffer"),
        }
    }
}

/// Holds the shards until `surroundings.stop`.
pub(crate) async fn run(
    config: Config,
    surroundings: Surroundings,
    conditions: Conditions,
) -> Result<(), IngestError> {
    let stop = surroundings.stop;
    if config.clusters {
        tracing::debug!("CLUSTERS has no effect: shards are tasks of one process");
    }
    let client = Arc::new(Client::new(
        config.discord.api.clone(),
        config.discord.token.clone(),
    ));
    if config
        .redis
        .connect_until(&conditions.redis, &stop)
        .await
        .is_none()
    {
        return Ok(());
    }
    let Some(info) = discord::gateway(&client, &stop).await? else {
        return Ok(());
    };
    let Some(inherited) = stop
        .run_until_cancelled(store::inherited(&config.redis))
        .await
    else {
        return Ok(());
    };
    let total = total(&config, &info, &inherited);
    let shards = range(config.shards.start, config.shards.end, total)?;
    announce(&info.limit, total, shards.clone());

    let topology = Topology {
        partitions: config.partitions,
        queue_type: config.queue_type,
    };
    let held = shards.clone().count();
    let publishers = held.min(config.partitions as usize) + OTHER_CHANNELS;
    let links = Links::open(&config.rabbit, publishers, topology, conditions.rabbitmq);
    let notices = Notices::start(client.clone(), config.log_channel);
    let identifies = IdentifyQueue::new(config.shards.identifies, info.limit);
    let prefetch = prefetch(held);
    let replies = Replies::start(links.publishing.clone(), held * usize::from(prefetch));
    let table = Arc::new(SessionTable::default());
    let publishers = Publishers::start(total, topology, &links.publishing, &table);
    let context = Arc::new(Context {
        instance: instance(),
        total,
        inherited,
        topology,
        publishing: links.publishing.clone(),
        commands: links.commands.clone(),
        table,
        replies,
        prefetch,
        notices,
        budget: Budget::new(config.buffer_bytes),
        gateway: gateway(&config, info, identifies.clone()),
        identifies,
        sighted: Sighted::default(),
        trying: Semaphore::new(TRYING),
        publishers,
        slots: Arc::new(Semaphore::new(CONNECTING)),
        repeats: Mutex::default(),
        config,
    });
    shards.clone().for_each(|shard| context.table.enter(shard));
    let stored = CancellationToken::new();
    let keeper = store::keep(
        context.clone(),
        store::Seen {
            redis: conditions.redis,
            shards: conditions.shards,
            buffer: conditions.buffer,
        },
        stored.clone(),
    );
    let keeper = tokio::spawn(keeper);

    let result = hold(&context, &client, shards, &stop).await;

    if let Err(IngestError::Closed { code, .. }) = &result
        && refuses_total(*code)
    {
        let refused = store::refuse_total(&context);
        // Without this the next start would use it again, and be refused again.
        if tokio::time::timeout(LAST_STEPS, refused).await.is_err() {
            tracing::error!(
                "redis did not answer: that discord refuses the number of shards is not stored"
            );
        }
    }

    stored.cancel();
    let last_steps = async {
        context.replies.finish().await;
        let _ = keeper.await;
        links.close().await;
    };
    if tokio::time::timeout(LAST_STEPS, last_steps).await.is_err() {
        tracing::warn!(
            "redis or rabbitmq did not answer in time: the newest sequences may not be stored"
        );
    }
    result
}

/// Runs the shards. The first one that fails ends them all, the others resumably.
async fn hold(
    context: &Arc<Context>,
    client: &Arc<Client>,
    shards: impl Iterator<Item = u32>,
    stop: &CancellationToken,
) -> Result<(), IngestError> {
    let stop = stop.child_token();
    let mut tasks = JoinSet::new();
    let (identifies, client, stopped) = (context.identifies.clone(), client.clone(), stop.clone());
    tasks.spawn(async move {
        let ask = || discord::gateway(&client, &stopped);
        match stopped.run_until_cancelled(identifies.run(ask)).await {
            Some(result) => result,
            None => Ok(()),
        }
    });
    for shard in shards {
        tasks.spawn(shard::run(context.clone(), shard, stop.clone()));
    }
    let mut result = Ok(());
    while let Some(ended) = tasks.join_next().await {
        if let Err(error) = ended.map_err(IngestError::from).flatten()
            && result.is_ok()
        {
            tracing::error!(%error, "ending all shards");
            result = Err(error);
            stop.cancel();
        }
    }
    result
}

/// The number of shards: as it is set, else as it was while there are sessions to resume, else what Discord recommends.
fn total(config: &Config, info: &GatewayBot, inherited: &Inherited) -> u32 {
    metrics::recommended_shards(info.shards);
    if let Some(total) = config.shards.total {
        return total;
    }
    let kept = inherited.total().filter(|_| config.resume);
    if let Some(kept) = kept.filter(|kept| *kept != info.shards) {
        tracing::warn!(
            total = kept,
            recommended = info.shards,
            "discord recommends another number of shards: keeping the one with sessions to resume (RESUME=false takes discord's)"
        );
    }
    kept.unwrap_or(info.shards)
}

fn gateway(
    config: &Config,
    info: GatewayBot,
    identifies: IdentifyQueue,
) -> ShardConfig<IdentifyQueue> {
    let discord = &config.discord;
    let url = discord.gateway_url.clone().unwrap_or(info.url);
    ConfigBuilder::new(discord.token.reveal().to_owned(), discord.intents)
        .large_threshold(discord.large_threshold)
        .presence(discord.presence.clone())
        .proxy_url(url.trim_end_matches('/').to_owned())
        .queue(identifies)
        .build()
}

fn announce(limit: &StartLimit, total: u32, shards: impl Iterator<Item = u32>) {
    tracing::info!(
        total,
        shards = shards.count(),
        max_concurrency = limit.max_concurrency,
        identifies_left = limit.remaining,
        "starting the shards"
    );
}

/// A name that no other process has, nor this one after a restart.
fn instance() -> String {
    let random = RandomState::new().hash_one(std::process::id());
    format!("{:x}-{random:016x}", context::unix_millis())
}
