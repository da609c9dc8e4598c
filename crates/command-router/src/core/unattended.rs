//! Commands in the queues of shards that nobody runs.
//!
//! A shard's queue is bare, so RabbitMQ can't dead-letter what waits in it too long; the shard's owner does. While the
//! shard has none, the router looks at the head of the queue. It must look rarely: a message that is looked at and put
//! back could be overtaken, should the owner come back in that moment. So the first look is when the queue has been without a consumer for as
//! long as commands may wait, and the next one when the head's own deadline passes.

use std::collections::HashMap;

/// The queues that hold messages and have no consumer. Times are milliseconds of Unix time.
#[derive(Debug)]
pub struct Unattended {
    ttl_ms: u64,
    queues: HashMap<u32, Queue>,
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
    /// `ttl_ms` is how long a command may wait.
    #[must_use]
    pub fn new(ttl_ms: u64) -> Self {
        Self {
            ttl_ms,
            queues: HashMap::new(),
        }
    }

    /// Notes what a shard's queue is like now; whether its head is to be looked at.
    pub fn observe(&mut self, shard: u32, messages: u32, consumers: u32, now: u64) -> bool {
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
        let mut unattended = Unattended::new(100);
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
    fn the_next_look_is_at_the_heads_deadline() {
        let mut unattended = Unattended::new(100);
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
        let mut unattended = Unattended::new(100);
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
        let mut unattended = Unattended::new(100);
        unattended.observe(0, 1, 0, 0);
        assert!(unattended.observe(0, 2, 0, 100));
        assert_eq!(unattended.head(0, Some(u64::MAX), 1, 100), Head::Expired);
        assert_eq!(unattended.head(0, Some(u64::MAX), 0, 100), Head::Waits);
        assert!(!unattended.observe(0, 1, 0, 199));
        assert!(unattended.observe(0, 1, 0, 200));
        assert_eq!(unattended.head(0, Some(u64::MAX), 0, 200), Head::Expired);
    }

    proptest! {
        /// Messages arrive at any times, with and without a deadline; the queue is looked at every 10 ms.
        #[test]
        fn each_expires_and_none_too_early(
            arrivals in prop::collection::vec((0_u64..500, any::<bool>()), 1..20),
        ) {
            let ttl = 100;
            let mut arrivals = arrivals;
            arrivals.sort_by_key(|(at, _)| *at);
            let mut unattended = Unattended::new(ttl);
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
