//! Messages. The `member` and `author` inside them touch no other object.

use std::borrow::Cow;

use super::Outcome;
use crate::core::{
    entity::{Entity, Family},
    object::{Object, id},
    step::{Merging, Scope, Step, Steps},
    unusable::Unusable,
};

pub(super) fn create(d: Object<'_>) -> Outcome<'_> {
    let (entity, scope) = message(&d)?;
    let channel = d.id("channel_id")?;
    let mut steps = vec![
        Step::Store {
            entity,
            value: Cow::Borrowed(d.text),
        },
        // Discord sends no update of the channel for it.
        Step::Newest {
            channel: Entity::Channel {
                guild: scope.guild(),
                id: channel,
            },
            id: entity.id(),
            types: None,
        },
    ];
    if is_counted(channel, entity.id()) && d.number("type") != Some(THREAD_STARTER) {
        steps.extend(count(scope, channel, "message_count", true, 1));
        steps.extend(count(scope, channel, "total_message_sent", true, 1));
    }
    Ok(Steps::new(scope, steps))
}

/// The type of a message that stands for the one which a thread was started from.
const THREAD_STARTER: u64 = 21;

/// Whether a thread counts a message: not its initial one, which in a forum has the thread's id (Discord,
/// channel page, `message_count`).
fn is_counted(channel: u64, message: u64) -> bool {
    channel != message
}

/// Raises or lowers a number that threads have and other channels have not.
fn count<'a>(
    scope: Scope,
    channel: u64,
    field: &'static str,
    up: bool,
    by: u64,
) -> Option<Step<'a>> {
    let guild = Some(scope.guild()?);
    Some(Step::Adjust {
        entity: Entity::Channel { guild, id: channel },
        field,
        up,
        by,
        unless: Vec::new(),
        old: false,
    })
}

/// Discord sends the whole message, and what is not in it is gone; less only where it has no more.
pub(super) fn update(d: Object<'_>) -> Outcome<'_> {
    let (entity, scope) = message(&d)?;
    let whole = d
        .has(&["author", "timestamp", "content"])
        .then_some(Cow::Borrowed(d.text));
    let steps = vec![Step::Merge {
        entity,
        patch: d,
        whole,
        mode: Merging::Message,
    }];
    Ok(Steps::new(scope, steps))
}

pub(super) fn delete(d: Object<'_>) -> Outcome<'_> {
    let (entity, scope) = message(&d)?;
    let channel = d.id("channel_id")?;
    let mut steps = vec![Step::Remove { entity }];
    if is_counted(channel, entity.id()) {
        steps.extend(count(scope, channel, "message_count", false, 1));
    }
    Ok(Steps::new(scope, steps))
}

pub(super) fn delete_bulk(d: Object<'_>) -> Outcome<'_> {
    let channel = d.id("channel_id")?;
    let ids = d.list("ids")?;
    let entities: Vec<_> = ids
        .iter()
        .filter_map(|text| id(text))
        .map(|id| Entity::Message { channel, id })
        .collect();
    let skipped = u32::try_from(ids.len() - entities.len()).unwrap_or(u32::MAX);
    let scope = scope(&d, channel);
    let counted = entities
        .iter()
        .filter(|message| is_counted(channel, message.id()));
    let counted = u64::try_from(counted.count()).unwrap_or(u64::MAX);
    let mut steps = vec![Step::RemoveAll {
        family: Family::Message,
        entities,
    }];
    steps.extend(count(scope, channel, "message_count", false, counted));
    Ok(Steps {
        skipped,
        ..Steps::new(scope, steps)
    })
}

fn message(d: &Object<'_>) -> Result<(Entity, Scope), Unusable> {
    let channel = d.id("channel_id")?;
    Ok((
        Entity::Message {
            channel,
            id: d.id("id")?,
        },
        scope(d, channel),
    ))
}

/// A `guild_id` of the wrong type does not matter to a message: its guild is then as unknown as
/// without one.
pub(super) fn scope(d: &Object<'_>, channel: u64) -> Scope {
    Scope::Channel {
        guild: d.optional_id("guild_id").unwrap_or_default(),
        channel,
    }
}
