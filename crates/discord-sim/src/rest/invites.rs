//! Invites.

use serde_json::{Value, json};

use super::{
    call::{Answer, Call, json},
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
