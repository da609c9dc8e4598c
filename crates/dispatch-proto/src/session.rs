//! What Redis holds about shards and their sessions.

use serde::{Deserialize, Serialize};

/// What is needed to resume a shard's session.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SessionRecord {
    /// The shard's number.
    pub shard: u32,
    /// Discord's id of the session.
    pub session_id: String,
    /// Where to resume (`resume_gateway_url` of READY).
    #[serde(default)]
    pub resume_url: String,
    /// The last sequence that RabbitMQ confirmed, with all before it: Discord replays what follows.
    pub sequence: u64,
    /// The shard total that the session was identified with; a session can only be resumed under the same one.
    /// 0 in records that twilight-dispatch wrote: unknown.
    #[serde(default)]
    pub shards_total: u32,
}

/// A shard as op 4 of `gateway.send` lists it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ShardEntry {
    /// The process of gateway-ingest that owns the shard; none while it changes hands.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub owner: Option<String>,
    /// Milliseconds since its session began.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub session_age: Option<u64>,
    /// Its state.
    #[serde(flatten)]
    pub status: ShardStatus,
}

/// A shard's state as shown in `gateway_statuses`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ShardStatus {
    /// The shard's number.
    pub shard: u32,
    /// One of `Disconnected`, `Identifying`, `Resuming`, `Connected`.
    pub status: String,
    /// Round trip of the newest heartbeat in milliseconds; 0 while unknown.
    pub latency: u64,
    /// When the newest heartbeat was acknowledged, RFC 3339; empty while unknown.
    pub last_ack: String,
}
