//! Where a running `cargo xtask up` is to be found by the other commands.

use std::collections::BTreeMap;
use std::fs::{File, TryLockError};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
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

/// The file that tells of a running stack. Its lock is what only one `up` has at a time; it ends with the process, the file with this.
#[derive(Debug)]
pub(crate) struct Announcement {
    path: PathBuf,
    file: File,
}

impl Announcement {
    /// Takes the place of the one stack; the file is empty until the stack runs.
    ///
    /// # Errors
    ///
    /// If another `up` has it.
    pub(crate) fn claim() -> Result<Self> {
        Self::claim_at(path())
    }

    fn claim_at(path: PathBuf) -> Result<Self> {
        let mut options = File::options();
        // Addresses of servers that aren't ours hold passwords.
        options.read(true).write(true).create(true).mode(0o600);
        let cannot = || format!("can't write {}", path.display());
        let file = options.open(&path).with_context(cannot)?;
        match file.try_lock() {
            Ok(()) => file.set_len(0)?,
            Err(TryLockError::WouldBlock) => bail!(
                "another `cargo xtask up` runs{}: stop it first",
                Running::read(&path).map_or(String::new(), |running| {
                    format!(" (process {})", running.pid)
                })
            ),
            Err(TryLockError::Error(error)) => return Err(error).with_context(cannot),
        }
        Ok(Self { path, file })
    }

    /// Lets the other commands find the stack.
    pub(crate) fn announce(&self, running: &Running) -> Result<()> {
        serde_json::to_writer_pretty(&self.file, running)
            .with_context(|| format!("can't write {}", self.path.display()))
    }
}

impl Running {
    fn read(path: &Path) -> Option<Self> {
        serde_json::from_slice(&std::fs::read(path).ok()?).ok()
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

    /// Finds the running stack.
    pub(crate) fn find() -> Result<Self> {
        const NONE: &str =
            "no stack is running, or it is still starting: start one with `cargo xtask up`";
        // Empty while it starts.
        let running = Self::read(&path()).context(NONE)?;
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
        let _ = std::fs::remove_file(&self.path);
    }
}

fn path() -> PathBuf {
    std::env::temp_dir().join("dispatch-up.json")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_stack_has_the_place_and_what_a_dead_one_left_is_replaced() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("up.json");
        let running = Running {
            pid: 7,
            rabbit_url: "amqp://a".to_owned(),
            redis_url: "redis://b".to_owned(),
            sim_url: None,
            logs: PathBuf::new(),
            started: SystemTime::UNIX_EPOCH,
            settings: BTreeMap::new(),
        };
        std::fs::write(&path, serde_json::to_vec(&running).unwrap()).unwrap();
        let first = Announcement::claim_at(path.clone()).unwrap();
        assert!(Running::read(&path).is_none());
        first.announce(&running).unwrap();
        assert_eq!(Running::read(&path).unwrap().rabbit_url, "amqp://a");
        let second = Announcement::claim_at(path.clone())
            .unwrap_err()
            .to_string();
        assert!(second.contains("process 7"), "{second}");
        drop(first);
        assert!(!path.exists());
    }
}
