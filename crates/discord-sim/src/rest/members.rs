//! Members and voice states.

use axum::http::StatusCode;
use serde_json::{Value, json};

use super::{
    call::{Answer, Call, Reply, ids, json},
    refusal::{Refusal, Unknown},
};
use crate::{
    protocol::snowflake::{read_timestamp, timestamp},
    world::{Member, Planned, id, intents, snowflake_of},
};

/// The member of the path: the user's place in the list of users, and its id.
fn named(call: &mut Call) -> Result<(u64, usize, u64), Refusal> {
    let user = call.user()?;
    let user_id = call.world().users[user].id;
    let guild = call.guild()?;
    if !guild.members.contains(user_id) {
        return Err(Refusal::unknown(Unknown::Member));
    }
    Ok((guild.id, user, user_id))
}

fn object(call: &mut Call, guild: u64, user: u64) -> Value {
    let world = call.world();
    let home = world.guilds.get(guild);
    let member = home.and_then(|guild| guild.members.get(user));
    json!(member.map(|member| member.json(&world.users[member.user as usize])))
}

pub(super) fn one(call: &mut Call) -> Answer {
    let (guild, _, user) = named(call)?;
    json(object(call, guild, user))
}

/// The bot's own member.
pub(super) fn me(call: &mut Call) -> Answer {
    let (guild, bot) = (call.guild()?.id, call.bot());
    json(object(call, guild, bot))
}

pub(super) fn list(call: &mut Call) -> Answer {
    let (limit, after) = (call.limit(1, 1_000)?, call.query_id("after").unwrap_or(0));
    let guild = call.guild()?.id;
    let mut users: Vec<u64> = call.guild()?.members.iter().map(|(user, _)| user).collect();
    users.retain(|user| *user > after);
    users.sort_unstable();
    users.truncate(limit);
    let objects: Vec<Value> = users
        .into_iter()
        .map(|user| object(call, guild, user))
        .collect();
    json(objects)
}

pub(super) fn search(call: &mut Call) -> Answer {
    let guild = call.guild()?.id;
    let limit = call.limit(1, 1_000)?;
    let query = call
        .query("query")
        .ok_or_else(|| Refusal::required("query"))?
        .to_owned();
    let d = json!({"guild_id": id(guild), "query": query, "limit": limit.min(100)});
    let found = call
        .world()
        .request_members(&d, intents::ALL)
        .unwrap_or_default();
    let chunk = found
        .first()
        .and_then(|chunk| serde_json::from_str::<Value>(&chunk.d).ok());
    json(chunk.map_or(json!([]), |mut chunk| chunk["members"].take()))
}

pub(super) fn edit(call: &mut Call) -> Answer {
    let (guild, user, user_id) = named(call)?;
    let body = call.fields()?.clone();
    let roles = ids(&body, "roles");
    let until = match body.get("communication_disabled_until") {
        None => None,
        Some(Value::Null) => Some(None),
        Some(until) => {
            let until = until.as_str().and_then(read_timestamp);
            Some(Some(until.ok_or_else(|| {
                let message = "Could not parse the timestamp. Should be ISO8601.";
                Refusal::form(
                    "communication_disabled_until",
                    "DATE_TIME_TYPE_PARSE",
                    message,
                )
            })?))
        }
    };
    let moved = body.get("channel_id").cloned();
    let home = call.guild()?;
    if let Some(unknown) = roles
        .iter()
        .flatten()
        .find(|role| !home.roles.contains(**role))
    {
        let message = format!("Role \"{unknown}\" does not exist");
        return Err(Refusal::form("roles", "ROLE_DOES_NOT_EXIST", &message));
    }
    let Some(member) = home.members.get_mut(user_id) else {
        return Err(Refusal::unknown(Unknown::Member));
    };
    if let Some(nick) = body.get("nick") {
        member.named = Some(nick.as_str().unwrap_or_default().into());
    }
    if let Some(roles) = roles {
        member.roles = roles;
    }
    for (name, flag) in [("mute", &mut member.mute), ("deaf", &mut member.deaf)] {
        *flag = body.get(name).and_then(Value::as_bool).unwrap_or(*flag);
    }
    if let Some(until) = until {
        member.timeout_us = until;
    }
    tell_update(call, guild, user_id);
    if let Some(Value::Null) = moved {
        leave_call(call, guild, user_id);
    } else if let Some(channel) = moved.as_ref().and_then(snowflake_of) {
        move_to(call, guild, (user, user_id), channel)?;
    }
    json(object(call, guild, user_id))
}

/// The nickname of the bot alone.
pub(super) fn edit_nick(call: &mut Call) -> Answer {
    call.params.push(("user", "@me".to_owned()));
    edit(call)?;
    json(json!({"nick": call.body.json["nick"]}))
}

fn tell_update(call: &mut Call, guild: u64, user: u64) {
    let world = call.world();
    let home = world.guilds.get(guild);
    let member = home.and_then(|guild| guild.members.get(user));
    let d = member.map(|member| member.json_of_event(&world.users[member.user as usize], guild));
    let is_bot = world.users[0].id == user;
    if let Some(d) = d {
        // Of its own member the bot is always told.
        let intent = if is_bot { 0 } else { intents::GUILD_MEMBERS };
        call.tell(Some(guild), "GUILD_MEMBER_UPDATE", intent, &d);
    }
}

/// Takes a user out of its call and tells of it.
pub(super) fn leave_call(call: &mut Call, guild: u64, user: u64) {
    let world = call.world();
    let Some(home) = world.guilds.get_mut(guild) else {
        return;
    };
    let Some(voice) = home.voices.remove(user) else {
        return;
    };
    if let Some(d) = home.voice_update(&world.users, user, &voice, None) {
        call.tell(
            Some(guild),
            "VOICE_STATE_UPDATE",
            intents::GUILD_VOICE_STATES,
            &d,
        );
    }
}

fn move_to(
    call: &mut Call,
    guild: u64,
    (_, user): (usize, u64),
    channel: u64,
) -> Result<(), Refusal> {
    let world = call.world();
    let Some(home) = world.guilds.get_mut(guild) else {
        return Ok(());
    };
    let Some(voice) = home.voices.get_mut(user) else {
        return Err(Refusal::bad(
            40_032,
            "Target user is not connected to voice.",
        ));
    };
    voice.channel = channel;
    let voice = voice.clone();
    if let Some(d) = home.voice_update(&world.users, user, &voice, Some(channel)) {
        call.tell(
            Some(guild),
            "VOICE_STATE_UPDATE",
            intents::GUILD_VOICE_STATES,
            &d,
        );
    }
    Ok(())
}

pub(super) fn add(call: &mut Call) -> Answer {
    let user = call.user()?;
    let now = call.world().clock_ms;
    let (user_id, face) = (call.world().users[user].id, call.world().users[user].face);
    let guild = call.guild()?;
    let at = guild.id;
    if guild.members.contains(user_id) {
        return Ok(Reply::Empty);
    }
    let place = u32::try_from(user).unwrap_or(u32::MAX);
    let member = Member {
        user: place,
        face,
        joined_ms: now,
        ..Member::default()
    };
    guild.members.insert(user_id, member);
    call.world().users[user].guilds.push(at);
    let world = call.world();
    let member = world
        .guilds
        .get(at)
        .and_then(|guild| guild.members.get(user_id));
    let d = member.map(|member| member.json_of_event(&world.users[user], at));
    call.tell(Some(at), "GUILD_MEMBER_ADD", intents::GUILD_MEMBERS, &d);
    Ok(Reply::Created(object(call, at, user_id)))
}

pub(super) fn kick(call: &mut Call) -> Answer {
    let (guild, place, user) = named(call)?;
    if place == 0 {
        return Err(Refusal::unknown(Unknown::Member));
    }
    call.world()
        .agenda
        .push_back(Planned::RemoveMember { guild, user });
    call.tell_consequences();
    Ok(Reply::Empty)
}

pub(super) fn add_role(call: &mut Call) -> Answer {
    change_role(call, true)
}

pub(super) fn remove_role(call: &mut Call) -> Answer {
    change_role(call, false)
}

fn change_role(call: &mut Call, has: bool) -> Answer {
    let (guild, _, user) = named(call)?;
    let role = call.id("role")?;
    let home = call.guild()?;
    if !home.roles.contains(role) {
        return Err(Refusal::unknown(Unknown::Role));
    }
    if let Some(member) = home.members.get_mut(user) {
        member.roles.retain(|known| *known != role);
        if has {
            member.roles.push(role);
        }
    }
    tell_update(call, guild, user);
    Ok(Reply::Empty)
}

pub(super) fn voice_state(call: &mut Call) -> Answer {
    let (guild, _, user) = named(call)?;
    let home = call.world().guilds.get(guild);
    let state =
        home.and_then(|home| Some(home.voices.get(user)?.json(user, home.members.get(user)?)));
    json(state.ok_or_else(unknown_voice_state)?)
}

/// Who may speak on a stage.
pub(super) fn edit_voice_state(call: &mut Call) -> Answer {
    let (at, place, user) = named(call)?;
    let body = call.fields()?.clone();
    let world = call.world();
    let guild = world.guilds.get_mut(at);
    let guild = guild.ok_or_else(|| Refusal::unknown(Unknown::Guild))?;
    let channel = body.get("channel_id").and_then(snowflake_of);
    let voice = guild.voices.get_mut(user);
    let voice = voice.filter(|voice| channel.is_none_or(|channel| voice.channel == channel));
    let voice = voice.ok_or_else(unknown_voice_state)?;
    if let Some(suppress) = body.get("suppress").and_then(Value::as_bool) {
        voice.suppress = suppress;
        voice.asks_to_speak = None;
        if !suppress && place != 0 {
            voice.asks_to_speak = Some(timestamp(world.clock_ms).into());
        }
    }
    if let Some(asks) = body.get("request_to_speak_timestamp") {
        voice.asks_to_speak = asks.as_str().map(Into::into);
    }
    let voice = voice.clone();
    if let Some(d) = guild.voice_update(&world.users, user, &voice, Some(voice.channel)) {
        let intent = intents::GUILD_VOICE_STATES;
        call.tell(Some(at), "VOICE_STATE_UPDATE", intent, &d);
    }
    Ok(Reply::Empty)
}

fn unknown_voice_state() -> Refusal {
    Refusal::new(StatusCode::NOT_FOUND, 10_065, "Unknown Voice State")
}

pub(super) fn prune(call: &mut Call) -> Answer {
    call.guild()?;
    json(json!({"pruned": 0}))
}
