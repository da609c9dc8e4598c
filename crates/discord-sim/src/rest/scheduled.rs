//! Scheduled events and stages.

use serde_json::{Value, json};

use super::{
    call::{Answer, Call, Reply, json},
    refusal::{Refusal, Unknown},
};
use crate::world::{Guild, Scheduled, Stage, id, intents, snowflake_of};

/// What a request may set of an event.
const SETTABLE: [&str; 10] = [
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
    event.set.set(&body, &SETTABLE);
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
    known.set.set(&body, &SETTABLE);
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
