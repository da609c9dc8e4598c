//! Emojis, stickers and soundboard sounds.

use rand::Rng;
use serde_json::{Value, json};

use crate::world::{DenseMap, Dispatch, Emoji, Sound, Sticker, World, id, intents};

impl World {
    pub(super) fn guild_emojis_update(&mut self) -> Option<Dispatch> {
        let (at, fresh) = (self.pick_guild()?, self.next_id());
        let style = self.rng.random_range(0..3);
        let guild = self.guilds.get_mut(at)?;
        let any = guild.emojis.pick(&mut self.rng);
        change(
            &mut guild.emojis,
            style,
            any,
            fresh,
            |id| Emoji {
                id,
                ..Emoji::default()
            },
            |emoji| {
                emoji.revision += 1;
            },
        );
        let emojis: Vec<Value> = guild.emojis.values().map(Emoji::json).collect();
        let d = json!({"guild_id": id(at), "emojis": emojis});
        Some(self.tell(
            Some(at),
            "GUILD_EMOJIS_UPDATE",
            intents::GUILD_EXPRESSIONS,
            d,
        ))
    }

    pub(super) fn guild_stickers_update(&mut self) -> Option<Dispatch> {
        let (at, fresh) = (self.pick_guild()?, self.next_id());
        let style = self.rng.random_range(0..3);
        let guild = self.guilds.get_mut(at)?;
        let any = guild.stickers.pick(&mut self.rng);
        change(
            &mut guild.stickers,
            style,
            any,
            fresh,
            |id| Sticker {
                id,
                ..Sticker::default()
            },
            |sticker| {
                sticker.revision += 1;
            },
        );
        let stickers: Vec<Value> = guild
            .stickers
            .values()
            .map(|sticker| sticker.json(at))
            .collect();
        let d = json!({"stickers": stickers, "guild_id": id(at)});
        Some(self.tell(
            Some(at),
            "GUILD_STICKERS_UPDATE",
            intents::GUILD_EXPRESSIONS,
            d,
        ))
    }

    pub(super) fn guild_soundboard_sound_create(&mut self) -> Option<Dispatch> {
        let (at, sound_id) = (self.pick_guild()?, self.next_id());
        let sound = Sound {
            id: sound_id,
            ..Sound::default()
        };
        let d = sound.json(at);
        self.guilds.get_mut(at)?.sounds.insert(sound_id, sound);
        let intent = intents::GUILD_EXPRESSIONS;
        Some(self.tell(Some(at), "GUILD_SOUNDBOARD_SOUND_CREATE", intent, d))
    }

    pub(super) fn guild_soundboard_sound_update(&mut self) -> Option<Dispatch> {
        let (at, sound) = self.pick_sound()?;
        let sound = self.guilds.get_mut(at)?.sounds.get_mut(sound)?;
        sound.revision += 1;
        let d = sound.json(at);
        let intent = intents::GUILD_EXPRESSIONS;
        Some(self.tell(Some(at), "GUILD_SOUNDBOARD_SOUND_UPDATE", intent, d))
    }

    pub(super) fn guild_soundboard_sound_delete(&mut self) -> Option<Dispatch> {
        let (at, sound) = self.pick_sound()?;
        self.guilds.get_mut(at)?.sounds.remove(sound)?;
        let d = json!({"sound_id": id(sound), "guild_id": id(at)});
        let intent = intents::GUILD_EXPRESSIONS;
        Some(self.tell(Some(at), "GUILD_SOUNDBOARD_SOUND_DELETE", intent, d))
    }

    pub(super) fn guild_soundboard_sounds_update(&mut self) -> Option<Dispatch> {
        let (at, sound) = self.pick_sound()?;
        self.guilds.get_mut(at)?.sounds.get_mut(sound)?.revision += 1;
        let d = self.sounds(at)?;
        let intent = intents::GUILD_EXPRESSIONS;
        Some(self.tell(Some(at), "GUILD_SOUNDBOARD_SOUNDS_UPDATE", intent, d))
    }

    /// The sounds of a guild, as if somebody had asked for them.
    pub(super) fn soundboard_sounds(&mut self) -> Option<Dispatch> {
        let at = self.pick_guild()?;
        let d = self.sounds(at)?;
        Some(self.tell(Some(at), "SOUNDBOARD_SOUNDS", 0, d))
    }

    fn pick_sound(&mut self) -> Option<(u64, u64)> {
        let at = self.guilds.pick_where(&mut self.rng, |guild| {
            !guild.unavailable && !guild.sounds.is_empty()
        })?;
        Some((at, self.guilds.get(at)?.sounds.pick(&mut self.rng)?))
    }
}

/// Adds one, removes one or renames one.
fn change<T>(
    all: &mut DenseMap<T>,
    style: u8,
    any: Option<u64>,
    fresh: u64,
    make: impl FnOnce(u64) -> T,
    rename: impl FnOnce(&mut T),
) {
    match (style, any) {
        (0, Some(any)) => {
            all.remove(any);
        }
        (1, Some(any)) => {
            if let Some(one) = all.get_mut(any) {
                rename(one);
            }
        }
        _ => all.insert(fresh, make(fresh)),
    }
}
