//! Guilds, and what is plain about them.

use axum::http::StatusCode;
use serde_json::json;

use super::{
    call::{Answer, Call, Reply, json},
    refusal::Refusal,
};
use crate::world::{Guild, extend, id, intents};

/// What a request may set of a guild.
const SETTABLE: [&str; 20] = [
    "name",
    "icon",
    "description",
    "verification_level",
    "default_message_notifications",
    "explicit_content_filter",
    "afk_channel_id",
    "afk_timeout",
    "splash",
    "discovery_splash",
    "banner",
    "system_channel_id",
    "system_channel_flags",
    "rules_channel_id",
    "public_updates_channel_id",
    "preferred_locale",
    "features",
    "premium_progress_bar_enabled",
    "safety_alerts_channel_id",
    "owner_id",
];

pub(super) fn one(call: &mut Call) -> Answer {
    let with_counts = call.flag("with_counts");
    let guild = call.guild()?;
    let mut object = guild.json();
    if with_counts {
        extend(
            &mut object,
            json!({
                "approximate_member_count": guild.members.len(), "approximate_presence_count": guild.online(),
            }),
        );
    }
    json(object)
}

pub(super) fn edit(call: &mut Call) -> Answer {
    let body = call.fields()?.clone();
    let guild = call.guild()?;
    guild.set.set(&body, &SETTABLE);
    let (at, object) = (guild.id, guild.json());
    call.tell(Some(at), "GUILD_UPDATE", intents::GUILDS, &object);
    json(object)
}

pub(super) fn preview(call: &mut Call) -> Answer {
    let guild = call.guild()?;
    let object = guild.json();
    let mut preview = json!({
        "approximate_member_count": guild.members.len(), "approximate_presence_count": guild.online(),
    });
    for name in [
        "id",
        "name",
        "icon",
        "splash",
        "discovery_splash",
        "emojis",
        "features",
        "description",
        "stickers",
    ] {
        preview[name] = object[name].clone();
    }
    json(preview)
}

/// The guilds of the bot.
pub(super) fn mine(call: &mut Call) -> Answer {
    let limit = call.limit(200, 200)?;
    let (before, after) = (
        call.query_id("before").unwrap_or(u64::MAX),
        call.query_id("after").unwrap_or(0),
    );
    let bot = call.bot();
    let mut guilds: Vec<&Guild> = call.world().guilds.values().collect();
    guilds.retain(|guild| after < guild.id && guild.id < before);
    guilds.sort_by_key(|guild| guild.id);
    let partial = |guild: &&Guild| {
        let object = guild.json();
        json!({
            "id": id(guild.id), "name": object["name"], "icon": object["icon"], "banner": null,
            "owner": guild.owner == bot, "permissions": "2248473465835073", "features": object["features"],
            "approximate_member_count": guild.members.len(),
        })
    };
    json(guilds.iter().take(limit).map(partial).collect::<Vec<_>>())
}

/// The bot leaves a guild.
pub(super) fn leave(call: &mut Call) -> Answer {
    let at = call.guild()?.id;
    call.world().leave(at);
    call.tell(
        Some(at),
        "GUILD_DELETE",
        intents::GUILDS,
        &json!({"id": id(at)}),
    );
    Ok(Reply::Empty)
}

pub(super) fn audit_log(call: &mut Call) -> Answer {
    call.guild()?;
    json(json!({
        "audit_log_entries": [], "users": [], "webhooks": [], "integrations": [], "threads": [],
        "application_commands": [], "auto_moderation_rules": [], "guild_scheduled_events": [],
    }))
}

pub(super) fn vanity(call: &mut Call) -> Answer {
    call.guild()?;
    json(json!({"code": null, "uses": 0}))
}

pub(super) fn nothing_listed(call: &mut Call) -> Answer {
    if !call.text("guild").is_empty() {
        call.guild()?;
    }
    json(json!([]))
}

/// No guild has integrations.
pub(super) fn delete_integration(call: &mut Call) -> Answer {
    call.guild()?;
    let message = "Unknown Integration";
    Err(Refusal::new(StatusCode::NOT_FOUND, 10_005, message))
}

pub(super) fn voice_regions(call: &mut Call) -> Answer {
    if !call.text("guild").is_empty() {
        call.guild()?;
    }
    let region = |name: &str| json!({"id": name, "name": name, "optimal": false, "deprecated": false, "custom": false});
    json(["rotterdam", "us-east"].map(region))
}
