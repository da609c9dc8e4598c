//! The cache layout of Spectacles (its spec, section "Caching"): hashes by id.
//!
//! | key | kind | field |
//! |---|---|---|
//! | `USERS` | hash | user id: members of cached guilds, authors of messages, the bot; see [`super::users`] |
//! | `GUILDS` | hash | guild id |
//! | `CHANNELS`, `ROLES`, `EMOJIS` | hash | the object's id; threads are channels |
//! | `CHANNELS:<guild>` | set of ids | |
//! | `MEMBERS:<guild>`, `VOICE_STATES:<guild>` | hash | user id |
//! | `PRESENCES:<user>` | hash | guild id: a presence is one user's in one guild, so the key names the user |
//! | `MESSAGES:<channel>:<message>` | string in a database of its own, expires | |
//! | `STICKERS`, `STAGE_INSTANCES`, `SCHEDULED_EVENTS`, `SOUNDBOARD_SOUNDS` | hash | the object's id; not in the spec, in its manner |
//!
//! Fields that are null are left out, at every level, but in a role's `tags`, where null means true.
//! Fields of a hash can't expire before Redis 7.4, so `STATE_MEMBER_TTL` has no effect here. The bot's user is in the key `bot_user` too,
//! since `USERS` does not tell which one it is.

use std::{borrow::Cow, collections::BTreeMap};

use super::{Command, Database, Location, PAGE, dispatch, nulls::without_nulls};
use crate::core::{
    entity::{Entity, Family},
    object::Object,
    rules::NESTED,
    settings::Settings,
    write::Write,
};

/// Where an object is stored.
#[must_use]
pub fn location(entity: Entity) -> Location {
    let id = entity.id();
    let key = match entity {
        Entity::BotUser | Entity::Total(_) | Entity::Arrival { .. } => {
            return Location::Key {
                database: Database::Main,
                key: dispatch::key(entity),
            };
        }
        Entity::Message { channel, .. } => {
            let key = format!("MESSAGES:{channel}:{id}");
            return Location::Key {
                database: Database::Messages,
                key,
            };
        }
        Entity::Presence { guild, user } => {
            return Location::Field {
                key: format!("PRESENCES:{user}"),
                field: guild.to_string(),
            };
        }
        Entity::Member { guild, .. } => format!("MEMBERS:{guild}"),
        Entity::Voice { guild, .. } => format!("VOICE_STATES:{guild}"),
        Entity::Guild(_) => "GUILDS".to_owned(),
        Entity::Channel { .. } => "CHANNELS".to_owned(),
        Entity::Role { .. } => "ROLES".to_owned(),
        Entity::Emoji { .. } => "EMOJIS".to_owned(),
        Entity::Sticker { .. } => "STICKERS".to_owned(),
        Entity::Stage { .. } => "STAGE_INSTANCES".to_owned(),
        Entity::ScheduledEvent { .. } => "SCHEDULED_EVENTS".to_owned(),
        Entity::SoundboardSound { .. } => "SOUNDBOARD_SOUNDS".to_owned(),
    };
    Location::Field {
        key,
        field: id.to_string(),
    }
}

/// The commands of this layout for a batch's writes.
pub(super) fn commands<'w>(
    writes: &'w [Write],
    settings: &Settings,
    commands: &mut Vec<Command<'w>>,
) {
    let mut gone = Gone::default();
    let mut channels: BTreeMap<(u64, bool), Vec<u64>> = BTreeMap::new();
    for write in writes {
        let entity = write.entity();
        if let Entity::Channel {
            guild: Some(guild),
            id,
        } = entity
        {
            channels
                .entry((guild, matches!(write, Write::Put { .. })))
                .or_default()
                .push(id);
        }
        match write {
            Write::Put { entity, value, .. } => put(*entity, value, settings, commands),
            Write::Delete(entity) => gone.add(location(*entity)),
        }
    }
    gone.into_commands(commands);
    for ((guild, add), ids) in channels {
        commands.extend(ids.chunks(PAGE).map(|ids| {
            let (key, ids) = (format!("CHANNELS:{guild}"), ids.to_vec());
            if add {
                Command::SetAdd { key, ids }
            } else {
                Command::SetRemove { key, ids }
            }
        }));
    }
}

fn put<'w>(entity: Entity, value: &'w str, settings: &Settings, commands: &mut Vec<Command<'w>>) {
    let value = match entity.family() {
        Family::Guild => without_lists(value),
        _ => without_nulls(value),
    };
    if entity == Entity::BotUser {
        let user = Object::parse(&value).and_then(|user| user.id("id").ok());
        commands.extend(user.map(|user| Command::HashSet {
            key: "USERS".to_owned(),
            field: user.to_string(),
            value: value.clone(),
        }));
    }
    match location(entity) {
        // With both layouts the bot's user and the bookkeeping have been written by the other one.
        Location::Key {
            database: Database::Main,
            ..
        } if settings.layouts.dispatch => {}
        Location::Key { database, key } => {
            let expire_ms = settings.ttl_ms(entity.family());
            commands.push(Command::Set {
                database,
                key,
                value,
                expire_ms,
            });
        }
        Location::Field { key, field } => commands.push(Command::HashSet { key, field, value }),
    }
}

fn without_lists(value: &str) -> Cow<'_, str> {
    match Object::parse(value) {
        Some(mut guild) if NESTED.iter().any(|(list, _)| guild.raw(list).is_some()) => {
            guild.strip(&NESTED.map(|(list, _)| list));
            Cow::Owned(without_nulls(&guild.render()).into_owned())
        }
        _ => without_nulls(value),
    }
}

/// What is deleted, gathered by command.
#[derive(Default)]
struct Gone {
    keys: BTreeMap<Database, Vec<String>>,
    fields: BTreeMap<String, Vec<String>>,
}

impl Gone {
    fn add(&mut self, location: Location) {
        match location {
            Location::Key { database, key } => self.keys.entry(database).or_default().push(key),
            Location::Field { key, field } => self.fields.entry(key).or_default().push(field),
        }
    }

    fn into_commands(self, commands: &mut Vec<Command<'_>>) {
        for (database, keys) in self.keys {
            let pages = keys.chunks(PAGE);
            commands.extend(pages.map(|keys| Command::Unlink {
                database,
                keys: keys.to_vec(),
            }));
        }
        for (key, fields) in self.fields {
            commands.extend(fields.chunks(PAGE).map(|fields| Command::HashDelete {
                key: key.clone(),
                fields: fields.to_vec(),
            }));
        }
    }
}
