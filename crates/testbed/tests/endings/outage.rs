//! What can be wrong with a server, and how it is put right.

use anyhow::{Context, Result};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use testbed::stack::Stack;

/// Something that is wrong with a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outage {
    /// RabbitMQ's memory alarm: what is published is not confirmed.
    RabbitMqBlocked,
    /// RabbitMQ's sockets are open, and nothing comes from them.
    RabbitMqFrozen,
    /// Connections to RabbitMQ are refused.
    RabbitMqKilled,
    /// Redis's socket is open, and nothing comes from it.
    RedisFrozen,
    /// Connections to Redis are refused.
    RedisKilled,
}

impl Outage {
    /// Every one.
    pub(crate) const ALL: [Self; 5] = [
        Self::RabbitMqBlocked,
        Self::RabbitMqFrozen,
        Self::RabbitMqKilled,
        Self::RedisFrozen,
        Self::RedisKilled,
    ];

    pub(crate) async fn begin(self, stack: &mut Stack) -> Result<()> {
        let servers = &mut stack.servers;
        match self {
            Self::RabbitMqBlocked => servers.rabbitmq.set_memory_alarm(true).await?,
            Self::RabbitMqFrozen => signal_rabbitmq(stack, Signal::SIGSTOP)?,
            Self::RabbitMqKilled => servers.rabbitmq.kill(),
            Self::RedisFrozen => servers.redis.freeze(),
            Self::RedisKilled => servers.redis.kill(),
        }
        Ok(())
    }

    pub(crate) async fn end(self, stack: &mut Stack) -> Result<()> {
        let servers = &mut stack.servers;
        match self {
            Self::RabbitMqBlocked => servers.rabbitmq.set_memory_alarm(false).await?,
            Self::RabbitMqFrozen => signal_rabbitmq(stack, Signal::SIGCONT)?,
            Self::RabbitMqKilled => servers.rabbitmq.restart().await?,
            Self::RedisFrozen => servers.redis.wake(),
            Self::RedisKilled => servers.redis.restart().await?,
        }
        Ok(())
    }
}

/// Sends a signal to the node that serves the stack's port. Its process is known by that, since it was started with it.
fn signal_rabbitmq(stack: &Stack, signal: Signal) -> Result<()> {
    let url = stack.servers.rabbitmq.url();
    let port = url
        .rsplit(':')
        .next()
        .and_then(|rest| rest.split('/').next());
    let port = port.context("no port in the URL")?;
    let setting = format!("RABBITMQ_NODE_PORT={port}");
    let is_node = |pid: &i32| {
        let of = |file: &str| std::fs::read(format!("/proc/{pid}/{file}")).unwrap_or_default();
        let environment = of("environ");
        let mut settings = environment.split(|byte| *byte == 0);
        of("comm").starts_with(b"beam") && settings.any(|found| found == setting.as_bytes())
    };
    let processes = std::fs::read_dir("/proc")?.flatten();
    let pids = processes.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    let node = pids.into_iter().find(is_node);
    kill(
        Pid::from_raw(node.context("no process of the node")?),
        signal,
    )?;
    Ok(())
}
