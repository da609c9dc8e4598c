//! A scenario as it is written. What is not known is an error.

use std::{collections::BTreeMap, time::Duration};

use serde::{Deserialize, Serialize};
use serde_json::Value;
use toml::Spanned;

use super::duration::{Span, text};
use crate::{
    config::SimConfig,
    faults::{Fault, RestFault},
    generator::Mix,
    load::Load,
    world::{Action, WorldConfig},
};

/// The whole file.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Document {
    /// How long all of it may take.
    pub(super) limit: Option<Span>,
    #[serde(default)]
    pub(super) discord: Discord,
    #[serde(default)]
    pub(super) bot: BotDocument,
    #[serde(default)]
    pub(super) step: Vec<Spanned<StepDocument>>,
}

/// What the simulated Discord is like; what is left out is as the options say.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Discord {
    seed: Option<u64>,
    guilds: Option<u32>,
    members: Option<u32>,
    channels: Option<u32>,
    shards: Option<u32>,
    max_concurrency: Option<u32>,
    heartbeat_interval: Option<Span>,
    identify_interval: Option<Span>,
    session_lifetime: Option<Span>,
    replay_limit: Option<usize>,
    rest_limits: Option<bool>,
    time_scale: Option<f64>,
    voice_endpoint: Option<String>,
}

impl Discord {
    pub(super) fn over(&self, base: SimConfig) -> SimConfig {
        let interval = |own: Option<Span>, base: Duration| own.map_or(base, |own| own.0);
        SimConfig {
            world: WorldConfig {
                seed: self.seed.unwrap_or(base.world.seed),
                guilds: self.guilds.unwrap_or(base.world.guilds),
                members_per_guild: self.members.unwrap_or(base.world.members_per_guild),
                channels_per_guild: self.channels.unwrap_or(base.world.channels_per_guild),
                voice_endpoint: self
                    .voice_endpoint
                    .clone()
                    .unwrap_or(base.world.voice_endpoint),
                ..base.world
            },
            recommended_shards: self.shards.unwrap_or(base.recommended_shards),
            max_concurrency: self.max_concurrency.unwrap_or(base.max_concurrency),
            heartbeat_interval: interval(self.heartbeat_interval, base.heartbeat_interval),
            identify_interval: interval(self.identify_interval, base.identify_interval),
            session_lifetime: interval(self.session_lifetime, base.session_lifetime),
            replay_limit: self.replay_limit.unwrap_or(base.replay_limit),
            time_scale: self.time_scale.unwrap_or(base.time_scale),
            rest_limits: self.rest_limits.unwrap_or(base.rest_limits),
            ..base
        }
    }
}

/// The bot.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct BotDocument {
    /// What starts it, if the command line doesn't say.
    #[serde(default)]
    pub(super) command: Vec<String>,
    /// Its environment, beside what it is given anyway.
    #[serde(default)]
    pub(super) env: BTreeMap<String, String>,
    /// How long it may take to end after SIGTERM.
    pub(super) stop_within: Option<Span>,
}

/// One step.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct StepDocument {
    pub(super) name: Option<String>,
    pub(super) r#as: Option<String>,
    pub(super) act: Option<Action>,
    pub(super) fault: Option<Fault>,
    /// Whom the fault is for.
    pub(super) shard: Option<u32>,
    pub(super) rest: Option<RestFault>,
    pub(super) rest_normally: Option<bool>,
    pub(super) inject: Option<Inject>,
    pub(super) load: Option<LoadDocument>,
    pub(super) wait: Option<Span>,
    pub(super) expect: Option<ExpectDocument>,
}

/// A payload of the scenario's own: an event's name and `d`, or a whole text.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Inject {
    #[serde(default)]
    pub(super) shard: u32,
    pub(super) t: Option<String>,
    pub(super) d: Option<Value>,
    pub(super) raw: Option<String>,
}

impl Inject {
    pub(super) fn check(&self) -> Result<(), String> {
        match (&self.t, &self.d, &self.raw) {
            (Some(_), Some(_), None) | (None, None, Some(_)) => Ok(()),
            _ => Err("`inject` has either `t` and `d`, or `raw`".to_owned()),
        }
    }
}

/// Events; without a number or a duration they go on beside the steps that follow.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct LoadDocument {
    events: Option<u64>,
    rate: Option<f64>,
    duration: Option<Span>,
    mix: Option<Vec<String>>,
}

impl LoadDocument {
    pub(super) fn check(&self) -> Result<(), String> {
        let mut names = self.mix.iter().flatten();
        match names.find(|name| !Mix::knows(name)) {
            Some(name) => Err(format!("no event is called {name}")),
            None => Ok(()),
        }
    }

    pub(super) fn ends(&self) -> bool {
        self.events.is_some() || self.duration.is_some()
    }

    pub(super) fn load(&self) -> Load {
        let mix = self.mix.as_ref().map_or_else(Mix::realistic, |names| {
            Mix::only(&names.iter().map(String::as_str).collect::<Vec<_>>())
        });
        Load {
            events: self.events,
            rate: self.rate,
            duration: self.duration.map(|duration| duration.0),
            mix,
        }
    }

    pub(super) fn summary(&self) -> String {
        let events = self.events.map(|events| format!("{events} events"));
        let rate = self.rate.map(|rate| format!("{rate} a second"));
        let duration = self
            .duration
            .map(|duration| format!("for {}", text(duration.0)));
        let parts: Vec<String> = [events, rate, duration].into_iter().flatten().collect();
        parts.join(", ")
    }
}

/// What the bot must have done.
#[derive(Debug, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ExpectDocument {
    pub(super) session: Option<SessionState>,
    pub(super) interaction: Option<InteractionState>,
    /// `METHOD /path`.
    pub(super) request: Option<String>,
    pub(super) message: Option<Value>,
    /// An opcode.
    pub(super) command: Option<u64>,
    pub(super) violations: Option<u64>,
    /// The code that it ends with.
    pub(super) exit: Option<i32>,

    pub(super) status: Option<u16>,
    pub(super) body: Option<Value>,
    pub(super) times: Option<u64>,
    #[serde(skip_serializing)]
    pub(super) within: Option<Span>,
    #[serde(skip_serializing)]
    pub(super) since: Option<Since>,
}

/// What has become of the bot's sessions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum SessionState {
    /// One was started.
    Identified,
    /// One was resumed.
    Resumed,
    /// Each is connected and has been sent all that it is owed; there is one at least.
    Ready,
}

/// What has become of the interactions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum InteractionState {
    /// There was one at least, and each was answered in time.
    Answered,
}

/// From when on something is looked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Since {
    /// The last step that made something happen.
    Cause,
    /// The start of the bot.
    Start,
}
