//! Commands under faults: published at a slow, steady pace, each with a number, and looked for in the simulator's record.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Result, bail};
use dispatch_proto::rabbit;
use lapin::options::{BasicPublishOptions, ConfirmSelectOptions};
use lapin::{BasicProperties, Channel, Confirmation, Connection};
use serde_json::{Value, json};
use tokio::task::JoinHandle;

use crate::servers::rabbitmq_connection;
use crate::stack::Stack;

/// Time between two commands. Far below the limit of 120 in 60 s for a shard, heartbeats included.
const INTERVAL: Duration = Duration::from_secs(1);

/// Longest time for a command to be confirmed; a broker that died meanwhile may leave it without an answer.
const LIMIT: Duration = Duration::from_secs(10);

/// Publishes commands until it is dropped.
#[derive(Debug)]
pub struct Commands {
    published: Arc<AtomicU64>,
    task: JoinHandle<()>,
}

impl Commands {
    /// Begins: presence updates, to the shards in turn.
    #[must_use]
    pub fn start(url: String, shards: u32) -> Self {
        Self::every(INTERVAL, url, shards)
    }

    /// So many a second.
    #[must_use]
    pub fn at_rate(url: String, shards: u32, rate: u32) -> Self {
        Self::every(Duration::from_secs(1) / rate, url, shards)
    }

    fn every(interval: Duration, url: String, shards: u32) -> Self {
        let published = Arc::new(AtomicU64::new(0));
        let counted = Arc::clone(&published);
        let task = tokio::spawn(publish_steadily(interval, url, shards, counted));
        Self { published, task }
    }

    /// Ends, and returns how many commands RabbitMQ has confirmed.
    pub async fn stop(mut self) -> u64 {
        self.task.abort();
        // Until it is over: the count must not change any more.
        let _ = (&mut self.task).await;
        self.published.load(Ordering::Acquire)
    }
}

impl Drop for Commands {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Asks for a new session of every shard, in the documented way: what rebuilds the cache.
///
/// # Errors
///
/// If RabbitMQ doesn't take it.
pub async fn identify_anew(url: &str, shards: u32) -> Result<()> {
    let mut link = None;
    for shard in 0..shards {
        let body = json!({"op": 2, "shard": shard}).to_string();
        let taken = tokio::time::timeout(LIMIT, publish(&mut link, url, &body)).await;
        if !taken.unwrap_or(false) {
            bail!("RabbitMQ doesn't take the command");
        }
    }
    Ok(())
}

/// Numbers below `published` that no shard has received.
#[must_use]
pub fn lost(stack: &Stack, published: u64) -> Vec<u64> {
    let arrived: BTreeSet<u64> = (0..stack.shards)
        .flat_map(|shard| stack.sim.commands_received(shard))
        .filter_map(|(_, command)| number(&command))
        .collect();
    (0..published).filter(|n| !arrived.contains(n)).collect()
}

/// A command that isn't confirmed is published again: it may arrive twice, but never not at all.
async fn publish_steadily(interval: Duration, url: String, shards: u32, published: Arc<AtomicU64>) {
    let mut link = None;
    let mut pace = tokio::time::interval(interval);
    for n in 0_u64.. {
        pace.tick().await;
        let body = command(n, n % u64::from(shards)).to_string();
        while !tokio::time::timeout(LIMIT, publish(&mut link, &url, &body))
            .await
            .unwrap_or(false)
        {
            link = None;
            tokio::time::sleep(INTERVAL / 10).await;
        }
        published.store(n + 1, Ordering::Release);
    }
}

async fn publish(link: &mut Option<(Connection, Channel)>, url: &str, body: &str) -> bool {
    if link.is_none() {
        *link = connect(url).await.ok();
    }
    let Some((_, channel)) = link else {
        return false;
    };
    let persistent = BasicProperties::default().with_delivery_mode(2);
    let options = BasicPublishOptions {
        mandatory: true,
        ..BasicPublishOptions::default()
    };
    let sent = channel
        .basic_publish(
            "".into(),
            rabbit::SEND_QUEUE.into(),
            options,
            body.as_bytes(),
            persistent,
        )
        .await;
    let Ok(confirm) = sent else { return false };
    matches!(confirm.await, Ok(Confirmation::Ack(None)))
}

async fn connect(url: &str) -> Result<(Connection, Channel)> {
    let connection = rabbitmq_connection(url, "commands").await?;
    let channel = connection.create_channel().await?;
    channel
        .confirm_select(ConfirmSelectOptions::default())
        .await?;
    Ok((connection, channel))
}

fn command(n: u64, shard: u64) -> Value {
    json!({"op": 0, "shard": shard, "data": {"op": 3, "d": {
        "since": null,
        "activities": [{"name": format!("command {n}"), "type": 0}],
        "status": "online",
        "afk": false,
    }}})
}

/// The number of a packet.
pub(super) fn number(command: &Value) -> Option<u64> {
    let name = command.pointer("/d/activities/0/name")?.as_str()?;
    name.strip_prefix("command ")?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_commands_number_is_found_again() {
        assert_eq!(number(&command(42, 1)["data"]), Some(42));
        assert_eq!(number(&json!({"op": 3, "d": {"activities": []}})), None);
    }
}
