//! A model of RabbitMQ: a partition's queue with one active consumer, and what was published.

use std::collections::VecDeque;

use cache_writer::core::owner::EventId;

use super::stream::Frame;

#[derive(Debug, Default)]
pub(crate) struct Broker {
    queue: VecDeque<Frame>,
    /// Open channels with a consumer, in the order in which they came; the first is served.
    channels: VecDeque<(u64, VecDeque<Frame>)>,
    opened: u64,
    /// Whether the limited queue refuses messages at times.
    refuses: bool,
    pub(crate) published: Vec<Published>,
    /// What a second queue has taken.
    pub(crate) limited: Vec<EventId>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Published {
    pub(crate) id: EventId,
    pub(crate) old: Option<String>,
    pub(crate) gap: Option<(String, u64)>,
}

impl Broker {
    pub(crate) fn new(refuses: bool) -> Self {
        Self {
            refuses,
            ..Self::default()
        }
    }

    pub(crate) fn put(&mut self, frame: Frame) {
        self.queue.push_back(frame);
    }

    pub(crate) fn consume(&mut self) -> u64 {
        self.opened += 1;
        self.channels.push_back((self.opened, VecDeque::new()));
        self.opened
    }

    pub(crate) fn is_open(&self, channel: u64) -> bool {
        self.channels.iter().any(|(open, _)| *open == channel)
    }

    /// Delivers at most so many frames.
    pub(crate) fn deliver(&mut self, channel: u64, most: usize) -> Vec<Frame> {
        match self.channels.front_mut() {
            Some((served, unacknowledged)) if *served == channel => {
                let most = most.min(self.queue.len());
                let frames: Vec<_> = self.queue.drain(..most).collect();
                unacknowledged.extend(frames.iter().cloned());
                frames
            }
            _ => Vec::new(),
        }
    }

    /// Acknowledges so many frames from the first unacknowledged one on; false if the channel is closed.
    pub(crate) fn acknowledge(&mut self, channel: u64, frames: usize) -> bool {
        let open = self.channels.iter_mut().find(|(open, _)| *open == channel);
        open.map(|(_, unacknowledged)| drop(unacknowledged.drain(..frames)))
            .is_some()
    }

    /// Publishes if the channel is open; whether all queues have taken it.
    pub(crate) fn publish(
        &mut self,
        channel: u64,
        message: Published,
        pick: &mut impl FnMut(usize) -> usize,
    ) -> Option<bool> {
        if !self.is_open(channel) {
            return None;
        }
        let taken = !self.refuses || pick(6) != 1;
        if taken {
            self.limited.push(message.id.clone());
        }
        self.published.push(message);
        Some(taken)
    }

    /// Closes a channel: what it holds comes first again, in order.
    pub(crate) fn close(&mut self, channel: u64) {
        if let Some(at) = self.channels.iter().position(|(open, _)| *open == channel) {
            let (_, unacknowledged) = self.channels.remove(at).unwrap();
            for frame in unacknowledged.into_iter().rev() {
                self.queue.push_front(frame);
            }
        }
    }

    /// Whether everything is acknowledged.
    pub(crate) fn is_idle(&self) -> bool {
        let idle = |(_, unacknowledged): &(u64, VecDeque<Frame>)| unacknowledged.is_empty();
        self.queue.is_empty() && self.channels.iter().all(idle)
    }
}
