//! What command-router exports, in one place.

use std::time::Duration;

use dispatch_proto::command::Refusal;
use dispatch_service::{catalogue, metrics::OPEN};

catalogue! {
    pub ALL:
    COMMANDS = counter "command_router_commands_total" {"outcome": &["forwarded", "answered", "refused", "expired"]},
        "Commands by what became of them";
    REFUSALS = counter "command_router_refusals_total" {"reason": &Refusal::LABELS}, "Refused commands by reason";
    ROUTE_SECONDS = histogram "command_router_route_seconds" seconds,
        "From a command's delivery to the confirm of its shard's queue";
    ACTIVE = gauge "command_router_active", "1 for the active router, else 0";
    WAITING = gauge "command_router_waiting",
        "Commands that wait for the number of shards, or for a shard's queue that refuses them";
    SHARD_QUEUE_REFUSALS = counter "command_router_shard_queue_refusals_total",
        "Times RabbitMQ refused a command for a shard's queue; it is tried again";
    LOST_REPLIES = counter "command_router_lost_replies_total" {"reason": &["refused", "unroutable", "unconfirmed", "failed"]},
        "Replies that did not reach the sender's queue";
    LOST_DEAD_LETTERS = counter "command_router_lost_dead_letters_total",
        "Rejected commands that `gateway.dead` did not take: they are in the log alone";
    FOREIGN_CONSUMERS = gauge "command_router_foreign_consumers" {"queue": OPEN},
        "Other consumers of a queue that commands come in by: what they get is not routed";
    ASTRAY = counter "command_router_astray_total", "Commands sent to a shard that is not their guild's";
}

/// Why a reply was lost.
#[derive(Clone, Copy, Debug)]
pub(crate) enum LostReply {
    /// RabbitMQ refused it: the queue is full.
    Refused,
    /// There is no such queue: its sender is gone.
    Unroutable,
    /// RabbitMQ did not confirm it in time.
    Unconfirmed,
    /// The channel failed.
    Failed,
}

/// What became of a command.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Outcome {
    /// It lies in its shard's queue.
    Forwarded,
    /// A status was asked for and answered.
    Answered,
    /// It can't be carried out.
    Refused,
    /// No shard took it in time.
    Expired,
}

pub(crate) fn finished(outcome: Outcome) {
    let outcome = match outcome {
        Outcome::Forwarded => "forwarded",
        Outcome::Answered => "answered",
        Outcome::Refused => "refused",
        Outcome::Expired => "expired",
    };
    COMMANDS.counter_of([outcome]).increment(1);
}

pub(crate) fn forwarded(took: Duration) {
    ROUTE_SECONDS.histogram().record(took.as_secs_f64());
    finished(Outcome::Forwarded);
}

pub(crate) fn refused(refusal: &Refusal) {
    REFUSALS.counter_of([refusal.label()]).increment(1);
    finished(Outcome::Refused);
}

pub(crate) fn astray() {
    ASTRAY.counter().increment(1);
}

pub(crate) fn active(active: bool) {
    ACTIVE.gauge().set(f64::from(u8::from(active)));
}

pub(crate) fn waiting(commands: usize) {
    WAITING.gauge().set(commands as f64);
}

pub(crate) fn shard_queue_refused() {
    SHARD_QUEUE_REFUSALS.counter().increment(1);
}

pub(crate) fn reply_lost(lost: LostReply) {
    let reason = match lost {
        LostReply::Refused => "refused",
        LostReply::Unroutable => "unroutable",
        LostReply::Unconfirmed => "unconfirmed",
        LostReply::Failed => "failed",
    };
    LOST_REPLIES.counter_of([reason]).increment(1);
}

pub(crate) fn dead_letter_lost() {
    LOST_DEAD_LETTERS.counter().increment(1);
}

pub(crate) fn foreign_consumers(queue: &str, consumers: u32) {
    FOREIGN_CONSUMERS
        .gauge_of([queue.to_owned()])
        .set(f64::from(consumers));
}
