//! The generator: moves the world, one dispatch at a time, with a mix of events like Discord's.

use std::collections::VecDeque;

use rand::Rng;
use serde::Serialize;

use crate::world::{Dispatch, Planned, World};

mod application;
mod channels;
mod expressions;
mod guilds;
mod kinds;
mod members;
mod messages;
mod moderation;
mod reactions;
mod scheduled;
mod text;
mod threads;
mod voice;

pub use kinds::{DISPATCH_TYPES, UNKNOWN_TYPE};
use kinds::{KINDS, Kind};

/// How often each event occurs, by weight.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mix {
    /// Place in [`KINDS`], and the sum of the weights up to and with it.
    bounds: Vec<(usize, u32)>,
}

impl Mix {
    /// A mix like that of a large bot: messages, typing, presences, voice and member updates
    /// dominate; every documented dispatch type occurs (but READY and RESUMED, which belong to a
    /// session), and one that no library knows ([`UNKNOWN_TYPE`]).
    pub fn realistic() -> Mix {
        Mix::weighted(
            KINDS
                .iter()
                .enumerate()
                .map(|(place, kind)| (place, kind.weight)),
        )
    }

    /// Only the named events, each as often as the others; unknown names are left out (see
    /// [`Mix::knows`]). An event that has nothing to act on is replaced by one that prepares it, and
    /// what Discord tells together stays together: deleting a channel tells of its threads first.
    pub fn only(names: &[&str]) -> Mix {
        let named = KINDS
            .iter()
            .enumerate()
            .filter(|(_, kind)| names.contains(&kind.name));
        Mix::weighted(named.map(|(place, _)| (place, 1)))
    }

    /// Whether the generator makes events of this name.
    pub fn knows(name: &str) -> bool {
        kind(name).is_some()
    }

    /// The names that can occur.
    pub fn names(&self) -> impl Iterator<Item = &'static str> {
        self.bounds.iter().map(|(place, _)| KINDS[*place].name)
    }

    fn weighted(weights: impl Iterator<Item = (usize, u32)>) -> Mix {
        let mut sum = 0;
        let bounds = weights
            .map(|(place, weight)| {
                sum += weight;
                (place, sum)
            })
            .collect();
        Mix { bounds }
    }

    /// `None`: the mix is empty.
    fn draw(&self, rng: &mut impl Rng) -> Option<&'static Kind> {
        let (_, total) = self.bounds.last()?;
        let drawn = rng.random_range(0..*total);
        let place = self.bounds.partition_point(|(_, bound)| *bound <= drawn);
        Some(&KINDS[self.bounds[place].0])
    }
}

fn kind(name: &str) -> Option<&'static Kind> {
    KINDS.iter().find(|kind| kind.name == name)
}

/// How often an event is replaced by the one that prepares it before another is drawn.
const PREPARATIONS: usize = 3;

impl World {
    /// Tells the next of what follows from what was told before.
    pub(crate) fn next_planned(&mut self) -> Option<Dispatch> {
        while let Some(planned) = self.agenda.pop_front() {
            if let Some(dispatch) = self.perform(planned) {
                return Some(dispatch);
            }
        }
        None
    }

    /// Changes the world and tells of it: one call, one dispatch.
    pub fn step(&mut self, mix: &Mix) -> Dispatch {
        self.clock_ms += self.rng.random_range(1..20);
        if let Some(dispatch) = self.next_planned() {
            return dispatch;
        }
        for _ in 0..4 {
            let mut drawn = mix.draw(&mut self.rng);
            for _ in 0..PREPARATIONS {
                let Some(kind) = drawn else { break };
                if let Some(dispatch) = (kind.act)(self) {
                    return dispatch;
                }
                drawn = self::kind(kind.needs);
            }
        }
        self.idle()
    }

    /// What happens when nothing of the mix can: a guild returns, or somebody types.
    fn idle(&mut self) -> Dispatch {
        if self.guilds.values().all(|guild| guild.unavailable)
            && let Some(dispatch) = self.guild_create()
        {
            return dispatch;
        }
        match self.typing_start() {
            Some(dispatch) => dispatch,
            None => self.dm_typing(),
        }
    }

    fn perform(&mut self, planned: Planned) -> Option<Dispatch> {
        match planned {
            Planned::DeleteThread { guild, thread } => self.delete_thread(guild, thread),
            Planned::DeleteChannel { guild, channel } => self.delete_channel(guild, channel),
            Planned::SyncThreads { guild, channel } => self.sync_threads(guild, Some(channel)),
            Planned::RemoveMember { guild, user } => self.remove_member(guild, user),
            Planned::ShowFace { guild, user } => self.show_face(guild, user),
            Planned::ShowRoles { guild, user } => self.show_roles(guild, user),
            Planned::Enter(guild) => Some(self.enter_guild(*guild)),
            Planned::LeaveCall {
                guild,
                member,
                voice,
            } => Some(self.leave_call(guild, &member, &voice)),
            Planned::GoOffline { guild, user } => Some(self.go_offline(guild, user)),
            Planned::ShowThread { guild, message } => self.show_thread(guild, message),
        }
    }

    /// A guild that is there, at random.
    fn pick_guild(&mut self) -> Option<u64> {
        self.guilds
            .pick_where(&mut self.rng, |guild| !guild.unavailable)
    }

    /// A member of the guild at random, but the bot and the owner.
    fn pick_plain_member(&mut self, guild: u64) -> Option<u64> {
        let guild = self.guilds.get(guild)?;
        let user = guild
            .members
            .pick_where(&mut self.rng, |member| member.user != 0)?;
        (user != guild.owner).then_some(user)
    }

    /// Writes a dispatch as Discord might: now and then with a field that no library knows, with
    /// other white space, or with escapes where none are needed.
    fn tell(&mut self, guild: Option<u64>, t: &str, intent: u64, d: impl Serialize) -> Dispatch {
        let (whim, style) = (self.rng.random::<u32>(), self.rng.random::<u32>());
        let d = if whim.is_multiple_of(40) {
            text::render(&text::with_future(&d, whim), style)
        } else {
            text::render(&d, style)
        };
        Dispatch {
            guild,
            t: t.to_owned(),
            d,
            intent,
        }
    }

    /// True once in `n` times.
    fn once_in(&mut self, n: u32) -> bool {
        self.rng.random_ratio(1, n)
    }

    /// A place in a list of `len` (not 0) at random.
    fn place_in(&mut self, len: usize) -> usize {
        self.rng.random_range(0..len.max(1))
    }
}

/// Takes an element out of a list at random.
fn take_any<T>(list: &mut Vec<T>, rng: &mut impl Rng) -> Option<T> {
    if list.is_empty() {
        return None;
    }
    let place = rng.random_range(0..list.len());
    Some(list.swap_remove(place))
}

/// Appends, letting go of the oldest beyond `bound`.
fn push_bounded<T>(list: &mut VecDeque<T>, value: T, bound: usize) {
    if list.len() >= bound {
        list.pop_front();
    }
    list.push_back(value);
}

#[cfg(test)]
mod tests;
