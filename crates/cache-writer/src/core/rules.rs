//! What each event does, by subject. A rule sees the payload only, never what is cached.
//!
//! Merging is field by field at the top level: a field that is absent keeps its value, null
//! overwrites; nested objects are replaced whole. Exceptions: a whole message or role replaces; the
//! partial `user` of a presence is merged; `guild_id`, which Discord leaves out of the objects inside other
//! payloads, is added there; and nothing is merged between a hidden and a visible channel.
//!
//! What Discord means by absence is not kept: an archived thread, an offline presence and a voice
//! state without a channel leave the cache.

mod channels;
mod children;
mod expressions;
mod guilds;
mod members;
mod messages;
mod reactions;
mod threads;
mod voice;

pub(super) use self::guilds::NESTED;

use std::borrow::Cow;

use super::{
    entity::{Entity, Family},
    object::{Object, string},
    step::{Scope, Step, Steps},
    totals::Origin,
    unusable::Unusable,
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
            | "THREAD_UPDATE"
            | "THREAD_DELETE"
            | "THREAD_LIST_SYNC"
    )
}

/// What an event does. Names without a rule do nothing, and their payload is not looked at.
pub(super) fn steps<'a>(name: &str, data: &'a str, origin: Origin) -> Outcome<'a> {
    let d = || Object::parse(data).ok_or(Unusable::NotAnObject);
    match name {
        "READY" => guilds::ready(&d()?, origin),
        "USER_UPDATE" => guilds::user_update(d()?, origin),
        "GUILD_CREATE" => guilds::create(d()?),
        "GUILD_UPDATE" => guilds::update(d()?),
        "GUILD_DELETE" => guilds::delete(d()?),

        "CHANNEL_CREATE" => channels::create(&d()?),
        "CHANNEL_UPDATE" => channels::update(d()?),
        "CHANNEL_DELETE" => channels::delete(d()?),
        "CHANNEL_PINS_UPDATE" => channels::pins_update(d()?),
        "CHANNEL_INFO" => channels::info(&d()?),
        "VOICE_CHANNEL_STATUS_UPDATE" => channels::status_update(d()?),
        "VOICE_CHANNEL_START_TIME_UPDATE" => channels::start_time_update(d()?),
        "THREAD_CREATE" => threads::create(&d()?),
        "THREAD_UPDATE" => threads::update(d()?),
        "THREAD_DELETE" => threads::delete(d()?),
        "THREAD_LIST_SYNC" => threads::list_sync(&d()?),
        "THREAD_MEMBER_UPDATE" => threads::member_update(d()?),
        "THREAD_MEMBERS_UPDATE" => threads::members_update(&d()?),

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
        "MESSAGE_REACTION_ADD" => reactions::reaction(&d()?, true),
        "MESSAGE_REACTION_REMOVE" => reactions::reaction(&d()?, false),
        "MESSAGE_REACTION_REMOVE_ALL" => reactions::remove_all(&d()?),
        "MESSAGE_REACTION_REMOVE_EMOJI" => reactions::remove_emoji(&d()?),
        "MESSAGE_POLL_VOTE_ADD" => reactions::vote(&d()?, true),
        "MESSAGE_POLL_VOTE_REMOVE" => reactions::vote(&d()?, false),

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

/// A guild's child as it stands in a list of another payload: identified by its own fields.
pub(super) struct Listed<'a> {
    pub(super) entity: Entity,
    object: Object<'a>,
    /// `guild_id` added; none where absence says the same.
    pub(super) value: Option<Cow<'a, str>>,
}

impl<'a> Listed<'a> {
    pub(super) fn parse(guild: u64, family: Family, text: &'a str) -> Option<Self> {
        let object = Object::parse(text)?;
        let entity = Entity::child(guild, family, child_id(family, &object).ok()?)?;
        let absent = match family {
            Family::Presence => is_offline(&object),
            Family::Channel => threads::is_archived(&object),
            Family::Voice => object.raw("channel_id") == Some("null"),
            _ => false,
        };
        let value = (!absent).then(|| object.with_guild(guild));
        Some(Self {
            entity,
            object,
            value,
        })
    }

    fn store(self) -> Step<'a> {
        let entity = self.entity;
        match self.value {
            Some(value) => Step::Store { entity, value },
            None => Step::Discard { entity },
        }
    }
}

/// An offline presence says no more than that there is none.
fn is_offline(presence: &Object<'_>) -> bool {
    presence.raw("status").and_then(string).as_deref() == Some("offline")
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
