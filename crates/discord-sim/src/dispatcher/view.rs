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

/// Who looks at an event.
#[derive(Debug, Clone, Copy)]
pub(super) struct Eyes {
    pub(super) intents: u64,
    /// Of guilds with more members, those who are offline are left out.
    pub(super) large_threshold: u32,
    /// The bot's user id.
    pub(super) bot: u64,
}

/// Whether an event of this name may look different to a session; `members` of the guild that it is in, if it tells of it.
pub(super) fn may_differ(t: &str, eyes: Eyes, members: usize) -> bool {
    let named = matches!(
        t,
        "MESSAGE_CREATE"
            | "MESSAGE_UPDATE"
            | "GUILD_CREATE"
            | "THREAD_MEMBERS_UPDATE"
            | "AUTO_MODERATION_ACTION_EXECUTION"
    );
    let is_large = members > eyes.large_threshold as usize;
    t == "GUILD_CREATE" && is_large || named && eyes.intents & CHANGING != CHANGING
}

/// What a session gets of an event.
pub(super) fn view(t: &str, d: &Value, eyes: Eyes) -> View {
    let Eyes {
        intents,
        large_threshold,
        bot,
    } = eyes;
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
            (
                sees(intents::GUILD_PRESENCES),
                sees(intents::GUILD_VOICE_STATES),
            ),
            large_threshold,
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
    if d.get("guild_id").is_none() || concerns(d, bot) {
        return View::Whole;
    }
    let mut d = d.clone();
    blank(&mut d);
    if let Some(answered) = d.get_mut("referenced_message")
        && !concerns(answered, bot)
    {
        blank(answered);
    }
    View::Part(d)
}

/// Whether the bot wrote a message or is mentioned in it.
fn concerns(message: &Value, bot: &Value) -> bool {
    let mut mentions = message["mentions"].as_array().into_iter().flatten();
    message["author"]["id"] == *bot || mentions.any(|user| user["id"] == *bot)
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

/// Without the presences intent only the bot and who is in voice are listed; of a guild that is large for this session, with
/// it, also who is online.
fn guild(
    d: &Value,
    (sees_presences, sees_voice): (bool, bool),
    large_threshold: u32,
    bot: &Value,
) -> View {
    let count = d["member_count"].as_u64().unwrap_or(0);
    let is_large = count > u64::from(large_threshold);
    let differs = d["large"].as_bool().is_some_and(|large| large != is_large);
    if d["members"].is_null() || sees_presences && sees_voice && !differs {
        return View::Whole;
    }
    let mut d = d.clone();
    d["large"] = json!(is_large);
    if !sees_presences || is_large {
        let (speakers, presences) = (d["voice_states"].take(), d["presences"].take());
        let lists = |list: &Value, is_it: &dyn Fn(&Value) -> bool| {
            list.as_array().is_some_and(|list| list.iter().any(is_it))
        };
        let stays = |user: &Value| {
            user == bot
                || lists(&speakers, &|state| state["user_id"] == *user)
                || sees_presences && lists(&presences, &|presence| presence["user"]["id"] == *user)
        };
        if let Some(members) = d["members"].as_array_mut() {
            members.retain(|member| stays(&member["user"]["id"]));
        }
        d["voice_states"] = speakers;
        d["presences"] = presences;
    }
    if !sees_presences {
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

    fn eyes(intents: u64) -> Eyes {
        Eyes {
            intents,
            large_threshold: 50,
            bot: 9,
        }
    }

    /// The look of a session with these intents.
    fn view(t: &str, d: &Value, intents: u64) -> View {
        super::view(t, d, eyes(intents))
    }

    #[test]
    fn content_is_blank_but_for_the_bots_own_and_what_is_to_it() {
        let message = json!({
            "guild_id": "1", "author": {"id": "2"}, "content": "c", "embeds": [1], "poll": {}, "mentions": [],
        });
        let seen = view("MESSAGE_CREATE", &message, intents::GUILD_MESSAGES);
        let expected = json!({"guild_id": "1", "author": {"id": "2"}, "content": "", "embeds": [], "mentions": []});
        assert_eq!(seen, View::Part(expected));
        for (field, value) in [
            ("author", json!({"id": "9"})),
            ("mentions", json!([{"id": "9"}])),
        ] {
            let mut exempt = message.clone();
            exempt[field] = value;
            assert_eq!(view("MESSAGE_UPDATE", &exempt, 0), View::Whole);
        }
        let mut answer = message.clone();
        answer["referenced_message"] = json!({"author": {"id": "9"}, "content": "own"});
        let View::Part(seen) = view("MESSAGE_CREATE", &answer, 0) else {
            panic!("all of it");
        };
        assert_eq!(seen["content"], "");
        assert_eq!(seen["referenced_message"]["content"], "own");
        let private = json!({"author": {"id": "2"}, "content": "c"});
        assert_eq!(view("MESSAGE_CREATE", &private, 0), View::Whole);
        let sees = intents::MESSAGE_CONTENT;
        assert_eq!(view("MESSAGE_CREATE", &message, sees), View::Whole);
    }

    #[test]
    fn a_guild_shows_what_the_intents_ask_for() {
        let guild = json!({
            "members": [{"user": {"id": "9"}}, {"user": {"id": "2"}}, {"user": {"id": "3"}}],
            "voice_states": [{"user_id": "2"}], "presences": [{"user": {"id": "3"}}],
        });
        let View::Part(seen) = view("GUILD_CREATE", &guild, intents::GUILDS) else {
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
            view("GUILD_CREATE", &json!({"unavailable": true}), 0),
            View::Whole
        );
    }

    #[test]
    fn a_guild_is_large_by_the_sessions_threshold() {
        let online = json!([{"user": {"id": "2"}}]);
        let members = json!([{"user": {"id": "9"}}, {"user": {"id": "2"}}, {"user": {"id": "3"}}]);
        let guild = |count: u64, large: bool| {
            json!({
                "members": members, "voice_states": [], "presences": online, "large": large,
                "member_count": count,
            })
        };
        assert_eq!(
            view("GUILD_CREATE", &guild(50, false), intents::ALL),
            View::Whole
        );
        let View::Part(seen) = view("GUILD_CREATE", &guild(51, false), intents::ALL) else {
            panic!("all of it");
        };
        assert_eq!(
            (&seen["large"], &seen["presences"]),
            (&json!(true), &online)
        );
        assert_eq!(
            seen["members"],
            json!([{"user": {"id": "9"}}, {"user": {"id": "2"}}])
        );
        let differs = |members| may_differ("GUILD_CREATE", eyes(intents::ALL), members);
        assert_eq!((differs(50), differs(51)), (false, true));
    }

    #[test]
    fn of_a_threads_members_a_bot_hears_itself() {
        let other = json!({"added_members": [{"user_id": "2"}]});
        assert_eq!(
            view("THREAD_MEMBERS_UPDATE", &other, intents::GUILDS),
            View::Nothing
        );
        let own = json!({"removed_member_ids": ["9"]});
        assert_eq!(
            view("THREAD_MEMBERS_UPDATE", &own, intents::GUILDS),
            View::Whole
        );
        assert!(!may_differ("THREAD_MEMBERS_UPDATE", eyes(intents::ALL), 0));
        assert!(!may_differ("TYPING_START", eyes(0), 51));
    }
}
