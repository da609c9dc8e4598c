//! The rules once more, for clarity instead of speed: one event at a time on a map of parsed values
//! by dispatch key.

use std::collections::BTreeMap;

use cache_writer::core::settings::Settings;
use serde_json::{Value, json};

use super::{
    fields::{
        Fields, LISTS, channel, child, has, id, list, merged, message, number, user, without_lists,
    },
    writer::Dispatch,
};

/// What an event may do to a guild.
#[derive(PartialEq)]
enum Right {
    Writes,
    Takes,
    Nothing,
}

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
        let name = event.name.as_str();
        let place = match name {
            "GUILD_CREATE" | "GUILD_UPDATE" | "GUILD_DELETE" => "id",
            _ => "guild_id",
        };
        let told = ["GUILD_CREATE", "GUILD_DELETE"].contains(&name);
        if let Some(guild) = id(&d, place).filter(|_| !["READY", "USER_UPDATE"].contains(&name)) {
            let takes = name == "GUILD_CREATE" && Self::is_usable_create(&d);
            match self.right(guild, event, takes) {
                Right::Writes => {}
                Right::Nothing => return None,
                Right::Takes => {
                    let note = json!({ "total": event.total, "since_us": event.received_us });
                    self.put(&format!("dispatch:total:{guild}"), note);
                }
            }
        }
        // The inner none: the payload is unusable.
        let old = self.rule(event, &d).flatten();
        old.filter(|_| self.settings.old || told)
    }

    fn is_usable_create(d: &Fields) -> bool {
        d.get("unavailable") == Some(&json!(true))
            || LISTS.iter().all(|(name, _)| list(d, name).is_some())
    }

    /// What the event may do to the guild.
    fn right(&self, guild: u64, event: &Dispatch, takes: bool) -> Right {
        match self.state.get(&format!("dispatch:total:{guild}")) {
            Some(noted) if noted["total"] == event.total => Right::Writes,
            Some(noted) if takes && noted["since_us"].as_u64() < Some(event.received_us) => {
                Right::Takes
            }
            Some(_) => Right::Nothing,
            None if takes => Right::Takes,
            None => Right::Writes,
        }
    }

    fn bot(&self) -> Option<u64> {
        id(self.state.get("bot_user")?.as_object()?, "id")
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
                    let ours = (guild >> 22) % u64::from(event.total) == u64::from(event.shard);
                    if ours
                        && !listed.iter().any(|(id, _)| *id == guild)
                        && self.right(guild, event, true) != Right::Nothing
                    {
                        self.remove_children(guild);
                        self.state.remove(&format!("guild:{guild}"));
                        self.state.remove(&format!("dispatch:total:{guild}"));
                    }
                }
                for (guild, stub) in listed {
                    if !self.state.contains_key(&format!("guild:{guild}")) {
                        self.put(&format!("guild:{guild}"), stub.clone());
                    }
                }
                if event.shard == 0 || !self.state.contains_key("bot_user") {
                    self.put("bot_user", Value::Object(user.clone()));
                }
                Some(None)
            }
            "USER_UPDATE" => {
                id(d, "id")?;
                if event.shard != 0 {
                    return Some(None);
                }
                Some(self.merge("bot_user", d, true))
            }
            "GUILD_CREATE" | "GUILD_DELETE" => self.guild(event, d),
            "GUILD_UPDATE" => {
                let guild = id(d, "id")?;
                Some(self.merge(&format!("guild:{guild}"), &without_lists(d), true))
            }
            "CHANNEL_CREATE" => {
                let key = channel(d, "id")?;
                self.put(&key, Value::Object(d.clone()));
                Some(None)
            }
            "THREAD_CREATE" => {
                let (key, thread) = (channel(d, "id")?, id(d, "id")?);
                let parent = match d.get("parent_id") {
                    None | Some(Value::Null) => None,
                    Some(parent) => Some(number(parent)?),
                };
                if is_archived(d) {
                    self.state.remove(&key);
                } else {
                    self.put(&key, Value::Object(d.clone()));
                }
                if let (Some(guild), Some(parent)) = (id(d, "guild_id"), parent) {
                    let parent = format!("channel:{guild}:{parent}");
                    if self.state.get(&parent).is_some_and(is_forum) {
                        self.newest(&parent, thread);
                    }
                }
                Some(None)
            }
            "THREAD_UPDATE" if is_archived(d) => {
                let (key, thread) = (channel(d, "id")?, id(d, "id")?);
                self.remove_messages(thread);
                Some(self.state.remove(&key))
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
            "CHANNEL_INFO" => {
                let guild = id(d, "guild_id")?;
                for info in list(d, "channels")??.iter().filter_map(Value::as_object) {
                    let channel = id(info, "id").map(|id| format!("channel:{guild}:{id}"));
                    channel.and_then(|key| self.merge(&key, info, false));
                }
                Some(None)
            }
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
                    let events = format!("scheduled_event:{guild}:");
                    self.state.retain(|key, event| {
                        !key.starts_with(&events) || number(&event["channel_id"]) != Some(channel)
                    });
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
                let members = list(d, "members")?;
                let threads: Vec<_> = list(d, "threads")??
                    .iter()
                    .filter_map(|thread| child(guild, "channel", thread))
                    .collect();
                let mut keep: Vec<&str> = Vec::new();
                for (key, thread) in &threads {
                    keep.retain(|kept| kept != key);
                    keep.extend((!is_absent(thread)).then_some(key.as_str()));
                }
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
                for (key, mut thread) in threads.clone() {
                    let is_of = |member: &&Value| {
                        let of = member.as_object().and_then(|member| id(member, "id"));
                        of.is_some() && of == number(&thread["id"])
                    };
                    let own = members.iter().flatten().rfind(is_of).cloned();
                    let cached = self.state.get(&key).and_then(|thread| thread.get("member"));
                    let keeps = members.is_none() && thread.get("member").is_none();
                    if let Some(member) = own.or(cached.filter(|_| keeps).cloned()) {
                        thread["member"] = member;
                    }
                    self.store(&key, thread);
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
                let added = list(d, "added_members")?.unwrap_or_default();
                let removed = list(d, "removed_member_ids")?.unwrap_or_default();
                let old = self.set(&key, "member_count", d.get("member_count"));
                let bot = self.bot();
                if let (Some(bot), Some(thread)) = (bot, self.state.get_mut(&key)) {
                    let is_bot = |member: &&Value| {
                        let user = member.as_object().and_then(|member| id(member, "user_id"));
                        user == Some(bot)
                    };
                    if let Some(Value::Object(mut member)) = added.iter().rfind(is_bot).cloned() {
                        member.retain(|name, _| name != "member" && name != "presence");
                        thread["member"] = Value::Object(member);
                    }
                    if removed.iter().any(|user| number(user) == Some(bot)) {
                        thread.as_object_mut()?.shift_remove("member");
                    }
                }
                Some(old)
            }
            "GUILD_MEMBER_ADD" => {
                let (guild, user) = (id(d, "guild_id")?, user(d)?);
                let key = format!("member:{guild}:{user}");
                let arrival = format!("dispatch:arrival:{guild}:{user}");
                let known = [&key, &arrival].map(|key| self.state.contains_key(key));
                if known == [false, false] {
                    self.count(&format!("guild:{guild}"), "member_count", 1);
                }
                self.put(&arrival, json!({}));
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
                self.state
                    .remove(&format!("dispatch:arrival:{guild}:{user}"));
                Some(self.state.remove(&format!("member:{guild}:{user}")))
            }
            "GUILD_MEMBERS_CHUNK" => {
                let guild = id(d, "guild_id")?;
                let members = list(d, "members")??;
                let presences = list(d, "presences")?.unwrap_or_default();
                let members = members.iter().map(|member| ("member", member));
                for (kind, value) in members.chain(presences.iter().map(|p| ("presence", p))) {
                    if let Some((key, value)) = child(guild, kind, value) {
                        self.store(&key, value);
                    }
                }
                Some(None)
            }
            "PRESENCE_UPDATE" => {
                let key = format!("presence:{}:{}", id(d, "guild_id")?, user(d)?);
                if d.get("status") == Some(&json!("offline")) {
                    return Some(self.state.remove(&key));
                }
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
                let (key, channel) = (message(d)?, id(d, "channel_id")?);
                self.put(&key, Value::Object(d.clone()));
                let key = match id(d, "guild_id") {
                    Some(guild) => format!("channel:{guild}:{channel}"),
                    None => format!("channel:{channel}"),
                };
                let message = id(d, "id")?;
                self.newest(&key, message);
                let starts = d.get("type") == Some(&json!(21)) || message == channel;
                if id(d, "guild_id").is_some() && !starts {
                    self.count(&key, "message_count", 1);
                    self.count(&key, "total_message_sent", 1);
                }
                Some(None)
            }
            "MESSAGE_UPDATE" => {
                let key = message(d)?;
                if !has(d, &["author", "timestamp", "content"]) {
                    return Some(self.merge(&key, d, false));
                }
                let mut d = Value::Object(d.clone());
                let before = self.state.get(&key).map(|message| &message["poll"]);
                let results = before.map_or(Value::Null, |poll| poll["results"].clone());
                let before = self.state.get(&key).map(|message| &message["tts"]);
                if before == Some(&json!(true)) {
                    d["tts"] = json!(true);
                }
                if d["poll"].is_object() && d["poll"]["results"].is_null() && !results.is_null() {
                    d["poll"]["results"] = results;
                }
                Some(self.replace(&key, d))
            }
            "MESSAGE_REACTION_ADD" | "MESSAGE_REACTION_REMOVE" => {
                let (key, user) = (told_message(d)?, id(d, "user_id")?);
                let emoji = d.get("emoji")?.as_object()?.clone();
                let colours = list(d, "burst_colors")?;
                let burst = d.get("burst") == Some(&json!(true));
                let (up, own) = (event.name.ends_with("ADD"), self.bot() == Some(user));
                let old = self.state.get(&key).cloned();
                if let Some(message) = self.state.get_mut(&key) {
                    react(message, &emoji, burst, colours, up, own);
                }
                Some(old)
            }
            "MESSAGE_REACTION_REMOVE_ALL" | "MESSAGE_REACTION_REMOVE_EMOJI" => {
                let key = told_message(d)?;
                let emoji = match event.name.as_str() {
                    "MESSAGE_REACTION_REMOVE_ALL" => None,
                    _ => Some(d.get("emoji")?.as_object()?.clone()),
                };
                let old = self.state.get(&key).cloned();
                if let Some(message) = self.state.get_mut(&key).and_then(Value::as_object_mut)
                    && let Some(Value::Array(reactions)) = message.get_mut("reactions")
                {
                    reactions.retain(|reaction| match (&emoji, reaction["emoji"].as_object()) {
                        (None, _) => false,
                        (Some(emoji), Some(other)) => emoji_id(emoji) != emoji_id(other),
                        (Some(_), None) => true,
                    });
                    if reactions.is_empty() {
                        message.shift_remove("reactions");
                    }
                }
                Some(old)
            }
            "MESSAGE_POLL_VOTE_ADD" | "MESSAGE_POLL_VOTE_REMOVE" => {
                let (key, user) = (told_message(d)?, id(d, "user_id")?);
                let answer = id(d, "answer_id")?;
                let (up, own) = (event.name.ends_with("ADD"), self.bot() == Some(user));
                let old = self.state.get(&key).cloned();
                if let Some(message) = self.state.get_mut(&key) {
                    vote(message, answer, up, own);
                }
                Some(old)
            }
            "MESSAGE_DELETE" => {
                let key = message(d)?;
                self.count_gone(d, [id(d, "id")?].into_iter());
                Some(self.state.remove(&key))
            }
            "MESSAGE_DELETE_BULK" => {
                let channel = id(d, "channel_id")?;
                let ids = list(d, "ids")??;
                let ids = ids.iter().filter_map(number);
                self.count_gone(d, ids.clone());
                let old: Vec<Value> = ids
                    .filter_map(|id| self.state.remove(&format!("message:{channel}:{id}")))
                    .collect();
                Some(self.settings.message.then_some(Value::Array(old)))
            }
            "GUILD_ROLE_CREATE" => {
                let (key, role) = child(id(d, "guild_id")?, "role", d.get("role")?)?;
                self.put(&key, role);
                Some(None)
            }
            "GUILD_ROLE_UPDATE" => {
                let (key, whole) = child(id(d, "guild_id")?, "role", d.get("role")?)?;
                let role = d["role"].as_object()?;
                if has(role, &["name", "position", "permissions"]) {
                    return Some(self.replace(&key, whole));
                }
                Some(self.merge(&key, role, true))
            }
            "GUILD_ROLE_DELETE" => {
                let key = format!("role:{}:{}", id(d, "guild_id")?, id(d, "role_id")?);
                Some(self.state.remove(&key))
            }
            "GUILD_EMOJIS_UPDATE" => self.replace_set(d, "emojis", "emoji", true),
            "GUILD_STICKERS_UPDATE" => self.replace_set(d, "stickers", "sticker", true),
            "GUILD_SOUNDBOARD_SOUNDS_UPDATE" => {
                let guild = id(d, "guild_id")?;
                let mut before = Vec::new();
                for sound in list(d, "soundboard_sounds")?? {
                    if let Some((key, _)) = child(guild, "soundboard_sound", &sound) {
                        let mut sound = sound.as_object()?.clone();
                        if !self.state.contains_key(&key) {
                            sound.entry("guild_id").or_insert(json!(guild.to_string()));
                        }
                        before.extend(self.merge(&key, &sound, true));
                    }
                }
                Some(Some(Value::Array(before)))
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
            return Some(self.merge(&key, &without_lists(d), true));
        }
        if event.name == "GUILD_DELETE" {
            self.remove_children(guild);
            self.state.remove(&format!("dispatch:total:{guild}"));
            return Some(self.state.remove(&key));
        }
        let mut children = BTreeMap::new();
        let replaces_channels = list(d, "channels")?.is_some();
        for (name, kind) in LISTS {
            let Some(list) = list(d, name)? else {
                continue;
            };
            let count = d.get("member_count").and_then(Value::as_u64);
            let some = d.get("large") == Some(&json!(true))
                || count.is_some_and(|count| count > list.len() as u64);
            let too_many = name == "presences" && count.is_some_and(|count| count > 75_000);
            if name != "threads" && !too_many && !(name == "members" && some) {
                for id in self.ids(&format!("{kind}:{guild}:")) {
                    children
                        .entry(format!("{kind}:{guild}:{id}"))
                        .or_insert(None);
                }
            }
            let listed = list.iter().filter_map(|value| child(guild, kind, value));
            children.extend(listed.map(|(key, value)| (key, Some(value))));
        }
        for (key, value) in children {
            let gone = replaces_channels && value.as_ref().is_none_or(is_absent);
            let channel = key.strip_prefix(&format!("channel:{guild}:"));
            if let Some(channel) = channel.filter(|_| gone && self.state.contains_key(&key)) {
                self.remove_messages(channel.parse().unwrap());
            }
            match value {
                Some(value) => self.store(&key, value),
                None => drop(self.state.remove(&key)),
            }
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
        Some((old && self.keeps(&format!("{kind}:1:1"))).then_some(Value::Array(before)))
    }

    fn keeps(&self, key: &str) -> bool {
        if let Some(bookkeeping) = key.strip_prefix("dispatch:") {
            return bookkeeping.starts_with("total:") || !self.settings.member;
        }
        match key.split(':').next().unwrap() {
            "member" => {
                let user = key.rsplit(':').next().unwrap().parse().ok();
                self.settings.member || self.bot().is_some() && self.bot() == user
            }
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

    /// Stores what was listed, unless it says no more than its absence.
    fn store(&mut self, key: &str, value: Value) {
        if is_absent(&value) {
            self.state.remove(key);
        } else {
            self.put(key, value);
        }
    }

    fn newest(&mut self, key: &str, newest: u64) {
        let Some(channel) = self.state.get_mut(key) else {
            return;
        };
        if key.matches(':').count() == 1 && !channel["guild_id"].is_null() {
            return;
        }
        if number(&channel["last_message_id"]).is_none_or(|before| before < newest) {
            channel["last_message_id"] = json!(newest.to_string());
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

    /// Messages of a thread are gone.
    fn count_gone(&mut self, d: &Fields, messages: impl Iterator<Item = u64>) {
        if let (Some(guild), Some(channel)) = (id(d, "guild_id"), id(d, "channel_id")) {
            let key = format!("channel:{guild}:{channel}");
            let gone = messages.filter(|message| *message != channel).count();
            self.count(&key, "message_count", -(gone as i64));
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

/// An archived thread, an offline presence, or a voice state of nowhere.
fn is_absent(value: &Value) -> bool {
    value.as_object().is_some_and(is_archived)
        || value.get("user").is_some() && value["status"] == "offline"
        || value.get("user_id").is_some() && value.get("channel_id") == Some(&Value::Null)
}

fn is_archived(thread: &Fields) -> bool {
    let metadata = thread.get("thread_metadata");
    metadata.is_some_and(|metadata| metadata["archived"] == true)
}

fn is_forum(channel: &Value) -> bool {
    matches!(channel["type"].as_u64(), Some(15 | 16))
}

fn told_message(d: &Fields) -> Option<String> {
    let (channel, message) = (id(d, "channel_id")?, id(d, "message_id")?);
    Some(format!("message:{channel}:{message}"))
}

/// What tells one emoji from another.
fn emoji_id(emoji: &Fields) -> (Option<u64>, Option<String>) {
    match id(emoji, "id") {
        Some(id) => (Some(id), None),
        None => (
            None,
            emoji.get("name").and_then(Value::as_str).map(str::to_owned),
        ),
    }
}

fn react(
    message: &mut Value,
    emoji: &Fields,
    burst: bool,
    colours: Option<Vec<Value>>,
    up: bool,
    own: bool,
) {
    let mut reactions = match message.get("reactions") {
        None | Some(Value::Null) => Vec::new(),
        Some(Value::Array(reactions)) => reactions.clone(),
        Some(_) => return,
    };
    let (kind, me) = if burst {
        ("burst", "me_burst")
    } else {
        ("normal", "me")
    };
    let is_it = |reaction: &Value| {
        let other = reaction["emoji"].as_object();
        other.is_some_and(|other| emoji_id(other) == emoji_id(emoji))
    };
    let by = |count: &Value| {
        let by = if up { 1 } else { -1 };
        json!(count.as_u64().unwrap_or(0).saturating_add_signed(by))
    };
    match reactions.iter().position(is_it) {
        None if up => reactions.push(json!({
            "emoji": emoji,
            "count": 1,
            "count_details": { "burst": u8::from(burst), "normal": u8::from(!burst) },
            "burst_colors": colours.filter(|_| burst).unwrap_or_default(),
            "me_burst": own && burst,
            "me": own && !burst,
        })),
        None => return,
        Some(place) => {
            let reaction = &mut reactions[place];
            reaction["count"] = by(&reaction["count"]);
            if reaction["count_details"].is_object() {
                reaction["count_details"][kind] = by(&reaction["count_details"][kind]);
            }
            if own {
                reaction[me] = json!(up);
            }
            if let Some(colours) = colours.filter(|_| up && burst) {
                reaction["burst_colors"] = json!(colours);
            }
            if reaction["count"] == 0 {
                reactions.remove(place);
            }
        }
    }
    if reactions.is_empty() {
        message.as_object_mut().unwrap().shift_remove("reactions");
    } else {
        message["reactions"] = Value::Array(reactions);
    }
}

fn vote(message: &mut Value, answer: u64, up: bool, own: bool) {
    let Some(poll) = message.get_mut("poll").filter(|poll| poll.is_object()) else {
        return;
    };
    let mut results = match poll.get("results") {
        None | Some(Value::Null) => json!({ "is_finalized": false, "answer_counts": [] }),
        Some(results) if results.is_object() => results.clone(),
        Some(_) => return,
    };
    let mut counts = match results.get("answer_counts") {
        None | Some(Value::Null) => Vec::new(),
        Some(Value::Array(counts)) => counts.clone(),
        Some(_) => return,
    };
    let is_it = |count: &Value| count.as_object().and_then(|count| id(count, "id")) == Some(answer);
    match counts.iter().position(is_it) {
        None if up => counts.push(json!({ "id": answer, "count": 1, "me_voted": own })),
        None => return,
        Some(place) => {
            let by = if up { 1 } else { -1 };
            let count = counts[place]["count"].as_u64().unwrap_or(0);
            counts[place]["count"] = json!(count.saturating_add_signed(by));
            if own {
                counts[place]["me_voted"] = json!(up);
            }
        }
    }
    results["answer_counts"] = Value::Array(counts);
    poll["results"] = results;
}
