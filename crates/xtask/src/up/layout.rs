//! The parts of the running pipeline, started and stopped in order.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Duration, SystemTime};

use anyhow::{Context, Result, bail};
use discord_sim::{Load, Sim, SimConfig};
use dispatch_proto::namespace::Namespace;
use testbed::binaries::Service;
use testbed::process::Process;
use testbed::servers::{Persistence, RabbitMq, Redis, rabbitmq_connection, redis_connection};
use testbed::stack::{STOP_LIMIT, settings};

use super::Args;
use super::containers::{self, Container};
use super::folder::Folder;
use crate::progress::Step;
use crate::running::{Announcement, Running};

/// Shards of the simulated Discord, unless others are asked for.
const SHARDS: u32 = 2;
/// Longest time for a server that was given to answer.
const ANSWER_LIMIT: Duration = Duration::from_secs(10);
/// Longest time for a service to be ready with the simulated Discord.
const READY_LIMIT: Duration = Duration::from_secs(60);
/// With Discord itself, where shards identify one after the other.
const READY_LIMIT_DISCORD: Duration = Duration::from_secs(3600);

/// Everything that runs. Dropped, all of it is killed.
#[derive(Debug)]
pub(super) struct Pipeline {
    // In the order in which they go: the announcement first, the folder last.
    _announcement: Announcement,
    pub(super) ingests: Vec<Process>,
    pub(super) writers: Vec<Process>,
    pub(super) routers: Vec<Process>,
    pub(super) partitions: u32,
    pub(super) running: Running,
    pub(super) namespace: Namespace,
    sim: Option<Sim>,
    /// Whether the servers are somebody else's: their passwords are not shown.
    foreign: (bool, bool),
    _servers: Servers,
    _folder: Folder,
}

/// The servers that were started here.
#[derive(Debug, Default)]
struct Servers {
    _rabbitmq: Option<RabbitMq>,
    _redis: Option<Redis>,
    _containers: Vec<Container>,
}

impl Pipeline {
    /// Starts servers, simulated Discord and services, and waits until they are ready.
    pub(super) async fn start(
        args: &Args,
        given: &BTreeMap<String, String>,
        announcement: Announcement,
        folder: Folder,
    ) -> Result<Self> {
        let step = Step::begin("Starting RabbitMQ and Redis", args.plain);
        let (servers, rabbit_url, redis_url) = servers(args, given, folder.path()).await?;
        step.done();
        let sim = match args.discord {
            false => Some(simulator(args).await?),
            true => None,
        };
        let mut env = environment(args, given, sim.as_ref());
        env.extend(settings::links(&rabbit_url, &redis_url));

        let step = Step::begin("Starting the services", args.plain);
        let start =
            |service: Service, name: &str| Process::start(service, name, folder.path(), &env);
        let writers: Result<Vec<_>> = (0..args.writers)
            .map(|n| start(Service::CacheWriter, &format!("cache-writer-{n}")))
            .collect();
        let replicas = |service: Service, name: &str, count| -> Result<Vec<_>> {
            let name = |n| match n {
                0 => name.to_owned(),
                n => format!("{name}-{n}"),
            };
            (0..count).map(|n| start(service, &name(n))).collect()
        };
        let running = Running {
            pid: std::process::id(),
            rabbit_url,
            redis_url,
            sim_url: sim.as_ref().map(Sim::http_url),
            logs: folder.path().to_owned(),
            started: SystemTime::now(),
            settings: cache_settings(&env),
        };
        let namespace = running.namespace()?;
        announcement.announce(&running)?;
        let mut pipeline = Self {
            _announcement: announcement,
            writers: writers?,
            routers: replicas(Service::CommandRouter, "command-router", args.routers)?,
            ingests: replicas(Service::GatewayIngest, "gateway-ingest", args.ingests)?,
            partitions: env
                .get("PARTITIONS")
                .and_then(|n| n.parse().ok())
                .unwrap_or(16),
            running,
            namespace,
            sim,
            foreign: (
                given.contains_key("RABBIT_URL"),
                given.contains_key("REDIS_URL"),
            ),
            _servers: servers,
            _folder: folder,
        };
        let limit = if pipeline.sim.is_some() {
            READY_LIMIT
        } else {
            READY_LIMIT_DISCORD
        };
        for process in pipeline.processes() {
            process.ready(limit).await?;
        }
        step.done();
        pipeline.begin_load(args.rate);
        Ok(pipeline)
    }

    /// Fails if a service has ended.
    pub(super) fn check(&mut self) -> Result<()> {
        for process in self.processes() {
            if !process.runs() {
                bail!("{} has ended\n{}", process.name(), process.log_tail(30));
            }
        }
        Ok(())
    }

    /// What the services did that Discord does not allow, as the simulated one has seen it.
    pub(super) fn violations(&self) -> Vec<String> {
        self.sim.as_ref().map(Sim::violations).unwrap_or_default()
    }

    /// Stops everything, who produces first; the first failure is told when all of it is down.
    pub(super) async fn stop(mut self, plain: bool) -> Result<()> {
        if let Some(sim) = &self.sim {
            sim.stop_load();
        }
        let mut stopped = Ok(());
        for process in self.processes() {
            let step = Step::begin(&format!("Stopping {}", process.name()), plain);
            stopped = stopped.and(process.stop(STOP_LIMIT).await);
            step.done();
        }
        if let Some(sim) = &self.sim {
            sim.shutdown().await;
        }
        let step = Step::begin("Stopping the servers", plain);
        drop(self);
        step.done();
        stopped
    }

    /// Where to connect: name and address.
    pub(super) fn addresses(&self) -> Vec<(String, String)> {
        let metrics = |process: &Process| {
            (
                process.name().to_owned(),
                format!("http://127.0.0.1:{}/metrics", process.port()),
            )
        };
        let discord = match &self.sim {
            Some(sim) => format!("simulated, {} and {}", sim.http_url(), sim.gateway_url()),
            None => "the real one".to_owned(),
        };
        let mut addresses = vec![
            (
                "RabbitMQ".to_owned(),
                masked(&self.running.rabbit_url, self.foreign.0),
            ),
            (
                "Redis".to_owned(),
                masked(&self.running.redis_url, self.foreign.1),
            ),
            ("Discord".to_owned(), discord),
        ];
        addresses.extend(self.ingests.iter().map(metrics));
        addresses.extend(self.writers.iter().map(metrics));
        addresses.extend(self.routers.iter().map(metrics));
        addresses
    }

    fn processes(&mut self) -> impl Iterator<Item = &mut Process> {
        (self.ingests.iter_mut())
            .chain(&mut self.writers)
            .chain(&mut self.routers)
    }

    fn begin_load(&self, rate: f64) {
        if let Some(sim) = self.sim.clone() {
            let rate = (rate > 0.0).then_some(rate);
            // Ends with the simulator, or when the load is stopped.
            tokio::spawn(async move {
                sim.generate(Load {
                    rate,
                    ..Load::default()
                })
                .await
            });
        }
    }
}

/// Starts those that are not given, and returns the URLs of both.
async fn servers(
    args: &Args,
    given: &BTreeMap<String, String>,
    dir: &Path,
) -> Result<(Servers, String, String)> {
    let given = |name: &str| given.get(name).cloned();
    let mut servers = Servers::default();
    let rabbitmq = async {
        match given("RABBIT_URL") {
            Some(url) => {
                answers("RABBIT_URL", &url, async || {
                    rabbitmq_connection(&url, "up").await.map(drop)
                })
                .await?;
                Ok((None, None, url))
            }
            None if args.docker => {
                let (container, url) = containers::rabbitmq().await?;
                Ok((None, Some(container), url))
            }
            None => {
                let server = RabbitMq::start(dir).await?;
                let url = server.url();
                anyhow::Ok((Some(server), None, url))
            }
        }
    };
    let persistence = match args.keep {
        Some(_) => Persistence::EveryWrite,
        None => Persistence::None,
    };
    let redis = async {
        match given("REDIS_URL") {
            Some(url) => {
                answers("REDIS_URL", &url, async || {
                    redis_connection(&url).await.map(drop)
                })
                .await?;
                Ok((None, None, url))
            }
            None if args.docker => {
                let (container, url) = containers::redis().await?;
                Ok((None, Some(container), url))
            }
            None => {
                let server = Redis::start(dir, persistence).await?;
                let url = server.url();
                anyhow::Ok((Some(server), None, url))
            }
        }
    };
    let (rabbitmq, redis) = tokio::try_join!(rabbitmq, redis)?;
    servers._rabbitmq = rabbitmq.0;
    servers._redis = redis.0;
    servers._containers.extend(rabbitmq.1);
    servers._containers.extend(redis.1);
    Ok((servers, rabbitmq.2, redis.2))
}

/// Fails if a server that was given can't be used, rather than after a minute in which no service is ready.
async fn answers(
    setting: &str,
    url: &str,
    connect: impl AsyncFnOnce() -> Result<()>,
) -> Result<()> {
    let answer = tokio::time::timeout(ANSWER_LIMIT, connect()).await;
    let answer = answer.unwrap_or_else(|_| bail!("no answer in {} s", ANSWER_LIMIT.as_secs()));
    answer.with_context(|| format!("can't connect to {setting}, {}", masked(url, true)))
}

/// A simulated Discord that keeps the truth for `cargo xtask cache verify`, and not every event, for days of running.
async fn simulator(args: &Args) -> Result<Sim> {
    let mut config = SimConfig {
        keep_payloads: false,
        keep_truth: true,
        ..SimConfig::default()
    };
    config.world.guilds = args.guilds;
    config.recommended_shards = args.shards.unwrap_or(SHARDS);
    // A demonstration should not wait five seconds for each shard.
    config.max_concurrency = config.recommended_shards;
    Sim::start(config)
        .await
        .context("can't start the simulated Discord")
}

/// What is given, and below it what makes a demonstration work without any.
fn environment(
    args: &Args,
    given: &BTreeMap<String, String>,
    sim: Option<&Sim>,
) -> BTreeMap<String, String> {
    // A queue that nobody reads would grow for as long as this runs.
    let mut env = BTreeMap::from([("DEFAULT_QUEUE".to_owned(), "false".to_owned())]);
    if let Some(sim) = sim {
        env.insert("INTENTS".to_owned(), settings::ALL_INTENTS.to_string());
        env.extend(given.clone());
        let token = SimConfig::default().token;
        env.extend(settings::discord(
            &token,
            &sim.http_url(),
            &sim.gateway_url(),
        ));
        env.extend(settings::shards(args.shards.unwrap_or(SHARDS)));
        return env;
    }
    env.extend(given.clone());
    if let Some(shards) = args.shards {
        env.extend(settings::shards(shards));
    }
    env
}

/// Those that say what the cache holds, and under which names.
fn cache_settings(env: &BTreeMap<String, String>) -> BTreeMap<String, String> {
    let about_cache =
        |name: &str| name.starts_with("STATE_") || matches!(name, "CACHE_LAYOUT" | "NAMESPACE");
    env.iter()
        .filter(|(name, _)| about_cache(name))
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect()
}

/// The password of a server that isn't ours is nobody's business.
fn masked(url: &str, foreign: bool) -> String {
    match (url.split_once("://"), url.rsplit_once('@')) {
        (Some((scheme, _)), Some((_, host))) if foreign => format!("{scheme}://…@{host}"),
        _ => url.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passwords_of_foreign_servers_are_masked() {
        assert_eq!(masked("amqp://u:p@h:1/%2f", true), "amqp://…@h:1/%2f");
        assert_eq!(
            masked("amqp://guest:guest@h:1/", false),
            "amqp://guest:guest@h:1/"
        );
        assert_eq!(masked("redis://h:1/", true), "redis://h:1/");
    }
}
