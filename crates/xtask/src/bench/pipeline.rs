//! The runs.

use std::collections::{BTreeMap, HashMap};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use discord_sim::{Load, Sim, SimConfig};
use dispatch_service::clock::unix_micros;
use lapin::Connection;
use lapin::options::QueueDeclareOptions;
use lapin::types::{AMQPValue, FieldTable};
use testbed::binaries::Service;
use testbed::child::Child;
use testbed::process::Process;
use testbed::queue::bound_to_all;
use testbed::servers::{Persistence, Servers, rabbitmq_connection};
use testbed::stack::{STOP_LIMIT, settings};
use testbed::wait;

use super::Args;
use super::bare;
use super::consumer::{Arrival, Counter};
use super::figures::{Latency, Row};
use super::pace::Pace;
use super::report::{self, BARE, INGEST, PIPELINE, WRITER, WRITER_TENTH};
use super::usage::Watch;
use crate::progress::Step;

/// Longest time for anything to start, and for a run to come to its end.
const LIMIT: Duration = Duration::from_secs(120);
/// Events that warm everything up.
const WARM_UP: u64 = 5_000;
/// Where the events come out.
const EVENTS_QUEUE: &str = "bench.events";
/// The queues of bare hops: the first through a direct exchange, as frames go; the last through a topic exchange, as events go.
const HOPS: [&str; 2] = ["bench.hop.1", "bench.hop.2"];
/// The topic exchange.
const HOPS_EXCHANGE: &str = "bench.hops";
/// What bare messages are routed by.
const ROUTING_KEY: &str = "MESSAGE_CREATE";
/// About one in ten of the events that the simulator makes.
const TENTH: [&str; 5] = [
    "MESSAGE_UPDATE",
    "MESSAGE_DELETE",
    "GUILD_MEMBER_ADD",
    "GUILD_MEMBER_REMOVE",
    "CHANNEL_UPDATE",
];

/// Runs everything; returns a row for each.
pub(super) async fn run(args: &Args) -> Result<Vec<Row>> {
    let mut bench = Bench::start(args).await?;
    let mut rows = Vec::new();
    bench.warm_up().await?;
    for rate in &args.rates {
        rows.push(bench.latency(*rate).await?);
        rows.push(bench.bare_latency(*rate).await?);
    }
    if !args.only_rates {
        let pipeline = bench.pipeline().await?;
        rows.insert(0, bench.bare().await?);
        rows.insert(1, pipeline);
        let (ingest, targets) = bench.ingest().await?;
        rows.insert(2, ingest);
        rows.insert(3, bench.writer(WRITER, &targets).await?);
        let (_, targets) = bench.ingest().await?;
        bench.publish_a_tenth()?;
        rows.insert(4, bench.writer(WRITER_TENTH, &targets).await?);
    }
    let misordered = bench.events.misordered();
    if misordered > 0 {
        bail!("{misordered} events arrived out of order");
    }
    Ok(rows)
}

/// Everything that runs.
struct Bench<'a> {
    args: &'a Args,
    events: Counter,
    ingest: Process,
    writer: Process,
    router: Process,
    sim: Sim,
    env: BTreeMap<String, String>,
    // After what uses them.
    servers: Servers,
}

impl<'a> Bench<'a> {
    async fn start(args: &'a Args) -> Result<Self> {
        let step = Step::begin("Starting servers, simulated Discord and services", false);
        let servers = Servers::start(Persistence::None).await?;
        let sim = simulator(args).await?;
        let url = servers.rabbitmq.url();
        declare(&rabbitmq_connection(&url, "bench").await?, &args.queue_type).await?;
        let events = Counter::start(&url, EVENTS_QUEUE).await?;
        let env = environment(args, &servers, &sim);
        let start = |service: Service| Process::start(service, service.name(), servers.dir(), &env);
        let mut bench = Self {
            args,
            events,
            writer: start(Service::CacheWriter)?,
            router: start(Service::CommandRouter)?,
            ingest: start(Service::GatewayIngest)?,
            sim,
            env,
            servers,
        };
        for process in [&mut bench.writer, &mut bench.router, &mut bench.ingest] {
            process.ready(LIMIT).await?;
        }
        let sessions = args.shards as usize;
        wait::until("all shards", LIMIT, async || {
            bench.targets().len() == sessions
        })
        .await?;
        bench.events.reached(&bench.targets(), LIMIT).await?;
        step.done();
        Ok(bench)
    }

    /// Makes some events of every kind, and keeps what comes of them for the bare publisher.
    async fn warm_up(&mut self) -> Result<()> {
        self.events.sample();
        let load = Load {
            events: Some(WARM_UP),
            ..Load::default()
        };
        self.sim.generate(load).await;
        self.events.reached(&self.targets(), LIMIT).await?;
        let samples = self.events.samples();
        if samples.is_empty() {
            bail!("nothing has arrived");
        }
        bare::write_bodies(&self.servers.dir().join("bodies"), &samples)
    }

    /// At a rate, from socket to consumer.
    async fn latency(&mut self, rate: f64) -> Result<Row> {
        let step = Step::begin(&format!("The pipeline at {rate} events/s"), false);
        let mut last = self.targets().into_iter().collect::<HashMap<_, _>>();
        let mut sent: HashMap<(String, u64), u64> = HashMap::new();
        let mut pace = Pace::new(rate);
        self.events.note();
        let (watch, begun) = (self.watch(), Instant::now());
        while begun.elapsed() < Duration::from_secs(self.args.seconds()) {
            let due = pace.due().await;
            let at_us = unix_micros();
            let load = Load {
                events: Some(due),
                ..Load::default()
            };
            self.sim.generate(load).await;
            for (session, sequence) in self.targets() {
                let before = last.insert(session.clone(), sequence).unwrap_or_default();
                sent.extend((before + 1..=sequence).map(|one| ((session.clone(), one), at_us)));
            }
        }
        let took = begun.elapsed();
        self.events.reached(&self.targets(), LIMIT).await?;
        let usages = watch.end();
        let micros = self.events.noted().into_iter().filter_map(|arrival| {
            let Arrival {
                session,
                sequence,
                at_us,
                ..
            } = arrival;
            Some(at_us.saturating_sub(*sent.get(&(session, sequence))?))
        });
        let mut row = Row::new(&report::latency(rate), sent.len() as u64, took, usages);
        row.latency = Latency::of(micros.collect());
        step.done();
        Ok(row)
    }

    /// At a rate, from a publisher through a relay to a consumer.
    async fn bare_latency(&self, rate: f64) -> Result<Row> {
        let step = Step::begin(&format!("Two bare hops at {rate} events/s"), false);
        let url = self.servers.rabbitmq.url();
        let consumer = Counter::start(&url, HOPS[1]).await?;
        let route = [&url, HOPS[0], HOPS_EXCHANGE, ROUTING_KEY];
        let relay = bare::start("bench-relay", &route, self.servers.dir())?;
        let events = (rate * self.args.seconds() as f64) as u64;
        consumer.note();
        let publisher = self.publisher(("", HOPS[0]), events, rate)?;
        let begun = consumer.more_than(0, LIMIT).await?;
        let watch = Watch::begin(&[
            (report::PUBLISHER, publisher.id()),
            (report::RELAY, relay.id()),
            (report::RABBITMQ, self.rabbitmq()?),
            (report::BENCH, std::process::id()),
        ]);
        consumer
            .reached(&[(bare::SESSION.to_owned(), events)], LIMIT)
            .await?;
        let mut row = Row::new(
            &report::bare_latency(rate),
            events,
            begun.elapsed(),
            watch.end(),
        );
        let micros = consumer.noted().into_iter();
        let micros = micros.filter_map(|it| Some(it.at_us.saturating_sub(it.sent_us?)));
        row.latency = Latency::of(micros.collect());
        step.done();
        Ok(row)
    }

    /// From a publisher to a consumer, as fast as it goes.
    async fn bare(&self) -> Result<Row> {
        let step = Step::begin("A bare hop at full speed", false);
        let consumer = Counter::start(&self.servers.rabbitmq.url(), HOPS[1]).await?;
        let events = self.args.events();
        let publisher = self.publisher((HOPS_EXCHANGE, ROUTING_KEY), events, 0.0)?;
        let begun = consumer.more_than(0, LIMIT).await?;
        let watch = Watch::begin(&[
            (report::PUBLISHER, publisher.id()),
            (report::RABBITMQ, self.rabbitmq()?),
            (report::BENCH, std::process::id()),
        ]);
        consumer
            .reached(&[(bare::SESSION.to_owned(), events)], LIMIT)
            .await?;
        let row = Row::new(BARE, events, begun.elapsed(), watch.end());
        step.done();
        Ok(row)
    }

    /// All services, as fast as they read.
    async fn pipeline(&mut self) -> Result<Row> {
        let step = Step::begin("The pipeline at full speed", false);
        let targets = self.fill_sockets().await?;
        let before = self.events.messages();
        self.ingest.restart()?;
        let begun = self.events.more_than(before, LIMIT).await?;
        let watch = self.watch();
        self.events.reached(&targets, LIMIT).await?;
        let row = Row::new(PIPELINE, self.args.events(), begun.elapsed(), watch.end());
        step.done();
        Ok(row)
    }

    /// Ingest alone, into the raw queues, which then are full; also where each session ends.
    async fn ingest(&mut self) -> Result<(Row, Vec<(String, u64)>)> {
        let step = Step::begin("Ingest alone at full speed", false);
        self.writer.stop(STOP_LIMIT).await?;
        let targets = self.fill_sockets().await?;
        let delivered = |sim: &Sim| sim.sessions().iter().map(|s| s.delivered).sum::<u64>();
        let before = delivered(&self.sim);
        self.ingest.restart()?;
        let deadline = Instant::now() + LIMIT;
        while delivered(&self.sim) == before {
            if Instant::now() > deadline {
                bail!("ingest does not read\n{}", self.ingest.log_tail(20));
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        let (watch, begun) = (self.watch(), Instant::now());
        let events = self.args.events();
        wait::until("all events to be confirmed", LIMIT, async || {
            self.sim.quiet(LIMIT).await
                && self.ingest.metrics().await.is_ok_and(|metrics| {
                    metrics.sum("ingest_frame_events_sum") >= Some(events as f64)
                })
        })
        .await?;
        let row = Row::new(INGEST, events, begun.elapsed(), watch.end());
        step.done();
        Ok((row, targets))
    }

    /// The writer alone, from full raw queues.
    async fn writer(&mut self, name: &str, targets: &[(String, u64)]) -> Result<Row> {
        let step = Step::begin(&format!("The {name}"), false);
        self.ingest.stop(STOP_LIMIT).await?;
        let before = self.events.messages();
        self.writer.restart()?;
        let begun = self.events.more_than(before, LIMIT).await?;
        let watch = self.watch();
        self.events.reached(targets, LIMIT).await?;
        let row = Row::new(name, self.args.events(), begun.elapsed(), watch.end());
        step.done();
        Ok(row)
    }

    /// Leaves most events out of what is published.
    fn publish_a_tenth(&mut self) -> Result<()> {
        self.env.insert("EVENTS".to_owned(), TENTH.join(","));
        let (service, dir) = (Service::CacheWriter, self.servers.dir());
        self.writer = Process::start(service, "cache-writer-tenth", dir, &self.env)?;
        // Started again by the run.
        self.writer.kill9();
        Ok(())
    }

    /// Ends ingest, and makes events: they are read as soon as it has resumed its sessions. The last one of each session is of a
    /// kind that is published in every run. Returns where each session ends.
    async fn fill_sockets(&mut self) -> Result<Vec<(String, u64)>> {
        if self.ingest.runs() {
            self.ingest.stop(STOP_LIMIT).await?;
        }
        let load = Load {
            events: Some(self.args.events()),
            // No reader is waited for.
            rate: Some(f64::MAX),
            ..Load::default()
        };
        self.sim.generate(load).await;
        for shard in 0..self.args.shards {
            // Of a message that nobody knows: nothing changes.
            self.sim
                .inject(shard, TENTH[0], r#"{"id":"1","channel_id":"1"}"#);
        }
        Ok(self.targets())
    }

    fn publisher(&self, to: (&str, &str), events: u64, rate: f64) -> Result<Child> {
        let dir = self.servers.dir();
        let (bodies, url) = (dir.join("bodies"), self.servers.rabbitmq.url());
        let (events, rate) = (events.to_string(), rate.to_string());
        let bodies = bodies.to_str().context("the folder's name is no text")?;
        bare::start(
            "bench-publish",
            &[&url, to.0, to.1, bodies, &events, &rate],
            dir,
        )
    }

    /// Each session's last sequence so far.
    fn targets(&self) -> Vec<(String, u64)> {
        let sessions = self.sim.sessions().into_iter();
        sessions.map(|it| (it.id, it.sequence)).collect()
    }

    fn watch(&self) -> Watch {
        let processes = [
            ("ingest", self.ingest.id()),
            ("writer", self.writer.id()),
            ("router", self.router.id()),
            (report::RABBITMQ, self.servers.rabbitmq.id()),
            (report::REDIS, self.servers.redis.id()),
            (report::BENCH, Some(std::process::id())),
        ];
        let running = processes
            .into_iter()
            .filter_map(|(name, id)| Some((name, id?)));
        Watch::begin(&running.collect::<Vec<_>>())
    }

    fn rabbitmq(&self) -> Result<u32> {
        self.servers.rabbitmq.id().context("rabbitmq has ended")
    }
}

/// A Discord that lets everybody identify at once, keeps what a client has yet to read, and computes no truth.
pub(super) async fn simulator(args: &Args) -> Result<Sim> {
    let mut config = SimConfig::default();
    config.world.guilds = args.guilds;
    config.world.seed = args.seed;
    config.max_concurrency = args.shards;
    config.recommended_shards = args.shards;
    config.session_start_limit = args.shards * 10;
    config.identify_interval = Duration::from_millis(100);
    // All of a run may be made for one shard before any of it is read.
    config.replay_limit = usize::try_from(args.events())? + 1_000;
    config.session_lifetime = Duration::from_secs(3_600);
    config.keep_payloads = false;
    config.keep_truth = false;
    Sim::start(config)
        .await
        .context("can't start the simulator")
}

/// As deployed by default, but for a queue that nobody reads.
pub(super) fn environment(args: &Args, servers: &Servers, sim: &Sim) -> BTreeMap<String, String> {
    let mut env = settings::links(&servers.rabbitmq.url(), &servers.redis.url());
    env.extend(settings::discord(
        "sim-token",
        &sim.http_url(),
        &sim.gateway_url(),
    ));
    env.extend(settings::shards(args.shards));
    let own = [
        ("INTENTS", settings::ALL_INTENTS.to_string()),
        ("DEFAULT_QUEUE", "false".to_owned()),
        ("RABBIT_QUEUE_TYPE", args.queue_type.clone()),
    ];
    env.extend(own.map(|(name, value)| (name.to_owned(), value)));
    env
}

async fn declare(connection: &Connection, queue_type: &str) -> Result<()> {
    let channel = connection.create_channel().await?;
    let mut kind = FieldTable::default();
    kind.insert(
        "x-queue-type".into(),
        AMQPValue::LongString(queue_type.into()),
    );
    let events = dispatch_proto::rabbit::EVENTS_EXCHANGE;
    for (queue, exchange) in [(EVENTS_QUEUE, events), (HOPS[1], HOPS_EXCHANGE)] {
        bound_to_all(&channel, queue, kind.clone(), exchange).await?;
    }
    let durable = QueueDeclareOptions::durable();
    channel.queue_declare(HOPS[0].into(), durable, kind).await?;
    Ok(())
}
