//! `cargo xtask chaos`: the randomised run.

use std::process::ExitCode;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::Result;
use testbed::faults::{cases, run::run as run_case, table};
use testbed::install::Missing;
use testbed::servers::{Persistence, Servers};

use crate::progress::Step;
use crate::stop::Stop;
use crate::{build, duration, install};

/// Runs random faults against the release binaries, under load, and compares after each case.
///
/// Every case is made from a seed: `--seed N --for 0s` runs exactly the case with seed N again.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// For how long; the case that is running then is finished.
    #[arg(long = "for", value_parser = duration::parse, default_value = "10m")]
    limit: Duration,
    /// Seed of the first case; the next has the next. Left out: by the clock.
    #[arg(long)]
    seed: Option<u64>,
    /// Type of the queues that are Dispatch's own: classic or quorum.
    #[arg(long, value_parser = ["classic", "quorum"], default_value = "classic")]
    queue_type: String,
}

pub(crate) async fn run(args: Args) -> Result<ExitCode> {
    install::ensure(&[Missing::RabbitMq, Missing::Redis], false)?;
    build::release()?;
    let mut stop = Stop::new()?;
    let seed = args.seed.unwrap_or_else(seconds_now);
    println!("first seed: {seed}");
    let step = Step::begin("Starting RabbitMQ and Redis", false);
    let mut servers = Servers::start(Persistence::EveryWrite).await?;
    step.done();
    println!("{:>7} {}", "time", table::heading());
    let start = Instant::now();
    let (mut passed, mut failed) = (0, 0);
    for seed in seed.. {
        let case = cases::random(seed).with_queue_type(&args.queue_type);
        let (outcome, back) = tokio::select! {
            ended = run_case(&case, servers) => ended?,
            () = stop.requested() => break,
        };
        servers = back;
        println!(
            "{:>5} {}",
            duration::show(start.elapsed()),
            table::row(&outcome)
        );
        if outcome.passed() {
            passed += 1;
        } else {
            failed += 1;
            println!("    strikes: {}\n{}", case.name, outcome.logs);
        }
        if start.elapsed() >= args.limit {
            break;
        }
    }
    println!("{passed} passed, {failed} failed");
    Ok(if failed == 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

fn seconds_now() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |now| now.as_secs())
}
