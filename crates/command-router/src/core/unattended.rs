//! Commands in the queues of shards that nobody runs.
//!
//! A shard's queue is bare, so RabbitMQ can't dead-letter what waits in it too long; the shard's owner does. While the
//! shard has none, the router looks at the head of the queue. It must look rarely: a message that is looked at and put
//! back could be overtaken, should the owner come back in that moment. So the first look is when the queue has been without a consumer for as
//! long as commands may wait, and the next one when the head's own deadline passes.
//!
//! Whether a queue has a consumer is asked at each turn where it had none, and where it had one now and then, a part of these queues at
//! each turn: with 1,000 shards, asking for all of them each second took more of RabbitMQ than the commands.

use std::{
    collections::{BTreeSet, HashMap, HashSet},
    ops::Bound,
};

/// Turns within which all queues are asked for, at the most.
const MOST_TURNS: u64 = 10;

/// The shards' queues, and those of them that hold messages and have no consumer. Times are milliseconds of Unix time.
#[derive(Debug)]
pub struct Unattended {
    ttl_ms: u64,
    queues: HashMap<u32, Queue>,
    /// Queues that had a consumer when they were last asked for.
    attended: HashSet<u32>,
    /// Turns within which these are all asked for.
    turns: usize,
    /// The one that was asked for last in its turn.
    last: Option<u32>,
}

#[derive(Clone, Copy, Debug)]
struct Queue {
    /// When to look next.
    look_at: u64,
    /// How many messages at the head have been there for `ttl_ms` by then.
    waited: u32,
}

/// What becomes of a queue's head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Head {
    /// It has waited too long.
    Expired,
    /// It goes back to its place.
    Waits,
}

impl Unattended {
    /// `ttl_ms` is how long a command may wait, `turn_ms` the time from a turn to the next. That a queue has lost its consumer is found
    /// within a tenth of what a command may wait, or at the next turn.
    #[must_use]
    pub fn new(ttl_ms: u64, turn_ms: u64) -> Self {
        let turns = (ttl_ms / 10 / turn_ms.max(1)).clamp(1, MOST_TURNS);
        Self {
            ttl_ms,
            queues: HashMap::new(),
            attended: HashSet::new(),
            turns: turns as usize,
            last: None,
        }
    }

    /// The queues to ask for in this turn, of these.
    pub fn turn(&mut self, queues: &BTreeSet<u32>) -> BTreeSet<u32> {
        self.attended.retain(|shard| queues.contains(shard));
        let after = self.last.map_or(Bound::Unbounded, Bound::Excluded);
        let rest = queues.range((after, Bound::Unbounded));
        let part = self.attended.len().div_ceil(self.turns);
        let attended: Vec<u32> = rest
            .chain(queues)
            .filter(|shard| self.attended.contains(shard))
            .take(part)
            .copied()
            .collect();
        self.last = attended.last().copied().or(self.last);
        let unattended = queues.iter().filter(|shard| !self.attended.contains(shard));
        unattended.copied().chain(attended).collect()
    }

    /// Notes what a shard's queue is like now; whether its head is to be looked at.
    pub fn observe(&mut self, shard: u32, messages: u32, consumers: u32, now: u64) -> bool {
        if consumers > 0 {
            self.attended.insert(shard);
        } else {
            self.attended.remove(&shard);
        }
        if messages == 0 || consumers > 0 {
            self.queues.remove(&shard);
            return false;
        }
        let queue = self.queues.entry(shard).or_insert(Queue {
            look_at: now.saturating_add(self.ttl_ms),
            waited: messages,
        });
        now >= queue.look_at
    }

    /// Decides about the head of a shard's queue, with its deadline and the number of messages behind it.
    ///
    /// A message without a deadline was published by a client itself; it has waited too long when the queue has been
    /// unattended since before it came, for as long as commands may wait. One further away than that is none of ours, and counts
    /// as none.
    pub fn head(&mut self, shard: u32, deadline: Option<u64>, behind: u32, now: u64) -> Head {
        let later = now.saturating_add(self.ttl_ms);
        let deadline = deadline.filter(|deadline| *deadline <= later);
        let queue = self.queues.entry(shard).or_insert(Queue {
            look_at: later,
            waited: 0,
        });
        let expired = deadline.map_or(queue.waited > 0, |deadline| deadline <= now);
        if expired {
            queue.waited = queue.waited.saturating_sub(1);
            return Head::Expired;
        }
        match deadline {
            Some(deadline) => queue.look_at = deadline,
            None => {
                *queue = Queue {
                    look_at: later,
                    waited: behind.saturating_add(1),
                }
            }
        }
        Head::Waits
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_queue_is_left_alone_while_it_is_attended_or_fresh() {
        let mut unattended = Unattended::new(100, 10);
        assert!(!unattended.observe(0, 5, 1, 0));
        assert!(!unattended.observe(0, 5, 0, 10));
        assert!(!unattended.observe(0, 5, 0, 109));
        assert!(unattended.observe(0, 5, 0, 110));
        // The owner came back in between: all over again.
        assert!(!unattended.observe(0, 5, 1, 120));
        assert!(!unattended.observe(0, 5, 0, 130));
        assert!(!unattended.observe(0, 5, 0, 229));
        assert!(unattended.observe(0, 5, 0, 230));
        assert!(!unattended.observe(0, 0, 0, 240));
    }

    #[test]
    fn attended_queues_are_asked_for_in_turns() {
        let mut unattended = Unattended::new(30_000, 1_000);
        let queues = BTreeSet::from_iter(0..7);
        assert_eq!(unattended.turn(&queues), queues);
        for shard in queues.clone() {
            unattended.observe(shard, 0, u32::from(shard != 5), 0);
        }
        let mut turn = || Vec::from_iter(unattended.turn(&queues));
        assert_eq!(
            [turn(), turn(), turn(), turn()],
            [vec![0, 1, 5], vec![2, 3, 5], vec![4, 5, 6], vec![0, 1, 5]]
        );
        // A queue less, and one that is new.
        let queues = BTreeSet::from_iter((0..9).filter(|shard| *shard != 2));
        let turn = Vec::from_iter(unattended.turn(&queues));
        assert_eq!(turn, [3, 4, 5, 7, 8]);
    }

    #[test]
    fn the_next_look_is_at_the_heads_deadline() {
        let mut unattended = Unattended::new(100, 10);
        unattended.observe(0, 2, 0, 0);
        assert!(unattended.observe(0, 2, 0, 100));
        assert_eq!(unattended.head(0, Some(100), 1, 100), Head::Expired);
        assert_eq!(unattended.head(0, Some(150), 0, 100), Head::Waits);
        assert!(!unattended.observe(0, 1, 0, 149));
        assert!(unattended.observe(0, 1, 0, 150));
        assert_eq!(unattended.head(0, Some(150), 0, 150), Head::Expired);
    }

    #[test]
    fn messages_without_a_deadline_wait_as_long() {
        let mut unattended = Unattended::new(100, 10);
        // Two were there at 0, a third came later.
        unattended.observe(0, 2, 0, 0);
        assert!(unattended.observe(0, 3, 0, 100));
        assert_eq!(unattended.head(0, None, 2, 100), Head::Expired);
        assert_eq!(unattended.head(0, None, 1, 100), Head::Expired);
        assert_eq!(unattended.head(0, None, 0, 100), Head::Waits);
        assert!(!unattended.observe(0, 1, 0, 199));
        assert!(unattended.observe(0, 1, 0, 200));
        assert_eq!(unattended.head(0, None, 0, 200), Head::Expired);
    }

    #[test]
    fn a_deadline_far_away_parks_nothing() {
        let mut unattended = Unattended::new(100, 10);
        unattended.observe(0, 1, 0, 0);
        assert!(unattended.observe(0, 2, 0, 100));
        assert_eq!(unattended.head(0, Some(u64::MAX), 1, 100), Head::Expired);
        assert_eq!(unattended.head(0, Some(u64::MAX), 0, 100), Head::Waits);
        assert!(!unattended.observe(0, 1, 0, 199));
        assert!(unattended.observe(0, 1, 0, 200));
        assert_eq!(unattended.head(0, Some(u64::MAX), 0, 200), Head::Expired);
    }

    proptest! {
        /// Queues come and go, and so do their consumers: one without a consumer is asked for at each turn, and every one within a
        /// tenth of the time that a command may wait.
        #[test]
        fn each_queue_has_its_turn(
            ttl_ms in 1_u64..200_000,
            steps in prop::collection::vec((0_u32..12, 0_u32..3), 1..200),
        ) {
            let within = (ttl_ms / 10_000).clamp(1, MOST_TURNS);
            let mut unattended = Unattended::new(ttl_ms, 1_000);
            let (mut queues, mut consumers) = (BTreeSet::new(), HashMap::new());
            let mut asked: HashMap<u32, (u64, u32)> = HashMap::new();
            for (now, (shard, change)) in steps.into_iter().enumerate() {
                let now = now as u64;
                match change {
                    0 => drop(queues.insert(shard)),
                    1 => {
                        queues.remove(&shard);
                        asked.remove(&shard);
                    }
                    _ => *consumers.entry(shard).or_insert(0) ^= 1,
                }
                let turn = unattended.turn(&queues);
                prop_assert!(turn.is_subset(&queues));
                for queue in &queues {
                    let consumers = consumers.get(queue).copied().unwrap_or(0);
                    if turn.contains(queue) {
                        unattended.observe(*queue, 0, consumers, now);
                        asked.insert(*queue, (now, consumers));
                    }
                    let (at, had) = asked[queue];
                    let most = if had == 0 { 0 } else { within };
                    // What comes or goes moves the others' turns by one at the most.
                    prop_assert!(now - at <= 2 * most, "{queue}: {at} {now}");
                }
            }
        }

        /// Messages arrive at any times, with and without a deadline; the queue is looked at every 10 ms.
        #[test]
        fn each_expires_and_none_too_early(
            arrivals in prop::collection::vec((0_u64..500, any::<bool>()), 1..20),
        ) {
            let ttl = 100;
            let mut arrivals = arrivals;
            arrivals.sort_by_key(|(at, _)| *at);
            let mut unattended = Unattended::new(ttl, 10);
            let mut next = 0;
            for now in (0..2_000).step_by(10) {
                let present = arrivals.iter().filter(|(at, _)| *at <= now).count();
                if !unattended.observe(0, (present - next) as u32, 0, now) {
                    continue;
                }
                while next < present {
                    let (at, dated) = arrivals[next];
                    let behind = (present - next - 1) as u32;
                    match unattended.head(0, dated.then_some(at + ttl), behind, now) {
                        Head::Expired => {
                            prop_assert!(now >= at + ttl, "{at} expired at {now}");
                            next += 1;
                        }
                        Head::Waits => break,
                    }
                }
            }
            prop_assert_eq!(next, arrivals.len());
        }
    }
}
