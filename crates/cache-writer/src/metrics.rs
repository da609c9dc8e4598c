//! The metrics of the cache-writer: their names, in one place, and what they mean.

use std::collections::HashMap;

use metrics::{
    Counter, Unit, counter, describe_counter, describe_gauge, describe_histogram, gauge, histogram,
};

/// Describes every metric to the recorder.
pub(crate) fn describe() {
    describe_counter!(
        "gateway_events",
        "Events published, by event name and shard"
    );
    describe_counter!(
        "gateway_guild_events",
        "Guilds joined (Join) and left (Leave)"
    );
    describe_counter!(
        "writer_frames_total",
        "Frames taken from the partition queues"
    );
    describe_histogram!(
        "writer_batch_events",
        "Events of a batch: what one transaction on Redis applies"
    );
    describe_histogram!(
        "writer_redis_seconds",
        Unit::Seconds,
        "Round trips to Redis, by step: read, commit, purge"
    );
    describe_histogram!(
        "writer_publish_seconds",
        Unit::Seconds,
        "From the first event of a batch handed over to its last confirm"
    );
    describe_histogram!(
        "writer_latency_seconds",
        Unit::Seconds,
        "From the socket of gateway-ingest to RabbitMQ's confirm of the enriched event (needs synchronised clocks)"
    );
    describe_counter!(
        "writer_duplicates_dropped_total",
        "Events delivered again that were applied and published before"
    );
    describe_counter!(
        "writer_journal_replays_total",
        "Events published again from the journal after a crash or hand-over"
    );
    describe_counter!(
        "writer_gaps_total",
        "Gaps that can't be repaired, by reason; each is told on the exchange"
    );
    describe_counter!(
        "writer_unusable_payloads_total",
        "Events published whose payload the cache can't use"
    );
    describe_counter!(
        "writer_skipped_elements_total",
        "Elements of lists (a member without a user, say) that the cache can't use"
    );
    describe_counter!(
        "writer_dead_letters_total",
        "What went to gateway.dead, by reason"
    );
    describe_counter!(
        "writer_dead_letters_dropped_total",
        "Dead letters that gateway.dead did not take"
    );
    describe_counter!(
        "writer_refused_messages_total",
        "Messages that RabbitMQ refused; from the first of them on all are sent again"
    );
    describe_counter!(
        "writer_unreadable_total",
        "Times a partition was given up because of a frame or a journal of an unknown version"
    );
    describe_counter!("writer_takeovers_total", "Partitions taken over");
    describe_counter!(
        "writer_fenced_total",
        "Partitions found to belong to another writer"
    );
    describe_counter!(
        "writer_redis_rollbacks_total",
        "Times Redis came back with less than was written"
    );
    describe_counter!(
        "writer_store_errors_total",
        "Single writes that Redis refused within a transaction"
    );
    describe_gauge!(
        "writer_partitions_active",
        "Partitions that this process serves"
    );
    describe_gauge!("writer_queue_lag", "Frames waiting in all partition queues");
    for family in crate::core::entity::Family::ALL {
        describe_gauge!(
            state_gauge(family.plural()),
            "Objects of the family in the cache"
        );
    }
}

/// Name of the gauge that counts a family's cached objects.
pub(crate) fn state_gauge(plural: &str) -> String {
    format!("state_{plural}")
}

/// A frame was taken.
pub(crate) fn frame() {
    counter!("writer_frames_total").increment(1);
}

/// A batch of this many events begins.
pub(crate) fn batch(events: usize) {
    histogram!("writer_batch_events").record(events as f64);
}

/// A step on Redis took this long.
pub(crate) fn redis_step(step: &'static str, seconds: f64) {
    histogram!("writer_redis_seconds", "step" => step).record(seconds);
}

/// A batch was published and confirmed.
pub(crate) fn published(seconds: f64) {
    histogram!("writer_publish_seconds").record(seconds);
}

/// An event is confirmed this long after it was read from the socket.
pub(crate) fn latency(seconds: f64) {
    histogram!("writer_latency_seconds").record(seconds);
}

/// Events were dropped as duplicates.
pub(crate) fn duplicates(events: usize) {
    counter!("writer_duplicates_dropped_total").increment(events as u64);
}

/// Events are published again from the journal.
pub(crate) fn replays(events: usize) {
    counter!("writer_journal_replays_total").increment(events as u64);
}

/// A gap was found.
pub(crate) fn gap(reason: &'static str) {
    counter!("writer_gaps_total", "reason" => reason).increment(1);
}

/// A payload can't be used by the cache.
pub(crate) fn unusable() {
    counter!("writer_unusable_payloads_total").increment(1);
}

/// Elements of a payload's lists can't be used by the cache.
pub(crate) fn skipped(elements: u32) {
    counter!("writer_skipped_elements_total").increment(u64::from(elements));
}

/// Something went to the dead letters.
pub(crate) fn dead_letter(reason: &'static str) {
    counter!("writer_dead_letters_total", "reason" => reason).increment(1);
}

/// A dead letter was dropped.
pub(crate) fn dead_letter_dropped() {
    counter!("writer_dead_letters_dropped_total").increment(1);
}

/// RabbitMQ refused messages.
pub(crate) fn refused(messages: usize) {
    counter!("writer_refused_messages_total").increment(messages as u64);
}

/// A partition is given up because of something of an unknown version.
pub(crate) fn unreadable() {
    counter!("writer_unreadable_total").increment(1);
}

/// A partition was taken over.
pub(crate) fn takeover() {
    counter!("writer_takeovers_total").increment(1);
}

/// A partition was found to belong to another.
pub(crate) fn fenced() {
    counter!("writer_fenced_total").increment(1);
}

/// Redis came back with less than was written.
pub(crate) fn rollback() {
    counter!("writer_redis_rollbacks_total").increment(1);
}

/// Redis refused single writes of a transaction.
pub(crate) fn store_errors(errors: usize) {
    counter!("writer_store_errors_total").increment(errors as u64);
}

/// Number of partitions that this process serves.
pub(crate) fn partitions_active(partitions: usize) {
    gauge!("writer_partitions_active").set(partitions as f64);
}

/// Frames waiting in all partition queues.
pub(crate) fn queue_lag(frames: u64) {
    gauge!("writer_queue_lag").set(frames as f64);
}

/// A guild was joined (`Join`) or left (`Leave`).
pub(crate) fn guild_event(kind: &'static str) {
    counter!("gateway_guild_events", "type" => kind).increment(1);
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
                let counter = counter!("gateway_events", "type" => name.to_string(), "shard" => shard.to_string());
                counter.increment(1);
                names.insert(name.to_string(), counter);
            }
        }
    }
}
