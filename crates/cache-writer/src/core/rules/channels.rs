//! Channels, and what threads have in common with them.

use std::borrow::Cow;

use super::{Outcome, in_guild};
use crate::core::{
    entity::Entity,
    object::Object,
    purge::{Purge, Target},
    step::{Merging, Scope, Step, Steps},
    unusable::Unusable,
};

pub(super) fn create<'a>(d: &Object<'a>) -> Outcome<'a> {
    let (entity, scope) = channel(d, "id")?;
    let steps = vec![Step::Store {
        entity,
        value: Cow::Borrowed(d.text),
    }];
    Ok(Steps::new(scope, steps))
}

pub(super) fn update(d: Object<'_>) -> Outcome<'_> {
    let (entity, scope) = channel(&d, "id")?;
    let whole = d.has(&["id", "type"]).then_some(Cow::Borrowed(d.text));
    let steps = vec![Step::Merge {
        entity,
        patch: d,
        whole,
        mode: Merging::Channel,
    }];
    Ok(Steps::new(scope, steps))
}

/// The channel, its messages, its threads and theirs, and the scheduled events in it: Discord tells of
/// none of these by itself.
pub(super) fn delete(d: Object<'_>) -> Outcome<'_> {
    let (entity, scope) = channel(&d, "id")?;
    let id = entity.id();
    let mut steps = vec![
        Step::Purge(Purge::all(Target::Messages { channel: id })),
        Step::Remove { entity },
    ];
    if let Some(guild) = entity.guild() {
        let target = Target::Threads {
            guild,
            parents: Some([id].into()),
        };
        let events = Target::ScheduledEvents { guild, channel: id };
        steps.extend([target, events].map(|target| Step::Purge(Purge::all(target))));
    }
    Ok(Steps::new(scope, steps))
}

pub(super) fn pins_update(d: Object<'_>) -> Outcome<'_> {
    field(&d, "channel_id", "last_pin_timestamp")
}

pub(super) fn status_update(d: Object<'_>) -> Outcome<'_> {
    field(&d, "id", "status")
}

pub(super) fn start_time_update(d: Object<'_>) -> Outcome<'_> {
    field(&d, "id", "voice_start_time")
}

/// The answer to a request for what voice channels show beside their name: of some, some fields.
pub(super) fn info<'a>(d: &Object<'a>) -> Outcome<'a> {
    let guild = d.id("guild_id")?;
    let texts = d.list("channels")?;
    let steps: Vec<_> = texts
        .iter()
        .filter_map(|text| {
            let patch = Object::parse(text)?;
            let entity = Entity::Channel {
                guild: Some(guild),
                id: patch.id("id").ok()?,
            };
            Some(Step::Patch { entity, patch })
        })
        .collect();
    Ok(Steps {
        skipped: u32::try_from(texts.len() - steps.len()).unwrap_or(u32::MAX),
        ..in_guild(guild, steps)
    })
}

/// One field of the channel that the event names.
fn field<'a>(d: &Object<'a>, id: &'static str, field: &'static str) -> Outcome<'a> {
    let (entity, scope) = channel(d, id)?;
    let value = d.raw(field).map(Cow::Borrowed);
    Ok(Steps::new(
        scope,
        vec![Step::SetField {
            entity,
            field,
            value,
        }],
    ))
}

/// A guild's channel if there is a `guild_id`, else a private one.
pub(super) fn channel(d: &Object<'_>, id: &'static str) -> Result<(Entity, Scope), Unusable> {
    let id = d.id(id)?;
    let guild = d.optional_id("guild_id")?;
    let scope = match guild {
        Some(guild) => Scope::Guild(guild),
        None => Scope::Channel {
            guild: None,
            channel: id,
        },
    };
    Ok((Entity::Channel { guild, id }, scope))
}
