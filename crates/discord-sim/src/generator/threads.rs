//! Threads.

use rand::Rng;
use serde_json::{Value, json};

use crate::{
    protocol::snowflake::timestamp,
    world::{
        ANNOUNCEMENT, Channel, Dispatch, Message, Planned, Thread, World, extend, id, intents,
        with_guild,
    },
};

/// Discord tells at most this many members of a thread.
const MEMBERS_TOLD: u8 = 50;

impl World {
    pub(super) fn thread_create(&mut self) -> Option<Dispatch> {
        let at = self.pick_guild()?;
        let (thread_id, joined) = (self.next_id(), self.once_in(4));
        let (bot, of_message) = (self.users[0].id, self.once_in(3));
        let guild = self.guilds.get_mut(at)?;
        // A thread that is started from a message has the message's id.
        let message = of_message.then(|| {
            let free = |message: &&mut Message| {
                let place = guild.channels.get(message.channel);
                place.is_some_and(Channel::takes_threads) && !message.has_thread
            };
            guild.messages.iter_mut().rev().find(free)
        });
        let (thread_id, parent) = match message.flatten() {
            Some(message) => {
                message.has_thread = true;
                self.agenda.push_back(Planned::ShowThread {
                    guild: at,
                    message: message.id,
                });
                (message.id, message.channel)
            }
            None => {
                let parent = guild
                    .channels
                    .pick_where(&mut self.rng, |c| c.takes_threads())?;
                (thread_id, parent)
            }
        };
        let announces = guild.channels.get(parent)?.kind == ANNOUNCEMENT;
        let thread = Thread {
            id: thread_id,
            parent,
            owner: guild.members.pick(&mut self.rng)?,
            kind: if announces { 10 } else { 11 },
            created_ms: self.clock_ms,
            members: 1,
            bot_joined_ms: joined.then_some(self.clock_ms),
            ..Thread::default()
        };
        let mut d = with_guild(thread.json_of_event(bot), at);
        if !joined {
            d["newly_created"] = Value::Bool(true);
        }
        guild.threads.insert(thread_id, thread);
        Some(self.tell(Some(at), "THREAD_CREATE", intents::GUILDS, d))
    }

    pub(super) fn thread_update(&mut self) -> Option<Dispatch> {
        let (at, thread) = self.pick_thread()?;
        let (style, now) = (self.rng.random_range(0..4), self.clock_ms);
        let bot = self.users[0].id;
        let thread = self.guilds.get_mut(at)?.threads.get_mut(thread)?;
        match (style, thread.archived_ms) {
            (0, None) => thread.archived_ms = Some(now),
            (0 | 1, Some(_)) => thread.archived_ms = None,
            (2, _) => thread.locked = !thread.locked,
            _ => thread.revision += 1,
        }
        let d = with_guild(thread.json_of_event(bot), at);
        Some(self.tell(Some(at), "THREAD_UPDATE", intents::GUILDS, d))
    }

    pub(super) fn thread_delete(&mut self) -> Option<Dispatch> {
        let (at, thread) = self.pick_thread()?;
        self.delete_thread(at, thread)
    }

    pub(super) fn delete_thread(&mut self, at: u64, thread: u64) -> Option<Dispatch> {
        let thread = self.guilds.get_mut(at)?.drop_thread(thread)?;
        let d = json!({
            "type": thread.kind,
            "parent_id": id(thread.parent),
            "id": id(thread.id),
            "guild_id": id(at),
        });
        Some(self.tell(Some(at), "THREAD_DELETE", intents::GUILDS, d))
    }

    pub(super) fn thread_list_sync(&mut self) -> Option<Dispatch> {
        let (at, thread) = self.pick_thread()?;
        let parent = self.guilds.get(at)?.threads.get(thread)?.parent;
        let whole = self.once_in(3);
        self.sync_threads(at, (!whole).then_some(parent))
    }

    /// THREAD_LIST_SYNC of one channel or of the whole guild: archived threads are not in it.
    pub(super) fn sync_threads(&mut self, at: u64, parent: Option<u64>) -> Option<Dispatch> {
        let bot = self.users[0].id;
        let guild = self.guilds.get_mut(at)?;
        guild.drop_archived(parent);
        let listed: Vec<&Thread> = guild
            .threads
            .values()
            .filter(|t| parent.is_none_or(|p| p == t.parent))
            .collect();
        let members: Vec<Value> = listed.iter().filter_map(|t| t.member(bot)).collect();
        let threads: Vec<Value> = listed.iter().map(|t| with_guild(t.json(), at)).collect();
        let mut d = json!({"threads": threads, "members": members, "guild_id": id(at)});
        if let Some(parent) = parent {
            d["channel_ids"] = json!([id(parent)]);
        }
        Some(self.tell(Some(at), "THREAD_LIST_SYNC", intents::GUILDS, d))
    }

    pub(super) fn thread_member_update(&mut self) -> Option<Dispatch> {
        let (at, thread) = self.pick_thread()?;
        let (bot, now) = (self.users[0].id, self.clock_ms);
        let thread = self.guilds.get_mut(at)?.threads.get_mut(thread)?;
        thread.bot_joined_ms = Some(now);
        let d = with_guild(thread.member(bot)?, at);
        Some(self.tell(Some(at), "THREAD_MEMBER_UPDATE", intents::GUILDS, d))
    }

    pub(super) fn thread_members_update(&mut self) -> Option<Dispatch> {
        let (at, thread_id) = self.pick_thread()?;
        let leaves = self.once_in(3);
        let guild = self.guilds.get_mut(at)?;
        let user = guild
            .members
            .pick_where(&mut self.rng, |member| member.user != 0)?;
        let member = guild.members.get(user)?;
        let thread = guild.threads.get_mut(thread_id)?;
        let change = if leaves {
            thread.members = thread.members.saturating_sub(1);
            json!({"removed_member_ids": [id(user)]})
        } else {
            thread.members = (thread.members + 1).min(MEMBERS_TOLD);
            json!({"added_members": [{
                "user_id": id(user),
                "presence": null,
                "member": member.json(&self.users[member.user as usize]),
                "join_timestamp": timestamp(self.clock_ms),
                "id": id(thread_id),
                "flags": 0,
            }]})
        };
        let count = thread.members;
        let mut d = json!({"member_count": count, "id": id(thread_id), "guild_id": id(at)});
        extend(&mut d, change);
        let intent = intents::GUILDS | intents::GUILD_MEMBERS;
        Some(self.tell(Some(at), "THREAD_MEMBERS_UPDATE", intent, d))
    }

    /// A guild and a thread in it.
    fn pick_thread(&mut self) -> Option<(u64, u64)> {
        let at = self.guilds.pick_where(&mut self.rng, |guild| {
            !guild.unavailable && !guild.threads.is_empty()
        })?;
        Some((at, self.guilds.get(at)?.threads.pick(&mut self.rng)?))
    }
}
