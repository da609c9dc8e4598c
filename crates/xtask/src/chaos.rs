//! `cargo xtask chaos`: the randomised run.

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use dispatch_service::clock::unix_time;
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
    /// Folder for the table (`chaos.txt`), and the end of the logs of each case that failed (`<seed>.log`).
    #[arg(long, value_name = "DIR", default_value = "target/chaos")]
    out: PathBuf,
}

pub(crate) async fn run(args: Args) -> Result<ExitCode> {
    install::ensure(&[Missing::RabbitMq, Missing::Redis], false)?;
    build::services(&[])?;
    let mut stop = Stop::new()?;
    let seed = args.seed.unwrap_or_else(|| unix_time().as_secs());
    let step = Step::begin("Starting RabbitMQ and Redis", false);
    let mut servers = Servers::start(Persistence::EveryWrite).await?;
    step.done();
    let mut record = Record::new(&args.out)?;
    record.line(&format!("first seed {seed}, {} queues", args.queue_type))?;
    record.line(&format!("{:>7} {}", "time", table::heading()))?;
    let mut recoveries = Vec::new();
    let start = Instant::now();
    let (mut passed, mut failed) = (0, 0);
    for seed in seed.. {
        let case = cases::random(seed).with_queue_type(&args.queue_type);
        let (outcome, back) = tokio::select! {
            ended = run_case(&case, servers) => ended?,
            () = stop.requested() => break,
        };
        servers = back;
        let time = duration::show(start.elapsed());
        record.line(&format!("{time:>5} {}", table::row(&outcome)))?;
        recoveries.push(outcome.recovery);
        if outcome.passed() {
            passed += 1;
        } else {
            failed += 1;
            record.line(&format!("    strikes: {}", case.name))?;
            record.logs(seed, &outcome.logs)?;
        }
        if start.elapsed() >= args.limit {
            break;
        }
    }
    recoveries.sort_unstable();
    record.line(&format!(
        "{passed} passed, {failed} failed; recovery p50 {:.1} s, p99 {:.1} s",
        quantile(&recoveries, 0.5).as_secs_f64(),
        quantile(&recoveries, 0.99).as_secs_f64(),
    ))?;
    println!("Written to {}", args.out.display());
    Ok(if failed == 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// What is printed is written too: a run of hours is looked at when its terminal has gone.
struct Record {
    dir: PathBuf,
    table: File,
}

impl Record {
    fn new(dir: &Path) -> Result<Self> {
        let path = dir.join("chaos.txt");
        let table = fs::create_dir_all(dir).and_then(|()| File::create(&path));
        Ok(Self {
            dir: dir.to_owned(),
            table: table.with_context(|| format!("can't write {}", path.display()))?,
        })
    }

    fn line(&mut self, line: &str) -> Result<()> {
        println!("{line}");
        Ok(writeln!(self.table, "{line}")?)
    }

    fn logs(&self, seed: u64, logs: &str) -> Result<()> {
        let path = self.dir.join(format!("{seed}.log"));
        println!("    logs: {}", path.display());
        Ok(fs::write(path, logs)?)
    }
}

/// The nearest rank, of sorted times.
fn quantile(sorted: &[Duration], share: f64) -> Duration {
    let rank = (share * sorted.len() as f64).ceil() as usize;
    let index = rank.saturating_sub(1);
    sorted.get(index).copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_times_that_were_measured() {
        let times: Vec<_> = (1..=100).map(Duration::from_secs).collect();
        assert_eq!(quantile(&times, 0.5), Duration::from_secs(50));
        assert_eq!(quantile(&times, 0.99), Duration::from_secs(99));
        assert_eq!(quantile(&times[..1], 0.99), Duration::from_secs(1));
        assert_eq!(quantile(&[], 0.5), Duration::ZERO);
    }

    #[test]
    fn a_record_holds_what_was_printed() {
        let dir = tempfile::tempdir().unwrap();
        let mut record = Record::new(dir.path()).unwrap();
        record.line("a row").unwrap();
        record.logs(7, "the end").unwrap();
        let read = |name| fs::read_to_string(dir.path().join(name)).unwrap();
        assert_eq!(read("chaos.txt"), "a row\n");
        assert_eq!(read("7.log"), "the end");
    }
}
