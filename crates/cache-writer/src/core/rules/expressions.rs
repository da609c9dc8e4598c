//! Emojis, stickers and soundboard sounds, whose events bring a guild's whole set.

use super::{Outcome, listed};
use crate::core::{
    entity::Family,
    object::Object,
    step::{Scope, Step, Steps},
};

pub(super) fn emojis_update(d: Object<'_>) -> Outcome<'_> {
    replace(&d, Family::Emoji, "emojis", true)
}

pub(super) fn stickers_update(d: Object<'_>) -> Outcome<'_> {
    replace(&d, Family::Sticker, "stickers", true)
}

pub(super) fn sounds_update(d: Object<'_>) -> Outcome<'_> {
    replace(&d, Family::SoundboardSound, "soundboard_sounds", true)
}

/// The answer to a request for the sounds: it tells what is, not what has changed.
pub(super) fn sounds(d: Object<'_>) -> Outcome<'_> {
    replace(&d, Family::SoundboardSound, "soundboard_sounds", false)
}

fn replace<'a>(d: &Object<'a>, family: Family, list: &'static str, old: bool) -> Outcome<'a> {
    let guild = d.id("guild_id")?;
    let texts = d.list(list)?;
    let children: Vec<_> = texts
        .iter()
        .filter_map(|text| listed(guild, family, text))
        .collect();
    let skipped = u32::try_from(texts.len() - children.len()).unwrap_or(u32::MAX);
    let steps = vec![Step::ReplaceSet {
        guild,
        family,
        children,
        old,
    }];
    Ok(Steps {
        scope: Scope::Guild(guild),
        steps,
        skipped,
    })
}
