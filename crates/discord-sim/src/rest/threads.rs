//! Threads.

use serde_json::{Value, json};

use super::{
    call::{Answer, Call, Reply, json},
    messages,
    refusal::{Refusal, Unknown},
};
use crate::{
    protocol::snowflake::timestamp,
    world::{ANNOUNCEMENT, Planned, Thread, extend, id, intents, with_guild},
};

/// What a request may set of a thread.
pub(super) const SETTABLE: [&str; 4] = ["name", "rate_limit_per_user", "flags", "applied_tags"];

/// Starts a thread: from a message, by itself, or as a post with a message in it.
pub(super) fn start(call: &mut Call) -> Answer {
    let (channel, place) = call.channel()?;
    call.required("name", (1, 100))?;
    let body = call.fields()?.clone();
    let guild_id = place
        .guild
        .ok_or_else(|| Refusal::bad(50_024, "Cannot execute action on this channel type"))?;
    let message = if call.text("message").is_empty() {
        None
    } else {
        Some(call.id("message")?)
    };
    let (bot, now, fresh) = (call.bot(), call.world().clock_ms, call.world().next_id());
    if let Some(message) = message {
        let known = call.world().message_mut(place.guild, channel, message);
        let known = known.ok_or_else(|| Refusal::unknown(Unknown::Message))?;
        if known.has_thread {
            return Err(Refusal::bad(
                160_004,
                "A thread has already been created for this message",
            ));
        }
        known.has_thread = true;
    }
    let number = |name: &str| body.get(name).and_then(Value::as_u64);
    let kind = match number("type") {
        Some(12) => 12,
        _ if place.kind == ANNOUNCEMENT => 10,
        _ => 11,
    };
    let mut thread = Thread {
        id: message.unwrap_or(fresh),
        parent: channel,
        owner: bot,
        kind,
        created_ms: now,
        members: 1,
        bot_joined_ms: Some(now),
        ..Thread::default()
    };
    thread.set.set(&body, &SETTABLE);
    let thread_id = thread.id;
    let mut d = with_guild(thread.json_of_event(bot), guild_id);
    if let Some(guild) = call.world().guilds.get_mut(guild_id) {
        guild.threads.insert(thread_id, thread);
    }
    extend(&mut d, json!({"newly_created": true}));
    call.tell(Some(guild_id), "THREAD_CREATE", intents::GUILDS, &d);
    if let Some(message) = message {
        let planned = Planned::ShowThread {
            guild: guild_id,
            message,
        };
        call.world().agenda.push_back(planned);
        call.tell_consequences();
    } else if let Some(first) = body
        .get("message")
        .filter(|first| first.is_object())
        .cloned()
    {
        let written = messages::written(call, &first)?;
        let at = crate::world::Place { kind, ..place };
        let (_, message) = messages::post(call, (thread_id, at), written, None);
        d["message"] = message;
    }
    Ok(Reply::Created(d))
}

/// The thread of the path and its guild.
fn thread<'a>(call: &'a mut Call) -> Result<(u64, &'a mut Thread), Refusal> {
    let (channel, place) = call.channel()?;
    let guild = place.guild.unwrap_or_default();
    let home = call.world().guilds.get_mut(guild);
    let thread = home.and_then(|guild| guild.threads.get_mut(channel));
    Ok((
        guild,
        thread.ok_or_else(|| Refusal::unknown(Unknown::Channel))?,
    ))
}

pub(super) fn join(call: &mut Call) -> Answer {
    change_member(call, true)
}

pub(super) fn leave(call: &mut Call) -> Answer {
    change_member(call, false)
}

fn change_member(call: &mut Call, joins: bool) -> Answer {
    let (user, now, bot) = (call.user()?, call.world().clock_ms, call.bot());
    let user_id = call.world().users[user].id;
    let (guild_id, thread) = thread(call)?;
    let thread_id = thread.id;
    if user == 0 {
        if thread.bot_joined_ms.is_some() == joins {
            return Ok(Reply::Empty);
        }
        thread.bot_joined_ms = joins.then_some(now);
    }
    thread.members = if joins {
        (thread.members + 1).min(50)
    } else {
        thread.members.saturating_sub(1)
    };
    let mut d =
        json!({"member_count": thread.members, "id": id(thread_id), "guild_id": id(guild_id)});
    let of_thread = thread.json_of_event(bot);
    let world = call.world();
    let home = world.guilds.get(guild_id);
    let member = home.and_then(|guild| guild.members.get(user_id));
    let change = if joins {
        json!({"added_members": [{
            "user_id": id(user_id),
            "presence": null,
            "member": member.map(|member| member.json(&world.users[user])),
            "join_timestamp": timestamp(now),
            "id": id(thread_id),
            "flags": 0,
        }]})
    } else {
        json!({"removed_member_ids": [id(user_id)]})
    };
    extend(&mut d, change);
    if user == 0 && joins {
        // The bot is told of a thread that it is added to.
        let created = with_guild(of_thread, guild_id);
        call.tell(Some(guild_id), "THREAD_CREATE", intents::GUILDS, &created);
    }
    let intent = intents::GUILDS | intents::GUILD_MEMBERS;
    call.tell(Some(guild_id), "THREAD_MEMBERS_UPDATE", intent, &d);
    Ok(Reply::Empty)
}

/// The world knows of the bot's membership alone.
pub(super) fn members(call: &mut Call) -> Answer {
    let bot = call.bot();
    let (_, thread) = thread(call)?;
    json(thread.member(bot).into_iter().collect::<Vec<_>>())
}

pub(super) fn member(call: &mut Call) -> Answer {
    let (user, bot) = (call.user()?, call.bot());
    let (_, thread) = thread(call)?;
    let member = thread.member(bot).filter(|_| user == 0);
    json(member.ok_or_else(|| Refusal::unknown(Unknown::Member))?)
}

pub(super) fn active(call: &mut Call) -> Answer {
    let bot = call.bot();
    let guild = call.guild()?;
    let active: Vec<&Thread> = guild
        .threads
        .values()
        .filter(|thread| thread.archived_ms.is_none())
        .collect();
    json(thread_list(guild.id, &active, bot))
}

pub(super) fn archived(call: &mut Call) -> Answer {
    let (channel, place) = call.channel()?;
    let bot = call.bot();
    let guild = place.guild.unwrap_or_default();
    let home = call.world().guilds.get(guild);
    let all = home.into_iter().flat_map(|home| home.threads.values());
    let archived = all.filter(|thread| thread.parent == channel && thread.archived_ms.is_some());
    let mut list = thread_list(guild, &archived.collect::<Vec<_>>(), bot);
    list["has_more"] = json!(false);
    json(list)
}

fn thread_list(guild: u64, threads: &[&Thread], bot: u64) -> Value {
    let objects: Vec<Value> = threads
        .iter()
        .map(|thread| with_guild(thread.json(), guild))
        .collect();
    let members: Vec<Value> = threads
        .iter()
        .filter_map(|thread| thread.member(bot))
        .collect();
    json!({"threads": objects, "members": members})
}
