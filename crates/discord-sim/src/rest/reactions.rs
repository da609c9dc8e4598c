//! Reactions to messages.

use serde_json::{Value, json};

use super::{
    call::{Answer, Call, Reply, json},
    messages::{about, intent, named},
    refusal::{Refusal, Unknown},
};
use crate::world::{Message, Place, Reaction, extend, id, intents};

/// Most different emojis on one message.
const REACTIONS: usize = 20;

/// The emoji of the path: `name:id`, or the emoji itself.
fn emoji(call: &Call) -> Result<Value, Refusal> {
    let text = call.text("emoji");
    match text.rsplit_once(':') {
        Some((name, number)) => match number.parse::<u64>() {
            Ok(number) => Ok(json!({"name": name.trim_start_matches("a:"), "id": id(number)})),
            Err(_) => Err(Refusal::unknown(Unknown::Emoji)),
        },
        // Letters are no emoji.
        None if text
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() && !byte.is_ascii_digit()) =>
        {
            Err(Refusal::unknown(Unknown::Emoji))
        }
        None => Ok(json!({"name": text, "id": null})),
    }
}

fn same_emoji(one: &Value, other: &Value) -> bool {
    match (&one["id"], &other["id"]) {
        (Value::Null, Value::Null) => one["name"] == other["name"],
        (one, other) => one == other,
    }
}

fn reaction_event(message: &Message, place: Place, emoji: &Value, user: Option<u64>) -> Value {
    let mut d =
        json!({"channel_id": id(message.channel), "message_id": id(message.id), "emoji": emoji});
    if let Some(user) = user {
        extend(
            &mut d,
            json!({"user_id": id(user), "type": 0, "burst": false}),
        );
    }
    about(place, d)
}

pub(super) fn react(call: &mut Call) -> Answer {
    let ((channel, place), message) = named(call)?;
    let emoji = emoji(call)?;
    let world = call.world();
    let bot = world.users[0].id;
    let Some(known) = world.message_mut(place.guild, channel, message) else {
        return Err(Refusal::unknown(Unknown::Message));
    };
    let is_full = known.reactions.len() >= REACTIONS;
    let found = known
        .reactions
        .iter_mut()
        .find(|reaction| same_emoji(&reaction.emoji, &emoji));
    match found {
        Some(reaction) if reaction.me => return Ok(Reply::Empty),
        Some(reaction) => (reaction.count, reaction.me) = (reaction.count + 1, true),
        None if is_full => {
            return Err(Refusal::bad(
                30_010,
                "Maximum number of reactions reached (20)",
            ));
        }
        None => known.reactions.push(Reaction {
            emoji: emoji.clone(),
            count: 1,
            me: true,
        }),
    }
    let mut d = reaction_event(known, place, &emoji, Some(bot));
    let author = known.author as usize;
    d["message_author_id"] = id(world.users[author].id);
    if let Some(guild) = place.guild.and_then(|guild| world.guilds.get(guild)) {
        d["member"] = json!(
            guild
                .members
                .get(bot)
                .map(|member| member.json(&world.users[0]))
        );
    }
    let intent = intent(place, intents::GUILD_MESSAGE_REACTIONS);
    call.tell(place.guild, "MESSAGE_REACTION_ADD", intent, &d);
    Ok(Reply::Empty)
}

/// Removes the bot's reaction, or another user's.
pub(super) fn unreact(call: &mut Call) -> Answer {
    let ((channel, place), message) = named(call)?;
    let emoji = emoji(call)?;
    let user = call.user()?;
    let world = call.world();
    let user_id = world.users[user].id;
    let Some(known) = world.message_mut(place.guild, channel, message) else {
        return Err(Refusal::unknown(Unknown::Message));
    };
    let found = known.reactions.iter_mut().find(|reaction| {
        same_emoji(&reaction.emoji, &emoji)
            && if user == 0 {
                reaction.me
            } else {
                reaction.count > u32::from(reaction.me)
            }
    });
    let Some(reaction) = found else {
        return Ok(Reply::Empty);
    };
    reaction.count -= 1;
    reaction.me &= user != 0;
    known.reactions.retain(|reaction| reaction.count > 0);
    let d = reaction_event(known, place, &emoji, Some(user_id));
    let intent = intent(place, intents::GUILD_MESSAGE_REACTIONS);
    call.tell(place.guild, "MESSAGE_REACTION_REMOVE", intent, &d);
    Ok(Reply::Empty)
}

pub(super) fn clear_reactions(call: &mut Call) -> Answer {
    let ((channel, place), message) = named(call)?;
    if let Some(known) = call.world().message_mut(place.guild, channel, message) {
        known.reactions.clear();
    }
    let d = about(
        place,
        json!({"channel_id": id(channel), "message_id": id(message)}),
    );
    let intent = intent(place, intents::GUILD_MESSAGE_REACTIONS);
    call.tell(place.guild, "MESSAGE_REACTION_REMOVE_ALL", intent, &d);
    Ok(Reply::Empty)
}

pub(super) fn clear_emoji(call: &mut Call) -> Answer {
    let ((channel, place), message) = named(call)?;
    let emoji = emoji(call)?;
    if let Some(known) = call.world().message_mut(place.guild, channel, message) {
        known
            .reactions
            .retain(|reaction| !same_emoji(&reaction.emoji, &emoji));
        let d = reaction_event(known, place, &emoji, None);
        let intent = intent(place, intents::GUILD_MESSAGE_REACTIONS);
        call.tell(place.guild, "MESSAGE_REACTION_REMOVE_EMOJI", intent, &d);
    }
    Ok(Reply::Empty)
}

/// Who reacted. The world remembers how many, not who: the bot, and then users as they come.
pub(super) fn reactors(call: &mut Call) -> Answer {
    let ((channel, place), message) = named(call)?;
    let emoji = emoji(call)?;
    let limit = call.limit(25, 100)?;
    let world = call.world();
    let known = world.message(place.guild, channel, message);
    let reaction = known.and_then(|m| m.reactions.iter().find(|r| same_emoji(&r.emoji, &emoji)));
    let (count, me) = reaction.map_or((0, false), |reaction| {
        (reaction.count as usize, reaction.me)
    });
    let skipped = usize::from(!me);
    let users = world.users.iter().skip(skipped).take(count.min(limit));
    json(users.map(|user| user.json()).collect::<Vec<_>>())
}
