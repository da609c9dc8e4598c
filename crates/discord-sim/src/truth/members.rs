//! Members, presences and voice states.

use serde_json::Value;

use super::{
    Fields, Truth,
    entries::{before, has, id, in_guild, is_offline, may_be_list},
    id_of, merge,
};

impl Truth {
    pub(super) fn member_add(&mut self, d: &Fields) -> Option<Value> {
        let (guild, user) = (id_of(d, "guild_id")?, user_of(d)?);
        let key = format!("member:{guild}:{user}");
        if !self.entries.contains_key(&key) {
            self.count(&format!("guild:{guild}"), "member_count", 1);
        }
        self.put(key, Value::Object(d.clone()));
        None
    }

    /// The voice state goes with the VOICE_STATE_UPDATE that follows.
    pub(super) fn member_remove(&mut self, d: &Fields) -> Option<Value> {
        let (guild, user) = (id_of(d, "guild_id")?, user_of(d)?);
        self.count(&format!("guild:{guild}"), "member_count", -1);
        self.entries.remove(&format!("presence:{guild}:{user}"));
        self.entries.remove(&format!("member:{guild}:{user}"))
    }

    /// One that isn't known is stored if it is whole.
    pub(super) fn member_update(&mut self, d: &Fields) -> Option<Value> {
        let key = format!("member:{}:{}", id_of(d, "guild_id")?, user_of(d)?);
        // `joined_at` is null for a guest.
        let whole = has(d, "roles") && d.contains_key("joined_at");
        if !whole && !self.entries.contains_key(&key) {
            return None;
        }
        self.change(key, d)
    }

    pub(super) fn members_chunk(&mut self, d: &Fields) -> Option<Value> {
        let guild = id_of(d, "guild_id")?;
        d.get("members")?.as_array()?;
        if !may_be_list(d, "presences") {
            return None;
        }
        for (list, family) in [("members", "member"), ("presences", "presence")] {
            let elements = d.get(list).and_then(Value::as_array).into_iter().flatten();
            for element in elements.filter_map(Value::as_object) {
                if let Some(user) = user_of(element) {
                    let key = format!("{family}:{guild}:{user}");
                    self.keep(key, in_guild(element, guild));
                }
            }
        }
        None
    }

    /// Merged, and so is the `user` in it: it is partial.
    pub(super) fn presence_update(&mut self, d: &Fields) -> Option<Value> {
        let key = format!("presence:{}:{}", id_of(d, "guild_id")?, user_of(d)?);
        if is_offline(d) {
            return self.entries.remove(&key);
        }
        let Some(presence) = self.entries.get_mut(&key) else {
            self.put(key, Value::Object(d.clone()));
            return None;
        };
        let old = before(self.without_old, presence);
        let mut user = presence.get("user").cloned().unwrap_or_default();
        merge(presence, d);
        if let Some(fields) = d
            .get("user")
            .and_then(Value::as_object)
            .filter(|_| user.is_object())
        {
            merge(&mut user, fields);
            presence["user"] = user;
        }
        Some(old)
    }

    /// `channel_id` null: has left. A call without a guild isn't kept.
    pub(super) fn voice_state_update(&mut self, d: &Fields) -> Option<Value> {
        let key = format!("voice:{}:{}", id_of(d, "guild_id")?, id_of(d, "user_id")?);
        match d.get("channel_id")? {
            Value::Null => self.entries.remove(&key),
            channel => {
                id(channel)?;
                self.entries.insert(key, Value::Object(d.clone()))
            }
        }
    }
}

fn user_of(d: &Fields) -> Option<u64> {
    id(d.get("user")?.get("id")?)
}
