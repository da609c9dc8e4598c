//! Guilds as wholes, and the bot's own user.

use std::{borrow::Cow, collections::HashSet};

use super::{Outcome, in_guild, listed};
use crate::core::{
    entity::{Entity, Family},
    object::Object,
    purge::{Purge, Target},
    step::{Merging, Scope, Step, Steps},
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
/// guilds of its shard that it does not list; the shard number is filled in by the planner, which
/// knows the event.
pub(super) fn ready(d: Object<'_>) -> Outcome<'_> {
    let user = d.nested("user")?;
    user.id("id")?;
    let mut steps = vec![Step::Store {
        entity: Entity::BotUser,
        value: Cow::Borrowed(user.text),
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
        target: Target::Guilds { shard: 0, total: 0 },
        keep,
    }));
    Ok(Steps {
        scope: Scope::Everything,
        steps,
        skipped,
    })
}

pub(super) fn user_update(d: Object<'_>) -> Outcome<'_> {
    d.id("id")?;
    let whole = Some(Cow::Borrowed(d.text));
    let entity = Entity::BotUser;
    let step = Step::Merge {
        entity,
        patch: d,
        whole,
        mode: Merging::Fields,
    };
    Ok(Steps {
        steps: vec![step],
        ..Steps::default()
    })
}

/// Everything of the guild becomes what the payload lists.
pub(super) fn create(mut d: Object<'_>) -> Outcome<'_> {
    let guild = d.id("id")?;
    if d.is_true("unavailable") {
        return Ok(in_guild(guild, unavailable(guild, &d)));
    }
    let mut children = Vec::new();
    let mut skipped = 0;
    for (list, family) in NESTED {
        for text in d.optional_list(list)?.unwrap_or_default() {
            match listed(guild, family, text) {
                Some(child) => children.push(child),
                None => skipped += 1,
            }
        }
    }
    let keep = children.iter().map(|(entity, _)| *entity).collect();
    let name = d.value("name");
    d.strip(&NESTED.map(|(list, _)| list));
    let mut steps = vec![
        Step::Purge(Purge {
            target: Target::Children { guild },
            keep,
        }),
        Step::Joined { guild, name },
        Step::Replace {
            entity: Entity::Guild(guild),
            value: Cow::Owned(d.render()),
        },
    ];
    steps.extend(
        children
            .into_iter()
            .map(|(entity, value)| Step::Store { entity, value }),
    );
    Ok(Steps {
        scope: Scope::Guild(guild),
        steps,
        skipped,
    })
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
    let steps = if d.is_true("unavailable") {
        unavailable(guild, &d)
    } else {
        vec![
            Step::Purge(Purge::all(Target::Children { guild })),
            Step::Left { guild },
            Step::Remove {
                entity: Entity::Guild(guild),
            },
        ]
    };
    Ok(in_guild(guild, steps))
}

/// An outage: the stub stays, so that the return can be told from a join.
fn unavailable<'a>(guild: u64, d: &Object<'a>) -> Vec<Step<'a>> {
    vec![
        Step::Purge(Purge::all(Target::Children { guild })),
        Step::Replace {
            entity: Entity::Guild(guild),
            value: Cow::Borrowed(d.text),
        },
    ]
}
