//! Commands of clients and what the gateway answers to them.

use std::time::{Duration, Instant};

use serde_json::{Map, Value, json};

use crate::{
    dispatcher::SessionKey,
    protocol::{payload::id, snowflake::shard_of},
    state::{Shared, State},
    world::{Dispatch, nonce},
};

/// Notes a command and answers it. One that can't be answered (an unknown guild, one of another
/// shard, a missing intent) is counted and otherwise ignored, as Discord does.
pub(super) fn obey(
    shared: &Shared,
    state: &mut State,
    key: SessionKey,
    op: u64,
    command: Value,
    now: Instant,
) {
    state.counts.commands += 1;
    let d = &command["d"];
    // Op 31 names several guilds, see `answer`.
    let named = id(&d["guild_id"]);
    let refused = match op {
        _ if named.is_some_and(|guild| !is_of_shard(state, key, guild)) => Ok(()),
        4 => update_voice(state, d),
        8 => request_members(shared, state, key, d, now),
        31 => answer(state, key, |state| {
            state.dispatcher.world.request_soundboard(d)
        }),
        43 => answer(state, key, |state| {
            Ok(channel_info(state, d).into_iter().collect())
        }),
        // Op 3: a bot is not told of its own presence.
        _ => Ok(()),
    };
    if let Err(reason) = refused {
        state.counts.refused_commands += 1;
        tracing::warn!(op, reason, "command without an answer");
    }
    state.dispatcher.add_command(key, now, command);
}

fn update_voice(state: &mut State, d: &Value) -> Result<(), String> {
    for dispatch in state.dispatcher.world.update_voice(d)? {
        state.dispatcher.dispatch(&dispatch);
    }
    Ok(())
}

fn request_members(
    shared: &Shared,
    state: &mut State,
    key: SessionKey,
    d: &Value,
    now: Instant,
) -> Result<(), String> {
    let intents = state
        .dispatcher
        .session(key)
        .map_or(0, |session| session.intents);
    let chunks = state.dispatcher.world.request_members(d, intents)?;
    let whole_list = d["query"].as_str() == Some("") && d["limit"].as_u64() == Some(0);
    // What is not answered is not counted.
    let counts = whole_list && !chunks.is_empty();
    if let Some(guild) = id(&d["guild_id"]).filter(|_| counts) {
        let every = shared.config.member_request_interval;
        if let Err(wait) = state.members.admit(guild, now, every) {
            state.violation(format!(
                "guild {guild}: all members asked for again too soon"
            ));
            state
                .dispatcher
                .dispatch_to(key, &rate_limited(guild, nonce(d), wait));
            return Ok(());
        }
    }
    answer(state, key, |_| Ok(chunks))
}

fn answer(
    state: &mut State,
    key: SessionKey,
    dispatches: impl FnOnce(&mut State) -> Result<Vec<Dispatch>, String>,
) -> Result<(), String> {
    for dispatch in dispatches(state)? {
        if dispatch
            .guild
            .is_none_or(|guild| is_of_shard(state, key, guild))
        {
            state.dispatcher.dispatch_to(key, &dispatch);
        }
    }
    Ok(())
}

/// Whether a session's shard is the one that a guild is on.
fn is_of_shard(state: &State, key: SessionKey, guild: u64) -> bool {
    let session = state.dispatcher.session(key);
    session.is_none_or(|session| shard_of(guild, session.total) == session.shard)
}

/// <https://discord.com/developers/docs/events/gateway-events#rate-limited>
fn rate_limited(guild: u64, nonce: Option<&str>, wait: Duration) -> Dispatch {
    let mut meta = Map::from_iter([("guild_id".to_owned(), Value::from(guild.to_string()))]);
    if let Some(nonce) = nonce {
        meta.insert("nonce".to_owned(), nonce.into());
    }
    let d = json!({"opcode": 8, "retry_after": wait.as_secs_f64(), "meta": meta});
    Dispatch {
        guild: Some(guild),
        t: "RATE_LIMITED".to_owned(),
        d: d.to_string(),
        intent: 0,
    }
}

/// The voice channels' ephemeral fields, as far as the shard's events have told them. Of a guild that is not there the bot
/// hears nothing.
fn channel_info(state: &mut State, d: &Value) -> Option<Dispatch> {
    let guild = id(&d["guild_id"])?;
    let known = state.dispatcher.world.guilds.get(guild);
    known.filter(|guild| !guild.unavailable)?;
    let prefix = format!("channel:{guild}:");
    let asked: Vec<&str> = d["fields"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .collect();
    let mut channels = Vec::new();
    for (key, channel) in state.dispatcher.truth() {
        if !key.starts_with(&prefix) {
            continue;
        }
        let mut info = Map::new();
        for field in ["status", "voice_start_time"] {
            if asked.contains(&field) && !channel[field].is_null() {
                info.insert(field.to_owned(), channel[field].clone());
            }
        }
        if !info.is_empty() {
            info.insert("id".to_owned(), channel["id"].clone());
            channels.push(Value::Object(info));
        }
    }
    let d = json!({"guild_id": guild.to_string(), "channels": channels});
    Some(Dispatch {
        guild: Some(guild),
        t: "CHANNEL_INFO".to_owned(),
        d: d.to_string(),
        intent: 0,
    })
}
