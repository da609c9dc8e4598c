//! A message in hand.

use std::{sync::Arc, time::Instant};

use dispatch_proto::codec::Encoding;
use lapin::{
    message::Delivery,
    options::BasicAckOptions,
    types::{AMQPValue, FieldTable},
};

/// How often RabbitMQ has delivered a message of a quorum queue before.
const DELIVERIES_HEADER: &str = "x-delivery-count";

/// A message, the queue it came from, and the encoding in which its sender reads an answer.
#[derive(Debug)]
pub(crate) struct Envelope {
    pub(crate) queue: Arc<str>,
    pub(crate) delivery: Delivery,
    pub(crate) encoding: Encoding,
    pub(crate) received: Instant,
}

impl Envelope {
    /// Lets RabbitMQ forget the message. If its channel is gone, it comes again.
    pub(crate) async fn acknowledge(&self) {
        if let Err(error) = self.delivery.acker.ack(BasicAckOptions::default()).await {
            tracing::debug!(queue = %self.queue, %error, "not acknowledged: the command comes again");
        }
    }
}

/// How often a message was delivered before, as far as RabbitMQ says.
pub(crate) fn deliveries(delivery: &Delivery) -> u64 {
    let headers = delivery.properties.headers().as_ref();
    headers.map_or(0, |headers| count(headers).unwrap_or(0))
}

fn count(headers: &FieldTable) -> Option<u64> {
    match headers.inner().get(DELIVERIES_HEADER)? {
        AMQPValue::ShortShortInt(n) => u64::try_from(*n).ok(),
        AMQPValue::ShortShortUInt(n) => Some(u64::from(*n)),
        AMQPValue::ShortInt(n) => u64::try_from(*n).ok(),
        AMQPValue::ShortUInt(n) => Some(u64::from(*n)),
        AMQPValue::LongInt(n) => u64::try_from(*n).ok(),
        AMQPValue::LongUInt(n) => Some(u64::from(*n)),
        AMQPValue::LongLongInt(n) => u64::try_from(*n).ok(),
        _ => None,
    }
}
