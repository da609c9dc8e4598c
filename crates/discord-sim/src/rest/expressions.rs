//! Emojis, stickers and sounds of a guild.

use serde_json::{Value, json};

use super::{
    call::{Answer, Call, Reply, json},
    refusal::{Refusal, Unknown},
};
use crate::world::{Emoji, Sound, Sticker, id, intents};

/// The id of the pack of standard stickers.
const PACK: u64 = 847_199_849_233_514_549;
/// The id of the sticker in it.
const STANDARD: u64 = 749_054_660_769_218_631;

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

/// A sticker of any guild, or the standard one.
pub(super) fn any_sticker(call: &mut Call) -> Answer {
    let sticker = call.id("sticker")?;
    if sticker == STANDARD {
        return json(standard_sticker());
    }
    let mut guilds = call.world().guilds.values();
    let found = guilds.find_map(|guild| Some(guild.stickers.get(sticker)?.json(guild.id)));
    json(found.ok_or_else(|| Refusal::unknown(Unknown::Sticker))?)
}

/// The one pack of standard stickers that there is.
fn standard_pack() -> Value {
    json!({
        "id": id(PACK), "stickers": [standard_sticker()], "name": "Wumpus Beyond", "sku_id": id(PACK - 2),
        "cover_sticker_id": id(STANDARD), "description": "Say hello to Wumpus!",
        "banner_asset_id": id(PACK - 3),
    })
}

fn standard_sticker() -> Value {
    json!({
        "id": id(STANDARD), "pack_id": id(PACK), "name": "Wave", "description": "Wumpus waves hello",
        "tags": "wave", "type": 1, "format_type": 3, "sort_value": 1,
    })
}

pub(super) fn packs(_: &mut Call) -> Answer {
    json(json!({"sticker_packs": [standard_pack()]}))
}

pub(super) fn pack(call: &mut Call) -> Answer {
    if call.id("pack")? != PACK {
        return Err(Refusal::unknown(Unknown::StickerPack));
    }
    json(standard_pack())
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
