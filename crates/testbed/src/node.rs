//! Node with packages of its own, in a temporary folder.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use tokio::process::Command;

use crate::program::on_path;
use crate::program::{INSTALL_LIMIT, run};

/// What to do where it can't be had.
const ADVICE: &str = "needed are node and npm (on Debian or Ubuntu: `apt-get install nodejs npm`) and access to the npm registry, \
                      or a cache that has the packages";

/// A Node that finds the packages.
#[derive(Debug)]
pub struct Node {
    packages: PathBuf,
}

impl Node {
    /// Installs into `dir` what the `package-lock.json` in `manifest` names, as it is published: no scripts are run, and
    /// nothing optional is built.
    ///
    /// # Errors
    ///
    /// If the packages can't be installed: the message says what is needed.
    pub async fn with_packages(dir: &Path, manifest: &Path) -> Result<Self> {
        for name in ["package.json", "package-lock.json"] {
            std::fs::copy(manifest.join(name), dir.join(name))?;
        }
        let mut install = Command::new("npm");
        install
            .args(["ci", "--ignore-scripts", "--omit=optional"])
            .args(["--no-audit", "--no-fund", "--loglevel=error"])
            .current_dir(dir);
        let installed = run(&mut install, INSTALL_LIMIT).await.context(ADVICE)?;
        if !installed.status.success() {
            let error = String::from_utf8_lossy(&installed.stderr);
            bail!("can't install the Node packages: {ADVICE}\n{error}");
        }
        Ok(Self {
            packages: dir.join("node_modules"),
        })
    }

    /// Builds what a package has in another language; that needs a C++ compiler.
    ///
    /// # Errors
    ///
    /// If it can't be built: the message says why.
    pub async fn build(&self, package: &str) -> Result<()> {
        let folder = self.packages.parent().context("no folder")?;
        let mut rebuild = Command::new("npm");
        rebuild
            .args(["rebuild", package, "--foreground-scripts"])
            .current_dir(folder);
        // Node's headers, where they are installed beside it: else they are downloaded.
        let node = on_path("node").and_then(|node| node.canonicalize().ok());
        let prefix = node.as_deref().and_then(|node| node.ancestors().nth(2));
        if let Some(prefix) = prefix.filter(|prefix| prefix.join("include/node/node.h").is_file()) {
            rebuild.env("npm_config_nodedir", prefix);
        }
        let built = run(&mut rebuild, INSTALL_LIMIT).await.context(ADVICE)?;
        if !built.status.success() {
            let error = String::from_utf8_lossy(&built.stderr);
            bail!("can't build {package} (a C++ compiler is needed):\n{error}");
        }
        Ok(())
    }

    /// A command that runs a script.
    #[must_use]
    pub fn command(&self, script: &Path) -> Command {
        let mut command = Command::new("node");
        command.arg(script).env("NODE_PATH", &self.packages);
        command
    }
}
