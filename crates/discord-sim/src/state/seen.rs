//! What is new since some moment.

use std::time::Instant;

use serde_json::Value;

use super::{RestRequest, State};

/// How much had been seen at some moment.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct Seen {
    requests: u64,
    violations: u64,
    /// `None`: nothing was.
    at: Option<Instant>,
}

impl State {
    /// How much there is now.
    pub(crate) fn seen(&self, now: Instant) -> Seen {
        Seen {
            requests: self.traffic.requests_made(),
            violations: self.counts.violations,
            at: Some(now),
        }
    }

    /// The requests since then.
    pub(crate) fn requests_since(&self, then: Seen) -> Vec<RestRequest> {
        self.traffic
            .requests_after(then.requests)
            .cloned()
            .collect()
    }

    /// The violations since then, as far as they are kept.
    pub(crate) fn violations_since(&self, then: Seen) -> Vec<String> {
        let before = usize::try_from(then.violations).unwrap_or(usize::MAX);
        self.violations.iter().skip(before).cloned().collect()
    }

    /// The gateway commands since then, of all shards.
    pub(crate) fn commands_since(&self, then: Seen) -> Vec<Value> {
        self.dispatcher.commands_since(then.at)
    }
}
