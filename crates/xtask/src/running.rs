//! Where a running `cargo xtask up` is to be found by the other commands.

use std::collections::BTreeMap;
use std::fs::{File, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use anyhow::{Context, Result, anyhow, bail};
use dispatch_proto::namespace::Namespace;
use nix::sys::signal::kill;
use nix::unistd::Pid;
use serde::{Deserialize, Serialize};

/// A running stack's addresses.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Running {
    /// Process id of `cargo xtask up`.
    pub(crate) pid: u32,
    /// RabbitMQ.
    pub(crate) rabbit_url: String,
    /// Redis.
    pub(crate) redis_url: String,
    /// The simulated Discord's REST and control API; none with Discord itself.
    pub(crate) sim_url: Option<String>,
    /// The folder with the services' logs.
    pub(crate) logs: PathBuf,
    /// When it was started.
    pub(crate) started: SystemTime,
    /// Settings of the services that say what the cache holds, and under which names.
    pub(crate) settings: BTreeMap<String, String>,
}

/// The file that tells of a running stack, while this exists.
#[derive(Debug)]
pub(crate) struct Announcement(PathBuf);

impl Running {
    /// Writes the file.
    pub(crate) fn announce(&self) -> Result<Announcement> {
        let path = path();
        let write = || -> Result<()> {
            let file = File::create(&path)?;
            // Addresses of servers that aren't ours hold passwords.
            file.set_permissions(Permissions::from_mode(0o600))?;
            Ok(serde_json::to_writer_pretty(file, self)?)
        };
        write().with_context(|| format!("can't write {}", path.display()))?;
        Ok(Announcement(path))
    }

    /// What stands before every name on its servers.
    pub(crate) fn namespace(&self) -> Result<Namespace> {
        let namespace = self.settings.get("NAMESPACE").map(String::as_str);
        namespace.unwrap_or_default().parse().context("NAMESPACE")
    }

    /// How long it has run.
    pub(crate) fn age(&self) -> Duration {
        self.started.elapsed().unwrap_or_default()
    }

    /// Fails if a stack runs already.
    pub(crate) fn none() -> Result<()> {
        if let Ok(running) = Self::find() {
            bail!(
                "a stack runs already (process {}); stop it, or remove {} if that is something else",
                running.pid,
                path().display()
            );
        }
        Ok(())
    }

    /// Finds the running stack.
    pub(crate) fn find() -> Result<Self> {
        const NONE: &str = "no stack is running: start one with `cargo xtask up`";
        let text = std::fs::read(path()).ok().context(NONE)?;
        let running: Self = serde_json::from_slice(&text)?;
        let pid = i32::try_from(running.pid)?;
        kill(Pid::from_raw(pid), None).ok().context(NONE)?;
        Ok(running)
    }
}

/// Where a command connects, and what stands before every name there: the given URL, else that of the running stack, else that of the
/// environment variable `name`; with a URL that isn't the running stack's, `NAMESPACE` is taken from the environment too.
pub(crate) fn place(
    given: Option<String>,
    name: &str,
    url: impl FnOnce(Running) -> String,
) -> Result<(String, Namespace)> {
    let url = match (given, Running::find()) {
        (Some(url), _) => url,
        (None, Ok(running)) => {
            let namespace = running.namespace()?;
            return Ok((url(running), namespace));
        }
        (None, Err(error)) => std::env::var(name)
            .map_err(|_| anyhow!("{error}, or name a deployment's server with --url or {name}"))?,
    };
    let namespace = std::env::var("NAMESPACE").unwrap_or_default();
    Ok((url, namespace.parse().context("NAMESPACE")?))
}

impl Drop for Announcement {
    fn drop(&mut self) {
        // A file that somebody else has removed is as good as removed.
        let _ = std::fs::remove_file(&self.0);
    }
}

fn path() -> PathBuf {
    std::env::temp_dir().join("dispatch-up.json")
}
