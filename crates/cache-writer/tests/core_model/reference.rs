//! The rules once more, for clarity instead of speed: one event at a time on a map of parsed values
//! by dispatch key.

use std::collections::BTreeMap;

use cache_writer::core::settings::Settings;
use serde_json::{Value, json};

use super::{
    fields::{
        Fields, LISTS, channel, child, has, id, list, merged, message, number, user, without_lists,
    },
    writer::{Dispatch, SHARDS},
};

#[derive(Debug, Default)]
pub(crate) struct Reference {
    pub(crate) state: BTreeMap<String, Value>,
    settings: Settings,
}

impl Reference {
    pub(crate) fn new(settings: Settings) -> Self {
        Self {
            settings,
            state: BTreeMap::new(),
        }
    }

    /// Applies an event; returns its `old`. Every READY is taken for a new session's.
    pub(crate) fn apply(&mut self, event: &Dispatch) -> Option<Value> {
        if !self.settings.enabled {
            return None;
        }
        let Ok(Value::Object(d)) = serde_json::from_str(&event.data) else {
            return None;
        };
        // The inner none: the payload is unusable.
        let old = self.rule(event, &d).flatten();
        old.filter(|_| self.settings.old)
    }

    fn rule(&mut self, event: &Dispatch, d: &Fields) -> Option<Option<Value>> {
        match event.name.as_str() {
            "READY" => {
                let user = d.get("user")?.as_object()?;
                id(user, "id")?;
                let listed = d.get("guilds")?.as_array()?;
                let listed: Vec<(u64, &Value)> = listed
                    .iter()
                    .filter_map(|stub| Some((id(stub.as_object()?, "id")?, stub)))
                    .collect();
                for guild in self.ids("guild:") {
                    let ours = (guild >> 22) % u64::from(SHARDS) == u64::from(event.shard);
                    if ours && !listed.iter().any(|(id, _)| *id == guild) {
                        self.remove_children(guild);
                        self.state.remove(&format!("guild:{guild}"));
                    }
                }
                for (guild, stub) in listed {
                    if !self.state.contains_key(&format!("guild:{guild}")) {
                        self.put(&format!("guild:{guild}"), stub.clone());
                    }
                }
                self.put("bot_user", Value::Object(user.clone()));
                Some(None)
            }
            "USER_UPDATE" => {
                id(d, "id")?;
                Some(self.merge("bot_user", d, true))
            }
            "GUILD_CREATE" | "GUILD_DELETE" => self.guild(event, d),
            "GUILD_UPDATE" => {
                let guild = id(d, "id")?;
                Some(self.merge(&format!("guild:{guild}"), &without_lists(d), true))
            }
            "CHANNEL_CREATE" | "THREAD_CREATE" => {
                let key = channel(d, "id")?;
                self.put(&key, Value::Object(d.clone()));
                Some(None)
            }
            "CHANNEL_UPDATE" | "THREAD_UPDATE" => {
                let key = channel(d, "id")?;
                let whole = has(d, &["id", "type"]);
                let hidden = |fields: &Fields| {
                    fields
                        .get("flags")
                        .and_then(Value::as_u64)
                        .is_some_and(|f| f >> 17 & 1 == 1)
                };
                let before = self.state.get(&key).and_then(Value::as_object);
                if whole && (hidden(d) || before.is_some_and(hidden)) {
                    return Some(self.replace(&key, Value::Object(d.clone())));
                }
                Some(self.merge(&key, d, whole))
            }
            "CHANNEL_PINS_UPDATE" => Some(self.set(
                &channel(d, "channel_id")?,
                "last_pin_timestamp",
                d.get("last_pin_timestamp"),
            )),
            "VOICE_CHANNEL_STATUS_UPDATE" => {
                Some(self.set(&channel(d, "id")?, "status", d.get("status")))
            }
            "VOICE_CHANNEL_START_TIME_UPDATE" => {
                let value = d.get("voice_start_time");
                Some(self.set(&channel(d, "id")?, "voice_start_time", value))
            }
            "CHANNEL_DELETE" => {
                let (key, channel) = (channel(d, "id")?, id(d, "id")?);
                self.remove_messages(channel);
                if let Some(guild) = id(d, "guild_id") {
                    self.remove_threads(guild, |parent| parent == Some(channel), &[]);
                }
                Some(self.state.remove(&key))
            }
            "THREAD_DELETE" => {
                let (guild, thread) = (id(d, "guild_id")?, id(d, "id")?);
                self.remove_messages(thread);
                Some(self.state.remove(&format!("channel:{guild}:{thread}")))
            }
            "THREAD_LIST_SYNC" => {
                let guild = id(d, "guild_id")?;
                let parents = list(d, "channel_ids")?;
                let threads: Vec<_> = list(d, "threads")??
                    .iter()
                    .filter_map(|thread| child(guild, "channel", thread))
                    .collect();
                let keep: Vec<&str> = threads.iter().map(|(key, _)| key.as_str()).collect();
                self.remove_threads(
                    guild,
                    |parent| match (&parents, parent) {
                        (None, _) => true,
                        (Some(_), None) => false,
                        (Some(parents), Some(parent)) => {
                            parents.iter().any(|id| number(id) == Some(parent))
                        }
                    },
                    &keep,
                );
                for (key, thread) in &threads {
                    self.put(key, thread.clone());
                }
                Some(None)
            }
            "THREAD_MEMBER_UPDATE" => {
                let mut member = d.clone();
                member.shift_remove("guild_id");
                let key = format!("channel:{}:{}", id(d, "guild_id")?, id(d, "id")?);
                Some(self.set(&key, "member", Some(&Value::Object(member))))
            }
            "THREAD_MEMBERS_UPDATE" => {
                let key = format!("channel:{}:{}", id(d, "guild_id")?, id(d, "id")?);
                Some(self.set(&key, "member_count", d.get("member_count")))
            }
            "GUILD_MEMBER_ADD" => {
                let (guild, user) = (id(d, "guild_id")?, user(d)?);
                let key = format!("member:{guild}:{user}");
                if !self.state.contains_key(&key) {
                    self.count(&format!("guild:{guild}"), "member_count", 1);
                }
                self.put(&key, Value::Object(d.clone()));
                Some(None)
            }
            "GUILD_MEMBER_UPDATE" => {
                let key = format!("member:{}:{}", id(d, "guild_id")?, user(d)?);
                let whole = has(d, &["roles"]) && d.contains_key("joined_at");
                Some(self.merge(&key, d, whole))
            }
            "GUILD_MEMBER_REMOVE" => {
                let (guild, user) = (id(d, "guild_id")?, user(d)?);
                self.count(&format!("guild:{guild}"), "member_count", -1);
                self.state.remove(&format!("presence:{guild}:{user}"));
                self.state.remove(&format!("voice:{guild}:{user}"));
                Some(self.state.remove(&format!("member:{guild}:{user}")))
            }
            "GUILD_MEMBERS_CHUNK" => {
                let guild = id(d, "guild_id")?;
                let members = list(d, "members")??;
                let presences = list(d, "presences")?.unwrap_or_default();
                let members = members.iter().map(|member| ("member", member));
                for (kind, value) in members.chain(presences.iter().map(|p| ("presence", p))) {
                    if let Some((key, value)) = child(guild, kind, value) {
                        self.put(&key, value);
                    }
                }
                Some(None)
            }
            "PRESENCE_UPDATE" => {
                let key = format!("presence:{}:{}", id(d, "guild_id")?, user(d)?);
                let mut d = d.clone();
                if let Some(Value::Object(before)) = self.state.get(&key).map(|p| p["user"].clone())
                {
                    let user = merged(&before, d["user"].as_object()?);
                    d.insert("user".to_owned(), Value::Object(user));
                }
                Some(self.merge(&key, &d, true))
            }
            "VOICE_STATE_UPDATE" => {
                if d.get("guild_id").is_none_or(Value::is_null) {
                    return Some(None);
                }
                let key = format!("voice:{}:{}", id(d, "guild_id")?, id(d, "user_id")?);
                if d.get("channel_id")?.is_null() {
                    return Some(self.state.remove(&key));
                }
                id(d, "channel_id")?;
                Some(self.replace(&key, Value::Object(d.clone())))
            }
            "MESSAGE_CREATE" => {
                let key = message(d)?;
                self.put(&key, Value::Object(d.clone()));
                Some(None)
            }
            "MESSAGE_UPDATE" => {
                let whole = has(d, &["author", "timestamp", "content"]);
                Some(self.merge(&message(d)?, d, whole))
            }
            "MESSAGE_DELETE" => {
                let key = message(d)?;
                Some(self.state.remove(&key))
            }
            "MESSAGE_DELETE_BULK" => {
                let channel = id(d, "channel_id")?;
                let ids = list(d, "ids")??;
                let ids = ids.iter().filter_map(number);
                let old: Vec<Value> = ids
                    .filter_map(|id| self.state.remove(&format!("message:{channel}:{id}")))
                    .collect();
                Some((!old.is_empty()).then_some(Value::Array(old)))
            }
            "GUILD_ROLE_CREATE" => {
                let (key, role) = child(id(d, "guild_id")?, "role", d.get("role")?)?;
                self.put(&key, role);
                Some(None)
            }
            "GUILD_ROLE_UPDATE" => {
                let (key, _) = child(id(d, "guild_id")?, "role", d.get("role")?)?;
                Some(self.merge(&key, d["role"].as_object()?, true))
            }
            "GUILD_ROLE_DELETE" => {
                let key = format!("role:{}:{}", id(d, "guild_id")?, id(d, "role_id")?);
                Some(self.state.remove(&key))
            }
            "GUILD_EMOJIS_UPDATE" => self.replace_set(d, "emojis", "emoji", true),
            "GUILD_STICKERS_UPDATE" => self.replace_set(d, "stickers", "sticker", true),
            "GUILD_SOUNDBOARD_SOUNDS_UPDATE" => {
                self.replace_set(d, "soundboard_sounds", "soundboard_sound", true)
            }
            "SOUNDBOARD_SOUNDS" => {
                self.replace_set(d, "soundboard_sounds", "soundboard_sound", false)
            }
            "GUILD_SCHEDULED_EVENT_USER_ADD" | "GUILD_SCHEDULED_EVENT_USER_REMOVE" => {
                let (guild, event_id) = (id(d, "guild_id")?, id(d, "guild_scheduled_event_id")?);
                let key = format!("scheduled_event:{guild}:{event_id}");
                let old = self.state.get(&key).cloned();
                let by = if event.name.ends_with("ADD") { 1 } else { -1 };
                self.count(&key, "user_count", by);
                Some(old)
            }
            name => self.single(name, d),
        }
    }

    fn guild(&mut self, event: &Dispatch, d: &Fields) -> Option<Option<Value>> {
        let guild = id(d, "id")?;
        let key = format!("guild:{guild}");
        if d.get("unavailable") == Some(&json!(true)) {
            self.remove_children(guild);
            return Some(self.replace(&key, Value::Object(d.clone())));
        }
        if event.name == "GUILD_DELETE" {
            self.remove_children(guild);
            return Some(self.state.remove(&key));
        }
        let mut children = BTreeMap::new();
        for (name, kind) in LISTS {
            let list = list(d, name)?.unwrap_or_default();
            children.extend(list.iter().filter_map(|value| child(guild, kind, value)));
        }
        for channel in self.ids(&format!("channel:{guild}:")) {
            if !children.contains_key(&format!("channel:{guild}:{channel}")) {
                self.remove_messages(channel);
            }
        }
        self.remove_prefixes(guild);
        for (key, value) in children {
            self.put(&key, value);
        }
        Some(self.replace(&key, Value::Object(without_lists(d))))
    }

    /// Stage instances, scheduled events and soundboard sounds.
    fn single(&mut self, name: &str, d: &Fields) -> Option<Option<Value>> {
        let (kind, action) = [
            ("STAGE_INSTANCE_", "stage"),
            ("GUILD_SCHEDULED_EVENT_", "scheduled_event"),
            ("GUILD_SOUNDBOARD_SOUND_", "soundboard_sound"),
        ]
        .iter()
        .find_map(|(prefix, kind)| Some((*kind, name.strip_prefix(prefix)?)))?;
        let guild = id(d, "guild_id")?;
        let (key, value) = child(guild, kind, &Value::Object(d.clone()))?;
        match action {
            "CREATE" => {
                self.put(&key, value);
                Some(None)
            }
            "UPDATE" => Some(self.merge(&key, d, true)),
            "DELETE" => Some(self.state.remove(&key)),
            _ => None,
        }
    }

    fn replace_set(
        &mut self,
        d: &Fields,
        name: &str,
        kind: &str,
        old: bool,
    ) -> Option<Option<Value>> {
        let guild = id(d, "guild_id")?;
        let listed = list(d, name)??;
        let before: Vec<Value> = self
            .ids(&format!("{kind}:{guild}:"))
            .into_iter()
            .filter_map(|id| self.state.remove(&format!("{kind}:{guild}:{id}")))
            .collect();
        for (key, value) in listed.iter().filter_map(|value| child(guild, kind, value)) {
            self.put(&key, value);
        }
        Some((old && !before.is_empty()).then_some(Value::Array(before)))
    }

    fn keeps(&self, key: &str) -> bool {
        match key.split(':').next().unwrap() {
            "member" => self.settings.member,
            "message" => self.settings.message,
            "presence" => self.settings.presence,
            "voice" => self.settings.voice,
            "emoji" | "sticker" => self.settings.emoji,
            _ => true,
        }
    }

    fn put(&mut self, key: &str, value: Value) {
        if self.keeps(key) {
            self.state.insert(key.to_owned(), value);
        }
    }

    fn replace(&mut self, key: &str, value: Value) -> Option<Value> {
        let old = self.state.get(key).cloned();
        self.put(key, value);
        old
    }

    fn merge(&mut self, key: &str, patch: &Fields, whole: bool) -> Option<Value> {
        let Some(old) = self.state.get(key).cloned() else {
            if whole {
                let mut value = patch.clone();
                if let (true, Some(guild)) = (key.starts_with("role:"), key.split(':').nth(1)) {
                    value.entry("guild_id").or_insert(json!(guild));
                }
                self.put(key, Value::Object(value));
            }
            return None;
        };
        self.put(key, Value::Object(merged(old.as_object().unwrap(), patch)));
        Some(old)
    }

    fn set(&mut self, key: &str, field: &str, value: Option<&Value>) -> Option<Value> {
        let old = self.state.get(key).cloned()?;
        if let Some(value) = value {
            self.state.get_mut(key).unwrap()[field] = value.clone();
        }
        Some(old)
    }

    fn count(&mut self, key: &str, field: &str, by: i64) {
        let Some(value) = self.state.get_mut(key) else {
            return;
        };
        if let Some(count) = value[field].as_u64() {
            value[field] = json!(count.saturating_add_signed(by));
        }
    }

    /// The last ids of the keys with this prefix, ascending.
    fn ids(&self, prefix: &str) -> Vec<u64> {
        let rest = self.state.keys().filter_map(|key| key.strip_prefix(prefix));
        let mut ids: Vec<u64> = rest.filter_map(|rest| rest.parse().ok()).collect();
        ids.sort_unstable();
        ids
    }

    fn remove_messages(&mut self, channel: u64) {
        self.state
            .retain(|key, _| !key.starts_with(&format!("message:{channel}:")));
    }

    fn remove_prefixes(&mut self, guild: u64) {
        for (_, kind) in LISTS {
            self.state
                .retain(|key, _| !key.starts_with(&format!("{kind}:{guild}:")));
        }
    }

    fn remove_children(&mut self, guild: u64) {
        for channel in self.ids(&format!("channel:{guild}:")) {
            self.remove_messages(channel);
        }
        self.remove_prefixes(guild);
    }

    fn remove_threads(&mut self, guild: u64, of: impl Fn(Option<u64>) -> bool, keep: &[&str]) {
        for thread in self.ids(&format!("channel:{guild}:")) {
            let key = format!("channel:{guild}:{thread}");
            let value = &self.state[&key];
            let is_thread = matches!(value["type"].as_u64(), Some(10..=12));
            if is_thread && of(number(&value["parent_id"])) && !keep.contains(&key.as_str()) {
                self.state.remove(&key);
                self.remove_messages(thread);
            }
        }
    }
}
