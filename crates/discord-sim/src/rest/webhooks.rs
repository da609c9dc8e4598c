//! Webhooks, and the messages of webhooks and interactions.

use serde_json::{Value, json};

use super::{
    call::{Answer, Call, Reply, json},
    interactions, messages,
    refusal::{Refusal, Unknown},
};
use crate::world::{Family, Place, id, image, intents, scramble, snowflake_of};

/// The webhook of the path; with a token in the path, only if that is right.
fn named(call: &mut Call) -> Result<(u64, Value), Refusal> {
    let (webhook, token) = (call.id("webhook")?, call.text("token").to_owned());
    let is_it = |known: &Value| {
        snowflake_of(&known["id"]) == Some(webhook)
            && (token.is_empty() || known["token"] == token.as_str())
    };
    let found = call.world().documents.search(Family::Webhook, is_it);
    let found = found.map(|(guild, webhook)| (guild, webhook.clone()));
    found.ok_or_else(|| Refusal::unknown(Unknown::Webhook))
}

fn tell(call: &mut Call, guild: u64, channel: &Value) {
    let d = json!({"guild_id": id(guild), "channel_id": channel});
    call.tell(Some(guild), "WEBHOOKS_UPDATE", intents::GUILD_WEBHOOKS, &d);
}

pub(super) fn create(call: &mut Call) -> Answer {
    let (channel, place) = call.channel()?;
    let name = call.required("name", (1, 80))?;
    let guild = place
        .guild
        .ok_or_else(|| Refusal::bad(50_003, "Cannot execute action on a DM channel"))?;
    let webhook = call.world().next_id();
    let (bot, application) = (json!(call.world().users[0].json()), call.bot());
    let webhook = json!({
        "id": id(webhook),
        "type": 1,
        "guild_id": id(guild),
        "channel_id": id(channel),
        "user": bot,
        "name": name,
        "avatar": null,
        "token": format!("{}{}", image(webhook), image(scramble(webhook))),
        "application_id": id(application),
        "url": format!("https://discord.com/api/webhooks/{webhook}"),
    });
    call.world()
        .documents
        .put(Family::Webhook, guild, "id", webhook.clone());
    tell(call, guild, &id(channel));
    json(webhook)
}

/// Makes the webhook by which a channel follows another one.
pub(super) fn follow(call: &mut Call, source: u64, (guild, channel): (u64, u64)) -> Answer {
    let webhook = call.world().next_id();
    let object = json!({
        "id": id(webhook), "type": 2, "guild_id": id(guild), "channel_id": id(channel), "name": "News",
        "avatar": null, "application_id": null, "source_channel": {"id": id(source)},
    });
    let documents = &mut call.world().documents;
    documents.put(Family::Webhook, guild, "id", object);
    tell(call, guild, &id(channel));
    json(json!({"channel_id": id(source), "webhook_id": id(webhook)}))
}

pub(super) fn of_channel(call: &mut Call) -> Answer {
    let (channel, place) = call.channel()?;
    let all = call
        .world()
        .documents
        .list(Family::Webhook, place.guild.unwrap_or_default());
    let of_channel = all
        .iter()
        .filter(|webhook| webhook["channel_id"] == id(channel));
    json(of_channel.collect::<Vec<_>>())
}

pub(super) fn of_guild(call: &mut Call) -> Answer {
    let guild = call.guild()?.id;
    json(call.world().documents.list(Family::Webhook, guild))
}

pub(super) fn one(call: &mut Call) -> Answer {
    let (_, mut webhook) = named(call)?;
    if !call.text("token").is_empty()
        && let Some(fields) = webhook.as_object_mut()
    {
        fields.shift_remove("user");
    }
    json(webhook)
}

pub(super) fn edit(call: &mut Call) -> Answer {
    let (guild, mut webhook) = named(call)?;
    for name in ["name", "avatar", "channel_id"] {
        if let Some(value) = call.fields()?.get(name) {
            webhook[name] = value.clone();
        }
    }
    call.world()
        .documents
        .put(Family::Webhook, guild, "id", webhook.clone());
    tell(call, guild, &webhook["channel_id"]);
    json(webhook)
}

pub(super) fn delete(call: &mut Call) -> Answer {
    let (guild, webhook) = named(call)?;
    let is_it = |known: &Value| known["id"] == webhook["id"];
    call.world().documents.remove(Family::Webhook, guild, is_it);
    tell(call, guild, &webhook["channel_id"]);
    Ok(Reply::Empty)
}

/// Writes as a webhook, or follows up an interaction.
pub(super) fn execute(call: &mut Call) -> Answer {
    if let Some(interaction) = interactions::of_token(call) {
        return interactions::follow_up(call, &interaction);
    }
    let (_, webhook) = named(call)?;
    let (channel, place) = place(call, &webhook)?;
    let body = call.body.json.clone();
    let mut written = messages::written(call, &body)?;
    let name = body["username"].as_str().or(webhook["name"].as_str());
    written.webhook = Some((
        snowflake_of(&webhook["id"]).unwrap_or_default(),
        json!({
            "id": webhook["id"], "username": name, "avatar": webhook["avatar"], "bot": true,
            "discriminator": "0000", "global_name": null, "public_flags": 0, "flags": 0,
        }),
    ));
    let (_, message) = messages::post(call, (channel, place), written, None);
    if call.flag("wait") {
        json(message)
    } else {
        Ok(Reply::Empty)
    }
}

/// What Slack's webhooks take: a text and attachments.
pub(super) fn execute_slack(call: &mut Call) -> Answer {
    let body = &call.body.json;
    let embed = |attachment: &Value| json!({"title": attachment["title"], "description": attachment["text"]});
    let embeds = body["attachments"].as_array().into_iter().flatten();
    let embeds: Vec<Value> = embeds.map(embed).collect();
    call.body.json =
        json!({"content": body["text"], "username": body["username"], "embeds": embeds});
    execute_foreign(call)
}

/// What GitHub's webhooks send: any event, which becomes an embed.
pub(super) fn execute_github(call: &mut Call) -> Answer {
    let body = &call.body.json;
    let title = format!(
        "[{}] {}",
        body["repository"]["full_name"].as_str().unwrap_or_default(),
        body["action"].as_str().unwrap_or("event"),
    );
    let username = &body["sender"]["login"];
    call.body.json = json!({"username": username, "embeds": [{"title": title}]});
    execute_foreign(call)
}

/// Other than Discord's own, these wait unless they are told not to, and answer in a word.
fn execute_foreign(call: &mut Call) -> Answer {
    let waits = call.query("wait") != Some("false");
    execute(call)?;
    if waits {
        Ok(Reply::File("text/plain; charset=utf-8", b"ok".to_vec()))
    } else {
        Ok(Reply::Empty)
    }
}

fn place(call: &mut Call, webhook: &Value) -> Result<(u64, Place), Refusal> {
    let channel = call
        .query_id("thread_id")
        .or_else(|| snowflake_of(&webhook["channel_id"]));
    let channel = channel.unwrap_or_default();
    let place = call.world().place(channel);
    Ok((
        channel,
        place.ok_or_else(|| Refusal::unknown(Unknown::Channel))?,
    ))
}

/// The message of the path, of a webhook or of an interaction.
fn message(call: &mut Call) -> Result<((u64, Place), u64), Refusal> {
    let (at, message) = match interactions::of_token(call) {
        Some(interaction) => interactions::message(call, &interaction)?,
        None => {
            let (_, webhook) = named(call)?;
            (place(call, &webhook)?, call.id("message")?)
        }
    };
    let known = call.world().message(at.1.guild, at.0, message).is_some();
    known
        .then_some((at, message))
        .ok_or_else(|| Refusal::unknown(Unknown::Message))
}

pub(super) fn read_message(call: &mut Call) -> Answer {
    let ((channel, place), message) = message(call)?;
    let world = call.world();
    let message = world.message(place.guild, channel, message);
    json(message.map(|message| world.message_object(message)))
}

pub(super) fn edit_message(call: &mut Call) -> Answer {
    let (at, message) = message(call)?;
    let body = call.body.json.clone();
    json(messages::rewrite(call, at, message, &body)?)
}

pub(super) fn delete_message(call: &mut Call) -> Answer {
    let (at, message) = message(call)?;
    messages::remove(call, at, message);
    Ok(Reply::Empty)
}
