//! What the cache-writer exports, in one place.

use std::collections::HashMap;

use dispatch_service::{
    catalogue,
    metrics::{Counter, OPEN},
};

use crate::core::entity::Family;

catalogue! {
    pub ALL:
    EVENTS = counter "gateway_events" {"type": OPEN, "shard": OPEN}, "Events published, by name";
    GUILD_EVENTS = counter "gateway_guild_events" {"type": &["Join", "Leave"]}, "Guilds joined and left";
    STATE_GUILDS = measured "state_guilds", "Guilds in the cache; every writer reports the same, so take `max`";
    STATE_CHANNELS = measured "state_channels", "Channels and threads in the cache; every writer reports the same, so take `max`";
    STATE_MESSAGES = measured "state_messages", "Messages in the cache; every writer reports the same, so take `max`";
    STATE_ROLES = measured "state_roles", "Roles in the cache; every writer reports the same, so take `max`";
    STATE_EMOJIS = measured "state_emojis", "Emojis in the cache; every writer reports the same, so take `max`";
    STATE_MEMBERS = measured "state_members", "Members in the cache; every writer reports the same, so take `max`";
    STATE_PRESENCES = measured "state_presences", "Presences in the cache; every writer reports the same, so take `max`";
    STATE_VOICES = measured "state_voices", "Voice states in the cache; every writer reports the same, so take `max`";
    STATE_STICKERS = measured "state_stickers", "Stickers in the cache; every writer reports the same, so take `max`";
    STATE_STAGES = measured "state_stages", "Stage instances in the cache; every writer reports the same, so take `max`";
    STATE_SCHEDULED_EVENTS = measured "state_scheduled_events", "Scheduled events in the cache; every writer reports the same, so take `max`";
    STATE_SOUNDBOARD_SOUNDS = measured "state_soundboard_sounds", "Soundboard sounds in the cache; every writer reports the same, so take `max`";
    FRAMES = counter "writer_frames_total", "Frames taken from the partition queues";
    BATCH_EVENTS = histogram "writer_batch_events", "Events of a batch: what one transaction on Redis applies";
    REDIS_SECONDS = histogram "writer_redis_seconds" {"step": &["read", "commit", "purge"]} seconds,
        "Round trip to Redis of a step";
    PUBLISH_SECONDS = histogram "writer_publish_seconds" seconds,
        "From the first event of a batch handed to RabbitMQ to its last confirm";
    LATENCY_SECONDS = histogram "writer_latency_seconds" seconds,
        "From gateway-ingest's socket to the confirm of the enriched event (needs synchronised clocks)";
    QUEUE_LAG = measured "writer_queue_lag", "Frames waiting in all partition queues; every writer reports the same";
    PARTITIONS_ACTIVE = gauge "writer_partitions_active", "Partitions that this process serves";
    TAKEOVERS = counter "writer_takeovers_total", "Partitions taken over";
    FENCED = counter "writer_fenced_total", "Partitions found to belong to another writer";
    DUPLICATES_DROPPED = counter "writer_duplicates_dropped_total",
        "Events delivered again that were applied and published before";
    JOURNAL_REPLAYS = counter "writer_journal_replays_total",
        "Events published again from the journal after a crash or a change of owner";
    GAPS = counter "writer_gaps_total" {"reason": &["session_replaced", "sequence_skipped"]},
        "Gaps in a shard's events that can't be repaired; each is reported on the exchange";
    UNUSABLE_PAYLOADS = counter "writer_unusable_payloads_total",
        "Events whose payload the cache can't use (published all the same)";
    SKIPPED_ELEMENTS = counter "writer_skipped_elements_total",
        "Elements of lists (a member without a user, say) that the cache can't use";
    DEAD_LETTERS = counter "writer_dead_letters_total" {"reason": &["frame", "unpublishable", "encoding", "too_large"]},
        "What went to `gateway.dead`";
    DEAD_LETTERS_DROPPED = counter "writer_dead_letters_dropped_total",
        "Dead letters that `gateway.dead` refused: they are in the log alone";
    REFUSED_MESSAGES = counter "writer_refused_messages_total",
        "Events that RabbitMQ refused; from the first of them on all are sent again";
    UNREADABLE = counter "writer_unreadable_total",
        "Times a partition was given up because of a frame or a journal of a version that this writer doesn't know";
    REDIS_ROLLBACKS = counter "writer_redis_rollbacks_total", "Times Redis came back with less than was written";
    TWILIGHT_OBJECTS = counter "writer_twilight_objects_total" {"outcome": &["kept", "removed"]},
        "Objects of twilight-dispatch's state that were taken over at the first start, or could not be";
    STORE_ERRORS = counter "writer_store_errors_total", "Single writes that Redis refused within a transaction";
}

/// Objects of a family in the cache.
pub(crate) fn cached(family: Family, objects: u64) {
    let of_family = |name: &str| name.strip_prefix("state_") == Some(family.plural());
    if let Some(metric) = ALL.iter().find(|metric| of_family(metric.name)) {
        metric.gauge().set(objects as f64);
    }
}

/// A frame was taken.
pub(crate) fn frame() {
    FRAMES.counter().increment(1);
}

/// A batch of this many events begins.
pub(crate) fn batch(events: usize) {
    BATCH_EVENTS.histogram().record(events as f64);
}

/// A step on Redis took this long.
pub(crate) fn redis_step(step: &'static str, seconds: f64) {
    REDIS_SECONDS.histogram_of([step]).record(seconds);
}

/// A batch was published and confirmed.
pub(crate) fn published(seconds: f64) {
    PUBLISH_SECONDS.histogram().record(seconds);
}

/// Events are confirmed this long after they were read from the socket.
pub(crate) fn latencies(seconds: impl Iterator<Item = f64>) {
    let histogram = LATENCY_SECONDS.histogram();
    seconds.for_each(|seconds| histogram.record(seconds));
}

/// Events were dropped as duplicates.
pub(crate) fn duplicates(events: usize) {
    DUPLICATES_DROPPED.counter().increment(events as u64);
}

/// Events are published again from the journal.
pub(crate) fn replays(events: usize) {
    JOURNAL_REPLAYS.counter().increment(events as u64);
}

/// A gap was found.
pub(crate) fn gap(reason: &'static str) {
    GAPS.counter_of([reason]).increment(1);
}

/// A payload can't be used by the cache.
pub(crate) fn unusable() {
    UNUSABLE_PAYLOADS.counter().increment(1);
}

/// Elements of a payload's lists can't be used by the cache.
pub(crate) fn skipped(elements: u32) {
    SKIPPED_ELEMENTS.counter().increment(u64::from(elements));
}

/// Something went to the dead letters.
pub(crate) fn dead_letter(reason: &'static str) {
    DEAD_LETTERS.counter_of([reason]).increment(1);
}

/// A dead letter was dropped.
pub(crate) fn dead_letter_dropped() {
    DEAD_LETTERS_DROPPED.counter().increment(1);
}

/// RabbitMQ refused messages.
pub(crate) fn refused(messages: usize) {
    REFUSED_MESSAGES.counter().increment(messages as u64);
}

/// A partition is given up because of something of an unknown version.
pub(crate) fn unreadable() {
    UNREADABLE.counter().increment(1);
}

/// A partition was taken over.
pub(crate) fn takeover() {
    TAKEOVERS.counter().increment(1);
}

/// A partition was found to belong to another.
pub(crate) fn fenced() {
    FENCED.counter().increment(1);
}

/// Redis came back with less than was written.
pub(crate) fn rollback() {
    REDIS_ROLLBACKS.counter().increment(1);
}

/// Objects of twilight-dispatch's state were taken over or removed.
pub(crate) fn twilight_objects(kept: u64, removed: u64) {
    TWILIGHT_OBJECTS.counter_of(["kept"]).increment(kept);
    TWILIGHT_OBJECTS.counter_of(["removed"]).increment(removed);
}

/// Redis refused single writes of a transaction.
pub(crate) fn store_errors(errors: usize) {
    STORE_ERRORS.counter().increment(errors as u64);
}

/// Number of partitions that this process serves.
pub(crate) fn partitions_active(partitions: usize) {
    PARTITIONS_ACTIVE.gauge().set(partitions as f64);
}

/// Frames waiting in all partition queues.
pub(crate) fn queue_lag(frames: u64) {
    QUEUE_LAG.gauge().set(frames as f64);
}

/// A guild was joined (`Join`) or left (`Leave`).
pub(crate) fn guild_event(kind: &'static str) {
    GUILD_EVENTS.counter_of([kind]).increment(1);
}

/// Counters of published events: their handles are kept, since a look-up for each event is dear.
#[derive(Default)]
pub(crate) struct EventCounters {
    counters: HashMap<u32, HashMap<String, Counter>>,
}

impl EventCounters {
    /// An event was published.
    pub(crate) fn count(&mut self, shard: u32, name: &str) {
        let names = self.counters.entry(shard).or_default();
        match names.get(name) {
            Some(counter) => counter.increment(1),
            None => {
                let counter = EVENTS.counter_of([name.to_string(), shard.to_string()]);
                counter.increment(1);
                names.insert(name.to_string(), counter);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_family_that_is_counted_has_its_gauge() {
        for family in Family::ALL
            .into_iter()
            .filter(|family| *family != Family::User)
        {
            let name = format!("state_{}", family.plural());
            assert!(ALL.iter().any(|metric| metric.name == name), "{name}");
        }
    }
}
