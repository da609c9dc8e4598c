//! What to send of messages that must arrive in order.
//!
//! RabbitMQ refuses a message if one queue rejects it; other queues have taken it, and what followed, by then. So everything
//! from the first refused message on is sent again: each queue gets all of it, in order, and some of it more than once. While
//! the refused message is not taken, it is sent alone, so that nothing else is repeated at each try.

use std::ops::Range;

/// The progress of sending.
#[derive(Clone, Debug)]
pub struct Sending {
    messages: usize,
    taken: usize,
    refused: bool,
}

impl Sending {
    /// So many messages, none sent yet.
    #[must_use]
    pub fn new(messages: usize) -> Self {
        Self {
            messages,
            taken: 0,
            refused: false,
        }
    }

    /// What to send next, in order; empty if everything is taken.
    #[must_use]
    pub fn next(&self) -> Range<usize> {
        match self.refused {
            true => self.taken..self.taken + 1,
            false => self.taken..self.messages,
        }
    }

    /// For each message of [`Self::next`], whether it was taken.
    pub fn answered(&mut self, taken: &[bool]) {
        let refused = taken.iter().position(|taken| !taken);
        self.taken += refused.unwrap_or(taken.len());
        self.refused = refused.is_some();
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_is_taken_is_sent_once() {
        let mut sending = Sending::new(3);
        assert_eq!(sending.next(), 0..3);
        sending.answered(&[true; 3]);
        assert!(sending.next().is_empty());
    }

    #[test]
    fn from_the_first_refused_message_on_all_is_sent_again() {
        let mut sending = Sending::new(4);
        sending.answered(&[true, false, true, false]);
        assert_eq!(sending.next(), 1..2);
        sending.answered(&[false]);
        assert_eq!(sending.next(), 1..2);
        sending.answered(&[true]);
        assert_eq!(sending.next(), 2..4);
    }

    proptest! {
        /// Of two queues, one refuses at random. What each has taken ends with all messages in order.
        #[test]
        fn every_queue_has_everything_in_order(
            messages in 0_usize..20,
            answers in prop::collection::vec(prop::bool::weighted(0.8), 0..200),
        ) {
            let mut answers = answers.into_iter();
            let mut sending = Sending::new(messages);
            let (mut open, mut limited) = (Vec::new(), Vec::new());
            while !sending.next().is_empty() {
                let mut taken = Vec::new();
                for message in sending.next() {
                    taken.push(answers.next().unwrap_or(true));
                    open.push(message);
                    limited.extend(taken.last().unwrap().then_some(message));
                }
                sending.answered(&taken);
            }
            for queue in [open, limited] {
                // After the last of each message come only later ones.
                let last = |message| queue.iter().rposition(|other| *other == message);
                let places: Vec<_> = (0..messages).map(last).collect();
                prop_assert!(places.iter().all(Option::is_some));
                prop_assert!(places.is_sorted());
            }
        }
    }
}
