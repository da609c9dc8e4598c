//! The part of gateway-ingest that does I/O.

mod bot;
mod budget;
mod claim;
mod commands;
mod context;
mod discord;
mod identify;
mod link;
mod links;
mod members;
mod notices;
mod order;
mod ownership;
mod plan;
mod publishers;
mod replies;
mod shard;
mod store;
mod table;

use std::{
    hash::{BuildHasher as _, RandomState},
    ops::RangeInclusive,
    sync::{Arc, Mutex},
    time::Duration,
};

use dispatch_service::{
    clock::unix_millis,
    discord::{Client, GatewayBot, StartLimit},
    health::{Condition, Health},
    identity::Bot,
    start::{Surroundings, open_files_limit},
    tls,
};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use twilight_gateway::{Config as ShardConfig, ConfigBuilder};

use crate::{
    config::Config,
    core::{close::refuses_total, schedule::prefetch},
    error::IngestError,
};
use context::{Budget, Context};
use identify::IdentifyQueue;
use link::Topology;
use links::Links;
use notices::Notices;
use ownership::Ended;
use plan::Plan;
use publishers::Publishers;
use replies::Replies;
use table::SessionTable;

/// Connections to Discord that may be made at once: enough for any start, and few enough for a CPU that also has heartbeats to
/// send.
const CONNECTING: usize = 32;

/// Channels of the publishing connection beyond those of the partitions: declarations, replies, looks at the locks.
const OTHER_CHANNELS: usize = 12;

/// Open files beyond the shards' connections to Discord: those to RabbitMQ and Redis, who asks for metrics, logs.
const OTHER_FILES: usize = 64;

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
    tls::check_system_authorities()?;
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
    let bot = bot::identify(&config, &client, &stop).await?;
    let conditions = Arc::new(conditions);
    // Again where the others turn out to go by another number of shards.
    loop {
        let agreed = plan::agree(&config, &info, &conditions.shards, &stop).await;
        let Some(plan) = agreed else {
            return Ok(());
        };
        let serving = stop.child_token();
        let served = serve(&config, &conditions, &client, plan, info.clone(), &serving);
        if guarded(bot.as_ref(), served, &serving).await? == Ended::Stopped {
            return Ok(());
        }
    }
}

/// Ends `serve` when the names on the servers turn out to be another bot's.
async fn guarded(
    bot: Option<&Bot>,
    serve: impl Future<Output = Result<Ended, IngestError>>,
    serving: &CancellationToken,
) -> Result<Ended, IngestError> {
    let another = async {
        match bot {
            Some(bot) => bot.keep().await,
            None => std::future::pending().await,
        }
    };
    let mut serve = std::pin::pin!(serve);
    tokio::select! {
        ended = &mut serve => ended,
        another = another => {
            serving.cancel();
            serve.await?;
            Err(another.into())
        }
    }
}

/// Holds shards of one plan.
async fn serve(
    config: &Config,
    conditions: &Arc<Conditions>,
    client: &Arc<Client>,
    plan: Plan,
    info: GatewayBot,
    stop: &CancellationToken,
) -> Result<Ended, IngestError> {
    let Plan {
        total,
        inherited,
        first,
    } = plan;
    let range = config.shards.range.of(total)?;
    crate::metrics::agreed_shards(total);
    announce(&info.limit, total, range.as_ref());

    let topology = Topology {
        namespace: config.namespace.clone(),
        partitions: config.partitions,
        queue_type: config.queue_type,
    };
    let most = range
        .as_ref()
        .map_or(total as usize, |range| range.clone().count());
    let (files, limit) = (most + OTHER_FILES, open_files_limit());
    if files as u64 > limit {
        tracing::error!(
            files,
            limit,
            "the shards' connections need more open files than the process may have: raise the hard limit (ulimit -Hn, LimitNOFILE)"
        );
    }
    let publishers = most.min(config.partitions as usize) + OTHER_CHANNELS;
    let connected = conditions.rabbitmq.clone();
    let links = Links::open(&config.rabbit, publishers, topology.clone(), connected);
    let notices = Notices::start(client.clone(), config.log_channel);
    let identifies = IdentifyQueue::new(config.shards.identifies, info.limit);
    let prefetch = prefetch(most);
    let replies = Replies::start(
        config.namespace.clone(),
        links.publishing.clone(),
        most.max(1) * usize::from(prefetch),
    );
    let table = Arc::new(SessionTable::default());
    let publishers = Publishers::start(total, &topology, &links.publishing, &table);
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
        gateway: gateway(config, info, identifies.clone()),
        identifies,
        publishers,
        slots: Arc::new(Semaphore::new(CONNECTING)),
        repeats: Mutex::default(),
        config: config.clone(),
    });
    let stored = CancellationToken::new();
    let keeper = store::keep(context.clone(), conditions.clone(), stored.clone());
    let keeper = tokio::spawn(keeper);

    let shared = budget::Budget::new(config, first);
    let result = hold(&context, client, range, &shared, stop).await;

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

/// Runs shards, and lets them identify. What fails first ends all, the shards resumably.
async fn hold(
    context: &Arc<Context>,
    client: &Arc<Client>,
    range: Option<RangeInclusive<u32>>,
    budget: &budget::Budget,
    stop: &CancellationToken,
) -> Result<Ended, IngestError> {
    let ending = stop.child_token();
    let identifying = async {
        let ask = || discord::gateway(client, &ending);
        let run = (context.identifies.clone()).run(ask, async |ask| budget.ask(ask).await);
        let result = ending.run_until_cancelled(run).await;
        ending.cancel();
        result.unwrap_or(Ok(()))
    };
    let holding = async {
        let result = ownership::hold(context.clone(), range, &ending).await;
        ending.cancel();
        result
    };
    let (identified, held) = tokio::join!(identifying, holding);
    identified?;
    held
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

fn announce(limit: &StartLimit, total: u32, range: Option<&RangeInclusive<u32>>) {
    tracing::info!(
        total,
        ?range,
        max_concurrency = limit.max_concurrency,
        identifies_left = limit.remaining,
        "sharing the shards"
    );
}

/// A name that no other process has, nor this one after a restart. It begins with the host's, which is a pod's or container's.
fn instance() -> String {
    let host = std::fs::read_to_string("/etc/hostname").unwrap_or_default();
    let host = host.trim();
    let random = RandomState::new().hash_one(std::process::id());
    format!("{host}-{:x}-{random:016x}", unix_millis())
}
