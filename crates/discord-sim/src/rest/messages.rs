//! Messages: written, read, changed, deleted.

mod composing;

use serde_json::{Value, json};

use super::{
    call::{Answer, Call, Reply, ids_of, json},
    refusal::{Refusal, Unknown},
};
use crate::world::{
    ANNOUNCEMENT, LOADING, Message, Place, World, Written, extend, id, intents, with_guild,
};

pub(super) use composing::written;

use composing::merge;

/// Older messages are not deleted in bulk.
const FOURTEEN_DAYS_MS: u64 = 14 * 86_400_000;

/// Writes a message and tells of it; answers with the message object.
pub(super) fn post(
    call: &mut Call,
    (channel, place): (u64, Place),
    written: Written,
    replies_to: Option<u64>,
) -> (u64, Value) {
    let (message, told) = call.world().write(channel, place, written, replies_to);
    if let Some(told) = told {
        call.dispatch(&told);
    }
    let world = call.world();
    let object = world
        .message(place.guild, channel, message)
        .map(|message| world.message_object(message));
    (message, object.unwrap_or_default())
}

/// Changes a message as a body says and tells of it; answers with the message object.
pub(super) fn rewrite(
    call: &mut Call,
    (channel, place): (u64, Place),
    message: u64,
    body: &Value,
) -> Result<Value, Refusal> {
    let unknown = || Refusal::unknown(Unknown::Message);
    let now = call.world().clock_ms;
    let known = call
        .world()
        .message(place.guild, channel, message)
        .ok_or_else(unknown)?;
    let mut written = known.written.as_deref().cloned().unwrap_or_default();
    let was_loading = written.flags & LOADING != 0;
    merge(call, body, &mut written)?;
    written.flags &= !LOADING;
    if was_loading {
        written.kind = Some(20);
    }
    let known = call
        .world()
        .message_mut(place.guild, channel, message)
        .ok_or_else(unknown)?;
    written.nonce = None;
    known.written = Some(Box::new(written));
    if !was_loading {
        known.edited_ms = Some(now);
    }
    tell_update(call, (channel, place), message)
}

/// Tells what a message has become; answers with the message object.
pub(super) fn tell_update(
    call: &mut Call,
    (channel, place): (u64, Place),
    message: u64,
) -> Result<Value, Refusal> {
    let told = call
        .world()
        .told_of(place.guild, channel, message, "MESSAGE_UPDATE");
    if let Some(told) = told {
        call.dispatch(&told);
    }
    let world = call.world();
    let message = world.message(place.guild, channel, message);
    let message = message.ok_or_else(|| Refusal::unknown(Unknown::Message))?;
    Ok(world.message_object(message))
}

/// Deletes a message and tells of it; false if it was not known.
pub(super) fn remove(call: &mut Call, (channel, place): (u64, Place), message: u64) -> bool {
    let world = call.world();
    let whispered = world
        .message(place.guild, channel, message)
        .is_some_and(Message::is_ephemeral);
    if !world.forget_message(place.guild, channel, message) {
        return false;
    }
    if !whispered {
        let d = about(place, json!({"id": id(message), "channel_id": id(channel)}));
        call.tell(
            place.guild,
            "MESSAGE_DELETE",
            intent(place, intents::GUILD_MESSAGES),
            &d,
        );
    }
    true
}

/// The intent of an event in a guild, or of its like in direct messages.
pub(super) fn intent(place: Place, of_guilds: u64) -> u64 {
    match place.guild {
        Some(_) => of_guilds,
        // GUILD_MESSAGES, _REACTIONS and _TYPING have their counterparts three bits higher.
        None => of_guilds << 3,
    }
}

pub(super) fn about(place: Place, d: Value) -> Value {
    match place.guild {
        Some(guild) => with_guild(d, guild),
        None => d,
    }
}

pub(super) fn create(call: &mut Call) -> Answer {
    let body = call.body.json.clone();
    // The id is checked before the body, the channel after it.
    call.id("channel")?;
    let written = written(call, &body)?;
    let at = call.channel()?;
    if matches!(at.1.kind, 15 | 16) {
        let message = "Cannot send messages in a forum channel";
        return Err(Refusal::bad(40_058, message));
    }
    if !takes_messages(call.world(), at) {
        return Err(Refusal::bad(
            50_008,
            "Cannot send messages in a non-text channel",
        ));
    }
    let (_, message) = post(call, at, written, World::replied_to(&body));
    json(message)
}

fn takes_messages(world: &World, (channel, place): (u64, Place)) -> bool {
    let home = place.guild.and_then(|guild| world.guilds.get(guild));
    let known = home.and_then(|guild| guild.channels.get(channel));
    known.is_none_or(|channel| channel.takes_messages() || channel.takes_voice())
}

pub(super) fn list(call: &mut Call) -> Answer {
    let (channel, place) = call.channel()?;
    let limit = call.limit(50, 100)?;
    let (before, after, around) = (
        call.query_id("before"),
        call.query_id("after"),
        call.query_id("around"),
    );
    let world = call.world();
    let all = world.messages_of(place.guild, channel);
    let mut all: Vec<&Message> = all
        .into_iter()
        .filter(|message| !message.is_ephemeral())
        .collect();
    all.sort_by_key(|message| message.id);
    let chosen: Vec<&Message> = match (before, after, around) {
        (Some(before), _, _) => all
            .into_iter()
            .rev()
            .filter(|m| m.id < before)
            .take(limit)
            .collect(),
        (_, Some(after), _) => {
            let first = all.into_iter().filter(|m| m.id > after).take(limit);
            first.collect::<Vec<_>>().into_iter().rev().collect()
        }
        (_, _, Some(around)) => {
            let place = all.partition_point(|message| message.id < around);
            let from = place.saturating_sub(limit / 2);
            all.into_iter()
                .skip(from)
                .take(limit)
                .collect::<Vec<_>>()
                .into_iter()
                .rev()
                .collect()
        }
        _ => all.into_iter().rev().take(limit).collect(),
    };
    let objects: Vec<Value> = chosen
        .iter()
        .map(|message| world.message_object(message))
        .collect();
    json(objects)
}

/// The message of the path.
pub(super) fn named(call: &mut Call) -> Result<((u64, Place), u64), Refusal> {
    let at = call.channel()?;
    let message = call.id("message")?;
    let known = call.world().message(at.1.guild, at.0, message).is_some();
    known
        .then_some((at, message))
        .ok_or_else(|| Refusal::unknown(Unknown::Message))
}

pub(super) fn one(call: &mut Call) -> Answer {
    let ((channel, place), message) = named(call)?;
    let world = call.world();
    let message = world.message(place.guild, channel, message);
    json(message.map(|message| world.message_object(message)))
}

pub(super) fn edit(call: &mut Call) -> Answer {
    let (at, message) = named(call)?;
    let known = call.world().message(at.1.guild, at.0, message);
    if known.is_some_and(|known| known.author != 0) {
        return Err(Refusal::new(
            axum::http::StatusCode::FORBIDDEN,
            50_005,
            "Cannot edit a message authored by another user",
        ));
    }
    let body = call.body.json.clone();
    json(rewrite(call, at, message, &body)?)
}

pub(super) fn delete(call: &mut Call) -> Answer {
    let (at, message) = named(call)?;
    remove(call, at, message);
    Ok(Reply::Empty)
}

pub(super) fn delete_many(call: &mut Call) -> Answer {
    let (channel, place) = call.channel()?;
    let messages = ids_of(call, "messages")?;
    if !(2..=100).contains(&messages.len()) {
        let message = "You can only bulk delete between 2 and 100 messages.";
        return Err(Refusal::bad(50_016, message));
    }
    let oldest = call.world().clock_ms.saturating_sub(FOURTEEN_DAYS_MS);
    let sent_ms = |message: u64| (message >> 22) + crate::protocol::snowflake::EPOCH_MS;
    if messages.iter().any(|message| sent_ms(*message) < oldest) {
        let message = "A message provided was too old to bulk delete";
        return Err(Refusal::bad(50_034, message));
    }
    for message in &messages {
        call.world().forget_message(place.guild, channel, *message);
    }
    let ids: Vec<Value> = messages.into_iter().map(id).collect();
    let d = about(place, json!({"ids": ids, "channel_id": id(channel)}));
    call.tell(
        place.guild,
        "MESSAGE_DELETE_BULK",
        intent(place, intents::GUILD_MESSAGES),
        &d,
    );
    Ok(Reply::Empty)
}

pub(super) fn crosspost(call: &mut Call) -> Answer {
    let (at, message) = named(call)?;
    if at.1.kind != ANNOUNCEMENT {
        let message = "Cannot execute action on this channel type";
        return Err(Refusal::bad(50_024, message));
    }
    let known = call.world().message(at.1.guild, at.0, message);
    let written = known.and_then(|known| known.written.as_ref());
    if written.is_some_and(|written| written.flags & 1 != 0) {
        let message = "This message has already been crossposted.";
        return Err(Refusal::bad(40_033, message));
    }
    if let Some(known) = call.world().message_mut(at.1.guild, at.0, message) {
        known.written.get_or_insert_default().flags |= 1;
    }
    json(tell_update(call, at, message)?)
}

pub(super) fn type_in(call: &mut Call) -> Answer {
    let (channel, place) = call.channel()?;
    let world = call.world();
    let bot = &world.users[0];
    let mut d = json!({
        "user_id": id(bot.id), "timestamp": world.clock_ms / 1_000, "channel_id": id(channel),
    });
    if let Some(guild) = place.guild.and_then(|guild| world.guilds.get(guild)) {
        let member = guild.members.get(bot.id).map(|member| member.json(bot));
        extend(&mut d, json!({"member": member, "guild_id": id(guild.id)}));
    }
    call.tell(
        place.guild,
        "TYPING_START",
        intent(place, intents::GUILD_MESSAGE_TYPING),
        &d,
    );
    Ok(Reply::Empty)
}

pub(super) fn expire_poll(call: &mut Call) -> Answer {
    let (at, message) = named(call)?;
    let known = call.world().message_mut(at.1.guild, at.0, message);
    if let Some(written) = known.and_then(|known| known.written.as_mut())
        && let Some(poll) = &mut written.poll
    {
        poll["results"]["is_finalized"] = json!(true);
    }
    json(tell_update(call, at, message)?)
}

/// Who voted for one answer.
pub(super) fn voters(call: &mut Call) -> Answer {
    let (limit, after) = (call.limit(25, 100)?, call.query_id("after").unwrap_or(0));
    let ((channel, place), message) = named(call)?;
    let answer = call.id("answer")?;
    let world = call.world();
    let votes = world.message(place.guild, channel, message);
    let votes = votes.into_iter().flat_map(|message| &message.votes);
    let mut users: Vec<u64> = votes
        .filter(|(user, choice)| u64::from(*choice) == answer && *user > after)
        .map(|(user, _)| *user)
        .collect();
    users.sort_unstable();
    let user = |user: &u64| Some(world.users[world.user(*user)?].json());
    let users: Vec<_> = users.iter().filter_map(user).take(limit).collect();
    json(json!({"users": users}))
}

/// The guild's messages that the query fits, the newest first.
pub(super) fn search(call: &mut Call) -> Answer {
    let limit = call.limit(25, 25)?;
    let number = |name: &str| call.query_id(name);
    let (offset, below, above) = (number("offset"), number("max_id"), number("min_id"));
    let content = call.query("content").unwrap_or_default().to_lowercase();
    let all = |name: &str| {
        let named = call.query.iter().filter(|(known, _)| known == name);
        named.map(|(_, id)| id.clone()).collect::<Vec<_>>()
    };
    let (channels, authors) = (all("channel_id"), all("author_id"));
    let rises = call.query("sort_order") == Some("asc");
    let guild = call.guild()?.id;
    let world = call.world();
    let home = world.guilds.get(guild);
    let messages = home.into_iter().flat_map(|home| &home.messages);
    let objects = messages
        .filter(|message| !message.is_ephemeral())
        .filter(|message| below.is_none_or(|id| message.id < id))
        .filter(|message| above.is_none_or(|id| message.id > id))
        .map(|message| (message.id, world.message_object(message)));
    let listed = |list: &[String], id: &Value| list.is_empty() || list.iter().any(|one| id == one);
    let mut found: Vec<(u64, Value)> = objects
        .filter(|(_, object)| {
            let text = object["content"].as_str().unwrap_or_default();
            text.to_lowercase().contains(&content)
                && listed(&channels, &object["channel_id"])
                && listed(&authors, &object["author"]["id"])
        })
        .collect();
    found.sort_by_key(|(id, _)| if rises { *id } else { u64::MAX - *id });
    let total = found.len();
    let from = offset
        .and_then(|offset| usize::try_from(offset).ok())
        .unwrap_or(0);
    let page = found.into_iter().skip(from).take(limit);
    let messages: Vec<Value> = page
        .map(|(_, mut object)| {
            if let Some(fields) = object.as_object_mut() {
                fields.shift_remove("reactions");
            }
            json!([object])
        })
        .collect();
    json(json!({
        "doing_deep_historical_index": false, "total_results": total, "messages": messages,
    }))
}
