//! Threads, where they differ from channels.

use std::{borrow::Cow, collections::HashSet};

use super::{Listed, Outcome, channels, in_guild};
use crate::core::{
    entity::{Entity, Family},
    object::{Object, id},
    purge::{Purge, Target},
    step::{Scope, Step, Steps},
    unusable::Unusable,
};

/// Channel types whose newest "message" is their newest thread: forum and media (Discord, channel
/// page, `last_message_id`).
const FORUMS: &[u64] = &[15, 16];

/// Also of a thread that is not new, when the bot is added to it.
pub(super) fn create<'a>(d: &Object<'a>) -> Outcome<'a> {
    let (entity, scope) = channels::channel(d, "id")?;
    let value = Cow::Borrowed(d.text);
    let mut steps = vec![if is_archived(d) {
        Step::Discard { entity }
    } else {
        Step::Store { entity, value }
    }];
    if let (Some(guild), Some(parent)) = (entity.guild(), d.optional_id("parent_id")?) {
        steps.push(Step::Newest {
            channel: Entity::Channel {
                guild: Some(guild),
                id: parent,
            },
            id: entity.id(),
            types: Some(FORUMS),
        });
    }
    Ok(Steps::new(scope, steps))
}

/// Threads are archived by this event alone, and come back by it, whole.
pub(super) fn update(d: Object<'_>) -> Outcome<'_> {
    if !is_archived(&d) {
        return channels::update(d);
    }
    let (entity, scope) = channels::channel(&d, "id")?;
    let messages = Purge::all(Target::Messages {
        channel: entity.id(),
    });
    Ok(Steps::new(
        scope,
        vec![Step::Purge(messages), Step::Remove { entity }],
    ))
}

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

/// The threads of the named parents, or of the whole guild, become the listed ones. The bot's own
/// thread members stand beside them.
pub(super) fn list_sync<'a>(d: &Object<'a>) -> Outcome<'a> {
    let guild = d.id("guild_id")?;
    let mut skipped = 0;
    let parents = d.optional_list("channel_ids")?.map(|texts| {
        let parents: HashSet<u64> = texts.iter().filter_map(|text| id(text)).collect();
        skipped += u32::from(parents.len() < texts.len());
        parents
    });
    let members = d.optional_list("members")?;
    let member_of = |thread: u64| {
        let of = |text: &&&str| Object::parse(text).is_some_and(|o| o.id("id") == Ok(thread));
        members.iter().flatten().rfind(of).copied()
    };
    let mut stored = Vec::new();
    let mut keep = HashSet::new();
    for text in d.list("threads")? {
        let Some(listed) = Listed::parse(guild, Family::Channel, text) else {
            skipped += 1;
            continue;
        };
        let (entity, object) = (listed.entity, &listed.object);
        let step = match (&listed.value, member_of(entity.id())) {
            (Some(value), Some(member)) => Step::Store {
                entity,
                value: with_member(value, member),
            },
            (Some(value), None) if members.is_none() => Step::StoreKeeping {
                entity,
                object: object.clone(),
                value: value.clone(),
                field: "member",
            },
            _ => listed.store(),
        };
        if matches!(step, Step::Discard { .. }) {
            keep.remove(&entity);
        } else {
            keep.insert(entity);
        }
        stored.push(step);
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
        ..Steps::default()
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

/// Who came and who left, the bot perhaps among them.
pub(super) fn members_update<'a>(d: &Object<'a>) -> Outcome<'a> {
    let thread = thread(d)?;
    let guild = d.id("guild_id")?;
    let listed = d.optional_list("added_members")?.unwrap_or_default();
    let added: Vec<_> = listed
        .iter()
        .filter_map(|text| {
            let mut member = Object::parse(text)?;
            let user = member.id("user_id").ok()?;
            // Not in a thread member that stands in its thread.
            member.strip(&["member", "presence"]);
            Some((user, member.render()))
        })
        .collect();
    let left = d.optional_list("removed_member_ids")?.unwrap_or_default();
    let removed: Vec<_> = left.iter().filter_map(|text| id(text)).collect();
    let bad = listed.len() - added.len() + left.len() - removed.len();
    let step = Step::ThreadMembers {
        thread,
        count: d.raw("member_count").map(Cow::Borrowed),
        added,
        removed,
    };
    Ok(Steps {
        skipped: u32::try_from(bad).unwrap_or(u32::MAX),
        ..in_guild(guild, vec![step])
    })
}

/// Whether this is a thread that is archived: Discord lists it no more.
pub(super) fn is_archived(channel: &Object<'_>) -> bool {
    let metadata = channel.nested("thread_metadata");
    metadata.is_ok_and(|metadata| metadata.is_true("archived"))
}

fn with_member<'a>(thread: &Cow<'a, str>, member: &str) -> Cow<'a, str> {
    let with = Object::parse(thread).map(|thread| thread.with_field("member", member));
    with.map_or_else(|| thread.clone(), Cow::Owned)
}

fn thread(d: &Object<'_>) -> Result<Entity, Unusable> {
    Ok(Entity::Channel {
        guild: Some(d.id("guild_id")?),
        id: d.id("id")?,
    })
}
