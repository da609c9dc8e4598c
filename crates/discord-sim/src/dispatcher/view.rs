//! What the intents of a session leave of an event, beyond whether it comes at all.
//!
//! <https://discord.com/developers/docs/events/gateway#gateway-intents>

use serde_json::{Value, json};

use crate::world::intents;

/// The intents that change what an event holds.
const CHANGING: u64 = intents::MESSAGE_CONTENT
    | intents::GUILD_PRESENCES
    | intents::GUILD_VOICE_STATES
    | intents::GUILD_MEMBERS;

/// What a session gets of an event.
#[derive(Debug, PartialEq)]
pub(super) enum View {
    /// All of it.
    Whole,
    /// This instead.
    Part(Value),
    /// Nothing.
    Nothing,
}

/// Whether the events of this name look different to sessions with these intents.
pub(super) fn may_differ(t: &str, intents: u64) -> bool {
    let named = matches!(
        t,
        "MESSAGE_CREATE"
            | "MESSAGE_UPDATE"
            | "GUILD_CREATE"
            | "THREAD_MEMBERS_UPDATE"
            | "AUTO_MODERATION_ACTION_EXECUTION"
    );
    named && intents & CHANGING != CHANGING
}

/// What a session with these intents gets of an event.
pub(super) fn view(t: &str, d: &Value, intents: u64, bot: u64) -> View {
    let sees = |intent: u64| intents & intent != 0;
    let bot = Value::String(bot.to_string());
    match t {
        "MESSAGE_CREATE" | "MESSAGE_UPDATE" if !sees(intents::MESSAGE_CONTENT) => {
            without_content(d, &bot)
        }
        "AUTO_MODERATION_ACTION_EXECUTION" if !sees(intents::MESSAGE_CONTENT) => {
            let mut d = d.clone();
            (d["content"], d["matched_content"]) = (json!(""), json!(""));
            View::Part(d)
        }
        "GUILD_CREATE" => guild(
            d,
            sees(intents::GUILD_PRESENCES),
            sees(intents::GUILD_VOICE_STATES),
            &bot,
        ),
        "THREAD_MEMBERS_UPDATE" if !sees(intents::GUILD_MEMBERS) => {
            let lists = |list: &str, is_it: &dyn Fn(&Value) -> bool| {
                d[list]
                    .as_array()
                    .is_some_and(|list| list.iter().any(is_it))
            };
            let concerned = lists("added_members", &|member| member["user_id"] == bot)
                || lists("removed_member_ids", &|user| *user == bot);
            if concerned {
                View::Whole
            } else {
                View::Nothing
            }
        }
        _ => View::Whole,
    }
}

/// A message that is not the bot's own, not to it, and not in private.
fn without_content(d: &Value, bot: &Value) -> View {
    let mentions = d["mentions"].as_array().into_iter().flatten();
    let exempt = d.get("guild_id").is_none()
        || d["author"]["id"] == *bot
        || mentions.into_iter().any(|user| user["id"] == *bot);
    if exempt {
        return View::Whole;
    }
    let mut d = d.clone();
    blank(&mut d);
    if let Some(answered) = d.get_mut("referenced_message") {
        blank(answered);
    }
    View::Part(d)
}

fn blank(message: &mut Value) {
    let Some(fields) = message.as_object_mut() else {
        return;
    };
    for (name, empty) in [
        ("content", json!("")),
        ("embeds", json!([])),
        ("attachments", json!([])),
        ("components", json!([])),
    ] {
        if let Some(value) = fields.get_mut(name) {
            *value = empty;
        }
    }
    fields.shift_remove("poll");
}

/// Without the presences intent only the bot and who is in voice are listed.
fn guild(d: &Value, sees_presences: bool, sees_voice: bool, bot: &Value) -> View {
    if d["members"].is_null() || sees_presences && sees_voice {
        return View::Whole;
    }
    let mut d = d.clone();
    if !sees_presences {
        let speakers = d["voice_states"].take();
        let speaks = |user: &Value| {
            let mut states = speakers.as_array().into_iter().flatten();
            states.any(|state| state["user_id"] == *user)
        };
        if let Some(members) = d["members"].as_array_mut() {
            members.retain(|member| member["user"]["id"] == *bot || speaks(&member["user"]["id"]));
        }
        d["voice_states"] = speakers;
        d["presences"] = json!([]);
    }
    if !sees_voice {
        d["voice_states"] = json!([]);
    }
    View::Part(d)
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOT: u64 = 9;

    #[test]
    fn content_is_blank_but_for_the_bots_own_and_what_is_to_it() {
        let message = json!({
            "guild_id": "1", "author": {"id": "2"}, "content": "c", "embeds": [1], "poll": {}, "mentions": [],
        });
        let seen = view("MESSAGE_CREATE", &message, intents::GUILD_MESSAGES, BOT);
        let expected = json!({"guild_id": "1", "author": {"id": "2"}, "content": "", "embeds": [], "mentions": []});
        assert_eq!(seen, View::Part(expected));
        for (field, value) in [
            ("author", json!({"id": "9"})),
            ("mentions", json!([{"id": "9"}])),
        ] {
            let mut exempt = message.clone();
            exempt[field] = value;
            assert_eq!(view("MESSAGE_UPDATE", &exempt, 0, BOT), View::Whole);
        }
        let private = json!({"author": {"id": "2"}, "content": "c"});
        assert_eq!(view("MESSAGE_CREATE", &private, 0, BOT), View::Whole);
        let sees = intents::MESSAGE_CONTENT;
        assert_eq!(view("MESSAGE_CREATE", &message, sees, BOT), View::Whole);
    }

    #[test]
    fn a_guild_shows_what_the_intents_ask_for() {
        let guild = json!({
            "members": [{"user": {"id": "9"}}, {"user": {"id": "2"}}, {"user": {"id": "3"}}],
            "voice_states": [{"user_id": "2"}], "presences": [{"user": {"id": "3"}}],
        });
        let View::Part(seen) = view("GUILD_CREATE", &guild, intents::GUILDS, BOT) else {
            panic!("all of it");
        };
        assert_eq!(
            seen["members"],
            json!([{"user": {"id": "9"}}, {"user": {"id": "2"}}])
        );
        assert_eq!(
            (&seen["voice_states"], &seen["presences"]),
            (&json!([]), &json!([]))
        );
        assert_eq!(
            view("GUILD_CREATE", &json!({"unavailable": true}), 0, BOT),
            View::Whole
        );
    }

    #[test]
    fn of_a_threads_members_a_bot_hears_itself() {
        let other = json!({"added_members": [{"user_id": "2"}]});
        assert_eq!(
            view("THREAD_MEMBERS_UPDATE", &other, intents::GUILDS, BOT),
            View::Nothing
        );
        let own = json!({"removed_member_ids": ["9"]});
        assert_eq!(
            view("THREAD_MEMBERS_UPDATE", &own, intents::GUILDS, BOT),
            View::Whole
        );
        assert!(!may_differ("THREAD_MEMBERS_UPDATE", intents::ALL));
        assert!(!may_differ("TYPING_START", 0));
    }
}
