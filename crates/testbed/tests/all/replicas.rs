//! Several gateway-ingests that share the shards of a bot, with no setting of theirs.

mod come_and_go;
mod expired;
mod idle;
mod older_data;
mod others;
mod partitions;
mod ranges;

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use serde_json::Value;
use testbed::{
    binaries::Service,
    collector::{
        check::{Expected, Report, Tolerated},
        losses::{Loss, Losses},
    },
    faults::commands::{self, Commands},
    process::Process,
    servers::{Persistence, Servers},
    stack::{Options, Stack},
    wait,
};
use tokio::task::JoinHandle;

const LIMIT: Duration = Duration::from_secs(60);
/// Within so long after the last change the shards are shared evenly.
const EVEN: Duration = Duration::from_secs(15);
const STOP: Duration = Duration::from_secs(10);

#[tokio::test(flavor = "multi_thread")]
async fn the_shards_are_shared_as_replicas_come_and_go() {
    let mut replicas = Replicas::start(8).await;
    let load = replicas.stack.start_load(150.0);
    let url = replicas.stack.servers.rabbitmq.url();
    let commands = Commands::at_rate(url, 8, 8);
    let started = replicas.value("gateway_started").await;
    replicas.add();
    replicas.add();
    replicas.even(EVEN).await;
    // Nothing is shown of shards that have moved away.
    let metrics = replicas.stack.ingest.metrics().await.unwrap();
    let held = replicas.stack.ingest.shards_connected().await.unwrap();
    for metric in ["gateway_latencies", "ingest_events_total"] {
        assert_eq!(metrics.by(metric, "shard").len(), held as usize, "{metric}");
    }
    // Each is seen whole from outside, whoever looks.
    let statuses: Vec<Value> = replicas.list("gateway_statuses").await;
    assert_eq!(statuses.len(), 8, "{statuses:?}");
    let sessions: Vec<Value> = replicas.list("gateway_sessions").await;
    assert_eq!(sessions.len(), 8, "{sessions:?}");
    // The other services too: writers 1 → 4 → 2, routers 1 → 2 → 1.
    for n in 1..4 {
        let writer = replicas.process(Service::CacheWriter, &format!("cache-writer-{n}"));
        replicas.stack.writers.push(writer);
    }
    let mut router = replicas.process(Service::CommandRouter, "command-router-1");
    router.ready(LIMIT).await.unwrap();
    std::mem::swap(&mut replicas.stack.router, &mut router);
    router.stop(STOP).await.unwrap();
    for mut writer in replicas.stack.writers.drain(..2) {
        writer.ready(LIMIT).await.unwrap();
        writer.stop(STOP).await.unwrap();
    }
    for mut replica in replicas.more.drain(..) {
        replica.ready(LIMIT).await.unwrap();
        replica.stop(STOP).await.unwrap();
    }
    replicas.even(EVEN).await;
    assert_eq!(replicas.value("gateway_started").await, started);
    assert_eq!(replicas.value("gateway_shards").await, "8");
    let published = commands.stop().await;
    let arrived = wait::until("all commands to arrive", LIMIT, async || {
        commands::lost(&replicas.stack, published).is_empty()
    });
    arrived.await.unwrap();
    replicas.finish(load).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_dead_replica_held_is_resumed_by_the_others() {
    let mut replicas = Replicas::start(8).await;
    replicas.add();
    replicas.add();
    replicas.even(EVEN).await;
    let load = replicas.stack.start_load(150.0);
    replicas.more[1].kill9();
    replicas.even(EVEN).await;
    // Beside a frozen one, whose locks RabbitMQ frees when it misses heartbeats.
    replicas.more[0].sigstop();
    let alone = wait::until("the last one to hold all", LIMIT, async || {
        replicas.stack.ingest.shards_connected().await == Some(8)
    });
    alone.await.unwrap();
    replicas.more[0].sigcont();
    replicas.even(EVEN).await;
    replicas.finish(load).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rolling_restart_and_servers_that_fail_in_the_middle_of_moves_begin_no_session() {
    let mut replicas = Replicas::start(8).await;
    let load = replicas.stack.start_load(100.0);
    replicas.add();
    replicas.add();
    replicas.even(EVEN).await;
    for n in 0..3 {
        let replica = match n {
            0 => &mut replicas.stack.ingest,
            n => &mut replicas.more[n - 1],
        };
        replica.stop(STOP).await.unwrap();
        replica.restart().unwrap();
        replica.ready(LIMIT).await.unwrap();
    }
    replicas.even(EVEN).await;
    // What was applied before Redis loses its data is known, so that it can be said what the cache is to hold afterwards.
    replicas.pause(load).await;
    let mut losses = Losses::default();
    for (shard, events) in replicas.stack.sent() {
        let (unsure_from, empty_from) = (events.len(), events.len());
        losses.add(
            shard,
            Loss {
                unsure_from,
                empty_from,
            },
        );
    }
    // It loses them while shards move.
    replicas.more[1].stop(STOP).await.unwrap();
    replicas.stack.servers.redis.flush().await.unwrap();
    let load = replicas.stack.start_load(100.0);
    replicas.even(EVEN).await;
    // So does RabbitMQ with all locks.
    replicas.more[1].restart().unwrap();
    replicas.more[1].ready(LIMIT).await.unwrap();
    replicas.stack.servers.rabbitmq.kill();
    replicas.stack.servers.rabbitmq.restart().await.unwrap();
    replicas.even(Duration::from_secs(40)).await;
    replicas.pause(load).await;
    let report = replicas.stack.check_after(&losses, LIMIT).await.unwrap();
    let tolerated = Tolerated {
        crashes: 1,
        ..Tolerated::default()
    };
    let faults = report.faults(tolerated);
    assert_eq!(
        faults,
        Vec::<String>::new(),
        "{report}\n{}",
        replicas.logs()
    );
    assert_eq!(replicas.stack.collector.ledger().distinct_gaps(), 0);
    assert_eq!(replicas.stack.sim.identifies(), 8);
    assert_eq!(replicas.stack.sim.violations(), Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn many_shards_identify_at_discords_pace_and_are_live_again_soon() {
    let mut options = Options::new(64, 64);
    options.sim.max_concurrency = 16;
    options.sim.identify_interval = Duration::from_secs(5);
    let mut replicas = Replicas::of(options).await;
    let began = Instant::now();
    replicas.add();
    replicas.add();
    replicas.even(LIMIT).await;
    // Four rounds of 16, 5.25 s apart.
    let took = began.elapsed();
    assert!(took < Duration::from_secs(25), "{took:?}");
    eprintln!("64 shards of three replicas were live after {took:?}, at best 15.75 s");
    assert_eq!(replicas.stack.sim.identifies(), 64);
    assert_eq!(replicas.stack.sim.violations(), Vec::<String>::new());
    replicas.more[0].kill9();
    replicas.even(EVEN).await;
    assert_eq!(replicas.stack.sim.identifies(), 64);
}

/// A stack whose ingest is one of several.
struct Replicas {
    stack: Stack,
    more: Vec<Process>,
    env: BTreeMap<String, String>,
    started: usize,
}

impl Replicas {
    /// With one replica that holds all shards.
    async fn start(shards: u32) -> Self {
        let mut replicas = Self::of(Options::new(shards, 3 * shards)).await;
        replicas.stack.ready().await.unwrap();
        replicas
    }

    async fn of(options: Options) -> Self {
        let servers = Servers::start(Persistence::None).await.unwrap();
        Self::on(servers, options).await
    }

    async fn on(servers: Servers, mut options: Options) -> Self {
        for name in ["SHARDS_START", "SHARDS_END", "SHARDS_TOTAL"] {
            options.env.insert(name.into(), String::new());
        }
        // So that all of these can be run by hand with quorum queues.
        if let Ok(queues) = std::env::var("RABBIT_QUEUE_TYPE") {
            options.env.insert("RABBIT_QUEUE_TYPE".into(), queues);
        }
        let stack = Stack::start(servers, &options).await.unwrap();
        let mut env = options.connected_to(&stack.servers, &stack.sim);
        env.extend(options.env);
        Self {
            stack,
            more: Vec::new(),
            env,
            started: 1,
        }
    }

    fn add(&mut self) {
        self.add_with(&[]);
    }

    fn add_with(&mut self, env: &[(&str, &str)]) {
        let name = format!("gateway-ingest-{}", self.started);
        self.started += 1;
        let mut all = self.env.clone();
        all.extend(env.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())));
        let dir = self.stack.servers.dir();
        let replica = Process::start(Service::GatewayIngest, &name, dir, &all).unwrap();
        self.more.push(replica);
    }

    fn process(&self, service: Service, name: &str) -> Process {
        Process::start(service, name, self.stack.servers.dir(), &self.env).unwrap()
    }

    /// Waits until all shards are connected, and no running replica holds two more than another.
    async fn even(&mut self, limit: Duration) {
        let total = self.stack.shards;
        let mut held = Vec::new();
        let even = wait::until("the shards to be shared evenly", limit, async || {
            held.clear();
            for replica in self.all() {
                if replica.runs() {
                    held.push(replica.shards_connected().await.unwrap_or_default());
                }
            }
            let (least, most) = (held.iter().min().unwrap(), held.iter().max().unwrap());
            held.iter().sum::<u32>() == total && most - least <= 1
        });
        let even = even.await;
        assert!(even.is_ok(), "{even:?}: {held:?}\n{}", self.logs());
    }

    fn all(&mut self) -> impl Iterator<Item = &mut Process> {
        std::iter::once(&mut self.stack.ingest).chain(&mut self.more)
    }

    fn logs(&self) -> String {
        let replicas = std::iter::once(&self.stack.ingest).chain(&self.more);
        replicas
            .map(|replica| replica.log_tail(40))
            .collect::<Vec<_>>()
            .join("\n")
    }

    async fn value(&self, key: &str) -> String {
        let mut redis = self.stack.servers.redis.connection().await.unwrap();
        redis::AsyncCommands::get(&mut redis, key).await.unwrap()
    }

    async fn list(&self, key: &str) -> Vec<Value> {
        serde_json::from_str(&self.value(key).await).unwrap()
    }

    /// Ends the load, and waits until all of it has arrived.
    async fn pause(&mut self, load: JoinHandle<u64>) {
        self.stack.sim.stop_load();
        load.await.unwrap();
        self.stack.sim.quiet(LIMIT).await;
        let arrived = self.stack.arrived(&self.stack.sent(), LIMIT).await;
        assert!(arrived.is_ok(), "{arrived:?}\n{}", self.logs());
    }

    async fn finish(self, load: JoinHandle<u64>) {
        self.finish_after(0, load).await;
    }

    /// Ends the load, and compares everything: no session was begun but the first ones. So many writers have crashed.
    async fn finish_after(mut self, crashes: u64, load: JoinHandle<u64>) {
        self.pause(load).await;
        let report = self.stack.check(LIMIT).await.unwrap();
        let faults = report.faults(Tolerated {
            crashes,
            ..Tolerated::default()
        });
        assert_eq!(faults, Vec::<String>::new(), "{report}\n{}", self.logs());
        assert_eq!(self.stack.sim.identifies(), u64::from(self.stack.shards));
        assert_eq!(self.stack.collector.ledger().distinct_gaps(), 0);
        assert_eq!(self.stack.sim.violations(), Vec::<String>::new());
        for replica in &mut self.more {
            if replica.runs() {
                replica.stop(STOP).await.unwrap();
            }
        }
        self.stack.stop().await.unwrap();
    }
}
