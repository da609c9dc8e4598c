//! A service's release binary as a child process, from start to kill.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::ExitStatus;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use nix::sys::signal::Signal;

use crate::binaries::Service;
use crate::child::{Child, Launch, log_tail};
use crate::http;
use crate::metrics::Metrics;
use crate::port::free_port;
use crate::wait;

/// A service, running or not. Killed when dropped.
#[derive(Debug)]
pub struct Process {
    name: String,
    port: u16,
    launch: Launch,
    child: Option<Child>,
}

impl Process {
    /// Starts `service` with `env` and a free `PROMETHEUS_PORT`; its log is `<name>.log` in `dir`, which is also its
    /// working directory, so that no `.env` of a developer reaches it.
    ///
    /// # Errors
    ///
    /// If the binary isn't there.
    pub fn start(
        service: Service,
        name: &str,
        dir: &Path,
        env: &BTreeMap<String, String>,
    ) -> Result<Self> {
        let port = free_port()?;
        let mut env = env.clone();
        env.insert("PROMETHEUS_HOST".into(), "127.0.0.1".into());
        env.insert("PROMETHEUS_PORT".into(), port.to_string());
        let launch = Launch {
            program: service.binary()?,
            args: Vec::new(),
            env,
            dir: dir.to_owned(),
            log: dir.join(format!("{name}.log")),
        };
        let child = Some(Child::spawn(&launch)?);
        Ok(Self {
            name: name.to_owned(),
            port,
            launch,
            child,
        })
    }

    /// Starts it again, with the same settings and ports; a process that still runs is killed.
    ///
    /// # Errors
    ///
    /// If the binary isn't there any more.
    pub fn restart(&mut self) -> Result<()> {
        self.child = None;
        self.child = Some(Child::spawn(&self.launch)?);
        Ok(())
    }

    /// The name it was started under.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Port of its metrics and health endpoints.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Process id, while it runs.
    #[must_use]
    pub fn id(&self) -> Option<u32> {
        self.child.as_ref().map(Child::id)
    }

    /// Whether it runs.
    pub fn runs(&mut self) -> bool {
        self.child
            .as_mut()
            .is_some_and(|child| child.exit_status().is_none())
    }

    /// Asks it to end.
    pub fn sigterm(&mut self) {
        self.signal(Signal::SIGTERM);
    }

    /// Freezes it.
    pub fn sigstop(&mut self) {
        self.signal(Signal::SIGSTOP);
    }

    /// Wakes it.
    pub fn sigcont(&mut self) {
        self.signal(Signal::SIGCONT);
    }

    /// `kill -9`.
    pub fn kill9(&mut self) {
        self.child = None;
    }

    /// Waits until it has ended by itself.
    ///
    /// # Errors
    ///
    /// If it was not running, or still is after `limit`; the message holds the tail of its log.
    pub async fn wait_exit(&mut self, limit: Duration) -> Result<ExitStatus> {
        let child = self.child.as_mut();
        let child = child.with_context(|| format!("{} was not running", self.name))?;
        let status = child.wait_exit(limit).await;
        let status = status.with_context(|| self.name.clone())?;
        self.child = None;
        Ok(status)
    }

    /// SIGTERM, then waits for exit code 0.
    ///
    /// # Errors
    ///
    /// If it doesn't end within `limit`, or with another code.
    pub async fn stop(&mut self, limit: Duration) -> Result<()> {
        self.sigterm();
        let status = self.wait_exit(limit).await?;
        if !status.success() {
            bail!(
                "{} ended with {status} at SIGTERM\n{}",
                self.name,
                self.log_tail(20)
            );
        }
        Ok(())
    }

    /// Waits until `/readyz` says 200; returns how long that took.
    ///
    /// # Errors
    ///
    /// If it doesn't within `limit`, or the process ends: the message holds the tail of its log.
    pub async fn ready(&mut self, limit: Duration) -> Result<Duration> {
        let what = format!("{} to be ready", self.name);
        let ready = wait::until(&what, limit, async || !self.runs() || self.is_ready().await).await;
        let waited = ready.with_context(|| self.log_tail(40))?;
        if !self.runs() {
            bail!(
                "{} ended before it was ready\n{}",
                self.name,
                self.log_tail(40)
            );
        }
        Ok(waited)
    }

    /// Whether `/readyz` says 200 now.
    pub async fn is_ready(&self) -> bool {
        let answer = http::fetch(self.port, "/readyz").await;
        answer.is_ok_and(|answer| answer.status == 200)
    }

    /// Its metrics now.
    ///
    /// # Errors
    ///
    /// If it doesn't answer.
    pub async fn metrics(&self) -> Result<Metrics> {
        Ok(Metrics::parse(
            &http::fetch(self.port, "/metrics").await?.body,
        ))
    }

    /// How many shards a gateway-ingest has connected now; `None` if it does not say.
    pub async fn shards_connected(&self) -> Option<u32> {
        let statuses = self.metrics().await.ok()?.by("gateway_statuses", "type");
        statuses.get("Connected").map(|shards| *shards as u32)
    }

    /// Its log file.
    #[must_use]
    pub fn log(&self) -> &PathBuf {
        &self.launch.log
    }

    /// The last `lines` lines of its log.
    #[must_use]
    pub fn log_tail(&self, lines: usize) -> String {
        log_tail(&self.launch.log, lines)
    }

    /// Local ports of its TCP connections, by which a server's list of peers names it. Linux only; elsewhere empty.
    #[must_use]
    pub fn tcp_ports(&self) -> Vec<u16> {
        self.id().and_then(tcp_ports).unwrap_or_default()
    }

    fn signal(&mut self, signal: Signal) {
        if let Some(child) = &mut self.child {
            child.signal(signal);
        }
    }
}

/// Matches the sockets that the process holds with the system's table of connections.
fn tcp_ports(pid: u32) -> Option<Vec<u16>> {
    let held: Vec<String> = std::fs::read_dir(format!("/proc/{pid}/fd"))
        .ok()?
        .filter_map(|fd| std::fs::read_link(fd.ok()?.path()).ok())
        .filter_map(|target| {
            let inode = target
                .to_str()?
                .strip_prefix("socket:[")?
                .strip_suffix(']')?;
            Some(inode.to_owned())
        })
        .collect();
    let table = std::fs::read_to_string(format!("/proc/{pid}/net/tcp")).ok()?;
    let port = |line: &str| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let (local, inode) = (fields.get(1)?, fields.get(9)?);
        let port = u16::from_str_radix(local.split_once(':')?.1, 16).ok()?;
        held.iter().any(|held| held == inode).then_some(port)
    };
    Some(table.lines().skip(1).filter_map(port).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_of_a_process_are_found_by_their_local_port() {
        let listener = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let stream = std::net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let ports = tcp_ports(std::process::id()).unwrap();
        assert!(ports.contains(&stream.local_addr().unwrap().port()));
    }
}
