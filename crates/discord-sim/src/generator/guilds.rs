//! Guilds coming, going, changing; roles.

use rand::Rng;
use serde_json::json;

use super::push_bounded;
use crate::world::{Dispatch, Guild, Planned, Role, View, World, id, intents, stub};

/// How many guilds that the bot left are kept, to be joined anew.
const LEFT: usize = 8;
/// How many members are told of a deleted role at once; others hear with their next update.
const TOLD_OF_ROLE: usize = 4;
/// A guild keeps at least this many roles.
const FEWEST_ROLES: usize = 4;

impl World {
    /// A guild returns from its outage, or the bot joins one, new or left before.
    pub(super) fn guild_create(&mut self) -> Option<Dispatch> {
        let away = self
            .guilds
            .values()
            .find(|guild| guild.unavailable)
            .map(|guild| guild.id);
        if let Some(at) = away {
            if self.once_in(6) {
                return Some(self.tell(Some(at), "GUILD_CREATE", intents::GUILDS, stub(at)));
            }
            let guild = self.guilds.get_mut(at)?;
            guild.unavailable = false;
            guild.drop_archived(None);
            return Some(self.tell_guild(at, true));
        }
        let most = self.config().guilds as usize + self.config().guilds as usize / 10 + 2;
        if self.guilds.len() >= most {
            return None;
        }
        let mut guild = match self.left.pop_front() {
            Some(left) if self.once_in(2) => left,
            Some(left) => {
                self.left.push_back(left);
                self.new_guild(self.config().members_per_guild)
            }
            None => self.new_guild(self.config().members_per_guild),
        };
        guild.joined_ms = self.clock_ms;
        if self.once_in(4) {
            // Discord may tell of the bot's own member before it tells of the guild.
            let bot = &self.users[0];
            let member = guild.members.get(bot.id)?;
            let (at, d) = (guild.id, member.json_of_event(bot, guild.id));
            self.agenda.push_back(Planned::Enter(Box::new(guild)));
            // Of its own member the bot is always told.
            return Some(self.tell(Some(at), "GUILD_MEMBER_UPDATE", 0, d));
        }
        Some(self.enter_guild(guild))
    }

    pub(super) fn enter_guild(&mut self, guild: Guild) -> Dispatch {
        let at = guild.id;
        self.enter(guild);
        self.tell_guild(at, false)
    }

    /// GUILD_CREATE of a guild that the bot is in.
    fn tell_guild(&mut self, at: u64, returning: bool) -> Dispatch {
        let large_threshold = self.config().large_threshold;
        let view = View {
            intents: intents::ALL,
            large_threshold,
            returning,
        };
        match self
            .guilds
            .get(at)
            .map(|guild| guild.json_of_create(&self.users, view))
        {
            Some(object) => self.tell(Some(at), "GUILD_CREATE", intents::GUILDS, object),
            None => self.tell(Some(at), "GUILD_CREATE", intents::GUILDS, stub(at)),
        }
    }

    /// An outage, or the bot leaves.
    pub(super) fn guild_delete(&mut self) -> Option<Dispatch> {
        let at = self.pick_guild()?;
        let away = self
            .guilds
            .values()
            .filter(|guild| guild.unavailable)
            .count();
        let may_fail = away < (self.guilds.len() / 20).max(1);
        let may_leave = self.guilds.len() > (self.config().guilds as usize * 9 / 10).max(1);
        if may_fail && (!may_leave || !self.once_in(3)) {
            self.guilds.get_mut(at)?.unavailable = true;
            return Some(self.tell(Some(at), "GUILD_DELETE", intents::GUILDS, stub(at)));
        }
        if !may_leave {
            return None;
        }
        let mut guild = self.leave(at)?;
        guild.revision += 1;
        guild.messages.clear();
        guild.voices.retain(|_, _| false);
        guild.drop_archived(None);
        guild.newest_member = None;
        push_bounded(&mut self.left, guild, LEFT);
        Some(self.tell(
            Some(at),
            "GUILD_DELETE",
            intents::GUILDS,
            json!({"id": id(at)}),
        ))
    }

    pub(super) fn guild_update(&mut self) -> Option<Dispatch> {
        let at = self.pick_guild()?;
        let guild = self.guilds.get_mut(at)?;
        guild.revision += 1;
        let d = guild.json();
        Some(self.tell(Some(at), "GUILD_UPDATE", intents::GUILDS, d))
    }

    pub(super) fn guild_role_create(&mut self) -> Option<Dispatch> {
        let (at, role_id) = (self.pick_guild()?, self.next_id());
        let guild = self.guilds.get_mut(at)?;
        let role = Role {
            id: role_id,
            position: guild.roles.len() as u16,
            ..Role::default()
        };
        let d = json!({"role": role.json(), "guild_id": id(at)});
        guild.roles.insert(role_id, role);
        Some(self.tell(Some(at), "GUILD_ROLE_CREATE", intents::GUILDS, d))
    }

    pub(super) fn guild_role_update(&mut self) -> Option<Dispatch> {
        let at = self.pick_guild()?;
        let guild = self.guilds.get_mut(at)?;
        let role = guild.roles.pick(&mut self.rng)?;
        let role = guild.roles.get_mut(role)?;
        role.revision += 1;
        let d = json!({"role": role.json(), "guild_id": id(at)});
        Some(self.tell(Some(at), "GUILD_ROLE_UPDATE", intents::GUILDS, d))
    }

    /// The members that have the role keep it until they are updated, as at Discord.
    pub(super) fn guild_role_delete(&mut self) -> Option<Dispatch> {
        let at = self.pick_guild()?;
        let guild = self.guilds.get_mut(at)?;
        if guild.roles.len() <= FEWEST_ROLES {
            return None;
        }
        let role = guild
            .roles
            .pick_where(&mut self.rng, |role| !role.everyone && role.bot.is_none())?;
        guild.roles.remove(role);
        let holders = guild
            .members
            .iter()
            .filter(|(_, member)| member.roles.contains(&role));
        for (user, _) in holders.take(TOLD_OF_ROLE) {
            self.agenda
                .push_back(Planned::ShowRoles { guild: at, user });
        }
        let d = json!({"role_id": id(role), "guild_id": id(at)});
        Some(self.tell(Some(at), "GUILD_ROLE_DELETE", intents::GUILDS, d))
    }

    pub(super) fn rate_limited(&mut self) -> Option<Dispatch> {
        let at = self.pick_guild()?;
        let retry_after = f64::from(self.rng.random_range(1..30_000)) / 1_000.0;
        let d = json!({
            "retry_after": retry_after, "opcode": 8, "meta": {"guild_id": id(at)},
        });
        Some(self.tell(Some(at), "RATE_LIMITED", 0, d))
    }
}
