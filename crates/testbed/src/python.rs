//! Python with packages of its own, in a temporary folder.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use tokio::process::Command;

use crate::program::{INSTALL_LIMIT, run};

/// What to do where it can't be had.
const ADVICE: &str = "needed are python3 with venv or pip (on Debian or Ubuntu: `apt-get install python3-venv`) and access to \
                      the Python package index, or a PIP_FIND_LINKS folder";

/// A Python that finds the packages.
#[derive(Debug)]
pub struct Python {
    program: PathBuf,
    /// Where the packages are, if the program doesn't know.
    path: Option<PathBuf>,
}

impl Python {
    /// Makes a virtual environment in `dir` with the packages of a requirements file; where Python can't make one, a plain
    /// folder.
    ///
    /// # Errors
    ///
    /// If the packages can't be installed: the message says what is needed.
    pub async fn with_packages(dir: &Path, requirements: &Path) -> Result<Self> {
        let venv = dir.join("venv");
        let python = PathBuf::from("python3");
        let make = ["-m".as_ref(), "venv".as_ref(), venv.as_os_str()];
        let made = run(Command::new(&python).args(make), INSTALL_LIMIT).await;
        let (interpreter, target) = match made {
            Ok(output) if output.status.success() => (venv.join("bin/python"), None),
            _ => (python, Some(dir.join("packages"))),
        };
        let mut install = Command::new(&interpreter);
        install
            .args([
                "-m",
                "pip",
                "install",
                "--quiet",
                "--no-input",
                "--only-binary",
                ":all:",
            ])
            .args(["--disable-pip-version-check", "--requirement"])
            .arg(requirements);
        if let Some(target) = &target {
            install.arg("--target").arg(target);
        }
        let installed = run(&mut install, INSTALL_LIMIT).await.context(ADVICE)?;
        if !installed.status.success() {
            let error = String::from_utf8_lossy(&installed.stderr);
            bail!("can't install the Python packages: {ADVICE}\n{error}");
        }
        Ok(Self {
            program: interpreter,
            path: target,
        })
    }

    /// Runs a program; returns what it printed.
    ///
    /// # Errors
    ///
    /// If it fails or takes longer than `limit`; the message is its error output.
    pub async fn run(
        &self,
        script: &Path,
        env: &[(&str, String)],
        limit: Duration,
    ) -> Result<String> {
        let mut command = self.command(script);
        command.envs(env.iter().cloned());
        let output = run(&mut command, limit).await?;
        if !output.status.success() {
            bail!("{}", String::from_utf8_lossy(&output.stderr));
        }
        Ok(String::from_utf8(output.stdout)?)
    }

    /// A command that runs a program of one of the packages.
    #[must_use]
    pub fn program(&self, name: &str) -> Command {
        let programs = match &self.path {
            Some(packages) => packages.join("bin"),
            None => self.program.with_file_name(""),
        };
        Command::new(programs.join(name))
    }

    /// A command that runs a script.
    #[must_use]
    pub fn command(&self, script: &Path) -> Command {
        let mut command = Command::new(&self.program);
        command.arg(script);
        if let Some(path) = &self.path {
            command.env("PYTHONPATH", path);
        }
        command
    }
}
