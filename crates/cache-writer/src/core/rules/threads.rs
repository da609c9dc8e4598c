//! Threads, where they differ from channels.

use std::{borrow::Cow, collections::HashSet};

use super::{Outcome, in_guild, listed};
use crate::core::{
    entity::{Entity, Family},
    event::Unusable,
    object::{Object, id},
    purge::{Purge, Target},
    step::{Scope, Step, Steps},
};

/// The thread and its messages.
pub(super) fn delete(d: Object<'_>) -> Outcome<'_> {
    let entity = thread(&d)?;
    let messages = Purge::all(Target::Messages {
        channel: entity.id(),
    });
    let guild = d.id("guild_id")?;
    Ok(in_guild(
        guild,
        vec![Step::Purge(messages), Step::Remove { entity }],
    ))
}

/// The threads of the named parents, or of the whole guild, become the listed ones.
pub(super) fn list_sync(d: Object<'_>) -> Outcome<'_> {
    let guild = d.id("guild_id")?;
    let mut skipped = 0;
    let parents = d.optional_list("channel_ids")?.map(|texts| {
        let parents: HashSet<u64> = texts.iter().filter_map(|text| id(text)).collect();
        skipped += u32::from(parents.len() < texts.len());
        parents
    });
    let mut stored = Vec::new();
    let mut keep = HashSet::new();
    for text in d.list("threads")? {
        match listed(guild, Family::Channel, text) {
            Some((entity, value)) => {
                keep.insert(entity);
                stored.push(Step::Store { entity, value });
            }
            None => skipped += 1,
        }
    }
    let mut steps = vec![Step::Purge(Purge {
        target: Target::Threads { guild, parents },
        keep,
    })];
    steps.append(&mut stored);
    Ok(Steps {
        scope: Scope::Guild(guild),
        steps,
        skipped,
    })
}

/// The bot's own membership of a thread.
pub(super) fn member_update(mut d: Object<'_>) -> Outcome<'_> {
    let entity = thread(&d)?;
    let guild = d.id("guild_id")?;
    d.strip(&["guild_id"]);
    let value = Some(Cow::Owned(d.render()));
    Ok(in_guild(
        guild,
        vec![Step::SetField {
            entity,
            field: "member",
            value,
        }],
    ))
}

pub(super) fn members_update(d: Object<'_>) -> Outcome<'_> {
    let entity = thread(&d)?;
    let guild = d.id("guild_id")?;
    let value = d.raw("member_count").map(Cow::Borrowed);
    Ok(in_guild(
        guild,
        vec![Step::SetField {
            entity,
            field: "member_count",
            value,
        }],
    ))
}

fn thread(d: &Object<'_>) -> Result<Entity, Unusable> {
    Ok(Entity::Channel {
        guild: Some(d.id("guild_id")?),
        id: d.id("id")?,
    })
}
