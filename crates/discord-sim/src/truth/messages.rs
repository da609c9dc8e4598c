//! Messages.

use serde_json::Value;

use super::{Fields, Truth, entries::has, id, id_of};

impl Truth {
    pub(super) fn message_create(&mut self, d: &Fields) -> Option<Value> {
        let (key, message, channel) = (key(d)?, id_of(d, "id")?, id_of(d, "channel_id")?);
        self.remember(&key);
        self.put(key, Value::Object(d.clone()));
        let in_guild = id_of(d, "guild_id");
        let key = match in_guild {
            Some(guild) => format!("channel:{guild}:{channel}"),
            None => format!("channel:{channel}"),
        };
        self.newest_in(&key, message);
        // A thread does not count the message that it began with.
        let began = message == channel || d.get("type").and_then(Value::as_u64) == Some(21);
        if in_guild.is_some() && !began {
            self.count(&key, "message_count", 1);
            self.count(&key, "total_message_sent", 1);
        }
        None
    }

    /// A whole message replaces, but that a poll without results keeps those that are known; less is
    /// merged over a known one.
    pub(super) fn message_update(&mut self, d: &Fields) -> Option<Value> {
        let key = key(d)?;
        let whole = ["author", "timestamp", "content"]
            .iter()
            .all(|name| has(d, name));
        if !whole {
            return self.amend(&key, d);
        }
        let mut message = d.clone();
        // Every update says false.
        if self.get(&key).and_then(|known| known.get("tts")) == Some(&Value::Bool(true)) {
            message.insert("tts".to_owned(), Value::Bool(true));
        }
        let known = self
            .get(&key)
            .and_then(|known| known.get("poll")?.get("results"));
        if let Some(results) = known.filter(|results| !results.is_null()).cloned()
            && let Some(Value::Object(poll)) = message.get_mut("poll")
            && !has(poll, "results")
        {
            poll.insert("results".to_owned(), results);
        }
        if !self.entries.contains_key(&key) {
            self.remember(&key);
        }
        self.entries.insert(key, Value::Object(message))
    }

    /// Notes a new message, and forgets the oldest if there are too many.
    fn remember(&mut self, key: &str) {
        let Some(kept) = self.kept_messages else {
            return;
        };
        self.messages.push_back(key.to_owned());
        if self.messages.len() > kept
            && let Some(oldest) = self.messages.pop_front()
        {
            self.entries.remove(&oldest);
        }
    }

    pub(super) fn message_delete(&mut self, d: &Fields) -> Option<Value> {
        let key = key(d)?;
        self.count_gone(d, 1, id_of(d, "id"));
        self.entries.remove(&key)
    }

    /// So many messages of a thread are gone, its first one perhaps among them.
    fn count_gone(&mut self, d: &Fields, messages: usize, first: Option<u64>) {
        let (Some(guild), Some(channel)) = (id_of(d, "guild_id"), id_of(d, "channel_id")) else {
            return;
        };
        let counted = messages - usize::from(first == Some(channel));
        let by = -i64::try_from(counted).unwrap_or(0);
        self.count(&format!("channel:{guild}:{channel}"), "message_count", by);
    }

    pub(super) fn message_delete_bulk(&mut self, d: &Fields) -> Option<Value> {
        let channel = id_of(d, "channel_id")?;
        let ids = d.get("ids")?.as_array()?.iter().filter_map(id);
        let first = ids.clone().find(|id| *id == channel);
        self.count_gone(d, ids.clone().count(), first);
        let gone: Vec<Value> = ids
            .filter_map(|id| self.entries.remove(&format!("message:{channel}:{id}")))
            .collect();
        Some(Value::Array(gone))
    }

    /// Removes all messages of a channel.
    pub(super) fn remove_messages(&mut self, channel: u64) {
        self.remove_with(&format!("message:{channel}:"));
    }
}

fn key(d: &Fields) -> Option<String> {
    Some(format!(
        "message:{}:{}",
        id_of(d, "channel_id")?,
        id_of(d, "id")?
    ))
}
