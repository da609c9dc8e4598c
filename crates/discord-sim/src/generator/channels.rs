//! Channels, what voice channels show, invites and webhooks.

use rand::Rng;
use serde_json::json;

use super::take_any;
use crate::{
    protocol::snowflake::timestamp,
    world::{
        ANNOUNCEMENT, Channel, Dispatch, Planned, TEXT, VOICE, World, id, intents, name, scramble,
        status, with_guild,
    },
};

impl World {
    pub(super) fn channel_create(&mut self) -> Option<Dispatch> {
        let at = self.pick_guild()?;
        let (channel_id, lottery) = (self.next_id(), self.rng.random_range(0..5));
        let guild = self.guilds.get_mut(at)?;
        let position = guild.channels.len() as u16;
        let kind = match lottery {
            0 => VOICE,
            1 => ANNOUNCEMENT,
            _ => TEXT,
        };
        let channel = Channel {
            id: channel_id,
            kind,
            position,
            ..Channel::default()
        };
        let d = with_guild(channel.json(at), at);
        guild.channels.insert(channel_id, channel);
        Some(self.tell(Some(at), "CHANNEL_CREATE", intents::GUILDS, d))
    }

    pub(super) fn channel_update(&mut self) -> Option<Dispatch> {
        let at = self.pick_guild()?;
        let (toggle, style) = (self.once_in(5), self.rng.random_range(0..3));
        let channel_id = self.guilds.get(at)?.channels.pick(&mut self.rng)?;
        let may_hide = self.may_lose(at, channel_id);
        let guild = self.guilds.get_mut(at)?;
        let channel = guild.channels.get_mut(channel_id)?;
        let was_hidden = channel.hidden;
        if was_hidden || toggle && may_hide {
            // Hidden ones come back half the time, so that both directions occur.
            channel.hidden = !was_hidden || style == 0;
        }
        match style {
            0 => channel.position = (channel.position + 1) % 50,
            1 => channel.slow_seconds = (channel.slow_seconds + 5) % 60,
            _ => channel.revision += 1,
        }
        let d = with_guild(channel.json(at), at);
        if was_hidden && !channel.hidden && channel.takes_threads() {
            self.agenda.push_back(Planned::SyncThreads {
                guild: at,
                channel: channel_id,
            });
        }
        Some(self.tell(Some(at), "CHANNEL_UPDATE", intents::GUILDS, d))
    }

    pub(super) fn channel_delete(&mut self) -> Option<Dispatch> {
        let at = self.pick_guild()?;
        let channel = self.guilds.get(at)?.channels.pick(&mut self.rng)?;
        if !self.may_lose(at, channel) {
            return None;
        }
        let guild = self.guilds.get(at)?;
        let threads = guild
            .threads
            .values()
            .filter(|thread| thread.parent == channel);
        let threads: Vec<u64> = threads.map(|thread| thread.id).collect();
        for thread in threads {
            self.agenda
                .push_back(Planned::DeleteThread { guild: at, thread });
        }
        self.agenda
            .push_back(Planned::DeleteChannel { guild: at, channel });
        let first = self.agenda.pop_front()?;
        self.perform(first)
    }

    pub(super) fn delete_channel(&mut self, at: u64, channel: u64) -> Option<Dispatch> {
        let guild = self.guilds.get_mut(at)?;
        let gone = guild.channels.remove(channel)?;
        guild.messages.retain(|message| message.channel != channel);
        guild.invites.retain(|(of, _)| *of != channel);
        guild
            .events
            .retain(|_, event| event.channel.is_none_or(|(place, _)| place != channel));
        let d = with_guild(gone.json(at), at);
        Some(self.tell(Some(at), "CHANNEL_DELETE", intents::GUILDS, d))
    }

    /// Whether a channel can be deleted or hidden: nobody is in it, it groups nothing, and enough of
    /// its kind remain.
    fn may_lose(&self, at: u64, channel: u64) -> bool {
        let Some(guild) = self.guilds.get(at) else {
            return false;
        };
        let Some(channel) = guild.channels.get(channel) else {
            return false;
        };
        let visible = |kind: u8| {
            guild
                .channels
                .values()
                .filter(|c| c.kind == kind && !c.hidden)
                .count()
        };
        let groups = guild
            .channels
            .values()
            .any(|other| other.parent == Some(channel.id));
        let spoken_in = guild
            .voices
            .values()
            .any(|voice| voice.channel == channel.id);
        let staged = guild
            .stages
            .values()
            .any(|stage| stage.channel == channel.id);
        let spare = !matches!(channel.kind, TEXT | VOICE) || visible(channel.kind) > 1;
        !groups && !spoken_in && !staged && (spare || channel.hidden)
    }

    pub(super) fn channel_pins_update(&mut self) -> Option<Dispatch> {
        let at = self.pick_guild()?;
        let (unpinned, in_dm, now) = (self.once_in(4), self.once_in(10), self.clock_ms);
        let pinned = (!unpinned).then_some(now);
        if in_dm && let Some(dm) = self.dms.first() {
            let d =
                json!({"last_pin_timestamp": pinned.map(timestamp), "channel_id": id(dm.channel)});
            return Some(self.tell(None, "CHANNEL_PINS_UPDATE", intents::DIRECT_MESSAGES, d));
        }
        let guild = self.guilds.get_mut(at)?;
        let channel_id = guild.channels.pick_where(&mut self.rng, |channel| {
            !channel.hidden && matches!(channel.kind, TEXT | ANNOUNCEMENT)
        })?;
        guild.channels.get_mut(channel_id)?.last_pin_ms = pinned;
        let d = json!({
            "last_pin_timestamp": pinned.map(timestamp),
            "guild_id": id(at),
            "channel_id": id(channel_id),
        });
        Some(self.tell(Some(at), "CHANNEL_PINS_UPDATE", intents::GUILDS, d))
    }

    pub(super) fn channel_info(&mut self) -> Option<Dispatch> {
        let at = self.pick_guild()?;
        let d = json!({"guild_id": id(at), "channels": self.guilds.get(at)?.channel_info()});
        Some(self.tell(Some(at), "CHANNEL_INFO", 0, d))
    }

    pub(super) fn voice_channel_status_update(&mut self) -> Option<Dispatch> {
        let (at, channel) = self.pick_voice_channel()?;
        let status_now = if self.once_in(3) {
            0
        } else {
            self.rng.random()
        };
        let channel = self.guilds.get_mut(at)?.channels.get_mut(channel)?;
        channel.status = status_now;
        let d = json!({"status": status(channel), "id": id(channel.id), "guild_id": id(at)});
        Some(self.tell(Some(at), "VOICE_CHANNEL_STATUS_UPDATE", intents::GUILDS, d))
    }

    pub(super) fn voice_channel_start_time_update(&mut self) -> Option<Dispatch> {
        let (at, channel) = self.pick_voice_channel()?;
        let started = (!self.once_in(3)).then_some(self.clock_ms / 1_000);
        let channel = self.guilds.get_mut(at)?.channels.get_mut(channel)?;
        channel.voice_start_seconds = started;
        let d = json!({"voice_start_time": started, "id": id(channel.id), "guild_id": id(at)});
        Some(self.tell(
            Some(at),
            "VOICE_CHANNEL_START_TIME_UPDATE",
            intents::GUILDS,
            d,
        ))
    }

    /// A guild and a voice channel in it.
    pub(super) fn pick_voice_channel(&mut self) -> Option<(u64, u64)> {
        let at = self.pick_guild()?;
        let channels = &self.guilds.get(at)?.channels;
        Some((
            at,
            channels.pick_where(&mut self.rng, |c| c.kind == VOICE && !c.hidden)?,
        ))
    }

    pub(super) fn invite_create(&mut self) -> Option<Dispatch> {
        let at = self.pick_guild()?;
        let (channel, _) = self.pick_place(at)?;
        let code = name(self.next_id(), "")
            .chars()
            .take(10)
            .collect::<String>();
        let code = format!("{code}{}", self.place_in(1_000));
        let guild = self.guilds.get_mut(at)?;
        let inviter = guild.members.get(guild.members.pick(&mut self.rng)?)?;
        let d = json!({
            "uses": 0,
            "type": 0,
            "temporary": false,
            "max_uses": 0,
            "max_age": 86_400,
            "inviter": self.users[inviter.user as usize].json(),
            "guild_id": id(at),
            "expires_at": timestamp(self.clock_ms + 86_400_000),
            "created_at": timestamp(self.clock_ms),
            "code": code,
            "channel_id": id(channel),
        });
        if guild.invites.len() < 50 {
            guild.invites.push((channel, code));
        }
        Some(self.tell(Some(at), "INVITE_CREATE", intents::GUILD_INVITES, d))
    }

    pub(super) fn invite_delete(&mut self) -> Option<Dispatch> {
        let at = self.guilds.pick_where(&mut self.rng, |guild| {
            !guild.unavailable && !guild.invites.is_empty()
        })?;
        let (channel, code) = take_any(&mut self.guilds.get_mut(at)?.invites, &mut self.rng)?;
        let d = json!({"guild_id": id(at), "code": code, "channel_id": id(channel)});
        Some(self.tell(Some(at), "INVITE_DELETE", intents::GUILD_INVITES, d))
    }

    pub(super) fn webhooks_update(&mut self) -> Option<Dispatch> {
        let at = self.pick_guild()?;
        let (channel, _) = self.pick_place(at)?;
        let d = json!({"guild_id": id(at), "channel_id": id(channel)});
        Some(self.tell(Some(at), "WEBHOOKS_UPDATE", intents::GUILD_WEBHOOKS, d))
    }

    /// CLOUD_CASTLE_UPDATE: an event of an API that doesn't exist yet.
    pub(super) fn cloud_castle_update(&mut self) -> Option<Dispatch> {
        let at = self.pick_guild()?;
        let look = scramble(self.clock_ms);
        let d = json!({
            "guild_id": id(at),
            "castle": {"id": id(look >> 1), "towers": [1, 2.5, null], "name": name(look, " ")},
            "weather": null,
        });
        Some(self.tell(Some(at), super::UNKNOWN_TYPE, 0, d))
    }
}
