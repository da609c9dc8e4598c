//! Emojis, stickers and soundboard sounds. The events of emojis and stickers bring a guild's whole
//! set.

use super::{Listed, Outcome, in_guild};
use crate::core::{
    entity::Family,
    object::Object,
    step::{Step, Steps},
};

pub(super) fn emojis_update(d: Object<'_>) -> Outcome<'_> {
    replace(&d, Family::Emoji, "emojis", true)
}

pub(super) fn stickers_update(d: Object<'_>) -> Outcome<'_> {
    replace(&d, Family::Sticker, "stickers", true)
}

/// The sounds that have changed, by Discord's page ("multiple guild soundboard sounds are updated"):
/// the others stay.
pub(super) fn sounds_update(d: Object<'_>) -> Outcome<'_> {
    let guild = d.id("guild_id")?;
    let family = Family::SoundboardSound;
    let texts = d.list("soundboard_sounds")?;
    let children: Vec<_> = texts
        .iter()
        .filter_map(|text| {
            let Listed {
                entity,
                object,
                value,
            } = Listed::parse(guild, family, text)?;
            Some((entity, object, value?))
        })
        .collect();
    let skipped = u32::try_from(texts.len() - children.len()).unwrap_or(u32::MAX);
    let steps = vec![Step::MergeAll { family, children }];
    Ok(Steps {
        skipped,
        ..in_guild(guild, steps)
    })
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
        .filter_map(|text| {
            let listed = Listed::parse(guild, family, text)?;
            Some((listed.entity, listed.value?))
        })
        .collect();
    let skipped = u32::try_from(texts.len() - children.len()).unwrap_or(u32::MAX);
    let steps = vec![Step::ReplaceSet {
        guild,
        family,
        children,
        old,
    }];
    Ok(Steps {
        skipped,
        ..in_guild(guild, steps)
    })
}
