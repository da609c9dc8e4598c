//! Keys on Redis that describe the gateway, and those that the services keep for themselves.
//!
//! The keys of the state cache are in the cache-writer's layouts.

use crate::namespace::Namespace;

/// JSON array of [`crate::session::SessionRecord`], for readers outside; the services resume from [`SESSIONS_HASH`].
pub const SESSIONS: &str = "gateway_sessions";
/// JSON array of [`crate::session::ShardStatus`].
pub const STATUSES: &str = "gateway_statuses";
/// RFC 3339 timestamp of the gateway's start.
pub const STARTED: &str = "gateway_started";
/// The bot's user, as Discord sends it. Also part of the cache.
pub const BOT_USER: &str = "bot_user";
/// Id of the bot whose names these are, a decimal number.
pub const BOT: &str = "dispatch:bot";
/// Total number of shards, a decimal number.
pub const SHARDS: &str = "gateway_shards";

/// Hash: [`shard_field`] → JSON of [`crate::session::SessionRecord`]. One field for each shard, so that replicas that own
/// different shards never overwrite each other.
pub const SESSIONS_HASH: &str = "dispatch:sessions";
/// Hash: [`shard_field`] → JSON of [`crate::session::ShardStatus`], from which [`STATUSES`] is written.
pub const STATUSES_HASH: &str = "dispatch:statuses";
/// Hash: [`shard_field`] → the process that owns the shard, or [`GIVEN_AWAY`]. Only the owner may store the shard's session.
pub const OWNERS_HASH: &str = "dispatch:owners";
/// Number that grows with each change of [`OWNERS_HASH`], so that it is read only where it has changed. The version before changes the
/// hash without it.
pub const OWNERS_VERSION: &str = "dispatch:owners:version";
/// In place of an owner: it has given the shard away so that all hold as many.
pub const GIVEN_AWAY: &str = "given away";

/// Hash: [`shard_field`] → when the shard's session began, in milliseconds of Unix time.
pub const SESSION_STARTS_HASH: &str = "dispatch:session_starts";

/// Number of shards that the living processes of gateway-ingest have agreed on, a decimal number; gone soon after the last of them.
pub const PLAN: &str = "dispatch:shards:plan";
/// Hash: what is left of Discord's daily limit of identifies, and when each bucket was used last.
pub const IDENTIFIES: &str = "dispatch:identifies";
/// The number of shards that Discord has refused last (close codes 4010 and 4011), a decimal number.
pub const REFUSED_SHARDS: &str = "dispatch:shards:refused";

/// How far the writers are with the state that twilight-dispatch has left: `theirs` or `ours` while it is taken over (whose is
/// newer), `done` once there is none.
pub const TWILIGHT_STATE: &str = "dispatch:twilight_dispatch";
/// Exists while a writer takes it over, which it names.
pub const TWILIGHT_LOCK: &str = "dispatch:twilight_dispatch:lock";

/// Set of the processes of gateway-ingest that live, or lived a moment ago.
pub const INGESTS: &str = "dispatch:ingests";

/// Key that exists while this process of gateway-ingest lives and is connected to RabbitMQ: JSON of the shards that it may hold.
#[must_use]
pub fn ingest_alive(instance: &str) -> String {
    format!("dispatch:ingest:{instance}")
}

/// A shard's field in the hashes. The total is the generation of shards: one number means other guilds under another total.
///
/// Before, the field was the shard's number alone; that is still read, and written where a process of that version looks.
#[must_use]
pub fn shard_field(total: u32, shard: u32) -> String {
    format!("{total}:{shard}")
}

/// The keys of one partition's writer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PartitionKeys {
    /// A random token for each connection of the partition's owner: the fence against owners that have lost it, and against what
    /// an owner sent on a connection that it has given up.
    pub epoch: String,
    /// Hash: [`shard_field`] → JSON array of `[session, last applied sequence]`, the newest session first.
    pub applied: String,
    /// Hash: shard number → the same for all totals together. The version before reads and writes this one alone, and could not read
    /// another kind of field in it.
    pub applied_by_number: String,
    /// JSON text: the `old` values and gaps of the last batch's events, which are applied and perhaps not yet published. It names
    /// its version; a process that doesn't know it leaves the partition to one that does.
    pub journal: String,
}

impl PartitionKeys {
    /// The keys of partition `partition`, without a namespace.
    #[must_use]
    pub fn new(partition: u32) -> Self {
        let key = |name: &str| format!("dispatch:partition:{partition}:{name}");
        Self {
            epoch: key("epoch"),
            applied: key("applied_by_shard"),
            applied_by_number: key("applied"),
            journal: key("journal"),
        }
    }

    /// The same in a namespace.
    #[must_use]
    pub fn within(self, namespace: &Namespace) -> Self {
        let key = |key: String| namespace.name(key).into_owned();
        Self {
            epoch: key(self.epoch),
            applied: key(self.applied),
            applied_by_number: key(self.applied_by_number),
            journal: key(self.journal),
        }
    }
}
