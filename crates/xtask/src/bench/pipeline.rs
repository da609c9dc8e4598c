//! The runs.

use std::collections::{BTreeMap, HashMap};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use discord_sim::{Load, Mix, Sim};
use dispatch_service::clock::unix_micros;
use lapin::Connection;
use lapin::options::QueueDeclareOptions;
use lapin::types::{AMQPValue, FieldTable};
use testbed::binaries::Service;
use testbed::child::Child;
use testbed::process::Process;
use testbed::queue::bound_to_all;
use testbed::servers::{Persistence, Servers, rabbitmq_connection};
use testbed::stack::STOP_LIMIT;
use testbed::wait;

use super::bare;
use super::consumer::{Arrival, Counter};
use super::figures::{Latency, Row};
use super::pace::Pace;
use super::report::{self, BARE, INGEST, PIPELINE, WRITER, WRITER_TENTH};
use super::usage::Watch;
use super::{Args, Run, discord, stored};
use crate::progress::Step;

/// Longest time for anything to start, and for a run to come to its end.
const LIMIT: Duration = Duration::from_secs(120);
/// Events that warm everything up.
const WARM_UP: u64 = 5_000;
/// Where the events come out.
pub(super) const EVENTS_QUEUE: &str = "bench.events";
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

/// Runs at full speed and at rates; returns a row for each.
pub(super) async fn run(args: &Args) -> Result<Vec<Row>> {
    let (mut bench, _) = Bench::start(args, args.guilds).await?;
    let mut rows = Vec::new();
    bench.warm_up().await?;
    if args.runs(Run::Rates) {
        for rate in &args.rates {
            rows.push(bench.latency(*rate).await?);
            rows.push(bench.bare_latency(*rate).await?);
        }
    }
    if args.runs(Run::Speed) {
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
pub(super) struct Bench<'a> {
    pub(super) args: &'a Args,
    pub(super) events: Counter,
    pub(super) ingest: Process,
    pub(super) writer: Process,
    router: Process,
    pub(super) sim: Sim,
    env: BTreeMap<String, String>,
    /// Memory that Redis took before anything was in it, in bytes.
    pub(super) empty_redis: u64,
    // After what uses them.
    pub(super) servers: Servers,
}

impl<'a> Bench<'a> {
    /// Starts everything; also what it takes until all shards' guilds have arrived at the consumer.
    pub(super) async fn start(args: &'a Args, guilds: u32) -> Result<(Self, Row)> {
        let step = Step::begin("Starting servers and simulated Discord", false);
        let servers = Servers::start(Persistence::None).await?;
        let empty_redis = stored::used_memory(&servers.redis).await?;
        let sim = discord::start(args, guilds, &servers).await?;
        let url = servers.rabbitmq.url();
        declare(&rabbitmq_connection(&url, "bench").await?, &args.queue_type).await?;
        let events = Counter::start(&url, EVENTS_QUEUE).await?;
        step.done();
        let step = Step::begin("Starting the services", false);
        let env = discord::environment(args, &servers, &sim);
        let start = |service: Service| Process::start(service, service.name(), servers.dir(), &env);
        let mut writer = start(Service::CacheWriter)?;
        let mut router = start(Service::CommandRouter)?;
        writer.ready(LIMIT).await?;
        router.ready(LIMIT).await?;
        let mut bench = Self {
            args,
            events,
            writer,
            router,
            ingest: start(Service::GatewayIngest)?,
            sim,
            env,
            empty_redis,
            servers,
        };
        let (watch, begun) = (bench.watch(), Instant::now());
        bench.ingest.ready(LIMIT).await?;
        let sessions = args.shards as usize;
        wait::until("all shards", LIMIT, async || {
            bench.targets().len() == sessions
        })
        .await?;
        bench.events.reached(&bench.targets(), LIMIT).await?;
        let first = u64::from(guilds) + u64::from(args.shards);
        let row = Row::new("start", first, begun.elapsed(), watch.end());
        step.done();
        Ok((bench, row))
    }

    /// Makes some events of every kind, and keeps what comes of them for the bare publisher.
    pub(super) async fn warm_up(&mut self) -> Result<()> {
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
        let mut sent: HashMap<(String, u64), u64> = HashMap::new();
        let (mut pace, mix) = (Pace::new(rate), Mix::realistic());
        self.events.note();
        let (watch, begun) = (self.watch(), Instant::now());
        while begun.elapsed() < Duration::from_secs(self.args.seconds()) {
            let due = pace.due().await as usize;
            let at_us = unix_micros();
            let made = self.sim.make(due, &mix).into_iter();
            sent.extend(made.map(|(session, sequence)| ((session.to_string(), sequence), at_us)));
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
    pub(super) async fn ingest(&mut self) -> Result<(Row, Vec<(String, u64)>)> {
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
    pub(super) async fn writer(&mut self, name: &str, targets: &[(String, u64)]) -> Result<Row> {
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
        self.make_all().await;
        for shard in 0..self.args.shards {
            // Of a message that nobody knows: nothing changes.
            self.sim
                .inject(shard, TENTH[0], r#"{"id":"1","channel_id":"1"}"#);
        }
        Ok(self.targets())
    }

    /// Makes the events of a run at once: no reader is waited for.
    pub(super) async fn make_all(&self) {
        let load = Load {
            events: Some(self.args.events()),
            rate: Some(f64::MAX),
            ..Load::default()
        };
        self.sim.generate(load).await;
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
    pub(super) fn targets(&self) -> Vec<(String, u64)> {
        let sessions = self.sim.sessions().into_iter();
        sessions.map(|it| (it.id, it.sequence)).collect()
    }

    fn watch(&self) -> Watch {
        let mut processes = running([&self.ingest, &self.writer, &self.router], &self.servers);
        processes.push((report::BENCH, std::process::id()));
        Watch::begin(&processes)
    }

    fn rabbitmq(&self) -> Result<u32> {
        self.servers.rabbitmq.id().context("rabbitmq has ended")
    }
}

/// Those of the services and servers that run, by their names in a report.
pub(super) fn running(
    [ingest, writer, router]: [&Process; 3],
    servers: &Servers,
) -> Vec<(&'static str, u32)> {
    let processes = [
        ("ingest", ingest.id()),
        ("writer", writer.id()),
        ("router", router.id()),
        (report::RABBITMQ, servers.rabbitmq.id()),
        (report::REDIS, servers.redis.id()),
    ];
    let running = processes.into_iter();
    running.filter_map(|(name, id)| Some((name, id?))).collect()
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
