//! `cargo xtask up`: the whole pipeline with one command.

mod containers;
mod folder;
mod given;
mod layout;
mod rates;
mod sample;
mod screen;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use testbed::install::Missing;
use tokio::time::MissedTickBehavior;

use crate::logs::Follower;
use crate::running::Announcement;
use crate::stop::Stop;
use crate::{build, duration, install};
use folder::Folder;
use given::Given;
use layout::Pipeline;
use sample::Sampler;
use screen::Screen;

/// Starts the whole pipeline and shows it at work, until Ctrl-C.
///
/// Builds the services, starts a private RabbitMQ and Redis, a simulated Discord, and the services; all of it is
/// gone again afterwards. All settings of the services can be given in the environment or in .env. With RABBIT_URL or REDIS_URL in
/// the environment it uses those servers. With --discord it runs against Discord itself, with the token and the servers that
/// .env names; without, it leaves them alone.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Number of shards; against Discord itself the default is SHARDS_TOTAL.
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=1024))]
    shards: Option<u32>,
    /// Guilds of the simulated Discord.
    #[arg(long, default_value_t = 200)]
    guilds: u32,
    /// Events that the simulated Discord sends in a second; 0 for as many as are read.
    #[arg(long, default_value_t = 200.0)]
    rate: f64,
    /// Stop by itself after this time: 30s, 10m, 2h.
    #[arg(long = "for", value_parser = duration::parse)]
    limit: Option<Duration>,
    /// Replicas of gateway-ingest, which share the shards.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=64))]
    ingests: u32,
    /// Replicas of the command-router, of which one is active.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=64))]
    routers: u32,
    /// Replicas of the cache-writer.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=64))]
    writers: u32,
    /// Lines instead of a picture that is redrawn: for logs and CI.
    #[arg(long)]
    plain: bool,
    /// What the services log, as it comes, with a line a second as with --plain.
    #[arg(long)]
    logs: bool,
    /// Keeps the logs and the servers' data in this folder, which must be empty or new.
    #[arg(long, value_name = "DIR")]
    keep: Option<PathBuf>,
    /// Connects to Discord itself, with BOT_TOKEN. A bot of this token that runs elsewhere loses its sessions to this one.
    #[arg(long)]
    discord: bool,
    /// Optimises what is built, for rates of thousands of events in a second; the first build takes twice as long.
    #[arg(long)]
    pub(crate) release: bool,
    /// Runs RabbitMQ and Redis as containers, for who has a container engine and no servers.
    #[arg(long)]
    docker: bool,
}

pub(crate) async fn run(args: Args) -> Result<ExitCode> {
    let mut stop = Stop::new()?;
    let announcement = Announcement::claim()?;
    let given = Given::read(args.discord)?;
    if args.discord && !given.has_token() {
        bail!("--discord needs BOT_TOKEN, in the environment or in .env");
    }
    if !given.ignored.is_empty() {
        eprintln!(
            "Not used of .env, since it may be a live bot's: {}. With --discord, `up` connects to Discord by them.",
            given.ignored.join(", ")
        );
    }
    let folder = Folder::new(args.keep.as_deref())?;
    if !args.docker {
        install::ensure(&needed(&given.settings), args.plain)?;
    }
    build::services(&[])?;
    let mut pipeline = tokio::select! {
        started = Pipeline::start(&args, &given.settings, announcement, folder) => started?,
        () = stop.requested() => bail!("stopped while starting"),
    };
    let shown = show(&args, &mut pipeline, &mut stop).await;
    let stopped = tokio::select! {
        stopped = pipeline.stop(args.plain) => stopped,
        () = stop.requested() => bail!("asked to stop twice: the services were killed"),
    };
    let events = shown?;
    stopped?;
    println!("{events} events came out of RabbitMQ's exchange `gateway`.");
    if events == 0 && args.limit.is_some() {
        bail!("nothing came out");
    }
    Ok(ExitCode::SUCCESS)
}

/// Shows the picture until it is time to stop; returns how many events were published.
async fn show(args: &Args, pipeline: &mut Pipeline, stop: &mut Stop) -> Result<u64> {
    let mut sampler = Sampler::new(pipeline);
    let mut screen = Screen::new(args.plain || args.logs);
    let mut logs = args.logs.then(|| Follower::new(&pipeline.running.logs, ""));
    let start = Instant::now();
    let mut ticks = tokio::time::interval(Duration::from_secs(1));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut before = sampler.sample().await;
    loop {
        tokio::select! {
            _ = ticks.tick() => {}
            () = stop.requested() => return Ok(before.published()),
        }
        if let Some(logs) = &mut logs {
            logs.print_new()?;
        }
        pipeline.check()?;
        let now = sampler.sample().await;
        let elapsed = start.elapsed();
        screen.show(
            &pipeline.addresses(),
            &rates::Rates::between(&before, &now),
            &now,
            &pipeline.violations(),
            elapsed,
        );
        before = now;
        if args.limit.is_some_and(|limit| elapsed >= limit) {
            return Ok(before.published());
        }
    }
}

fn needed(settings: &BTreeMap<String, String>) -> Vec<Missing> {
    let servers = [
        ("RABBIT_URL", Missing::RabbitMq),
        ("REDIS_URL", Missing::Redis),
    ];
    let without = servers
        .into_iter()
        .filter(|(name, _)| !settings.contains_key(*name));
    without.map(|(_, server)| server).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_servers_without_a_url_are_needed() {
        let with = |name: &str| needed(&[(name.to_owned(), "x".to_owned())].into());
        assert_eq!(with("RABBIT_URL"), [Missing::Redis]);
        assert_eq!(with("REDIS_URL"), [Missing::RabbitMq]);
        assert_eq!(with("OTHER").len(), 2);
    }
}
