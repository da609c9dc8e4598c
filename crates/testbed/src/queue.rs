//! Queues of consumers that read everything.

use lapin::options::{ExchangeDeclareOptions, QueueBindOptions, QueueDeclareOptions};
use lapin::types::FieldTable;
use lapin::{Channel, ExchangeKind};

/// Declares a durable exchange, as the services do, and a durable queue that gets all that is published to it.
///
/// # Errors
///
/// If RabbitMQ refuses, or goes.
pub async fn bound_to_all(
    channel: &Channel,
    queue: &str,
    arguments: FieldTable,
    exchange: &str,
) -> lapin::Result<()> {
    let durable = ExchangeDeclareOptions {
        durable: true,
        ..ExchangeDeclareOptions::default()
    };
    let none = FieldTable::default();
    channel
        .exchange_declare(exchange.into(), ExchangeKind::Topic, durable, none.clone())
        .await?;
    channel
        .queue_declare(queue.into(), QueueDeclareOptions::durable(), arguments)
        .await?;
    let bind = QueueBindOptions::default();
    channel
        .queue_bind(queue.into(), exchange.into(), "#".into(), bind, none)
        .await
}
