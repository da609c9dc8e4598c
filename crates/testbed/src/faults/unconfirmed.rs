//! A writer dies with a batch that Redis has and RabbitMQ has not confirmed: what its journal is for.

use std::time::Duration;

use anyhow::{Context, Result};

use super::run::ARRIVE_LIMIT;
use crate::process::Process;
use crate::stack::Stack;
use crate::wait;

/// Time in which each shard has more than one event waiting: RabbitMQ may still take the first after an alarm.
const BACKLOG: Duration = Duration::from_millis(400);

/// Kills a writer between its commit and the confirms, where RabbitMQ's memory alarm keeps it; returns when another one has
/// found its journal.
pub(super) async fn kill_writer(stack: &mut Stack) -> Result<()> {
    stack.servers.redis.freeze();
    tokio::time::sleep(BACKLOG).await;
    stack.servers.rabbitmq.set_memory_alarm(true).await?;
    let mut before = Vec::new();
    for writer in &stack.writers {
        before.push(Counts::of(writer).await?);
    }
    stack.servers.redis.wake();
    let mut committed = None;
    wait::until("a writer to commit", ARRIVE_LIMIT, async || {
        committed = grown(stack, &before, |counts| counts.commits).await;
        committed.is_some()
    })
    .await?;
    stack.writers[committed.context("no writer")?].kill9();
    // Until then RabbitMQ doesn't read from the dead connection, and would take two heartbeats to notice.
    stack.servers.rabbitmq.set_memory_alarm(false).await?;
    let replayed = async || {
        let writer = grown(stack, &before, |counts| counts.replays).await;
        writer.is_some()
    };
    wait::until("the journal to be read", ARRIVE_LIMIT, replayed).await?;
    Ok(())
}

/// Starts the writer again.
pub(super) fn restart_writer(stack: &mut Stack) -> Result<()> {
    for writer in &mut stack.writers {
        if !writer.runs() {
            writer.restart()?;
        }
    }
    Ok(())
}

/// What a writer has done since its start.
struct Counts {
    commits: f64,
    /// Events published from a journal.
    replays: f64,
}

impl Counts {
    async fn of(writer: &Process) -> Result<Self> {
        let metrics = writer.metrics().await?;
        let steps = metrics.by("writer_redis_seconds_count", "step");
        Ok(Self {
            commits: steps.get("commit").copied().unwrap_or_default(),
            replays: metrics.sum("writer_journal_replays_total").unwrap_or(0.0),
        })
    }
}

/// The first writer that runs and of which a count has grown.
async fn grown(stack: &Stack, before: &[Counts], count: fn(&Counts) -> f64) -> Option<usize> {
    for (n, (writer, before)) in stack.writers.iter().zip(before).enumerate() {
        let now = Counts::of(writer).await;
        if now.is_ok_and(|now| count(&now) > count(before)) {
            return Some(n);
        }
    }
    None
}
