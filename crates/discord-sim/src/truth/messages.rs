//! Messages.

use serde_json::Value;

use super::{Fields, Truth, entries::has, id, id_of};

impl Truth {
    pub(super) fn message_create(&mut self, d: &Fields) -> Option<Value> {
        let (key, message, channel) = (key(d)?, id_of(d, "id")?, id_of(d, "channel_id")?);
        self.remember(&key);
        self.put(key, Value::Object(d.clone()));
        let channel = match id_of(d, "guild_id") {
            Some(guild) => format!("channel:{guild}:{channel}"),
            None => format!("channel:{channel}"),
        };
        self.newest_in(&channel, message);
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
        self.entries.remove(&key(d)?)
    }

    pub(super) fn message_delete_bulk(&mut self, d: &Fields) -> Option<Value> {
        let channel = id_of(d, "channel_id")?;
        let ids = d.get("ids")?.as_array()?.iter().filter_map(id);
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
