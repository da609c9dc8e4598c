//! Everything together, and what must be true of it in the end.

use std::collections::HashMap;
use std::sync::Arc;

use cache_writer::core::owner::EventId;

use super::broker::Broker;
use super::process::{Luck, Process, listed};
use super::redis::{Data, Redis};
use super::stream::Stream;

/// Steps without a fault in which everything must have come to rest.
const SETTLE: usize = 20_000;

/// What happens in a schedule.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Faults {
    /// Processes are killed.
    pub(crate) crashes: bool,
    /// The broker closes the channel of a process, which finds out when it uses it next: as of one that was frozen.
    pub(crate) cuts: bool,
    /// Redis does not answer, whether it has carried a request out or not.
    pub(crate) timeouts: bool,
    /// What has timed out arrives later.
    pub(crate) late: bool,
    /// Redis comes back with older data.
    pub(crate) rollbacks: bool,
    /// Redis takes no writes for a while.
    pub(crate) refusals: bool,
    /// Processes hand the partition over.
    pub(crate) handovers: bool,
    /// RabbitMQ refuses messages.
    pub(crate) nacks: bool,
    /// One process is of the version before, and there is one total of shards; else there are two.
    pub(crate) update: bool,
}

#[derive(Debug)]
pub(crate) struct World {
    faults: Faults,
    redis: Redis,
    copy: Data,
    broker: Broker,
    stream: Stream,
    processes: [Process; 2],
    rolled_back: bool,
    /// How often an event may be repeated: once for each channel that was lost while the journal held it.
    repeats: HashMap<(Arc<str>, u64), usize>,
}

impl World {
    pub(crate) fn new(faults: Faults) -> Self {
        Self {
            faults,
            redis: Redis::default(),
            copy: Data::default(),
            broker: Broker::new(faults.nacks),
            stream: Stream::new(if faults.update {
                [(2, 0), (2, 1)]
            } else {
                [(1, 0), (2, 0)]
            }),
            processes: [Process::new(0, false), Process::new(1, faults.update)],
            rolled_back: false,
            repeats: HashMap::new(),
        }
    }

    /// Runs a schedule.
    pub(crate) fn run(&mut self, choices: Vec<u16>) {
        let mut choices = choices.into_iter();
        while choices.len() > 0 {
            let mut pick = |n: usize| usize::from(choices.next().unwrap_or(0)) % n;
            match pick(40) {
                0..4 => {
                    let frame = self.stream.frame(pick);
                    self.broker.put(frame);
                }
                4 if self.faults.crashes => {
                    self.may_repeat();
                    let luck = [Luck::Answered, Luck::Lost, Luck::Late][pick(3)];
                    let process = &mut self.processes[pick(2)];
                    process.crash(&mut self.broker, &mut self.redis, luck);
                }
                5 if self.faults.cuts => {
                    self.may_repeat();
                    if let Some(serving) = &self.processes[pick(2)].serving {
                        self.broker.close(serving.channel);
                    }
                }
                6 | 7 => self.redis.arrive(pick(4)),
                8 if self.faults.rollbacks => self.copy = self.redis.data.clone(),
                9 if self.faults.rollbacks => {
                    self.rolled_back = true;
                    self.redis.roll_back(self.copy.clone());
                }
                10 if self.faults.refusals => {
                    self.redis.refuses_writes = !self.redis.refuses_writes;
                }
                11 if self.faults.handovers => {
                    let process = &mut self.processes[pick(2)];
                    if !process.hand_over(&mut self.broker, &mut self.redis) {
                        self.may_repeat();
                    }
                }
                process => {
                    let luck = match pick(12) {
                        0 if self.faults.timeouts => Luck::Unanswered,
                        1 if self.faults.timeouts => Luck::Lost,
                        2 | 3 if self.faults.late => Luck::Late,
                        _ => Luck::Answered,
                    };
                    self.step(process % 2, luck, pick);
                }
            }
        }
    }

    /// Runs on without faults until everything is acknowledged.
    pub(crate) fn settle(&mut self) {
        self.redis.refuses_writes = false;
        let mut steps = 0;
        while !self.broker.is_idle() {
            for process in 0..2 {
                self.step(process, Luck::Answered, |_| 0);
            }
            self.redis.arrive(steps);
            steps += 1;
            assert!(steps < SETTLE, "stuck: {:?}", self.processes);
        }
    }

    fn step(&mut self, process: usize, luck: Luck, pick: impl FnMut(usize) -> usize) {
        let process = &mut self.processes[process];
        if !process.step(&mut self.broker, &mut self.redis, luck, pick) {
            self.may_repeat();
        }
    }

    /// What was promised.
    pub(crate) fn check(&self) {
        self.check_limited();
        let mut times: HashMap<(Arc<str>, u64), usize> = HashMap::new();
        let mut first = Vec::new();
        for message in &self.broker.published {
            let id = (message.id.session.clone(), message.id.sequence);
            let count = times.entry(id.clone()).or_default();
            *count += 1;
            if *count == 1 {
                first.push(&message.id);
            }
            if !self.rolled_back {
                let expected = &self.stream.expected[&id];
                assert_eq!(message.old, expected.old, "P3: old of {id:?}");
                assert_eq!(message.gap, expected.gap, "gap before {id:?}");
            }
        }
        for shard in self.stream.shards {
            let is_its = |id: &&EventId| (id.total, id.shard) == shard;
            let sent = self.stream.sent.iter().filter(is_its);
            let came = first.iter().copied().filter(is_its);
            let (sent, came): (Vec<_>, Vec<_>) = (sent.collect(), came.collect());
            let missing = sent.iter().find(|id| !came.contains(id));
            assert_eq!(missing, None, "P1: lost");
            assert_eq!(came, sent, "P2: order of shard {shard:?}");
        }
        if self.rolled_back {
            return;
        }
        assert_eq!(self.redis.data.entities, self.stream.entities, "P3");
        for (id, count) in times.into_iter().filter(|_| !self.faults.nacks) {
            let most = 1 + self.repeats.get(&id).copied().unwrap_or_default();
            assert!(count <= most, "P4: {id:?} came {count} times, not {most}");
        }
    }

    /// A queue that refuses messages at times has them all, in order from the last time on that each has come.
    fn check_limited(&self) {
        for shard in self.stream.shards {
            let is_its = |id: &&EventId| (id.total, id.shard) == shard;
            let mut last = HashMap::new();
            for (at, id) in self.broker.limited.iter().filter(is_its).enumerate() {
                last.insert((id.session.clone(), id.sequence), at);
            }
            let sent = self.stream.sent.iter().filter(is_its);
            let place = |id: &EventId| last.get(&(id.session.clone(), id.sequence));
            let places: Vec<_> = sent.map(place).collect();
            assert!(
                places.iter().all(Option::is_some),
                "P1: lost to a limited queue"
            );
            // What was in a journal may come again by itself.
            let may_repeat = self.rolled_back || !self.repeats.is_empty();
            assert!(
                may_repeat || places.is_sorted(),
                "P2: order of shard {shard:?} in a limited queue"
            );
        }
    }

    fn may_repeat(&mut self) {
        for (session, sequence) in listed(self.redis.data.journal.as_deref()) {
            let times = self.repeats.entry((session.into(), sequence)).or_default();
            *times += 1;
        }
    }
}
