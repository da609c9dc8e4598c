//! `cargo xtask bench`: how fast, at what cost, and how late, beside the least that RabbitMQ takes.

mod bare;
mod compare;
mod consumer;
mod figures;
mod idle;
mod pace;
mod pipeline;
mod report;
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
    /// Only the latencies: neither the bare hop nor anything else at full speed.
    #[arg(long)]
    only_rates: bool,
    /// Nothing but shards that idle: memory and CPU, and heartbeats on time.
    #[arg(long)]
    idle: bool,
    /// Shards, all in one gateway-ingest.
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u32).range(1..=16_384))]
    shards: u32,
    /// Guilds of the simulated Discord.
    #[arg(long, default_value_t = 200)]
    guilds: u32,
    /// Type of the queues, the consumer's too: classic or quorum.
    #[arg(long, value_parser = ["classic", "quorum"], default_value = "classic")]
    queue_type: String,
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

impl Args {
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
    build::release(&[])?;
    let mut stop = Stop::new()?;
    let measured = async {
        match args.idle {
            true => idle::run(&args).await,
            false => pipeline::run(&args).await,
        }
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
