//! Taking messages from the queues that commands come in by.

use futures_util::{
    StreamExt, future,
    stream::{self, BoxStream, SelectAll},
};
use lapin::{
    Channel, Connection, Consumer,
    message::Delivery,
    options::{BasicConsumeOptions, BasicQosOptions, QueueDeclareOptions},
    protocol::{AMQPErrorKind, AMQPSoftError},
    types::FieldTable,
};

use crate::{core::route::Source, error::RouterError};

/// Messages that RabbitMQ sends ahead for each queue.
const PREFETCH: u16 = 32;

/// A message with its source.
#[derive(Debug)]
pub(crate) struct Incoming {
    pub(crate) source: Source,
    pub(crate) queue: String,
    pub(crate) delivery: Delivery,
}

type Queue = BoxStream<'static, (Source, String, Option<lapin::Result<Delivery>>)>;

/// The consumers of all queues, on one channel.
pub(crate) struct Intake {
    channel: Channel,
    queues: SelectAll<Queue>,
}

impl Intake {
    pub(crate) async fn open(connection: &Connection) -> lapin::Result<Self> {
        let channel = connection.create_channel().await?;
        // For each consumer by itself, so that one queue's backlog doesn't hold up another's messages.
        channel
            .basic_qos(PREFETCH, BasicQosOptions::default())
            .await?;
        Ok(Self {
            channel,
            queues: SelectAll::new(),
        })
    }

    /// How many consumers a queue has.
    pub(crate) async fn consumers(&self, queue: &str) -> lapin::Result<u32> {
        let passive = QueueDeclareOptions {
            passive: true,
            ..QueueDeclareOptions::default()
        };
        let queue = self
            .channel
            .queue_declare(queue.into(), passive, FieldTable::default())
            .await?;
        Ok(queue.consumer_count())
    }

    /// Begins to consume a queue, as its only consumer.
    pub(crate) async fn consume(&mut self, queue: String, source: Source) -> lapin::Result<()> {
        let options = BasicConsumeOptions {
            exclusive: true,
            ..BasicConsumeOptions::default()
        };
        let consumer = self
            .channel
            .basic_consume(
                queue.as_str().into(),
                "".into(),
                options,
                FieldTable::default(),
            )
            .await?;
        self.queues.push(messages(consumer, queue, source));
        Ok(())
    }

    /// The next message of any queue.
    pub(crate) async fn next(&mut self) -> Result<Incoming, RouterError> {
        match self.queues.next().await {
            Some((source, queue, Some(delivery))) => Ok(Incoming {
                source,
                queue,
                delivery: delivery?,
            }),
            Some((_, queue, None)) => Err(RouterError::ConsumerEnded(queue)),
            // No queue is consumed yet.
            None => future::pending().await,
        }
    }

    /// The channel, to be closed with [`dispatch_service::amqp::close_channel`]: a consumer that is dropped on an open channel
    /// would be cancelled, and what it holds could come back out of order.
    pub(crate) fn channel(&self) -> &Channel {
        &self.channel
    }
}

/// A consumer's messages, then a mark of its end.
fn messages(consumer: Consumer, queue: String, source: Source) -> Queue {
    let end = (source, queue.clone(), None);
    consumer
        .map(move |delivery| (source, queue.clone(), Some(delivery)))
        .chain(stream::once(future::ready(end)))
        .boxed()
}

/// Whether a queue could not be consumed because another consumer has it for itself.
pub(crate) fn is_taken(error: &lapin::Error) -> bool {
    is_soft(error, &AMQPSoftError::ACCESSREFUSED)
}

/// Whether a declaration failed because the queue or exchange exists with other properties.
pub(crate) fn differs(error: &lapin::Error) -> bool {
    is_soft(error, &AMQPSoftError::PRECONDITIONFAILED)
}

fn is_soft(error: &lapin::Error, kind: &AMQPSoftError) -> bool {
    match error.kind() {
        lapin::ErrorKind::ProtocolError(error) => {
            matches!(error.kind(), AMQPErrorKind::Soft(soft) if soft == kind)
        }
        _ => false,
    }
}
