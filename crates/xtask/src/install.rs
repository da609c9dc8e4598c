//! Installs what is missing, saying so first.

use std::io::{IsTerminal, stdin};

use anyhow::{Result, bail};
use testbed::install::{self, Missing};
use testbed::program::on_path;

use crate::progress::Step;

/// Installs those of `needed` that are missing from the distribution.
pub(crate) fn ensure(needed: &[Missing], plain: bool) -> Result<()> {
    let missing = missing(needed);
    if missing.is_empty() {
        return Ok(());
    }
    // Its tail is told where something fails; else nobody needs it.
    let log = tempfile::NamedTempFile::with_prefix("dispatch-install-")?;
    let commands = install::commands(&missing, stdin().is_terminal())?;
    eprintln!(
        "Not installed yet: {}. To install from the distribution:",
        names(&missing)
    );
    for command in &commands {
        eprintln!("    {}", command.join(" "));
    }
    eprintln!("(output goes to {})", log.path().display());
    for command in commands {
        let step = Step::begin(&command.join(" "), plain);
        install::run(&command, log.path())?;
        step.done();
    }
    match self::missing(needed).as_slice() {
        [] => Ok(()),
        still => bail!("{} not there, although installed", names(still)),
    }
}

fn missing(needed: &[Missing]) -> Vec<Missing> {
    let mut missing = install::missing();
    missing.extend(install::missing_for_tests());
    if on_path("debootstrap").is_none() {
        missing.push(Missing::Debootstrap);
    }
    missing.retain(|program| needed.contains(program));
    missing
}

fn names(missing: &[Missing]) -> String {
    let names: Vec<_> = missing.iter().map(|server| format!("{server:?}")).collect();
    names.join(", ")
}
