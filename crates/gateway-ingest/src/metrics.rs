//! What gateway-ingest exports, in one place.

use std::time::Duration;

use dispatch_service::{
    catalogue,
    metrics::{Counter, GONE, Histogram, OPEN},
};

use crate::core::{
    connection::{Cause, Deadline},
    outbox::Publication,
    status::{ShardEvent, Status},
};

catalogue! {
    pub ALL:
    SHARD_EVENTS = counter "gateway_shard_events" {"type": &ShardEvent::NAMES}, "Connection events of the shards";
    SHARDS = gauge "gateway_shards", "Shards of this process";
    SHARDS_AGREED = gauge "gateway_shards_agreed", "Shards that all processes are to hold together";
    STATUSES = gauge "gateway_statuses" {"type": &Status::NAMES}, "Shards of this process by status";
    LATENCIES = gauge "gateway_latencies" {"shard": OPEN} milliseconds, "Heartbeat round trip";
    IDENTIFIES = counter "gateway_identifies_total", "Sessions begun";
    RESUMES = counter "gateway_resumes_total", "Sessions resumed";
    SESSIONS_LOST = counter "gateway_sessions_lost_total",
        "Sessions that Discord did not let us resume: what happened meanwhile was sent to nobody";
    IDENTIFIES_LEFT = measured "gateway_identifies_left", "Identifies left of Discord's daily limit";
    IDENTIFIES_REFUSED = counter "gateway_identifies_refused_total",
        "Times that identifies had to wait because only `IDENTIFY_RESERVE` was left";
    SHARDS_RECOMMENDED = measured "gateway_shards_recommended", "Shards that Discord recommends";
    RECONNECTS = counter "gateway_reconnects_total" {"cause": Cause::LABELS},
        "Connections that ended or were not made; `reconnect` is op 7, `invalid_session` op 9, `heartbeat` one that was not \
         acknowledged";
    DEADLINES_MISSED = counter "gateway_deadlines_missed_total" {"of": Deadline::LABELS},
        "Waits for Discord that ended without an answer";
    ESCALATIONS = counter "gateway_escalations_total" {"to": &["main_url", "new_session"]},
        "Resume URLs left because they were silent or refused (`main_url`), sessions given up because they were refused too \
         often (`new_session`)";
    EVENTS = counter "ingest_events_total" {"shard": OPEN}, "Events received from Discord";
    FRAMES = counter "ingest_frames_total", "Frames of raw events that RabbitMQ confirmed";
    FRAME_EVENTS = histogram "ingest_frame_events", "Events in a confirmed frame";
    CONFIRM_SECONDS = histogram "ingest_confirm_seconds" seconds, "From publishing a frame to its confirm";
    BUFFER_BYTES = gauge "ingest_buffer_bytes" bytes, "Events received and not confirmed";
    FULL_SHARDS = gauge "ingest_full_shards", "Shards that have stopped reading because `BUFFER_BYTES` are used up";
    REPUBLISHED_FRAMES = counter "ingest_republished_frames_total",
        "Frames published again because their confirm was lost or refused";
    COMMANDS = counter "ingest_commands_total" {"outcome": &[
        "sent", "reconnected", "identified", "refused", "expired", "sent_again", "given_up",
    ]}, "Commands by what became of them; one that is `sent_again` or `given_up` was `sent` before";
    DEAD_LETTERS = counter "ingest_dead_letters_total" {"reason": &[
        "too_large", "no_place", "command_refused", "command_expired", "command_given_up",
    ]}, "Payloads and commands sent to `gateway.dead`";
    REFUSED_SESSIONS = counter "ingest_refused_sessions_total",
        "Session records not stored because another process owns the shard";
    DROPPED_NOTICES = counter "ingest_dropped_notices_total", "Messages to `LOG_CHANNEL` dropped because too many waited";
    DROPPED_REPLIES = counter "ingest_dropped_replies_total", "Replies to commands that could not be sent";
}

pub(crate) fn shard_event(event: ShardEvent) {
    SHARD_EVENTS.counter_of([event.name()]).increment(1);
}

pub(crate) fn shards(number: usize) {
    SHARDS.gauge().set(number as f64);
}

pub(crate) fn agreed_shards(number: u32) {
    SHARDS_AGREED.gauge().set(f64::from(number));
}

pub(crate) fn statuses(of: impl Fn(Status) -> usize) {
    for status in Status::ALL {
        STATUSES.gauge_of([status.name()]).set(of(status) as f64);
    }
}

/// The shard does not run here any more: nothing that names it is shown.
pub(crate) fn shard_left(shard: u32) {
    LATENCIES.gauge_of([shard.to_string()]).set(GONE);
}

pub(crate) fn latency(shard: u32, millis: u64) {
    LATENCIES.gauge_of([shard.to_string()]).set(millis as f64);
}

pub(crate) fn identified() {
    IDENTIFIES.counter().increment(1);
}

pub(crate) fn identifies_left(number: u32) {
    IDENTIFIES_LEFT.gauge().set(f64::from(number));
}

pub(crate) fn identify_refused() {
    IDENTIFIES_REFUSED.counter().increment(1);
}

pub(crate) fn recommended_shards(number: u32) {
    SHARDS_RECOMMENDED.gauge().set(f64::from(number));
}

pub(crate) fn resumed() {
    RESUMES.counter().increment(1);
}

pub(crate) fn session_lost() {
    SESSIONS_LOST.counter().increment(1);
}

pub(crate) fn reconnect(cause: &'static str) {
    RECONNECTS.counter_of([cause]).increment(1);
}

pub(crate) fn deadline_missed(what: &'static str) {
    DEADLINES_MISSED.counter_of([what]).increment(1);
}

pub(crate) fn escalated(to: &'static str) {
    ESCALATIONS.counter_of([to]).increment(1);
}

/// The counter of a shard's events, to be kept: it is touched for each event.
pub(crate) fn events(shard: u32) -> Counter {
    EVENTS.counter_of([shard.to_string()])
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
            frames: FRAMES.counter(),
            events: FRAME_EVENTS.histogram(),
            seconds: CONFIRM_SECONDS.histogram(),
            republished: REPUBLISHED_FRAMES.counter(),
        }
    }
}

impl FrameMetrics {
    /// A publication is confirmed, so long after it was published last.
    pub(crate) fn confirmed(&self, publication: &Publication, events: usize, took: Duration) {
        if let Publication::DeadLetter { reason, .. } = publication {
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
    BUFFER_BYTES.gauge().set(bytes as f64);
}

pub(crate) fn full_shards(number: usize) {
    FULL_SHARDS.gauge().set(number as f64);
}

pub(crate) fn dead_letter(reason: &'static str) {
    DEAD_LETTERS.counter_of([reason]).increment(1);
}

pub(crate) fn command(outcome: &'static str) {
    COMMANDS.counter_of([outcome]).increment(1);
}

pub(crate) fn sessions_refused(number: usize) {
    REFUSED_SESSIONS.counter().increment(number as u64);
}

pub(crate) fn notice_dropped() {
    DROPPED_NOTICES.counter().increment(1);
}

pub(crate) fn reply_dropped() {
    DROPPED_REPLIES.counter().increment(1);
}
