//! Scheduled events.

use serde_json::{Value, json};

use super::take_any;
use crate::world::{Dispatch, STAGE, Scheduled, World, id, intents};

const INTENT: u64 = intents::GUILD_SCHEDULED_EVENTS;

impl World {
    pub(super) fn guild_scheduled_event_create(&mut self) -> Option<Dispatch> {
        let (at, event_id) = (self.pick_guild()?, self.next_id());
        let outside = self.once_in(2);
        let guild = self.guilds.get_mut(at)?;
        let creator = guild.members.pick(&mut self.rng)?;
        let channel = guild
            .channels
            .pick_where(&mut self.rng, |channel| !outside && channel.takes_voice());
        let channel = channel.and_then(|channel| guild.channels.get(channel));
        let event = Scheduled {
            id: event_id,
            creator: guild.members.get(creator)?.user,
            starts_ms: self.clock_ms + 3_600_000,
            channel: channel.map(|channel| (channel.id, channel.kind == STAGE)),
            status: 1,
            ..Scheduled::default()
        };
        let d = event.json(at, &self.users[event.creator as usize]);
        guild.events.insert(event_id, event);
        Some(self.tell(Some(at), "GUILD_SCHEDULED_EVENT_CREATE", INTENT, d))
    }

    pub(super) fn guild_scheduled_event_update(&mut self) -> Option<Dispatch> {
        let (at, event) = self.pick_event()?;
        let starts = self.once_in(3);
        let event = self.guilds.get_mut(at)?.events.get_mut(event)?;
        if starts {
            event.status = 2;
        } else {
            event.revision += 1;
        }
        let d = event.json(at, &self.users[event.creator as usize]);
        Some(self.tell(Some(at), "GUILD_SCHEDULED_EVENT_UPDATE", INTENT, d))
    }

    pub(super) fn guild_scheduled_event_delete(&mut self) -> Option<Dispatch> {
        let (at, event) = self.pick_event()?;
        let event = self.guilds.get_mut(at)?.events.remove(event)?;
        let d = event.json(at, &self.users[event.creator as usize]);
        Some(self.tell(Some(at), "GUILD_SCHEDULED_EVENT_DELETE", INTENT, d))
    }

    pub(super) fn guild_scheduled_event_user_add(&mut self) -> Option<Dispatch> {
        let (at, event) = self.pick_event()?;
        let guild = self.guilds.get_mut(at)?;
        let user = guild.members.pick(&mut self.rng)?;
        let event = guild.events.get_mut(event)?;
        if event.users.contains(&user) {
            return None;
        }
        event.users.push(user);
        let d = interest(at, event.id, user);
        Some(self.tell(Some(at), "GUILD_SCHEDULED_EVENT_USER_ADD", INTENT, d))
    }

    pub(super) fn guild_scheduled_event_user_remove(&mut self) -> Option<Dispatch> {
        let (at, event) = self.pick_event()?;
        let event = self.guilds.get_mut(at)?.events.get_mut(event)?;
        let user = take_any(&mut event.users, &mut self.rng)?;
        let d = interest(at, event.id, user);
        Some(self.tell(Some(at), "GUILD_SCHEDULED_EVENT_USER_REMOVE", INTENT, d))
    }

    fn pick_event(&mut self) -> Option<(u64, u64)> {
        let at = self.guilds.pick_where(&mut self.rng, |guild| {
            !guild.unavailable && !guild.events.is_empty()
        })?;
        Some((at, self.guilds.get(at)?.events.pick(&mut self.rng)?))
    }
}

fn interest(guild: u64, event: u64, user: u64) -> Value {
    json!({"user_id": id(user), "guild_scheduled_event_id": id(event), "guild_id": id(guild)})
}
