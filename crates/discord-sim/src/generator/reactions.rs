//! Reactions and poll votes on remembered messages.

use rand::Rng;
use serde_json::{Value, json};

use crate::world::{Dispatch, World, id, intents, name};

const FACES: [&str; 6] = ["👍", "🔥", "😂", "🎉", "❤️", "🇫🇷"];

impl World {
    pub(super) fn message_reaction_add(&mut self) -> Option<Dispatch> {
        let (at, mut d) = self.about_message()?;
        let emoji = self.pick_emoji(at);
        let guild = self.guilds.get(at)?;
        let user = guild.members.pick(&mut self.rng)?;
        let member = guild.members.get(user)?;
        d["user_id"] = id(user);
        d["member"] = json!(member.json(&self.users[member.user as usize]));
        d["emoji"] = emoji;
        d["type"] = json!(0);
        d["burst"] = json!(false);
        d["message_author_id"] = id(user);
        Some(self.tell(
            Some(at),
            "MESSAGE_REACTION_ADD",
            intents::GUILD_MESSAGE_REACTIONS,
            d,
        ))
    }

    pub(super) fn message_reaction_remove(&mut self) -> Option<Dispatch> {
        let (at, mut d) = self.about_message()?;
        d["emoji"] = self.pick_emoji(at);
        d["user_id"] = id(self.guilds.get(at)?.members.pick(&mut self.rng)?);
        d["type"] = json!(0);
        d["burst"] = json!(false);
        Some(self.tell(
            Some(at),
            "MESSAGE_REACTION_REMOVE",
            intents::GUILD_MESSAGE_REACTIONS,
            d,
        ))
    }

    pub(super) fn message_reaction_remove_all(&mut self) -> Option<Dispatch> {
        let (at, d) = self.about_message()?;
        let intent = intents::GUILD_MESSAGE_REACTIONS;
        Some(self.tell(Some(at), "MESSAGE_REACTION_REMOVE_ALL", intent, d))
    }

    pub(super) fn message_reaction_remove_emoji(&mut self) -> Option<Dispatch> {
        let (at, mut d) = self.about_message()?;
        d["emoji"] = self.pick_emoji(at);
        let intent = intents::GUILD_MESSAGE_REACTIONS;
        Some(self.tell(Some(at), "MESSAGE_REACTION_REMOVE_EMOJI", intent, d))
    }

    pub(super) fn message_poll_vote_add(&mut self) -> Option<Dispatch> {
        self.poll_vote("MESSAGE_POLL_VOTE_ADD")
    }

    pub(super) fn message_poll_vote_remove(&mut self) -> Option<Dispatch> {
        self.poll_vote("MESSAGE_POLL_VOTE_REMOVE")
    }

    fn poll_vote(&mut self, event: &str) -> Option<Dispatch> {
        let (at, mut d) = self.about_message()?;
        d["user_id"] = id(self.guilds.get(at)?.members.pick(&mut self.rng)?);
        d["answer_id"] = json!(self.rng.random_range(1..=2));
        Some(self.tell(Some(at), event, intents::GUILD_MESSAGE_POLLS, d))
    }

    /// What every event about a message says, with its guild.
    fn about_message(&mut self) -> Option<(u64, Value)> {
        let at = self.pick_guild()?;
        let place = self.pick_message(at)?;
        let message = &self.guilds.get(at)?.messages[place];
        let (message, channel) = (message.id, message.channel);
        Some((
            at,
            json!({
                "message_id": id(message), "guild_id": id(at), "channel_id": id(channel),
            }),
        ))
    }

    /// A Unicode emoji or one of the guild's own.
    fn pick_emoji(&mut self, at: u64) -> Value {
        let own = self
            .guilds
            .get(at)
            .and_then(|guild| guild.emojis.pick(&mut self.rng));
        match own {
            Some(own) if self.once_in(3) => {
                json!({"name": name(own, "_"), "id": id(own), "animated": false})
            }
            _ => json!({"name": FACES[self.place_in(FACES.len())], "id": null}),
        }
    }
}
