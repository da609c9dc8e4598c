//! Running programs that are not ours.

use std::process::{Output, Stdio};
use std::time::Duration;

use anyhow::{Context, Result};
use tokio::process::Command;

/// Longest time to download and install packages.
pub const INSTALL_LIMIT: Duration = Duration::from_secs(300);

/// Runs it to its end.
///
/// # Errors
///
/// If it can't be started, or takes longer than `limit`.
pub async fn run(command: &mut Command, limit: Duration) -> Result<Output> {
    let output = command.stdin(Stdio::null()).kill_on_drop(true).output();
    let output = tokio::time::timeout(limit, output).await;
    output.context("it doesn't end")?.context("can't start it")
}
