//! Reactions and poll votes on remembered messages.

use rand::Rng;
use serde_json::{Value, json};

use super::take_any;
use crate::world::{Dispatch, Member, Message, Reaction, World, id, intents, name};

/// Most different emojis on one message (Discord: 20).
const REACTIONS: usize = 20;

const FACES: [&str; 6] = ["👍", "🔥", "😂", "🎉", "❤️", "🇫🇷"];

impl World {
    pub(super) fn message_reaction_add(&mut self) -> Option<Dispatch> {
        let (at, place, mut d) = self.about_message()?;
        let emoji = self.pick_emoji(at);
        let guild = self.guilds.get_mut(at)?;
        let user = guild.members.pick_where(&mut self.rng, is_human)?;
        let member = guild.members.get(user)?;
        let message = guild.messages.get_mut(place)?;
        let reactions = &mut message.reactions;
        let is_full = reactions.len() >= REACTIONS;
        match reactions.iter_mut().find(|r| same(&r.emoji, &emoji)) {
            Some(reaction) => reaction.count += 1,
            None if is_full => return None,
            None => reactions.push(Reaction {
                emoji: emoji.clone(),
                count: 1,
                me: false,
            }),
        }
        d["user_id"] = id(user);
        d["member"] = json!(member.json(&self.users[member.user as usize]));
        d["emoji"] = emoji;
        d["type"] = json!(0);
        d["burst"] = json!(false);
        d["message_author_id"] = id(self.users[message.author as usize].id);
        Some(self.tell(
            Some(at),
            "MESSAGE_REACTION_ADD",
            intents::GUILD_MESSAGE_REACTIONS,
            d,
        ))
    }

    pub(super) fn message_reaction_remove(&mut self) -> Option<Dispatch> {
        let (at, place, mut d) = self.about_message()?;
        let other = self.pick_emoji(at);
        let guild = self.guilds.get_mut(at)?;
        let user = guild.members.pick_where(&mut self.rng, is_human)?;
        let reactions = &mut guild.messages.get_mut(place)?.reactions;
        let emoji = match reactions.first_mut() {
            Some(reaction) => {
                reaction.count -= 1;
                reaction.emoji.clone()
            }
            None => other,
        };
        reactions.retain(|reaction| reaction.count > 0);
        d["emoji"] = emoji;
        d["user_id"] = id(user);
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
        let (at, place, d) = self.about_message()?;
        self.guilds
            .get_mut(at)?
            .messages
            .get_mut(place)?
            .reactions
            .clear();
        let intent = intents::GUILD_MESSAGE_REACTIONS;
        Some(self.tell(Some(at), "MESSAGE_REACTION_REMOVE_ALL", intent, d))
    }

    pub(super) fn message_reaction_remove_emoji(&mut self) -> Option<Dispatch> {
        let (at, place, mut d) = self.about_message()?;
        let emoji = self.pick_emoji(at);
        let message = self.guilds.get_mut(at)?.messages.get_mut(place)?;
        message.reactions.retain(|r| !same(&r.emoji, &emoji));
        d["emoji"] = emoji;
        let intent = intents::GUILD_MESSAGE_REACTIONS;
        Some(self.tell(Some(at), "MESSAGE_REACTION_REMOVE_EMOJI", intent, d))
    }

    /// A member who has not voted in a poll yet does.
    pub(super) fn message_poll_vote_add(&mut self) -> Option<Dispatch> {
        let (at, place) = self.pick_poll(|_| true)?;
        let answer = self.rng.random_range(1..=2);
        let guild = self.guilds.get_mut(at)?;
        let user = guild.members.pick_where(&mut self.rng, is_human)?;
        let message = guild.messages.get_mut(place)?;
        if message.votes.iter().any(|(voter, _)| *voter == user) {
            return None;
        }
        message.votes.push((user, answer));
        self.tell_vote(at, place, (user, answer), "MESSAGE_POLL_VOTE_ADD")
    }

    /// A vote is taken back.
    pub(super) fn message_poll_vote_remove(&mut self) -> Option<Dispatch> {
        let (at, place) = self.pick_poll(|message| !message.votes.is_empty())?;
        let votes = &mut self.guilds.get_mut(at)?.messages.get_mut(place)?.votes;
        let vote = take_any(votes, &mut self.rng)?;
        self.tell_vote(at, place, vote, "MESSAGE_POLL_VOTE_REMOVE")
    }

    /// A message with a poll, with its guild and its place there.
    fn pick_poll(&mut self, passes: impl Fn(&Message) -> bool) -> Option<(u64, usize)> {
        let is_meant = |message: &Message| message.has_invented_poll() && passes(message);
        let at = self.guilds.pick_where(&mut self.rng, |guild| {
            !guild.unavailable && guild.messages.iter().any(is_meant)
        })?;
        let messages = self.guilds.get(at)?.messages.iter().enumerate();
        let places = messages.filter(|(_, message)| is_meant(message));
        let places: Vec<usize> = places.map(|(place, _)| place).collect();
        Some((at, places[self.place_in(places.len())]))
    }

    fn tell_vote(
        &mut self,
        at: u64,
        place: usize,
        (user, answer): (u64, u8),
        event: &str,
    ) -> Option<Dispatch> {
        let message = self.guilds.get(at)?.messages.get(place)?;
        let d = json!({
            "user_id": id(user),
            "message_id": id(message.id),
            "guild_id": id(at),
            "channel_id": id(message.channel),
            "answer_id": answer,
        });
        Some(self.tell(Some(at), event, intents::GUILD_MESSAGE_POLLS, d))
    }

    /// What every event about a message says, with its guild and its place there.
    fn about_message(&mut self) -> Option<(u64, usize, Value)> {
        let at = self.pick_guild()?;
        let place = self.pick_message(at)?;
        let message = &self.guilds.get(at)?.messages[place];
        let (message, channel) = (message.id, message.channel);
        Some((
            at,
            place,
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

/// The bot itself reacts and votes through REST alone.
fn is_human(member: &Member) -> bool {
    member.user != 0
}

/// A custom emoji is known by its id, any other by its name.
fn same(one: &Value, other: &Value) -> bool {
    one["id"] == other["id"] && (!one["id"].is_null() || one["name"] == other["name"])
}
