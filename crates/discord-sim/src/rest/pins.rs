//! Pinned messages.

use serde_json::{Value, json};

use super::{
    call::{Answer, Call, Reply, json},
    messages::{about, named, tell_update},
    refusal::Refusal,
};
use crate::{
    protocol::snowflake::timestamp,
    world::{id, intents},
};

pub(super) fn pins(call: &mut Call) -> Answer {
    let objects = pinned(call)?;
    json(objects)
}

/// The pins with when they were pinned, as since 2025.
pub(super) fn pin_items(call: &mut Call) -> Answer {
    let objects = pinned(call)?;
    let item = |message: Value| json!({"pinned_at": message["timestamp"], "message": message});
    let items: Vec<Value> = objects.into_iter().map(item).collect();
    json(json!({"items": items, "has_more": false}))
}

fn pinned(call: &mut Call) -> Result<Vec<Value>, Refusal> {
    let (channel, place) = call.channel()?;
    let world = call.world();
    let all = world.messages_of(place.guild, channel);
    let pinned = all.into_iter().rev().filter(|message| message.pinned);
    Ok(pinned
        .map(|message| world.message_object(message))
        .collect())
}

pub(super) fn pin(call: &mut Call) -> Answer {
    set_pinned(call, true)
}

pub(super) fn unpin(call: &mut Call) -> Answer {
    set_pinned(call, false)
}

fn set_pinned(call: &mut Call, pinned: bool) -> Answer {
    let (at, message) = named(call)?;
    let now = call.world().clock_ms;
    let (channel, place) = at;
    if let Some(known) = call.world().message_mut(place.guild, channel, message) {
        known.pinned = pinned;
    }
    tell_update(call, at, message)?;
    let home = place
        .guild
        .and_then(|guild| call.world().guilds.get_mut(guild));
    let last = match home.and_then(|guild| guild.channels.get_mut(channel)) {
        Some(known) => {
            if pinned {
                known.last_pin_ms = Some(now);
            }
            known.last_pin_ms
        }
        None => pinned.then_some(now),
    };
    let d = json!({"last_pin_timestamp": last.map(timestamp), "channel_id": id(channel)});
    let intent = match place.guild {
        Some(_) => intents::GUILDS,
        None => intents::DIRECT_MESSAGES,
    };
    call.tell(place.guild, "CHANNEL_PINS_UPDATE", intent, &about(place, d));
    Ok(Reply::Empty)
}
