//! Interactions: the first answer, the original message, follow-ups.

use axum::http::StatusCode;
use serde_json::{Value, json};

use super::{
    call::{Answer, Call, Reply, json},
    messages,
    refusal::{Refusal, Unknown},
};
use crate::{
    dispatcher::Interaction,
    world::{EPHEMERAL, LOADING, Place, Written, id},
};

/// Kinds of first answers.
mod callback {
    pub(super) const PONG: u64 = 1;
    pub(super) const MESSAGE: u64 = 4;
    pub(super) const DEFERRED_MESSAGE: u64 = 5;
    pub(super) const DEFERRED_UPDATE: u64 = 6;
    pub(super) const UPDATE: u64 = 7;
    pub(super) const AUTOCOMPLETE: u64 = 8;
    pub(super) const MODAL: u64 = 9;
}

/// `POST /interactions/{interaction}/{token}/callback`
pub(super) fn answer(call: &mut Call) -> Answer {
    let (interaction, token) = (call.id("interaction")?, call.text("token").to_owned());
    let body = call.body.json.clone();
    let kind = call.fields()?.get("type").and_then(Value::as_u64);
    let kind = kind.ok_or_else(|| Refusal::required("type"))?;
    if !(callback::PONG..=12).contains(&kind) {
        let message = format!("Value must be one of {{1, 4, 5, 6, 7, 8, 9, 10, 12}}, not {kind}.");
        return Err(Refusal::form("type", "BASE_TYPE_CHOICES", &message));
    }
    let data = &body["data"];
    let now = call.now;
    // What is wrong with the message is found before the interaction counts as answered.
    let written = match kind {
        callback::MESSAGE => Some(messages::written(call, data)?),
        callback::DEFERRED_MESSAGE => Some(Written {
            flags: LOADING | (data["flags"].as_u64().unwrap_or(0) as u32 & EPHEMERAL),
            components: json!([]),
            ..Written::default()
        }),
        callback::AUTOCOMPLETE if !data["choices"].is_array() => {
            return Err(Refusal::required("data.choices"));
        }
        callback::MODAL if !data["custom_id"].is_string() => {
            return Err(Refusal::required("data.custom_id"));
        }
        _ => None,
    };
    let known = call
        .state
        .dispatcher
        .interactions
        .answer(interaction, &token, now);
    let known = known.map_err(|answered| {
        if answered {
            Refusal::bad(40_060, "Interaction has already been acknowledged.")
        } else {
            Refusal::unknown(Unknown::Interaction)
        }
    })?;
    let place = place(call, &known)?;
    let message = match written {
        Some(written) => Some(post(call, &known, place, written, &token)),
        None if matches!(kind, callback::UPDATE | callback::DEFERRED_UPDATE) => {
            let message = known.message;
            remember_original(call, &token, message);
            match message.filter(|_| kind == callback::UPDATE) {
                Some(message) => {
                    let object = messages::rewrite(call, (known.channel, place), message, data)?;
                    Some((message, object))
                }
                None => None,
            }
        }
        None => None,
    };
    if !call.flag("with_response") {
        return Ok(Reply::Empty);
    }
    let mut answer = json!({"interaction": {
        "id": id(interaction),
        "type": known.kind,
        "response_message_id": message.as_ref().map(|(message, _)| id(*message)),
        "response_message_loading": kind == callback::DEFERRED_MESSAGE,
        "response_message_ephemeral": message.as_ref().is_some_and(|(_, object)| is_ephemeral(object)),
        "channel_id": id(known.channel),
    }});
    if let Some((_, object)) = message {
        answer["resource"] = json!({"type": kind, "message": object});
    }
    json(answer)
}

fn is_ephemeral(message: &Value) -> bool {
    let flags = message["flags"].as_u64().unwrap_or(0);
    flags & u64::from(EPHEMERAL) != 0
}

fn place(call: &mut Call, known: &Interaction) -> Result<Place, Refusal> {
    let place = call.world().place(known.channel);
    place.ok_or_else(|| Refusal::unknown(Unknown::Channel))
}

/// Writes the first answer, or a follow-up.
fn post(
    call: &mut Call,
    known: &Interaction,
    place: Place,
    mut written: Written,
    token: &str,
) -> (u64, Value) {
    let application = call.bot();
    written.application = Some(application);
    written.webhook = Some((application, json!(call.world().users[0].json())));
    let is_first = known.original.is_none();
    if is_first {
        written.kind = Some(if known.name.is_some() { 20 } else { 19 });
        let metadata = json!({
            "id": id(known.id),
            "type": known.kind,
            "user": known.user,
            "authorizing_integration_owners": {},
        });
        let interaction = json!({
            "id": id(known.id), "type": known.kind, "name": known.name, "user": known.user,
        });
        written.interaction = Some((metadata, interaction));
    }
    let answers = if is_first {
        known.message
    } else {
        known.original
    };
    let (message, object) = messages::post(call, (known.channel, place), written, answers);
    if is_first {
        remember_original(call, token, Some(message));
    }
    (message, object)
}

fn remember_original(call: &mut Call, token: &str, message: Option<u64>) {
    let now = call.now;
    if let Some(known) = call.state.dispatcher.interactions.find(token, now) {
        known.original = message;
    }
}

/// The interaction whose token the path has, if it is one's.
pub(super) fn of_token(call: &mut Call) -> Option<Interaction> {
    let (token, now) = (call.text("token").to_owned(), call.now);
    call.state
        .dispatcher
        .interactions
        .find(&token, now)
        .cloned()
}

/// `POST /webhooks/{application}/{token}` of an interaction.
pub(super) fn follow_up(call: &mut Call, known: &Interaction) -> Answer {
    if !known.answered {
        return Err(Refusal::new(
            StatusCode::NOT_FOUND,
            10_015,
            "Unknown Webhook",
        ));
    }
    let (body, place) = (call.body.json.clone(), place(call, known)?);
    let written = messages::written(call, &body)?;
    let token = call.text("token").to_owned();
    // The first follow-up to a deferred answer becomes that answer.
    if let Some(original) = known.original {
        let message = call.world().message(place.guild, known.channel, original);
        let loading = message.and_then(|message| message.written.as_ref());
        if loading.is_some_and(|written| written.flags & LOADING != 0) {
            return json(messages::rewrite(
                call,
                (known.channel, place),
                original,
                &body,
            )?);
        }
    }
    let (_, object) = post(call, known, place, written, &token);
    json(object)
}

/// The channel, its place and the message that the path names, where the token is an interaction's.
pub(super) fn message(
    call: &mut Call,
    known: &Interaction,
) -> Result<((u64, Place), u64), Refusal> {
    let place = place(call, known)?;
    let message = match call.text("message") {
        "@original" => known
            .original
            .ok_or_else(|| Refusal::unknown(Unknown::Message))?,
        _ => call.id("message")?,
    };
    Ok(((known.channel, place), message))
}
