//! Since when messages have been waiting in a queue that is consumed.
//!
//! RabbitMQ doesn't say when a message came, and hands out no more than the prefetch. So what waits behind that would seem to arrive
//! when there is room for it, and its time would begin anew. The queue's length, looked at now and then, says more: of a queue that
//! had `n` messages at some time, the next `n` deliveries had come by then. All times are rounded up to the next look, never
//! down: nothing expires early.

use std::collections::VecDeque;

/// Lengths that are remembered. Each look adds one at most, while a backlog grows.
const REMEMBERED: usize = 4_096;

/// The times at which the messages of one queue had come at the latest. Times are milliseconds.
#[derive(Debug, Default)]
pub struct Arrivals {
    /// Messages delivered so far.
    delivered: u64,
    /// `(position, time)`: the messages up to this position had come by this time. Both ascend.
    known: VecDeque<(u64, u64)>,
    /// Position of the last message at the look before.
    last_look: u64,
}

impl Arrivals {
    /// Notes that so many messages are ready in the queue now.
    ///
    /// `alone` is whether nobody else takes from it: else nothing is known of who gets which.
    pub fn observe(&mut self, ready: u32, alone: bool, now: u64) {
        if !alone {
            self.known.clear();
            return;
        }
        let position = self.delivered + u64::from(ready);
        // Fewer than there had been: some are gone otherwise, and what comes at their positions is newer. What is just being
        // delivered is counted nowhere, so it takes two looks.
        let last = position.max(self.last_look);
        while self.known.back().is_some_and(|(known, _)| *known > last) {
            self.known.pop_back();
        }
        self.last_look = position;
        let known = self
            .known
            .back()
            .map_or(self.delivered, |(known, _)| *known);
        if position > known && self.known.len() < REMEMBERED {
            self.known.push_back((position, now));
        }
    }

    /// The next message is delivered; since when it has been there at the latest.
    pub fn deliver(&mut self, now: u64) -> u64 {
        self.delivered += 1;
        while self
            .known
            .front()
            .is_some_and(|(position, _)| *position < self.delivered)
        {
            self.known.pop_front();
        }
        self.known.front().map_or(now, |(_, time)| (*time).min(now))
    }

    /// The queue is consumed again: the messages that had been delivered, which arrived at these times, come first, in this order.
    pub fn redeliver(&mut self, arrived: &[u64]) {
        let behind = std::mem::take(&mut self.known);
        let delivered = self.delivered;
        let mut earliest = 0;
        let again = (delivered + 1..).zip(arrived).map(|(position, time)| {
            earliest = earliest.max(*time);
            (position, earliest)
        });
        self.known.extend(again);
        let shift = arrived.len() as u64;
        let behind = behind
            .into_iter()
            .filter(|(position, _)| *position > delivered);
        self.known
            .extend(behind.map(|(position, time)| (position + shift, time)));
        self.last_look += shift;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_backlog_is_as_old_as_the_first_look_at_it() {
        let mut arrivals = Arrivals::default();
        assert_eq!(arrivals.deliver(5), 5);
        arrivals.observe(2, true, 10);
        arrivals.observe(3, true, 20);
        assert_eq!(arrivals.deliver(100), 10);
        assert_eq!(arrivals.deliver(100), 10);
        assert_eq!(arrivals.deliver(100), 20);
        assert_eq!(arrivals.deliver(100), 100);
    }

    #[test]
    fn what_vanishes_makes_no_message_older() {
        let mut arrivals = Arrivals::default();
        arrivals.observe(5, true, 10);
        arrivals.observe(0, true, 20);
        arrivals.observe(0, true, 30);
        arrivals.observe(4, true, 40);
        assert_eq!(arrivals.deliver(100), 40);
        arrivals.observe(2, false, 110);
        assert_eq!(arrivals.deliver(120), 120);
    }

    #[test]
    fn what_comes_again_keeps_its_time() {
        let mut arrivals = Arrivals::default();
        arrivals.observe(1, true, 1);
        assert_eq!((arrivals.deliver(1), arrivals.deliver(2)), (1, 2));
        arrivals.observe(1, true, 3);
        arrivals.redeliver(&[1, 2]);
        arrivals.observe(3, true, 50);
        let again = [60, 61, 62, 63].map(|now| arrivals.deliver(now));
        assert_eq!(again, [1, 2, 3, 63]);
    }

    proptest! {
        /// Messages come and are delivered at any times, with looks between: none is taken for older than it is.
        #[test]
        fn no_message_is_older_than_it_is(steps in prop::collection::vec((0_u8..4, 1_u64..20), 1..200)) {
            let (mut arrivals, mut queue, mut now) = (Arrivals::default(), VecDeque::new(), 0);
            for (step, pause) in steps {
                now += pause;
                match step {
                    0 | 1 => queue.push_back(now),
                    2 => arrivals.observe(queue.len() as u32, true, now),
                    _ => if let Some(came) = queue.pop_front() {
                        let arrived = arrivals.deliver(now);
                        prop_assert!((came..=now).contains(&arrived), "{came} {arrived} {now}");
                    },
                }
            }
        }
    }
}
