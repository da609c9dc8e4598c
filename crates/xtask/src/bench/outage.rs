//! RabbitMQ away, while Discord sends as fast as it is read.

use std::time::{Duration, Instant};

use anyhow::{Result, bail};

use super::figures::Row;
use super::pipeline::{Bench, EVENTS_QUEUE};
use super::usage::{Watch, rss};
use super::{Args, MIB};
use crate::progress::Step;

/// Longest time for ingest to have read what it has room for, and for everything to arrive afterwards.
const LIMIT: Duration = Duration::from_secs(120);
/// How long ingest is left to read what was made before its buffer is looked at again.
const LOOK: Duration = Duration::from_millis(100);
/// How long ingest is watched once it has no room.
const FULL: Duration = Duration::from_secs(5);

/// RabbitMQ that is silent, and RabbitMQ that is gone.
pub(super) async fn run(args: &Args) -> Result<Vec<Row>> {
    let (mut bench, _) = Bench::start(args, args.guilds).await?;
    bench.warm_up().await?;
    bench.servers.rabbitmq.freeze();
    let silent = outage(&mut bench, "RabbitMQ is frozen").await?;
    bench.servers.rabbitmq.wake();
    recover(&mut bench).await?;
    bench.servers.rabbitmq.kill();
    let gone = outage(&mut bench, "RabbitMQ is down").await?;
    bench.servers.rabbitmq.restart().await?;
    recover(&mut bench).await?;
    Ok(vec![silent, gone])
}

/// Until ingest has stopped reading, and a while longer.
async fn outage(bench: &mut Bench<'_>, name: &str) -> Result<Row> {
    let step = Step::begin(name, false);
    let before = rss(bench.ingest.id());
    let watch = Watch::begin(&[("ingest", bench.ingest.id().unwrap_or_default())]);
    let begun = Instant::now();
    let events = fill(bench).await?;
    tokio::time::sleep(FULL).await;
    let held = metric(bench, "ingest_buffer_bytes").await;
    let full = metric(bench, "ingest_full_shards").await;
    if !bench.ingest.runs() {
        bail!("ingest has ended\n{}", bench.ingest.log_tail(20));
    }
    let usages = watch.end();
    let peak = usages.get("ingest").map_or(0, |usage| usage.peak_rss);
    let mut row = Row::new(name, events, begun.elapsed(), usages);
    row.add("ingest's memory before", before as f64 / MIB, "MiB");
    row.add("at the peak", peak as f64 / MIB, "MiB");
    row.add("events held", held.unwrap_or_default() / MIB, "MiB");
    row.add(
        "shards that have stopped reading",
        full.unwrap_or_default(),
        "",
    );
    step.done();
    Ok(row)
}

/// Makes events until ingest has no room for more, however few are made at a time; how many that were.
async fn fill(bench: &Bench<'_>) -> Result<u64> {
    let (begun, mut made) = (Instant::now(), 0);
    while metric(bench, "ingest_full_shards")
        .await
        .unwrap_or_default()
        == 0.0
    {
        if begun.elapsed() > LIMIT {
            bail!(
                "ingest's buffer is not full with {made} events\n{}",
                bench.ingest.log_tail(20)
            );
        }
        if bench.sim.quiet(LOOK).await {
            bench.make_all().await;
            made += bench.args.events();
        }
    }
    Ok(made)
}

async fn metric(bench: &Bench<'_>, name: &str) -> Option<f64> {
    bench.ingest.metrics().await.ok()?.sum(name)
}

/// Until everything has arrived.
async fn recover(bench: &mut Bench<'_>) -> Result<()> {
    let step = Step::begin("RabbitMQ is back", false);
    let url = bench.servers.rabbitmq.url();
    bench.events.reconnect(&url, EVENTS_QUEUE).await?;
    bench.events.reached(&bench.targets(), LIMIT).await?;
    step.done();
    Ok(())
}
