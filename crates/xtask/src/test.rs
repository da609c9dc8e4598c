//! `cargo xtask test`: the one test command.

mod programs;
mod tally;

use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use futures_util::{StreamExt as _, stream};
use testbed::faults::{self, Outcome, cases, routers, table};
use testbed::install::Missing;
use testbed::servers::{Persistence, Servers};

use crate::stop::Stop;
use crate::{build, compose, duration, install};
use programs::{Kind, Program};
use tally::Tally;

/// Seed of the fault suite: the same moments in every run.
const SEED: u64 = 1;
/// Test programs that run at once. Most start a RabbitMQ, a Redis and the services, and then wait; more would keep two cores from
/// meeting the deadlines.
const SIDE_BY_SIDE: usize = 2;
/// How many of the slowest programs and cases are listed.
const SLOWEST: usize = 10;

/// What took how long.
type Times = Vec<(Duration, String)>;

/// Runs every test: unit tests, integration tests, then the fault suite against the release binaries.
///
/// Installs what is missing of RabbitMQ, Redis, and (for clients that are not ours) Python with venv, Node and npm. After a
/// stage with failures the next is not begun. The last line is `N passed, N failed`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Leave out the fault suite.
    #[arg(long, conflicts_with = "only_faults")]
    no_faults: bool,
    /// Run nothing but the fault suite.
    #[arg(long)]
    only_faults: bool,
    /// Of the fault suite, run the cases whose name contains this.
    #[arg(long, default_value = "")]
    case: String,
    /// Of the fault suite, the type of the queues that are Dispatch's own: classic or quorum.
    #[arg(long, value_parser = ["classic", "quorum"], default_value = "classic")]
    queue_type: String,
    /// Run nothing but the Compose deployment, with the container engine that answers, or one out of Debian's packages (root only).
    #[arg(long, conflicts_with_all = ["no_faults", "only_faults"])]
    compose: bool,
    /// Run all stages, whatever fails.
    #[arg(long)]
    no_fail_fast: bool,
}

pub(crate) async fn run(args: Args) -> Result<ExitCode> {
    let needed = [
        Missing::RabbitMq,
        Missing::Redis,
        Missing::Python,
        Missing::Node,
        Missing::Npm,
        Missing::Promtool,
    ];
    // The fault suite needs the servers alone.
    let needed = if args.only_faults {
        &needed[..2]
    } else {
        &needed
    };
    if !args.compose {
        install::ensure(needed, false)?;
    }
    build::services(&["discord-sim"])?;
    let mut stop = Stop::new()?;
    if args.compose {
        compose::run(&mut stop).await?;
        return Ok(ExitCode::SUCCESS);
    }
    let tally = tokio::select! {
        tally = stages(&args) => tally?,
        () = stop.requested() => bail!("stopped"),
    };
    println!("{tally}");
    Ok(if tally.failed == 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// What fails fast comes first.
async fn stages(args: &Args) -> Result<Tally> {
    let start = Instant::now();
    let mut tally = Tally::default();
    let mut times = Times::new();
    let stopped = |tally: &Tally, left: &str| {
        let stopped = tally.failed > 0 && !args.no_fail_fast;
        if stopped {
            println!(
                "\nNot run, since tests have failed (--no-fail-fast runs them all the same): {left}"
            );
        }
        stopped
    };
    if !args.only_faults {
        let programs = programs::build().await?;
        stage("Unit tests", start);
        tally.add(run_all(&programs, Kind::Unit, &mut times).await?);
        tally.add(programs::documentation().await?);
        if stopped(&tally, "integration tests, fault suite") {
            return Ok(tally);
        }
        stage("Integration tests", start);
        tally.add(run_all(&programs, Kind::Integration, &mut times).await?);
        if stopped(&tally, "fault suite") {
            return Ok(tally);
        }
    }
    if !args.no_faults {
        stage(
            "Fault suite: strikes under load against the release binaries",
            start,
        );
        tally.add(faults(args, &mut times).await?);
    }
    show_slowest(times);
    println!("\nAll of it took {}", duration::show(start.elapsed()));
    Ok(tally)
}

fn stage(name: &str, start: Instant) {
    println!("\n== {name} (after {}) ==", duration::show(start.elapsed()));
}

/// Several programs side by side, since most of their time is waiting; what each prints is shown when it has ended.
async fn run_all(programs: &[Program], kind: Kind, times: &mut Times) -> Result<Tally> {
    let mut tally = Tally::default();
    let programs = programs.iter().filter(|program| program.kind == kind);
    let mut running = stream::iter(programs)
        .map(async |program| {
            let start = Instant::now();
            (program, program.run().await, start.elapsed())
        })
        .buffer_unordered(SIDE_BY_SIDE);
    while let Some((program, result, took)) = running.next().await {
        let (counted, output) = result?;
        println!(
            "\n{} ({:.0} s)\n{output}",
            program.name(),
            took.as_secs_f64()
        );
        tally.add(counted);
        times.push((took, program.name()));
    }
    Ok(tally)
}

/// The slowest, so that it is seen where the time goes.
fn show_slowest(mut times: Times) {
    times.sort_by_key(|(took, _)| std::cmp::Reverse(*took));
    println!("\nThe slowest:");
    for (took, name) in times.into_iter().take(SLOWEST) {
        println!("{:>6.0} s  {name}", took.as_secs_f64());
    }
}

/// A case of the fault suite.
enum Case {
    All(faults::Case),
    Routers(routers::Case),
}

impl Case {
    fn name(&self) -> &str {
        match self {
            Self::All(case) => &case.name,
            Self::Routers(case) => &case.name,
        }
    }

    async fn run(&self, servers: Servers) -> Result<(Outcome, Servers)> {
        match self {
            Self::All(case) => faults::run::run(case, servers).await,
            Self::Routers(case) => routers::run(case, servers).await,
        }
    }
}

async fn faults(args: &Args, times: &mut Times) -> Result<Tally> {
    println!("{}", table::heading());
    let mut tally = Tally::default();
    let mut running = None;
    let of_all = cases::suite(SEED).into_iter();
    let of_all = of_all.map(|case| Case::All(case.with_queue_type(&args.queue_type)));
    let of_routers = routers::suite(SEED, &args.queue_type).into_iter();
    let suite = of_all.chain(of_routers.map(Case::Routers));
    for case in suite.filter(|case| case.name().contains(&args.case)) {
        let servers = match running.take() {
            Some(servers) => servers,
            None => Servers::start(Persistence::EveryWrite).await?,
        };
        let start = Instant::now();
        match case.run(servers).await {
            Ok((outcome, servers)) => {
                running = Some(servers);
                println!("{}", table::row(&outcome));
                tally.count(outcome.passed());
                if !outcome.passed() {
                    println!("{}", outcome.logs);
                }
            }
            // Its servers are gone with it; the next case gets new ones.
            Err(error) => {
                println!("{}: {error:#}", case.name());
                tally.count(false);
            }
        }
        times.push((start.elapsed(), case.name().to_owned()));
    }
    if tally == Tally::default() {
        bail!("no case of the fault suite has `{}` in its name", args.case);
    }
    Ok(tally)
}
