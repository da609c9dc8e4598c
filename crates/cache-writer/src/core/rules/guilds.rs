//! Guilds as wholes, and the bot's own user.

use std::{borrow::Cow, collections::HashSet};

use super::{Listed, Outcome, in_guild};
use crate::core::{
    entity::{Entity, Family},
    object::Object,
    purge::{Purge, Target},
    step::{Merging, Scope, Step, Steps},
    totals::Origin,
};

/// The lists inside a guild object whose elements are cached on their own.
pub(in crate::core) const NESTED: [(&str, Family); 11] = [
    ("roles", Family::Role),
    ("emojis", Family::Emoji),
    ("stickers", Family::Sticker),
    ("channels", Family::Channel),
    ("threads", Family::Channel),
    ("members", Family::Member),
    ("presences", Family::Presence),
    ("voice_states", Family::Voice),
    ("stage_instances", Family::Stage),
    ("guild_scheduled_events", Family::ScheduledEvent),
    ("soundboard_sounds", Family::SoundboardSound),
];

/// The bot's user; stubs for guilds that are not cached. A new session's READY also removes the
/// guilds of its shard that it does not list.
///
/// Every shard is told of the bot's user, in partitions that know nothing of each other: shard 0
/// writes it, the others see to it that it is there.
pub(super) fn ready<'a>(d: &Object<'a>, origin: Origin) -> Outcome<'a> {
    let user = d.nested("user")?;
    user.id("id")?;
    let (entity, value) = (Entity::BotUser, Cow::Borrowed(user.text));
    let mut steps = vec![match origin.shard {
        0 => Step::Store { entity, value },
        _ => Step::StoreIfAbsent { entity, value },
    }];
    let mut keep = HashSet::new();
    let mut skipped = 0;
    for text in d.list("guilds")? {
        match Object::parse(text).and_then(|stub| stub.id("id").ok()) {
            Some(guild) => {
                let entity = Entity::Guild(guild);
                keep.insert(entity);
                steps.push(Step::StoreIfAbsent {
                    entity,
                    value: Cow::Borrowed(text),
                });
            }
            None => skipped += 1,
        }
    }
    steps.push(Step::Purge(Purge {
        target: Target::Guilds {
            shard: origin.shard,
            total: origin.total,
            received_us: origin.received_us,
        },
        keep,
    }));
    Ok(Steps {
        skipped,
        ..Steps::new(Scope::Everything, steps)
    })
}

/// On shard 0 alone: another one would find the user as it is after the change, or before.
pub(super) fn user_update(d: Object<'_>, origin: Origin) -> Outcome<'_> {
    d.id("id")?;
    let whole = Some(Cow::Borrowed(d.text));
    let entity = Entity::BotUser;
    let step = Step::Merge {
        entity,
        patch: d,
        whole,
        mode: Merging::Fields,
    };
    Ok(match origin.shard {
        0 => Steps::new(Scope::Nothing, vec![step]),
        _ => Steps::default(),
    })
}

/// Each list that the payload holds in full replaces what is cached.
pub(super) fn create(mut d: Object<'_>) -> Outcome<'_> {
    let guild = d.id("id")?;
    if d.is_true("unavailable") {
        return Ok(unavailable(guild, d, true));
    }
    let mut children = Vec::new();
    let mut replaced = Vec::new();
    let mut skipped = 0;
    for (list, family) in NESTED {
        let Some(texts) = d.optional_list(list)? else {
            continue;
        };
        let in_full = match family {
            Family::Member => lists_all_members(&d, texts.len()),
            Family::Presence => d.number("member_count") <= Some(ALL_PRESENCES),
            _ => list != "threads",
        };
        if in_full {
            replaced.push(family);
        }
        for text in texts {
            match Listed::parse(guild, family, text) {
                Some(child) => children.push(child),
                None => skipped += 1,
            }
        }
    }
    let mut keep = HashSet::new();
    for child in &children {
        if child.value.is_some() {
            keep.insert(child.entity);
        } else {
            keep.remove(&child.entity);
        }
    }
    let name = d.value("name");
    d.strip(&NESTED.map(|(list, _)| list));
    let mut steps = vec![
        Step::Purge(Purge {
            target: Target::Children {
                guild,
                families: replaced,
            },
            keep,
        }),
        Step::Joined { guild, name },
        Step::Replace {
            entity: Entity::Guild(guild),
            value: Cow::Owned(d.render()),
        },
    ];
    steps.extend(children.into_iter().map(Listed::store));
    Ok(Steps {
        skipped,
        always_old: true,
        takes_guild: true,
        ..in_guild(guild, steps)
    })
}

/// Of a guild with more members, Discord lists the presences of some only (gateway events page, "Guild
/// Create").
const ALL_PRESENCES: u64 = 75_000;

/// Discord lists only some members of a large guild, and of any guild where the bot lacks the intent
/// GUILD_PRESENCES (gateway events page, "Guild Create").
fn lists_all_members(d: &Object<'_>, listed: usize) -> bool {
    let listed = u64::try_from(listed).unwrap_or(u64::MAX);
    !d.is_true("large") && d.number("member_count").is_none_or(|count| count <= listed)
}

/// Merged, since `joined_at`, `large` and `member_count` are not in the payload. Its lists are no
/// news: roles, emojis and stickers have events of their own.
pub(super) fn update(mut d: Object<'_>) -> Outcome<'_> {
    let guild = d.id("id")?;
    d.strip(&NESTED.map(|(list, _)| list));
    let whole = Some(Cow::Owned(d.render()));
    let entity = Entity::Guild(guild);
    Ok(in_guild(
        guild,
        vec![Step::Merge {
            entity,
            patch: d,
            whole,
            mode: Merging::Fields,
        }],
    ))
}

pub(super) fn delete(d: Object<'_>) -> Outcome<'_> {
    let guild = d.id("id")?;
    if d.is_true("unavailable") {
        return Ok(unavailable(guild, d, false));
    }
    let children = Target::Children {
        guild,
        families: Family::CHILDREN.to_vec(),
    };
    let steps = vec![
        Step::Purge(Purge::all(children)),
        Step::Left { guild },
        Step::Remove {
            entity: Entity::Guild(guild),
        },
        Step::Discard {
            entity: Entity::Total(guild),
        },
    ];
    Ok(Steps {
        always_old: true,
        ..in_guild(guild, steps)
    })
}

/// An outage is no loss of state: the guild says that it is unavailable, and all of it stays. A guild
/// that the bot has just joined may come so first.
fn unavailable(guild: u64, mut d: Object<'_>, comes: bool) -> Steps<'_> {
    d.strip(&NESTED.map(|(list, _)| list));
    let name = d.value("name");
    let mut steps = vec![Step::Merge {
        entity: Entity::Guild(guild),
        whole: Some(Cow::Owned(d.render())),
        patch: d,
        mode: Merging::Fields,
    }];
    if comes {
        steps.insert(0, Step::Joined { guild, name });
    }
    Steps {
        always_old: true,
        takes_guild: comes,
        ..in_guild(guild, steps)
    }
}
