//! Messages and typing, in guilds and in direct messages.

use rand::Rng;
use serde::Serialize;
use serde_json::{Value, json};

use crate::{
    protocol::snowflake::snowflake,
    world::{Dispatch, Id, MemberObject, Message, World, id, intents, remember, with_guild},
};

/// Once in how many times something happens in a DM rather than in a guild.
const DM: u32 = 40;
/// Most messages that one MESSAGE_DELETE_BULK takes (Discord allows 100).
const BULK: usize = 12;

/// TYPING_START.
#[derive(Serialize)]
struct Typing {
    user_id: Id,
    timestamp: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    member: Option<MemberObject>,
    #[serde(skip_serializing_if = "Option::is_none")]
    guild_id: Option<Id>,
    channel_id: Id,
}

impl World {
    pub(super) fn message_create(&mut self) -> Option<Dispatch> {
        if self.once_in(DM) {
            return self.dm_message();
        }
        let at = self.pick_guild()?;
        let (channel, channel_kind) = self.pick_place(at)?;
        let message_id = self.next_id();
        let guild = self.guilds.get_mut(at)?;
        let author = guild.members.pick(&mut self.rng)?;
        let member = guild.members.get(author)?;
        let answers = guild.messages.back().filter(|last| last.channel == channel);
        let message = Message {
            id: message_id,
            channel,
            channel_kind,
            author: member.user,
            sent_ms: self.clock_ms,
            replies_to: answers
                .map(|last| last.id)
                .filter(|_| self.rng.random_ratio(1, 8)),
            ..Message::default()
        };
        let d = message.json_in_guild(at, &self.users[member.user as usize], Some(member));
        if let Some(thread) = guild.threads.get_mut(channel) {
            thread.messages += 1;
            thread.last_message = Some(message_id);
        } else if let Some(channel) = guild.channels.get_mut(channel) {
            channel.last_message = Some(message_id);
        }
        guild.remember(message);
        Some(self.tell(Some(at), "MESSAGE_CREATE", intents::GUILD_MESSAGES, d))
    }

    pub(super) fn message_update(&mut self) -> Option<Dispatch> {
        if self.once_in(DM) {
            return self.dm_edit();
        }
        let at = self.pick_guild()?;
        let style = self.rng.random_range(0..20);
        if style == 0 {
            return self.edit_of_unknown(at);
        }
        let place = self.pick_message(at)?;
        let now = self.clock_ms;
        let message = &mut self.guilds.get_mut(at)?.messages[place];
        // The preview of a link comes by an update. Discord sends every update whole.
        if style < 5 {
            message.previewed = true;
        } else {
            message.edits += 1;
            message.edited_ms = Some(now);
        }
        self.tell_update(at, place)
    }

    /// A thread has begun from a message.
    pub(super) fn show_thread(&mut self, at: u64, message: u64) -> Option<Dispatch> {
        let messages = &self.guilds.get(at)?.messages;
        let place = messages.iter().position(|known| known.id == message)?;
        self.tell_update(at, place)
    }

    /// MESSAGE_UPDATE with the whole message.
    fn tell_update(&mut self, at: u64, place: usize) -> Option<Dispatch> {
        let guild = self.guilds.get(at)?;
        let message = guild.messages.get(place)?;
        let author = &self.users[message.author as usize];
        let mut d = message.json_in_guild(at, author, guild.members.get(author.id));
        d.nonce = None;
        let thread = guild.threads.get(message.id);
        d.thread = thread.map(|thread| with_guild(thread.json(), at));
        Some(self.tell(Some(at), "MESSAGE_UPDATE", intents::GUILD_MESSAGES, d))
    }

    /// An edit of a message from long ago.
    fn edit_of_unknown(&mut self, at: u64) -> Option<Dispatch> {
        let (channel, channel_kind) = self.pick_place(at)?;
        let old_ms = self.clock_ms - 90_000_000_000 + self.rng.random_range(0..1_000_000);
        let guild = self.guilds.get(at)?;
        let author = guild.members.pick(&mut self.rng)?;
        let member = guild.members.get(author)?;
        let message = Message {
            id: snowflake(old_ms, 9),
            channel,
            channel_kind,
            author: member.user,
            sent_ms: old_ms,
            edited_ms: Some(self.clock_ms),
            ..Message::default()
        };
        let d = message.json_in_guild(at, &self.users[member.user as usize], Some(member));
        Some(self.tell(Some(at), "MESSAGE_UPDATE", intents::GUILD_MESSAGES, d))
    }

    pub(super) fn message_delete(&mut self) -> Option<Dispatch> {
        if self.once_in(DM)
            && let Some(message) = self.dm_messages.pop_front()
        {
            let d = json!({"id": id(message.id), "channel_id": id(message.channel)});
            return Some(self.tell(None, "MESSAGE_DELETE", intents::DIRECT_MESSAGES, d));
        }
        let at = self.pick_guild()?;
        let place = self.pick_message(at)?;
        let message = self.guilds.get_mut(at)?.messages.remove(place)?;
        let d = json!({
            "id": id(message.id), "guild_id": id(at), "channel_id": id(message.channel),
        });
        Some(self.tell(Some(at), "MESSAGE_DELETE", intents::GUILD_MESSAGES, d))
    }

    pub(super) fn message_delete_bulk(&mut self) -> Option<Dispatch> {
        let at = self.pick_guild()?;
        let place = self.pick_message(at)?;
        let most = self.rng.random_range(2..=BULK);
        let unknown = self
            .once_in(3)
            .then(|| snowflake(self.clock_ms - 80_000_000_000, 5));
        let guild = self.guilds.get_mut(at)?;
        let channel = guild.messages[place].channel;
        let mut ids: Vec<Value> = Vec::new();
        guild.messages.retain(|message| {
            let goes = message.channel == channel && ids.len() < most;
            if goes {
                ids.push(id(message.id));
            }
            !goes
        });
        if let Some(unknown) = unknown {
            ids.insert(ids.len() / 2, id(unknown));
        }
        let d = json!({"ids": ids, "guild_id": id(at), "channel_id": id(channel)});
        Some(self.tell(Some(at), "MESSAGE_DELETE_BULK", intents::GUILD_MESSAGES, d))
    }

    pub(super) fn typing_start(&mut self) -> Option<Dispatch> {
        if self.once_in(DM) {
            return Some(self.dm_typing());
        }
        let at = self.pick_guild()?;
        let (channel, _) = self.pick_place(at)?;
        let guild = self.guilds.get(at)?;
        let user = guild.members.pick(&mut self.rng)?;
        let member = guild.members.get(user)?;
        let d = Typing {
            user_id: Id(user),
            timestamp: self.clock_ms / 1_000,
            member: Some(member.json(&self.users[member.user as usize])),
            guild_id: Some(Id(at)),
            channel_id: Id(channel),
        };
        Some(self.tell(Some(at), "TYPING_START", intents::GUILD_MESSAGE_TYPING, d))
    }

    pub(super) fn dm_typing(&mut self) -> Dispatch {
        let place = self.place_in(self.dms.len());
        let dm = &self.dms[place];
        let d = Typing {
            user_id: Id(self.users[dm.user as usize].id),
            timestamp: self.clock_ms / 1_000,
            member: None,
            guild_id: None,
            channel_id: Id(dm.channel),
        };
        self.tell(None, "TYPING_START", intents::DIRECT_MESSAGE_TYPING, d)
    }

    fn dm_message(&mut self) -> Option<Dispatch> {
        let place = self.place_in(self.dms.len());
        let message_id = self.next_id();
        let dm = &self.dms[place];
        let message = Message {
            id: message_id,
            channel: dm.channel,
            channel_kind: 1,
            author: dm.user,
            sent_ms: self.clock_ms,
            ..Message::default()
        };
        let d = message.json(&self.users[dm.user as usize]);
        remember(&mut self.dm_messages, message);
        Some(self.tell(None, "MESSAGE_CREATE", intents::DIRECT_MESSAGES, d))
    }

    fn dm_edit(&mut self) -> Option<Dispatch> {
        let place = self.place_in(self.dm_messages.len());
        let now = self.clock_ms;
        let message = self.dm_messages.get_mut(place)?;
        message.edits += 1;
        message.edited_ms = Some(now);
        let d = message.json(&self.users[message.author as usize]);
        Some(self.tell(None, "MESSAGE_UPDATE", intents::DIRECT_MESSAGES, d))
    }

    /// A channel or thread where somebody may write, with its type.
    pub(super) fn pick_place(&mut self, guild: u64) -> Option<(u64, u8)> {
        let in_thread = self.once_in(6);
        let guild = self.guilds.get(guild)?;
        if in_thread {
            let thread = guild
                .threads
                .pick_where(&mut self.rng, |t| t.archived_ms.is_none());
            if let Some(thread) = thread.and_then(|thread| guild.threads.get(thread)) {
                return Some((thread.id, thread.kind));
            }
        }
        let channel = guild
            .channels
            .pick_where(&mut self.rng, |c| c.takes_messages())?;
        Some((channel, guild.channels.get(channel)?.kind))
    }

    /// A remembered message that the bot can see, by its place in the guild's list.
    pub(super) fn pick_message(&mut self, guild: u64) -> Option<usize> {
        let guild = self.guilds.get(guild)?;
        let len = guild.messages.len();
        let start = self.rng.random_range(0..len.max(1));
        (0..len)
            .map(|step| (start + step) % len)
            .find(|place| guild.is_live(guild.messages[*place].channel))
    }
}
