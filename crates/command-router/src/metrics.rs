//! The router's metrics: names, descriptions, and the one place where each is counted.

use std::time::Duration;

use dispatch_proto::command::Refusal;
use metrics::{
    Unit, counter, describe_counter, describe_gauge, describe_histogram, gauge, histogram,
};

const COMMANDS: &str = "command_router_commands_total";
const ROUTE_SECONDS: &str = "command_router_route_seconds";
const REFUSALS: &str = "command_router_refusals_total";
const ASTRAY: &str = "command_router_astray_total";
const ACTIVE: &str = "command_router_active";
const WAITING: &str = "command_router_waiting";
const SHARD_QUEUE_REFUSALS: &str = "command_router_shard_queue_refusals_total";
const LOST_REPLIES: &str = "command_router_lost_replies_total";
const LOST_DEAD_LETTERS: &str = "command_router_lost_dead_letters_total";
const FOREIGN_CONSUMERS: &str = "command_router_foreign_consumers";

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

pub(crate) fn describe() {
    describe_counter!(
        COMMANDS,
        "Commands by what became of them: forwarded, answered, refused, expired"
    );
    describe_histogram!(
        ROUTE_SECONDS,
        Unit::Seconds,
        "From a command's delivery to the confirm of its shard's queue"
    );
    describe_counter!(REFUSALS, "Refused commands by reason");
    describe_counter!(
        ASTRAY,
        "Commands for a shard that is not the one of the guild they are about"
    );
    describe_gauge!(ACTIVE, "Whether this router is the active one");
    describe_gauge!(
        WAITING,
        "Commands that wait for the number of shards, or for a shard's queue that refuses them"
    );
    describe_counter!(
        SHARD_QUEUE_REFUSALS,
        "Times RabbitMQ refused a command for a shard's queue; it is tried again"
    );
    describe_counter!(
        LOST_REPLIES,
        "Replies that did not reach the sender's queue"
    );
    describe_counter!(
        LOST_DEAD_LETTERS,
        "Rejected commands that RabbitMQ did not take as dead letters; they are in the log alone"
    );
    describe_gauge!(
        FOREIGN_CONSUMERS,
        "Other consumers of a queue that commands come in by: what they get is not routed"
    );
}

pub(crate) fn finished(outcome: Outcome) {
    let outcome = match outcome {
        Outcome::Forwarded => "forwarded",
        Outcome::Answered => "answered",
        Outcome::Refused => "refused",
        Outcome::Expired => "expired",
    };
    counter!(COMMANDS, "outcome" => outcome).increment(1);
}

pub(crate) fn forwarded(took: Duration) {
    histogram!(ROUTE_SECONDS).record(took.as_secs_f64());
    finished(Outcome::Forwarded);
}

pub(crate) fn refused(refusal: &Refusal) {
    counter!(REFUSALS, "reason" => refusal.label()).increment(1);
    finished(Outcome::Refused);
}

pub(crate) fn astray() {
    counter!(ASTRAY).increment(1);
}

pub(crate) fn active(active: bool) {
    gauge!(ACTIVE).set(f64::from(u8::from(active)));
}

pub(crate) fn waiting(commands: usize) {
    gauge!(WAITING).set(commands as f64);
}

pub(crate) fn shard_queue_refused() {
    counter!(SHARD_QUEUE_REFUSALS).increment(1);
}

pub(crate) fn reply_lost(lost: LostReply) {
    let reason = match lost {
        LostReply::Refused => "refused",
        LostReply::Unroutable => "unroutable",
        LostReply::Unconfirmed => "unconfirmed",
        LostReply::Failed => "failed",
    };
    counter!(LOST_REPLIES, "reason" => reason).increment(1);
}

pub(crate) fn dead_letter_lost() {
    counter!(LOST_DEAD_LETTERS).increment(1);
}

pub(crate) fn foreign_consumers(queue: &str, consumers: u32) {
    gauge!(FOREIGN_CONSUMERS, "queue" => queue.to_owned()).set(f64::from(consumers));
}
