//! Bans.

use serde_json::{Value, json};

use super::{
    call::{Answer, Call, Reply, ids_of, json},
    refusal::{Refusal, Unknown},
};
use crate::world::{Ban, Planned, World, id, intents};

pub(super) fn list(call: &mut Call) -> Answer {
    let bans = call.guild()?.bans.clone();
    let world = call.world();
    json(
        bans.iter()
            .map(|ban| ban_object(world, ban))
            .collect::<Vec<_>>(),
    )
}

fn ban_object(world: &World, ban: &Ban) -> Value {
    json!({"reason": ban.reason, "user": world.users[ban.user as usize].json()})
}

fn banned(call: &mut Call) -> Result<(u64, Ban), Refusal> {
    let user = u32::try_from(call.user()?).unwrap_or(u32::MAX);
    let guild = call.guild()?;
    let known = guild.bans.iter().find(|ban| ban.user == user).cloned();
    known
        .map(|ban| (guild.id, ban))
        .ok_or_else(|| Refusal::unknown(Unknown::Ban))
}

pub(super) fn one(call: &mut Call) -> Answer {
    let (_, ban) = banned(call)?;
    json(ban_object(call.world(), &ban))
}

pub(super) fn ban(call: &mut Call) -> Answer {
    let user = call.user()?;
    ban_one(call, user)?;
    Ok(Reply::Empty)
}

fn ban_one(call: &mut Call, user: usize) -> Result<(), Refusal> {
    let user_id = call.world().users[user].id;
    let ban = Ban {
        user: u32::try_from(user).unwrap_or(u32::MAX),
        reason: call.reason.as_deref().map(Into::into),
    };
    let guild = call.guild()?;
    let at = guild.id;
    let is_member = guild.members.contains(user_id);
    if !guild.bans.iter().any(|known| known.user == ban.user) {
        guild.bans.push(ban);
    }
    let d = json!({"user": call.world().users[user].json(), "guild_id": id(at)});
    call.tell(Some(at), "GUILD_BAN_ADD", intents::GUILD_MODERATION, &d);
    if is_member {
        call.world().agenda.push_back(Planned::RemoveMember {
            guild: at,
            user: user_id,
        });
        call.tell_consequences();
    }
    Ok(())
}

pub(super) fn ban_many(call: &mut Call) -> Answer {
    call.guild()?;
    let users = ids_of(call, "user_ids")?;
    let (mut banned, mut failed) = (Vec::new(), Vec::new());
    for user in users {
        match call.world().user(user).filter(|place| *place != 0) {
            Some(place) => {
                ban_one(call, place)?;
                banned.push(id(user));
            }
            None => failed.push(id(user)),
        }
    }
    json(json!({"banned_users": banned, "failed_users": failed}))
}

pub(super) fn unban(call: &mut Call) -> Answer {
    let (at, Ban { user, .. }) = banned(call)?;
    call.guild()?.bans.retain(|known| known.user != user);
    let d = json!({"user": call.world().users[user as usize].json(), "guild_id": id(at)});
    call.tell(Some(at), "GUILD_BAN_REMOVE", intents::GUILD_MODERATION, &d);
    Ok(Reply::Empty)
}
