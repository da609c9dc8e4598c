//! Shards that idle.

use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use testbed::binaries::Service;
use testbed::process::Process;
use testbed::servers::{Persistence, Servers};
use testbed::wait;

use super::figures::Row;
use super::pipeline::running;
use super::usage::Watch;
use super::{Args, MIB, discord};
use crate::progress::Step;

/// Longest time for all shards to be connected.
const LIMIT: Duration = Duration::from_secs(180);

/// The whole start, then some time without an event. The CPU time is for each second, not for an event.
pub(super) async fn run(args: &Args) -> Result<Vec<Row>> {
    let servers = Servers::start(Persistence::None).await?;
    let sim = discord::start(args, args.guilds, &servers).await?;
    let env = discord::environment(args, &servers, &sim);
    let start = |service: Service| Process::start(service, service.name(), servers.dir(), &env);
    let writer = start(Service::CacheWriter)?;
    let router = start(Service::CommandRouter)?;
    let step = Step::begin("Starting the shards", false);
    let begun = Instant::now();
    let mut ingest = start(Service::GatewayIngest)?;
    let processes = |ingest: &Process| Watch::begin(&running([ingest, &writer, &router], &servers));
    let watch = processes(&ingest);
    let all = args.shards as usize;
    wait::until("all shards", LIMIT, async || sim.sessions().len() == all).await?;
    if !sim.quiet(LIMIT).await {
        bail!("the shards don't read\n{}", ingest.log_tail(20));
    }
    let started = Row::new(
        &format!("{all} shards start"),
        u64::from(args.shards),
        begun.elapsed(),
        watch.end(),
    );
    step.done();
    let step = Step::begin("Until the writer has caught up", false);
    wait::until("empty raw queues", LIMIT, async || {
        let metrics = writer.metrics().await;
        metrics.is_ok_and(|metrics| metrics.sum("writer_queue_lag") == Some(0.0))
    })
    .await?;
    step.done();
    let step = Step::begin("Idling", false);
    let watch = processes(&ingest);
    let seconds = args.seconds();
    tokio::time::sleep(Duration::from_secs(seconds)).await;
    let counts = sim.counts();
    let mut idle = Row::new(
        &format!("{all} shards idle (CPU: µs a second)"),
        seconds,
        Duration::from_secs(seconds),
        watch.end(),
    );
    let memory = idle.processes.get("ingest").map_or(0, |cost| cost.peak_rss);
    let each = memory as f64 / MIB / f64::from(args.shards);
    idle.add("ingest's memory a shard", each, "MiB");
    idle.add_shares();
    idle.add("heartbeats since the start", counts.heartbeats as f64, "");
    let late = counts.late_heartbeats as f64;
    idle.add("of them more than 1 s late", late, "");
    step.done();
    if !ingest.runs() || sim.connections() != all {
        bail!("{} of {all} shards are connected", sim.connections());
    }
    Ok(vec![started, idle])
}
