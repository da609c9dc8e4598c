//! Calls and stages.

use rand::Rng;
use serde_json::json;

use crate::world::{Dispatch, STAGE, Stage, Voice, World, id, intents};

impl World {
    pub(super) fn voice_state_update(&mut self) -> Option<Dispatch> {
        let at = self.pick_guild()?;
        let (joins, style, session) = (
            self.once_in(3),
            self.rng.random_range(0..10),
            self.next_id(),
        );
        let guild = self.guilds.get_mut(at)?;
        let bot = self.users[0].id;
        let speaker = guild
            .voices
            .pick(&mut self.rng)
            .filter(|user| *user != bot && !joins);
        let channel = guild
            .channels
            .pick_where(&mut self.rng, |channel| channel.takes_voice())?;
        let suppress = guild.channels.get(channel)?.kind == STAGE;
        let (user, voice, told) = match speaker {
            None => {
                let user = guild
                    .members
                    .pick_where(&mut self.rng, |member| member.user != 0)?;
                let voice = match guild.voices.get(user) {
                    Some(voice) => Voice {
                        channel,
                        suppress,
                        ..voice.clone()
                    },
                    None => Voice {
                        channel,
                        session,
                        suppress,
                        ..Voice::default()
                    },
                };
                guild.voices.insert(user, voice.clone());
                (user, voice, Some(channel))
            }
            Some(user) if style < 3 => (user, guild.voices.remove(user)?, None),
            Some(user) => {
                let voice = guild.voices.get_mut(user)?;
                match style {
                    3 | 4 => (voice.channel, voice.suppress) = (channel, suppress),
                    5 | 6 => voice.self_mute = !voice.self_mute,
                    7 => voice.self_deaf = !voice.self_deaf,
                    8 => voice.self_video = !voice.self_video,
                    _ => voice.self_stream = !voice.self_stream,
                }
                (user, voice.clone(), Some(voice.channel))
            }
        };
        let d = guild.voice_update(&self.users, user, &voice, told)?;
        Some(self.tell(
            Some(at),
            "VOICE_STATE_UPDATE",
            intents::GUILD_VOICE_STATES,
            d,
        ))
    }

    pub(super) fn voice_server_update(&mut self) -> Option<Dispatch> {
        let at = self.pick_guild()?;
        let mut d = self.voice_server(at, self.clock_ms);
        if self.once_in(4) {
            // The voice server has gone and a new one isn't there yet.
            d["endpoint"] = json!(null);
        }
        Some(self.tell(Some(at), "VOICE_SERVER_UPDATE", 0, d))
    }

    pub(super) fn voice_channel_effect_send(&mut self) -> Option<Dispatch> {
        let at = self.guilds.pick_where(&mut self.rng, |guild| {
            !guild.unavailable && !guild.voices.is_empty()
        })?;
        let guild = self.guilds.get(at)?;
        let user = guild.voices.pick(&mut self.rng)?;
        let channel = guild.voices.get(user)?.channel;
        let mut d = json!({
            "user_id": id(user),
            "guild_id": id(at),
            "emoji": {"name": "🎺", "id": null, "animated": false},
            "channel_id": id(channel),
            "animation_type": 0,
            "animation_id": self.rng.random_range(0..21),
        });
        if let Some(sound) = guild.sounds.pick(&mut self.rng) {
            d["sound_id"] = id(sound);
            d["sound_volume"] = json!(0.5);
        }
        let intent = intents::GUILD_VOICE_STATES;
        Some(self.tell(Some(at), "VOICE_CHANNEL_EFFECT_SEND", intent, d))
    }

    pub(super) fn stage_instance_create(&mut self) -> Option<Dispatch> {
        let (at, stage_id) = (self.pick_guild()?, self.next_id());
        let guild = self.guilds.get_mut(at)?;
        let staged: Vec<u64> = guild.stages.values().map(|stage| stage.channel).collect();
        let channel = guild.channels.pick_where(&mut self.rng, |channel| {
            channel.takes_voice() && !staged.contains(&channel.id)
        })?;
        let stage = Stage {
            id: stage_id,
            channel,
            ..Stage::default()
        };
        let d = stage.json(at);
        guild.stages.insert(stage_id, stage);
        Some(self.tell(Some(at), "STAGE_INSTANCE_CREATE", intents::GUILDS, d))
    }

    pub(super) fn stage_instance_update(&mut self) -> Option<Dispatch> {
        let (at, stage) = self.pick_stage()?;
        let stage = self.guilds.get_mut(at)?.stages.get_mut(stage)?;
        stage.revision += 1;
        let d = stage.json(at);
        Some(self.tell(Some(at), "STAGE_INSTANCE_UPDATE", intents::GUILDS, d))
    }

    pub(super) fn stage_instance_delete(&mut self) -> Option<Dispatch> {
        let (at, stage) = self.pick_stage()?;
        let d = self.guilds.get_mut(at)?.stages.remove(stage)?.json(at);
        Some(self.tell(Some(at), "STAGE_INSTANCE_DELETE", intents::GUILDS, d))
    }

    fn pick_stage(&mut self) -> Option<(u64, u64)> {
        let at = self.guilds.pick_where(&mut self.rng, |guild| {
            !guild.unavailable && !guild.stages.is_empty()
        })?;
        Some((at, self.guilds.get(at)?.stages.pick(&mut self.rng)?))
    }
}
