//! `cargo xtask logs`: what the services of a running stack say.

mod follower;

use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Result, bail};

pub(crate) use follower::Follower;

use crate::running::Running;
use crate::stop::Stop;

/// How often the files are looked at.
const EVERY: Duration = Duration::from_millis(200);

/// Prints the logs of a running stack's services, and with -f what is added to them.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// One of them (gateway-ingest, cache-writer-0, command-router …), or the beginning of a name; left out: all.
    #[arg(default_value = "")]
    service: String,
    /// Goes on until Ctrl-C, or the end of the stack.
    #[arg(short, long)]
    follow: bool,
}

pub(crate) async fn run(args: Args) -> Result<ExitCode> {
    let mut stop = Stop::new()?;
    let running = Running::find()?;
    let mut follower = Follower::new(&running.logs, &args.service);
    follower.print_new()?;
    if follower.is_empty() {
        bail!(
            "no log of a service whose name begins with {:?}",
            args.service
        );
    }
    let mut ticks = tokio::time::interval(EVERY);
    while args.follow && Running::find().is_ok() {
        tokio::select! {
            _ = ticks.tick() => follower.print_new()?,
            () = stop.requested() => break,
        }
    }
    Ok(ExitCode::SUCCESS)
}
