//! Single objects of a guild that come, change and go by events of their own: roles, stage
//! instances, scheduled events, soundboard sounds. Their updates carry the whole object, so one
//! that is not cached is stored. They are merged all the same, as `user_count` and `user` are not
//! always told; but a whole role replaces, since only absence says that it has no `tags` any more.

use std::borrow::Cow;

use super::{Outcome, child_id, in_guild};
use crate::core::{
    entity::{Entity, Family},
    object::Object,
    step::{Merging, Step},
    unusable::Unusable,
};

pub(super) fn create<'a>(d: &Object<'a>, family: Family) -> Outcome<'a> {
    let guild = d.id("guild_id")?;
    let entity = child(guild, family, child_id(family, d)?)?;
    Ok(in_guild(
        guild,
        vec![Step::Store {
            entity,
            value: Cow::Borrowed(d.text),
        }],
    ))
}

pub(super) fn update(d: Object<'_>, family: Family) -> Outcome<'_> {
    let guild = d.id("guild_id")?;
    merge(guild, family, d)
}

pub(super) fn delete<'a>(d: &Object<'_>, family: Family, id: &'static str) -> Outcome<'a> {
    let guild = d.id("guild_id")?;
    let entity = child(guild, family, d.id(id)?)?;
    Ok(in_guild(guild, vec![Step::Remove { entity }]))
}

pub(super) fn role_create(d: Object<'_>) -> Outcome<'_> {
    let (guild, role) = (d.id("guild_id")?, d.nested("role")?);
    let entity = Entity::Role {
        guild,
        id: role.id("id")?,
    };
    Ok(in_guild(
        guild,
        vec![Step::Store {
            entity,
            value: role.with_guild(guild),
        }],
    ))
}

pub(super) fn role_update(d: Object<'_>) -> Outcome<'_> {
    let (guild, role) = (d.id("guild_id")?, d.nested("role")?);
    if !role.has(&["name", "position", "permissions"]) {
        return merge(guild, Family::Role, role);
    }
    let step = Step::Replace {
        entity: child(guild, Family::Role, role.id("id")?)?,
        value: role.with_guild(guild),
    };
    Ok(in_guild(guild, vec![step]))
}

pub(super) fn role_delete(d: Object<'_>) -> Outcome<'_> {
    delete(&d, Family::Role, "role_id")
}

/// Somebody wants to come to a scheduled event, or no longer.
pub(super) fn user_count<'a>(d: &Object<'_>, up: bool) -> Outcome<'a> {
    let guild = d.id("guild_id")?;
    let entity = Entity::ScheduledEvent {
        guild,
        id: d.id("guild_scheduled_event_id")?,
    };
    let step = Step::Adjust {
        entity,
        field: "user_count",
        up,
        by: 1,
        unless: Vec::new(),
        old: true,
    };
    Ok(in_guild(guild, vec![step]))
}

fn merge(guild: u64, family: Family, object: Object<'_>) -> Outcome<'_> {
    let entity = child(guild, family, child_id(family, &object)?)?;
    let whole = Some(object.with_guild(guild));
    let step = Step::Merge {
        entity,
        patch: object,
        whole,
        mode: Merging::Fields,
    };
    Ok(in_guild(guild, vec![step]))
}

fn child(guild: u64, family: Family, id: u64) -> Result<Entity, Unusable> {
    Entity::child(guild, family, id).ok_or(Unusable::WrongType("id"))
}
