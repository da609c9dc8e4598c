//! `discord-sim run`: a bot goes through a scenario.

use std::{path::Path, process::ExitCode};

use anyhow::Context as _;
use discord_sim::{Outcome, Scenario, Sim, StepOutcome};
use tokio::signal::unix::{SignalKind, signal};

use crate::args::Args;

/// The scenario can't be read, has no step, or the bot can't be started.
const NOT_RUN: u8 = 2;

/// Runs it, and says step by step what becomes of it.
pub(crate) async fn run(args: &Args, file: &Path, bot: &[String]) -> ExitCode {
    match carry_out(args, file, bot).await {
        Ok(Outcome { failed: 0, .. }) => ExitCode::SUCCESS,
        Ok(_) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("{error:#}");
            ExitCode::from(NOT_RUN)
        }
    }
}

async fn carry_out(args: &Args, file: &Path, bot: &[String]) -> anyhow::Result<Outcome> {
    let name = file.display();
    let text = std::fs::read_to_string(file).with_context(|| format!("can't read {name}"))?;
    let scenario = Scenario::read(&text).with_context(|| format!("can't read {name}"))?;
    let mut terminate = signal(SignalKind::terminate())?;
    let sim = Sim::start(scenario.config(args.config()))
        .await
        .context("can't listen")?;
    let running = scenario.run(&sim, bot, print);
    let outcome = tokio::select! {
        outcome = running => outcome.context("can't start the bot")?,
        _ = terminate.recv() => anyhow::bail!("terminated"),
        interrupted = tokio::signal::ctrl_c() => {
            interrupted?;
            anyhow::bail!("interrupted");
        }
    };
    sim.shutdown().await;
    let Outcome {
        passed,
        failed,
        left,
    } = outcome;
    println!("{passed} passed, {failed} failed, {left} not begun");
    Ok(outcome)
}

fn print(step: &StepOutcome) {
    let StepOutcome {
        number,
        title,
        took,
        failure,
    } = step;
    let took = took.as_secs_f64();
    match failure {
        None => println!("ok    {number:>3}  {title}  ({took:.2} s)"),
        Some(reason) => println!("FAIL  {number:>3}  {title}  ({took:.2} s)\n      {reason}"),
    }
}
