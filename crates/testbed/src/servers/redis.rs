//! A Redis of one's own.

use std::path::{Path, PathBuf};
use std::time::Duration;

use ::redis::aio::MultiplexedConnection;
use ::redis::{Client, cmd};
use anyhow::{Context, Result, bail};
use nix::sys::signal::Signal;

use crate::child::{Child, Launch};
use crate::install;
use crate::port::free_port;
use crate::wait;

/// Longest time for a start: loading the data counts.
const START_LIMIT: Duration = Duration::from_secs(30);

/// Whether data survives a kill.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Persistence {
    /// Kept in memory alone.
    None,
    /// Every write is on disk before it is answered.
    EveryWrite,
}

/// A private Redis. Killed when dropped.
#[derive(Debug)]
pub struct Redis {
    program: PathBuf,
    dir: PathBuf,
    port: u16,
    persistence: Persistence,
    server: Option<Child>,
}

impl Redis {
    /// Starts it with its data below `dir`, and waits until it answers.
    ///
    /// # Errors
    ///
    /// If Redis is not installed, or doesn't answer within 30 s.
    pub async fn start(dir: &Path, persistence: Persistence) -> Result<Self> {
        let program = install::redis()?;
        let dir = dir.join("redis");
        std::fs::create_dir_all(&dir)?;
        let mut redis = Self {
            program,
            dir,
            port: free_port()?,
            persistence,
            server: None,
        };
        redis.restart().await?;
        Ok(redis)
    }

    /// Redis URL.
    #[must_use]
    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}/", self.port)
    }

    /// The port that it listens on.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Process id, while it is started.
    #[must_use]
    pub fn id(&self) -> Option<u32> {
        self.server.as_ref().map(Child::id)
    }

    /// Whether it runs.
    pub fn runs(&mut self) -> bool {
        let server = self.server.as_mut();
        server.is_some_and(|server| server.exit_status().is_none())
    }

    /// SIGKILL: a crash.
    pub fn kill(&mut self) {
        self.server = None;
    }

    /// Freezes it: what it is asked waits in its sockets until [`Self::wake`].
    pub fn freeze(&mut self) {
        self.signal(Signal::SIGSTOP);
    }

    /// Ends [`Self::freeze`].
    pub fn wake(&mut self) {
        self.signal(Signal::SIGCONT);
    }

    /// Removes what it has written to disk, so that it comes back empty; only while it is down.
    ///
    /// # Errors
    ///
    /// If the files can't be removed.
    pub fn lose_data(&mut self) -> Result<()> {
        self.kill();
        std::fs::remove_dir_all(&self.dir).context("can't remove Redis's data")?;
        std::fs::create_dir_all(&self.dir)?;
        Ok(())
    }

    /// Keeps a copy of what it has on disk now, for [`Self::roll_back`].
    ///
    /// # Errors
    ///
    /// If it can't be copied.
    pub fn keep_copy(&mut self) -> Result<()> {
        self.freeze();
        let copied = copy_folder(&self.dir, &self.copy());
        self.wake();
        copied.context("can't copy Redis's data")
    }

    /// SIGKILL, and puts the copy of [`Self::keep_copy`] in the place of what it has on disk: it comes back with older data, as
    /// by a fail-over to a replica that lagged.
    ///
    /// # Errors
    ///
    /// If the files can't be replaced.
    pub fn roll_back(&mut self) -> Result<()> {
        self.lose_data()?;
        copy_folder(&self.copy(), &self.dir).context("can't put the copy back")
    }

    fn copy(&self) -> PathBuf {
        self.dir.with_extension("copy")
    }

    /// Starts it again on the same port, with the data that it has on disk; waits until it answers.
    ///
    /// # Errors
    ///
    /// If it doesn't answer within 30 s: the message holds the tail of its log.
    pub async fn restart(&mut self) -> Result<()> {
        self.kill();
        let port = self.port.to_string();
        let append = match self.persistence {
            Persistence::None => "no",
            Persistence::EveryWrite => "yes",
        };
        let args = [
            "--port",
            &port,
            "--bind",
            "127.0.0.1",
            "--save",
            "",
            "--dir",
            ".",
        ];
        let durability = ["--appendonly", append, "--appendfsync", "always"];
        let mut server = Child::spawn(&Launch {
            program: self.program.clone(),
            args: args.iter().chain(&durability).map(Into::into).collect(),
            env: [].into(),
            dir: self.dir.clone(),
            log: self.dir.join("redis.log"),
        })?;
        let mut exit = None;
        let up = wait::until("Redis to start", START_LIMIT, async || {
            exit = server.exit_status();
            exit.is_some() || self.ping().await.is_ok()
        })
        .await;
        if let Some(status) = exit {
            bail!(
                "Redis ended at its start ({status})\n{}",
                server.log_tail(20)
            );
        }
        up.with_context(|| server.log_tail(20))?;
        self.server = Some(server);
        Ok(())
    }

    /// Deletes everything in it.
    ///
    /// # Errors
    ///
    /// If it doesn't answer.
    pub async fn flush(&self) -> Result<()> {
        let mut connection = self.connection().await?;
        Ok(cmd("FLUSHALL").query_async(&mut connection).await?)
    }

    /// A connection of one's own.
    ///
    /// # Errors
    ///
    /// If it doesn't answer.
    pub async fn connection(&self) -> Result<MultiplexedConnection> {
        connection(&self.url()).await
    }

    fn signal(&mut self, signal: Signal) {
        if let Some(server) = &mut self.server {
            server.signal(signal);
        }
    }

    async fn ping(&self) -> Result<()> {
        let mut connection = self.connection().await?;
        Ok(cmd("PING").query_async(&mut connection).await?)
    }
}

fn copy_folder(from: &Path, to: &Path) -> std::io::Result<()> {
    std::fs::create_dir_all(to)?;
    for entry in std::fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy_folder(&entry.path(), &target)?;
        } else {
            std::fs::copy(entry.path(), target)?;
        }
    }
    Ok(())
}

/// A connection to the Redis at `url`.
///
/// # Errors
///
/// If the URL is wrong or nobody answers.
pub async fn connection(url: &str) -> Result<MultiplexedConnection> {
    let client = Client::open(url).context("not a Redis URL")?;
    Ok(client.get_multiplexed_async_connection().await?)
}
