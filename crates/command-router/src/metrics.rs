//! The router's metrics: names, descriptions, and the one place where each is counted.

use std::time::Duration;

use dispatch_proto::command::Refusal;
use metrics::{Unit, counter, describe_counter, describe_histogram, histogram};

const COMMANDS: &str = "command_router_commands_total";
const ROUTE_SECONDS: &str = "command_router_route_seconds";
const REFUSALS: &str = "command_router_refusals_total";
const ASTRAY: &str = "command_router_astray_total";

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
