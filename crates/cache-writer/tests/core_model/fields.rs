//! Reading the fields of payloads, for the reference model.

use serde_json::{Map, Value, json};

pub(crate) type Fields = Map<String, Value>;

/// The lists inside a guild, and the kind of what they hold.
pub(crate) const LISTS: [(&str, &str); 11] = [
    ("roles", "role"),
    ("emojis", "emoji"),
    ("stickers", "sticker"),
    ("channels", "channel"),
    ("threads", "channel"),
    ("members", "member"),
    ("presences", "presence"),
    ("voice_states", "voice"),
    ("stage_instances", "stage"),
    ("guild_scheduled_events", "scheduled_event"),
    ("soundboard_sounds", "soundboard_sound"),
];

pub(crate) fn number(value: &Value) -> Option<u64> {
    match value {
        Value::Number(number) => number.as_u64(),
        Value::String(text) if text.bytes().all(|byte| byte.is_ascii_digit()) => text.parse().ok(),
        _ => None,
    }
}

pub(crate) fn id(fields: &Fields, name: &str) -> Option<u64> {
    number(fields.get(name)?)
}

pub(crate) fn user(d: &Fields) -> Option<u64> {
    id(d.get("user")?.as_object()?, "id")
}

pub(crate) fn message(d: &Fields) -> Option<String> {
    Some(format!("message:{}:{}", id(d, "channel_id")?, id(d, "id")?))
}

pub(crate) fn channel(d: &Fields, name: &str) -> Option<String> {
    let channel = id(d, name)?;
    match d.get("guild_id") {
        None | Some(Value::Null) => Some(format!("channel:{channel}")),
        Some(guild) => Some(format!("channel:{}:{channel}", number(guild)?)),
    }
}

/// A list that may be absent or null; the outer none: it is neither that nor a list.
pub(crate) fn list(d: &Fields, name: &str) -> Option<Option<Vec<Value>>> {
    match d.get(name) {
        None | Some(Value::Null) => Some(None),
        Some(Value::Array(list)) => Some(Some(list.clone())),
        Some(_) => None,
    }
}

/// The key and value of an object in a guild's list.
pub(crate) fn child(guild: u64, kind: &str, value: &Value) -> Option<(String, Value)> {
    let mut value = value.as_object()?.clone();
    let id = match kind {
        "member" | "presence" => user(&value)?,
        "voice" => id(&value, "user_id")?,
        "soundboard_sound" => id(&value, "sound_id")?,
        _ => id(&value, "id")?,
    };
    value.entry("guild_id").or_insert(json!(guild.to_string()));
    Some((format!("{kind}:{guild}:{id}"), Value::Object(value)))
}

pub(crate) fn has(d: &Fields, names: &[&str]) -> bool {
    names
        .iter()
        .all(|name| d.get(*name).is_some_and(|value| !value.is_null()))
}

pub(crate) fn without_lists(d: &Fields) -> Fields {
    let mut d = d.clone();
    d.retain(|name, _| !LISTS.iter().any(|(list, _)| list == name));
    d
}

pub(crate) fn merged(base: &Fields, patch: &Fields) -> Fields {
    let mut merged = base.clone();
    merged.extend(patch.clone());
    merged
}
