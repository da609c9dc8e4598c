//! The overview of a running simulator.

use std::{collections::BTreeMap, time::Instant};

use serde::Serialize;

use super::{Counts, Shared};
use crate::dispatcher::InteractionCounts;

/// What a simulator is doing.
#[derive(Debug, Clone, Serialize)]
pub struct Status {
    /// For `DISCORD_API_URL`.
    pub http_url: String,
    /// For `DISCORD_GATEWAY_URL`.
    pub gateway_url: String,
    /// What has happened so far.
    pub counts: Counts,
    /// What has become of the interactions.
    pub interactions: InteractionCounts,
    /// Gateway connections that clients made, served or not.
    pub connections_made: u64,
    /// REST requests by method and path.
    pub rest_requests: BTreeMap<String, u64>,
    /// Gateway connections open now.
    pub open_connections: usize,
    /// Live sessions, oldest first.
    pub sessions: Vec<SessionStatus>,
    /// Dispatches in the log of each shard (newest total).
    pub sent: Vec<(u32, usize)>,
    /// Whether everything is written to the sockets.
    pub quiet: bool,
    /// The first breaches of Discord's limits by clients.
    pub violations: Vec<String>,
}

/// A live session.
#[derive(Debug, Clone, Serialize)]
pub struct SessionStatus {
    /// As in READY.
    pub id: String,
    /// Shard id.
    pub shard: u32,
    /// Number of shards.
    pub total: u32,
    /// The last sequence made.
    pub sequence: u64,
    /// The highest sequence written to a socket.
    pub delivered: u64,
    /// Entries not written yet, replayed ones among them.
    pub behind: usize,
    /// Whether it has a connection.
    pub connected: bool,
}

/// Violations shown in the overview.
const VIOLATIONS_SHOWN: usize = 20;

impl Status {
    pub(crate) fn of(shared: &Shared) -> Self {
        let mut state = shared.lock();
        let interactions = state.dispatcher.interactions.counts(Instant::now());
        let sessions = state.dispatcher.sessions().map(|session| SessionStatus {
            id: session.id.to_string(),
            shard: session.shard,
            total: session.total,
            sequence: session.sequence,
            delivered: session.delivered,
            behind: session.behind(),
            connected: session.is_connected(),
        });
        Self {
            http_url: shared.http_url(),
            gateway_url: shared.gateway_url(),
            counts: state.counts,
            interactions,
            connections_made: state.traffic.connections_made(),
            rest_requests: state.traffic.routes().clone(),
            open_connections: state.connections.len(),
            sessions: sessions.collect(),
            sent: state.dispatcher.sent_counts(),
            quiet: state.dispatcher.is_quiet(),
            violations: state
                .violations()
                .iter()
                .take(VIOLATIONS_SHOWN)
                .cloned()
                .collect(),
        }
    }
}
