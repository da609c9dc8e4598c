//! Reactions to messages, and votes in their polls. `old` is the message.

use serde_json::{Map, Value, json};

use super::{
    Fields, Truth,
    entries::{before, id, may_be_list},
    id_of,
};

impl Truth {
    /// One reaction more or less.
    pub(super) fn reaction(&mut self, d: &Fields, by: i64) -> Option<Value> {
        let (key, user) = (key(d)?, id_of(d, "user_id")?);
        let emoji = d.get("emoji")?.as_object()?;
        if !may_be_list(d, "burst_colors") {
            return None;
        }
        let own = self.bot() == Some(user);
        let message = self.entries.get_mut(&key)?;
        let old = before(self.without_old, message);
        let message = message.as_object_mut()?;
        let Some(mut reactions) = list_in(message, "reactions") else {
            return Some(old);
        };
        let burst = d.get("burst") == Some(&Value::Bool(true));
        let place = reactions
            .iter()
            .position(|reaction| has_emoji(reaction, emoji));
        if place.is_none() && by < 0 {
            return Some(old);
        }
        let place = place.unwrap_or_else(|| {
            reactions.push(json!({
                "emoji": emoji, "count": 0, "count_details": {"burst": 0, "normal": 0},
                "burst_colors": [], "me_burst": false, "me": false,
            }));
            reactions.len() - 1
        });
        if let Some(Value::Object(reaction)) = reactions.get_mut(place) {
            add(reaction, "count", by);
            if let Some(Value::Object(details)) = reaction.get_mut("count_details") {
                add(details, if burst { "burst" } else { "normal" }, by);
            }
            if own {
                let me = if burst { "me_burst" } else { "me" };
                reaction.insert(me.to_owned(), Value::Bool(by > 0));
            }
            if let Some(Value::Array(colours)) = d.get("burst_colors")
                && burst
                && by > 0
            {
                reaction.insert("burst_colors".to_owned(), json!(colours));
            }
        }
        if reactions[place]["count"] == 0 {
            reactions.remove(place);
        }
        set_reactions(message, reactions);
        Some(old)
    }

    pub(super) fn reactions_clear(&mut self, d: &Fields) -> Option<Value> {
        let message = self.entries.get_mut(&key(d)?)?;
        let old = before(self.without_old, message);
        let message = message.as_object_mut()?;
        if message.get("reactions").is_some_and(Value::is_array) {
            set_reactions(message, Vec::new());
        }
        Some(old)
    }

    pub(super) fn reactions_clear_emoji(&mut self, d: &Fields) -> Option<Value> {
        let emoji = d.get("emoji")?.as_object()?;
        let message = self.entries.get_mut(&key(d)?)?;
        let old = before(self.without_old, message);
        let message = message.as_object_mut()?;
        if let Some(Value::Array(mut reactions)) = message.get("reactions").cloned() {
            reactions.retain(|reaction| !has_emoji(reaction, emoji));
            set_reactions(message, reactions);
        }
        Some(old)
    }

    /// One vote more or less. What a poll's results don't name has no votes; without results nobody
    /// has voted.
    pub(super) fn vote(&mut self, d: &Fields, by: i64) -> Option<Value> {
        let (key, user) = (key(d)?, id_of(d, "user_id")?);
        let answer = id_of(d, "answer_id")?;
        let own = self.bot() == Some(user);
        let old = before(self.without_old, self.entries.get(&key)?);
        if let Some(Value::Object(poll)) = self.entries.get_mut(&key)?.get_mut("poll")
            && let Some(results) = voted(poll, answer, by, own)
        {
            poll.insert("results".to_owned(), Value::Object(results));
        }
        Some(old)
    }
}

/// The results with one vote more or less; `None`: nothing changes.
fn voted(poll: &Fields, answer: u64, by: i64, own: bool) -> Option<Fields> {
    let mut results = match poll.get("results") {
        None | Some(Value::Null) => {
            Map::from_iter([("is_finalized".to_owned(), Value::Bool(false))])
        }
        Some(results) => results.as_object()?.clone(),
    };
    let mut counts = list_in(&results, "answer_counts")?;
    let is_it = |count: &Value| count.get("id").and_then(id) == Some(answer);
    let place = match counts.iter().position(is_it) {
        Some(place) => place,
        None if by < 0 => return None,
        None => {
            counts.push(json!({"id": answer, "count": 0, "me_voted": false}));
            counts.len() - 1
        }
    };
    if let Some(Value::Object(count)) = counts.get_mut(place) {
        add(count, "count", by);
        if own {
            count.insert("me_voted".to_owned(), Value::Bool(by > 0));
        }
    }
    results.insert("answer_counts".to_owned(), Value::Array(counts));
    Some(results)
}

/// The message that the event is about.
fn key(d: &Fields) -> Option<String> {
    let (channel, message) = (id_of(d, "channel_id")?, id_of(d, "message_id")?);
    Some(format!("message:{channel}:{message}"))
}

/// A list that may be missing; `None`: it is something else.
fn list_in(fields: &Fields, name: &str) -> Option<Vec<Value>> {
    match fields.get(name) {
        None | Some(Value::Null) => Some(Vec::new()),
        Some(list) => list.as_array().cloned(),
    }
}

/// Discord says nothing of reactions where there are none.
fn set_reactions(message: &mut Fields, reactions: Vec<Value>) {
    if reactions.is_empty() {
        message.shift_remove("reactions");
    } else {
        message.insert("reactions".to_owned(), Value::Array(reactions));
    }
}

fn add(fields: &mut Fields, name: &str, by: i64) {
    let count = fields.get(name).and_then(Value::as_u64).unwrap_or(0);
    fields.insert(name.to_owned(), count.saturating_add_signed(by).into());
}

/// A custom emoji is told by its id, another by its name.
fn has_emoji(reaction: &Value, emoji: &Fields) -> bool {
    let told = |emoji: &Fields| match id_of(emoji, "id") {
        Some(id) => (Some(id), None),
        None => (
            None,
            emoji.get("name").and_then(Value::as_str).map(str::to_owned),
        ),
    };
    let other = reaction.get("emoji").and_then(Value::as_object);
    other.is_some_and(|other| told(other) == told(emoji))
}
