//! The forwarder step by step, and under random schedules.

use std::collections::HashMap;

use dispatch_proto::command::{Action as Asked, Target};
use proptest::prelude::*;

use super::*;

const TTL: u64 = 10_000;

fn reconnect(shard: u64) -> Command {
    Command {
        target: Target::Shard(shard),
        action: Asked::Reconnect,
    }
}

fn arriving(command: Command, now: u64) -> Delivered {
    Delivered {
        queue: 0,
        command: Ok(command),
        arrived: now,
        deadline: now + TTL,
        deliveries: 0,
    }
}

fn deliver(forwarder: &mut Forwarder, shard: u64, now: u64) -> Id {
    forwarder.deliver(arriving(reconnect(shard), now), now)
}

/// A forwarder of four shards.
fn four() -> Forwarder {
    let mut forwarder = Forwarder::new(TTL);
    forwarder.shards_read(4, 0, 0);
    forwarder
}

type Published = Vec<(Id, u32)>;
type Rejected = Vec<(Id, String)>;

/// What there is to do: shards for publications, and the ids of rejected commands.
fn poll(forwarder: &mut Forwarder, now: u64) -> (Published, Rejected) {
    let (mut published, mut rejected) = (Vec::new(), Vec::new());
    while let Some(action) = forwarder.poll(now) {
        match action {
            Action::Publish(id, forward) => published.push((id, forward.shard)),
            Action::Reject(id, rejection) => {
                forwarder.settled(id);
                rejected.push((id, rejection.to_string()));
            }
            Action::Answer(id, _) => forwarder.settled(id),
        }
    }
    (published, rejected)
}

#[test]
fn a_refused_command_holds_up_its_shard_alone_and_keeps_the_order() {
    let mut forwarder = four();
    let first = deliver(&mut forwarder, 0, 0);
    let second = deliver(&mut forwarder, 0, 0);
    let other = deliver(&mut forwarder, 1, 0);
    assert_eq!(poll(&mut forwarder, 0).0, [(first, 0), (other, 1)]);
    forwarder.refused(first, 10);
    forwarder.confirmed(other, 10);
    let next = deliver(&mut forwarder, 1, 10);
    assert_eq!(poll(&mut forwarder, 10).0, [(next, 1)]);
    assert_eq!(forwarder.wakeup(), Some(110));
    assert_eq!(poll(&mut forwarder, 110).0, [(first, 0)]);
    forwarder.refused(first, 120);
    assert_eq!(forwarder.wakeup(), Some(320));
    assert_eq!(poll(&mut forwarder, 320).0, [(first, 0)]);
    forwarder.confirmed(first, 330);
    assert_eq!(poll(&mut forwarder, 330).0, [(second, 0)]);
    // After a confirm the pauses are short again.
    forwarder.refused(second, 400);
    assert_eq!(forwarder.wakeup(), Some(500));
}

#[test]
fn all_expire_at_their_own_deadlines() {
    let mut forwarder = Forwarder::new(TTL);
    let ids: Vec<Id> = (0..50).map(|n| deliver(&mut forwarder, n % 3, n)).collect();
    assert_eq!(forwarder.wakeup(), Some(TTL));
    let (published, rejected) = poll(&mut forwarder, TTL + 20);
    assert!(published.is_empty());
    assert_eq!(rejected.len(), 21);
    assert!(rejected[0].1.contains("COMMAND_TTL") && rejected[0].1.contains("gateway_shards"));
    let (_, rest) = poll(&mut forwarder, TTL + 49);
    let all: Vec<Id> = rejected.into_iter().chain(rest).map(|(id, _)| id).collect();
    assert_eq!(all, ids);
}

#[test]
fn a_lane_that_is_refused_drains_by_deadlines() {
    let mut forwarder = four();
    deliver(&mut forwarder, 0, 0);
    for n in 1..20 {
        deliver(&mut forwarder, 0, n);
    }
    let (mut now, mut expired) = (20, 0);
    while let Some(at) = forwarder.wakeup() {
        now = at.max(now);
        let (published, rejected) = poll(&mut forwarder, now);
        expired += rejected.len();
        assert!(
            rejected
                .iter()
                .all(|(_, reason)| reason.contains("gateway:0"))
        );
        for (id, _) in published {
            forwarder.refused(id, now);
        }
        if now == 20 {
            forwarder.refused(0, now);
        }
    }
    // What was in flight when its deadline passed included.
    assert!(expired >= 19, "{expired}");
    assert!(now <= TTL + 2_100, "{now}");
}

#[test]
fn an_unknown_shard_waits_for_the_next_reading_alone() {
    let mut forwarder = four();
    let new = deliver(&mut forwarder, 5, 100);
    let unknown = deliver(&mut forwarder, 9, 100);
    let known = deliver(&mut forwarder, 3, 101);
    assert_eq!(poll(&mut forwarder, 101), (vec![(known, 3)], vec![]));
    // A reading that began before they came says nothing about them.
    forwarder.shards_read(4, 99, 150);
    assert_eq!(poll(&mut forwarder, 150), (vec![], vec![]));
    forwarder.shards_read(6, 160, 170);
    let (published, rejected) = poll(&mut forwarder, 170);
    assert_eq!(published, [(new, 5)]);
    assert_eq!(rejected[0].0, unknown);
    assert!(rejected[0].1.contains("there are 6"), "{rejected:?}");
    // Without a reading it is refused all the same.
    let later = deliver(&mut forwarder, 9, 200);
    assert_eq!(forwarder.wakeup(), Some(200 + READ_LIMIT_MS));
    assert_eq!(poll(&mut forwarder, 200 + READ_LIMIT_MS).1[0].0, later);
    // Many at once don't fill the prefetch.
    for _ in 0..=UNKNOWN_MAX {
        deliver(&mut forwarder, 9, 3_000);
    }
    assert_eq!(poll(&mut forwarder, 3_000).1.len(), 1);
}

#[test]
fn too_many_for_a_queue_that_refuses_leave_room_for_others() {
    let mut forwarder = four();
    let first = deliver(&mut forwarder, 0, 0);
    poll(&mut forwarder, 0);
    forwarder.refused(first, 1);
    for _ in 1..REFUSED_MAX + 10 {
        deliver(&mut forwarder, 0, 2);
    }
    let (published, rejected) = poll(&mut forwarder, 3);
    assert!(published.is_empty());
    assert_eq!(rejected.len(), 10);
    assert!(rejected[0].1.contains("gateway:0"));
    let other = deliver(&mut forwarder, 1, 4);
    assert_eq!(poll(&mut forwarder, 4).0, [(other, 1)]);
}

#[test]
fn commands_move_with_their_guilds() {
    let guild = |shard: u64| Command {
        target: Target::Guild(shard << 22),
        action: Asked::Reconnect,
    };
    let mut forwarder = four();
    let blocked = deliver(&mut forwarder, 1, 0);
    let moved = forwarder.deliver(arriving(guild(5), 0), 0);
    assert_eq!(poll(&mut forwarder, 0).0, [(blocked, 1)]);
    forwarder.shards_read(8, 1, 2);
    assert_eq!(poll(&mut forwarder, 2).0, [(moved, 5)]);
}

#[test]
fn what_rabbitmq_may_drop_soon_does_not_wait_long() {
    let mut forwarder = Forwarder::new(TTL);
    let often = Delivered {
        deliveries: DELIVERIES,
        ..arriving(reconnect(0), 0)
    };
    let id = forwarder.deliver(often, 0);
    let (_, rejected) = poll(&mut forwarder, LAST_WAIT_MS);
    assert_eq!(rejected[0].0, id);
    assert!(rejected[0].1.contains("15 times"), "{rejected:?}");
}

#[test]
fn old_deliveries_are_taken_again_with_their_age() {
    let mut forwarder = Forwarder::new(u64::MAX);
    forwarder.deliver(
        Delivered {
            deadline: u64::MAX,
            ..arriving(reconnect(0), 7)
        },
        10,
    );
    assert!(forwarder.overdue(10 + HOLD_MS - 1).is_empty());
    assert_eq!(forwarder.overdue(10 + HOLD_MS), BTreeSet::from([0]));
    assert_eq!(forwarder.lost(0, 20), [7]);
    assert_eq!((forwarder.waiting(), forwarder.wakeup()), (0, None));
}

/// A step of a random schedule.
#[derive(Clone, Debug)]
enum Step {
    Deliver { shard: u64, queue: QueueId },
    Land { nth: usize, taken: bool },
    Read { total: u32 },
    Pass(u64),
    Lose(QueueId),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        5 => (0_u64..5, 0_usize..2).prop_map(|(shard, queue)| Step::Deliver { shard, queue }),
        5 => (0_usize..8, prop::bool::weighted(0.7)).prop_map(|(nth, taken)| Step::Land { nth, taken }),
        1 => (3_u32..6).prop_map(|total| Step::Read { total }),
        3 => (1_u64..3_000).prop_map(Step::Pass),
        1 => (0_usize..2).prop_map(Step::Lose),
    ]
}

/// RabbitMQ and the clients, as far as the forwarder sees them.
struct Model {
    forwarder: Forwarder,
    now: u64,
    /// Commands of each queue that are not acknowledged: name, and number of their delivery.
    queues: [Vec<(u64, Id)>; 2],
    names: HashMap<Id, (u64, u64)>,
    deadlines: HashMap<Id, u64>,
    flying: Vec<(Id, u32)>,
    /// Names in each shard's queue.
    shards: HashMap<u32, Vec<u64>>,
    rejected: Vec<u64>,
    /// The queue that each name came from.
    sources: Vec<QueueId>,
    losses: usize,
}

impl Model {
    fn new() -> Self {
        Self {
            forwarder: Forwarder::new(TTL),
            now: 0,
            queues: [Vec::new(), Vec::new()],
            names: HashMap::new(),
            deadlines: HashMap::new(),
            flying: Vec::new(),
            shards: HashMap::new(),
            rejected: Vec::new(),
            sources: Vec::new(),
            losses: 0,
        }
    }

    fn deliver(&mut self, name: u64, shard: u64, queue: QueueId, arrived: u64) {
        let delivered = Delivered {
            queue,
            ..arriving(reconnect(shard), arrived)
        };
        let id = self.forwarder.deliver(delivered, self.now);
        self.queues[queue].push((name, id));
        self.names.insert(id, (name, shard));
        self.deadlines.insert(id, arrived + TTL);
    }

    fn acknowledge(&mut self, id: Id) -> bool {
        let before = self.queues.iter().map(Vec::len).sum::<usize>();
        for queue in &mut self.queues {
            queue.retain(|(_, other)| *other != id);
        }
        before > self.queues.iter().map(Vec::len).sum::<usize>()
    }

    fn land(&mut self, nth: usize, taken: bool) {
        if self.flying.is_empty() {
            return;
        }
        let (id, shard) = self.flying.remove(nth % self.flying.len());
        if taken {
            self.shards
                .entry(shard)
                .or_default()
                .push(self.names[&id].0);
            self.acknowledge(id);
            self.forwarder.confirmed(id, self.now);
        } else {
            self.forwarder.refused(id, self.now);
        }
    }

    fn work(&mut self) -> Result<(), TestCaseError> {
        while let Some(action) = self.forwarder.poll(self.now) {
            match action {
                Action::Publish(id, forward) => {
                    let busy = self.flying.iter().any(|(_, shard)| *shard == forward.shard);
                    prop_assert!(!busy, "two in flight for {}", forward.shard);
                    prop_assert_eq!(u64::from(forward.shard), self.names[&id].1);
                    self.flying.push((id, forward.shard));
                }
                Action::Reject(id, rejection) => {
                    let early = self.now < self.deadlines[&id];
                    let unknown =
                        matches!(rejection, Rejection::Refused(Refusal::UnknownShard { .. }));
                    prop_assert!(unknown || !early, "{rejection}");
                    prop_assert!(self.acknowledge(id), "rejected twice, or void");
                    self.rejected.push(self.names[&id].0);
                    self.forwarder.settled(id);
                }
                Action::Answer(..) => prop_assert!(false, "nobody asked"),
            }
        }
        if let Some(at) = self.forwarder.wakeup() {
            prop_assert!(at > self.now, "it is never idle");
        }
        Ok(())
    }

    fn take(&mut self, step: Step) {
        match step {
            Step::Deliver { shard, queue } => {
                let name = self.sources.len() as u64;
                self.sources.push(queue);
                self.deliver(name, shard, queue, self.now);
            }
            Step::Land { nth, taken } => self.land(nth, taken),
            Step::Read { total } => self.forwarder.shards_read(total, self.now, self.now),
            Step::Pass(time) => self.now += time,
            Step::Lose(queue) => {
                self.losses += 1;
                let again = std::mem::take(&mut self.queues[queue]);
                let arrived = self.forwarder.lost(queue, self.now);
                assert_eq!(arrived.len(), again.len());
                for ((name, id), arrived) in again.into_iter().zip(arrived) {
                    let shard = self.names[&id].1;
                    self.deliver(name, shard, queue, arrived);
                }
            }
        }
    }
}

proptest! {
    /// Commands arrive, are taken and refused, channels are lost, the number of shards changes, time passes: each ends in its
    /// shard's queue or as a dead letter, those of one source for one shard in order, and only what was in flight when
    /// its channel was lost comes twice.
    #[test]
    fn each_command_ends_once_and_in_order(steps in prop::collection::vec(step(), 1..120)) {
        let mut model = Model::new();
        for step in steps {
            model.take(step);
            model.work()?;
        }
        // RabbitMQ takes what is in flight and refuses nothing any more: all drains, without another event but time.
        for _ in 0..2_000 {
            model.land(0, true);
            model.work()?;
            match (model.flying.is_empty(), model.forwarder.wakeup()) {
                (true, None) => break,
                (true, Some(at)) => model.now = at,
                _ => {}
            }
            model.work()?;
        }
        prop_assert!(model.queues.iter().all(Vec::is_empty), "stuck: {:?}", model.queues);
        prop_assert!(model.forwarder.commands.is_empty());
        let mut ended: Vec<u64> = model.shards.values().flatten().copied().collect();
        ended.extend(&model.rejected);
        ended.sort_unstable();
        let repeats = ended.windows(2).filter(|pair| pair[0] == pair[1]).count();
        ended.dedup();
        prop_assert_eq!(ended.len(), model.sources.len());
        // One in flight for each of five shards at each loss.
        prop_assert!(repeats <= 5 * model.losses, "{repeats} repeats");
        let each = model.shards.values().flat_map(|taken| [(taken, 0), (taken, 1)]);
        for (taken, source) in each {
            let mut first = BTreeSet::new();
            let of_source = |name: &&u64| model.sources[**name as usize] == source;
            let firsts = taken.iter().filter(of_source).filter(|name| first.insert(**name));
            let firsts: Vec<&u64> = firsts.collect();
            prop_assert!(firsts.is_sorted(), "{taken:?}");
            prop_assert!(model.losses > 0 || taken.is_sorted(), "{taken:?}");
        }
    }
}
