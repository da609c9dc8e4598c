//! Reading, merging and removing entries, whatever they are.

use serde_json::Value;

use super::{Fields, Truth};

/// An id: a string or number of digits only.
pub(super) fn id(value: &Value) -> Option<u64> {
    match value {
        Value::String(text) if text.bytes().all(|byte| byte.is_ascii_digit()) => text.parse().ok(),
        Value::Number(number) => number.as_u64(),
        _ => None,
    }
}

/// The id in one of the fields.
pub(super) fn id_of(fields: &Fields, name: &str) -> Option<u64> {
    fields.get(name).and_then(id)
}

/// Whether a field is there and not null.
pub(super) fn has(fields: &Fields, name: &str) -> bool {
    fields.get(name).is_some_and(|value| !value.is_null())
}

/// Whether a field is a list, null, or not there: anything else is a payload that can't be used.
pub(super) fn may_be_list(fields: &Fields, name: &str) -> bool {
    fields
        .get(name)
        .is_none_or(|value| value.is_array() || value.is_null())
}

/// Merges field by field: what is absent stays, null overwrites.
pub(super) fn merge(target: &mut Value, fields: &Fields) {
    if let Value::Object(target) = target {
        for (name, value) in fields {
            target.insert(name.clone(), value.clone());
        }
    }
}

/// The object with `guild_id`, unless it says one itself.
pub(super) fn in_guild(fields: &Fields, guild: u64) -> Value {
    let mut object = fields.clone();
    object
        .entry("guild_id")
        .or_insert_with(|| Value::String(guild.to_string()));
    Value::Object(object)
}

/// The entry as it is, where somebody asks for it.
pub(super) fn before(without_old: bool, entry: &Value) -> Value {
    if without_old {
        Value::Null
    } else {
        entry.clone()
    }
}

impl Truth {
    /// Stores, whatever was there.
    pub(super) fn put(&mut self, key: String, value: Value) {
        self.entries.insert(key, value);
    }

    /// Stores a child of a guild; an archived thread, an offline presence and a voice state of nowhere
    /// are no entries.
    pub(super) fn keep(&mut self, key: String, value: Value) {
        let family = key.split(':').next().unwrap_or_default();
        let absent = value.as_object().is_some_and(|object| match family {
            "channel" => is_archived(object),
            "presence" => is_offline(object),
            "voice" => object.get("channel_id") == Some(&Value::Null),
            _ => false,
        });
        if absent {
            self.entries.remove(&key);
        } else {
            self.put(key, value);
        }
    }

    /// Merges over the entry and returns it as it was; stores a whole one that wasn't there.
    pub(super) fn change(&mut self, key: String, fields: &Fields) -> Option<Value> {
        match self.entries.get_mut(&key) {
            Some(entry) => {
                let old = before(self.without_old, entry);
                merge(entry, fields);
                Some(old)
            }
            None => {
                self.put(key, Value::Object(fields.clone()));
                None
            }
        }
    }

    /// Merges over the entry if it is there; returns it as it was.
    pub(super) fn amend(&mut self, key: &str, fields: &Fields) -> Option<Value> {
        let entry = self.entries.get_mut(key)?;
        let old = before(self.without_old, entry);
        merge(entry, fields);
        Some(old)
    }

    /// Sets one field of the entry if it is there; returns the entry as it was.
    pub(super) fn set_field(&mut self, key: &str, name: &str, value: Value) -> Option<Value> {
        let entry = self.entries.get_mut(key)?;
        let old = before(self.without_old, entry);
        entry.as_object_mut()?.insert(name.to_owned(), value);
        Some(old)
    }

    /// Adds to a number of the entry, not below 0, if it has that number; returns the entry as it
    /// was.
    pub(super) fn count(&mut self, key: &str, name: &str, by: i64) -> Option<Value> {
        let entry = self.entries.get_mut(key)?;
        let old = before(self.without_old, entry);
        if let Some(count) = entry.get(name).and_then(Value::as_u64) {
            entry[name] = count.saturating_add_signed(by).into();
        }
        Some(old)
    }

    /// The keys that begin so.
    pub(super) fn keys_with(&self, prefix: &str) -> Vec<String> {
        let from = self.entries.range(prefix.to_owned()..);
        from.map(|(key, _)| key)
            .take_while(|key| key.starts_with(prefix))
            .cloned()
            .collect()
    }

    /// Removes all entries whose keys begin so.
    pub(super) fn remove_with(&mut self, prefix: &str) {
        for key in self.keys_with(prefix) {
            self.entries.remove(&key);
        }
    }
}

/// A presence that says no more than that there is none.
pub(super) fn is_offline(presence: &Fields) -> bool {
    presence.get("status").and_then(Value::as_str) == Some("offline")
}

/// The last id of a key.
pub(super) fn last_id(key: &str) -> Option<u64> {
    key.rsplit(':').next()?.parse().ok()
}

/// Discord's types 10, 11 and 12.
pub(super) fn is_thread(channel: &Fields) -> bool {
    channel
        .get("type")
        .and_then(Value::as_u64)
        .is_some_and(|kind| (10..=12).contains(&kind))
}

/// Discord lists it no more.
pub(super) fn is_archived(thread: &Fields) -> bool {
    let metadata = thread.get("thread_metadata");
    metadata.is_some_and(|metadata| metadata.get("archived") == Some(&Value::Bool(true)))
}
