//! What Discord requires of each opcode's `d`.
//!
//! Source: Discord, "Gateway Events", send events; and what is known of its gateway beyond that page, said where it is used. It closes the
//! connection (4001, 4002) or invalidates the session (op 9) over a required field that is absent or of another type.

use std::borrow::Cow;

use serde_json::value::RawValue;

use crate::command::{
    Refusal,
    shape::{Fields, is_null, number, object, read, snowflake, snowflakes, wrong_type},
};

/// Users that one request for members may name.
const MAX_USERS: usize = 100;
/// Discord leaves a longer nonce out of its answers, so that nobody could tell whose they are.
const MAX_NONCE: usize = 32;
/// The highest activity type: 0 playing, 1 streaming, 2 listening, 3 watching, 4 custom, 5 competing.
const MAX_ACTIVITY_TYPE: u64 = 5;

/// What a packet's data say that matters for sending it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct About {
    pub(super) guild: Option<u64>,
    pub(super) full_list: bool,
    pub(super) nonce: Option<String>,
}

impl About {
    fn guild(id: u64) -> Self {
        Self {
            guild: Some(id),
            ..Self::default()
        }
    }
}

/// Opcode 3. A null `activities`, which earlier documentation allowed, invalidates the session.
pub(super) fn presence(d: &Fields<'_>) -> Result<About, Refusal> {
    let since = d.required("since")?;
    if !is_null(since) {
        read::<i64>(since, "since", "a whole number or null")?;
    }
    let activities: Vec<&RawValue> = read(
        d.required("activities")?,
        "activities",
        "a list of activities",
    )?;
    activities.into_iter().try_for_each(activity)?;
    let status = d.required("status")?;
    let expected = "online, dnd, idle, invisible or offline";
    let name: Cow<'_, str> = read(status, "status", expected)?;
    if !["online", "dnd", "idle", "invisible", "offline"].contains(&name.as_ref()) {
        return Err(wrong_type(status, "status", expected));
    }
    boolean(d.required("afk")?, "afk")?;
    Ok(About::default())
}

/// Bots set `name`, `type`, `state` and `url`.
fn activity(raw: &RawValue) -> Result<(), Refusal> {
    if !raw.get().starts_with('{') {
        return Err(wrong_type(raw, "activities[]", "an object"));
    }
    let activity: Fields<'_> = object(raw.get(), "activities[]")?;
    let field = |field, name| activity.required(field).map_err(|_| Refusal::Missing(name));
    text(field("name", "activities[].name")?, "activities[].name")?;
    let raw = field("type", "activities[].type")?;
    let expected = "a whole number from 0 to 5";
    if read::<u64>(raw, "activities[].type", expected)? > MAX_ACTIVITY_TYPE {
        return Err(wrong_type(raw, "activities[].type", expected));
    }
    for (field, name) in [("state", "activities[].state"), ("url", "activities[].url")] {
        if let Some(raw) = activity.optional(field) {
            text(raw, name)?;
        }
    }
    Ok(())
}

/// Opcode 4. Without a `channel_id` the bot leaves, and its session is invalid a few seconds later.
pub(super) fn voice_state(d: &Fields<'_>) -> Result<About, Refusal> {
    let guild = snowflake(d.required("guild_id")?, "guild_id")?;
    let channel = d.required("channel_id")?;
    if !is_null(channel) {
        snowflake(channel, "channel_id")?;
    }
    boolean(d.required("self_mute")?, "self_mute")?;
    boolean(d.required("self_deaf")?, "self_deaf")?;
    Ok(About::guild(guild))
}

/// Opcode 8. Libraries write the guild as a list of one too, from when there might be several.
pub(super) fn members_request(d: &Fields<'_>) -> Result<About, Refusal> {
    let raw = d.required("guild_id")?;
    let guild = if raw.get().starts_with('[') {
        match snowflakes(raw, "guild_id")?.as_slice() {
            [guild] => *guild,
            _ => return Err(wrong_type(raw, "guild_id", "one id")),
        }
    } else {
        snowflake(raw, "guild_id")?
    };
    let users = d.optional("user_ids").map(users).transpose()?;
    let limit = d.optional("limit");
    let limit = limit.map(|raw| number(raw, "limit")).transpose()?;
    let query = d.optional("query");
    let query = query.map(|raw| text(raw, "query")).transpose()?;
    match (&query, users) {
        (None, None) => return Err(Refusal::Missing("query or user_ids")),
        // A list of nobody says nothing.
        (Some(_), Some(users)) if users > 0 => return Err(Refusal::QueryAndUsers),
        (Some(_), _) if limit.is_none() => return Err(Refusal::Missing("limit")),
        _ => {}
    }
    if let Some(raw) = d.optional("presences") {
        boolean(raw, "presences")?;
    }
    let nonce = d.optional("nonce").map(nonce).transpose()?;
    Ok(About {
        guild: Some(guild),
        full_list: query.is_some_and(|query| query.is_empty()) && limit == Some(0),
        nonce,
    })
}

/// How many users are named, by one id or a list of them.
fn users(raw: &RawValue) -> Result<usize, Refusal> {
    if !raw.get().starts_with('[') {
        return snowflake(raw, "user_ids").map(|_| 1);
    }
    let count = snowflakes(raw, "user_ids")?.len();
    if count > MAX_USERS {
        return Err(Refusal::TooManyUsers(count));
    }
    Ok(count)
}

/// A string; a number is taken as Discord takes it.
fn nonce(raw: &RawValue) -> Result<String, Refusal> {
    let expected = "a string of at most 32 bytes";
    let nonce = match read::<Cow<'_, str>>(raw, "nonce", expected) {
        Ok(nonce) => nonce.into_owned(),
        Err(_) => read::<i64>(raw, "nonce", expected)?.to_string(),
    };
    if nonce.len() > MAX_NONCE {
        return Err(wrong_type(raw, "nonce", expected));
    }
    Ok(nonce)
}

/// Opcode 31.
pub(super) fn sounds_request(d: &Fields<'_>) -> Result<About, Refusal> {
    let guilds = snowflakes(d.required("guild_ids")?, "guild_ids")?;
    Ok(About {
        guild: guilds.first().copied(),
        ..About::default()
    })
}

/// Opcode 43. Names of fields that Discord may add pass.
pub(super) fn channel_info_request(d: &Fields<'_>) -> Result<About, Refusal> {
    let guild = snowflake(d.required("guild_id")?, "guild_id")?;
    let expected = "a list of strings";
    read::<Vec<Cow<'_, str>>>(d.required("fields")?, "fields", expected)?;
    Ok(About::guild(guild))
}

fn boolean(raw: &RawValue, field: &'static str) -> Result<bool, Refusal> {
    read(raw, field, "true or false")
}

fn text(raw: &RawValue, field: &'static str) -> Result<String, Refusal> {
    read(raw, field, "a string")
}
