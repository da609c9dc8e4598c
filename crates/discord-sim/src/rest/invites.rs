//! Invites.

use axum::http::StatusCode;
use serde_json::{Value, json};

use super::{
    call::{Answer, Call, Reply, json},
    refusal::{Refusal, Unknown},
};
use crate::{
    protocol::snowflake::timestamp,
    world::{Family, extend, id, intents, scramble, snowflake_of},
};

pub(super) fn create_invite(call: &mut Call) -> Answer {
    let (channel, place) = call.channel()?;
    let guild = place
        .guild
        .ok_or_else(|| Refusal::bad(50_003, "Cannot execute action on a DM channel"))?;
    let body = call.body.json.clone();
    let (now, fresh) = (call.world().clock_ms, call.world().next_id());
    let max_age = body["max_age"].as_u64().unwrap_or(86_400);
    let world = call.world();
    let code = format!("{:08x}", scramble(fresh) as u32);
    let inviter = json!(world.users[0].json());
    let d = json!({
        "uses": 0, "type": 0, "code": code, "temporary": body["temporary"].as_bool().unwrap_or(false),
        "max_uses": body["max_uses"].as_u64().unwrap_or(0), "max_age": max_age, "inviter": inviter,
        "guild_id": id(guild), "channel_id": id(channel), "created_at": timestamp(now),
        "expires_at": (max_age > 0).then(|| timestamp(now + max_age * 1_000)),
    });
    world
        .documents
        .put(Family::Invite, guild, "code", d.clone());
    call.tell(Some(guild), "INVITE_CREATE", intents::GUILD_INVITES, &d);
    json(invite_object(call, &d))
}

/// The invite as REST answers it: with its guild and channel in it.
fn invite_object(call: &mut Call, d: &Value) -> Value {
    let (guild, channel) = (snowflake_of(&d["guild_id"]), snowflake_of(&d["channel_id"]));
    let world = call.world();
    let home = guild.and_then(|guild| world.guilds.get(guild));
    let guild = home.map(|guild| guild.json());
    let place = home.and_then(|guild| guild.channels.get(channel.unwrap_or_default()));
    let name = home
        .zip(place)
        .map(|(guild, channel)| channel.json(guild.id)["name"].clone());
    let mut invite = d.clone();
    extend(
        &mut invite,
        json!({
            "guild": guild,
            "channel": {"id": d["channel_id"], "name": name, "type": place.map_or(0, |place| place.kind)},
            "approximate_member_count": home.map(|guild| guild.members.len()),
            "approximate_presence_count": home.map(|guild| guild.online()),
        }),
    );
    invite
}

fn invites(call: &mut Call, guild: u64, channel: Option<u64>) -> Answer {
    let all = call.world().documents.list(Family::Invite, guild).to_vec();
    let wanted = all
        .iter()
        .filter(|invite| channel.is_none_or(|channel| invite["channel_id"] == id(channel)));
    let objects: Vec<Value> = wanted.map(|invite| invite_object(call, invite)).collect();
    json(objects)
}

pub(super) fn invites_of_channel(call: &mut Call) -> Answer {
    let (channel, place) = call.channel()?;
    invites(call, place.guild.unwrap_or_default(), Some(channel))
}

pub(super) fn invites_of_guild(call: &mut Call) -> Answer {
    let guild = call.guild()?.id;
    invites(call, guild, None)
}

fn named_invite(call: &mut Call) -> Result<(u64, Value), Refusal> {
    let code = call.text("code").to_owned();
    let found = call
        .world()
        .documents
        .search(Family::Invite, |invite| invite["code"] == code.as_str());
    let found = found.map(|(guild, invite)| (guild, invite.clone()));
    found.ok_or_else(|| Refusal::unknown(Unknown::Invite))
}

pub(super) fn invite(call: &mut Call) -> Answer {
    let (_, invite) = named_invite(call)?;
    json(invite_object(call, &invite))
}

pub(super) fn delete_invite(call: &mut Call) -> Answer {
    let (guild, invite) = named_invite(call)?;
    let is_it = |known: &Value| known["code"] == invite["code"];
    call.world().documents.remove(Family::Invite, guild, is_it);
    let d =
        json!({"guild_id": id(guild), "code": invite["code"], "channel_id": invite["channel_id"]});
    call.tell(Some(guild), "INVITE_DELETE", intents::GUILD_INVITES, &d);
    json(invite_object(call, &invite))
}

/// Who may use the invite, as CSV.
pub(super) fn targets(call: &mut Call) -> Answer {
    let (_, targets) = named_targets(call)?;
    let users = targets["users"].as_array().into_iter().flatten();
    let mut csv = "user_id\n".to_owned();
    for user in users.filter_map(Value::as_str) {
        csv.push_str(user);
        csv.push('\n');
    }
    Ok(Reply::File("text/csv", csv.into_bytes()))
}

fn named_targets(call: &mut Call) -> Result<(u64, Value), Refusal> {
    let (guild, invite) = named_invite(call)?;
    let known = call.world().documents.list(Family::InviteTargets, guild);
    let known = known.iter().find(|known| known["code"] == invite["code"]);
    let none = || Refusal::new(StatusCode::NOT_FOUND, 10_129, "Unknown invite target users");
    Ok((guild, known.cloned().ok_or_else(none)?))
}

/// Takes the file, a column of user ids.
pub(super) fn set_targets(call: &mut Call) -> Answer {
    let (guild, invite) = named_invite(call)?;
    let file = call.body.json["target_users_file"].as_str();
    let file = file.ok_or_else(|| Refusal::required("target_users_file"))?;
    let lines = file.lines().map(str::trim).filter(|line| !line.is_empty());
    let users: Vec<Value> = lines
        .filter(|line| *line != "user_id")
        .map(|line| json!(line))
        .collect();
    let is_wrong = |user: &&Value| snowflake_of(user).is_none();
    if let Some(line) = users.iter().position(|user| is_wrong(&user)) {
        let problem = format!("Line {}: invalid user ID format", line + 2);
        let field = "target_users_file";
        return Err(Refusal::form(field, "INVALID_USER_ID", &problem));
    }
    let now = timestamp(call.world().clock_ms);
    let targets = json!({"code": invite["code"], "users": users, "at": now});
    let documents = &mut call.world().documents;
    documents.put(Family::InviteTargets, guild, "code", targets);
    Ok(Reply::Empty)
}

/// The job is done as soon as it is given.
pub(super) fn targets_job(call: &mut Call) -> Answer {
    let (_, targets) = named_targets(call)?;
    let users = targets["users"].as_array().map_or(0, Vec::len);
    json(json!({
        "status": 2, "total_users": users, "processed_users": users, "created_at": targets["at"],
        "completed_at": targets["at"], "error_message": null,
    }))
}
