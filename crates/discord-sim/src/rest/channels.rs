//! Channels and threads.

use serde_json::{Value, json};

use super::{
    call::{Answer, Call, Reply, json},
    messages,
    refusal::{Refusal, Unknown},
    webhooks,
};
use crate::{
    protocol::snowflake::timestamp,
    world::{
        ANNOUNCEMENT, Channel, Dm, Planned, Thread, extend, id, intents, snowflake_of, with_guild,
    },
};

/// What a request may set of a channel.
const SETTABLE: [&str; 19] = [
    "name",
    "topic",
    "nsfw",
    "rate_limit_per_user",
    "bitrate",
    "user_limit",
    "permission_overwrites",
    "parent_id",
    "rtc_region",
    "video_quality_mode",
    "default_auto_archive_duration",
    "flags",
    "available_tags",
    "default_reaction_emoji",
    "default_thread_rate_limit_per_user",
    "default_sort_order",
    "default_forum_layout",
    "position",
    "type",
];
/// What a request may set of a thread.
const THREAD_SETTABLE: [&str; 4] = ["name", "rate_limit_per_user", "flags", "applied_tags"];

pub(super) fn one(call: &mut Call) -> Answer {
    let (channel, place) = call.channel()?;
    let world = call.world();
    let Some(guild) = place.guild.and_then(|guild| world.guilds.get(guild)) else {
        let dm = world.dms.iter().find(|dm| dm.channel == channel);
        return json(
            dm.map(|dm| dm_channel(dm.channel, &json!(world.users[dm.user as usize].json()))),
        );
    };
    let bot = world.users[0].id;
    let object = match guild.threads.get(channel) {
        Some(thread) => Some(thread.json_of_event(bot)),
        None => guild
            .channels
            .get(channel)
            .map(|channel| channel.json(guild.id)),
    };
    json(object.map(|object| with_guild(object, guild.id)))
}

fn dm_channel(channel: u64, recipient: &Value) -> Value {
    json!({"id": id(channel), "type": 1, "flags": 0, "last_message_id": null, "recipients": [recipient]})
}

/// A direct message channel with a user: the one there is, or a new one.
pub(super) fn open_dm(call: &mut Call) -> Answer {
    let recipient = call.fields()?.get("recipient_id").and_then(snowflake_of);
    let recipient = recipient.ok_or_else(|| Refusal::required("recipient_id"))?;
    let place = call.world().user(recipient).filter(|place| *place != 0);
    let place = place.ok_or_else(|| Refusal::bad(50_033, "Invalid Recipient(s)"))?;
    let world = call.world();
    let user = u32::try_from(place).unwrap_or(u32::MAX);
    let known = world
        .dms
        .iter()
        .find(|dm| dm.user == user)
        .map(|dm| dm.channel);
    let channel = match known {
        Some(channel) => channel,
        None => {
            let channel = world.next_id();
            world.dms.push(Dm { channel, user });
            channel
        }
    };
    json(dm_channel(channel, &json!(world.users[place].json())))
}

pub(super) fn of_guild(call: &mut Call) -> Answer {
    let guild = call.guild()?;
    let object = |channel: &Channel| with_guild(channel.json(guild.id), guild.id);
    json(guild.channels.values().map(object).collect::<Vec<_>>())
}

pub(super) fn create(call: &mut Call) -> Answer {
    call.required("name", (1, 100))?;
    let guild_id = call.guild()?.id;
    let channel_id = call.world().next_id();
    let body = call.fields()?.clone();
    let number = |name: &str| body.get(name).and_then(Value::as_u64);
    let kind = number("type")
        .and_then(|kind| u8::try_from(kind).ok())
        .unwrap_or(0);
    if !matches!(kind, 0 | 2 | 4 | 5 | 13 | 15 | 16) {
        let message = format!("Value must be one of {{0, 2, 4, 5, 13, 15, 16}}, not {kind}.");
        return Err(Refusal::form("type", "BASE_TYPE_CHOICES", &message));
    }
    let guild = call.guild()?;
    let position = number("position").unwrap_or(guild.channels.len() as u64);
    let mut channel = Channel {
        id: channel_id,
        kind,
        position: u16::try_from(position).unwrap_or(0),
        parent: body.get("parent_id").and_then(snowflake_of),
        ..Channel::default()
    };
    channel.set.set(&body, &SETTABLE);
    let d = with_guild(channel.json(guild_id), guild_id);
    guild.channels.insert(channel_id, channel);
    call.tell(Some(guild_id), "CHANNEL_CREATE", intents::GUILDS, &d);
    Ok(Reply::Created(d))
}

pub(super) fn reorder(call: &mut Call) -> Answer {
    let guild_id = call.guild()?.id;
    let entries = call.body.json.as_array().cloned().unwrap_or_default();
    for entry in entries {
        let Some(channel) = snowflake_of(&entry["id"]) else {
            continue;
        };
        let Some(fields) = entry.as_object() else {
            continue;
        };
        let Some(known) = call.guild()?.channels.get_mut(channel) else {
            continue;
        };
        known.set.set(fields, &["position", "parent_id"]);
        let d = with_guild(known.json(guild_id), guild_id);
        call.tell(Some(guild_id), "CHANNEL_UPDATE", intents::GUILDS, &d);
    }
    Ok(Reply::Empty)
}

pub(super) fn edit(call: &mut Call) -> Answer {
    let (channel, place) = call.channel()?;
    let body = call.fields()?.clone();
    let Some(guild_id) = place.guild else {
        return one(call);
    };
    let (bot, now) = (call.bot(), call.world().clock_ms);
    let Some(guild) = call.world().guilds.get_mut(guild_id) else {
        return Err(Refusal::unknown(Unknown::Channel));
    };
    if let Some(thread) = guild.threads.get_mut(channel) {
        thread.set.set(&body, &THREAD_SETTABLE);
        if let Some(archived) = body.get("archived").and_then(Value::as_bool) {
            thread.archived_ms = archived.then_some(now);
        }
        if let Some(locked) = body.get("locked").and_then(Value::as_bool) {
            thread.locked = locked;
        }
        let d = with_guild(thread.json_of_event(bot), guild_id);
        call.tell(Some(guild_id), "THREAD_UPDATE", intents::GUILDS, &d);
        return json(d);
    }
    let known = guild.channels.get_mut(channel);
    let known = known.ok_or_else(|| Refusal::unknown(Unknown::Channel))?;
    known.set.set(&body, &SETTABLE);
    let d = with_guild(known.json(guild_id), guild_id);
    call.tell(Some(guild_id), "CHANNEL_UPDATE", intents::GUILDS, &d);
    json(d)
}

pub(super) fn delete(call: &mut Call) -> Answer {
    let (channel, place) = call.channel()?;
    let answer = one(call)?;
    let Some(guild) = place.guild else {
        return Ok(answer);
    };
    let home = call.world().guilds.get(guild);
    let is_thread = home.is_some_and(|home| home.threads.contains(channel));
    let below = home.into_iter().flat_map(|home| home.threads.values());
    let below: Vec<u64> = below
        .filter(|thread| thread.parent == channel)
        .map(|thread| thread.id)
        .collect();
    let speakers = home.into_iter().flat_map(|home| home.voices.iter());
    let speakers: Vec<u64> = speakers
        .filter(|(_, voice)| voice.channel == channel)
        .map(|(user, _)| user)
        .collect();
    let agenda = &mut call.world().agenda;
    if is_thread {
        agenda.push_back(Planned::DeleteThread {
            guild,
            thread: channel,
        });
    } else {
        agenda.extend(
            below
                .into_iter()
                .map(|thread| Planned::DeleteThread { guild, thread }),
        );
        agenda.push_back(Planned::DeleteChannel { guild, channel });
    }
    call.tell_consequences();
    for user in speakers {
        super::members::leave_call(call, guild, user);
    }
    Ok(answer)
}

pub(super) fn set_overwrite(call: &mut Call) -> Answer {
    let (target, body) = (call.id("overwrite")?, call.fields()?.clone());
    let text = |name: &str| match body.get(name) {
        Some(Value::String(text)) => text.clone(),
        Some(Value::Number(number)) => number.to_string(),
        _ => "0".to_owned(),
    };
    let overwrite = json!({
        "id": id(target), "type": body.get("type").cloned().unwrap_or(json!(0)),
        "allow": text("allow"), "deny": text("deny"),
    });
    change_overwrites(call, target, Some(overwrite))
}

pub(super) fn delete_overwrite(call: &mut Call) -> Answer {
    let target = call.id("overwrite")?;
    change_overwrites(call, target, None)
}

fn change_overwrites(call: &mut Call, target: u64, overwrite: Option<Value>) -> Answer {
    let (channel, place) = call.channel()?;
    let guild_id = place.guild.unwrap_or_default();
    let home = call.world().guilds.get_mut(guild_id);
    let known = home.and_then(|guild| guild.channels.get_mut(channel));
    let known = known.ok_or_else(|| Refusal::unknown(Unknown::Channel))?;
    let object = known.json(guild_id);
    let mut all = object["permission_overwrites"]
        .as_array()
        .cloned()
        .unwrap_or_default();
    all.retain(|known| known["id"] != id(target));
    all.extend(overwrite);
    let body = json!({"permission_overwrites": all});
    if let Some(body) = body.as_object() {
        known.set.set(body, &["permission_overwrites"]);
    }
    let d = with_guild(known.json(guild_id), guild_id);
    call.tell(Some(guild_id), "CHANNEL_UPDATE", intents::GUILDS, &d);
    Ok(Reply::Empty)
}

/// Starts a thread: from a message, by itself, or as a post with a message in it.
pub(super) fn start_thread(call: &mut Call) -> Answer {
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
    thread.set.set(&body, &THREAD_SETTABLE);
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

pub(super) fn join_thread(call: &mut Call) -> Answer {
    change_thread_member(call, true)
}

pub(super) fn leave_thread(call: &mut Call) -> Answer {
    change_thread_member(call, false)
}

fn change_thread_member(call: &mut Call, joins: bool) -> Answer {
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
pub(super) fn thread_members(call: &mut Call) -> Answer {
    let bot = call.bot();
    let (_, thread) = thread(call)?;
    json(thread.member(bot).into_iter().collect::<Vec<_>>())
}

pub(super) fn thread_member(call: &mut Call) -> Answer {
    let (user, bot) = (call.user()?, call.bot());
    let (_, thread) = thread(call)?;
    let member = thread.member(bot).filter(|_| user == 0);
    json(member.ok_or_else(|| Refusal::unknown(Unknown::Member))?)
}

pub(super) fn active_threads(call: &mut Call) -> Answer {
    let bot = call.bot();
    let guild = call.guild()?;
    let active: Vec<&Thread> = guild
        .threads
        .values()
        .filter(|thread| thread.archived_ms.is_none())
        .collect();
    json(thread_list(guild.id, &active, bot))
}

pub(super) fn archived_threads(call: &mut Call) -> Answer {
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

/// An announcement channel's messages go to another channel, by a webhook there.
pub(super) fn follow(call: &mut Call) -> Answer {
    let (channel, place) = call.channel()?;
    if place.kind != ANNOUNCEMENT {
        let message = "Cannot execute action on this channel type";
        return Err(Refusal::bad(50_024, message));
    }
    let target = call.fields()?.get("webhook_channel_id");
    let target = target.ok_or_else(|| Refusal::required("webhook_channel_id"))?;
    let target = snowflake_of(target).unwrap_or_default();
    let guild = call.world().place(target).and_then(|place| place.guild);
    let guild = guild.ok_or_else(|| Refusal::unknown(Unknown::Channel))?;
    webhooks::follow(call, channel, (guild, target))
}

/// Changes what a voice channel shows.
pub(super) fn set_voice_status(call: &mut Call) -> Answer {
    let (channel, place) = call.channel()?;
    let status = call.fields()?.get("status").cloned().unwrap_or_default();
    let guild = place.guild.unwrap_or_default();
    let d = json!({"status": status, "id": id(channel), "guild_id": id(guild)});
    call.tell(
        place.guild,
        "VOICE_CHANNEL_STATUS_UPDATE",
        intents::GUILDS,
        &d,
    );
    Ok(Reply::Empty)
}

/// Groups are not for bots: no channel of theirs is one.
pub(super) fn recipient(call: &mut Call) -> Answer {
    call.channel()?;
    Err(Refusal::bad(
        50_024,
        "Cannot execute action on this channel type",
    ))
}

/// Plays a sound in the voice channel that the bot is in.
pub(super) fn send_sound(call: &mut Call) -> Answer {
    let (channel, place) = call.channel()?;
    let sound = call.fields()?.get("sound_id").and_then(snowflake_of);
    let sound = sound.ok_or_else(|| Refusal::required("sound_id"))?;
    let (bot, source) = (
        call.bot(),
        snowflake_of(&call.body.json["source_guild_id"]).or(place.guild),
    );
    let world = call.world();
    let home = place.guild.and_then(|guild| world.guilds.get(guild));
    let voice = home.and_then(|guild| guild.voices.get(bot));
    if voice.is_none_or(|voice| voice.channel != channel) {
        return Err(Refusal::bad(
            50_167,
            "Cannot send voice effect when user is not in the voice channel",
        ));
    }
    let source = source.and_then(|guild| world.guilds.get(guild));
    let known = source.and_then(|guild| guild.sounds.get(sound));
    if known.is_none() {
        return Err(Refusal::unknown(Unknown::Sound));
    }
    let d = json!({
        "user_id": id(bot), "sound_volume": 1.0, "sound_id": id(sound), "emoji": null, "channel_id": id(channel),
        "guild_id": place.guild.map(id),
    });
    let intent = intents::GUILD_VOICE_STATES;
    call.tell(place.guild, "VOICE_CHANNEL_EFFECT_SEND", intent, &d);
    Ok(Reply::Empty)
}
