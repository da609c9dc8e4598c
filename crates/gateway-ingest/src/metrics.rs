//! What gateway-ingest counts, in one place.

use std::time::Duration;

use metrics::{
    Counter, Histogram, Unit, counter, describe_counter, describe_gauge, describe_histogram, gauge,
    histogram,
};

use crate::core::{
    outbox::Parcel,
    status::{ShardEvent, Status},
};

/// Describes every metric, so that `/metrics` explains itself.
pub(crate) fn describe() {
    describe_counter!("gateway_shard_events", "Discord shard connection events");
    describe_gauge!(
        "gateway_shards",
        "Number of gateway connections with Discord"
    );
    describe_gauge!("gateway_statuses", "Status of the gateway connections");
    describe_gauge!(
        "gateway_latencies",
        Unit::Milliseconds,
        "API latency with the Discord gateway"
    );
    describe_counter!("gateway_identifies_total", "Sessions begun anew");
    describe_gauge!(
        "gateway_identifies_left",
        "Identifies left of Discord's session start limit"
    );
    describe_counter!(
        "gateway_identifies_refused_total",
        "Times that identifies had to wait because only IDENTIFY_RESERVE was left"
    );
    describe_gauge!(
        "gateway_shards_recommended",
        "Number of shards that Discord recommends"
    );
    describe_counter!("gateway_resumes_total", "Sessions resumed");
    describe_counter!(
        "gateway_sessions_lost_total",
        "Sessions that Discord did not let us resume"
    );
    describe_counter!(
        "gateway_reconnects_total",
        "Connections that ended or were not made, by cause"
    );
    describe_counter!(
        "gateway_deadlines_missed_total",
        "Waits for Discord that ended without an answer"
    );
    describe_counter!(
        "gateway_escalations_total",
        "Times the resume URL was left for the main URL, or a session that was refused for a new one"
    );
    describe_counter!("ingest_events_total", "Events received from Discord");
    describe_counter!(
        "ingest_frames_total",
        "Frames of raw events that RabbitMQ confirmed"
    );
    describe_histogram!("ingest_frame_events", "Events in a confirmed frame");
    describe_histogram!(
        "ingest_confirm_seconds",
        Unit::Seconds,
        "Time from publishing a frame to its confirm"
    );
    describe_gauge!(
        "ingest_buffer_bytes",
        Unit::Bytes,
        "Bytes of events received and not confirmed"
    );
    describe_gauge!(
        "ingest_full_shards",
        "Shards that have stopped reading because BUFFER_BYTES are used up"
    );
    describe_counter!(
        "ingest_republished_frames_total",
        "Frames published again because their confirm was lost or refused"
    );
    describe_counter!(
        "ingest_dead_letters_total",
        "Payloads and commands sent to gateway.dead"
    );
    describe_counter!("ingest_commands_total", "Commands by outcome");
    describe_counter!(
        "ingest_refused_sessions_total",
        "Session records not stored because another process owns the shard"
    );
    describe_counter!(
        "ingest_dropped_notices_total",
        "Notices to LOG_CHANNEL dropped because too many waited"
    );
    describe_counter!(
        "ingest_dropped_replies_total",
        "Replies to commands that could not be sent"
    );
}

pub(crate) fn shard_event(event: ShardEvent) {
    counter!("gateway_shard_events", "type" => event.name()).increment(1);
}

pub(crate) fn shards(number: usize) {
    gauge!("gateway_shards").set(number as f64);
}

pub(crate) fn statuses(of: impl Fn(Status) -> usize) {
    for status in Status::ALL {
        gauge!("gateway_statuses", "type" => status.name()).set(of(status) as f64);
    }
}

pub(crate) fn latency(shard: u32, millis: u64) {
    gauge!("gateway_latencies", "shard" => shard.to_string()).set(millis as f64);
}

pub(crate) fn identified() {
    counter!("gateway_identifies_total").increment(1);
}

pub(crate) fn identifies_left(number: u32) {
    gauge!("gateway_identifies_left").set(f64::from(number));
}

pub(crate) fn identify_refused() {
    counter!("gateway_identifies_refused_total").increment(1);
}

pub(crate) fn recommended_shards(number: u32) {
    gauge!("gateway_shards_recommended").set(f64::from(number));
}

pub(crate) fn resumed() {
    counter!("gateway_resumes_total").increment(1);
}

pub(crate) fn session_lost() {
    counter!("gateway_sessions_lost_total").increment(1);
}

pub(crate) fn reconnect(cause: &'static str) {
    counter!("gateway_reconnects_total", "cause" => cause).increment(1);
}

pub(crate) fn deadline_missed(what: &'static str) {
    counter!("gateway_deadlines_missed_total", "of" => what).increment(1);
}

pub(crate) fn escalated(to: &'static str) {
    counter!("gateway_escalations_total", "to" => to).increment(1);
}

/// The counter of a shard's events, to be kept: it is touched for each event.
pub(crate) fn events(shard: u32) -> metrics::Counter {
    counter!("ingest_events_total", "shard" => shard.to_string())
}

/// What is counted of frames, kept by whoever publishes them: it is touched for each.
#[derive(Debug)]
pub(crate) struct FrameMetrics {
    frames: Counter,
    events: Histogram,
    seconds: Histogram,
    republished: Counter,
}

impl Default for FrameMetrics {
    fn default() -> Self {
        Self {
            frames: counter!("ingest_frames_total"),
            events: histogram!("ingest_frame_events"),
            seconds: histogram!("ingest_confirm_seconds"),
            republished: counter!("ingest_republished_frames_total"),
        }
    }
}

impl FrameMetrics {
    /// A parcel is confirmed, so long after it was published last.
    pub(crate) fn confirmed(&self, parcel: &Parcel, events: usize, took: Duration) {
        if let Parcel::DeadLetter { reason, .. } = parcel {
            dead_letter(reason.label());
            return;
        }
        self.frames.increment(1);
        self.events.record(events as f64);
        self.seconds.record(took.as_secs_f64());
    }

    pub(crate) fn republished(&self) {
        self.republished.increment(1);
    }
}

pub(crate) fn buffered(bytes: usize) {
    gauge!("ingest_buffer_bytes").set(bytes as f64);
}

pub(crate) fn full_shards(number: usize) {
    gauge!("ingest_full_shards").set(number as f64);
}

pub(crate) fn dead_letter(reason: &'static str) {
    counter!("ingest_dead_letters_total", "reason" => reason).increment(1);
}

pub(crate) fn command(outcome: &'static str) {
    counter!("ingest_commands_total", "outcome" => outcome).increment(1);
}

pub(crate) fn sessions_refused(number: usize) {
    counter!("ingest_refused_sessions_total").increment(number as u64);
}

pub(crate) fn notice_dropped() {
    counter!("ingest_dropped_notices_total").increment(1);
}

pub(crate) fn reply_dropped() {
    counter!("ingest_dropped_replies_total").increment(1);
}
