//! The simulated Discord's state: guilds with channels, threads, roles, members, presences, calls
//! and messages, and what clients can ask of it.
//!
//! **Invariant:** everything follows from [`WorldConfig`] and the order of the calls: no wall clock,
//! no randomness from outside. World time begins at a fixed instant and advances with
//! [`World::step`].

use std::collections::VecDeque;

use rand::{SeedableRng, rngs::StdRng};
use serde::Serialize;
use serde_json::{Value, json};

use crate::protocol::snowflake::{shard_of, snowflake};

mod actions;
mod build;
mod channel;
mod commands;
mod dense_map;
mod documents;
mod guild;
pub mod intents;
mod member;
mod message;
mod objects;
mod overlay;
mod planned;
mod user;
mod words;
mod writing;

pub use actions::{Action, Deed, Done};
pub(crate) use build::{BOT_ID, some_presence, some_roles};
pub(crate) use channel::{ANNOUNCEMENT, Channel, STAGE, TEXT, Thread, VOICE, extend};
pub(crate) use commands::{nonce, snowflake_of, with_guild};
pub(crate) use dense_map::DenseMap;
pub(crate) use documents::{Documents, Family};
pub(crate) use guild::{Ban, Guild, View, status};
pub(crate) use member::{Member, MemberObject, Presence, PresenceUser, Status, Voice};
pub(crate) use message::{EPHEMERAL, LOADING, Message, Reaction, Written, remember};
pub(crate) use objects::{Emoji, Role, Scheduled, Sound, Stage, Sticker};
pub(crate) use overlay::{Fields, Overlay};
pub(crate) use planned::Planned;
pub(crate) use user::{Id, User, id};
pub(crate) use words::{image, name, scramble, sentence};
pub(crate) use writing::Place;

/// World time at the beginning: 2026-11-20 08:00 UTC, in Unix milliseconds.
const DAWN_MS: u64 = 1_795_161_600_000;

/// How large the world is and what it is drawn from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WorldConfig {
    /// Seed of everything random: the same configuration and calls give the same bytes.
    pub seed: u64,
    /// Guilds that the bot is in at the beginning.
    pub guilds: u32,
    /// Members of each guild at the beginning, the bot among them.
    pub members_per_guild: u32,
    /// Channels of each guild at the beginning (at least 2: one text, one voice channel).
    pub channels_per_guild: u32,
    /// Users in the world, shared among the guilds; 0 = a third of all memberships.
    pub users: u32,
    /// `large_threshold` of the GUILD_CREATEs that [`World::step`] makes: such a dispatch has one
    /// text for all sessions, whatever each of them asked for.
    pub large_threshold: u32,
    /// The voice server that VOICE_SERVER_UPDATE names, `HOST:PORT`. Nobody listens there unless you do.
    pub voice_endpoint: String,
}

impl Default for WorldConfig {
    fn default() -> Self {
        Self {
            seed: 1,
            guilds: 10,
            members_per_guild: 50,
            channels_per_guild: 12,
            users: 0,
            large_threshold: 250,
            voice_endpoint: "voice.example.com:443".to_owned(),
        }
    }
}

/// One dispatch, before it has a sequence.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dispatch {
    /// The guild whose shard gets it; `None`: shard 0 (direct messages and user events).
    pub guild: Option<u64>,
    /// Event name.
    pub t: String,
    /// JSON text of `d`.
    pub d: String,
    /// Intents of which a session must have one at least; 0 = every session gets it.
    pub intent: u64,
}

impl Dispatch {
    /// A dispatch whose text is as compact as it gets.
    pub(crate) fn plain(guild: Option<u64>, t: &str, intent: u64, d: &impl Serialize) -> Self {
        let d = compact(d);
        Self {
            guild,
            t: t.to_owned(),
            d,
            intent,
        }
    }
}

/// The whole simulated Discord, with the random numbers it is moved by.
#[derive(Debug, Clone)]
pub struct World {
    config: WorldConfig,
    pub(crate) rng: StdRng,
    /// World time, in Unix milliseconds.
    pub(crate) clock_ms: u64,
    /// Ids given out so far.
    issued: u16,
    /// Guilds invented so far.
    founded: u64,
    /// All users; the first one is the bot.
    pub(crate) users: Vec<User>,
    /// The guilds that the bot is in.
    pub(crate) guilds: DenseMap<Guild>,
    /// Some guilds that the bot was in: it may join them anew.
    pub(crate) left: VecDeque<Guild>,
    pub(crate) dms: Vec<Dm>,
    pub(crate) dm_messages: VecDeque<Message>,
    pub(crate) entitlements: Vec<u64>,
    pub(crate) subscriptions: Vec<u64>,
    /// What must be told next, because of what has been told.
    pub(crate) agenda: VecDeque<Planned>,
    /// What exists only because a client made it.
    pub(crate) documents: Documents,
}

/// A direct message channel with the bot.
#[derive(Debug, Clone)]
pub(crate) struct Dm {
    pub(crate) channel: u64,
    /// Place in the list of users.
    pub(crate) user: u32,
}

impl World {
    /// Builds the world.
    pub fn new(config: WorldConfig) -> World {
        let mut world = World {
            rng: StdRng::seed_from_u64(config.seed),
            config,
            clock_ms: DAWN_MS,
            issued: 0,
            founded: 0,
            users: Vec::new(),
            guilds: DenseMap::default(),
            left: VecDeque::new(),
            dms: Vec::new(),
            dm_messages: VecDeque::new(),
            entitlements: Vec::new(),
            subscriptions: Vec::new(),
            agenda: VecDeque::new(),
            documents: Documents::default(),
        };
        world.populate();
        world
    }

    /// The configuration it was built from.
    pub fn config(&self) -> &WorldConfig {
        &self.config
    }

    /// The bot's user, as in READY and `/users/@me`.
    pub fn bot_user(&self) -> Value {
        self.users[0].json_of_self()
    }

    /// The bot's application, as in `/applications/@me`; READY shows its `id` and `flags`.
    pub fn application(&self) -> Value {
        let bot = &self.users[0];
        json!({
            "id": id(bot.id),
            "name": name(bot.id, " "),
            "icon": null,
            "description": "a simulated application",
            "type": null,
            "bot": bot.json(),
            "owner": self.users[1].json(),
            "team": null,
            "bot_public": true,
            "bot_require_code_grant": false,
            "terms_of_service_url": null,
            "privacy_policy_url": null,
            "verify_key": format!("{}{}", image(bot.id), image(bot.id + 1)),
            "flags": (1 << 12) | (1 << 14) | (1 << 18),
            "approximate_guild_count": self.guilds.len(),
            "approximate_user_install_count": 0,
            "redirect_uris": [],
            "interactions_endpoint_url": null,
            "role_connections_verification_url": null,
            "rpc_origins": [],
            "tags": [],
            "hook": true,
            "summary": "",
        })
    }

    /// The guilds that the bot is in, those with an outage among them.
    pub fn guild_ids(&self) -> impl Iterator<Item = u64> {
        self.guilds.ids()
    }

    /// One shard's guilds as READY lists them.
    pub fn ready_guilds(&self, shard: u32, total: u32) -> Vec<Value> {
        self.of_shard(shard, total)
            .map(|guild| stub(guild.id))
            .collect()
    }

    /// What follows READY: a GUILD_CREATE for each guild of the shard, a GUILD_DELETE for each with
    /// an outage. Without the guilds intent nothing follows.
    pub fn guild_creates(
        &self,
        shard: u32,
        total: u32,
        intents: u64,
        large_threshold: u32,
    ) -> Vec<Dispatch> {
        if intents & intents::GUILDS == 0 {
            return Vec::new();
        }
        let view = View {
            intents,
            large_threshold,
            returning: true,
        };
        self.of_shard(shard, total)
            .map(|guild| {
                let at = Some(guild.id);
                if guild.unavailable {
                    return Dispatch::plain(at, "GUILD_DELETE", intents::GUILDS, &stub(guild.id));
                }
                let object = guild.json_of_create(&self.users, view);
                Dispatch::plain(at, "GUILD_CREATE", intents::GUILDS, &object)
            })
            .collect()
    }

    fn of_shard(&self, shard: u32, total: u32) -> impl Iterator<Item = &Guild> {
        self.guilds
            .values()
            .filter(move |guild| shard_of(guild.id, total) == shard)
    }

    /// A new id at the present world time.
    pub(crate) fn next_id(&mut self) -> u64 {
        self.issued = (self.issued + 1) & 0xFFF;
        if self.issued == 0 {
            self.clock_ms += 1;
        }
        snowflake(self.clock_ms, self.issued)
    }
}

/// Compact JSON text. The world's objects can always be written: their keys are strings.
pub(crate) fn compact(value: &impl Serialize) -> String {
    serde_json::to_string(value).unwrap_or_else(|_| "null".to_owned())
}

/// What is told of a guild that has an outage.
pub(crate) fn stub(guild: u64) -> Value {
    json!({"unavailable": true, "id": id(guild)})
}

#[cfg(test)]
mod tests;
