//! The dispatch layout: one string key for each object, holding its JSON.
//!
//! | key | holds |
//! |---|---|
//! | `bot_user` | the bot's user |
//! | `guild:<guild>` | a guild without its nested lists, or the stub of an unavailable one |
//! | `channel:<guild>:<channel>` | a channel or thread of a guild |
//! | `channel:<channel>` | a private channel |
//! | `message:<channel>:<message>` | a message; expires |
//! | `role:<guild>:<role>`, `emoji:<guild>:<emoji>`, `sticker:<guild>:<sticker>` | |
//! | `member:<guild>:<user>` | a member; expires if `STATE_MEMBER_TTL` is set |
//! | `presence:<guild>:<user>`, `voice:<guild>:<user>` | |
//! | `dispatch:total:<guild>` | which total of shards writes the guild, and since when |
//! | `dispatch:arrival:<guild>:<user>` | somebody joined lately; where members are not cached; expires |
//! | `stage:<guild>:<stage>`, `scheduled_event:<guild>:<event>`, `soundboard_sound:<guild>:<sound>` | |
//!
//! Which keys there are is told by the indexes, see [`super::index`].

use std::borrow::Cow;

use super::{Command, Database, PAGE};
use crate::core::{
    entity::{Entity, Family},
    settings::Settings,
    write::Write,
};

/// The key of an object.
#[must_use]
pub fn key(entity: Entity) -> String {
    let name = entity.family().name();
    let id = entity.id();
    match entity {
        Entity::BotUser => "bot_user".to_owned(),
        Entity::Message { channel, .. } => format!("{name}:{channel}:{id}"),
        Entity::Guild(_) | Entity::Total(_) => format!("{name}:{id}"),
        _ => match entity.guild() {
            Some(guild) => format!("{name}:{guild}:{id}"),
            None => format!("{name}:{id}"),
        },
    }
}

/// The object that a key holds; none if the key is not of this layout.
#[must_use]
pub fn parse_key(key: &str) -> Option<Entity> {
    if key == "bot_user" {
        return Some(Entity::BotUser);
    }
    let colon = key
        .strip_prefix("dispatch:")
        .map_or(0, |_| "dispatch:".len());
    let mut parts = key[colon..].split(':');
    let name = &key[..colon + parts.next()?.len()];
    let first = super::index::parse_id(parts.next()?)?;
    let second = parts.next().map(super::index::parse_id);
    if parts.next().is_some() {
        return None;
    }
    match (name, second) {
        ("guild", None) => Some(Entity::Guild(first)),
        ("dispatch:total", None) => Some(Entity::Total(first)),
        ("dispatch:arrival", Some(user)) => Some(Entity::Arrival {
            guild: first,
            user: user?,
        }),
        ("channel", None) => Some(Entity::Channel {
            guild: None,
            id: first,
        }),
        ("message", Some(id)) => Some(Entity::Message {
            channel: first,
            id: id?,
        }),
        (name, Some(id)) => {
            let family = Family::CHILDREN
                .into_iter()
                .find(|family| family.name() == name)?;
            Entity::child(first, family, id?)
        }
        _ => None,
    }
}

/// The commands of this layout for a batch's writes.
pub(super) fn commands<'w>(
    writes: &'w [Write],
    settings: &Settings,
    commands: &mut Vec<Command<'w>>,
) {
    let database = Database::Main;
    let mut gone = Vec::new();
    for write in writes {
        let key = key(write.entity());
        match write {
            Write::Put { entity, value, .. } => commands.push(Command::Set {
                database,
                key,
                value: Cow::Borrowed(value),
                expire_ms: settings.ttl_ms(entity.family()),
            }),
            Write::Delete(_) => gone.push(key),
        }
    }
    let pages = gone.chunks(PAGE);
    commands.extend(pages.map(|keys| Command::Unlink {
        database,
        keys: keys.to_vec(),
    }));
}
