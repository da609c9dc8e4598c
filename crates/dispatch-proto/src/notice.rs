//! The message that tells consumers of a gap which can't be repaired.
//!
//! It goes to the `gateway` exchange, at the place of the gap in the shard's order, so that a consumer knows from where on
//! its own state may be stale and can refetch. Everything else that reaches the exchange comes from Discord.

use serde::{Deserialize, Serialize};

/// Routing key, `type` property and `t` of a gap notice.
pub const GAP: &str = "DISPATCH_GAP";

/// Why events are missing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum GapReason {
    /// A new session began although the shard had one: what happened between the two was never sent to us.
    SessionReplaced,
    /// Sequences are missing within a session.
    SequenceSkipped,
}

/// Body (`d`) of a gap notice.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Gap {
    /// The shard whose events are missing.
    pub shard: u32,
    /// Why.
    pub reason: GapReason,
    /// Session of the last event before the gap.
    pub last_session: String,
    /// Sequence of the last event before the gap.
    pub last_sequence: u64,
    /// Session of the first event after the gap.
    pub next_session: String,
    /// Sequence of the first event after the gap.
    pub next_sequence: u64,
}

impl Gap {
    /// `message_id` of the notice: the same however often it is published.
    #[must_use]
    pub fn message_id(&self) -> String {
        format!("{}:{}:gap", self.next_session, self.next_sequence)
    }
}
