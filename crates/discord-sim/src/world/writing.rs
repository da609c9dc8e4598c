//! Messages that are written through REST, and where they go.

use serde_json::{Value, json};

use super::{
    Dispatch, World, intents,
    message::{EPHEMERAL, Message, Written, remember},
    snowflake_of,
};

/// Where a channel, thread or direct message is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Place {
    /// `None` = in no guild.
    pub(crate) guild: Option<u64>,
    /// Discord's type of the channel.
    pub(crate) kind: u8,
    pub(crate) hidden: bool,
}

impl World {
    /// Finds a channel or thread of the guilds that are there, or a direct message.
    pub(crate) fn place(&self, channel: u64) -> Option<Place> {
        for guild in self.guilds.values().filter(|guild| !guild.unavailable) {
            let at = Some(guild.id);
            if let Some(found) = guild.channels.get(channel) {
                let (kind, hidden) = (found.kind, found.hidden);
                return Some(Place {
                    guild: at,
                    kind,
                    hidden,
                });
            }
            if let Some(found) = guild.threads.get(channel) {
                let hidden = guild
                    .channels
                    .get(found.parent)
                    .is_some_and(|parent| parent.hidden);
                return Some(Place {
                    guild: at,
                    kind: found.kind,
                    hidden,
                });
            }
        }
        let dm = self.dms.iter().any(|dm| dm.channel == channel);
        dm.then_some(Place {
            guild: None,
            kind: 1,
            hidden: false,
        })
    }

    /// Writes a message; the second value tells of it on the gateway.
    pub(crate) fn write(
        &mut self,
        channel: u64,
        place: Place,
        written: Written,
        replies_to: Option<u64>,
    ) -> (u64, Option<Dispatch>) {
        let message_id = self.next_id();
        let whispered = written.flags & EPHEMERAL != 0;
        let message = Message {
            id: message_id,
            channel,
            channel_kind: place.kind,
            sent_ms: self.clock_ms,
            replies_to,
            written: Some(Box::new(written)),
            ..Message::default()
        };
        let guild = place.guild.and_then(|guild| self.guilds.get_mut(guild));
        match guild {
            Some(guild) => {
                if whispered {
                } else if let Some(thread) = guild.threads.get_mut(channel) {
                    thread.messages += 1;
                    thread.last_message = Some(message_id);
                } else if let Some(channel) = guild.channels.get_mut(channel) {
                    channel.last_message = Some(message_id);
                }
                remember(&mut guild.messages, message);
            }
            None => remember(&mut self.dm_messages, message),
        }
        let told = self.told_of(place.guild, channel, message_id, "MESSAGE_CREATE");
        (message_id, told)
    }

    /// A remembered message.
    pub(crate) fn message(
        &self,
        guild: Option<u64>,
        channel: u64,
        message: u64,
    ) -> Option<&Message> {
        let messages = match guild {
            Some(guild) => &self.guilds.get(guild)?.messages,
            None => &self.dm_messages,
        };
        let is_it = |known: &&Message| known.id == message && known.channel == channel;
        messages.iter().find(is_it)
    }

    /// A remembered message, to be changed.
    pub(crate) fn message_mut(
        &mut self,
        guild: Option<u64>,
        channel: u64,
        message: u64,
    ) -> Option<&mut Message> {
        let messages = match guild {
            Some(guild) => &mut self.guilds.get_mut(guild)?.messages,
            None => &mut self.dm_messages,
        };
        let is_it = |known: &&mut Message| known.id == message && known.channel == channel;
        messages.iter_mut().find(is_it)
    }

    /// Forgets a message; false if it was not known.
    pub(crate) fn forget_message(
        &mut self,
        guild: Option<u64>,
        channel: u64,
        message: u64,
    ) -> bool {
        let messages = match guild.map(|guild| self.guilds.get_mut(guild)) {
            Some(Some(guild)) => &mut guild.messages,
            Some(None) => return false,
            None => &mut self.dm_messages,
        };
        let is_it = |known: &Message| known.id == message && known.channel == channel;
        let place = messages.iter().position(is_it);
        place.and_then(|place| messages.remove(place)).is_some()
    }

    /// The messages of a channel, oldest first.
    pub(crate) fn messages_of(&self, guild: Option<u64>, channel: u64) -> Vec<&Message> {
        let messages = match guild.map(|guild| self.guilds.get(guild)) {
            Some(Some(guild)) => &guild.messages,
            Some(None) => return Vec::new(),
            None => &self.dm_messages,
        };
        messages
            .iter()
            .filter(|message| message.channel == channel)
            .collect()
    }

    /// The messages that the bot has written, of every channel.
    pub(crate) fn written_by_bot(&self) -> impl Iterator<Item = &Message> {
        let in_guilds = self.guilds.values().flat_map(|guild| &guild.messages);
        let all = in_guilds.chain(&self.dm_messages);
        all.filter(|message| message.author == 0 && message.written.is_some())
    }

    /// The message object as REST answers it.
    pub(crate) fn message_object(&self, message: &Message) -> Value {
        json!(message.json(&self.users[message.author as usize]))
    }

    /// MESSAGE_CREATE or MESSAGE_UPDATE of a remembered message; `None` for what only one user may see.
    pub(crate) fn told_of(
        &self,
        guild: Option<u64>,
        channel: u64,
        message: u64,
        event: &str,
    ) -> Option<Dispatch> {
        let message = self.message(guild, channel, message)?;
        if message.is_ephemeral() {
            return None;
        }
        let author = &self.users[message.author as usize];
        let by_webhook = message
            .written
            .as_ref()
            .is_some_and(|w| w.webhook.is_some());
        // "The value for `tts` will always be false in message updates."
        let speaks = event != "MESSAGE_UPDATE";
        let Some(home) = guild.and_then(|guild| self.guilds.get(guild)) else {
            let mut d = message.json(author);
            d.tts &= speaks;
            return Some(Dispatch::plain(None, event, intents::DIRECT_MESSAGES, &d));
        };
        let member = home.members.get(author.id).filter(|_| !by_webhook);
        let mut d = message.json_in_guild(home.id, author, member);
        d.tts &= speaks;
        for user in &mut d.mentions {
            let member = snowflake_of(&user["id"]).and_then(|user| home.members.get(user));
            if let Some(member) = member {
                let of = &self.users[member.user as usize];
                user["member"] = json!(member.json_in_message(of));
            }
        }
        Some(Dispatch::plain(guild, event, intents::GUILD_MESSAGES, &d))
    }

    /// The users whom a text names with `<@id>`, as `mentions` lists them.
    pub(crate) fn mentioned(&self, text: &str) -> Vec<Value> {
        let mut ids: Vec<u64> = Vec::new();
        for part in text.split("<@").skip(1) {
            let named = part
                .split_once('>')
                .map(|(name, _)| name.trim_start_matches('!'));
            ids.extend(named.and_then(|name| name.parse::<u64>().ok()));
        }
        ids.dedup();
        let user = |id: &u64| self.user(*id).map(|user| json!(self.users[user].json()));
        ids.iter().filter_map(user).collect()
    }

    /// The place of a user in the list of users.
    pub(crate) fn user(&self, id: u64) -> Option<usize> {
        // All but the bot stand in the order of their ids.
        match self.users.first() {
            Some(bot) if bot.id == id => Some(0),
            _ => self.users.binary_search_by_key(&id, |user| user.id).ok(),
        }
    }

    /// The message that `message_reference` of a request's body names.
    pub(crate) fn replied_to(body: &Value) -> Option<u64> {
        snowflake_of(body.get("message_reference")?.get("message_id")?)
    }
}
