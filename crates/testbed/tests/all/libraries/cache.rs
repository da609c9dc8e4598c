//! What a library has in its cache, compared with the truth, field by field.
//!
//! A library tells of its cache in Discord's words: the truth's keys, and of each object all fields that it keeps. A difference is
//! named by its place, such as `message.embeds.title`, `missing channel` or `extra message`.

use std::collections::{BTreeMap, BTreeSet};

use discord_sim::SentEvent;
use serde_json::{Map, Value};

mod discord_py;
mod hikari;
mod twilight;

pub(crate) use discord_py::DISCORD_PY;
pub(crate) use hikari::HIKARI;
pub(crate) use twilight::TWILIGHT;

/// A difference that is the library's own.
pub(crate) struct Explained {
    /// Its place; with `.*` at its end also what lies below that.
    place: &'static str,
    /// The reason, and where the library's source has it.
    reason: &'static str,
    /// Whether it occurs on every run.
    occurs: Occurs,
}

#[derive(PartialEq)]
enum Occurs {
    Always,
    /// It takes a rare sequence of events.
    Sometimes,
}

use Occurs::{Always, Sometimes};

const fn explained(place: &'static str, occurs: Occurs, reason: &'static str) -> Explained {
    Explained {
        place,
        reason,
        occurs,
    }
}

impl Explained {
    fn covers(&self, place: &str) -> bool {
        match self.place.strip_suffix(".*") {
            Some(above) => place
                .strip_prefix(above)
                .is_some_and(|rest| rest.is_empty() || rest.starts_with('.')),
            None => self.place == place,
        }
    }
}

/// What is wrong: differences that nothing explains, and explanations of what does not occur any more.
pub(crate) fn wrong(
    explained: &[Explained],
    cache: &Value,
    truth: &BTreeMap<String, Value>,
    users: &Users,
) -> Vec<String> {
    let differences = differences(cache, truth, users);
    let unexplained = differences
        .iter()
        .filter(|(place, _)| !explained.iter().any(|known| known.covers(place)))
        .map(|(place, example)| format!("{place}: {example}"));
    let gone = explained
        .iter()
        .filter(|known| known.occurs == Always)
        .filter(|known| !differences.keys().any(|place| known.covers(place)))
        .map(|known| format!("{} no longer differs ({})", known.place, known.reason));
    unexplained.chain(gone).collect()
}

/// The places that differ, with an example of each. What is in guilds that have an outage is left out: libraries put them aside,
/// or forget what was in them.
fn differences(
    cache: &Value,
    truth: &BTreeMap<String, Value>,
    users: &Users,
) -> BTreeMap<String, String> {
    let cache = cache.as_object().unwrap();
    let families: BTreeSet<&str> = cache.keys().map(|key| family(key)).collect();
    let guilds = Guilds { truth, cache };
    let mut differences = Differences::default();
    for (key, entry) in cache {
        let family = family(key);
        if guilds.are_away(key, entry) {
            continue;
        }
        if family == "user" {
            users.compare(key, entry, &mut differences);
            continue;
        }
        match truth.get(key) {
            Some(true_entry) => {
                let mut place = Place {
                    name: family.to_owned(),
                    key,
                    differences: &mut differences,
                };
                place.compare(entry, true_entry);
            }
            None if guilds.knows(key, entry) => {
                differences.note(format!("extra {family}"), format!("{key}: {entry}"));
            }
            // Beside the guild that the bot has left.
            None => differences.note(format!("extra {family} of no guild"), key.clone()),
        }
    }
    for (key, entry) in truth {
        let family = family(key);
        if families.contains(family) && !cache.contains_key(key) && !guilds.are_away(key, entry) {
            differences.note(format!("missing {family}"), format!("{key}: {entry}"));
        }
    }
    differences.0
}

fn family(key: &str) -> &str {
    key.split(':').next().unwrap_or_default()
}

/// What differs, with the first example of each.
#[derive(Default)]
struct Differences(BTreeMap<String, String>);

impl Differences {
    fn note(&mut self, place: String, example: String) {
        self.0.entry(place).or_insert(example);
    }
}

/// Which guilds the objects are of.
struct Guilds<'a> {
    truth: &'a BTreeMap<String, Value>,
    cache: &'a Map<String, Value>,
}

impl Guilds<'_> {
    /// The guild has an outage.
    fn are_away(&self, key: &str, entry: &Value) -> bool {
        let Some(guild) = self.of(key, entry) else {
            return false;
        };
        let told = self.truth.get(&guild);
        told.is_some_and(|guild| guild["unavailable"] == true)
    }

    /// The bot is in the guild, or the object is of none.
    fn knows(&self, key: &str, entry: &Value) -> bool {
        let of_none = self.of(key, entry).is_none();
        of_none
            || family(key) == "guild"
            || self
                .of(key, entry)
                .is_some_and(|guild| self.truth.contains_key(&guild))
    }

    /// The key of its guild.
    fn of(&self, key: &str, entry: &Value) -> Option<String> {
        let mut ids = key.split(':').skip(1);
        match (family(key), ids.next(), ids.next()) {
            ("guild", _, _) => Some(key.to_owned()),
            ("message", _, _) => {
                let known = self.truth.get(key).or(self.cache.get(key)).unwrap_or(entry);
                known["guild_id"]
                    .as_str()
                    .map(|guild| format!("guild:{guild}"))
            }
            (_, Some(guild), Some(_)) => Some(format!("guild:{guild}")),
            _ => None,
        }
    }
}

/// What is true of each user: a library has each only once, as last told, while guilds are told one after the other, and what was
/// told last may be of a guild that is gone.
pub(super) struct Users(BTreeMap<String, Vec<Value>>);

impl Users {
    /// By the truth, and by what was sent.
    pub(super) fn of(truth: &BTreeMap<String, Value>, sent: &[SentEvent]) -> Self {
        let mut last_told = BTreeMap::new();
        for event in sent {
            if let Ok(d) = serde_json::from_str(&event.d) {
                tell(d, &mut last_told);
            }
        }
        let mut users: BTreeMap<String, Vec<Value>> = BTreeMap::new();
        for (key, entry) in truth {
            let user = match family(key) {
                "bot_user" => entry,
                "member" => &entry["user"],
                "message" => &entry["author"],
                "scheduled_event" => &entry["creator"],
                _ => continue,
            };
            if let Some(id) = user["id"].as_str() {
                let known = users.entry(format!("user:{id}")).or_default();
                known.extend(last_told.remove(id));
                known.push(user.clone());
            }
        }
        Self(users)
    }

    /// Each field is as one of them has it.
    fn compare(&self, key: &str, entry: &Value, differences: &mut Differences) {
        let Some(told) = self.0.get(key) else {
            return differences.note("extra user".into(), key.to_owned());
        };
        for (name, value) in entry.as_object().unwrap() {
            if !told
                .iter()
                .any(|user| are_same(value, &user[name.as_str()]))
            {
                let example = format!("{key}: {value}, not as in {told:?}");
                differences.note(format!("user.{name}"), example);
            }
        }
    }
}

/// Notes the users that an event tells whole.
fn tell(d: Value, last_told: &mut BTreeMap<String, Value>) {
    match d {
        Value::Array(values) => values.into_iter().for_each(|value| tell(value, last_told)),
        Value::Object(fields) => {
            let id = fields.get("id").and_then(Value::as_str);
            let id = id.filter(|_| fields.contains_key("username"));
            match id.map(str::to_owned) {
                Some(id) => drop(last_told.insert(id, Value::Object(fields))),
                None => fields
                    .into_iter()
                    .for_each(|(_, value)| tell(value, last_told)),
            }
        }
        _ => {}
    }
}

/// A place in an object that is being compared.
struct Place<'a> {
    name: String,
    key: &'a str,
    differences: &'a mut Differences,
}

impl Place<'_> {
    fn compare(&mut self, value: &Value, expected: &Value) {
        match (value, expected) {
            (Value::Object(fields), Value::Object(_) | Value::Null) => {
                for (field, value) in fields {
                    let length = self.name.len();
                    self.name.push('.');
                    self.name.push_str(field);
                    self.compare(value, &expected[field.as_str()]);
                    self.name.truncate(length);
                }
            }
            (Value::Array(values), Value::Array(_) | Value::Null) => {
                let expected = expected.as_array().map_or(&[][..], Vec::as_slice);
                let (values, expected) = (self.in_order(values), self.in_order(expected));
                if values.len() != expected.len() {
                    return self.note(&values.into(), &expected.into());
                }
                for (value, expected) in values.iter().zip(&expected) {
                    self.compare(value, expected);
                }
            }
            _ if are_same(value, expected) => {}
            _ => self.note(value, expected),
        }
    }

    fn note(&mut self, value: &Value, expected: &Value) {
        let example = format!("{}: {value}, not {expected}", self.key);
        self.differences.note(self.name.clone(), example);
    }

    /// The order of ids, and of what has ids, means nothing. An answer that nobody votes for is as good as none.
    fn in_order(&self, list: &[Value]) -> Vec<Value> {
        let id = |element: &Value| match element {
            Value::Object(fields) => fields.get("id").map(Value::to_string),
            Value::String(id) => Some(id.clone()),
            _ => None,
        };
        let mut list = list.to_vec();
        if self.name == "message.poll.results.answer_counts" {
            list.retain(|count| count["count"] != 0);
        }
        if list.iter().all(|element| id(element).is_some()) {
            list.sort_by_key(id);
        }
        list
    }
}

/// Equal, or the same instant; what Discord leaves out, libraries take for null or for the empty value of its type.
fn are_same(value: &Value, expected: &Value) -> bool {
    let is_empty = |value: &Value| match value {
        Value::Null => true,
        Value::Bool(value) => !value,
        Value::Number(value) => value.as_f64() == Some(0.0),
        Value::String(text) => text.is_empty() || text == "0",
        Value::Array(elements) => elements.is_empty(),
        Value::Object(fields) => fields.is_empty(),
    };
    match (value, expected) {
        (Value::Null, other) | (other, Value::Null) => is_empty(other),
        (Value::Array(values), Value::Array(expected)) => {
            values.len() == expected.len()
                && values
                    .iter()
                    .zip(expected)
                    .all(|(value, other)| are_same(value, other))
        }
        (Value::Number(value), Value::Number(expected)) => value.as_f64() == expected.as_f64(),
        (Value::String(value), Value::String(expected)) => {
            value == expected || is_instant(value) && instant(value) == instant(expected)
        }
        _ => value == expected,
    }
}

fn is_instant(text: &str) -> bool {
    text.len() >= 20 && text.as_bytes()[4] == b'-' && text.as_bytes()[10] == b'T'
}

/// A time without its zone, which is always UTC, and with all digits of its microseconds.
fn instant(text: &str) -> String {
    let text = text.trim_end_matches('Z').trim_end_matches("+00:00");
    let (seconds, fraction) = text.split_once('.').unwrap_or((text, ""));
    format!("{seconds}.{fraction:0<6}")
}
