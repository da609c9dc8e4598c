//! Guilds and the children that are told one by one or as lists.

use std::collections::BTreeSet;

use serde_json::Value;

use super::{
    Fields, Truth,
    entries::{has, id, id_of, in_guild, is_archived, last_id, may_be_list},
};

/// What GUILD_CREATE lists: the field, the family of keys, and where an element's id is.
const LISTS: [(&str, &str, &[&str]); 11] = [
    ("roles", "role", &["id"]),
    ("emojis", "emoji", &["id"]),
    ("stickers", "sticker", &["id"]),
    ("channels", "channel", &["id"]),
    ("threads", "channel", &["id"]),
    ("members", "member", &["user", "id"]),
    ("presences", "presence", &["user", "id"]),
    ("voice_states", "voice", &["user_id"]),
    ("stage_instances", "stage", &["id"]),
    ("guild_scheduled_events", "scheduled_event", &["id"]),
    ("soundboard_sounds", "soundboard_sound", &["sound_id"]),
];

/// The families of keys of a guild's children.
const FAMILIES: [&str; 10] = [
    "role",
    "emoji",
    "sticker",
    "channel",
    "member",
    "presence",
    "voice",
    "stage",
    "scheduled_event",
    "soundboard_sound",
];

impl Truth {
    /// The guilds that have an entry.
    pub(super) fn guilds(&self) -> Vec<u64> {
        self.keys_with("guild:")
            .iter()
            .filter_map(|key| last_id(key))
            .collect()
    }

    pub(super) fn guild_create(&mut self, d: &Fields) -> Option<Value> {
        let guild = id_of(d, "id")?;
        if d.get("unavailable") == Some(&Value::Bool(true)) {
            return self.outage(guild, d);
        }
        if !LISTS.iter().all(|(list, _, _)| may_be_list(d, list)) {
            return None;
        }
        let old = self.entries.get(&format!("guild:{guild}")).cloned();
        for (list, family, path) in LISTS {
            // Threads are told of beside channels, and replaced with them.
            if list != "threads" && is_full(d, list) {
                self.remove_unlisted(guild, family, path, d, list);
            }
        }
        for (list, family, path) in LISTS {
            for element in elements(d, list) {
                if let Some(child) = id_at(element, path) {
                    let key = format!("{family}:{guild}:{child}");
                    self.keep(key, in_guild(element, guild));
                }
            }
        }
        self.put(format!("guild:{guild}"), Value::Object(without_lists(d)));
        old
    }

    /// Removes the children of a family that a list, which is full, doesn't have.
    fn remove_unlisted(&mut self, guild: u64, family: &str, path: &[&str], d: &Fields, list: &str) {
        let mut listed: BTreeSet<u64> = BTreeSet::new();
        let beside = if list == "channels" { "threads" } else { list };
        for element in elements(d, list).chain(elements(d, beside)) {
            match id_at(element, path) {
                Some(id) if family == "channel" && is_archived(element) => listed.remove(&id),
                Some(id) => listed.insert(id),
                None => false,
            };
        }
        for key in self.keys_with(&format!("{family}:{guild}:")) {
            if let Some(id) = last_id(&key).filter(|id| !listed.contains(id)) {
                if family == "channel" {
                    self.remove_messages(id);
                }
                self.entries.remove(&key);
            }
        }
    }

    pub(super) fn guild_update(&mut self, d: &Fields) -> Option<Value> {
        let guild = id_of(d, "id")?;
        self.change(format!("guild:{guild}"), &without_lists(d))
    }

    pub(super) fn guild_delete(&mut self, d: &Fields) -> Option<Value> {
        let guild = id_of(d, "id")?;
        if d.get("unavailable") == Some(&Value::Bool(true)) {
            return self.outage(guild, d);
        }
        self.purge_guild(guild);
        self.entries.remove(&format!("guild:{guild}"))
    }

    /// The guild says that it is unavailable; everything of it stays.
    fn outage(&mut self, guild: u64, stub: &Fields) -> Option<Value> {
        self.change(format!("guild:{guild}"), &without_lists(stub))
    }

    /// Removes all children of a guild, and the messages of its channels.
    pub(super) fn purge_guild(&mut self, guild: u64) {
        for channel in self.channels(guild) {
            self.remove_messages(channel);
        }
        for family in FAMILIES {
            self.remove_with(&format!("{family}:{guild}:"));
        }
    }

    /// The guild's channels and threads.
    fn channels(&self, guild: u64) -> Vec<u64> {
        self.keys_with(&format!("channel:{guild}:"))
            .iter()
            .filter_map(|key| last_id(key))
            .collect()
    }

    pub(super) fn role_create(&mut self, d: &Fields) -> Option<Value> {
        let (guild, role) = (id_of(d, "guild_id")?, d.get("role")?.as_object()?);
        self.put(
            format!("role:{guild}:{}", id_of(role, "id")?),
            in_guild(role, guild),
        );
        None
    }

    pub(super) fn role_update(&mut self, d: &Fields) -> Option<Value> {
        let (guild, role) = (id_of(d, "guild_id")?, d.get("role")?.as_object()?);
        let (key, whole) = (
            format!("role:{guild}:{}", id_of(role, "id")?),
            in_guild(role, guild),
        );
        if ["name", "position", "permissions"]
            .iter()
            .all(|name| has(role, name))
        {
            // A tag that is gone is just not there.
            return self.entries.insert(key, whole);
        }
        match self.amend(&key, role) {
            None => {
                self.put(key, whole);
                None
            }
            old => old,
        }
    }

    /// A child that is told whole and by itself.
    pub(super) fn child_put(&mut self, family: &str, d: &Fields, id_field: &str) -> Option<Value> {
        let key = child_key(family, d, id_field)?;
        self.put(key, Value::Object(d.clone()));
        None
    }

    pub(super) fn child_change(
        &mut self,
        family: &str,
        d: &Fields,
        id_field: &str,
    ) -> Option<Value> {
        self.change(child_key(family, d, id_field)?, d)
    }

    pub(super) fn child_delete(
        &mut self,
        family: &str,
        d: &Fields,
        id_field: &str,
    ) -> Option<Value> {
        self.entries.remove(&child_key(family, d, id_field)?)
    }

    /// A list that replaces all children of a family; `old` is the list before, by ascending id.
    pub(super) fn list_update(
        &mut self,
        family: &str,
        d: &Fields,
        list: &str,
        id_field: &str,
    ) -> Option<Value> {
        let guild = id_of(d, "guild_id")?;
        d.get(list)?.as_array()?;
        let mut before: Vec<(Option<u64>, Value)> = Vec::new();
        for key in self.keys_with(&format!("{family}:{guild}:")) {
            if let Some(entry) = self.entries.remove(&key) {
                before.push((last_id(&key), entry));
            }
        }
        for element in elements(d, list) {
            if let Some(child) = id_of(element, id_field) {
                self.put(
                    format!("{family}:{guild}:{child}"),
                    in_guild(element, guild),
                );
            }
        }
        before.sort_by_key(|(id, _)| *id);
        let before: Vec<Value> = before.into_iter().map(|(_, entry)| entry).collect();
        Some(Value::Array(before))
    }

    /// The sounds that have changed; `old` is those of them that were known, in the same order.
    pub(super) fn sounds_update(&mut self, d: &Fields) -> Option<Value> {
        let guild = id_of(d, "guild_id")?;
        d.get("soundboard_sounds")?.as_array()?;
        let mut before = Vec::new();
        for sound in elements(d, "soundboard_sounds") {
            let Some(sound_id) = id_of(sound, "sound_id") else {
                continue;
            };
            let key = format!("soundboard_sound:{guild}:{sound_id}");
            match self.amend(&key, sound) {
                Some(old) => before.push(old),
                None => self.put(key, in_guild(sound, guild)),
            }
        }
        Some(Value::Array(before))
    }

    pub(super) fn scheduled_users(&mut self, d: &Fields, by: i64) -> Option<Value> {
        let (guild, event) = (id_of(d, "guild_id")?, id_of(d, "guild_scheduled_event_id")?);
        self.count(
            &format!("scheduled_event:{guild}:{event}"),
            "user_count",
            by,
        )
    }
}

fn child_key(family: &str, d: &Fields, id_field: &str) -> Option<String> {
    Some(format!(
        "{family}:{}:{}",
        id_of(d, "guild_id")?,
        id_of(d, id_field)?
    ))
}

/// Whether the payload has the list, and all of it: Discord lists all members only of guilds that
/// are not large, and of these only to who may see presences.
fn is_full(d: &Fields, list: &str) -> bool {
    let Some(elements) = d.get(list).and_then(Value::as_array) else {
        return false;
    };
    let count = d.get("member_count").and_then(Value::as_u64);
    if list == "presences" {
        return count.is_none_or(|count| count <= 75_000);
    }
    list != "members"
        || d.get("large") != Some(&Value::Bool(true))
            && count.is_none_or(|count| count <= elements.len() as u64)
}

/// The objects of a list; anything else in it is skipped.
fn elements<'a>(d: &'a Fields, list: &str) -> impl Iterator<Item = &'a Fields> {
    d.get(list)
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .filter_map(Value::as_object)
}

fn id_at(element: &Fields, path: &[&str]) -> Option<u64> {
    let (first, rest) = path.split_first()?;
    let mut value = element.get(*first)?;
    for name in rest {
        value = value.get(name)?;
    }
    id(value)
}

/// The guild without what is stored under keys of its own.
fn without_lists(d: &Fields) -> Fields {
    let is_list = |name: &str| LISTS.iter().any(|(list, _, _)| *list == name);
    d.iter()
        .filter(|(name, _)| !is_list(name))
        .map(|(n, v)| (n.clone(), v.clone()))
        .collect()
}
