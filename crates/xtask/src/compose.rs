//! `cargo xtask test --compose`: what `docker-compose.yml` brings up, on a real engine.
//!
//! The final stages of the Dockerfile are built over the release binaries that are there; its build stage takes as long as a first build and is
//! for a run by hand.

mod engine;
mod project;
mod simulator;

use std::time::{Duration, Instant};

use anyhow::{Result, anyhow, ensure};
use testbed::collector::Collector;
use testbed::collector::check::{self, Expected, Report, Tolerated};
use testbed::servers::redis_connection;
use testbed::wait;

use engine::Engine;
use project::Project;
use simulator::{Sent, Simulator};

use crate::duration;
use crate::stop::Stop;

/// Longest time for what was sent to arrive.
const ARRIVAL: Duration = Duration::from_secs(60);
/// Events that must come through between two steps, so that each of them meets a load.
const PASSING: u64 = 400;
/// The services, which must end with code 0.
const SERVICES: [&str; 3] = ["gateway-ingest", "cache-writer", "command-router"];
/// What is killed under load, one after another.
const KILLED: [&str; 4] = [
    "gateway-ingest",
    "cache-writer",
    "rabbitmq",
    "command-router",
];
/// Replicas of the cache-writer.
const WRITERS: usize = 3;
/// Shards of the bot.
const SHARDS: u32 = 4;
/// Events that the simulator sends in a second.
const RATE: u32 = 200;

/// Runs the whole of it; what it has started is gone at its end, also where it fails or is stopped.
pub(crate) async fn run(stop: &mut Stop) -> Result<()> {
    let start = Instant::now();
    let engine = Engine::find_or_start().await?;
    let result = on(&engine, stop).await;
    // Whatever has failed: an engine of our own does not stay.
    let stopped = engine.stop().await;
    result?;
    stopped?;
    println!("\nAll of it took {}", duration::show(start.elapsed()));
    Ok(())
}

async fn on(engine: &Engine, stop: &mut Stop) -> Result<()> {
    let mut project = Project::new(engine)?;
    let result = tokio::select! {
        result = deployment(&mut project) => result,
        () = stop.requested() => Err(anyhow!("stopped")),
    };
    if result.is_err() {
        println!("{}", project.logs().await);
    }
    let down = project.down().await;
    result?;
    down
}

async fn deployment(project: &mut Project<'_>) -> Result<()> {
    project.build().await?;
    // The collector has its queue before anything is published.
    let first = ["rabbitmq", "redis", "discord-sim"];
    project.up("Servers and simulator", &first).await?;
    let collector = Collector::start(&project.rabbit_url()).await?;
    let simulator = Simulator::at(project.simulator_port);
    project.up("All of it", &[]).await?;
    passing(&collector).await?;

    project.scale(WRITERS).await?;
    let writers = project.containers("cache-writer").await?.len();
    ensure!(writers == WRITERS, "{writers} cache-writers run");
    passing(&collector).await?;

    for service in KILLED {
        project.kill(service).await?;
        project.recover().await?;
        passing(&collector).await?;
    }
    simulator.stop_load().await?;
    let mut sent = simulator.sent().await?;
    arrived(&collector, &sent).await?;
    let mut redis = redis_connection(&project.redis_url()).await?;
    let truth = simulator.truth().await?;
    accept(&collector.check(&sent, &truth, &mut redis).await?)?;

    project.stop(&SERVICES).await?;
    project.up("Up after a stop", &[]).await?;
    passing(&collector).await?;
    simulator.stop_load().await?;
    // A simulator that has started again knows nothing of what the cache holds.
    for (shard, events) in simulator.sent().await? {
        let unsure = events.into_iter().map(|event| Expected {
            old_unsure: true,
            ..event
        });
        sent.entry(shard).or_default().extend(unsure);
    }
    arrived(&collector, &sent).await?;
    accept(&check::compare(&collector.ledger(), &sent))?;

    simulator.start_load(RATE).await?;
    passing(&collector).await?;
    project.stop(&SERVICES).await
}

/// Waits until more events have come through.
async fn passing(collector: &Collector) -> Result<()> {
    let before = collector.ledger().events();
    let more = async || collector.ledger().events() >= before + PASSING;
    let waited = wait::until("events at the consumer", ARRIVAL, more).await?;
    println!(
        "{PASSING} events at the consumer in {:.1} s",
        waited.as_secs_f64()
    );
    Ok(())
}

/// Waits until all that could arrive has.
async fn arrived(collector: &Collector, sent: &Sent) -> Result<()> {
    let deliverable = || sent.values().flatten().filter(|event| event.deliverable);
    let all = async || {
        let ledger = collector.ledger();
        deliverable().all(|event| ledger.arrival(&event.session, event.seq).is_some())
    };
    // What is missing after that is in the report.
    let _ = wait::until("all events", ARRIVAL, all).await;
    Ok(())
}

/// Nothing lost, misordered, altered, wrong; repeats only of what was in flight at a crash.
fn accept(report: &Report) -> Result<()> {
    // A kill of RabbitMQ is one for each writer.
    let crashes = (KILLED.len() + WRITERS) as u64;
    let tolerated = Tolerated {
        crashes,
        ..Tolerated::default()
    };
    println!("{}", report.summary(tolerated));
    let faults = report.faults(tolerated);
    ensure!(faults.is_empty(), "{}", faults.join(", "));
    Ok(())
}
