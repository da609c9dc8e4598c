//! What somebody does, because a test wants it: types a command, writes, reacts, joins.

mod interactions;
mod votes;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{
    Ban, Dispatch, Fields, Member, Message, Planned, Reaction, World, Written, id, intents,
    remember, with_guild,
};

/// Something that a user does. Where a guild, channel, user or message is left out, the first that fits is taken; of
/// messages, the newest.
///
/// In the control API: `{"do": "command", "name": "ping"}`, `{"do": "message", "content": "hello"}` …
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Action {
    /// What is done.
    #[serde(rename = "do")]
    pub what: Deed,
    /// Guild id.
    #[serde(default)]
    pub guild: Option<String>,
    /// Channel id.
    #[serde(default)]
    pub channel: Option<String>,
    /// User id.
    #[serde(default)]
    pub user: Option<String>,
    /// Message id.
    #[serde(default)]
    pub message: Option<String>,
    /// The command's name.
    #[serde(default)]
    pub name: Option<String>,
    /// The command's options, or a modal's fields, by name.
    #[serde(default)]
    pub options: Fields,
    /// What is written.
    #[serde(default)]
    pub content: Option<String>,
    /// The component or modal that is used.
    #[serde(default)]
    pub custom_id: Option<String>,
    /// What a select menu has.
    #[serde(default)]
    pub values: Vec<String>,
    /// An emoji, or `name:id`.
    #[serde(default)]
    pub emoji: Option<String>,
    /// The answer of a poll, by its number.
    #[serde(default)]
    pub answer: Option<u8>,
}

/// What can be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Deed {
    /// Types a command that the bot has registered (or, if not, one that it hasn't).
    Command,
    /// Types part of a command's option, so that the bot is asked what it could become.
    Autocomplete,
    /// Uses a component of a message.
    Component,
    /// Submits a modal.
    Modal,
    /// Writes a message.
    Message,
    /// Edits one of its messages.
    Edit,
    /// Deletes a message.
    Delete,
    /// Reacts to a message.
    React,
    /// Takes its reaction back.
    Unreact,
    /// Votes in a poll.
    Vote,
    /// Takes its vote back.
    Unvote,
    /// Begins to type.
    Type,
    /// Joins a guild.
    Join,
    /// Leaves a guild.
    Leave,
    /// Bans a member. The ban is the user's whom the action names.
    Ban,
}

/// What an action has made.
#[derive(Debug, Default, PartialEq, Eq, Serialize)]
pub struct Done {
    /// The interaction or message.
    pub id: Option<String>,
    /// Who did it.
    pub user: Option<String>,
    /// Where.
    pub channel: Option<String>,
    /// In which guild.
    pub guild: Option<String>,
}

/// Who does it and where.
struct Scene {
    guild: Option<u64>,
    channel: u64,
    kind: u8,
    user: usize,
}

impl World {
    /// Does it: the dispatches that tell of it, and what it has made.
    ///
    /// # Errors
    ///
    /// Why it can't be done.
    pub(crate) fn act(&mut self, action: &Action) -> Result<(Vec<Dispatch>, Done), String> {
        let scene = self.scene(action)?;
        let user = self.users[scene.user].id;
        let mut done = Done {
            id: None,
            user: Some(user.to_string()),
            channel: Some(scene.channel.to_string()),
            guild: scene.guild.map(|guild| guild.to_string()),
        };
        let told = match action.what {
            Deed::Command | Deed::Autocomplete | Deed::Component | Deed::Modal => {
                let (kind, data) = self.interaction_data(action)?;
                let mut d = self.interaction(&scene, kind, data);
                if action.what == Deed::Component || action.message.is_some() {
                    let message = self.message_meant(action, &scene, 0)?;
                    d["message"] = self.message_object(&message);
                }
                done.id = d["id"].as_str().map(str::to_owned);
                vec![Dispatch::plain(scene.guild, "INTERACTION_CREATE", 0, &d)]
            }
            Deed::Message => {
                let content = action.content.clone().ok_or("content is required")?;
                let message = self.speak(&scene, content);
                done.id = Some(message.to_string());
                self.told_of(scene.guild, scene.channel, message, "MESSAGE_CREATE")
                    .into_iter()
                    .collect()
            }
            Deed::Edit => {
                let content = action.content.clone().ok_or("content is required")?;
                let (message, now) = (
                    self.message_meant(action, &scene, scene.user)?.id,
                    self.clock_ms,
                );
                let mentions = self.mentioned(&content);
                if let Some(known) = self.message_mut(scene.guild, scene.channel, message) {
                    let written = known.written.get_or_insert_default();
                    (written.content, written.mentions) = (content, mentions);
                    known.edited_ms = Some(now);
                }
                done.id = Some(message.to_string());
                self.told_of(scene.guild, scene.channel, message, "MESSAGE_UPDATE")
                    .into_iter()
                    .collect()
            }
            Deed::Delete => {
                let message = self.message_meant(action, &scene, scene.user)?.id;
                self.forget_message(scene.guild, scene.channel, message);
                done.id = Some(message.to_string());
                let d = in_guild(
                    json!({"id": id(message), "channel_id": id(scene.channel)}),
                    scene.guild,
                );
                vec![Dispatch::plain(
                    scene.guild,
                    "MESSAGE_DELETE",
                    scene.intent(intents::GUILD_MESSAGES),
                    &d,
                )]
            }
            Deed::React | Deed::Unreact => self.reaction(action, &scene)?,
            Deed::Vote | Deed::Unvote => self.vote(action, &scene)?,
            Deed::Type => {
                let d = json!({
                    "user_id": id(user), "timestamp": self.clock_ms / 1_000, "channel_id": id(scene.channel),
                });
                let mut d = in_guild(d, scene.guild);
                if let Some(member) = self.member_object(&scene) {
                    d["member"] = member;
                }
                let intent = scene.intent(intents::GUILD_MESSAGE_TYPING);
                vec![Dispatch::plain(scene.guild, "TYPING_START", intent, &d)]
            }
            Deed::Join => self.join(&scene)?,
            Deed::Leave | Deed::Ban => self.go(action.what, &scene)?,
        };
        Ok((told, done))
    }

    fn scene(&mut self, action: &Action) -> Result<Scene, String> {
        let number = |text: &Option<String>| {
            text.as_ref()
                .map(|text| text.parse::<u64>().map_err(|_| format!("{text} is no id")))
        };
        let (guild, channel) = (
            number(&action.guild).transpose()?,
            number(&action.channel).transpose()?,
        );
        let user = number(&action.user).transpose()?;
        let (guild, channel, kind) = match (guild, channel) {
            (_, Some(channel)) => {
                let place = self.place(channel).ok_or("no such channel")?;
                (place.guild, channel, place.kind)
            }
            (guild, None) => {
                let first = || self.guilds.values().find(|guild| !guild.unavailable);
                let home = guild
                    .map_or_else(first, |guild| self.guilds.get(guild))
                    .ok_or("no such guild")?;
                let channel = home
                    .channels
                    .values()
                    .find(|channel| channel.takes_messages());
                let channel = channel.ok_or("the guild has no channel to write in")?;
                (Some(home.id), channel.id, channel.kind)
            }
        };
        let user = match user {
            Some(user) => self.user(user).ok_or("no such user")?,
            None => self
                .anybody(guild, channel, action.what)
                .ok_or("nobody is there")?,
        };
        Ok(Scene {
            guild,
            channel,
            kind,
            user,
        })
    }

    /// Somebody who could do it: a member that isn't the owner, or for joining, one who is no member.
    fn anybody(&self, guild: Option<u64>, channel: u64, what: Deed) -> Option<usize> {
        let Some(guild) = guild.and_then(|guild| self.guilds.get(guild)) else {
            let dm = self.dms.iter().find(|dm| dm.channel == channel)?;
            return Some(dm.user as usize);
        };
        if what == Deed::Join {
            return (1..self.users.len())
                .find(|place| !guild.members.contains(self.users[*place].id));
        }
        let plain = |(user, member): &(u64, &Member)| member.user != 0 && *user != guild.owner;
        guild
            .members
            .iter()
            .find(plain)
            .map(|(_, member)| member.user as usize)
    }

    fn member_object(&self, scene: &Scene) -> Option<Value> {
        let home = self.guilds.get(scene.guild?)?;
        let user = &self.users[scene.user];
        Some(json!(home.members.get(user.id)?.json(user)))
    }

    fn speak(&mut self, scene: &Scene, content: String) -> u64 {
        let mentions = self.mentioned(&content);
        let message_id = self.next_id();
        let written = Written {
            content,
            mentions,
            components: json!([]),
            ..Written::default()
        };
        let message = Message {
            id: message_id,
            channel: scene.channel,
            channel_kind: scene.kind,
            author: u32::try_from(scene.user).unwrap_or(0),
            sent_ms: self.clock_ms,
            written: Some(Box::new(written)),
            ..Message::default()
        };
        match scene.guild.and_then(|guild| self.guilds.get_mut(guild)) {
            Some(guild) => {
                if let Some(channel) = guild.channels.get_mut(scene.channel) {
                    channel.last_message = Some(message_id);
                }
                remember(&mut guild.messages, message);
            }
            None => remember(&mut self.dm_messages, message),
        }
        message_id
    }

    /// The message that an action names, or the newest one of its author there.
    fn message_meant(
        &self,
        action: &Action,
        scene: &Scene,
        author: usize,
    ) -> Result<Message, String> {
        let all = self.messages_of(scene.guild, scene.channel);
        let meant = match &action.message {
            Some(text) => {
                let meant: u64 = text.parse().map_err(|_| format!("{text} is no id"))?;
                all.into_iter().find(|message| message.id == meant)
            }
            None => all
                .into_iter()
                .rev()
                .find(|message| message.author as usize == author),
        };
        meant.cloned().ok_or_else(|| "no such message".to_owned())
    }

    fn reaction(&mut self, action: &Action, scene: &Scene) -> Result<Vec<Dispatch>, String> {
        let text = action.emoji.as_deref().unwrap_or("👍");
        let emoji = match text.rsplit_once(':') {
            Some((name, number)) => json!({"name": name, "id": number}),
            None => json!({"name": text, "id": null}),
        };
        let user = self.users[scene.user].id;
        let message = self.message_meant(action, scene, 0)?.id;
        let adds = action.what == Deed::React;
        let member = self.member_object(scene);
        let known = self
            .message_mut(scene.guild, scene.channel, message)
            .ok_or("no such message")?;
        let author = known.author as usize;
        let place = known
            .reactions
            .iter()
            .position(|reaction| reaction.emoji == emoji);
        match (place, adds) {
            (Some(place), true) => known.reactions[place].count += 1,
            (Some(place), false) => known.reactions[place].count -= 1,
            (None, true) => known.reactions.push(Reaction {
                emoji: emoji.clone(),
                count: 1,
                me: false,
            }),
            (None, false) => return Err("there is no such reaction".to_owned()),
        }
        known.reactions.retain(|reaction| reaction.count > 0);
        let mut d = in_guild(
            json!({
                "user_id": id(user), "type": 0, "message_id": id(message), "emoji": emoji,
                "channel_id": id(scene.channel), "burst": false,
            }),
            scene.guild,
        );
        let event = if adds {
            d["message_author_id"] = id(self.users[author].id);
            if let Some(member) = member {
                d["member"] = member;
            }
            "MESSAGE_REACTION_ADD"
        } else {
            "MESSAGE_REACTION_REMOVE"
        };
        let intent = scene.intent(intents::GUILD_MESSAGE_REACTIONS);
        Ok(vec![Dispatch::plain(scene.guild, event, intent, &d)])
    }

    fn join(&mut self, scene: &Scene) -> Result<Vec<Dispatch>, String> {
        let at = scene.guild.ok_or("a guild is required")?;
        let (now, user) = (self.clock_ms, &mut self.users[scene.user]);
        let guild = self.guilds.get_mut(at).ok_or("no such guild")?;
        if guild.members.contains(user.id) {
            return Err("the user is a member already".to_owned());
        }
        let member = Member {
            user: u32::try_from(scene.user).unwrap_or(0),
            face: user.face,
            joined_ms: now,
            ..Member::default()
        };
        let d = member.json_of_event(user, at);
        guild.members.insert(user.id, member);
        user.guilds.push(at);
        Ok(vec![Dispatch::plain(
            Some(at),
            "GUILD_MEMBER_ADD",
            intents::GUILD_MEMBERS,
            &d,
        )])
    }

    fn go(&mut self, what: Deed, scene: &Scene) -> Result<Vec<Dispatch>, String> {
        let guild = scene.guild.ok_or("a guild is required")?;
        let user = self.users[scene.user].id;
        self.agenda.push_back(Planned::RemoveMember { guild, user });
        if what == Deed::Leave {
            return Ok(Vec::new());
        }
        let home = self.guilds.get_mut(guild).ok_or("no such guild")?;
        home.bans
            .push(Ban::of(u32::try_from(scene.user).unwrap_or(0)));
        let d = json!({"user": self.users[scene.user].json(), "guild_id": id(guild)});
        Ok(vec![Dispatch::plain(
            Some(guild),
            "GUILD_BAN_ADD",
            intents::GUILD_MODERATION,
            &d,
        )])
    }
}

impl Scene {
    /// The intent of an event in guilds, or of its like in direct messages: three bits higher.
    fn intent(&self, of_guilds: u64) -> u64 {
        if self.guild.is_some() {
            of_guilds
        } else {
            of_guilds << 3
        }
    }
}

fn in_guild(d: Value, guild: Option<u64>) -> Value {
    match guild {
        Some(guild) => with_guild(d, guild),
        None => d,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::world::Family;
    use crate::world::WorldConfig;

    fn act(world: &mut World, action: Value) -> (Vec<Dispatch>, Done) {
        let action: Action = serde_json::from_value(action).unwrap();
        world.act(&action).unwrap()
    }

    #[test]
    fn somebody_writes_edits_reacts_and_deletes() {
        let mut world = World::new(WorldConfig::default());
        let (told, done) = act(&mut world, json!({"do": "message", "content": "hello"}));
        assert_eq!(told[0].t, "MESSAGE_CREATE");
        let message = done.id.unwrap();
        for (action, event) in [
            (json!({"do": "edit", "content": "bye"}), "MESSAGE_UPDATE"),
            (
                json!({"do": "react", "message": message}),
                "MESSAGE_REACTION_ADD",
            ),
            (
                json!({"do": "unreact", "message": message}),
                "MESSAGE_REACTION_REMOVE",
            ),
            (json!({"do": "type"}), "TYPING_START"),
            (json!({"do": "delete"}), "MESSAGE_DELETE"),
        ] {
            let (told, _) = act(&mut world, action);
            assert_eq!(told[0].t, event);
        }
    }

    #[test]
    fn who_is_mentioned_is_told_with_the_member_and_an_update_is_never_spoken() {
        let mut world = World::new(WorldConfig::default());
        let (_, done) = act(&mut world, json!({"do": "message", "content": "hello"}));
        let (guild, user) = (done.guild.unwrap(), done.user.unwrap());
        let content = format!("hello <@{user}>");
        let (told, done) = act(
            &mut world,
            json!({"do": "message", "guild": guild, "content": content}),
        );
        let d: Value = serde_json::from_str(&told[0].d).unwrap();
        assert_eq!(d["mentions"][0]["id"], json!(user));
        assert!(d["mentions"][0]["member"]["joined_at"].is_string(), "{d}");
        let home = world.guilds.get_mut(guild.parse().unwrap()).unwrap();
        let message = home.messages.back_mut().unwrap();
        message.written.as_mut().unwrap().tts = true;
        let (told, _) = act(
            &mut world,
            json!({"do": "edit", "message": done.id, "content": "bye"}),
        );
        let d: Value = serde_json::from_str(&told[0].d).unwrap();
        assert_eq!(
            (told[0].t.as_str(), &d["tts"]),
            ("MESSAGE_UPDATE", &json!(false))
        );
    }

    #[test]
    fn somebody_votes_once_for_each_answer() {
        let mut world = World::new(WorldConfig::default());
        let (_, done) = act(&mut world, json!({"do": "message", "content": "?"}));
        let home = world.guilds.get_mut(done.guild.unwrap().parse().unwrap());
        let message = home.unwrap().messages.back_mut().unwrap();
        message.written.as_mut().unwrap().poll = Some(json!({
            "answers": [{"answer_id": 1}, {"answer_id": 2}], "allow_multiselect": false,
            "results": {"is_finalized": false, "answer_counts": []},
        }));
        let mut vote = |what: &str, answer: u8| {
            let action = json!({"do": what, "answer": answer, "message": done.id});
            let told = world.act(&serde_json::from_value(action).unwrap())?.0;
            Ok::<_, String>(told.into_iter().map(|told| told.t).collect::<Vec<_>>())
        };
        let (added, removed) = ("MESSAGE_POLL_VOTE_ADD", "MESSAGE_POLL_VOTE_REMOVE");
        assert_eq!(vote("vote", 1).unwrap(), [added]);
        assert!(vote("vote", 1).is_err() && vote("unvote", 2).is_err());
        assert_eq!(vote("vote", 2).unwrap(), [removed, added]);
        assert_eq!(vote("unvote", 2).unwrap(), [removed]);
        assert!(vote("vote", 3).is_err());
    }

    #[test]
    fn a_command_has_the_types_that_were_declared() {
        let mut world = World::new(WorldConfig::default());
        let command =
            json!({"id": "77", "name": "ping", "type": 1, "options": [{"name": "n", "type": 10}]});
        world.documents.put(Family::Command, 0, "id", command);
        let (told, _) = act(
            &mut world,
            json!({"do": "command", "name": "ping", "options": {"n": 1, "s": "x"}}),
        );
        let d: Value = serde_json::from_str(&told[0].d).unwrap();
        assert_eq!((&d["type"], &d["data"]["id"]), (&json!(2), &json!("77")));
        assert_eq!(
            d["data"]["options"][0],
            json!({"name": "n", "type": 10, "value": 1})
        );
        assert_eq!(d["data"]["options"][1]["type"], 3);
        assert!(d["member"]["user"]["id"].is_string());
    }

    #[test]
    fn members_join_and_leave() {
        let mut world = World::new(WorldConfig {
            users: 500,
            ..WorldConfig::default()
        });
        let (told, done) = act(&mut world, json!({"do": "join"}));
        assert_eq!(told[0].t, "GUILD_MEMBER_ADD");
        let (told, _) = act(
            &mut world,
            json!({"do": "leave", "user": done.user, "guild": done.guild}),
        );
        assert!(told.is_empty());
        assert_eq!(world.next_planned().unwrap().t, "GUILD_MEMBER_REMOVE");
    }
}
