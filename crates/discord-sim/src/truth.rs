//! What a perfect cache must hold: the state that follows from the dispatches that were really sent
//! to one shard, and the `old` that each of them must report.
//!
//! Written for clarity: whole JSON values in one sorted map, one event at a time. The sorted keys
//! make each family of a guild and each channel's messages a contiguous range, so that nothing ever
//! scans the whole map.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use serde_json::{Map, Value};

use crate::protocol::snowflake::shard_of;

mod channels;
mod entries;
mod guilds;
mod members;
mod messages;
mod reactions;

use entries::{id, id_of, merge};

/// The truth of one shard.
#[derive(Debug, Clone, Default)]
pub struct Truth {
    entries: BTreeMap<String, Value>,
    /// The session that the last READY began.
    session: Option<String>,
    /// The shard that it named.
    shard: u32,
    /// The keys of messages, oldest first, where only the newest are kept; those of deleted ones among them.
    messages: VecDeque<String>,
    /// How many messages are kept; `None` = all.
    kept_messages: Option<usize>,
    /// Nobody asks for `old`: where it would be a copy, it is null.
    without_old: bool,
}

/// The fields of a dispatch's `d`.
type Fields = Map<String, Value>;

impl Truth {
    /// An empty truth: nothing has been sent.
    pub fn new() -> Truth {
        Truth::default()
    }

    /// An empty truth that keeps so many messages at most, the newest; without `old`, its answers to
    /// [`Truth::apply`] mean nothing.
    pub(crate) fn bounded(kept_messages: usize, with_old: bool) -> Truth {
        Truth {
            kept_messages: Some(kept_messages),
            without_old: !with_old,
            ..Truth::default()
        }
    }

    /// False for frequent events that change nothing and have no `old`: they need not be read.
    pub(crate) fn is_concerned(t: &str) -> bool {
        !matches!(
            t,
            "TYPING_START" | "INTERACTION_CREATE" | "GUILD_AUDIT_LOG_ENTRY_CREATE"
        )
    }

    /// Applies one dispatch that was sent in `session`; returns the `old` that an exact cache
    /// reports (`None`: it reports none). A payload that can't be used changes nothing.
    pub fn apply(&mut self, session: &str, t: &str, d: &Value) -> Option<Value> {
        let fields = d.as_object()?;
        match t {
            "READY" => self.ready(session, fields),
            "USER_UPDATE" => self.user_update(fields),
            "GUILD_CREATE" => self.guild_create(fields),
            "GUILD_UPDATE" => self.guild_update(fields),
            "GUILD_DELETE" => self.guild_delete(fields),
            "CHANNEL_CREATE" => self.channel_create(fields),
            "CHANNEL_UPDATE" => self.channel_update(fields),
            "THREAD_CREATE" => self.thread_create(fields),
            "THREAD_UPDATE" => self.thread_update(fields),
            "CHANNEL_DELETE" => self.channel_delete(fields),
            "THREAD_DELETE" => self.thread_delete(fields),
            "CHANNEL_PINS_UPDATE" => self.channel_field(fields, "channel_id", "last_pin_timestamp"),
            "CHANNEL_INFO" => self.channel_info(fields),
            "VOICE_CHANNEL_STATUS_UPDATE" => self.channel_field(fields, "id", "status"),
            "VOICE_CHANNEL_START_TIME_UPDATE" => {
                self.channel_field(fields, "id", "voice_start_time")
            }
            "THREAD_MEMBERS_UPDATE" => self.thread_members_update(fields),
            "THREAD_MEMBER_UPDATE" => self.thread_member_update(fields),
            "THREAD_LIST_SYNC" => self.thread_list_sync(fields),
            "GUILD_ROLE_CREATE" => self.role_create(fields),
            "GUILD_ROLE_UPDATE" => self.role_update(fields),
            "GUILD_ROLE_DELETE" => self.child_delete("role", fields, "role_id"),
            "GUILD_EMOJIS_UPDATE" => self.list_update("emoji", fields, "emojis", "id"),
            "GUILD_STICKERS_UPDATE" => self.list_update("sticker", fields, "stickers", "id"),
            "GUILD_SOUNDBOARD_SOUNDS_UPDATE" => self.sounds_update(fields),
            "SOUNDBOARD_SOUNDS" => {
                self.list_update("soundboard_sound", fields, "soundboard_sounds", "sound_id");
                None
            }
            "GUILD_SOUNDBOARD_SOUND_CREATE" => {
                self.child_put("soundboard_sound", fields, "sound_id")
            }
            "GUILD_SOUNDBOARD_SOUND_UPDATE" => {
                self.child_change("soundboard_sound", fields, "sound_id")
            }
            "GUILD_SOUNDBOARD_SOUND_DELETE" => {
                self.child_delete("soundboard_sound", fields, "sound_id")
            }
            "STAGE_INSTANCE_CREATE" => self.child_put("stage", fields, "id"),
            "STAGE_INSTANCE_UPDATE" => self.child_change("stage", fields, "id"),
            "STAGE_INSTANCE_DELETE" => self.child_delete("stage", fields, "id"),
            "GUILD_SCHEDULED_EVENT_CREATE" => self.child_put("scheduled_event", fields, "id"),
            "GUILD_SCHEDULED_EVENT_UPDATE" => self.child_change("scheduled_event", fields, "id"),
            "GUILD_SCHEDULED_EVENT_DELETE" => self.child_delete("scheduled_event", fields, "id"),
            "GUILD_SCHEDULED_EVENT_USER_ADD" => self.scheduled_users(fields, 1),
            "GUILD_SCHEDULED_EVENT_USER_REMOVE" => self.scheduled_users(fields, -1),
            "GUILD_MEMBER_ADD" => self.member_add(fields),
            "GUILD_MEMBER_REMOVE" => self.member_remove(fields),
            "GUILD_MEMBER_UPDATE" => self.member_update(fields),
            "GUILD_MEMBERS_CHUNK" => self.members_chunk(fields),
            "PRESENCE_UPDATE" => self.presence_update(fields),
            "VOICE_STATE_UPDATE" => self.voice_state_update(fields),
            "MESSAGE_CREATE" => self.message_create(fields),
            "MESSAGE_UPDATE" => self.message_update(fields),
            "MESSAGE_DELETE" => self.message_delete(fields),
            "MESSAGE_DELETE_BULK" => self.message_delete_bulk(fields),
            "MESSAGE_REACTION_ADD" => self.reaction(fields, 1),
            "MESSAGE_REACTION_REMOVE" => self.reaction(fields, -1),
            "MESSAGE_REACTION_REMOVE_ALL" => self.reactions_clear(fields),
            "MESSAGE_REACTION_REMOVE_EMOJI" => self.reactions_clear_emoji(fields),
            "MESSAGE_POLL_VOTE_ADD" => self.vote(fields, 1),
            "MESSAGE_POLL_VOTE_REMOVE" => self.vote(fields, -1),
            _ => None,
        }
    }

    /// All entries, by key in byte order.
    pub fn entries(&self) -> impl Iterator<Item = (&str, &Value)> {
        self.entries
            .iter()
            .map(|(key, value)| (key.as_str(), value))
    }

    /// The value of one public key of the `dispatch` layout, such as `member:1:2`.
    pub fn get(&self, key: &str) -> Option<&Value> {
        self.entries.get(key)
    }

    /// READY: the bot's user, and stubs for guilds that aren't known yet. A new session's READY
    /// also ends what is known of this shard's guilds that it no longer lists.
    fn ready(&mut self, session: &str, d: &Fields) -> Option<Value> {
        let user = d
            .get("user")
            .filter(|user| user.get("id").and_then(id).is_some())?;
        let stubs = d.get("guilds")?.as_array()?;
        let listed: BTreeSet<u64> = stubs
            .iter()
            .filter_map(|stub| id(stub.get("id")?))
            .collect();
        let named = shard_in(d);
        self.shard = named.map_or(0, |(shard, _)| shard);
        self.entries.insert("bot_user".to_owned(), user.clone());
        let is_new = self.session.replace(session.to_owned()).as_deref() != Some(session);
        if is_new && let Some((shard, total)) = named {
            for guild in self.guilds() {
                if shard_of(guild, total) == shard && !listed.contains(&guild) {
                    self.purge_guild(guild);
                    self.entries.remove(&format!("guild:{guild}"));
                }
            }
        }
        for stub in stubs {
            if let Some(guild) = stub.get("id").and_then(id) {
                self.entries
                    .entry(format!("guild:{guild}"))
                    .or_insert_with(|| stub.clone());
            }
        }
        None
    }

    /// Shard 0 tells of the bot's user; the others would tell what is known already.
    fn user_update(&mut self, d: &Fields) -> Option<Value> {
        id_of(d, "id").filter(|_| self.shard == 0)?;
        self.change("bot_user".to_owned(), d)
    }

    /// The bot's user id, if a READY has told it.
    fn bot(&self) -> Option<u64> {
        self.entries.get("bot_user")?.get("id").and_then(id)
    }
}

/// `shard` of READY; one that is missing means the only shard.
fn shard_in(d: &Fields) -> Option<(u32, u32)> {
    let Some(shard) = d.get("shard") else {
        return Some((0, 1));
    };
    let number = |place: usize| u32::try_from(shard.get(place)?.as_u64()?).ok();
    Some((number(0)?, number(1)?))
}

#[cfg(test)]
mod tests;
