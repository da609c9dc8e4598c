//! `cargo xtask servers`: other versions of RabbitMQ and Redis to test against.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use nix::unistd::geteuid;
use testbed::binaries::directory;
use testbed::install::{self, Missing, SERVERS_DIR};

use crate::install::ensure;
use crate::progress::Step;

/// What the testbed looks for in its folder of servers, and where Debian has it.
const PROGRAMS: [(&str, &str); 4] = [
    ("rabbitmq-server", "/usr/lib/rabbitmq/bin/rabbitmq-server"),
    ("rabbitmqctl", "/usr/lib/rabbitmq/bin/rabbitmqctl"),
    ("epmd", "/usr/bin/epmd"),
    ("redis-server", "/usr/bin/redis-server"),
];

/// Fetches RabbitMQ and Redis of another Debian release, for the tests alone; needs root and Debian or Ubuntu.
///
/// Prints the folder to name in DISPATCH_SERVERS_DIR: `DISPATCH_SERVERS_DIR=$(cargo xtask servers trixie) cargo xtask test`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Name of the release: trixie has RabbitMQ 4.0 and Redis 8.0.
    #[arg(value_parser = release)]
    release: String,
}

/// Makes a root of that release below cargo's target folder, in which the servers run by `chroot`. Made once.
pub(crate) fn run(args: &Args) -> Result<ExitCode> {
    let root = root(&args.release)?;
    eprintln!("Name it in {SERVERS_DIR}:");
    println!("{}", root.with_file_name("bin").display());
    Ok(ExitCode::SUCCESS)
}

/// The root folder of that release, beside which `bin` has the programs.
///
/// # Errors
///
/// If it must be made, and this is not root on Debian or Ubuntu.
pub(crate) fn root(release: &str) -> Result<PathBuf> {
    let target = directory();
    let target = target.parent().context("no target folder")?;
    let folder = target.join("servers").join(release);
    let root = folder.join("root");
    if !folder.join("bin").is_dir() {
        if !geteuid().is_root() {
            bail!("only root can make a root folder of another release");
        }
        ensure(&[Missing::Debootstrap], false)?;
        // What an interrupted run has left is of no use.
        if folder.exists() {
            fs::remove_dir_all(&folder)?;
        }
        fs::create_dir_all(&folder)?;
        let step = Step::begin(&format!("Fetching the servers of {release}"), false);
        make_root(release, &root)?;
        write_programs(&root, &folder)?;
        step.done();
    }
    Ok(root)
}

fn make_root(release: &str, root: &Path) -> Result<()> {
    let log = tempfile::NamedTempFile::with_prefix("dispatch-servers-")?;
    let packages = "--include=rabbitmq-server,redis-server";
    let mut command: Vec<String> = ["debootstrap", "--variant=minbase", packages, release]
        .map(str::to_owned)
        .into();
    command.push(root.display().to_string());
    install::run(&command, log.path())?;
    // The release's own may lack the name under which the node reaches itself.
    fs::copy("/etc/hosts", root.join("etc/hosts"))?;
    Ok(())
}

/// One script for each program; the folder appears when all are there.
fn write_programs(root: &Path, folder: &Path) -> Result<()> {
    let unfinished = folder.join("unfinished");
    fs::create_dir_all(&unfinished)?;
    for (name, program) in PROGRAMS {
        let path: PathBuf = unfinished.join(name);
        fs::write(&path, script(root, program))?;
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755))?;
    }
    fs::rename(unfinished, folder.join("bin"))?;
    Ok(())
}

/// Runs a program inside the root, with the caller's temporary folder, in mounts that end with it. Every step replaces the one before,
/// so that the process that was started is the server.
fn script(root: &Path, program: &str) -> String {
    format!(
        r#"#!/bin/sh
exec unshare --mount sh -ec '
root=$1 temporary=$2
shift 2
mkdir -p "$root$temporary"
mount --bind /proc "$root/proc"
mount --rbind /dev "$root/dev"
mount --bind "$temporary" "$root$temporary"
exec chroot "$root" env --chdir="$PWD" "$@"
' sh '{}' "${{TMPDIR:-/tmp}}" {program} "$@"
"#,
        root.display()
    )
}

/// A name that is safe in a path.
fn release(name: &str) -> Result<String, &'static str> {
    let fits = !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_lowercase());
    fits.then(|| name.to_owned())
        .ok_or("the name of a release has lowercase letters only")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_releases_stay_in_their_folder() {
        assert_eq!(release("trixie").unwrap(), "trixie");
        assert!(release("../etc").is_err() && release("").is_err());
    }
}
