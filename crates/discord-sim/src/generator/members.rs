//! Members, their presences, and bans.

use rand::Rng;
use serde_json::{Value, json};

use super::take_any;
use crate::world::{
    Ban, Dispatch, Id, Member, Planned, Presence, PresenceUser, Status, Voice, World, id, intents,
    some_presence, some_roles,
};

/// A user in more guilds than this doesn't change its name: all its guilds would be told.
const GUILDS_TOLD: usize = 8;
/// Bans that a guild remembers.
const BANS: usize = 50;

impl World {
    pub(super) fn guild_member_add(&mut self) -> Option<Dispatch> {
        let at = self.pick_guild()?;
        let repeat = self.once_in(12);
        let newcomer = self.pick_stranger(at);
        let guild = self.guilds.get_mut(at)?;
        let newest = guild
            .newest_member
            .filter(|user| repeat && guild.members.contains(*user));
        let user = match newest {
            Some(user) => user,
            None => {
                let place = newcomer?;
                let user = &mut self.users[place];
                let member = Member {
                    user: place as u32,
                    face: user.face,
                    joined_ms: self.clock_ms,
                    pending: true,
                    ..Member::default()
                };
                guild.members.insert(user.id, member);
                guild.newest_member = Some(user.id);
                user.guilds.push(at);
                user.id
            }
        };
        let member = guild.members.get(user)?;
        let d = member.json_of_event(&self.users[member.user as usize], at);
        Some(self.tell(Some(at), "GUILD_MEMBER_ADD", intents::GUILD_MEMBERS, d))
    }

    /// The place of a user who isn't in the guild.
    fn pick_stranger(&mut self, at: u64) -> Option<usize> {
        let guild = self.guilds.get(at)?;
        (0..16)
            .map(|_| self.rng.random_range(1..self.users.len()))
            .find(|place| !guild.members.contains(self.users[*place].id))
    }

    pub(super) fn guild_member_remove(&mut self) -> Option<Dispatch> {
        let at = self.pick_guild()?;
        let user = self.pick_plain_member(at)?;
        self.remove_member(at, user)
    }

    pub(super) fn remove_member(&mut self, at: u64, user: u64) -> Option<Dispatch> {
        let guild = self.guilds.get_mut(at)?;
        let member = guild.members.remove(user)?;
        if let Some(voice) = guild.voices.remove(user) {
            self.agenda.push_back(Planned::LeaveCall {
                guild: at,
                member: Box::new(member.clone()),
                voice,
            });
        }
        if member.presence.status != Status::Offline {
            self.agenda
                .push_back(Planned::GoOffline { guild: at, user });
        }
        let user = &mut self.users[member.user as usize];
        user.guilds.retain(|guild| *guild != at);
        let d = json!({"user": user.json_with(member.face), "guild_id": id(at)});
        Some(self.tell(Some(at), "GUILD_MEMBER_REMOVE", intents::GUILD_MEMBERS, d))
    }

    /// Discord tells it after the removal.
    pub(super) fn leave_call(&mut self, at: u64, member: &Member, voice: &Voice) -> Dispatch {
        let user = &self.users[member.user as usize];
        let d = voice.json_of_event(user, member, at, None);
        let intent = intents::GUILD_VOICE_STATES;
        self.tell(Some(at), "VOICE_STATE_UPDATE", intent, d)
    }

    pub(super) fn go_offline(&mut self, at: u64, user: u64) -> Dispatch {
        let mut d = Presence::default().json(user);
        d.guild_id = Some(Id(at));
        self.tell(Some(at), "PRESENCE_UPDATE", intents::GUILD_PRESENCES, d)
    }

    pub(super) fn guild_member_update(&mut self) -> Option<Dispatch> {
        let at = self.pick_guild()?;
        let user = self.pick_plain_member(at)?;
        let (style, left_out, now) = (
            self.rng.random_range(0..7),
            self.rng.random_range(0..8),
            self.clock_ms,
        );
        let guild = self.guilds.get_mut(at)?;
        let roles: Vec<u64> = guild.roles.ids().filter(|role| *role != at).collect();
        let member = guild.members.get_mut(user)?;
        let account = &mut self.users[member.user as usize];
        member.roles.retain(|role| roles.contains(role));
        match style {
            0 => member.roles = some_roles(&roles, &mut self.rng),
            1 => member.avatar = self.rng.random_range(0..3),
            2 => {
                let until = (now + 600_000) * 1_000;
                member.timeout_us = member.timeout_us.is_none().then_some(until);
            }
            3 => member.premium_ms = member.premium_ms.is_none().then_some(now),
            4 => member.pending = !member.pending,
            5 if account.guilds.len() <= GUILDS_TOLD => {
                account.face += 1;
                member.face = account.face;
                let others = account.guilds.iter().copied().filter(|guild| *guild != at);
                let told = others.map(|guild| Planned::ShowFace { guild, user });
                self.agenda.extend(told);
            }
            _ => {
                member.nick = if member.nick == 0 {
                    self.rng.random_range(1..9)
                } else {
                    0
                }
            }
        }
        let mut d = member.json_of_event(account, at);
        // Discord may leave these out; no update here changes them.
        match left_out {
            0 => d.deaf = None,
            1 => d.mute = None,
            2 => d.banner = None,
            3 => d.flags = None,
            _ => {}
        }
        Some(self.tell(Some(at), "GUILD_MEMBER_UPDATE", intents::GUILD_MEMBERS, d))
    }

    /// One of a user's other guilds hears of its new name and avatar.
    pub(super) fn show_face(&mut self, at: u64, user: u64) -> Option<Dispatch> {
        let guild = self.guilds.get_mut(at)?;
        let member = guild.members.get_mut(user)?;
        let account = &self.users[member.user as usize];
        member.face = account.face;
        // While a guild has an outage it hears nothing; its return tells everything.
        if guild.unavailable {
            return None;
        }
        let d = member.json_of_event(account, at);
        Some(self.tell(Some(at), "GUILD_MEMBER_UPDATE", intents::GUILD_MEMBERS, d))
    }

    /// A member loses the roles that no longer exist.
    pub(super) fn show_roles(&mut self, at: u64, user: u64) -> Option<Dispatch> {
        let guild = self.guilds.get_mut(at)?;
        let member = guild.members.get_mut(user)?;
        member.roles.retain(|role| guild.roles.contains(*role));
        let account = &self.users[member.user as usize];
        // The bot's own user may have changed since.
        member.face = account.face;
        // Of its own member the bot is always told.
        let intent = if account.bot {
            0
        } else {
            intents::GUILD_MEMBERS
        };
        let d = member.json_of_event(account, at);
        Some(self.tell(Some(at), "GUILD_MEMBER_UPDATE", intent, d))
    }

    /// A part of the member list, as if somebody had asked for it.
    pub(super) fn guild_members_chunk(&mut self) -> Option<Dispatch> {
        let at = self.pick_guild()?;
        let wanted = self.rng.random_range(1..=8);
        let guild = self.guilds.get(at)?;
        let picked: Vec<u64> = (0..wanted)
            .filter_map(|_| guild.members.pick(&mut self.rng))
            .collect();
        let members: Vec<(u64, &Member)> = picked
            .iter()
            .filter_map(|user| Some((*user, guild.members.get(*user)?)))
            .collect();
        let mut d = self.chunk(at, &members, true, &[]);
        d["chunk_index"] = json!(0);
        d["chunk_count"] = json!(1);
        Some(self.tell(Some(at), "GUILD_MEMBERS_CHUNK", 0, d))
    }

    pub(super) fn presence_update(&mut self) -> Option<Dispatch> {
        let at = self.pick_guild()?;
        let (named, now) = (self.once_in(10), self.clock_ms);
        let guild = self.guilds.get_mut(at)?;
        let user = guild.members.pick(&mut self.rng)?;
        let member = guild.members.get_mut(user)?;
        member.presence = some_presence(&mut self.rng, now);
        let mut d = member.presence.json(user);
        d.guild_id = Some(Id(at));
        if named {
            // When the user itself has changed Discord sends all of it, else its id.
            d.user = PresenceUser::Whole(self.users[member.user as usize].json());
        }
        Some(self.tell(Some(at), "PRESENCE_UPDATE", intents::GUILD_PRESENCES, d))
    }

    pub(super) fn guild_ban_add(&mut self) -> Option<Dispatch> {
        let at = self.pick_guild()?;
        let user = self.pick_plain_member(at)?;
        let guild = self.guilds.get_mut(at)?;
        let place = guild.members.get(user)?.user;
        if guild.bans.len() < BANS {
            guild.bans.push(Ban::of(place));
        }
        let d = self.banned(at, place);
        self.agenda
            .push_back(Planned::RemoveMember { guild: at, user });
        Some(self.tell(Some(at), "GUILD_BAN_ADD", intents::GUILD_MODERATION, d))
    }

    pub(super) fn guild_ban_remove(&mut self) -> Option<Dispatch> {
        let at = self.guilds.pick_where(&mut self.rng, |guild| {
            !guild.unavailable && !guild.bans.is_empty()
        })?;
        let ban = take_any(&mut self.guilds.get_mut(at)?.bans, &mut self.rng)?;
        let d = self.banned(at, ban.user);
        Some(self.tell(Some(at), "GUILD_BAN_REMOVE", intents::GUILD_MODERATION, d))
    }

    fn banned(&self, at: u64, user: u32) -> Value {
        json!({"user": self.users[user as usize].json(), "guild_id": id(at)})
    }
}
