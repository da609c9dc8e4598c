//! `cargo xtask bench`: how fast, at what cost, and how late, beside the least that RabbitMQ takes.

mod bare;
mod cache;
mod compare;
mod consumer;
mod discord;
mod figures;
mod idle;
mod outage;
mod pace;
mod pipeline;
mod report;
mod stored;
mod usage;

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use testbed::install::Missing;

use crate::stop::Stop;
use crate::{build, install};
use report::{Machine, Report};

pub(crate) use bare::{PublishArgs, RelayArgs, publish, relay};

/// Measures the release binaries on private servers, beside a bare publisher and consumer of the same bytes.
///
/// The simulated Discord makes its events before they are measured and then sends them as fast as they are read, so that it takes
/// no more of the machine than a socket does; at a rate it makes them as they are due. Latency is counted from the moment before an
/// event is made to its arrival at a consumer. Everything is over within some minutes.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Events of each run at full speed.
    #[arg(long, default_value_t = 100_000)]
    events: u64,
    /// A quarter of the events and of the seconds: for a first look.
    #[arg(long)]
    quick: bool,
    /// Rates (events in a second, over all shards) at which the latency is measured.
    #[arg(long, value_delimiter = ',', default_values_t = [200.0, 2000.0, 5000.0])]
    rates: Vec<f64>,
    /// Seconds of each rate.
    #[arg(long, default_value_t = 12)]
    seconds: u64,
    /// What to measure.
    #[arg(long, value_enum, value_delimiter = ',', default_values_t = [Run::Speed, Run::Rates])]
    only: Vec<Run>,
    /// Shards, all in one gateway-ingest.
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u32).range(1..=16_384))]
    shards: u32,
    /// Guilds of the simulated Discord.
    #[arg(long, default_value_t = 200)]
    guilds: u32,
    /// Members of each guild.
    #[arg(long, default_value_t = 50)]
    members: u32,
    /// Numbers of guilds that `cache` fills a cache with.
    #[arg(long, value_delimiter = ',', default_values_t = [100, 1_000, 10_000])]
    cached: Vec<u32>,
    /// Type of the queues, the consumer's too: classic or quorum.
    #[arg(long, value_parser = ["classic", "quorum"], default_value = "classic")]
    queue_type: String,
    /// Discord speaks TLS, by an authority of its own.
    #[arg(long)]
    tls: bool,
    /// Seed of the simulated Discord: the same seed makes the same events.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Writes the figures to this file.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Shows the figures as ratios to those of this file.
    #[arg(long, value_name = "FILE")]
    compare: Option<PathBuf>,
}

/// What is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Run {
    /// Full speed: a bare hop, the pipeline, ingest alone, the writer alone.
    Speed,
    /// Latency at rates.
    Rates,
    /// Shards that start and then idle: memory, CPU, heartbeats on time.
    Idle,
    /// A cold start into an empty Redis, then the writer alone, for each size of the cache; what Redis takes for it.
    Cache,
    /// Memory of ingest at full speed while RabbitMQ is frozen, and while it is down.
    Outage,
}

const MIB: f64 = 1_048_576.0;

impl Args {
    fn runs(&self, run: Run) -> bool {
        self.only.contains(&run)
    }

    fn events(&self) -> u64 {
        if self.quick {
            self.events / 4
        } else {
            self.events
        }
        .max(1_000)
    }

    fn seconds(&self) -> u64 {
        if self.quick {
            self.seconds / 4
        } else {
            self.seconds
        }
        .max(1)
    }
}

pub(crate) async fn run(args: Args) -> Result<ExitCode> {
    let earlier = args.compare.as_deref().map(Report::read).transpose()?;
    install::ensure(&[Missing::RabbitMq, Missing::Redis], false)?;
    build::services(&[])?;
    let mut stop = Stop::new()?;
    let measured = async {
        let mut rows = Vec::new();
        if args.runs(Run::Speed) || args.runs(Run::Rates) {
            rows.extend(pipeline::run(&args).await?);
        }
        if args.runs(Run::Idle) {
            rows.extend(idle::run(&args).await?);
        }
        if args.runs(Run::Cache) {
            rows.extend(cache::run(&args).await?);
        }
        if args.runs(Run::Outage) {
            rows.extend(outage::run(&args).await?);
        }
        anyhow::Ok(rows)
    };
    let rows = tokio::select! {
        rows = measured => rows?,
        () = stop.requested() => bail!("stopped"),
    };
    let report = Report {
        machine: Machine::this(),
        seed: args.seed,
        shards: args.shards,
        guilds: args.guilds,
        queue_type: args.queue_type.clone(),
        rows,
    };
    println!("{report}");
    if let Some(earlier) = &earlier {
        println!("{}", compare::Ratios::of(&report, earlier));
    }
    if let Some(path) = &args.json {
        report
            .write(path)
            .with_context(|| format!("can't write {}", path.display()))?;
    }
    Ok(ExitCode::SUCCESS)
}
