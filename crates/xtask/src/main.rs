//! Developer commands: up and what looks at it (tail, logs, cache, send, dead, sim), test, bench, chaos, servers, docs.

#![cfg_attr(test, allow(clippy::unwrap_used))]

mod bench;
mod broker;
mod build;
mod cache;
mod chaos;
mod compose;
mod dead;
mod docs;
mod duration;
mod install;
mod logs;
mod progress;
mod running;
mod send;
mod servers;
mod sim;
mod stop;
mod tail;
mod terminal;
mod test;
mod up;

use std::process::ExitCode;

use anyhow::Result;
use clap::{Parser, Subcommand};
use testbed::binaries::OPTIMISED;

/// Developer commands of Dispatch.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Up(up::Args),
    Tail(tail::Args),
    Logs(logs::Args),
    Send(send::Args),
    Dead(dead::Args),
    #[command(subcommand)]
    Sim(sim::Command),
    Test(test::Args),
    Bench(bench::Args),
    #[command(hide = true)]
    BenchPublish(bench::PublishArgs),
    #[command(hide = true)]
    BenchRelay(bench::RelayArgs),
    Chaos(chaos::Args),
    Servers(servers::Args),
    Docs(docs::Args),
    #[command(subcommand)]
    Cache(cache::Command),
}

impl Command {
    /// Whether it is to run in the release profile, and the services with it.
    fn is_optimised(&self) -> bool {
        match self {
            Self::Up(args) => args.release,
            Self::Test(_) | Self::Bench(_) | Self::Chaos(_) => true,
            _ => false,
        }
    }
}

fn main() -> ExitCode {
    match run(Cli::parse().command) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(command: Command) -> Result<ExitCode> {
    if command.is_optimised() && !OPTIMISED {
        return build::run_optimised();
    }
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        match command {
            Command::Up(args) => up::run(args).await,
            Command::Tail(args) => tail::run(args).await,
            Command::Logs(args) => logs::run(args).await,
            Command::Send(args) => send::run(args).await,
            Command::Dead(args) => dead::run(args).await,
            Command::Sim(command) => sim::run(command).await,
            Command::Test(args) => test::run(args).await,
            Command::Bench(args) => bench::run(args).await,
            Command::BenchPublish(args) => bench::publish(args).await,
            Command::BenchRelay(args) => bench::relay(args).await,
            Command::Chaos(args) => chaos::run(args).await,
            Command::Servers(args) => servers::run(&args),
            Command::Docs(args) => docs::run(&args),
            Command::Cache(command) => cache::run(command).await,
        }
    })
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn arguments_are_sound() {
        Cli::command().debug_assert();
    }
}
