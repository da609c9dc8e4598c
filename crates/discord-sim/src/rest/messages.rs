//! Messages: written, read, changed, reacted to, pinned.

use serde_json::{Value, json};

use super::{
    call::{Answer, Call, Reply, ids, ids_of, json},
    refusal::{Refusal, Unknown},
};
use crate::{
    protocol::snowflake::timestamp,
    world::{
        EPHEMERAL, Fields, LOADING, Message, Place, Reaction, World, Written, extend, id, intents,
        snowflake_of, with_guild,
    },
};

/// Longest content (characters).
const MAX_CONTENT: usize = 2_000;
/// Most embeds, and most files.
const MAX_EMBEDS: usize = 10;
/// Flag of a message whose previews are suppressed, whose notification is, and which is made of components.
const SETTABLE: u64 = 1 << 2 | EPHEMERAL as u64 | 1 << 12 | 1 << 15;
const COMPONENTS_V2: u32 = 1 << 15;
/// Most different emojis on one message.
const REACTIONS: usize = 20;
const FOURTEEN_DAYS_MS: u64 = 14 * 86_400_000;

/// What a body says, checked as Discord does.
pub(super) fn written(call: &mut Call, body: &Value) -> Result<Written, Refusal> {
    let mut written = Written::default();
    merge(call, body, &mut written)?;
    let has_poll = written.poll.is_some();
    let is_empty = written.content.is_empty()
        && written.embeds.is_empty()
        && written.attachments.is_empty()
        && written.sticker_items.is_empty()
        && written.components.as_array().is_none_or(Vec::is_empty);
    if is_empty && !has_poll && written.flags & LOADING == 0 {
        return Err(Refusal::bad(50_006, "Cannot send an empty message"));
    }
    Ok(written)
}

/// Takes over the fields of a body that are there.
fn merge(call: &mut Call, body: &Value, written: &mut Written) -> Result<(), Refusal> {
    let invalid = || Refusal::bad(50_109, "The request body contains invalid JSON.");
    let none = Fields::new();
    let fields = match body {
        Value::Null if !call.body.files.is_empty() => &none,
        body => body.as_object().ok_or_else(invalid)?,
    };
    if let Some(content) = fields.get("content") {
        written.content = match content {
            Value::Null => String::new(),
            Value::String(text) => text.clone(),
            _ => {
                let message = "Could not interpret as string.";
                return Err(Refusal::form("content", "STRING_TYPE_CONVERT", message));
            }
        };
        if written.content.chars().count() > MAX_CONTENT {
            let message = "Must be 2000 or fewer in length.";
            return Err(Refusal::form("content", "BASE_TYPE_MAX_LENGTH", message));
        }
        written.mentions = call.world().mentioned(&written.content);
    }
    if let Some(embeds) = fields.get("embeds") {
        written.embeds = embeds_of(embeds)?;
    }
    if let Some(components) = fields.get("components") {
        written.components = with_component_ids(components.clone());
    } else if written.components.is_null() {
        written.components = json!([]);
    }
    let listed = fields.get("attachments").filter(|list| list.is_array());
    if listed.is_some() || !call.body.files.is_empty() {
        written.attachments = attachments(call, listed, &written.attachments);
    }
    if let Some(stickers) = ids(fields, "sticker_ids") {
        let item = |sticker: &u64| json!({"id": id(*sticker), "name": "sticker", "format_type": 1});
        written.sticker_items = stickers.iter().map(item).collect();
    }
    if let Some(nonce) = fields.get("nonce").filter(|nonce| !nonce.is_null()) {
        written.nonce = Some(nonce.clone());
    }
    if let Some(flags) = fields.get("flags").and_then(Value::as_u64) {
        let kept = written.flags & !(SETTABLE as u32);
        written.flags = kept | u32::try_from(flags & SETTABLE).unwrap_or(0);
    }
    written.tts |= fields.get("tts") == Some(&Value::Bool(true));
    if let Some(poll) = fields.get("poll").filter(|poll| poll.is_object()) {
        written.poll = Some(poll_of(call, poll));
    }
    if written.flags & COMPONENTS_V2 != 0 && !written.content.is_empty() {
        let message = "The 'content' field cannot be used when using MessageFlags.IS_COMPONENTS_V2";
        return Err(Refusal::form(
            "content",
            "MESSAGE_CANNOT_USE_LEGACY_FIELDS_WITH_COMPONENTS_V2",
            message,
        ));
    }
    Ok(())
}

fn embeds_of(embeds: &Value) -> Result<Vec<Value>, Refusal> {
    let list = match embeds {
        Value::Null => return Ok(Vec::new()),
        Value::Array(list) => list,
        _ => {
            return Err(Refusal::form(
                "embeds",
                "LIST_TYPE_CONVERT",
                "Only iterables may be used in a ListType",
            ));
        }
    };
    if list.len() > MAX_EMBEDS {
        let message = "Must be 10 or fewer in length.";
        return Err(Refusal::form("embeds", "BASE_TYPE_MAX_LENGTH", message));
    }
    let embed = |(place, embed): (usize, &Value)| {
        for (field, most) in [("title", 256), ("description", 4_096)] {
            if embed[field]
                .as_str()
                .is_some_and(|text| text.chars().count() > most)
            {
                let message = format!("Must be {most} or fewer in length.");
                return Err(Refusal::form(
                    &format!("embeds.{place}.{field}"),
                    "BASE_TYPE_MAX_LENGTH",
                    &message,
                ));
            }
        }
        let mut embed = embed.clone();
        if let Some(fields) = embed.as_object_mut() {
            fields.retain(|_, value| !value.is_null());
            fields.insert("type".to_owned(), json!("rich"));
        }
        Ok(embed)
    };
    list.iter().enumerate().map(embed).collect()
}

/// Discord numbers the components that have no number.
fn with_component_ids(mut components: Value) -> Value {
    fn number(list: &mut Value, next: &mut u64) {
        for component in list.as_array_mut().into_iter().flatten() {
            if component.is_object() && component.get("id").is_none_or(Value::is_null) {
                component["id"] = json!(*next);
            }
            *next += 1;
            if let Some(inner) = component.get_mut("components") {
                number(inner, next);
            }
        }
    }
    number(&mut components, &mut 1);
    components
}

/// The attachments that a body keeps, and those that came with it.
fn attachments(call: &mut Call, listed: Option<&Value>, before: &[Value]) -> Vec<Value> {
    let listed: &[Value] = listed.and_then(Value::as_array).map_or(&[], Vec::as_slice);
    let is_listed = |known: &&Value| listed.iter().any(|entry| entry["id"] == known["id"]);
    let mut all: Vec<Value> = before.iter().filter(is_listed).cloned().collect();
    let channel = call.text("channel").to_owned();
    for file in std::mem::take(&mut call.body.files) {
        let number = |entry: &&Value| {
            let number = snowflake_of(&entry["id"]);
            number == Some(file.number)
        };
        let entry = listed.iter().find(number);
        let name = entry
            .and_then(|entry| entry["filename"].as_str())
            .unwrap_or(&file.name);
        let attachment = call.world().next_id();
        let url = format!("https://cdn.discordapp.com/attachments/{channel}/{attachment}/{name}");
        let mut object = json!({
            "id": id(attachment),
            "filename": name,
            "size": file.size,
            "url": url,
            "proxy_url": url.replace("cdn.discordapp.com", "media.discordapp.net"),
            "content_type": file.content_type,
            "content_scan_version": 0,
        });
        if let Some(description) = entry
            .map(|entry| &entry["description"])
            .filter(|d| d.is_string())
        {
            object["description"] = description.clone();
        }
        all.push(object);
    }
    all
}

fn poll_of(call: &mut Call, body: &Value) -> Value {
    let hours = body["duration"].as_u64().unwrap_or(24);
    let answer = |(place, answer): (usize, &Value)| json!({"answer_id": place + 1, "poll_media": answer["poll_media"]});
    let answers = body["answers"].as_array().into_iter().flatten();
    let answers: Vec<Value> = answers.enumerate().map(answer).collect();
    let expiry = timestamp(call.world().clock_ms + hours * 3_600_000);
    json!({
        "question": body["question"],
        "answers": answers,
        "expiry": expiry,
        "allow_multiselect": body["allow_multiselect"].as_bool().unwrap_or(false),
        "layout_type": 1,
        "results": {"is_finalized": false, "answer_counts": []},
    })
}

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
fn tell_update(
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
fn intent(place: Place, of_guilds: u64) -> u64 {
    match place.guild {
        Some(_) => of_guilds,
        // GUILD_MESSAGES, _REACTIONS and _TYPING have their counterparts three bits higher.
        None => of_guilds << 3,
    }
}

fn about(place: Place, d: Value) -> Value {
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
fn named(call: &mut Call) -> Result<((u64, Place), u64), Refusal> {
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

/// The emoji of the path: `name:id`, or the emoji itself.
fn emoji(call: &Call) -> Result<Value, Refusal> {
    let text = call.text("emoji");
    match text.rsplit_once(':') {
        Some((name, number)) => match number.parse::<u64>() {
            Ok(number) => Ok(json!({"name": name.trim_start_matches("a:"), "id": id(number)})),
            Err(_) => Err(Refusal::unknown(Unknown::Emoji)),
        },
        // Letters are no emoji.
        None if text
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() && !byte.is_ascii_digit()) =>
        {
            Err(Refusal::unknown(Unknown::Emoji))
        }
        None => Ok(json!({"name": text, "id": null})),
    }
}

fn same_emoji(one: &Value, other: &Value) -> bool {
    match (&one["id"], &other["id"]) {
        (Value::Null, Value::Null) => one["name"] == other["name"],
        (one, other) => one == other,
    }
}

fn reaction_event(message: &Message, place: Place, emoji: &Value, user: Option<u64>) -> Value {
    let mut d =
        json!({"channel_id": id(message.channel), "message_id": id(message.id), "emoji": emoji});
    if let Some(user) = user {
        extend(
            &mut d,
            json!({"user_id": id(user), "type": 0, "burst": false}),
        );
    }
    about(place, d)
}

pub(super) fn react(call: &mut Call) -> Answer {
    let ((channel, place), message) = named(call)?;
    let emoji = emoji(call)?;
    let world = call.world();
    let bot = world.users[0].id;
    let Some(known) = world.message_mut(place.guild, channel, message) else {
        return Err(Refusal::unknown(Unknown::Message));
    };
    let is_full = known.reactions.len() >= REACTIONS;
    let found = known
        .reactions
        .iter_mut()
        .find(|reaction| same_emoji(&reaction.emoji, &emoji));
    match found {
        Some(reaction) if reaction.me => return Ok(Reply::Empty),
        Some(reaction) => (reaction.count, reaction.me) = (reaction.count + 1, true),
        None if is_full => {
            return Err(Refusal::bad(
                30_010,
                "Maximum number of reactions reached (20)",
            ));
        }
        None => known.reactions.push(Reaction {
            emoji: emoji.clone(),
            count: 1,
            me: true,
        }),
    }
    let mut d = reaction_event(known, place, &emoji, Some(bot));
    let author = known.author as usize;
    d["message_author_id"] = id(world.users[author].id);
    if let Some(guild) = place.guild.and_then(|guild| world.guilds.get(guild)) {
        d["member"] = json!(
            guild
                .members
                .get(bot)
                .map(|member| member.json(&world.users[0]))
        );
    }
    let intent = intent(place, intents::GUILD_MESSAGE_REACTIONS);
    call.tell(place.guild, "MESSAGE_REACTION_ADD", intent, &d);
    Ok(Reply::Empty)
}

/// Removes the bot's reaction, or another user's.
pub(super) fn unreact(call: &mut Call) -> Answer {
    let ((channel, place), message) = named(call)?;
    let emoji = emoji(call)?;
    let user = call.user()?;
    let world = call.world();
    let user_id = world.users[user].id;
    let Some(known) = world.message_mut(place.guild, channel, message) else {
        return Err(Refusal::unknown(Unknown::Message));
    };
    let found = known.reactions.iter_mut().find(|reaction| {
        same_emoji(&reaction.emoji, &emoji)
            && if user == 0 {
                reaction.me
            } else {
                reaction.count > u32::from(reaction.me)
            }
    });
    let Some(reaction) = found else {
        return Ok(Reply::Empty);
    };
    reaction.count -= 1;
    reaction.me &= user != 0;
    known.reactions.retain(|reaction| reaction.count > 0);
    let d = reaction_event(known, place, &emoji, Some(user_id));
    let intent = intent(place, intents::GUILD_MESSAGE_REACTIONS);
    call.tell(place.guild, "MESSAGE_REACTION_REMOVE", intent, &d);
    Ok(Reply::Empty)
}

pub(super) fn clear_reactions(call: &mut Call) -> Answer {
    let ((channel, place), message) = named(call)?;
    if let Some(known) = call.world().message_mut(place.guild, channel, message) {
        known.reactions.clear();
    }
    let d = about(
        place,
        json!({"channel_id": id(channel), "message_id": id(message)}),
    );
    let intent = intent(place, intents::GUILD_MESSAGE_REACTIONS);
    call.tell(place.guild, "MESSAGE_REACTION_REMOVE_ALL", intent, &d);
    Ok(Reply::Empty)
}

pub(super) fn clear_emoji(call: &mut Call) -> Answer {
    let ((channel, place), message) = named(call)?;
    let emoji = emoji(call)?;
    if let Some(known) = call.world().message_mut(place.guild, channel, message) {
        known
            .reactions
            .retain(|reaction| !same_emoji(&reaction.emoji, &emoji));
        let d = reaction_event(known, place, &emoji, None);
        let intent = intent(place, intents::GUILD_MESSAGE_REACTIONS);
        call.tell(place.guild, "MESSAGE_REACTION_REMOVE_EMOJI", intent, &d);
    }
    Ok(Reply::Empty)
}

/// Who reacted. The world remembers how many, not who: the bot, and then users as they come.
pub(super) fn reactors(call: &mut Call) -> Answer {
    let ((channel, place), message) = named(call)?;
    let emoji = emoji(call)?;
    let limit = call.limit(25, 100)?;
    let world = call.world();
    let known = world.message(place.guild, channel, message);
    let reaction = known.and_then(|m| m.reactions.iter().find(|r| same_emoji(&r.emoji, &emoji)));
    let (count, me) = reaction.map_or((0, false), |reaction| {
        (reaction.count as usize, reaction.me)
    });
    let skipped = usize::from(!me);
    let users = world.users.iter().skip(skipped).take(count.min(limit));
    json(users.map(|user| user.json()).collect::<Vec<_>>())
}

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
