//! What clients ask of the world by gateway commands.

use serde_json::{Value, json};

use super::{
    Dispatch, World, intents,
    member::{Member, MemberObject, Status, Voice},
    user::id,
};

/// Members in one GUILD_MEMBERS_CHUNK at most (Discord, "Request Guild Members").
const CHUNK: usize = 1_000;
/// Members that a query or a list of ids may ask for.
const ASKED: usize = 100;
/// Bytes of a nonce; a longer one is ignored.
const NONCE: usize = 32;

impl World {
    /// Request Guild Members (op 8): the GUILD_MEMBERS_CHUNKs that answer it, none for a guild that
    /// the bot isn't in or that has an outage.
    ///
    /// # Errors
    ///
    /// What is wrong with `d`, or which privileged intent the session lacks.
    pub fn request_members(&self, d: &Value, intents: u64) -> Result<Vec<Dispatch>, String> {
        let guild_id = snowflake_field(d, "guild_id")?;
        let limit = d.get("limit").and_then(Value::as_u64);
        // ETF has no way to leave a field out: some clients send it empty.
        let users = d.get("user_ids").filter(|ids| !ids.is_null());
        let wanted = match (users, d.get("query").and_then(Value::as_str)) {
            (Some(ids), None) => Wanted::Users(user_ids(ids)?),
            (None, Some(query)) => {
                let limit = limit.ok_or("limit is required with a query")? as usize;
                if query.is_empty() && limit == 0 && intents & intents::GUILD_MEMBERS == 0 {
                    return Err("the guild members intent is required for all members".to_owned());
                }
                let all = query.is_empty() && limit == 0;
                Wanted::Named(
                    query.to_lowercase(),
                    if all { usize::MAX } else { limit.min(ASKED) },
                )
            }
            (Some(_), Some(_)) => return Err("user_ids and query exclude each other".to_owned()),
            (None, None) => return Err("one of query or user_ids is required".to_owned()),
        };
        let Some(guild) = self.guilds.get(guild_id).filter(|guild| !guild.unavailable) else {
            return Ok(Vec::new());
        };
        let mut not_found = Vec::new();
        let found: Vec<(u64, &Member)> = match wanted {
            Wanted::Users(ids) => {
                let (known, unknown): (Vec<u64>, Vec<u64>) = ids
                    .into_iter()
                    .partition(|user| guild.members.contains(*user));
                not_found = unknown;
                known
                    .iter()
                    .filter_map(|user| Some((*user, guild.members.get(*user)?)))
                    .collect()
            }
            Wanted::Named(prefix, limit) => guild
                .members
                .iter()
                .filter(|(_, member)| prefix.is_empty() || self.is_named(member, &prefix))
                .take(limit)
                .collect(),
        };
        let presences = d.get("presences").and_then(Value::as_bool).unwrap_or(false)
            && intents & intents::GUILD_PRESENCES != 0;
        let nonce = nonce(d);
        let count = found.len().div_ceil(CHUNK).max(1);
        Ok((0..count)
            .map(|index| {
                let part = &found[index * CHUNK..found.len().min((index + 1) * CHUNK)];
                let missing = if index == 0 {
                    not_found.as_slice()
                } else {
                    &[]
                };
                let mut chunk = self.chunk(guild_id, part, presences, missing);
                chunk["chunk_index"] = json!(index);
                chunk["chunk_count"] = json!(count);
                if let Some(nonce) = nonce {
                    chunk["nonce"] = json!(nonce);
                }
                Dispatch::plain(Some(guild_id), "GUILD_MEMBERS_CHUNK", 0, &chunk)
            })
            .collect())
    }

    /// GUILD_MEMBERS_CHUNK without its numbering.
    pub(crate) fn chunk(
        &self,
        guild: u64,
        members: &[(u64, &Member)],
        presences: bool,
        not_found: &[u64],
    ) -> Value {
        let listed: Vec<MemberObject> = members
            .iter()
            .map(|(_, member)| member.json(&self.users[member.user as usize]))
            .collect();
        let missing: Vec<Value> = not_found.iter().map(|user| id(*user)).collect();
        let mut chunk = json!({"not_found": missing, "members": listed, "guild_id": id(guild)});
        if presences {
            chunk["presences"] = members
                .iter()
                .filter(|(_, member)| member.presence.status != Status::Offline)
                .map(|(user, member)| with_guild(json!(member.presence.json(*user)), guild))
                .collect();
        }
        chunk
    }

    fn is_named(&self, member: &Member, prefix: &str) -> bool {
        let user = self.users[member.user as usize].json_with(member.face);
        user.username.to_lowercase().starts_with(prefix)
    }

    /// Update Voice State (op 4): the bot joins, moves, or leaves. Nothing is answered for a guild
    /// or voice channel that the bot can't see.
    ///
    /// # Errors
    ///
    /// What is wrong with `d`.
    pub fn update_voice(&mut self, d: &Value) -> Result<Vec<Dispatch>, String> {
        let guild_id = snowflake_field(d, "guild_id")?;
        let channel = match d.get("channel_id") {
            None | Some(Value::Null) => None,
            Some(_) => Some(snowflake_field(d, "channel_id")?),
        };
        let flag = |name: &str| d.get(name).and_then(Value::as_bool).unwrap_or(false);
        let (bot, session) = (self.users[0].id, self.next_id());
        let Some(guild) = self
            .guilds
            .get_mut(guild_id)
            .filter(|guild| !guild.unavailable)
        else {
            return Ok(Vec::new());
        };
        let before = guild.voices.remove(bot);
        let state = match channel {
            Some(channel) => {
                if !guild
                    .channels
                    .get(channel)
                    .is_some_and(|channel| channel.takes_voice())
                {
                    if let Some(before) = before {
                        guild.voices.insert(bot, before);
                    }
                    return Ok(Vec::new());
                }
                let voice = Voice {
                    channel,
                    session: before.map_or(session, |before| before.session),
                    self_mute: flag("self_mute"),
                    self_deaf: flag("self_deaf"),
                    ..Voice::default()
                };
                guild.voices.insert(bot, voice.clone());
                guild.voice_update(&self.users, bot, &voice, Some(channel))
            }
            None => before.and_then(|left| guild.voice_update(&self.users, bot, &left, None)),
        };
        let Some(state) = state else {
            return Ok(Vec::new());
        };
        let at = Some(guild_id);
        let mut answers = vec![Dispatch::plain(
            at,
            "VOICE_STATE_UPDATE",
            intents::GUILD_VOICE_STATES,
            &state,
        )];
        if channel.is_some() {
            let server = self.voice_server(guild_id, session);
            answers.push(Dispatch::plain(at, "VOICE_SERVER_UPDATE", 0, &server));
        }
        Ok(answers)
    }

    /// VOICE_SERVER_UPDATE of a guild.
    pub(crate) fn voice_server(&self, guild: u64, look: u64) -> Value {
        json!({
            "token": format!("{look:016x}"),
            "guild_id": id(guild),
            "endpoint": self.config.voice_endpoint,
        })
    }

    /// Request Soundboard Sounds (op 31): SOUNDBOARD_SOUNDS for each guild that the bot is in.
    ///
    /// # Errors
    ///
    /// What is wrong with `d`.
    pub fn request_soundboard(&self, d: &Value) -> Result<Vec<Dispatch>, String> {
        let ids = d
            .get("guild_ids")
            .and_then(Value::as_array)
            .ok_or("guild_ids is required")?;
        let mut answers = Vec::new();
        for value in ids {
            let guild_id = snowflake_of(value).ok_or("guild_ids holds what is no snowflake")?;
            if let Some(sounds) = self.sounds(guild_id) {
                answers.push(Dispatch::plain(
                    Some(guild_id),
                    "SOUNDBOARD_SOUNDS",
                    0,
                    &sounds,
                ));
            }
        }
        Ok(answers)
    }

    /// SOUNDBOARD_SOUNDS (and GUILD_SOUNDBOARD_SOUNDS_UPDATE) of a guild that is there.
    pub(crate) fn sounds(&self, guild: u64) -> Option<Value> {
        let guild = self.guilds.get(guild).filter(|guild| !guild.unavailable)?;
        let sounds: Vec<Value> = guild
            .sounds
            .values()
            .map(|sound| sound.json(guild.id))
            .collect();
        Some(json!({"soundboard_sounds": sounds, "guild_id": id(guild.id)}))
    }
}

enum Wanted {
    Users(Vec<u64>),
    /// Lower-case beginning of the name, and how many at most.
    Named(String, usize),
}

/// The nonce of a request, if it is one.
pub(crate) fn nonce(d: &Value) -> Option<&str> {
    let nonce = d.get("nonce").and_then(Value::as_str);
    nonce.filter(|nonce| nonce.len() <= NONCE)
}

/// Adds the guild to an object.
pub(crate) fn with_guild(mut object: Value, guild: u64) -> Value {
    object["guild_id"] = id(guild);
    object
}

/// The users asked for; those beyond what one request returns are left alone.
fn user_ids(value: &Value) -> Result<Vec<u64>, String> {
    let ids: Option<Vec<u64>> = match value {
        Value::Array(ids) => ids.iter().take(ASKED).map(snowflake_of).collect(),
        one => snowflake_of(one).map(|id| vec![id]),
    };
    ids.ok_or_else(|| "user_ids holds what is no snowflake".to_owned())
}

fn snowflake_field(d: &Value, name: &str) -> Result<u64, String> {
    let value = d.get(name).ok_or_else(|| format!("{name} is required"))?;
    snowflake_of(value).ok_or_else(|| format!("{name} is no snowflake"))
}

pub(crate) fn snowflake_of(value: &Value) -> Option<u64> {
    match value {
        Value::String(text) => text.parse().ok(),
        number => number.as_u64(),
    }
}
