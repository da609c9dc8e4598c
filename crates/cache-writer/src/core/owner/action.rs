//! What an owner asks for, and what it is told.

use std::sync::Arc;

use dispatch_proto::notice::Gap;
use thiserror::Error;

use crate::core::applied::{Shard, Stored};

/// What identifies an event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EventId {
    /// How many shards there are.
    pub total: u32,
    /// The shard.
    pub shard: u32,
    /// The session.
    pub session: Arc<str>,
    /// Its sequence in the session.
    pub sequence: u64,
}

impl EventId {
    /// The shard, as what is applied is kept by.
    pub(super) const fn of(&self) -> Shard {
        (self.total, self.shard)
    }
}

/// What to do next. Events are named by their place among those of the last [`super::Owner::delivered`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Nothing, until there are deliveries, or what is in flight is confirmed.
    Await,
    /// Nothing, until the oldest publications in flight are confirmed; then [`super::Owner::confirmed`].
    AwaitConfirm,
    /// Claim the partition on a new connection to Redis; then [`super::Owner::claimed`].
    Claim(Claim),
    /// Choose how many of these events make a batch and purge what they need purged; then [`super::Owner::purged`].
    Purge(Vec<usize>),
    /// Read what the batch needs and plan it; then [`super::Owner::planned`].
    Read,
    /// Apply the batch; then [`super::Owner::committed`].
    Commit(Commit),
    /// Publish these in order, behind those in flight. They are in flight until [`super::Owner::confirmed`], which is reported once
    /// for each of these actions, the oldest first, whenever its confirms have come.
    Publish(Vec<Publication>),
    /// Acknowledge so many deliveries, from the oldest that is not acknowledged on.
    Acknowledge(usize),
    /// Let go of the partition without acknowledging anything more.
    GiveUp(Reason),
}

/// A compare-and-set of the partition's epoch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claim {
    /// The new epoch: never used before, also after Redis has lost its data.
    pub token: String,
    /// What the epoch must begin with, unless Redis has lost it; none if whoever held the partition is to lose it.
    pub holder: Option<String>,
}

/// The bookkeeping of a batch, to be written in the transaction that applies it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Commit {
    /// What is applied with this batch, of the shards that have a part in it.
    pub applied: Stored,
    /// What replaces the journal: what of earlier batches is in flight, and this one.
    pub journal: String,
}

/// An event to be published, with what is published beside its payload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Publication {
    /// The event.
    pub event: usize,
    /// JSON text of the state before it.
    pub old: Option<String>,
    /// The gap before it.
    pub gap: Option<Gap>,
}

/// What a claim finds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Loaded {
    /// What is applied.
    pub applied: Stored,
    /// The journal.
    pub journal: Option<String>,
}

/// Why an owner lets go of its partition.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum Reason {
    /// Another process has claimed the partition.
    #[error("another writer has taken the partition over")]
    Fenced,
    /// The channel has failed, so the right to publish is gone too.
    #[error("cannot publish")]
    Unpublished,
    /// What is there can't be read, and is not to be lost: a process of a newer version can.
    #[error("{0}")]
    Unreadable(String),
}

/// Something that happened within, worth a log line or a metric.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Finding {
    /// Events that were applied and published before.
    Duplicates(usize),
    /// Events that are published again from the journal.
    Replays(usize),
    /// Redis came back with less than was applied to it, of these shards.
    RolledBack(Vec<u32>),
}
