//! Lobbies of games.

use serde_json::{Value, json};

use super::{
    call::{Answer, Call, Reply, json},
    refusal::{Refusal, Unknown},
};
use crate::world::{Family, Fields, id, scramble, snowflake_of};

/// Most members that one request names.
const MEMBERS: usize = 25;

fn named(call: &mut Call) -> Result<Value, Refusal> {
    let lobby = call.id("lobby")?;
    let known = call.world().documents.find(Family::Lobby, 0, lobby);
    known
        .cloned()
        .ok_or_else(|| Refusal::unknown(Unknown::Lobby))
}

fn keep(call: &mut Call, lobby: &Value) {
    let documents = &mut call.world().documents;
    documents.put(Family::Lobby, 0, "id", lobby.clone());
}

/// A member as a body describes it; `user` is who it is if the body doesn't say.
fn member(call: &mut Call, body: &Value, user: Option<u64>) -> Result<Value, Refusal> {
    let user = user.or_else(|| snowflake_of(&body["id"]));
    let user = user.ok_or_else(|| Refusal::required("id"))?;
    if call.world().user(user).is_none() {
        return Err(Refusal::unknown(Unknown::User));
    }
    let flags = body["flags"].as_u64().unwrap_or(0);
    let mut member = json!({"id": id(user), "metadata": body["metadata"], "flags": flags});
    if body["additional_name"].is_string() {
        member["additional_name"] = body["additional_name"].clone();
    }
    Ok(member)
}

fn members(call: &mut Call, body: &Fields) -> Result<Option<Vec<Value>>, Refusal> {
    let Some(list) = body.get("members").and_then(Value::as_array) else {
        return Ok(None);
    };
    if list.len() > MEMBERS {
        let message = format!("Must be {MEMBERS} or fewer in length.");
        return Err(Refusal::form("members", "BASE_TYPE_MAX_LENGTH", &message));
    }
    let all = list.iter().map(|body| member(call, body, None));
    all.collect::<Result<_, _>>().map(Some)
}

/// Puts a member into a lobby; one that is there changes.
fn insert(lobby: &mut Value, member: Value) {
    if let Some(all) = lobby["members"].as_array_mut() {
        all.retain(|known| known["id"] != member["id"]);
        all.push(member);
    }
}

fn remove(lobby: &mut Value, user: &Value) {
    if let Some(all) = lobby["members"].as_array_mut() {
        all.retain(|known| known["id"] != *user);
    }
}

fn made(call: &mut Call, metadata: Option<&Value>, members: Vec<Value>) -> Value {
    let (fresh, application) = (call.world().next_id(), call.bot());
    json!({
        "id": id(fresh), "application_id": id(application), "metadata": metadata, "members": members,
    })
}

pub(super) fn create(call: &mut Call) -> Answer {
    let body = call.body.json.as_object().cloned().unwrap_or_default();
    let members = members(call, &body)?.unwrap_or_default();
    let lobby = made(call, body.get("metadata"), members);
    keep(call, &lobby);
    json(lobby)
}

/// The lobby with this secret, which is made if there is none; the bot is in it then.
pub(super) fn join(call: &mut Call) -> Answer {
    let secret = call.required("secret", (1, 250))?;
    let body = call.fields()?.clone();
    let known = call.world().documents.search(Family::LobbySecret, |known| {
        known["secret"] == secret.as_str()
    });
    let known = known.and_then(|(_, known)| snowflake_of(&known["id"]));
    let known = known.and_then(|lobby| call.world().documents.find(Family::Lobby, 0, lobby));
    let mut lobby = match known.cloned() {
        Some(lobby) => lobby,
        None => made(call, None, Vec::new()),
    };
    if let Some(metadata) = body.get("lobby_metadata") {
        lobby["metadata"] = metadata.clone();
    }
    let bot = call.bot();
    let own = json!({"metadata": body.get("member_metadata")});
    let own = member(call, &own, Some(bot))?;
    insert(&mut lobby, own);
    keep(call, &lobby);
    let secret = json!({"id": lobby["id"], "secret": secret});
    let documents = &mut call.world().documents;
    documents.put(Family::LobbySecret, 0, "secret", secret);
    json(lobby)
}

pub(super) fn one(call: &mut Call) -> Answer {
    json(named(call)?)
}

pub(super) fn edit(call: &mut Call) -> Answer {
    let (mut lobby, body) = (named(call)?, call.fields()?.clone());
    if let Some(metadata) = body.get("metadata") {
        lobby["metadata"] = metadata.clone();
    }
    if let Some(members) = members(call, &body)? {
        lobby["members"] = json!(members);
    }
    keep(call, &lobby);
    json(lobby)
}

/// It may be gone already.
pub(super) fn delete(call: &mut Call) -> Answer {
    let lobby = id(call.id("lobby")?);
    let is_it = |known: &Value| known["id"] == lobby;
    call.world().documents.remove(Family::Lobby, 0, is_it);
    Ok(Reply::Empty)
}

pub(super) fn add_member(call: &mut Call) -> Answer {
    let mut lobby = named(call)?;
    let (user, body) = (call.id("user")?, call.body.json.clone());
    let member = member(call, &body, Some(user))?;
    insert(&mut lobby, member.clone());
    keep(call, &lobby);
    json(member)
}

pub(super) fn change_members(call: &mut Call) -> Answer {
    let mut lobby = named(call)?;
    let entries = call.body.json.as_array().cloned().unwrap_or_default();
    if !(1..=MEMBERS).contains(&entries.len()) {
        return Err(Refusal::bad(50_035, "Invalid Form Body"));
    }
    let mut added = Vec::new();
    for entry in &entries {
        if entry["remove_member"] == true {
            remove(&mut lobby, &entry["id"]);
            continue;
        }
        let member = member(call, entry, None)?;
        insert(&mut lobby, member.clone());
        added.push(member);
    }
    keep(call, &lobby);
    json(added)
}

pub(super) fn remove_member(call: &mut Call) -> Answer {
    let mut lobby = named(call)?;
    let user = call.user()?;
    let user = id(call.world().users[user].id);
    remove(&mut lobby, &user);
    keep(call, &lobby);
    Ok(Reply::Empty)
}

/// Links a text channel, or no channel any more.
pub(super) fn link(call: &mut Call) -> Answer {
    let mut lobby = named(call)?;
    let channel = snowflake_of(&call.body.json["channel_id"]);
    if let Some(fields) = lobby.as_object_mut() {
        fields.shift_remove("linked_channel");
    }
    if let Some(channel) = channel {
        let world = call.world();
        let place = world.place(channel).and_then(|place| place.guild);
        let guild = place.and_then(|guild| world.guilds.get(guild));
        let found = guild.and_then(|guild| Some(guild.channels.get(channel)?.json(guild.id)));
        lobby["linked_channel"] = found.ok_or_else(|| Refusal::unknown(Unknown::Channel))?;
    }
    keep(call, &lobby);
    json(lobby)
}

pub(super) fn write(call: &mut Call) -> Answer {
    let lobby = named(call)?;
    let content = call.required("content", (1, 2_000))?;
    let (fresh, application) = (call.world().next_id(), call.bot());
    let author = json!(call.world().users[0].json());
    let mut message = json!({
        "id": id(fresh), "type": 0, "content": content, "lobby_id": lobby["id"], "channel_id": lobby["id"],
        "author": author, "flags": 0, "application_id": id(application),
    });
    if let Some(metadata) = call.fields()?.get("metadata") {
        message["metadata"] = metadata.clone();
    }
    let owner = call.id("lobby")?;
    let documents = &mut call.world().documents;
    documents.put(Family::LobbyMessage, owner, "id", message.clone());
    json(message)
}

/// The newest first.
pub(super) fn messages(call: &mut Call) -> Answer {
    named(call)?;
    let (limit, owner) = (call.limit(50, 200)?, call.id("lobby")?);
    let all = call.world().documents.list(Family::LobbyMessage, owner);
    json(all.iter().rev().take(limit).collect::<Vec<_>>())
}

pub(super) fn moderate(call: &mut Call) -> Answer {
    named(call)?;
    let (owner, message) = (call.id("lobby")?, call.id("message")?);
    let metadata = call.fields()?.clone();
    let known = call
        .world()
        .documents
        .find(Family::LobbyMessage, owner, message)
        .cloned();
    let mut message = known.ok_or_else(|| Refusal::unknown(Unknown::Message))?;
    message["moderation_metadata"] = Value::Object(metadata);
    let documents = &mut call.world().documents;
    documents.put(Family::LobbyMessage, owner, "id", message);
    Ok(Reply::Empty)
}

/// An invite to the channel that the lobby is linked to.
pub(super) fn invite(call: &mut Call) -> Answer {
    let lobby = named(call)?;
    call.user()?;
    if lobby["linked_channel"].is_null() {
        return Err(Refusal::unknown(Unknown::Channel));
    }
    let fresh = call.world().next_id();
    json(json!({"code": format!("{:08x}", scramble(fresh) as u32)}))
}
