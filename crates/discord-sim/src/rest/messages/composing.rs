//! What a body says of a message, checked as Discord does.

use serde_json::{Value, json};

use crate::{
    protocol::snowflake::timestamp,
    rest::{
        call::{Call, ids},
        refusal::Refusal,
    },
    world::{EPHEMERAL, Fields, LOADING, Written, id, snowflake_of},
};

/// Longest content (characters).
const MAX_CONTENT: usize = 2_000;
/// Most embeds, and most files.
const MAX_EMBEDS: usize = 10;
/// Most fields of an embed.
const MAX_FIELDS: usize = 25;
/// Most characters in all embeds of a message.
const MAX_EMBEDDED: usize = 6_000;
/// Flag of a message whose previews are suppressed, whose notification is, and which is made of components.
const SETTABLE: u64 = 1 << 2 | EPHEMERAL as u64 | 1 << 12 | 1 << 15;
const COMPONENTS_V2: u32 = 1 << 15;

/// What a body says, checked as Discord does.
pub(in crate::rest) fn written(call: &mut Call, body: &Value) -> Result<Written, Refusal> {
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
pub(super) fn merge(call: &mut Call, body: &Value, written: &mut Written) -> Result<(), Refusal> {
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
    let mut sum = 0;
    for (place, embed) in list.iter().enumerate() {
        sum += embed_length(&format!("embeds.{place}"), embed)?;
    }
    if sum > MAX_EMBEDDED {
        let message = "Embed size exceeds maximum size of 6000";
        return Err(Refusal::form("embeds", "MAX_EMBED_SIZE_EXCEEDED", message));
    }
    let embed = |embed: &Value| {
        let mut embed = embed.clone();
        if let Some(fields) = embed.as_object_mut() {
            fields.retain(|_, value| !value.is_null());
            fields.insert("type".to_owned(), json!("rich"));
        }
        embed
    };
    Ok(list.iter().map(embed).collect())
}

/// Checks an embed; returns how many of its characters count.
fn embed_length(at: &str, embed: &Value) -> Result<usize, Refusal> {
    let mut sum = optional_length(at, embed, "title", 256)?;
    sum += optional_length(at, embed, "description", 4_096)?;
    for (object, name, most) in [("footer", "text", 2_048), ("author", "name", 256)] {
        if embed[object].is_object() {
            sum += length(&format!("{at}.{object}"), &embed[object], name, most)?;
        }
    }
    let fields = embed["fields"].as_array().map_or(&[][..], Vec::as_slice);
    if fields.len() > MAX_FIELDS {
        let message = format!("Must be {MAX_FIELDS} or fewer in length.");
        let field = format!("{at}.fields");
        return Err(Refusal::form(&field, "BASE_TYPE_MAX_LENGTH", &message));
    }
    for (place, field) in fields.iter().enumerate() {
        let at = format!("{at}.fields.{place}");
        sum += length(&at, field, "name", 256)? + length(&at, field, "value", 1_024)?;
    }
    Ok(sum)
}

/// The length of a text that must be there.
fn length(at: &str, object: &Value, name: &str, most: usize) -> Result<usize, Refusal> {
    match optional_length(at, object, name, most)? {
        0 => Err(Refusal::required(&format!("{at}.{name}"))),
        length => Ok(length),
    }
}

/// The length of a text without the white space around it, which does not count.
fn optional_length(at: &str, object: &Value, name: &str, most: usize) -> Result<usize, Refusal> {
    let text = match &object[name] {
        Value::String(text) => text.trim().chars().count(),
        // Other types are converted.
        Value::Null => 0,
        other => other.to_string().chars().count(),
    };
    if text > most {
        let message = format!("Must be {most} or fewer in length.");
        let field = format!("{at}.{name}");
        return Err(Refusal::form(&field, "BASE_TYPE_MAX_LENGTH", &message));
    }
    Ok(text)
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
