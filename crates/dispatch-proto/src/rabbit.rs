//! Names on RabbitMQ. All exchanges and queues are durable, but for the owner locks.

/// Topic exchange of the enriched events; the routing key is the event's name.
pub const EVENTS_EXCHANGE: &str = "gateway";
/// Queue that receives every event when `DEFAULT_QUEUE` is on.
pub const RECV_QUEUE: &str = "gateway.recv";
/// Queue that takes commands from the bot.
pub const SEND_QUEUE: &str = "gateway.send";
/// Direct exchange of the frames of raw events; the routing key is the partition's number.
pub const RAW_EXCHANGE: &str = "gateway.raw";
/// Queue of what could not be processed, with headers [`HEADER_REASON`] and [`HEADER_SOURCE`], the body untouched.
pub const DEAD_QUEUE: &str = "gateway.dead";
/// Exclusive queue whose holder is the active router: a lock that the broker releases when its connection dies.
pub const ROUTER_LOCK: &str = "gateway.owner.router";

/// Header of a dead letter: why it was rejected, in words for a person.
pub const HEADER_REASON: &str = "reason";
/// Header of a dead letter: the queue or service it came from.
pub const HEADER_SOURCE: &str = "source";
/// Header of an enriched event: the shard's number.
pub const HEADER_SHARD: &str = "shard";
/// Header of an enriched event: the sequence within the session.
pub const HEADER_SEQ: &str = "seq";

/// Largest body that we publish, in bytes: below RabbitMQ 4's default `max_message_size` of 16 MiB, so that a broker
/// closes no channel over one, unless it is set lower.
pub const MAX_BODY: usize = 15 * 1024 * 1024;

/// Queue of one partition's raw frames.
#[must_use]
pub fn raw_queue(partition: u32) -> String {
    format!("{RAW_EXCHANGE}.{partition}")
}

/// Queue of the commands for one shard (the name that Spectacles uses).
#[must_use]
pub fn shard_queue(shard: u32) -> String {
    format!("gateway:{shard}")
}

/// Exclusive queue whose holder owns the shard: a lock that the broker releases when its connection dies.
#[must_use]
pub fn owner_lock(total: u32, shard: u32) -> String {
    format!("gateway.owner.{total}.{shard}")
}

/// The lock of versions that did not name the total: held too, so that during an update no shard has two owners.
#[must_use]
pub fn owner_lock_without_total(shard: u32) -> String {
    format!("gateway.owner.{shard}")
}
