//! Reactions to messages and votes in their polls. Each says the message's channel and id.

use super::{Outcome, messages};
use crate::core::{
    entity::Entity,
    object::Object,
    step::{Step, Steps},
    tally::Tally,
};

pub(super) fn reaction<'a>(d: &Object<'a>, up: bool) -> Outcome<'a> {
    let tally = Tally::Reaction {
        user: d.id("user_id")?,
        emoji: d.nested("emoji")?,
        burst: d.is_true("burst"),
        colours: d
            .optional_list("burst_colors")?
            .and(d.value("burst_colors")),
        up,
    };
    count(d, tally)
}

pub(super) fn remove_all<'a>(d: &Object<'a>) -> Outcome<'a> {
    count(d, Tally::NoReactions { emoji: None })
}

pub(super) fn remove_emoji<'a>(d: &Object<'a>) -> Outcome<'a> {
    let emoji = Some(d.nested("emoji")?);
    count(d, Tally::NoReactions { emoji })
}

pub(super) fn vote<'a>(d: &Object<'a>, up: bool) -> Outcome<'a> {
    let tally = Tally::Vote {
        user: d.id("user_id")?,
        answer: d.id("answer_id")?,
        up,
    };
    count(d, tally)
}

fn count<'a>(d: &Object<'a>, tally: Tally<'a>) -> Outcome<'a> {
    let (channel, id) = (d.id("channel_id")?, d.id("message_id")?);
    let message = Entity::Message { channel, id };
    Ok(Steps::new(
        messages::scope(d, channel),
        vec![Step::Count { message, tally }],
    ))
}
