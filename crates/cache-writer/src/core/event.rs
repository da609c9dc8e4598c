//! A dispatch as the core sees it, borrowed from the frame that brought it.

use std::sync::OnceLock;

use super::{
    rules,
    step::{Scope, Steps},
    totals::Origin,
    unusable::Unusable,
};

/// One dispatch. Its payload is scanned once, the first time that the core needs it.
#[derive(Debug)]
pub struct Event<'a> {
    /// The session that it belongs to.
    pub session: &'a str,
    /// Its sequence in the session.
    pub seq: u64,
    /// The shard.
    pub shard: u32,
    /// The number of shards of the shard's session.
    pub total: u32,
    /// When gateway-ingest received it, in microseconds since 1970.
    pub received_us: u64,
    /// The event's name (`t`).
    pub name: &'a str,
    /// The JSON text of `d`.
    pub data: &'a str,
    steps: OnceLock<Result<Steps<'a>, Unusable>>,
}

impl<'a> Event<'a> {
    /// An event, not scanned yet.
    #[must_use]
    pub fn new(
        session: &'a str,
        seq: u64,
        (shard, total): (u32, u32),
        name: &'a str,
        data: &'a str,
    ) -> Self {
        Self {
            session,
            seq,
            shard,
            total,
            received_us: 0,
            name,
            data,
            steps: OnceLock::new(),
        }
    }

    /// The event, with the time at which it was received.
    #[must_use]
    pub fn received(mut self, us: u64) -> Self {
        self.received_us = us;
        self
    }

    pub(super) fn origin(&self) -> Origin {
        Origin {
            shard: self.shard,
            total: self.total,
            received_us: self.received_us,
        }
    }

    pub(super) fn steps(&self) -> Result<&Steps<'a>, Unusable> {
        let steps = self
            .steps
            .get_or_init(|| rules::steps(self.name, self.data, self.origin()));
        steps.as_ref().map_err(|unusable| *unusable)
    }

    pub(super) fn scope(&self) -> Scope {
        self.steps().map_or(Scope::Nothing, |steps| steps.scope)
    }
}
