//! A writer dies with a batch that Redis has and RabbitMQ has not confirmed: what its journal is for.

use std::time::Duration;

use anyhow::Result;

use super::progress::{Progress, reached};
use crate::stack::Stack;

/// Time in which each shard has more than one event waiting: RabbitMQ may still take the first after an alarm.
const BACKLOG: Duration = Duration::from_millis(400);

/// Kills a writer between its commit and the confirms, where RabbitMQ's memory alarm keeps it; returns when another one has
/// found its journal.
pub(super) async fn kill_writer(stack: &mut Stack) -> Result<()> {
    stack.servers.redis.freeze();
    tokio::time::sleep(BACKLOG).await;
    stack.servers.rabbitmq.set_memory_alarm(true).await?;
    let before = Progress::of_all(stack).await;
    stack.servers.redis.wake();
    let committed = |before: &Progress, now: &Progress| now.commits > before.commits;
    let n = reached(stack, "a writer to commit", 0, &before, committed).await?;
    stack.writers[n].kill9();
    // Until then RabbitMQ doesn't read from the dead connection, and would take two heartbeats to notice.
    stack.servers.rabbitmq.set_memory_alarm(false).await?;
    let replayed = |before: &Progress, now: &Progress| now.replays > before.replays;
    reached(stack, "the journal to be read", 0, &before, replayed).await?;
    Ok(())
}
