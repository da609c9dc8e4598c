//! What Redis must hold, from the truth: written from the public description of the layouts, not from their code.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::contents::{Database, Stored};

/// The truth: key of the dispatch layout and value.
pub(crate) type Truth = BTreeMap<String, Value>;

/// What `CACHE_LAYOUT` and the times to live ask for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Layout {
    pub(crate) dispatch: bool,
    pub(crate) spectacles: bool,
    /// Milliseconds; 0: for ever.
    pub(crate) message_ttl: i64,
    pub(crate) member_ttl: i64,
}

/// Lists that a guild of the Spectacles layout doesn't have.
const NESTED: [&str; 11] = [
    "roles",
    "emojis",
    "stickers",
    "channels",
    "threads",
    "members",
    "presences",
    "voice_states",
    "stage_instances",
    "guild_scheduled_events",
    "soundboard_sounds",
];

impl Layout {
    /// By the value of `CACHE_LAYOUT`, with the times to live that are its defaults.
    pub(crate) fn named(name: &str) -> Self {
        Self {
            dispatch: name != "spectacles",
            spectacles: name != "dispatch",
            message_ttl: 600_000,
            member_ttl: 0,
        }
    }

    /// The main database.
    pub(crate) fn main(self, truth: &Truth) -> Database {
        let mut database = indexes(truth, self.member_ttl > 0);
        if self.dispatch {
            let texts = truth.iter();
            database.extend(texts.map(|(key, value)| (key.clone(), Stored::Text(value.clone()))));
        } else if let Some(user) = truth.get("bot_user") {
            database.insert("bot_user".into(), Stored::Text(without_nulls(user)));
        }
        if self.spectacles {
            for (key, value) in truth {
                add_spectacles(&mut database, key, value);
            }
        }
        database
    }

    /// The database of messages.
    pub(crate) fn messages(self, truth: &Truth) -> Database {
        let messages = truth.iter().filter(|_| self.spectacles);
        let messages = messages.filter_map(|(key, value)| {
            let key = format!("MESSAGES:{}", key.strip_prefix("message:")?);
            Some((key, Stored::Text(without_nulls(value))))
        });
        messages.collect()
    }
}

/// The users that were told, by id: as each shard told them last.
pub(crate) type ToldUsers = BTreeMap<String, Vec<Value>>;

/// Adds the users that an event tells as members or authors.
pub(crate) fn tell_users(told: &mut BTreeMap<String, Value>, event: &str, d: &Value) {
    let mut tell = |user: &Value| {
        if let Some(id) = user["id"].as_str() {
            told.insert(id.to_owned(), without_nulls(user));
        }
    };
    match event {
        "GUILD_MEMBER_ADD" | "GUILD_MEMBER_UPDATE" => tell(&d["user"]),
        "GUILD_CREATE" | "GUILD_MEMBERS_CHUNK" => {
            let members = d["members"].as_array().into_iter().flatten();
            members.for_each(|member| tell(&member["user"]));
        }
        "MESSAGE_CREATE" | "MESSAGE_UPDATE" if d["webhook_id"].is_null() => tell(&d["author"]),
        _ => {}
    }
}

/// What is wrong with `USERS`: the bot as its own user is told, each member of a cached guild as last told, and beyond them
/// nobody but who wrote a message.
pub(crate) fn wrong_users(
    truth: &Truth,
    bot: Option<Stored>,
    held: Option<Stored>,
    told: &ToldUsers,
    authors: &BTreeSet<String>,
) -> Vec<String> {
    let fields = |stored: Option<Stored>| match stored {
        Some(Stored::Hash(fields)) => fields,
        None => BTreeMap::new(),
        other => panic!("USERS holds {other:?}"),
    };
    let (bot, held) = (fields(bot), fields(held));
    let members = truth.keys().filter(|key| key.starts_with("member:"));
    let members: BTreeSet<String> = members.map(|key| parts(key).1[1].to_string()).collect();
    let mut wrong = Vec::new();
    for id in bot.keys().chain(&members).chain(held.keys()) {
        let is_right = |user: &Value| match bot.get(id) {
            Some(bot) => bot == user,
            None => told.get(id).is_some_and(|told| told.contains(user)),
        };
        if !held.get(id).is_some_and(is_right) {
            let (holds, told) = (held.get(id), told.get(id));
            wrong.push(format!("USERS {id} holds {holds:?}, told was {told:?}"));
        }
    }
    let others = held
        .keys()
        .filter(|id| !members.contains(*id) && !bot.contains_key(*id));
    let strangers = others.filter(|id| !authors.contains(*id));
    wrong.extend(strangers.map(|id| format!("USERS {id} is no member and wrote nothing")));
    wrong
}

/// The family of a key and its ids.
pub(crate) fn parts(key: &str) -> (&str, Vec<u64>) {
    let mut parts = key.split(':');
    let family = parts.next().unwrap();
    (family, parts.map(|id| id.parse().unwrap()).collect())
}

/// Plural name of a family, as in indexes, counts and gauges; none for the bot's user.
pub(crate) fn plural(family: &str) -> Option<String> {
    (family != "bot_user").then(|| format!("{family}s"))
}

/// How many there are of each family.
pub(crate) fn counts(truth: &Truth) -> BTreeMap<String, i64> {
    let mut counts = BTreeMap::new();
    for key in truth.keys() {
        if let Some(plural) = plural(parts(key).0) {
            *counts.entry(plural).or_default() += 1;
        }
    }
    counts
}

fn indexes(truth: &Truth, members_expire: bool) -> Database {
    let mut sets: BTreeMap<String, BTreeSet<u64>> = BTreeMap::new();
    for key in truth.keys() {
        let (family, ids) = parts(key);
        let index = match (family, ids.as_slice()) {
            ("bot_user", _) => continue,
            ("guild", _) => "index:guilds".to_owned(),
            ("channel", [_]) => "index:private_channels".to_owned(),
            ("member", [guild, _]) if members_expire => format!("index:expiring_members:{guild}"),
            (family, ids) => format!("index:{family}s:{}", ids[0]),
        };
        sets.entry(index).or_default().insert(*ids.last().unwrap());
    }
    let sorted = |key: &str| {
        key.starts_with("index:messages:") || key.starts_with("index:expiring_members:")
    };
    let stored = sets.into_iter().map(|(key, ids)| match sorted(&key) {
        true => (key, Stored::Sorted(ids)),
        false => (key, Stored::Set(ids)),
    });
    stored.collect()
}

fn add_spectacles(database: &mut Database, key: &str, value: &Value) {
    let mut value = without_nulls(value);
    let (family, ids) = parts(key);
    let last = ids.last().copied().unwrap_or_default();
    let (hash, field) = match family {
        "bot_user" => ("USERS".to_owned(), value["id"].as_str().unwrap().to_owned()),
        "presence" => (format!("PRESENCES:{last}"), ids[0].to_string()),
        "member" => (format!("MEMBERS:{}", ids[0]), last.to_string()),
        "voice" => (format!("VOICE_STATES:{}", ids[0]), last.to_string()),
        "message" => return,
        "guild" => {
            let guild = value.as_object_mut().unwrap();
            NESTED
                .iter()
                .for_each(|list| drop(guild.shift_remove(*list)));
            ("GUILDS".to_owned(), last.to_string())
        }
        "stage" => ("STAGE_INSTANCES".to_owned(), last.to_string()),
        _ => (format!("{}S", family.to_uppercase()), last.to_string()),
    };
    if let ("channel", [guild, _]) = (family, ids.as_slice()) {
        let set = database.entry(format!("CHANNELS:{guild}"));
        match set.or_insert_with(|| Stored::Set(BTreeSet::new())) {
            Stored::Set(ids) => ids.insert(last),
            other => panic!("{other:?}"),
        };
    }
    match database
        .entry(hash)
        .or_insert_with(|| Stored::Hash(BTreeMap::new()))
    {
        Stored::Hash(fields) => fields.insert(field, value),
        other => panic!("{other:?}"),
    };
}

/// Without the fields that are null, at every level; elements of arrays stay.
pub(crate) fn without_nulls(value: &Value) -> Value {
    match value {
        Value::Object(fields) => {
            let kept = fields.iter().filter(|(_, value)| !value.is_null());
            kept.map(|(name, value)| (name.clone(), without_nulls(value)))
                .collect()
        }
        Value::Array(elements) => elements.iter().map(without_nulls).collect(),
        other => other.clone(),
    }
}
