//! Votes in polls.

use serde_json::{Value, json};

use super::{Action, Deed, Scene, in_guild};
use crate::world::{Dispatch, Message, World, id, intents};

impl World {
    /// Votes for an answer of a poll (the first, if none is named), or takes that vote back. Where one answer only may be
    /// chosen, another vote of the user is taken back first.
    pub(super) fn vote(&mut self, action: &Action, scene: &Scene) -> Result<Vec<Dispatch>, String> {
        let user = self.users[scene.user].id;
        let meant = self.poll_meant(action, scene)?;
        let object = self.message_object(&meant);
        let poll = &object["poll"];
        let answer = action.answer.unwrap_or(1);
        let is_it = |known: &Value| known["answer_id"] == answer;
        if !poll["answers"]
            .as_array()
            .is_some_and(|all| all.iter().any(is_it))
        {
            return Err(format!("the poll has no answer {answer}"));
        }
        if poll["results"]["is_finalized"] == true {
            return Err("the poll has ended".to_owned());
        }
        let (cast, adds) = ((user, answer), action.what == Deed::Vote);
        let has_voted = meant.votes.contains(&cast);
        let mut told = Vec::new();
        match (has_voted, adds) {
            (true, true) => return Err("the user has voted for that".to_owned()),
            (false, false) => return Err("there is no such vote".to_owned()),
            (true, false) => told.push((answer, "MESSAGE_POLL_VOTE_REMOVE")),
            (false, true) => {
                if poll["allow_multiselect"] != true {
                    let others = meant.votes.iter().filter(|(voter, _)| *voter == user);
                    told.extend(others.map(|(_, other)| (*other, "MESSAGE_POLL_VOTE_REMOVE")));
                }
                told.push((answer, "MESSAGE_POLL_VOTE_ADD"));
            }
        }
        let message = self
            .message_mut(scene.guild, scene.channel, meant.id)
            .ok_or("no such message")?;
        for (answer, event) in &told {
            match *event {
                "MESSAGE_POLL_VOTE_ADD" => message.votes.push((user, *answer)),
                _ => message.votes.retain(|vote| *vote != (user, *answer)),
            }
        }
        count(message);
        let intent = if scene.guild.is_some() {
            intents::GUILD_MESSAGE_POLLS
        } else {
            intents::DIRECT_MESSAGE_POLLS
        };
        let dispatch = |(answer, event): (u8, &str)| {
            let d = json!({
                "user_id": id(user), "message_id": id(meant.id), "channel_id": id(scene.channel),
                "answer_id": answer,
            });
            Dispatch::plain(scene.guild, event, intent, &in_guild(d, scene.guild))
        };
        Ok(told.into_iter().map(dispatch).collect())
    }

    /// The message that an action names, or the newest one there, with a poll.
    fn poll_meant(&self, action: &Action, scene: &Scene) -> Result<Message, String> {
        let has_poll = |message: &&Message| {
            let written = message.written.as_ref();
            message.has_invented_poll() || written.is_some_and(|written| written.poll.is_some())
        };
        let is_meant = |message: &&Message| {
            let named = action.message.as_ref();
            named.is_none_or(|named| *named == message.id.to_string())
        };
        let all = self.messages_of(scene.guild, scene.channel);
        let meant = all.into_iter().rev().filter(is_meant).find(has_poll);
        meant.cloned().ok_or_else(|| "no such poll".to_owned())
    }
}

/// The poll's results, as its message shows them.
fn count(message: &mut Message) {
    let Some(poll) = (message.written.as_mut()).and_then(|written| written.poll.as_mut()) else {
        return;
    };
    let mut answers: Vec<u8> = message.votes.iter().map(|(_, answer)| *answer).collect();
    answers.sort_unstable();
    let groups = answers.chunk_by(|one, other| one == other);
    let counts =
        groups.map(|votes| json!({"id": votes[0], "count": votes.len(), "me_voted": false}));
    poll["results"]["answer_counts"] = counts.collect();
}
