//! How far the writers are, by their metrics: a strike that is meant for a certain state waits until it is there.

use anyhow::{Context, Result};

use super::ARRIVE_LIMIT;
use crate::process::Process;
use crate::stack::Stack;
use crate::wait;

/// What a writer has done since its start.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Progress {
    /// Batches whose keys have been read.
    pub(super) reads: f64,
    /// Batches that are applied.
    pub(super) commits: f64,
    /// Events published from a journal.
    pub(super) replays: f64,
}

impl Progress {
    pub(super) async fn of(writer: &Process) -> Result<Self> {
        let metrics = writer.metrics().await?;
        let steps = metrics.by("writer_redis_seconds_count", "step");
        let step = |name| steps.get(name).copied().unwrap_or_default();
        Ok(Self {
            reads: step("read"),
            commits: step("commit"),
            replays: metrics.sum("writer_journal_replays_total").unwrap_or(0.0),
        })
    }

    /// Of all writers, in their order. One that is down or frozen has none.
    pub(super) async fn of_all(stack: &Stack) -> Vec<Option<Self>> {
        let mut all = Vec::new();
        for writer in &stack.writers {
            all.push(Self::of(writer).await.ok());
        }
        all
    }
}

/// Waits until `reached` holds for a writer, given what it had done before and has done now; returns which one. Where it holds
/// for several, it is number `preferred`, counted round, if that is among them.
pub(super) async fn reached(
    stack: &Stack,
    what: &str,
    preferred: usize,
    before: &[Option<Progress>],
    reached: impl Fn(&Progress, &Progress) -> bool,
) -> Result<usize> {
    let count = stack.writers.len();
    let mut found = None;
    wait::until(what, ARRIVE_LIMIT, async || {
        let now = Progress::of_all(stack).await;
        let is_there = |n: &usize| match (before.get(*n), &now[*n]) {
            (Some(Some(before)), Some(now)) => reached(before, now),
            _ => false,
        };
        found = (0..count).map(|n| (preferred + n) % count).find(is_there);
        found.is_some()
    })
    .await?;
    found.context("no writer")
}
