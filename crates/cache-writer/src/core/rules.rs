//! What each event does, by subject. A rule sees the payload only, never what is cached.
//!
//! Merging is field by field at the top level: a field that is absent keeps its value, null
//! overwrites; nested objects are replaced whole. Three exceptions: the partial `user` of a
//! presence; `guild_id`, which Discord leaves out of the objects inside other payloads and which is
//! added there; and channels that turn hidden or visible.

mod channels;
mod children;
mod expressions;
mod guilds;
mod members;
mod messages;
mod threads;
mod voice;

pub(super) use self::guilds::NESTED;

use std::borrow::Cow;

use super::{
    entity::{Entity, Family},
    event::Unusable,
    object::Object,
    step::{Scope, Step, Steps},
};

type Outcome<'a> = Result<Steps<'a>, Unusable>;

/// Whether an event of this name can hold a [`Step::Purge`].
pub(super) fn purges(name: &str) -> bool {
    matches!(
        name,
        "READY"
            | "GUILD_CREATE"
            | "GUILD_DELETE"
            | "CHANNEL_DELETE"
            | "THREAD_DELETE"
            | "THREAD_LIST_SYNC"
    )
}

/// What an event does. Names without a rule do nothing, and their payload is not looked at.
pub(super) fn steps<'a>(name: &str, data: &'a str) -> Outcome<'a> {
    let d = || Object::parse(data).ok_or(Unusable::NotAnObject);
    match name {
        "READY" => guilds::ready(d()?),
        "USER_UPDATE" => guilds::user_update(d()?),
        "GUILD_CREATE" => guilds::create(d()?),
        "GUILD_UPDATE" => guilds::update(d()?),
        "GUILD_DELETE" => guilds::delete(d()?),

        "CHANNEL_CREATE" | "THREAD_CREATE" => channels::create(d()?),
        "CHANNEL_UPDATE" | "THREAD_UPDATE" => channels::update(d()?),
        "CHANNEL_DELETE" => channels::delete(d()?),
        "CHANNEL_PINS_UPDATE" => channels::pins_update(d()?),
        "VOICE_CHANNEL_STATUS_UPDATE" => channels::status_update(d()?),
        "VOICE_CHANNEL_START_TIME_UPDATE" => channels::start_time_update(d()?),
        "THREAD_DELETE" => threads::delete(d()?),
        "THREAD_LIST_SYNC" => threads::list_sync(d()?),
        "THREAD_MEMBER_UPDATE" => threads::member_update(d()?),
        "THREAD_MEMBERS_UPDATE" => threads::members_update(d()?),

        "GUILD_MEMBER_ADD" => members::add(d()?),
        "GUILD_MEMBER_UPDATE" => members::update(d()?),
        "GUILD_MEMBER_REMOVE" => members::remove(d()?),
        "GUILD_MEMBERS_CHUNK" => members::chunk(d()?),
        "PRESENCE_UPDATE" => members::presence_update(d()?),
        "VOICE_STATE_UPDATE" => voice::state_update(d()?),

        "MESSAGE_CREATE" => messages::create(d()?),
        "MESSAGE_UPDATE" => messages::update(d()?),
        "MESSAGE_DELETE" => messages::delete(d()?),
        "MESSAGE_DELETE_BULK" => messages::delete_bulk(d()?),

        "GUILD_ROLE_CREATE" => children::role_create(d()?),
        "GUILD_ROLE_UPDATE" => children::role_update(d()?),
        "GUILD_ROLE_DELETE" => children::role_delete(d()?),
        "STAGE_INSTANCE_CREATE" => children::create(&d()?, Family::Stage),
        "STAGE_INSTANCE_UPDATE" => children::update(d()?, Family::Stage),
        "STAGE_INSTANCE_DELETE" => children::delete(&d()?, Family::Stage, "id"),
        "GUILD_SCHEDULED_EVENT_CREATE" => children::create(&d()?, Family::ScheduledEvent),
        "GUILD_SCHEDULED_EVENT_UPDATE" => children::update(d()?, Family::ScheduledEvent),
        "GUILD_SCHEDULED_EVENT_DELETE" => children::delete(&d()?, Family::ScheduledEvent, "id"),
        "GUILD_SCHEDULED_EVENT_USER_ADD" => children::user_count(&d()?, true),
        "GUILD_SCHEDULED_EVENT_USER_REMOVE" => children::user_count(&d()?, false),
        "GUILD_SOUNDBOARD_SOUND_CREATE" => children::create(&d()?, Family::SoundboardSound),
        "GUILD_SOUNDBOARD_SOUND_UPDATE" => children::update(d()?, Family::SoundboardSound),
        "GUILD_SOUNDBOARD_SOUND_DELETE" => {
            children::delete(&d()?, Family::SoundboardSound, "sound_id")
        }

        "GUILD_EMOJIS_UPDATE" => expressions::emojis_update(d()?),
        "GUILD_STICKERS_UPDATE" => expressions::stickers_update(d()?),
        "GUILD_SOUNDBOARD_SOUNDS_UPDATE" => expressions::sounds_update(d()?),
        "SOUNDBOARD_SOUNDS" => expressions::sounds(d()?),

        _ => Ok(Steps::default()),
    }
}

/// The steps of an event of one guild.
fn in_guild(guild: u64, steps: Vec<Step<'_>>) -> Steps<'_> {
    Steps::new(Scope::Guild(guild), steps)
}

/// A guild's child as it stands in a list of another payload: identified by its own fields,
/// `guild_id` added.
fn listed<'a>(guild: u64, family: Family, text: &'a str) -> Option<(Entity, Cow<'a, str>)> {
    let object = Object::parse(text)?;
    let entity = Entity::child(guild, family, child_id(family, &object).ok()?)?;
    Some((entity, object.with_guild(guild)))
}

/// The id of a guild's child within its family, from the object itself.
fn child_id(family: Family, object: &Object<'_>) -> Result<u64, Unusable> {
    match family {
        Family::Member | Family::Presence => object.nested("user")?.id("id"),
        Family::Voice => object.id("user_id"),
        Family::SoundboardSound => object.id("sound_id"),
        _ => object.id("id"),
    }
}
