//! Acknowledgements, which go out with what is published next.
//!
//! Alone each would cost a switch to the connection's thread, a write, and RabbitMQ a read: at low rates a tenth of the writer's CPU
//! time. What is not acknowledged when the process crashes comes again, and is found to be applied.

use std::time::Duration;

use dispatch_service::amqp::acknowledge_up_to;
use lapin::Channel;
use tokio::time::{Instant, sleep_until};

/// How long one may wait for something to be published.
const DELAY: Duration = Duration::from_millis(20);
/// Deliveries that may wait: a part of what RabbitMQ hands out before it wants acknowledgements.
const WAITING: usize = 16;

/// A channel's acknowledgements that are due.
pub(super) struct Acknowledgements {
    channel: Channel,
    due: Option<Due>,
}

struct Due {
    delivery_tag: u64,
    deliveries: usize,
    since: Instant,
}

impl Acknowledgements {
    pub(super) fn new(channel: Channel) -> Self {
        Self { channel, due: None }
    }

    /// So many deliveries more, up to this one, are done.
    pub(super) fn add(&mut self, delivery_tag: u64, deliveries: usize) -> lapin::Result<()> {
        let due = self.due.get_or_insert_with(|| Due {
            delivery_tag,
            deliveries: 0,
            since: Instant::now(),
        });
        due.delivery_tag = delivery_tag;
        due.deliveries += deliveries;
        if due.deliveries >= WAITING {
            self.send()?;
        }
        Ok(())
    }

    /// The delivery up to which all are to be acknowledged by the caller.
    pub(super) fn take(&mut self) -> Option<u64> {
        Some(self.due.take()?.delivery_tag)
    }

    /// Until one has waited long enough to be sent by itself.
    pub(super) fn overdue(&self) -> impl Future<Output = ()> + use<> {
        let at = self.due.as_ref().map(|due| due.since + DELAY);
        async move {
            match at {
                Some(at) => sleep_until(at).await,
                None => std::future::pending().await,
            }
        }
    }

    /// Sends what is due.
    pub(super) fn send(&mut self) -> lapin::Result<()> {
        match self.take() {
            Some(delivery_tag) => acknowledge_up_to(&self.channel, delivery_tag),
            None => Ok(()),
        }
    }
}
