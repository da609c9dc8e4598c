//! A Spectacles client: asserts the exchange and its queues the way such clients do, and reads what comes.

use anyhow::{Result, ensure};
use discord_sim::generator::{DISPATCH_TYPES, UNKNOWN_TYPE};
use dispatch_proto::codec::{self, Encoding};
use dispatch_proto::notice::GAP;
use lapin::options::{ExchangeDeclareOptions, QueueBindOptions, QueueDeclareOptions};
use lapin::types::FieldTable;
use lapin::{BasicProperties, ExchangeKind};
use serde_json::Value;

use crate::bot::{Bot, Message};

/// Name of the exchange.
pub(crate) const EXCHANGE: &str = "spectacles";
/// A second group of consumers.
pub(crate) const SUBGROUP: &str = "workers";

/// A connected client.
pub(crate) struct Client {
    pub(crate) bot: Bot,
}

impl Client {
    /// Asserts the exchange (direct, durable) and, for every event there is, queues (durable, no arguments) of its own.
    pub(crate) async fn connect(url: &str) -> Result<Self> {
        let bot = Bot::connect(url).await?;
        let durable = ExchangeDeclareOptions {
            durable: true,
            ..ExchangeDeclareOptions::default()
        };
        let (direct, none) = (ExchangeKind::Direct, FieldTable::default());
        let declared = bot
            .channel()
            .exchange_declare(EXCHANGE.into(), direct, durable, none);
        declared.await?;
        let client = Self { bot };
        for event in events() {
            client.assert(&queue(event), event).await?;
        }
        let of_group = format!("{EXCHANGE}:{SUBGROUP}:MESSAGE_CREATE");
        client.assert(&of_group, "MESSAGE_CREATE").await?;
        Ok(client)
    }

    /// Asserts a queue and binds it; refused if it exists with other properties.
    pub(crate) async fn assert(&self, queue: &str, event: &str) -> Result<()> {
        let channel = self.bot.channel();
        let none = FieldTable::default();
        channel
            .queue_declare(queue.into(), QueueDeclareOptions::durable(), none.clone())
            .await?;
        let options = QueueBindOptions::default();
        channel
            .queue_bind(queue.into(), EXCHANGE.into(), event.into(), options, none)
            .await?;
        Ok(())
    }

    /// Takes `count` messages of a queue, in order, and checks that there is none behind them.
    pub(crate) async fn drain(&self, queue: &str, count: usize) -> Result<Vec<Message>> {
        let mut messages = Vec::with_capacity(count);
        for _ in 0..count {
            messages.push(self.bot.next(queue).await?);
        }
        let behind = self.bot.take(queue).await?;
        ensure!(behind.is_none(), "{queue} has more than {count} messages");
        Ok(messages)
    }

    /// Publishes to the exchange; the content type tells the encoding if `told`.
    pub(crate) async fn send(
        &self,
        routing_key: &str,
        value: &Value,
        encoding: Encoding,
        told: bool,
    ) -> Result<()> {
        let mut properties = BasicProperties::default();
        if told {
            properties = properties.with_content_type(encoding.content_type().into());
        }
        let body = codec::encode(&value.to_string(), encoding)?;
        let published = self.bot.publish(EXCHANGE, routing_key, properties, &body);
        published.await
    }
}

/// Every event there is, one that no library knows, and the gap notice.
pub(crate) fn events() -> impl Iterator<Item = &'static str> {
    DISPATCH_TYPES.into_iter().chain([UNKNOWN_TYPE, GAP])
}

/// The queue for an event.
pub(crate) fn queue(event: &str) -> String {
    format!("{EXCHANGE}:{event}")
}

/// A body, which must be in this encoding and say so.
pub(crate) fn decode(message: &Message, encoding: Encoding) -> Result<Value> {
    let said = message.content_type.as_deref();
    ensure!(said == Some(encoding.content_type()), "{said:?}");
    let json = codec::decode(&message.body, encoding)?;
    Ok(serde_json::from_str(&json)?)
}
