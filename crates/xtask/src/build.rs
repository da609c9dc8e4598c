//! Builds the services.

use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Command, ExitCode, Stdio};

use anyhow::{Context, Result, bail};
use nix::sys::signal::Signal;
use testbed::binaries::{BIN_DIR, OPTIMISED, Service, workspace};

/// Builds the services' binaries in the profile of this program, and what else is named; cargo shows its own progress. Where
/// [`BIN_DIR`] names a folder of binaries, those are taken as they are.
pub(crate) fn services(others: &[&str]) -> Result<()> {
    if let Some(directory) = std::env::var_os(BIN_DIR) {
        eprintln!("Using the binaries in {}", directory.display());
        return Ok(());
    }
    eprintln!("Building the services; the first time takes some minutes …");
    let mut cargo = cargo();
    // The whole workspace, as the alias for xtask has it: for a choice of packages cargo unites the features of the
    // dependencies differently, and would compile them once more.
    cargo.args(["build", "--locked", "--workspace"]);
    if OPTIMISED {
        cargo.arg("--release");
    }
    let services = Service::ALL.map(Service::name);
    for binary in services.iter().chain(others) {
        cargo.args(["--bin", binary]);
    }
    let status = cargo
        .stdin(Stdio::null())
        .status()
        .context("can't run cargo")?;
    // Ctrl-C reaches cargo too.
    if status.signal() == Some(Signal::SIGINT as i32) {
        bail!("stopped during the build");
    }
    if !status.success() {
        bail!("the build failed ({status})");
    }
    Ok(())
}

/// Runs this command again, built in the release profile; returns only if that can't be. The simulated Discord and the checks run in
/// this process, so that a command that measures, or loads the services to strike them, must not be slow itself.
pub(crate) fn run_optimised() -> Result<ExitCode> {
    let mut cargo = cargo();
    cargo
        .current_dir(std::env::current_dir()?)
        .args(["run", "--release", "--locked", "--bin", "xtask"])
        .arg("--manifest-path")
        .arg(workspace().join("Cargo.toml"))
        .arg("--")
        .args(std::env::args_os().skip(1));
    Err(cargo.exec()).context("can't run cargo")
}

/// Cargo, in the workspace.
pub(crate) fn cargo() -> Command {
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.current_dir(workspace());
    // What `cargo run` says of this program would look to build scripts like a change, and half of the dependencies would be built
    // anew each time.
    for (name, _) in std::env::vars_os() {
        if name.to_str().is_some_and(describes_this_program) {
            cargo.env_remove(name);
        }
    }
    cargo
}

fn describes_this_program(variable: &str) -> bool {
    variable.starts_with("CARGO_PKG_") || variable.starts_with("CARGO_MANIFEST_")
}
