//! Servers, simulated Discord and services put together.

pub mod settings;

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use discord_sim::{Load, Mix, Sim, SimConfig};
use tokio::task::JoinHandle;

use crate::binaries::Service;
use crate::collector::Collector;
use crate::collector::check::{Expected, Report, Tolerated};
use crate::collector::losses::Losses;
use crate::process::Process;
use crate::proxy::Proxy;
use crate::servers::Servers;
use crate::wait;

/// Longest time for all services to be ready.
const READY_LIMIT: Duration = Duration::from_secs(30);
/// Longest time for a service to end at SIGTERM.
pub const STOP_LIMIT: Duration = Duration::from_secs(10);

/// What a stack is made of.
#[derive(Clone, Debug)]
pub struct Options {
    /// Shards, all held by one ingest.
    pub shards: u32,
    /// Replicas of the cache-writer.
    pub writers: u32,
    /// The simulated Discord.
    pub sim: SimConfig,
    /// Settings of the services beyond those that [`settings`] gives them.
    pub env: BTreeMap<String, String>,
}

impl Options {
    /// `shards` shards over `guilds` guilds, one writer, a Discord that lets everybody identify at once.
    #[must_use]
    pub fn new(shards: u32, guilds: u32) -> Self {
        let mut sim = SimConfig::default();
        sim.world.guilds = guilds;
        sim.max_concurrency = shards;
        sim.recommended_shards = shards;
        sim.identify_interval = Duration::from_millis(100);
        // The comparison needs both.
        sim.keep_payloads = true;
        sim.keep_truth = true;
        Self {
            shards,
            writers: 1,
            sim,
            env: BTreeMap::new(),
        }
    }

    /// The settings of a service that holds, or works for, these shards on these servers.
    #[must_use]
    pub fn connected_to(&self, servers: &Servers, sim: &Sim) -> BTreeMap<String, String> {
        let mut env = settings::links(&servers.rabbitmq.url(), &servers.redis.url());
        env.extend(settings::discord(
            &self.sim.token,
            &sim.http_url(),
            &sim.gateway_url(),
        ));
        env.extend(settings::exact(self.shards));
        env
    }
}

/// A running stack. Everything in it is killed when dropped.
#[derive(Debug)]
pub struct Stack {
    /// Holds all shards.
    pub ingest: Process,
    /// Replicas of the cache-writer.
    pub writers: Vec<Process>,
    /// Routes the commands.
    pub router: Process,
    /// Reads everything that is published.
    pub collector: Collector,
    /// The simulated Discord.
    pub sim: Sim,
    /// RabbitMQ and Redis.
    pub servers: Servers,
    /// What the services reach Redis through, if they were told to.
    pub redis_link: Option<Proxy>,
    /// Shards.
    pub shards: u32,
}

impl Stack {
    /// Starts everything on `servers`; [`Self::ready`] waits for it.
    ///
    /// # Errors
    ///
    /// If a binary is missing, the broker can't be reached, or the simulator can't listen.
    pub async fn start(servers: Servers, options: &Options) -> Result<Self> {
        let sim = Sim::start(options.sim.clone())
            .await
            .context("can't start the simulator")?;
        let mut env = options.connected_to(&servers, &sim);
        env.extend(options.env.clone());
        // Before the services: it must not miss their first event.
        let namespace = env.get("NAMESPACE").map(String::as_str);
        let namespace = namespace.unwrap_or_default().parse()?;
        let collector = Collector::start_within(&servers.rabbitmq.url(), namespace).await?;
        let start =
            |service: Service, name: &str| Process::start(service, name, servers.dir(), &env);
        let writers: Result<Vec<_>> = (0..options.writers)
            .map(|n| start(Service::CacheWriter, &format!("cache-writer-{n}")))
            .collect();
        Ok(Self {
            writers: writers?,
            router: start(Service::CommandRouter, "command-router")?,
            ingest: start(Service::GatewayIngest, "gateway-ingest")?,
            collector,
            sim,
            servers,
            redis_link: None,
            shards: options.shards,
        })
    }

    /// Waits until all services are ready and all shards connected: gateway-ingest is ready already while they wait for their turn.
    ///
    /// # Errors
    ///
    /// If one isn't within 30 s, or has ended.
    pub async fn ready(&mut self) -> Result<()> {
        for process in self.processes() {
            process.ready(READY_LIMIT).await?;
        }
        let connected = wait::until("all shards to be connected", READY_LIMIT, async || {
            self.ingest.shards_connected().await == Some(self.shards)
        });
        let connected = connected.await;
        connected.with_context(|| self.ingest.log_tail(40))?;
        Ok(())
    }

    /// All service processes, in the order in which they are stopped: who produces first.
    pub fn processes(&mut self) -> impl Iterator<Item = &mut Process> {
        let ingest = std::iter::once(&mut self.ingest);
        ingest
            .chain(self.writers.iter_mut())
            .chain(std::iter::once(&mut self.router))
    }

    /// Events of every kind at a steady rate (a second), until [`Sim::stop_load`]; returns how many there were.
    #[must_use]
    pub fn start_load(&self, rate: f64) -> JoinHandle<u64> {
        let load = Load {
            rate: Some(rate),
            mix: Mix::realistic(),
            ..Load::default()
        };
        let sim = self.sim.clone();
        tokio::spawn(async move { sim.generate(load).await })
    }

    /// Events sent so far, by shard.
    #[must_use]
    pub fn sent(&self) -> BTreeMap<u32, Vec<Expected>> {
        let shard = |shard| {
            (
                shard,
                self.sim
                    .sent(shard)
                    .into_iter()
                    .map(Expected::from)
                    .collect(),
            )
        };
        (0..self.shards).map(shard).collect()
    }

    /// Waits until all of `sent` that can be delivered has arrived; returns how long that took.
    ///
    /// # Errors
    ///
    /// If something is missing after `limit`; the message says how many of how many.
    pub async fn arrived(
        &self,
        sent: &BTreeMap<u32, Vec<Expected>>,
        limit: Duration,
    ) -> Result<Duration> {
        let mut missing: Vec<&Expected> = sent
            .values()
            .flatten()
            .filter(|event| event.deliverable)
            .collect();
        let all = missing.len();
        let waited = wait::until("all events to arrive", limit, async || {
            let ledger = self.collector.ledger();
            missing.retain(|event| ledger.arrival(&event.session, event.seq).is_none());
            missing.is_empty()
        });
        let waited = waited.await;
        waited.with_context(|| format!("{} of {all} events are missing", missing.len()))
    }

    /// To be called when the load has ended: waits until what was sent has arrived, at most `limit`, and compares it
    /// all with the simulator's record. What doesn't arrive is in the report, not an error.
    ///
    /// # Errors
    ///
    /// If Redis can't be read.
    pub async fn check(&self, limit: Duration) -> Result<Report> {
        self.check_after(&Losses::default(), limit).await
    }

    /// As [`Self::check`], where nothing may be missing, repeated, misordered, altered or wrong.
    ///
    /// # Errors
    ///
    /// If something is, or Redis can't be read.
    pub async fn check_exact(&self, limit: Duration) -> Result<Report> {
        let report = self.check(limit).await?;
        let faults = report.faults(Tolerated::default());
        ensure!(faults.is_empty(), "{}\n{report}", faults.join(", "));
        Ok(report)
    }

    /// As [`Self::check`], where Redis has lost its data on the way.
    ///
    /// # Errors
    ///
    /// If Redis can't be read.
    pub async fn check_after(&self, losses: &Losses, limit: Duration) -> Result<Report> {
        self.sim.quiet(limit).await;
        // The report counts what is missing, event by event.
        let _ = self.arrived(&self.sent(), limit).await;
        let mut redis = self.servers.redis.connection().await?;
        let mut sent = self.sent();
        let truth = if losses.is_empty() {
            self.sim.truth()
        } else {
            losses.retell(&mut sent)
        };
        let mut report = self.collector.check(&sent, &truth, &mut redis).await?;
        // An event is published after the cache has it, but one that changes nothing else may be the last to arrive.
        if report.cache_differences > 0 {
            let settled = wait::until("the cache to settle", Duration::from_secs(1), async || {
                let again = self.collector.check(&sent, &truth, &mut redis).await;
                again.is_ok_and(|again| {
                    report = again;
                    report.cache_differences == 0
                })
            });
            // If it doesn't, the report says what differs.
            let _ = settled.await;
        }
        Ok(report)
    }

    /// SIGTERMs the services, each of which must end with code 0 within 10 s, and gives the servers back.
    ///
    /// # Errors
    ///
    /// If a service doesn't end so.
    pub async fn stop(mut self) -> Result<Servers> {
        for process in self.processes() {
            process.stop(STOP_LIMIT).await?;
        }
        self.sim.shutdown().await;
        Ok(self.abandon())
    }

    /// Kills the services and gives the servers back.
    #[must_use]
    pub fn abandon(self) -> Servers {
        self.servers
    }

    /// The tails of all services' logs.
    #[must_use]
    pub fn log_tails(&mut self, lines: usize) -> String {
        let tails: Vec<_> = self
            .processes()
            .map(|process| process.log_tail(lines))
            .collect();
        tails.join("\n")
    }
}

impl From<discord_sim::SentEvent> for Expected {
    fn from(event: discord_sim::SentEvent) -> Self {
        Self {
            session: event.session,
            seq: event.seq,
            name: event.t,
            data: event.d,
            old: event.old,
            old_unsure: false,
            deliverable: event.delivered || event.session_live,
        }
    }
}
