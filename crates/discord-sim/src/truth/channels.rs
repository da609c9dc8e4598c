//! Channels and threads.

use std::collections::BTreeSet;

use serde_json::Value;

use super::{
    Fields, Truth,
    entries::{has, in_guild, last_id},
    id, id_of,
};

/// Flag of a channel that the bot can't view.
const OBFUSCATED: u64 = 1 << 17;

impl Truth {
    pub(super) fn channel_create(&mut self, d: &Fields) -> Option<Value> {
        self.put(key(d, "id")?, Value::Object(d.clone()));
        None
    }

    /// A channel that gets hidden or visible is replaced whole; else the update is merged. One that
    /// isn't known is stored if it is whole.
    pub(super) fn channel_update(&mut self, d: &Fields) -> Option<Value> {
        let key = key(d, "id")?;
        let known = self.entries.get(&key);
        if !has(d, "type") {
            return self.amend(&key, d);
        }
        if is_obfuscated(d) || known.and_then(Value::as_object).is_some_and(is_obfuscated) {
            return self.entries.insert(key, Value::Object(d.clone()));
        }
        self.change(key, d)
    }

    pub(super) fn channel_delete(&mut self, d: &Fields) -> Option<Value> {
        let (key, channel) = (key(d, "id")?, id_of(d, "id")?);
        if let Some(guild) = id_of(d, "guild_id") {
            let below = BTreeSet::from([channel]);
            self.remove_threads(guild, Some(&below), &BTreeSet::new());
        }
        self.remove_messages(channel);
        self.entries.remove(&key)
    }

    pub(super) fn thread_delete(&mut self, d: &Fields) -> Option<Value> {
        let (guild, thread) = (id_of(d, "guild_id")?, id_of(d, "id")?);
        self.remove_messages(thread);
        self.entries.remove(&format!("channel:{guild}:{thread}"))
    }

    /// Sets one field of a known channel to the field of that name in `d`. Without it nothing
    /// changes, but the channel is `old` all the same.
    pub(super) fn channel_field(
        &mut self,
        d: &Fields,
        id_field: &str,
        name: &str,
    ) -> Option<Value> {
        let key = key(d, id_field)?;
        match d.get(name) {
            Some(value) => self.set_field(&key, name, value.clone()),
            None => self.get(&key).cloned(),
        }
    }

    pub(super) fn thread_member_update(&mut self, d: &Fields) -> Option<Value> {
        id_of(d, "guild_id")?;
        let mut member = d.clone();
        member.shift_remove("guild_id");
        self.set_field(&key(d, "id")?, "member", Value::Object(member))
    }

    pub(super) fn thread_members_update(&mut self, d: &Fields) -> Option<Value> {
        id_of(d, "guild_id")?;
        self.channel_field(d, "id", "member_count")
    }

    pub(super) fn thread_list_sync(&mut self, d: &Fields) -> Option<Value> {
        let guild = id_of(d, "guild_id")?;
        let threads = d.get("threads")?.as_array()?;
        let parents: Option<BTreeSet<u64>> = match d.get("channel_ids") {
            None | Some(Value::Null) => None,
            Some(ids) => Some(ids.as_array()?.iter().filter_map(id).collect()),
        };
        let threads = || threads.iter().filter_map(Value::as_object);
        let listed: BTreeSet<u64> = threads().filter_map(|thread| id_of(thread, "id")).collect();
        self.remove_threads(guild, parents.as_ref(), &listed);
        for thread in threads() {
            if let Some(id) = id_of(thread, "id") {
                self.put(format!("channel:{guild}:{id}"), in_guild(thread, guild));
            }
        }
        None
    }

    /// Removes the guild's threads below these parents (`None`: below any) but the ones to keep, with
    /// their messages.
    fn remove_threads(
        &mut self,
        guild: u64,
        parents: Option<&BTreeSet<u64>>,
        keep: &BTreeSet<u64>,
    ) {
        for key in self.keys_with(&format!("channel:{guild}:")) {
            let Some(thread) = self.entries.get(&key).and_then(Value::as_object) else {
                continue;
            };
            let below = is_thread(thread)
                && parents.is_none_or(|parents| {
                    id_of(thread, "parent_id").is_some_and(|parent| parents.contains(&parent))
                });
            if let Some(id) = last_id(&key).filter(|id| below && !keep.contains(id)) {
                self.remove_messages(id);
                self.entries.remove(&key);
            }
        }
    }
}

/// Discord's types 10, 11 and 12.
fn is_thread(channel: &Fields) -> bool {
    channel
        .get("type")
        .and_then(Value::as_u64)
        .is_some_and(|kind| (10..=12).contains(&kind))
}

fn is_obfuscated(channel: &Fields) -> bool {
    channel
        .get("flags")
        .and_then(Value::as_u64)
        .is_some_and(|flags| flags & OBFUSCATED != 0)
}

/// A channel's key: with the guild, if there is one.
fn key(d: &Fields, id_field: &str) -> Option<String> {
    let channel = id_of(d, id_field)?;
    match d.get("guild_id") {
        None | Some(Value::Null) => Some(format!("channel:{channel}")),
        Some(guild) => Some(format!("channel:{}:{channel}", id(guild)?)),
    }
}
