//! Writers that are struck while they wait for Redis in the middle of a batch.

use std::time::Duration;

use anyhow::{Result, bail};

use super::ARRIVE_LIMIT;
use super::progress::{Progress, reached};
use crate::stack::{STOP_LIMIT, Stack};
use crate::wait;

/// Events that come in while Redis is frozen: more frames than a writer takes at once.
const BACKLOG: u64 = 200;
/// Time in which Redis answers reads and hardly carries out the writes that follow.
const READS: Duration = Duration::from_millis(1);
/// Frames, over all shards, after which each of them has had some.
const FRAMES: f64 = 20.0;
/// Tries to catch a writer between its read and its commit.
const TRIES: usize = 200;

/// SIGTERM, then Redis answers again: the writer ends with more frames in hand than it will work off.
pub(super) async fn end_writer(stack: &mut Stack, n: usize) -> Result<()> {
    let n = freeze_redis(stack, n).await?;
    let backlog = stack.sim.counts().produced + BACKLOG;
    let behind = async || stack.sim.counts().produced >= backlog;
    wait::until("frames to gather", ARRIVE_LIMIT, behind).await?;
    let (writer, redis) = (&mut stack.writers[n], &mut stack.servers.redis);
    writer.sigterm();
    let told = async || writer.log_tail(50).contains("stopping");
    let told = wait::until("the writer to be stopping", STOP_LIMIT, told).await;
    redis.wake();
    told?;
    let status = writer.wait_exit(STOP_LIMIT).await?;
    if !status.success() {
        bail!(
            "{} ended with {status}\n{}",
            writer.name(),
            writer.log_tail(20)
        );
    }
    Ok(())
}

/// `kill -9` while Redis has been asked to commit; then it does.
pub(super) async fn kill_writer(stack: &mut Stack, n: usize) -> Result<()> {
    for _ in 0..TRIES {
        let n = freeze_redis(stack, n).await?;
        let before = Progress::of(&stack.writers[n]).await?;
        // Enough for the reads to be answered; the writes that follow are held up.
        stack.servers.redis.wake();
        tokio::time::sleep(READS).await;
        stack.servers.redis.freeze();
        let now = Progress::of(&stack.writers[n]).await?;
        if now.reads - before.reads > now.commits - before.commits {
            stack.writers[n].kill9();
            stack.servers.redis.wake();
            return Ok(());
        }
        stack.servers.redis.wake();
    }
    bail!("no writer could be caught between a read and its commit")
}

/// Freezes a writer that waits for Redis, which then answers; returns which.
pub(super) async fn freeze_writer(stack: &mut Stack, n: usize) -> Result<usize> {
    let n = freeze_redis(stack, n).await?;
    stack.writers[n].sigstop();
    stack.servers.redis.wake();
    Ok(n)
}

/// Freezes Redis, and returns when a writer must be waiting for it, in the middle of a batch: one that serves a shard with
/// events, of which more have come into its queue since. It is number `n`, if that serves any.
async fn freeze_redis(stack: &mut Stack, n: usize) -> Result<usize> {
    let before = Progress::of_all(stack).await;
    let committed = |before: &Progress, now: &Progress| now.commits > before.commits;
    let n = reached(stack, "a writer to commit", n, &before, committed).await?;
    stack.servers.redis.freeze();
    let waits = async {
        let begin = confirmed(stack).await?;
        let more = async || {
            let now = confirmed(stack).await;
            now.is_ok_and(|now| now >= begin + FRAMES)
        };
        wait::until("frames for the writer", ARRIVE_LIMIT, more).await?;
        anyhow::Ok(())
    };
    if let Err(error) = waits.await {
        stack.servers.redis.wake();
        return Err(error);
    }
    Ok(n)
}

/// Frames that RabbitMQ has confirmed to ingest.
async fn confirmed(stack: &Stack) -> Result<f64> {
    let metrics = stack.ingest.metrics().await?;
    Ok(metrics.sum("ingest_frames_total").unwrap_or(0.0))
}
