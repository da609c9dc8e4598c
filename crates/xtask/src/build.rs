//! Builds the release binaries.

use std::os::unix::process::ExitStatusExt;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};
use nix::sys::signal::Signal;
use testbed::binaries::{BIN_DIR, Service, workspace};

/// Builds the services' release binaries, and what else is named; cargo shows its own progress. Where [`BIN_DIR`] names a folder of
/// binaries, those are taken as they are.
pub(crate) fn release(others: &[&str]) -> Result<()> {
    if let Some(directory) = std::env::var_os(BIN_DIR) {
        eprintln!("Using the binaries in {}", directory.display());
        return Ok(());
    }
    eprintln!("Building the release binaries; the first time takes some minutes …");
    let mut cargo = cargo();
    // The whole workspace, as the alias for xtask has it: for a choice of packages cargo unites the features of the
    // dependencies differently, and would compile them once more.
    cargo.args(["build", "--release", "--locked", "--workspace"]);
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
