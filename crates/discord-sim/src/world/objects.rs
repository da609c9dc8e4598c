//! The smaller things a guild has: roles, emojis, stickers, sounds, stages, scheduled events.

use serde_json::{Value, json};

use super::{
    Overlay,
    user::{User, id},
    words,
};
use crate::protocol::snowflake::timestamp;

#[derive(Debug, Clone, Default)]
pub(crate) struct Role {
    pub(crate) id: u64,
    /// Counts its changes; name, colour and permissions follow.
    pub(crate) revision: u16,
    pub(crate) position: u16,
    pub(crate) everyone: bool,
    /// The bot's own role.
    pub(crate) bot: Option<u64>,
    pub(crate) set: Overlay,
}

impl Role {
    /// The role object (Discord puts no `guild_id` into it).
    pub(crate) fn json(&self) -> Value {
        let look = words::scramble(self.id ^ u64::from(self.revision));
        let colour = if self.everyone { 0 } else { look & 0xFF_FFFF };
        let name = if self.everyone {
            "@everyone".to_owned()
        } else {
            words::name(look, " ")
        };
        let mut role = json!({
            "version": 1_795_000_000_000 + u64::from(self.revision),
            "unicode_emoji": null,
            "position": self.position,
            "permissions": (look & 0x1_FFFF_FFFF_FFFF).to_string(),
            "name": name,
            "mentionable": look.is_multiple_of(2),
            "managed": self.bot.is_some(),
            "id": id(self.id),
            "icon": null,
            "hoist": look.is_multiple_of(3),
            "flags": 0,
            "description": null,
            "colors": {"primary_color": colour, "secondary_color": null, "tertiary_color": null},
            "color": colour,
        });
        if let Some(bot) = self.bot {
            role["tags"] = json!({"bot_id": id(bot)});
        } else if !self.everyone && look.is_multiple_of(4) {
            // A change may take the tags away: then they are not there.
            role["tags"] = json!({"subscription_listing_id": id(self.id + 1)});
        }
        self.set.apply(&mut role);
        role
    }
}

#[derive(Debug, Clone, Default)]
pub(crate) struct Emoji {
    pub(crate) id: u64,
    pub(crate) revision: u16,
    pub(crate) set: Overlay,
}

impl Emoji {
    pub(crate) fn json(&self) -> Value {
        let look = words::scramble(self.id);
        let mut emoji = json!({
            "roles": [],
            "require_colons": true,
            "name": words::name(self.id ^ u64::from(self.revision), "_"),
            "managed": false,
            "id": id(self.id),
            "available": true,
            "animated": look.is_multiple_of(4),
        });
        self.set.apply(&mut emoji);
        emoji
    }
}

#[derive(Debug, Clone, Default)]
pub(crate) struct Sticker {
    pub(crate) id: u64,
    pub(crate) revision: u16,
    pub(crate) set: Overlay,
}

impl Sticker {
    /// The sticker object; Discord puts the guild into it everywhere.
    pub(crate) fn json(&self, guild: u64) -> Value {
        let look = self.id ^ u64::from(self.revision);
        let mut sticker = json!({
            "type": 2,
            "tags": "🎈",
            "name": words::name(look, " "),
            "id": id(self.id),
            "guild_id": id(guild),
            "format_type": 1,
            "description": words::sentence(look),
            "available": true,
            "asset": "",
        });
        self.set.apply(&mut sticker);
        sticker
    }
}

#[derive(Debug, Clone, Default)]
pub(crate) struct Sound {
    pub(crate) id: u64,
    pub(crate) revision: u16,
    pub(crate) set: Overlay,
}

impl Sound {
    /// The soundboard sound object; Discord puts the guild into it everywhere.
    pub(crate) fn json(&self, guild: u64) -> Value {
        let look = self.id ^ u64::from(self.revision);
        let volume = if look.is_multiple_of(2) { 1.0 } else { 0.25 };
        let mut sound = json!({
            "volume": volume,
            "sound_id": id(self.id),
            "name": words::name(look, " "),
            "guild_id": id(guild),
            "emoji_name": "🥁",
            "emoji_id": null,
            "available": true,
        });
        self.set.apply(&mut sound);
        sound
    }
}

#[derive(Debug, Clone, Default)]
pub(crate) struct Stage {
    pub(crate) id: u64,
    pub(crate) channel: u64,
    pub(crate) revision: u16,
    pub(crate) set: Overlay,
}

impl Stage {
    /// The stage instance object; Discord puts the guild into it everywhere.
    pub(crate) fn json(&self, guild: u64) -> Value {
        let mut stage = json!({
            "topic": words::sentence(self.id ^ u64::from(self.revision)),
            "privacy_level": 2,
            "id": id(self.id),
            "guild_scheduled_event_id": null,
            "guild_id": id(guild),
            "discoverable_disabled": true,
            "channel_id": id(self.channel),
        });
        self.set.apply(&mut stage);
        stage
    }
}

#[derive(Debug, Clone, Default)]
pub(crate) struct Scheduled {
    pub(crate) id: u64,
    pub(crate) revision: u16,
    /// Place in the world's list of users.
    pub(crate) creator: u32,
    pub(crate) starts_ms: u64,
    /// Where it takes place, and whether that is a stage; none = outside of Discord.
    pub(crate) channel: Option<(u64, bool)>,
    /// Discord's event status: 1 scheduled, 2 active, 3 completed.
    pub(crate) status: u8,
    /// Ids of the users who want to come.
    pub(crate) users: Vec<u64>,
    pub(crate) set: Overlay,
}

impl Scheduled {
    /// The scheduled event object; Discord puts the guild into it everywhere.
    pub(crate) fn json(&self, guild: u64, creator: &User) -> Value {
        let look = self.id ^ u64::from(self.revision);
        let (entity_type, location) = match self.channel {
            Some((_, is_stage)) => (if is_stage { 1 } else { 2 }, Value::Null),
            None => (3, json!({"location": words::name(look ^ 1, " ")})),
        };
        let mut event = json!({
            "user_count": self.users.len(),
            "status": self.status,
            "sku_ids": [],
            "scheduled_start_time": timestamp(self.starts_ms),
            "scheduled_end_time": timestamp(self.starts_ms + 7_200_000),
            "recurrence_rule": null,
            "privacy_level": 2,
            "name": words::name(look, " "),
            "image": null,
            "id": id(self.id),
            "guild_scheduled_event_exceptions": [],
            "guild_id": id(guild),
            "entity_type": entity_type,
            "entity_metadata": location,
            "entity_id": null,
            "description": words::sentence(look),
            "creator_id": id(creator.id),
            "creator": creator.json(),
            "channel_id": self.channel.map(|(channel, _)| id(channel)),
        });
        self.set.apply(&mut event);
        event
    }
}
