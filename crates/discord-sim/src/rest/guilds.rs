//! Guilds and what they have: emojis, stickers, sounds, stages, scheduled events, and the rest.

use axum::http::StatusCode;
use serde_json::{Value, json};

use super::{
    call::{Answer, Call, Reply, json},
    refusal::{Refusal, Unknown},
};
use crate::world::{
    Emoji, Family, Guild, Scheduled, Sound, Stage, Sticker, extend, id, intents, snowflake_of,
};

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
const EVENT_SETTABLE: [&str; 10] = [
    "name",
    "description",
    "channel_id",
    "entity_metadata",
    "scheduled_start_time",
    "scheduled_end_time",
    "privacy_level",
    "entity_type",
    "status",
    "recurrence_rule",
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

pub(super) fn emojis(call: &mut Call) -> Answer {
    json(
        call.guild()?
            .emojis
            .values()
            .map(Emoji::json)
            .collect::<Vec<_>>(),
    )
}

pub(super) fn emoji(call: &mut Call) -> Answer {
    let emoji = call.id("emoji")?;
    let known = call.guild()?.emojis.get(emoji).map(Emoji::json);
    json(known.ok_or_else(|| Refusal::unknown(Unknown::Emoji))?)
}

pub(super) fn create_emoji(call: &mut Call) -> Answer {
    call.required("name", (2, 32))?;
    let (body, emoji_id) = (call.fields()?.clone(), call.world().next_id());
    let mut emoji = Emoji {
        id: emoji_id,
        ..Emoji::default()
    };
    emoji.set.set(&body, &["name", "roles"]);
    let object = emoji.json();
    call.guild()?.emojis.insert(emoji_id, emoji);
    tell_emojis(call)?;
    Ok(Reply::Created(object))
}

pub(super) fn edit_emoji(call: &mut Call) -> Answer {
    let (emoji, body) = (call.id("emoji")?, call.fields()?.clone());
    let known = call
        .guild()?
        .emojis
        .get_mut(emoji)
        .ok_or_else(|| Refusal::unknown(Unknown::Emoji))?;
    known.set.set(&body, &["name", "roles"]);
    let object = known.json();
    tell_emojis(call)?;
    json(object)
}

pub(super) fn delete_emoji(call: &mut Call) -> Answer {
    let emoji = call.id("emoji")?;
    call.guild()?
        .emojis
        .remove(emoji)
        .ok_or_else(|| Refusal::unknown(Unknown::Emoji))?;
    tell_emojis(call)?;
    Ok(Reply::Empty)
}

fn tell_emojis(call: &mut Call) -> Result<(), Refusal> {
    let guild = call.guild()?;
    let all: Vec<Value> = guild.emojis.values().map(Emoji::json).collect();
    let (at, d) = (guild.id, json!({"guild_id": id(guild.id), "emojis": all}));
    call.tell(
        Some(at),
        "GUILD_EMOJIS_UPDATE",
        intents::GUILD_EXPRESSIONS,
        &d,
    );
    Ok(())
}

pub(super) fn stickers(call: &mut Call) -> Answer {
    let guild = call.guild()?;
    json(
        guild
            .stickers
            .values()
            .map(|sticker| sticker.json(guild.id))
            .collect::<Vec<_>>(),
    )
}

pub(super) fn sticker(call: &mut Call) -> Answer {
    let sticker = call.id("sticker")?;
    let guild = call.guild()?;
    let known = guild
        .stickers
        .get(sticker)
        .map(|sticker| sticker.json(guild.id));
    json(known.ok_or_else(|| Refusal::unknown(Unknown::Sticker))?)
}

/// A sticker of any guild.
pub(super) fn any_sticker(call: &mut Call) -> Answer {
    let sticker = call.id("sticker")?;
    let mut guilds = call.world().guilds.values();
    let found = guilds.find_map(|guild| Some(guild.stickers.get(sticker)?.json(guild.id)));
    json(found.ok_or_else(|| Refusal::unknown(Unknown::Sticker))?)
}

pub(super) fn create_sticker(call: &mut Call) -> Answer {
    call.required("name", (2, 30))?;
    let (body, sticker_id) = (call.fields()?.clone(), call.world().next_id());
    let mut sticker = Sticker {
        id: sticker_id,
        ..Sticker::default()
    };
    sticker.set.set(&body, &["name", "description", "tags"]);
    let guild = call.guild()?;
    let object = sticker.json(guild.id);
    guild.stickers.insert(sticker_id, sticker);
    tell_stickers(call)?;
    Ok(Reply::Created(object))
}

pub(super) fn edit_sticker(call: &mut Call) -> Answer {
    let (sticker, body) = (call.id("sticker")?, call.fields()?.clone());
    let guild = call.guild()?;
    let known = guild
        .stickers
        .get_mut(sticker)
        .ok_or_else(|| Refusal::unknown(Unknown::Sticker))?;
    known.set.set(&body, &["name", "description", "tags"]);
    let object = known.json(guild.id);
    tell_stickers(call)?;
    json(object)
}

pub(super) fn delete_sticker(call: &mut Call) -> Answer {
    let sticker = call.id("sticker")?;
    call.guild()?
        .stickers
        .remove(sticker)
        .ok_or_else(|| Refusal::unknown(Unknown::Sticker))?;
    tell_stickers(call)?;
    Ok(Reply::Empty)
}

fn tell_stickers(call: &mut Call) -> Result<(), Refusal> {
    let guild = call.guild()?;
    let all: Vec<Value> = guild
        .stickers
        .values()
        .map(|sticker| sticker.json(guild.id))
        .collect();
    let (at, d) = (guild.id, json!({"guild_id": id(guild.id), "stickers": all}));
    call.tell(
        Some(at),
        "GUILD_STICKERS_UPDATE",
        intents::GUILD_EXPRESSIONS,
        &d,
    );
    Ok(())
}

pub(super) fn sounds(call: &mut Call) -> Answer {
    let guild = call.guild()?;
    let items: Vec<Value> = guild
        .sounds
        .values()
        .map(|sound| sound.json(guild.id))
        .collect();
    json(json!({"items": items}))
}

pub(super) fn sound(call: &mut Call) -> Answer {
    let sound = call.id("sound")?;
    let guild = call.guild()?;
    let known = guild.sounds.get(sound).map(|sound| sound.json(guild.id));
    json(known.ok_or_else(|| Refusal::unknown(Unknown::Sound))?)
}

pub(super) fn create_sound(call: &mut Call) -> Answer {
    call.required("name", (2, 32))?;
    let (body, sound_id) = (call.fields()?.clone(), call.world().next_id());
    let mut sound = Sound {
        id: sound_id,
        ..Sound::default()
    };
    sound
        .set
        .set(&body, &["name", "volume", "emoji_id", "emoji_name"]);
    let guild = call.guild()?;
    let (at, object) = (guild.id, sound.json(guild.id));
    guild.sounds.insert(sound_id, sound);
    call.tell(
        Some(at),
        "GUILD_SOUNDBOARD_SOUND_CREATE",
        intents::GUILD_EXPRESSIONS,
        &object,
    );
    Ok(Reply::Created(object))
}

pub(super) fn edit_sound(call: &mut Call) -> Answer {
    let (sound, body) = (call.id("sound")?, call.fields()?.clone());
    let guild = call.guild()?;
    let known = guild
        .sounds
        .get_mut(sound)
        .ok_or_else(|| Refusal::unknown(Unknown::Sound))?;
    known
        .set
        .set(&body, &["name", "volume", "emoji_id", "emoji_name"]);
    let (at, object) = (guild.id, known.json(guild.id));
    call.tell(
        Some(at),
        "GUILD_SOUNDBOARD_SOUND_UPDATE",
        intents::GUILD_EXPRESSIONS,
        &object,
    );
    json(object)
}

pub(super) fn delete_sound(call: &mut Call) -> Answer {
    let sound = call.id("sound")?;
    let guild = call.guild()?;
    guild
        .sounds
        .remove(sound)
        .ok_or_else(|| Refusal::unknown(Unknown::Sound))?;
    let (at, d) = (
        guild.id,
        json!({"sound_id": id(sound), "guild_id": id(guild.id)}),
    );
    call.tell(
        Some(at),
        "GUILD_SOUNDBOARD_SOUND_DELETE",
        intents::GUILD_EXPRESSIONS,
        &d,
    );
    Ok(Reply::Empty)
}

pub(super) fn events(call: &mut Call) -> Answer {
    let at = call.guild()?.id;
    let world = call.world();
    let guild = world.guilds.get(at);
    let events = guild.into_iter().flat_map(|guild| guild.events.values());
    json(
        events
            .map(|event| event.json(at, &world.users[event.creator as usize]))
            .collect::<Vec<_>>(),
    )
}

/// The scheduled event of the path, as an object.
fn event_object(call: &mut Call, event: u64) -> Result<Value, Refusal> {
    let at = call.guild()?.id;
    let world = call.world();
    let known = world
        .guilds
        .get(at)
        .and_then(|guild| guild.events.get(event));
    let known = known.ok_or_else(|| Refusal::unknown(Unknown::ScheduledEvent))?;
    Ok(known.json(at, &world.users[known.creator as usize]))
}

pub(super) fn event(call: &mut Call) -> Answer {
    let event = call.id("event")?;
    json(event_object(call, event)?)
}

pub(super) fn create_event(call: &mut Call) -> Answer {
    call.required("name", (1, 100))?;
    let (body, event_id, now) = (
        call.fields()?.clone(),
        call.world().next_id(),
        call.world().clock_ms,
    );
    let mut event = Scheduled {
        id: event_id,
        starts_ms: now + 86_400_000,
        status: 1,
        ..Scheduled::default()
    };
    event.set.set(&body, &EVENT_SETTABLE);
    let guild = call.guild()?;
    let at = guild.id;
    guild.events.insert(event_id, event);
    let object = event_object(call, event_id)?;
    call.tell(
        Some(at),
        "GUILD_SCHEDULED_EVENT_CREATE",
        intents::GUILD_SCHEDULED_EVENTS,
        &object,
    );
    json(object)
}

pub(super) fn edit_event(call: &mut Call) -> Answer {
    let (event, body) = (call.id("event")?, call.fields()?.clone());
    let guild = call.guild()?;
    let at = guild.id;
    let known = guild
        .events
        .get_mut(event)
        .ok_or_else(|| Refusal::unknown(Unknown::ScheduledEvent))?;
    known.set.set(&body, &EVENT_SETTABLE);
    let object = event_object(call, event)?;
    call.tell(
        Some(at),
        "GUILD_SCHEDULED_EVENT_UPDATE",
        intents::GUILD_SCHEDULED_EVENTS,
        &object,
    );
    json(object)
}

pub(super) fn delete_event(call: &mut Call) -> Answer {
    let event = call.id("event")?;
    let object = event_object(call, event)?;
    let guild = call.guild()?;
    let at = guild.id;
    guild.events.remove(event);
    call.tell(
        Some(at),
        "GUILD_SCHEDULED_EVENT_DELETE",
        intents::GUILD_SCHEDULED_EVENTS,
        &object,
    );
    Ok(Reply::Empty)
}

pub(super) fn event_users(call: &mut Call) -> Answer {
    let event = call.id("event")?;
    let known = call
        .guild()?
        .events
        .get(event)
        .map(|event| event.users.clone());
    let users = known.ok_or_else(|| Refusal::unknown(Unknown::ScheduledEvent))?;
    let world = call.world();
    let user = |user: &u64| Some(world.users[world.user(*user)?].json());
    let entry = |user| json!({"guild_scheduled_event_id": id(event), "user": user});
    json(users.iter().filter_map(user).map(entry).collect::<Vec<_>>())
}

/// The stage of the path's channel: its guild and its id.
fn stage_of(call: &mut Call) -> Result<(u64, u64), Refusal> {
    let channel = call.id("channel")?;
    let staged = |guild: &Guild| {
        let stage = guild
            .stages
            .values()
            .find(|stage| stage.channel == channel)?;
        Some((guild.id, stage.id))
    };
    let found = call.world().guilds.values().find_map(staged);
    found.ok_or_else(|| Refusal::unknown(Unknown::StageInstance))
}

pub(super) fn stage(call: &mut Call) -> Answer {
    let (at, stage) = stage_of(call)?;
    let known = call
        .world()
        .guilds
        .get(at)
        .and_then(|guild| guild.stages.get(stage));
    json(known.map(|stage| stage.json(at)))
}

pub(super) fn create_stage(call: &mut Call) -> Answer {
    let body = call.fields()?.clone();
    let channel = body
        .get("channel_id")
        .and_then(snowflake_of)
        .unwrap_or_default();
    let place = call.world().place(channel).filter(|place| place.kind == 13);
    let at = place
        .and_then(|place| place.guild)
        .ok_or_else(|| Refusal::unknown(Unknown::Channel))?;
    let stage_id = call.world().next_id();
    let mut stage = Stage {
        id: stage_id,
        channel,
        ..Stage::default()
    };
    stage.set.set(&body, &["topic", "privacy_level"]);
    let object = stage.json(at);
    if let Some(guild) = call.world().guilds.get_mut(at) {
        guild.stages.insert(stage_id, stage);
    }
    call.tell(Some(at), "STAGE_INSTANCE_CREATE", intents::GUILDS, &object);
    json(object)
}

pub(super) fn edit_stage(call: &mut Call) -> Answer {
    let (at, stage) = stage_of(call)?;
    let body = call.fields()?.clone();
    let known = call
        .world()
        .guilds
        .get_mut(at)
        .and_then(|guild| guild.stages.get_mut(stage));
    let known = known.ok_or_else(|| Refusal::unknown(Unknown::StageInstance))?;
    known.set.set(&body, &["topic", "privacy_level"]);
    let object = known.json(at);
    call.tell(Some(at), "STAGE_INSTANCE_UPDATE", intents::GUILDS, &object);
    json(object)
}

pub(super) fn delete_stage(call: &mut Call) -> Answer {
    let (at, stage) = stage_of(call)?;
    let gone = call
        .world()
        .guilds
        .get_mut(at)
        .and_then(|guild| guild.stages.remove(stage));
    let object = gone.map(|stage| stage.json(at));
    call.tell(Some(at), "STAGE_INSTANCE_DELETE", intents::GUILDS, &object);
    Ok(Reply::Empty)
}

pub(super) fn rules(call: &mut Call) -> Answer {
    let at = call.guild()?.id;
    json(call.world().documents.list(Family::AutoModerationRule, at))
}

fn rule_of(call: &mut Call) -> Result<(u64, Value), Refusal> {
    let (rule, at) = (call.id("rule")?, call.guild()?.id);
    let known = call
        .world()
        .documents
        .find(Family::AutoModerationRule, at, rule)
        .cloned();
    let unknown = || {
        Refusal::new(
            StatusCode::NOT_FOUND,
            10_066,
            "Unknown auto moderation rule",
        )
    };
    Ok((at, known.ok_or_else(unknown)?))
}

pub(super) fn rule(call: &mut Call) -> Answer {
    let (_, rule) = rule_of(call)?;
    json(rule)
}

pub(super) fn create_rule(call: &mut Call) -> Answer {
    call.required("name", (1, 100))?;
    let (body, rule, bot) = (call.body.json.clone(), call.world().next_id(), call.bot());
    let at = call.guild()?.id;
    let mut object = json!({
        "id": id(rule), "guild_id": id(at), "name": "", "creator_id": id(bot), "event_type": 1,
        "trigger_type": 1, "trigger_metadata": {}, "actions": [], "enabled": false, "exempt_roles": [],
        "exempt_channels": [],
    });
    extend(&mut object, body);
    call.world()
        .documents
        .put(Family::AutoModerationRule, at, "id", object.clone());
    tell_rule(call, at, "AUTO_MODERATION_RULE_CREATE", object)
}

pub(super) fn edit_rule(call: &mut Call) -> Answer {
    let (at, mut rule) = rule_of(call)?;
    extend(&mut rule, call.body.json.clone());
    call.world()
        .documents
        .put(Family::AutoModerationRule, at, "id", rule.clone());
    tell_rule(call, at, "AUTO_MODERATION_RULE_UPDATE", rule)
}

pub(super) fn delete_rule(call: &mut Call) -> Answer {
    let (at, rule) = rule_of(call)?;
    let is_it = |known: &Value| known["id"] == rule["id"];
    call.world()
        .documents
        .remove(Family::AutoModerationRule, at, is_it);
    tell_rule(call, at, "AUTO_MODERATION_RULE_DELETE", rule)?;
    Ok(Reply::Empty)
}

fn tell_rule(call: &mut Call, at: u64, event: &str, rule: Value) -> Answer {
    call.tell(
        Some(at),
        event,
        intents::AUTO_MODERATION_CONFIGURATION,
        &rule,
    );
    json(rule)
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

pub(super) fn voice_regions(_: &mut Call) -> Answer {
    let region = |name: &str| json!({"id": name, "name": name, "optimal": false, "deprecated": false, "custom": false});
    json(["rotterdam", "us-east"].map(region))
}
