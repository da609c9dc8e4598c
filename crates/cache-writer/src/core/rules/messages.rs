//! Messages. The `member` and `author` inside them touch no other object; reactions and polls are
//! not applied.

use std::borrow::Cow;

use super::Outcome;
use crate::core::{
    entity::Entity,
    event::Unusable,
    object::{Object, id},
    step::{Merging, Scope, Step, Steps},
};

pub(super) fn create(d: Object<'_>) -> Outcome<'_> {
    let (entity, scope) = message(&d)?;
    let steps = vec![Step::Store {
        entity,
        value: Cow::Borrowed(d.text),
    }];
    Ok(Steps::new(scope, steps))
}

pub(super) fn update(d: Object<'_>) -> Outcome<'_> {
    let (entity, scope) = message(&d)?;
    let whole = d
        .has(&["author", "timestamp", "content"])
        .then_some(Cow::Borrowed(d.text));
    let steps = vec![Step::Merge {
        entity,
        patch: d,
        whole,
        mode: Merging::Fields,
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
    let steps = vec![Step::RemoveAll { entities }];
    Ok(Steps {
        scope: scope(&d, channel),
        steps,
        skipped,
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
fn scope(d: &Object<'_>, channel: u64) -> Scope {
    Scope::Channel {
        guild: d.optional_id("guild_id").unwrap_or_default(),
        channel,
    }
}
