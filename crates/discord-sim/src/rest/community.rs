//! What a community shows to newcomers and to the outside: welcome screen, onboarding, widget, templates, incident actions.

use serde_json::{Value, json};

use super::{
    call::{Answer, Call, Reply, json},
    refusal::{Refusal, Unknown},
};
use crate::{
    protocol::snowflake::timestamp,
    world::{Family, Fields, id, intents, scramble},
};

/// A picture of one pixel.
const PIXEL: &[u8] =
    b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\0\x01\0\0\0\x01\x08\x06\0\0\0\x1f\x15\xc4\x89\0\0\0\
\rIDATx\x9cc\xf8\xcf\xc0\xf0\x1f\0\x05\0\x01\xff\x89\x99=\x1d\0\0\0\0IEND\xaeB`\x82";

/// One page of the path's guild, as it has been set, or as it is where nobody has set it.
fn page(call: &mut Call, family: Family, unset: Value) -> Result<(u64, Value), Refusal> {
    let at = call.guild()?.id;
    let known = call.world().documents.list(family, at).first().cloned();
    Ok((at, known.unwrap_or(unset)))
}

/// Sets the named fields of a page; answers with the page.
fn set_page(call: &mut Call, family: Family, unset: Value, named: &[&str]) -> Answer {
    let (at, mut page) = page(call, family, unset)?;
    for name in named {
        if let Some(value) = call.fields()?.get(*name) {
            page[*name] = value.clone();
        }
    }
    let documents = &mut call.world().documents;
    documents.replace(family, at, vec![page.clone()]);
    json(page)
}

fn no_welcome_screen() -> Value {
    json!({"description": null, "welcome_channels": []})
}

pub(super) fn welcome_screen(call: &mut Call) -> Answer {
    let (_, page) = page(call, Family::WelcomeScreen, no_welcome_screen())?;
    json(page)
}

pub(super) fn edit_welcome_screen(call: &mut Call) -> Answer {
    let named = ["description", "welcome_channels"];
    let page = set_page(call, Family::WelcomeScreen, no_welcome_screen(), &named)?;
    tell_guild(call)?;
    Ok(page)
}

fn no_onboarding(guild: &str) -> Value {
    json!({
        "guild_id": guild, "prompts": [], "default_channel_ids": [], "enabled": false, "mode": 0,
        "below_requirements": true,
    })
}

pub(super) fn onboarding(call: &mut Call) -> Answer {
    let unset = no_onboarding(call.text("guild"));
    let (_, page) = page(call, Family::Onboarding, unset)?;
    json(page)
}

/// Prompts and options without an id of their own get one.
pub(super) fn edit_onboarding(call: &mut Call) -> Answer {
    let unset = no_onboarding(call.text("guild"));
    let named = ["prompts", "default_channel_ids", "enabled", "mode"];
    let mut body = call.fields()?.clone();
    for prompt in entries(&mut body, "prompts") {
        name(call, prompt);
        for option in prompt.get_mut("options").map_or(&mut [][..], list) {
            name(call, option);
        }
    }
    call.body.json = Value::Object(body);
    set_page(call, Family::Onboarding, unset, &named)
}

fn entries<'a>(body: &'a mut Fields, field: &str) -> &'a mut [Value] {
    body.get_mut(field).map_or(&mut [][..], list)
}

fn list(value: &mut Value) -> &mut [Value] {
    value.as_array_mut().map_or(&mut [][..], Vec::as_mut_slice)
}

fn name(call: &mut Call, object: &mut Value) {
    let fresh = call.world().next_id();
    if object.is_object() && object["id"].as_str().is_none_or(|id| id.len() < 17) {
        object["id"] = id(fresh);
    }
}

fn no_widget() -> Value {
    json!({"enabled": false, "channel_id": null})
}

pub(super) fn widget_settings(call: &mut Call) -> Answer {
    let (_, page) = page(call, Family::Widget, no_widget())?;
    json(page)
}

pub(super) fn edit_widget_settings(call: &mut Call) -> Answer {
    let page = set_page(
        call,
        Family::Widget,
        no_widget(),
        &["enabled", "channel_id"],
    )?;
    if let Reply::Json(set) = &page {
        let fields =
            json!({"widget_enabled": set["enabled"], "widget_channel_id": set["channel_id"]});
        if let Some(fields) = fields.as_object() {
            call.guild()?
                .set
                .set(fields, &["widget_enabled", "widget_channel_id"]);
        }
    }
    tell_guild(call)?;
    Ok(page)
}

/// What anybody sees of a guild whose widget is switched on.
pub(super) fn widget(call: &mut Call) -> Answer {
    let (at, page) = page(call, Family::Widget, no_widget())?;
    if page["enabled"] != true {
        return Err(Refusal::new(
            axum::http::StatusCode::FORBIDDEN,
            50_004,
            "Widget Disabled",
        ));
    }
    let guild = call.guild()?;
    let voice = guild
        .channels
        .values()
        .filter(|channel| channel.takes_voice() && !channel.hidden);
    let channel = |object: Value| json!({"id": object["id"], "name": object["name"], "position": object["position"]});
    let channels: Vec<Value> = voice.map(|known| channel(known.json(at))).collect();
    json(json!({
        "id": id(at), "name": guild.json()["name"], "instant_invite": null, "channels": channels,
        "members": [], "presence_count": guild.online(),
    }))
}

pub(super) fn widget_image(call: &mut Call) -> Answer {
    call.guild()?;
    Ok(Reply::File("image/png", PIXEL.to_vec()))
}

/// Invites or direct messages are stopped for a while.
pub(super) fn set_incidents(call: &mut Call) -> Answer {
    let body = call.fields()?.clone();
    let guild = call.guild()?;
    let mut incidents = match guild.json()["incidents_data"].take() {
        Value::Null => json!({
            "invites_disabled_until": null, "dms_disabled_until": null, "dm_spam_detected_at": null,
            "raid_detected_at": null,
        }),
        known => known,
    };
    for name in ["invites_disabled_until", "dms_disabled_until"] {
        if let Some(value) = body.get(name) {
            incidents[name] = value.clone();
        }
    }
    let set = Fields::from_iter([("incidents_data".to_owned(), incidents.clone())]);
    guild.set.set(&set, &["incidents_data"]);
    tell_guild(call)?;
    json(incidents)
}

fn tell_guild(call: &mut Call) -> Result<(), Refusal> {
    let guild = call.guild()?;
    let (at, object) = (guild.id, guild.json());
    call.tell(Some(at), "GUILD_UPDATE", intents::GUILDS, &object);
    Ok(())
}

pub(super) fn templates(call: &mut Call) -> Answer {
    let at = call.guild()?.id;
    json(call.world().documents.list(Family::Template, at))
}

/// The template of the path, of the guild in the path if there is one.
fn named_template(call: &mut Call) -> Result<(u64, Value), Refusal> {
    let guild = match call.text("guild") {
        "" => None,
        _ => Some(call.guild()?.id),
    };
    let code = call.text("code").to_owned();
    let is_it = |known: &Value| known["code"] == code.as_str();
    let found = call.world().documents.search(Family::Template, is_it);
    let found = found.filter(|(at, _)| guild.is_none_or(|guild| guild == *at));
    let found = found.map(|(at, template)| (at, template.clone()));
    found.ok_or_else(|| Refusal::unknown(Unknown::GuildTemplate))
}

pub(super) fn template(call: &mut Call) -> Answer {
    let (_, template) = named_template(call)?;
    json(template)
}

pub(super) fn create_template(call: &mut Call) -> Answer {
    let (name, body) = (call.required("name", (1, 100))?, call.fields()?.clone());
    let (fresh, now, bot) = (call.world().next_id(), call.world().clock_ms, call.bot());
    let creator = json!(call.world().users[0].json());
    let guild = call.guild()?;
    let (at, object) = (guild.id, guild.json());
    let mut serialised = json!({"region": "us-west", "system_channel_id": null, "channels": []});
    for name in [
        "name",
        "description",
        "verification_level",
        "default_message_notifications",
        "explicit_content_filter",
        "preferred_locale",
        "afk_timeout",
        "afk_channel_id",
        "system_channel_flags",
        "roles",
    ] {
        serialised[name] = object[name].clone();
    }
    let template = json!({
        "code": format!("{:012x}", scramble(fresh) >> 16),
        "name": name,
        "description": body.get("description").cloned().unwrap_or_default(),
        "usage_count": 0,
        "creator_id": id(bot),
        "creator": creator,
        "created_at": timestamp(now),
        "updated_at": timestamp(now),
        "source_guild_id": id(at),
        "serialized_source_guild": serialised,
        "is_dirty": null,
    });
    let documents = &mut call.world().documents;
    documents.put(Family::Template, at, "code", template.clone());
    json(template)
}

/// Changes what a template is called, or brings it up to date.
pub(super) fn edit_template(call: &mut Call) -> Answer {
    let (at, mut template) = named_template(call)?;
    for name in ["name", "description"] {
        if let Some(value) = call.body.json.get(name) {
            template[name] = value.clone();
        }
    }
    template["updated_at"] = json!(timestamp(call.world().clock_ms));
    let documents = &mut call.world().documents;
    documents.put(Family::Template, at, "code", template.clone());
    json(template)
}

pub(super) fn delete_template(call: &mut Call) -> Answer {
    let (at, template) = named_template(call)?;
    let is_it = |known: &Value| known["code"] == template["code"];
    call.world().documents.remove(Family::Template, at, is_it);
    json(template)
}
