//! Rules of auto moderation.

use axum::http::StatusCode;
use serde_json::{Value, json};

use super::{
    call::{Answer, Call, Reply, json},
    refusal::Refusal,
};
use crate::world::{Family, extend, id, intents};

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
