//! RabbitMQ away, while Discord sends as fast as it is read.

use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use testbed::wait;

use super::figures::Row;
use super::pipeline::{Bench, EVENTS_QUEUE};
use super::usage::{Watch, rss};
use super::{Args, MIB};
use crate::progress::Step;

/// Longest time for ingest to have read what it has room for, and for everything to arrive afterwards.
const LIMIT: Duration = Duration::from_secs(120);
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
    bench.make_all().await;
    let metric = async |bench: &Bench<'_>, name: &str| {
        let metrics = bench.ingest.metrics().await.ok()?;
        metrics.sum(name)
    };
    wait::until("ingest's buffer to be full", LIMIT, async || {
        metric(bench, "ingest_full_shards").await > Some(0.0)
    })
    .await?;
    tokio::time::sleep(FULL).await;
    let held = metric(bench, "ingest_buffer_bytes").await;
    let full = metric(bench, "ingest_full_shards").await;
    if !bench.ingest.runs() {
        bail!("ingest has ended\n{}", bench.ingest.log_tail(20));
    }
    let usages = watch.end();
    let peak = usages.get("ingest").map_or(0, |usage| usage.peak_rss);
    let mut row = Row::new(name, bench.args.events(), begun.elapsed(), usages);
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

/// Until everything has arrived.
async fn recover(bench: &mut Bench<'_>) -> Result<()> {
    let step = Step::begin("RabbitMQ is back", false);
    let url = bench.servers.rabbitmq.url();
    bench.events.reconnect(&url, EVENTS_QUEUE).await?;
    bench.events.reached(&bench.targets(), LIMIT).await?;
    step.done();
    Ok(())
}
