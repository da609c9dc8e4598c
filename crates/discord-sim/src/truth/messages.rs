//! Messages.

use serde_json::Value;

use super::{Fields, Truth, entries::has, id, id_of};

impl Truth {
    pub(super) fn message_create(&mut self, d: &Fields) -> Option<Value> {
        self.put(key(d)?, Value::Object(d.clone()));
        None
    }

    /// One that isn't known is stored if it is whole.
    pub(super) fn message_update(&mut self, d: &Fields) -> Option<Value> {
        let key = key(d)?;
        let whole = ["author", "timestamp", "content"]
            .iter()
            .all(|name| has(d, name));
        if whole {
            self.change(key, d)
        } else {
            self.amend(&key, d)
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
        (!gone.is_empty()).then_some(Value::Array(gone))
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
