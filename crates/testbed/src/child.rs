//! A child process that never outlives its owner.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::sync::{LazyLock, mpsc};
use std::time::Duration;

use anyhow::{Context, Result};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::program::on_path;
use crate::wait;

/// Variables of our own environment that a child gets too: nothing else of it reaches the child.
const PASSED_ON: [&str; 6] = ["PATH", "HOME", "LANG", "TZ", "TMPDIR", "LD_LIBRARY_PATH"];

/// What to start.
#[derive(Clone, Debug)]
pub struct Launch {
    /// The program's path.
    pub program: PathBuf,
    /// Its arguments.
    pub args: Vec<OsString>,
    /// Its environment, beside `PATH` and the like.
    pub env: BTreeMap<String, String>,
    /// Its working directory.
    pub dir: PathBuf,
    /// File that gets its output and error output; appended to.
    pub log: PathBuf,
}

/// A running (or ended) child process.
#[derive(Debug)]
pub struct Child {
    inner: std::process::Child,
    log: PathBuf,
}

impl Child {
    /// Starts it, in a process group of its own: a Ctrl-C in the terminal is for its owner, which ends it in order.
    ///
    /// # Errors
    ///
    /// If the program or its log file can't be opened.
    pub fn spawn(launch: &Launch) -> Result<Self> {
        let log = File::options().create(true).append(true).open(&launch.log);
        let log = log.with_context(|| format!("can't write {}", launch.log.display()))?;
        let mut command = bound_to_this_process(&launch.program);
        command
            .args(&launch.args)
            .env_clear()
            .envs(
                PASSED_ON
                    .iter()
                    .filter_map(|k| Some((k, std::env::var_os(k)?))),
            )
            .envs(&launch.env)
            .current_dir(&launch.dir)
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .process_group(0);
        let inner = spawn_on_lasting_thread(command)
            .with_context(|| format!("can't start {}", launch.program.display()))?;
        let log = launch.log.clone();
        Ok(Self { inner, log })
    }

    /// Process id.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.inner.id()
    }

    /// Sends a signal; nothing happens if the process has ended.
    pub fn signal(&mut self, signal: Signal) {
        // Not after it was reaped: the id could belong to somebody else by then.
        if let (None, Ok(pid)) = (self.exit_status(), i32::try_from(self.inner.id())) {
            // Fails only if it ended just now.
            let _ = kill(Pid::from_raw(pid), signal);
        }
    }

    /// How it ended, if it has.
    pub fn exit_status(&mut self) -> Option<ExitStatus> {
        self.inner.try_wait().ok().flatten()
    }

    /// Waits until it has ended by itself.
    ///
    /// # Errors
    ///
    /// If that takes longer than `limit`; the message holds the tail of its log.
    pub async fn wait_exit(&mut self, limit: Duration) -> Result<ExitStatus> {
        let what = format!("process {} to end", self.id());
        let mut status = None;
        let ended = wait::until(&what, limit, async || {
            status = self.exit_status();
            status.is_some()
        });
        ended.await.with_context(|| log_tail(&self.log, 20))?;
        status.context("ended without a status")
    }

    /// SIGKILL, and reaps it. Works on a stopped process too.
    pub fn kill(&mut self) {
        // Fails only if it has ended and was reaped.
        let _ = self.inner.kill();
        let _ = self.inner.wait();
    }

    /// The last `lines` lines of its output.
    #[must_use]
    pub fn log_tail(&self, lines: usize) -> String {
        log_tail(&self.log, lines)
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        self.kill();
    }
}

/// The last `lines` lines of a log file, under its name.
#[must_use]
pub fn log_tail(log: &Path, lines: usize) -> String {
    let text = tail_bytes(log, 64 * 1024).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let all: Vec<&str> = text.lines().collect();
    let tail = all[all.len().saturating_sub(lines)..].join("\n");
    format!("--- {} ---\n{tail}", log.display())
}

fn tail_bytes(log: &Path, bytes: u64) -> io::Result<Vec<u8>> {
    let mut file = File::open(log)?;
    let length = file.metadata()?.len();
    file.seek(SeekFrom::Start(length.saturating_sub(bytes)))?;
    let mut tail = Vec::new();
    file.read_to_end(&mut tail)?;
    Ok(tail)
}

/// A command that the kernel kills when this process dies, where `setpriv` (util-linux) can ask it to: a test run that
/// is itself killed, or interrupted by Ctrl-C, runs no destructors.
fn bound_to_this_process(program: &Path) -> Command {
    static SETPRIV: LazyLock<Option<PathBuf>> = LazyLock::new(|| {
        let setpriv = on_path("setpriv")?;
        let mut probe = Command::new(&setpriv);
        probe.args(["--pdeathsig", "KILL", "true"]);
        probe
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        probe.status().ok()?.success().then_some(setpriv)
    });
    match &*SETPRIV {
        Some(setpriv) => {
            let mut command = Command::new(setpriv);
            command.args(["--pdeathsig", "KILL", "--"]).arg(program);
            command
        }
        None => Command::new(program),
    }
}

/// Starts a command from a thread that lives as long as this process: the kernel counts the end of the *thread* that
/// started a child as its parent's death, and threads of an async runtime come and go.
fn spawn_on_lasting_thread(command: Command) -> io::Result<std::process::Child> {
    type Request = (Command, mpsc::SyncSender<io::Result<std::process::Child>>);
    static SPAWNER: LazyLock<mpsc::SyncSender<Request>> = LazyLock::new(|| {
        let (sender, requests) = mpsc::sync_channel::<Request>(0);
        std::thread::spawn(move || {
            for (mut command, answer) in requests {
                // The asker waits for the answer.
                let _ = answer.send(command.spawn());
            }
        });
        sender
    });
    let (sender, answer) = mpsc::sync_channel(1);
    let gone = |_| io::Error::other("the thread that starts processes has ended");
    SPAWNER
        .send((command, sender))
        .map_err(|_| gone(mpsc::RecvError))?;
    answer.recv().map_err(gone)?
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(dir: &Path, script: &str) -> Child {
        Child::spawn(&Launch {
            program: "/bin/sh".into(),
            args: vec!["-c".into(), script.into()],
            env: [("GREETING".to_owned(), "hello".to_owned())].into(),
            dir: dir.to_owned(),
            log: dir.join("log"),
        })
        .unwrap()
    }

    #[tokio::test]
    async fn output_goes_to_the_log_and_the_exit_status_is_seen() {
        let dir = tempfile::tempdir().unwrap();
        let mut child = shell(dir.path(), "echo $GREETING; echo $CARGO_PKG_NAME; exit 3");
        let status = child.wait_exit(Duration::from_secs(10)).await.unwrap();
        assert_eq!(status.code(), Some(3));
        assert!(
            child.log_tail(5).ends_with("---\nhello\n"),
            "{}",
            child.log_tail(5)
        );
    }

    #[tokio::test]
    async fn a_dropped_child_is_gone_even_if_it_was_stopped() {
        let dir = tempfile::tempdir().unwrap();
        let mut child = shell(dir.path(), "exec sleep 60");
        let pid = Pid::from_raw(i32::try_from(child.id()).unwrap());
        child.signal(Signal::SIGSTOP);
        assert!(child.wait_exit(Duration::from_millis(50)).await.is_err());
        drop(child);
        assert!(kill(pid, None).is_err());
    }
}
