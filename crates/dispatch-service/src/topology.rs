//! Declaring the exchanges and queues of Dispatch.
//!
//! Every service declares what it uses, so that they can start in any order. A queue that clients may declare themselves
//! carries no arguments but for its type, and that only where `RABBIT_QUEUE_TYPE` asks for it; what exists with other properties is used
//! as it is ([`ensure`]).

use dispatch_proto::{
    namespace::Namespace,
    rabbit::{
        DEAD_QUEUE, EVENTS_EXCHANGE, RAW_EXCHANGE, RECV_QUEUE, SEND_QUEUE, raw_queue, shard_queue,
    },
};
use lapin::{
    Channel, Connection, ErrorKind, ExchangeKind,
    options::{ExchangeDeclareOptions, QueueBindOptions, QueueDeclareOptions},
    protocol::{AMQPErrorKind, AMQPSoftError},
    types::{AMQPValue, FieldTable},
};

use crate::{
    amqp::close_channel,
    settings::{Reader, catalogue::RABBIT_QUEUE_TYPE},
};

/// Type of the queues that are Dispatch's own.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum QueueType {
    /// Classic queues: on one node, the faster.
    #[default]
    Classic,
    /// Quorum queues: replicated.
    Quorum,
}

impl QueueType {
    /// Reads `RABBIT_QUEUE_TYPE`.
    pub fn read(reader: &mut Reader) -> Self {
        let parse = |text: &str| match text {
            "classic" => Some(Self::Classic),
            "quorum" => Some(Self::Quorum),
            _ => None,
        };
        reader.word(&RABBIT_QUEUE_TYPE, parse).unwrap_or_default()
    }

    /// Arguments of a queue of commands.
    ///
    /// None for classic queues: that is what a client declares that doesn't think about it, and then the virtual host's default
    /// applies. A quorum queue has no delivery limit of its own, so that where quorum is the default, a client may still declare
    /// it without arguments.
    #[must_use]
    pub fn for_commands(self) -> FieldTable {
        let mut arguments = FieldTable::default();
        if self == Self::Quorum {
            insert_text(&mut arguments, "x-queue-type", "quorum");
        }
        arguments
    }

    fn arguments(self) -> FieldTable {
        let mut arguments = FieldTable::default();
        match self {
            Self::Classic => insert_text(&mut arguments, "x-queue-type", "classic"),
            Self::Quorum => {
                insert_text(&mut arguments, "x-queue-type", "quorum");
                // RabbitMQ 4 drops a message after 20 deliveries unless told otherwise: a crash loop must not lose events.
                // A limit this high never bites, and 3.10 understands it (it knows no -1).
                arguments.insert("x-delivery-limit".into(), AMQPValue::LongInt(1_000_000));
            }
        }
        arguments
    }
}

/// Declares with a channel of its own, because a declaration that is refused closes it. What exists with other properties is used as
/// it is: a client declared it so, or an operator, and commands must not stop over it.
///
/// # Errors
///
/// If the connection fails, or the declaration is refused for another reason.
pub async fn ensure(
    connection: &Connection,
    declaration: impl AsyncFnOnce(&Channel) -> lapin::Result<()>,
) -> lapin::Result<()> {
    let channel = connection.create_channel().await?;
    match declaration(&channel).await {
        Ok(()) => {
            close_channel(&channel).await;
            Ok(())
        }
        Err(error) if differs(&error) => {
            tracing::warn!(%error, "exists with other properties, used as it is");
            Ok(())
        }
        Err(error) => Err(error),
    }
}

/// Whether a declaration failed because the queue or exchange exists with other properties.
fn differs(error: &lapin::Error) -> bool {
    match error.kind() {
        ErrorKind::ProtocolError(error) => matches!(
            error.kind(),
            AMQPErrorKind::Soft(AMQPSoftError::PRECONDITIONFAILED)
        ),
        _ => false,
    }
}

/// Declares the exchange of enriched events and, if wanted, the queue that receives all of them.
///
/// # Errors
///
/// If the channel fails, also when an exchange or queue exists with other properties.
pub async fn declare_events(
    channel: &Channel,
    namespace: &Namespace,
    default_queue: bool,
) -> lapin::Result<()> {
    let (exchange, queue) = (namespace.name(EVENTS_EXCHANGE), namespace.name(RECV_QUEUE));
    declare_exchange(channel, &exchange, ExchangeKind::Topic).await?;
    if default_queue {
        declare_queue(channel, &queue, FieldTable::default()).await?;
        bind(channel, &queue, &exchange, "#").await?;
    }
    Ok(())
}

/// Declares the exchange of raw frames with its partition queues.
///
/// # Errors
///
/// As [`declare_events`].
pub async fn declare_raw(
    channel: &Channel,
    namespace: &Namespace,
    partitions: u32,
    queue_type: QueueType,
) -> lapin::Result<()> {
    let exchange = namespace.name(RAW_EXCHANGE);
    declare_exchange(channel, &exchange, ExchangeKind::Direct).await?;
    for partition in 0..partitions {
        declare_raw_queue(channel, namespace, partition, queue_type).await?;
    }
    Ok(())
}

/// Declares the queue of one partition. Its exchange must exist.
///
/// # Errors
///
/// As [`declare_events`].
pub async fn declare_raw_queue(
    channel: &Channel,
    namespace: &Namespace,
    partition: u32,
    queue_type: QueueType,
) -> lapin::Result<()> {
    let queue = namespace.name(raw_queue(partition));
    let mut arguments = queue_type.arguments();
    arguments.insert("x-single-active-consumer".into(), AMQPValue::Boolean(true));
    declare_queue(channel, &queue, arguments).await?;
    let exchange = namespace.name(RAW_EXCHANGE);
    bind(channel, &queue, &exchange, &partition.to_string()).await
}

/// Declares the queue that takes commands from the bot.
///
/// # Errors
///
/// As [`declare_events`].
pub async fn declare_send(
    channel: &Channel,
    namespace: &Namespace,
    queue_type: QueueType,
) -> lapin::Result<()> {
    let queue = namespace.name(SEND_QUEUE);
    declare_queue(channel, &queue, queue_type.for_commands()).await
}

/// Declares the queue of the commands for one shard.
///
/// # Errors
///
/// As [`declare_events`].
pub async fn declare_shard_queue(
    channel: &Channel,
    namespace: &Namespace,
    shard: u32,
    queue_type: QueueType,
) -> lapin::Result<()> {
    let queue = namespace.name(shard_queue(shard));
    declare_queue(channel, &queue, queue_type.for_commands()).await
}

/// Declares the queue of dead letters.
///
/// # Errors
///
/// As [`declare_events`].
pub async fn declare_dead(channel: &Channel, namespace: &Namespace) -> lapin::Result<()> {
    declare_queue(channel, &namespace.name(DEAD_QUEUE), FieldTable::default()).await
}

/// Declares a durable exchange.
///
/// # Errors
///
/// As [`declare_events`].
pub async fn declare_exchange(
    channel: &Channel,
    name: &str,
    kind: ExchangeKind,
) -> lapin::Result<()> {
    let options = ExchangeDeclareOptions {
        durable: true,
        ..ExchangeDeclareOptions::default()
    };
    channel
        .exchange_declare(name.into(), kind, options, FieldTable::default())
        .await
}

/// Declares a durable queue.
///
/// # Errors
///
/// As [`declare_events`].
pub async fn declare_queue(
    channel: &Channel,
    name: &str,
    arguments: FieldTable,
) -> lapin::Result<()> {
    let options = QueueDeclareOptions {
        durable: true,
        ..QueueDeclareOptions::default()
    };
    channel
        .queue_declare(name.into(), options, arguments)
        .await?;
    Ok(())
}

/// Binds a queue to an exchange.
///
/// # Errors
///
/// As [`declare_events`].
pub async fn bind(
    channel: &Channel,
    queue: &str,
    exchange: &str,
    routing_key: &str,
) -> lapin::Result<()> {
    let options = QueueBindOptions::default();
    channel
        .queue_bind(
            queue.into(),
            exchange.into(),
            routing_key.into(),
            options,
            FieldTable::default(),
        )
        .await
}

/// What a queue holds, and who takes from it.
#[derive(Clone, Copy, Debug)]
pub struct Counts {
    /// Messages that wait.
    pub messages: u32,
    /// Consumers.
    pub consumers: u32,
}

/// Looks at a queue.
///
/// # Errors
///
/// If there is none, in which case the channel is closed, or the connection is gone.
pub async fn counts(channel: &Channel, queue: &str) -> lapin::Result<Counts> {
    let passive = QueueDeclareOptions {
        passive: true,
        ..QueueDeclareOptions::default()
    };
    let queue = channel
        .queue_declare(queue.into(), passive, FieldTable::default())
        .await?;
    Ok(Counts {
        messages: queue.message_count(),
        consumers: queue.consumer_count(),
    })
}

fn insert_text(arguments: &mut FieldTable, name: &str, value: &str) {
    arguments.insert(name.into(), AMQPValue::LongString(value.into()));
}
