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
    let steps = vec![
        Step::Store {
            entity,
            value: Cow::Borrowed(d.text),
        },
        // Discord sends no update of the channel for it.
        Step::Newest {
            channel: Entity::Channel {
                guild: scope.guild(),
                id: d.id("channel_id")?,
            },
            id: entity.id(),
            types: None,
        },
    ];
    Ok(Steps::new(scope, steps))
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
    Ok(Steps::new(scope, vec![Step::Remove { entity }]))
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
    let steps = vec![Step::RemoveAll {
        family: Family::Message,
        entities,
    }];
    Ok(Steps {
        skipped,
        ..Steps::new(scope(&d, channel), steps)
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
