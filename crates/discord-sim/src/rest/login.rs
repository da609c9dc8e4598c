//! What a bot asks when it starts: the gateway, itself, its application.

use serde_json::{Value, json};

use super::{
    call::{Answer, Call, json},
    refusal::{Refusal, Unknown},
};
use crate::world::{Family, id};

pub(super) fn gateway(call: &mut Call) -> Answer {
    json(json!({"url": call.shared.gateway_url()}))
}

pub(super) fn gateway_bot(call: &mut Call) -> Answer {
    let reset = call.state.starts.reset_after(call.now).as_millis();
    json(json!({
        "url": call.shared.gateway_url(),
        "shards": call.shared.config.recommended_shards,
        "session_start_limit": {
            "total": call.state.starts.total(),
            "remaining": call.state.starts.remaining(),
            "reset_after": u64::try_from(reset).unwrap_or(u64::MAX),
            "max_concurrency": call.shared.config.max_concurrency,
        },
    }))
}

pub(super) fn me(call: &mut Call) -> Answer {
    json(call.world().bot_user())
}

/// Another name or picture: the bot's user changes.
pub(super) fn edit_me(call: &mut Call) -> Answer {
    call.fields()?;
    call.world().users[0].face += 1;
    let d = call.world().bot_user();
    call.tell(None, "USER_UPDATE", 0, &d);
    json(d)
}

pub(super) fn user(call: &mut Call) -> Answer {
    let place = call.user()?;
    let user = json!(call.world().users[place].json());
    json(user)
}

pub(super) fn application(call: &mut Call) -> Answer {
    json(call.world().application())
}

/// The application of a bot token, as OAuth2 tells it.
pub(super) fn authorization(call: &mut Call) -> Answer {
    let (application, user) = (call.world().application(), call.world().bot_user());
    json(
        json!({"application": application, "scopes": ["bot"], "expires": "2099-01-01T00:00:00+00:00", "user": user}),
    )
}

pub(super) fn emojis(call: &mut Call) -> Answer {
    let items = call.world().documents.list(Family::ApplicationEmoji, 0);
    json(json!({"items": items}))
}

pub(super) fn create_emoji(call: &mut Call) -> Answer {
    let name = call.required("name", (2, 32))?;
    let (emoji, user) = (call.world().next_id(), json!(call.world().users[0].json()));
    let object = json!({
        "id": id(emoji), "name": name, "roles": [], "user": user, "require_colons": true, "managed": false,
        "animated": false, "available": true,
    });
    call.world()
        .documents
        .put(Family::ApplicationEmoji, 0, "id", object.clone());
    json(object)
}

pub(super) fn emoji(call: &mut Call) -> Answer {
    let emoji = call.id("emoji")?;
    let known = call
        .world()
        .documents
        .find(Family::ApplicationEmoji, 0, emoji);
    json(known.ok_or_else(|| Refusal::unknown(Unknown::Emoji))?)
}

pub(super) fn edit_emoji(call: &mut Call) -> Answer {
    let (emoji, name) = (call.id("emoji")?, call.required("name", (2, 32))?);
    let documents = &mut call.world().documents;
    let known = documents.find(Family::ApplicationEmoji, 0, emoji).cloned();
    let mut known = known.ok_or_else(|| Refusal::unknown(Unknown::Emoji))?;
    known["name"] = json!(name);
    documents.put(Family::ApplicationEmoji, 0, "id", known.clone());
    json(known)
}

pub(super) fn delete_emoji(call: &mut Call) -> Answer {
    let emoji = call.text("emoji").to_owned();
    let is_it = |known: &Value| known["id"] == emoji.as_str();
    let gone = call
        .world()
        .documents
        .remove(Family::ApplicationEmoji, 0, is_it);
    gone.ok_or_else(|| Refusal::unknown(Unknown::Emoji))?;
    Ok(super::call::Reply::Empty)
}

/// No activity of the application runs.
pub(super) fn activity_instance(_: &mut Call) -> Answer {
    Err(Refusal::not_found())
}
