//! Channels.

use serde_json::{Value, json};

use super::{
    call::{Answer, Call, Reply, json},
    refusal::{Refusal, Unknown},
    threads, webhooks,
};
use crate::world::{ANNOUNCEMENT, Channel, Dm, Planned, id, intents, snowflake_of, with_guild};

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
        thread.set.set(&body, &threads::SETTABLE);
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
