//! Which shards this process tries to own, and which it gives to others.
//!
//! Nothing here grants a right: the lock on RabbitMQ does (`shell::claim`). What Redis says of who lives and who owns what are hints
//! ([`View`]): a wrong one costs a look at a lock, or a move, never a second owner.
//!
//! Processes with the same range of shards form a group and share the range; those without one share what no living process has in
//! its range. Each computes the same quotas from what Redis says (`quota`), takes what is free up to its own, and gives away what
//! is above it.

mod quota;
#[cfg(test)]
mod tests;

use std::{
    collections::{BTreeMap, BTreeSet},
    ops::RangeInclusive,
    time::Duration,
};

use quota::Group;

/// After a lost connection to RabbitMQ was made again, the shards of others are left alone for so long: RabbitMQ may just have come
/// back, and who owned them before is to have them again.
const HEAD_START: Duration = Duration::from_secs(5);
/// Nothing is given away until the same processes have lived for so long: those that start together are to be seen together.
const SETTLED: Duration = Duration::from_secs(3);
/// A shard that was given to this process to share evenly stays for so long while processes come and go.
const STAYS: Duration = Duration::from_secs(30);
/// When none has come or gone for so long, it may go on all the same: the shards are to be shared evenly 15 s after the last change.
const CALM: Duration = Duration::from_secs(8);
/// A shard that nobody has taken for so long, although its lock was free, is taken by anybody.
const ORPHANED: Duration = Duration::from_secs(4);
/// An owner whose lock was found free counts as dead for so long: its sign of life runs out by then.
const SUSPECT: Duration = Duration::from_secs(6);
/// Shards that are given away at a time.
pub const MOVES: usize = 8;

/// A living process.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Member {
    /// The shards that it may hold; `None` for any.
    pub range: Option<RangeInclusive<u32>>,
}

/// What Redis says.
#[derive(Clone, Debug, Default)]
pub struct View {
    /// The processes that live and can own shards, this one among them.
    pub members: BTreeMap<String, Member>,
    /// The owner of each shard that has one.
    pub owners: BTreeMap<u32, String>,
    /// Owners that give signs of life; some may be no members, because their version knows nothing of them.
    pub alive: BTreeSet<String>,
}

/// What to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Action {
    /// Find out whether the lock is held, without taking it ([`Share::looked`]).
    Look(u32),
    /// Take the lock if it is free ([`Share::owned`], [`Share::locked`]).
    Try {
        /// The shard.
        shard: u32,
        /// Whether its stored session may be resumed although `RESUME` is off: it was another's while this process has run.
        running: bool,
        /// Whether somebody may hold the lock.
        doubt: bool,
    },
    /// Give the shard to others in order ([`Share::ended`]).
    Release(u32),
    /// Another process owns the shard: close and forget it ([`Share::ended`]).
    LetGo(u32),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Slot {
    /// The lock is being tried. `lost`: the shard was held, and still runs here.
    Trying { lost: bool },
    /// The lock is held. `moved`: when another process gave the shard away and this one took it.
    Held { moved: Option<Duration> },
    /// The lock went with the connection; the shard still runs here.
    Lost,
    /// The shard is ending here.
    Ending,
}

/// The shards of this process.
#[derive(Debug)]
pub struct Share {
    me: String,
    total: u32,
    range: Option<RangeInclusive<u32>>,
    slots: BTreeMap<u32, Slot>,
    connected: bool,
    /// Until when the shards of others are left alone.
    head_start: Duration,
    members: BTreeSet<String>,
    joined: Duration,
    left: Option<Duration>,
    /// Since when each shard was seen without a living owner, and its lock not held.
    free: BTreeMap<u32, Duration>,
    /// Shards that another living process has owned while this one has run.
    others: BTreeSet<u32>,
    /// Whether the locks of living owners have been looked at.
    looked: bool,
    looks: BTreeMap<String, bool>,
    suspects: BTreeMap<String, Duration>,
}

impl Share {
    /// For the process `me`, which may hold `range` of `total` shards; `None`: any of them.
    #[must_use]
    pub const fn new(me: String, total: u32, range: Option<RangeInclusive<u32>>) -> Self {
        Self {
            me,
            total,
            range,
            slots: BTreeMap::new(),
            connected: false,
            head_start: Duration::ZERO,
            members: BTreeSet::new(),
            joined: Duration::ZERO,
            left: None,
            free: BTreeMap::new(),
            others: BTreeSet::new(),
            looked: false,
            looks: BTreeMap::new(),
            suspects: BTreeMap::new(),
        }
    }

    /// There is a connection to RabbitMQ. What was held on the one before is tried again at once.
    pub fn connected(&mut self, now: Duration) -> Vec<Action> {
        self.disconnected();
        if self.looked {
            self.head_start = now + HEAD_START;
        }
        self.connected = true;
        let lost: Vec<_> = self.shards(|slot| slot == Slot::Lost).collect();
        // RabbitMQ may not have noticed yet that the connection before has ended.
        lost.into_iter()
            .map(|shard| self.attempt(shard, true))
            .collect()
    }

    /// The connection to RabbitMQ has ended, and with it each lock.
    pub fn disconnected(&mut self) {
        self.connected = false;
        for slot in self.slots.values_mut() {
            if matches!(slot, Slot::Held { .. } | Slot::Trying { lost: true }) {
                *slot = Slot::Lost;
            }
        }
    }

    /// The lock is held. `moved`: the owner before has given the shard away.
    pub fn owned(&mut self, shard: u32, moved: bool, now: Duration) {
        let moved = moved.then_some(now);
        self.slots.insert(shard, Slot::Held { moved });
    }

    /// The lock is held by another connection, or was not found out.
    pub fn locked(&mut self, shard: u32) {
        // Whose part it is, is to be the first when the lock is free.
        self.free.remove(&shard);
        match self.slots.get(&shard) {
            Some(Slot::Trying { lost: true }) => self.slots.insert(shard, Slot::Lost),
            Some(Slot::Trying { lost: false }) => self.slots.remove(&shard),
            _ => None,
        };
    }

    /// The shard runs here no more, and its lock is free if it was held.
    pub fn ended(&mut self, shard: u32) {
        self.slots.remove(&shard);
    }

    /// Whether the lock of a shard that belongs to `owner` is held.
    pub fn looked(&mut self, owner: &str, held: bool, now: Duration) {
        let any = self.looks.entry(owner.to_owned()).or_default();
        *any |= held;
        if *any {
            self.suspects.remove(owner);
        } else {
            self.suspects.insert(owner.to_owned(), now + SUSPECT);
        }
    }

    /// Shards whose lock is held.
    pub fn held(&self) -> impl Iterator<Item = u32> {
        self.shards(|slot| matches!(slot, Slot::Held { .. }))
    }

    /// Whether it is known what this process is to hold, and it holds that.
    #[must_use]
    pub fn is_settled(&self) -> bool {
        let trying = |slot| matches!(slot, Slot::Trying { .. });
        self.looked && self.shards(trying).next().is_none()
    }

    /// What to do at `now`, by what Redis says.
    pub fn look(&mut self, view: &View, now: Duration) -> Vec<Action> {
        self.suspects.retain(|_, until| *until > now);
        self.note_members(view, now);
        self.note_free(view, now);
        if !self.connected {
            return Vec::new();
        }
        let first = !std::mem::replace(&mut self.looked, true);
        let looks = if first {
            self.first_looks(view)
        } else {
            vec![]
        };
        if !looks.is_empty() {
            return looks;
        }
        let mut actions = self.tend_lost(view);
        let members = self.living(view);
        let group = Group::of(&self.me, self.range.as_ref(), &members, self.total);
        actions.extend(self.take(view, &group, now));
        actions.extend(self.give(view, &group, now));
        actions
    }

    /// What a process that starts can't know from Redis: owners that seem to live may be dead, and this one their successor.
    fn first_looks(&self, view: &View) -> Vec<Action> {
        let owned = view.owners.iter();
        let of_others = owned.filter(|(shard, owner)| {
            self.in_range(**shard) && **owner != self.me && view.alive.contains(*owner)
        });
        of_others.map(|(shard, _)| Action::Look(*shard)).collect()
    }

    /// Shards whose lock went with the connection: another has them, or they are tried again.
    fn tend_lost(&mut self, view: &View) -> Vec<Action> {
        let lost: Vec<_> = self.shards(|slot| slot == Slot::Lost).collect();
        let tend = |shard: u32| match self.living_owner(view, shard) {
            Some(owner) if *owner != self.me => {
                self.slots.insert(shard, Slot::Ending);
                Action::LetGo(shard)
            }
            _ => self.attempt(shard, true),
        };
        lost.into_iter().map(tend).collect()
    }

    fn take(&mut self, view: &View, group: &Group, now: Duration) -> Vec<Action> {
        let free = group.pool.iter().copied();
        let free: Vec<u32> = free
            .filter(|shard| self.may_take(view, *shard, now))
            .collect();
        let counts = group.counts(&view.owners);
        let own = self.shards(|slot| slot != Slot::Ending);
        let own = own.filter(|shard| group.pool.contains(shard)).count();
        let mine = group.part(&self.me, own, &counts, &free);
        let orphaned = |shard: &u32| {
            let since = self.free.get(shard);
            since.is_some_and(|since| *since + ORPHANED <= now)
        };
        let orphans = free.iter().filter(|shard| orphaned(shard)).copied();
        let shards: BTreeSet<u32> = mine.iter().copied().chain(orphans).collect();
        let alone = self.members.len() == 1;
        let doubt = |shard| !alone || view.owners.contains_key(shard);
        shards
            .iter()
            .map(|shard| self.attempt(*shard, doubt(shard)))
            .collect()
    }

    fn give(&mut self, view: &View, group: &Group, now: Duration) -> Vec<Action> {
        if now < self.joined.max(self.left.unwrap_or_default()) + SETTLED {
            return Vec::new();
        }
        let ending = self.shards(|slot| slot == Slot::Ending).count();
        let counts = group.counts(&view.owners);
        let held = || self.shards(|slot| matches!(slot, Slot::Held { .. }));
        let mine = held().filter(|shard| group.pool.contains(shard)).count();
        let surplus = mine.saturating_sub(group.quota(&self.me, &counts));
        let foreign = held().filter(|shard| !group.pool.contains(shard));
        let movable = held()
            .filter(|shard| group.pool.contains(shard) && self.may_give(*shard, now))
            .collect::<Vec<_>>();
        let given = movable.into_iter().rev().take(surplus);
        let shards: Vec<u32> = (foreign.chain(given))
            .take(MOVES.saturating_sub(ending))
            .collect();
        for shard in &shards {
            self.slots.insert(*shard, Slot::Ending);
        }
        shards.into_iter().map(Action::Release).collect()
    }

    /// A shard that has just come stays, so that one process that comes and goes does not keep all shards moving. Where
    /// processes are only added, it may go on.
    fn may_give(&self, shard: u32, now: Duration) -> bool {
        let Some(Slot::Held { moved: Some(moved) }) = self.slots.get(&shard) else {
            return true;
        };
        let recently = |at: Duration| now < at + STAYS;
        let growing = self.joined > *moved && !self.left.is_some_and(recently);
        let calm = now >= self.joined.max(self.left.unwrap_or_default()) + CALM;
        !recently(*moved) || growing || (calm && now >= *moved + CALM)
    }

    fn may_take(&self, view: &View, shard: u32, now: Duration) -> bool {
        if self.slots.contains_key(&shard) {
            return false;
        }
        match view.owners.get(&shard) {
            // Also where Redis names this process, which does not hold it.
            None => true,
            Some(owner) if *owner == self.me => true,
            Some(owner) if self.suspects.contains_key(owner) => true,
            Some(owner) => !view.alive.contains(owner) && now >= self.head_start,
        }
    }

    fn attempt(&mut self, shard: u32, doubt: bool) -> Action {
        let lost = self.slots.get(&shard) == Some(&Slot::Lost);
        self.slots.insert(shard, Slot::Trying { lost });
        let running = self.others.contains(&shard);
        Action::Try {
            shard,
            running,
            doubt,
        }
    }

    fn note_members(&mut self, view: &View, now: Duration) {
        let members: BTreeSet<String> = self.living(view).into_keys().collect();
        if members.difference(&self.members).next().is_some() {
            self.joined = now;
        }
        if self.members.difference(&members).next().is_some() {
            self.left = Some(now);
        }
        self.members = members;
    }

    fn note_free(&mut self, view: &View, now: Duration) {
        for shard in 0..self.total {
            match self.living_owner(view, shard) {
                Some(owner) => {
                    if *owner != self.me {
                        self.others.insert(shard);
                    }
                    self.free.remove(&shard);
                }
                None => {
                    self.free.entry(shard).or_insert(now);
                }
            }
        }
    }

    fn living(&self, view: &View) -> BTreeMap<String, Member> {
        let mut members = view.members.clone();
        members.retain(|name, _| *name == self.me || !self.suspects.contains_key(name));
        let range = self.range.clone();
        members.insert(self.me.clone(), Member { range });
        members
    }

    fn living_owner<'a>(&self, view: &'a View, shard: u32) -> Option<&'a String> {
        let owner = view.owners.get(&shard)?;
        let lives = *owner == self.me || view.alive.contains(owner);
        (lives && !self.suspects.contains_key(owner)).then_some(owner)
    }

    fn in_range(&self, shard: u32) -> bool {
        shard < self.total
            && self
                .range
                .as_ref()
                .is_none_or(|range| range.contains(&shard))
    }

    fn shards(&self, wanted: impl Fn(Slot) -> bool) -> impl Iterator<Item = u32> {
        let slots = self.slots.iter().filter(move |(_, slot)| wanted(**slot));
        slots.map(|(shard, _)| *shard)
    }
}
