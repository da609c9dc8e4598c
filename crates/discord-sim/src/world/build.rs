//! How the world looks at the beginning, and how a new guild looks.

use rand::{Rng, rngs::StdRng};

use super::{
    Dm, World,
    channel::{CATEGORY, Channel, FORUM, STAGE, TEXT, Thread, VOICE},
    guild::Guild,
    member::{Member, Presence, Status, Voice},
    objects::{Emoji, Role, Scheduled, Sound, Sticker},
    user::User,
};
use crate::protocol::snowflake::snowflake;

/// The bot's account was made before everybody else's.
const FIRST_USER_MS: u64 = 1_440_000_000_000;
/// The bot's id, and its application's: of every world the same.
pub(crate) const BOT_ID: u64 = snowflake(FIRST_USER_MS, 1);
/// The oldest guild: 2016-01-01.
const FIRST_GUILD_MS: u64 = 1_451_606_400_000;
/// Between two guilds, in milliseconds. A prime: the guilds of consecutive numbers then fall to all
/// shards in turn, whatever the number of shards.
const GUILD_STEP_MS: u64 = 15_485_863;
/// Between two users.
const USER_STEP_MS: u64 = 860_281;
/// How many users the bot has a DM channel with.
const DMS: usize = 5;

impl World {
    /// Fills an empty world by its configuration.
    pub(super) fn populate(&mut self) {
        let users = match self.config.users {
            0 => {
                self.config
                    .guilds
                    .saturating_mul(self.config.members_per_guild)
                    / 3
            }
            users => users,
        };
        let users = users.max(self.config.members_per_guild).max(16);
        self.users = (0..=u64::from(users))
            .map(|place| User {
                id: snowflake(FIRST_USER_MS + place * USER_STEP_MS, 1),
                bot: place == 0,
                face: 0,
                guilds: Vec::new(),
            })
            .collect();
        for _ in 0..self.config.guilds {
            let guild = self.new_guild(self.config.members_per_guild);
            self.enter(guild);
        }
        for place in 1..self.users.len().min(DMS + 1) {
            let channel = self.next_id();
            self.dms.push(Dm {
                channel,
                user: place as u32,
            });
        }
    }

    /// Puts a guild into the bot's list and its members' lists.
    pub(crate) fn enter(&mut self, guild: Guild) {
        for member in guild.members.values() {
            self.users[member.user as usize].guilds.push(guild.id);
        }
        self.guilds.insert(guild.id, guild);
    }

    /// Takes a guild out of the bot's list and its members' lists.
    pub(crate) fn leave(&mut self, guild: u64) -> Option<Guild> {
        let guild = self.guilds.remove(guild)?;
        for member in guild.members.values() {
            self.users[member.user as usize]
                .guilds
                .retain(|of_user| *of_user != guild.id);
        }
        Some(guild)
    }

    /// Invents a guild that the bot isn't in yet.
    pub(crate) fn new_guild(&mut self, members: u32) -> Guild {
        let created_ms = FIRST_GUILD_MS + self.founded * GUILD_STEP_MS;
        self.founded += 1;
        let mut ids = Ids { ms: created_ms };
        let guild_id = ids.next();
        let mut guild = Guild {
            id: guild_id,
            joined_ms: created_ms + 3_600_000,
            ..Guild::default()
        };
        self.add_roles(&mut guild, &mut ids);
        self.add_channels(&mut guild, &mut ids);
        add_expressions(&mut guild, &mut ids, &mut self.rng);
        self.add_members(&mut guild, members);
        self.add_activity(&mut guild, &mut ids);
        guild
    }

    fn add_roles(&mut self, guild: &mut Guild, ids: &mut Ids) {
        guild.roles.insert(
            guild.id,
            Role {
                id: guild.id,
                everyone: true,
                ..Role::default()
            },
        );
        for position in 1..=self.rng.random_range(4..=8u16) {
            let role = ids.next();
            let bot = (position == 1).then_some(self.users[0].id);
            guild.roles.insert(
                role,
                Role {
                    id: role,
                    position,
                    bot,
                    ..Role::default()
                },
            );
        }
    }

    fn add_channels(&mut self, guild: &mut Guild, ids: &mut Ids) {
        let mut category = None;
        for position in 0..self.config.channels_per_guild.max(2) {
            let channel = ids.next();
            // One category, then text and voice in turn, with a stage and a forum among them.
            let kind = match position {
                0 | 3 => TEXT,
                1 => VOICE,
                2 => CATEGORY,
                5 => STAGE,
                6 => FORUM,
                other if other % 4 == 0 => VOICE,
                _ => TEXT,
            };
            if kind == CATEGORY {
                category = Some(channel);
            }
            let muted_role = self.rng.random_ratio(1, 3).then_some(guild.id);
            guild.channels.insert(
                channel,
                Channel {
                    id: channel,
                    kind,
                    position: position as u16,
                    parent: category.filter(|category| *category != channel),
                    muted_role,
                    hidden: position > 3 && self.rng.random_ratio(1, 12),
                    ..Channel::default()
                },
            );
        }
    }

    fn add_members(&mut self, guild: &mut Guild, members: u32) {
        let (bot, users) = (self.users[0].id, self.users.len());
        let roles: Vec<u64> = guild.roles.ids().filter(|role| *role != guild.id).collect();
        guild.members.insert(
            bot,
            Member {
                joined_ms: guild.joined_ms,
                roles: roles.first().copied().into_iter().collect(),
                presence: Presence {
                    status: Status::Online,
                    ..Presence::default()
                },
                ..Member::default()
            },
        );
        // A stretch of the list of users, begun at random, so that guilds share users and none is
        // drawn twice.
        let first = self.rng.random_range(1..users);
        for step in 0..(members.saturating_sub(1) as usize).min(users - 1) {
            let place = 1 + (first - 1 + step) % (users - 1);
            let user = &self.users[place];
            if step == 0 {
                guild.owner = user.id;
            }
            let joined_ms = guild.joined_ms + self.rng.random_range(0..200_000_000_000);
            let member = Member {
                user: place as u32,
                face: user.face,
                nick: if self.rng.random_ratio(1, 4) { 1 } else { 0 },
                roles: some_roles(&roles, &mut self.rng),
                joined_ms,
                premium_ms: self.rng.random_ratio(1, 20).then_some(joined_ms + 1_000),
                presence: some_presence(&mut self.rng, joined_ms),
                ..Member::default()
            };
            guild.members.insert(user.id, member);
        }
        if guild.owner == 0 {
            guild.owner = bot;
        }
    }

    /// Threads, calls and a scheduled event.
    fn add_activity(&mut self, guild: &mut Guild, ids: &mut Ids) {
        for _ in 0..2 {
            let parent = guild
                .channels
                .pick_where(&mut self.rng, Channel::takes_threads);
            if let (Some(parent), owner) = (parent, guild.owner) {
                let thread = ids.next();
                guild.threads.insert(
                    thread,
                    Thread {
                        id: thread,
                        parent,
                        owner,
                        kind: 11,
                        created_ms: ids.ms,
                        members: 2,
                        bot_joined_ms: self.rng.random_ratio(1, 2).then_some(ids.ms),
                        ..Thread::default()
                    },
                );
            }
        }
        for _ in 0..guild.members.len() / 25 {
            let channel = guild
                .channels
                .pick_where(&mut self.rng, Channel::takes_voice);
            let user = guild
                .members
                .pick_where(&mut self.rng, |member| member.user != 0);
            if let (Some(channel), Some(user)) = (channel, user) {
                let session = self.rng.random();
                guild.voices.insert(
                    user,
                    Voice {
                        channel,
                        session,
                        ..Voice::default()
                    },
                );
            }
        }
        let event = ids.next();
        let creator = guild
            .members
            .get(guild.owner)
            .map_or(0, |member| member.user);
        guild.events.insert(
            event,
            Scheduled {
                id: event,
                creator,
                starts_ms: self.clock_ms + 86_400_000,
                status: 1,
                ..Scheduled::default()
            },
        );
    }
}

fn add_expressions(guild: &mut Guild, ids: &mut Ids, rng: &mut StdRng) {
    for _ in 0..rng.random_range(2..=6) {
        let id = ids.next();
        guild.emojis.insert(
            id,
            Emoji {
                id,
                ..Emoji::default()
            },
        );
    }
    for _ in 0..rng.random_range(0..=2) {
        let id = ids.next();
        guild.stickers.insert(
            id,
            Sticker {
                id,
                ..Sticker::default()
            },
        );
    }
    for _ in 0..rng.random_range(0..=2) {
        let id = ids.next();
        guild.sounds.insert(
            id,
            Sound {
                id,
                ..Sound::default()
            },
        );
    }
}

/// None, one or two of the roles.
pub(crate) fn some_roles(roles: &[u64], rng: &mut StdRng) -> Vec<u64> {
    let mut some = Vec::new();
    for _ in 0..rng.random_range(0..=2) {
        if roles.is_empty() {
            break;
        }
        let role = roles[rng.random_range(0..roles.len())];
        if !some.contains(&role) {
            some.push(role);
        }
    }
    some
}

/// A presence like most people's: half are offline.
pub(crate) fn some_presence(rng: &mut StdRng, now_ms: u64) -> Presence {
    let status = match rng.random_range(0..20) {
        0..10 => Status::Offline,
        10..15 => Status::Online,
        15..18 => Status::Idle,
        _ => Status::DoNotDisturb,
    };
    let activity = if rng.random_ratio(1, 2) {
        rng.random()
    } else {
        0
    };
    Presence {
        status,
        activity,
        since_ms: now_ms,
    }
}

/// Ids of a guild's first children: one for each second after its creation.
struct Ids {
    ms: u64,
}

impl Ids {
    fn next(&mut self) -> u64 {
        self.ms += 1_000;
        snowflake(self.ms, 0)
    }
}
