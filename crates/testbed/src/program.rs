//! Finding and running programs that are not ours.

use std::path::PathBuf;
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

/// The path of a program on `PATH`, or in the folders of system programs that a user's `PATH` may lack.
#[must_use]
pub fn on_path(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let system = ["/usr/sbin", "/sbin", "/usr/local/sbin"].map(PathBuf::from);
    std::env::split_paths(&path)
        .chain(system)
        .find_map(|folder| existing(folder.join(program)))
}

/// The path, if a file is there.
pub(crate) fn existing(path: PathBuf) -> Option<PathBuf> {
    path.is_file().then_some(path)
}
