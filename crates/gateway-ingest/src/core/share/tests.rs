//! Several processes, with models of RabbitMQ's locks and of what Redis holds.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::*;

/// A sign of life lasts so long.
const ALIVE: Duration = Duration::from_secs(5);
/// RabbitMQ frees the locks of a frozen process after so long.
const HEARTBEATS: Duration = Duration::from_secs(10);
const STEP: Duration = Duration::from_millis(250);

struct Process {
    name: String,
    share: Share,
    connected: bool,
    frozen: bool,
    /// To be tried, looked at, and ended by the next step.
    todo: Vec<Action>,
}

#[derive(Default)]
struct World {
    now: Duration,
    total: u32,
    started: usize,
    processes: Vec<Process>,
    locks: BTreeMap<u32, String>,
    owners: BTreeMap<u32, String>,
    given: BTreeSet<u32>,
    members: BTreeMap<String, (Duration, Member)>,
    /// When RabbitMQ notices that a frozen process is gone.
    dropped: BTreeMap<String, Duration>,
    /// When each shard was given away to share evenly.
    moves: Vec<(u32, Duration)>,
}

#[derive(Clone, Copy, Debug)]
enum Change {
    Start,
    Kill(usize),
    Stop(usize),
    Freeze(usize),
    Wake(usize),
    RestartRabbitMq,
    EmptyRedis,
}

impl World {
    fn new(total: u32) -> Self {
        Self {
            total,
            ..Self::default()
        }
    }

    fn start(&mut self, range: Option<RangeInclusive<u32>>) {
        let name = format!("{:03}", (self.started * 37) % 101);
        self.started += 1;
        let mut share = Share::new(name.clone(), self.total, range);
        assert_eq!(share.connected(self.now), []);
        self.processes.push(Process {
            name,
            share,
            connected: true,
            frozen: false,
            todo: Vec::new(),
        });
    }

    fn change(&mut self, change: Change) {
        let count = self.processes.len();
        match change {
            Change::Start => self.start(None),
            Change::Kill(n) if count > 0 => {
                let killed = self.processes.remove(n % count);
                self.locks.retain(|_, holder| *holder != killed.name);
            }
            Change::Stop(n) if count > 0 => {
                let stopped = self.processes.remove(n % count);
                self.locks.retain(|_, holder| *holder != stopped.name);
                self.owners.retain(|_, owner| *owner != stopped.name);
                self.members.remove(&stopped.name);
            }
            Change::Freeze(n) if count > 0 => {
                let process = &mut self.processes[n % count];
                process.frozen = true;
                let name = process.name.clone();
                self.dropped.insert(name, self.now + HEARTBEATS);
            }
            Change::Wake(n) if count > 0 => self.processes[n % count].frozen = false,
            Change::RestartRabbitMq => {
                self.locks.clear();
                for process in &mut self.processes {
                    process.connected = false;
                }
            }
            Change::EmptyRedis => {
                self.owners.clear();
                self.members.clear();
                self.given.clear();
            }
            _ => {}
        }
    }

    fn step(&mut self) {
        self.now += STEP;
        let now = self.now;
        self.members.retain(|_, (until, _)| *until > now);
        let gone: Vec<String> = (self.dropped.iter())
            .filter(|(_, at)| **at <= now)
            .map(|(name, _)| name.clone())
            .collect();
        for name in gone {
            self.dropped.remove(&name);
            if let Some(process) = self.processes.iter_mut().find(|p| p.name == name)
                && process.frozen
            {
                process.connected = false;
                self.locks.retain(|_, holder| *holder != name);
            }
        }
        for n in 0..self.processes.len() {
            if !self.processes[n].frozen {
                self.turn(n);
            }
        }
    }

    fn turn(&mut self, n: usize) {
        let (now, name) = (self.now, self.processes[n].name.clone());
        if !self.processes[n].connected {
            let process = &mut self.processes[n];
            process.share.disconnected();
            process.connected = true;
            let again = process.share.connected(now);
            process.todo.extend(again);
        }
        for action in std::mem::take(&mut self.processes[n].todo) {
            self.carry_out(n, action);
        }
        // Each looks every half second, not all together.
        if (now.as_millis() as usize / 250 + n).is_multiple_of(2) {
            let range = self.processes[n].share.range.clone();
            let member = Member { range };
            self.members.insert(name.clone(), (now + ALIVE, member));
            let share = &self.processes[n].share;
            for shard in share.held() {
                let owner = self.owners.get(&shard);
                if owner.is_none_or(|owner| *owner != name) {
                    self.owners.insert(shard, name.clone());
                }
            }
            let view = View {
                members: (self.members.iter())
                    .map(|(name, (_, member))| (name.clone(), member.clone()))
                    .collect(),
                owners: self.owners.clone(),
                alive: self.members.keys().cloned().collect(),
            };
            let actions = self.processes[n].share.look(&view, now);
            self.processes[n].todo.extend(actions);
        }
    }

    fn carry_out(&mut self, n: usize, action: Action) {
        let (now, name) = (self.now, self.processes[n].name.clone());
        let share = &mut self.processes[n].share;
        match action {
            Action::Look(shard) => {
                if let Some(owner) = self.owners.get(&shard) {
                    share.looked(owner, self.locks.contains_key(&shard), now);
                }
            }
            Action::Try { shard, .. } => {
                if self.locks.contains_key(&shard) {
                    share.locked(shard);
                    return;
                }
                self.locks.insert(shard, name.clone());
                self.owners.insert(shard, name);
                share.owned(shard, self.given.remove(&shard), now);
            }
            Action::Release(shard) => {
                share.ended(shard);
                // RabbitMQ or Redis may have lost it meanwhile.
                if self.locks.get(&shard) == Some(&name) {
                    self.locks.remove(&shard);
                }
                if self.owners.get(&shard) == Some(&name) {
                    self.owners.remove(&shard);
                    self.given.insert(shard);
                }
                self.moves.push((shard, now));
            }
            Action::LetGo(shard) => share.ended(shard),
        }
    }

    fn run(&mut self, seconds: u64) {
        let until = self.now + Duration::from_secs(seconds);
        while self.now < until {
            self.step();
        }
    }

    /// How many shards each process holds, by lock.
    fn held(&self) -> Vec<usize> {
        let held = |process: &Process| {
            let by_lock = self.locks.values().filter(|name| **name == process.name);
            let count = by_lock.count();
            assert_eq!(process.share.held().count(), count, "{}", process.name);
            count
        };
        let mut held: Vec<_> = self.processes.iter().map(held).collect();
        held.sort_unstable();
        held
    }

    #[track_caller]
    fn assert_even(&self) {
        let held = self.held();
        assert_eq!(held.iter().sum::<usize>(), self.total as usize, "{held:?}");
        let (least, most) = (held.first().unwrap(), held.last().unwrap());
        assert!(most - least <= 1, "{held:?}");
    }

    fn most_moves_of_a_shard(&self, within: Duration) -> usize {
        let moves = self.moves.iter().map(|(shard, at)| {
            let window = *at..*at + within;
            (self.moves.iter())
                .filter(|(other, at)| other == shard && window.contains(at))
                .count()
        });
        moves.max().unwrap_or_default()
    }
}

#[test]
fn one_two_three_one() {
    for total in [1, 8, 10, 64] {
        let mut world = World::new(total);
        world.start(None);
        world.run(2);
        assert_eq!(world.held(), [total as usize]);
        for change in [
            Change::Start,
            Change::Start,
            Change::Stop(0),
            Change::Stop(1),
        ] {
            world.change(change);
            world.run(15);
            world.assert_even();
        }
        assert_eq!(
            world.most_moves_of_a_shard(STAYS).max(1),
            1 + usize::from(total > 1)
        );
    }
}

#[test]
fn what_a_killed_process_held_is_taken_once_its_sign_of_life_runs_out() {
    let mut world = World::new(64);
    (0..3).for_each(|_| world.start(None));
    world.run(40);
    let moves = world.moves.len();
    world.change(Change::Kill(1));
    world.run(8);
    world.assert_even();
    assert_eq!(world.moves.len(), moves);
}

#[test]
fn the_successor_of_a_killed_process_does_not_wait_for_its_sign_of_life() {
    let mut world = World::new(8);
    world.start(None);
    world.run(2);
    world.change(Change::Kill(0));
    world.start(None);
    world.run(2);
    assert_eq!(world.held(), [8]);
}

#[test]
fn a_restart_of_rabbitmq_moves_nothing() {
    let mut world = World::new(12);
    (0..3).for_each(|_| world.start(None));
    world.run(40);
    let holders = world.locks.clone();
    world.change(Change::RestartRabbitMq);
    world.run(40);
    assert_eq!(world.locks, holders);
}

#[test]
fn a_process_that_comes_and_goes_moves_each_shard_once_in_half_a_minute() {
    let mut world = World::new(8);
    (0..2).for_each(|_| world.start(None));
    world.run(60);
    world.moves.clear();
    for _ in 0..6 {
        world.change(Change::Start);
        world.run(6);
        world.change(Change::Kill(2));
        world.run(4);
    }
    assert_eq!(world.most_moves_of_a_shard(STAYS), 1);
    world.run(45);
    world.assert_even();
}

#[test]
fn however_quickly_it_is_scaled_the_shards_are_even_soon_after() {
    for (total, pause) in [8, 20]
        .into_iter()
        .flat_map(|total| (1..12).map(move |pause| (total, pause)))
    {
        for scales in [&[1, 3, 1, 5, 2][..], &[1, 5, 2, 4, 3, 5]] {
            let mut world = World::new(total);
            for processes in scales {
                while world.processes.len() < *processes {
                    world.change(Change::Start);
                }
                while world.processes.len() > *processes {
                    let newest = world.processes.len() - 1;
                    world.change(Change::Stop(newest));
                }
                world.run(pause);
            }
            world.run(15_u64.saturating_sub(pause));
            world.assert_even();
        }
    }
}

#[test]
fn a_frozen_process_lets_go_when_it_wakes() {
    let mut world = World::new(8);
    (0..2).for_each(|_| world.start(None));
    world.run(40);
    world.change(Change::Freeze(0));
    world.run(13);
    let awake = world.processes[1].name.clone();
    assert!(world.locks.values().all(|holder| *holder == awake));
    world.change(Change::Wake(0));
    world.run(1);
    assert_eq!(world.held(), [0, 8]);
    world.run(14);
    world.assert_even();
}

#[test]
fn what_a_frozen_process_held_is_shared_by_those_that_waited_for_it() {
    for phase in 0..4 {
        let mut world = World::new(64);
        (0..3).for_each(|_| world.start(None));
        world.run(40);
        // They wait for the locks for longer than for the sign of life, and look at different moments.
        (0..phase).for_each(|_| world.step());
        let moves = world.moves.len();
        world.change(Change::Freeze(1));
        world.run(20);
        let mut held: BTreeMap<&String, usize> = BTreeMap::new();
        for holder in world.locks.values() {
            *held.entry(holder).or_default() += 1;
        }
        assert_eq!(held.into_values().collect::<Vec<_>>(), [32, 32]);
        assert_eq!(world.moves.len(), moves);
    }
}

#[test]
fn ranges_and_free_processes_do_not_disturb_each_other() {
    let mut world = World::new(10);
    world.start(None);
    world.run(2);
    for range in [0..=3, 0..=3, 8..=9] {
        world.start(Some(range));
    }
    world.run(15);
    assert_eq!(world.held(), [2, 2, 2, 4]);
    world.start(None);
    world.run(15);
    assert_eq!(world.held(), [2, 2, 2, 2, 2]);
    // Nobody is left for 8 and 9 but those without a range.
    world.change(Change::Kill(3));
    world.run(15);
    assert_eq!(world.held(), [2, 2, 3, 3]);
}

#[test]
fn sessions_are_resumed_without_resume_only_where_the_shard_was_seen_running() {
    let mut share = Share::new("b".to_owned(), 2, None);
    share.connected(Duration::ZERO);
    let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
    let mut view = View {
        owners: BTreeMap::from([(0, "a".to_owned())]),
        alive: names(&["a"]),
        ..View::default()
    };
    assert_eq!(share.look(&view, Duration::ZERO), [Action::Look(0)]);
    share.looked("a", true, Duration::ZERO);
    let fresh = Action::Try {
        shard: 1,
        running: false,
        doubt: false,
    };
    assert_eq!(share.look(&view, Duration::ZERO), [fresh]);
    view.alive.clear();
    let running = Action::Try {
        shard: 0,
        running: true,
        doubt: true,
    };
    assert_eq!(share.look(&view, Duration::from_secs(6)), [running]);
}

fn change() -> impl Strategy<Value = Change> {
    let which = 0_usize..4;
    prop_oneof![
        4 => Just(Change::Start),
        2 => which.clone().prop_map(Change::Kill),
        2 => which.clone().prop_map(Change::Stop),
        2 => which.clone().prop_map(Change::Freeze),
        3 => which.prop_map(Change::Wake),
        1 => Just(Change::RestartRabbitMq),
        1 => Just(Change::EmptyRedis),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn whatever_happens_the_shards_are_shared_evenly_in_the_end(
        total in 1_u32..24,
        changes in prop::collection::vec((change(), 0_u64..20), 1..14),
    ) {
        let mut world = World::new(total);
        world.start(None);
        for (change, seconds) in changes {
            world.change(change);
            world.run(seconds);
        }
        for process in &mut world.processes {
            process.frozen = false;
        }
        if world.processes.is_empty() {
            world.start(None);
        }
        world.run(50);
        world.assert_even();
        let moves = world.moves.len();
        world.run(40);
        prop_assert_eq!(world.moves.len(), moves, "moves where nothing changes");
    }
}
