//! Channels and threads.

use serde_json::{Value, json};

use super::{Overlay, user::id, words};
use crate::protocol::snowflake::timestamp;

/// Flag of a channel that the bot can't view (Discord, "Obfuscated channels").
pub(crate) const OBFUSCATED: u64 = 1 << 17;

pub(crate) const TEXT: u8 = 0;
pub(crate) const VOICE: u8 = 2;
pub(crate) const CATEGORY: u8 = 4;
pub(crate) const ANNOUNCEMENT: u8 = 5;
pub(crate) const STAGE: u8 = 13;
pub(crate) const FORUM: u8 = 15;

#[derive(Debug, Clone, Default)]
pub(crate) struct Channel {
    pub(crate) id: u64,
    /// Discord's channel type.
    pub(crate) kind: u8,
    /// Counts the changes of its name and topic.
    pub(crate) revision: u16,
    pub(crate) position: u16,
    pub(crate) parent: Option<u64>,
    pub(crate) slow_seconds: u16,
    pub(crate) last_message: Option<u64>,
    pub(crate) last_pin_ms: Option<u64>,
    /// The bot can't view it.
    pub(crate) hidden: bool,
    /// A role that may not write here.
    pub(crate) muted_role: Option<u64>,
    /// 0 = no status.
    pub(crate) status: u16,
    pub(crate) voice_start_seconds: Option<u64>,
    pub(crate) set: Overlay,
}

impl Channel {
    /// Whether messages go here and the bot sees them.
    pub(crate) fn takes_messages(&self) -> bool {
        !self.hidden && matches!(self.kind, TEXT | ANNOUNCEMENT | VOICE)
    }

    /// Whether one can be in a call here.
    pub(crate) fn takes_voice(&self) -> bool {
        !self.hidden && matches!(self.kind, VOICE | STAGE)
    }

    /// Whether threads belong here.
    pub(crate) fn takes_threads(&self) -> bool {
        !self.hidden && matches!(self.kind, TEXT | ANNOUNCEMENT | FORUM)
    }

    /// The channel object without `guild_id`, obfuscated if the bot can't view it.
    pub(crate) fn json(&self, guild: u64) -> Value {
        let mut channel = self.json_in_full();
        if !self.hidden {
            return channel;
        }
        // All fields are there; what they would give away is nulled or the default.
        let overwrite = json!({"id": id(guild), "type": 0, "allow": "0", "deny": "1024"});
        for (field, value) in [
            ("name", json!("___hidden___")),
            ("permission_overwrites", json!([overwrite])),
            ("flags", json!(OBFUSCATED)),
            ("topic", Value::Null),
            ("last_message_id", Value::Null),
            ("last_pin_timestamp", Value::Null),
            ("icon_emoji", Value::Null),
            ("default_reaction_emoji", Value::Null),
            ("nsfw", json!(false)),
            ("rate_limit_per_user", json!(0)),
            ("available_tags", json!([])),
        ] {
            if channel.get(field).is_some() {
                channel[field] = value;
            }
        }
        channel
    }

    fn json_in_full(&self) -> Value {
        let look = self.id ^ u64::from(self.revision);
        let mut channel = json!({
            "version": 1_795_000_000_000 + u64::from(self.revision),
            "type": self.kind,
            "position": self.position,
            "permission_overwrites": self.overwrites(),
            "parent_id": self.parent.map(id),
            "name": words::name(look, "-"),
            "id": id(self.id),
            "flags": 0,
        });
        if self.kind == CATEGORY {
            self.set.apply(&mut channel);
            return channel;
        }
        let topic = (!look.is_multiple_of(3)).then(|| words::sentence(look));
        let mut more = json!({
            "rate_limit_per_user": self.slow_seconds,
            "nsfw": look.is_multiple_of(17),
            "last_message_id": self.last_message.map(id),
        });
        match self.kind {
            VOICE | STAGE => {
                more["user_limit"] = json!(if self.kind == STAGE { 10_000 } else { 0 });
                more["rtc_region"] = Value::Null;
                more["bitrate"] = json!(64_000);
            }
            FORUM => {
                more["topic"] = json!(topic);
                more["available_tags"] = json!([{
                    "id": id(self.id + 1), "name": "solved", "moderated": false,
                    "emoji_id": null, "emoji_name": "✅",
                }]);
                more["default_reaction_emoji"] = json!({"emoji_id": null, "emoji_name": "👍"});
                more["default_sort_order"] = Value::Null;
                more["default_forum_layout"] = json!(0);
                more["template"] = json!("");
            }
            _ => {
                more["topic"] = json!(topic);
                more["theme_color"] = Value::Null;
                more["icon_emoji"] = json!({"id": null, "name": "💬"});
                if let Some(pinned) = self.last_pin_ms {
                    more["last_pin_timestamp"] = timestamp(pinned).into();
                }
            }
        }
        extend(&mut channel, more);
        self.set.apply(&mut channel);
        channel
    }

    fn overwrites(&self) -> Value {
        match self.muted_role {
            Some(role) => json!([{"id": id(role), "type": 0, "allow": "1024", "deny": "2048"}]),
            None => json!([]),
        }
    }
}

#[derive(Debug, Clone, Default)]
pub(crate) struct Thread {
    pub(crate) id: u64,
    pub(crate) parent: u64,
    /// User id.
    pub(crate) owner: u64,
    /// Discord's channel type: 10 below announcement channels, else 11.
    pub(crate) kind: u8,
    pub(crate) revision: u16,
    pub(crate) created_ms: u64,
    pub(crate) archived_ms: Option<u64>,
    pub(crate) locked: bool,
    pub(crate) messages: u32,
    /// Approximate, capped at 50 as Discord caps it.
    pub(crate) members: u8,
    pub(crate) last_message: Option<u64>,
    /// When the bot joined it, if it did.
    pub(crate) bot_joined_ms: Option<u64>,
    pub(crate) set: Overlay,
}

impl Thread {
    /// The thread as GUILD_CREATE lists it: without `guild_id`, and its member without ids.
    pub(crate) fn json_of_create(&self) -> Value {
        let mut thread = self.json();
        if let Some(joined) = self.bot_joined_ms {
            thread["member"] = membership(joined);
        }
        thread
    }

    /// The thread as an event of its own tells it, without `guild_id`.
    pub(crate) fn json_of_event(&self, bot: u64) -> Value {
        let mut thread = self.json();
        if let Some(member) = self.member(bot) {
            thread["member"] = member;
        }
        thread
    }

    /// The bot's thread member object, if the bot is in the thread.
    pub(crate) fn member(&self, bot: u64) -> Option<Value> {
        let mut member = json!({"user_id": id(bot), "id": id(self.id)});
        extend(&mut member, membership(self.bot_joined_ms?));
        Some(member)
    }

    /// The thread's channel object without `guild_id` and `member`.
    pub(crate) fn json(&self) -> Value {
        let mut thread = json!({
            "type": self.kind,
            "total_message_sent": self.messages,
            "thread_metadata": {
                "locked": self.locked,
                "create_timestamp": timestamp(self.created_ms),
                "auto_archive_duration": 1440,
                "archived": self.archived_ms.is_some(),
                "archive_timestamp": timestamp(self.archived_ms.unwrap_or(self.created_ms)),
            },
            "rate_limit_per_user": 0,
            "parent_id": id(self.parent),
            "owner_id": id(self.owner),
            "name": words::sentence(self.id ^ u64::from(self.revision)),
            "message_count": self.messages,
            "member_count": self.members,
            "last_message_id": self.last_message.map(id),
            "id": id(self.id),
            "flags": 0,
        });
        self.set.apply(&mut thread);
        thread
    }
}

/// A thread member object without its ids.
fn membership(joined_ms: u64) -> Value {
    json!({
        "muted": false, "mute_config": null, "join_timestamp": timestamp(joined_ms), "flags": 1,
    })
}

/// Adds the fields of one object to another.
pub(crate) fn extend(object: &mut Value, more: Value) {
    if let (Value::Object(object), Value::Object(more)) = (object, more) {
        object.extend(more);
    }
}
