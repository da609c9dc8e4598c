//! A bot's side of RabbitMQ: publishes with confirms, and takes messages one by one from the queues it names.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use lapin::options::{BasicGetOptions, BasicPublishOptions, ConfirmSelectOptions};
use lapin::types::AMQPValue;
use lapin::{BasicProperties, Channel, Confirmation, Connection, ConnectionProperties};
use testbed::wait;

/// Longest wait for one message. Far more than it takes, for machines under load.
pub(crate) const LIMIT: Duration = Duration::from_secs(60);

/// A connection to RabbitMQ with one channel, as a bot has it.
pub(crate) struct Bot {
    channel: Channel,
    _connection: Connection,
}

/// A message taken from a queue.
#[derive(Debug, PartialEq)]
pub(crate) struct Message {
    pub(crate) body: Vec<u8>,
    pub(crate) content_type: Option<String>,
    pub(crate) correlation_id: Option<String>,
    /// Text and numbers, as text.
    pub(crate) headers: BTreeMap<String, String>,
}

impl Message {
    /// A header's value; empty if there is none.
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", String::as_str)
    }
}

impl Bot {
    pub(crate) async fn connect(url: &str) -> Result<Self> {
        let connection = Connection::connect(url, ConnectionProperties::default()).await?;
        let channel = connection.create_channel().await?;
        channel
            .confirm_select(ConfirmSelectOptions::default())
            .await?;
        Ok(Self {
            channel,
            _connection: connection,
        })
    }

    /// The channel, for declarations.
    pub(crate) fn channel(&self) -> &Channel {
        &self.channel
    }

    /// Publishes; an error if no queue takes the message.
    pub(crate) async fn publish(
        &self,
        exchange: &str,
        routing_key: &str,
        properties: BasicProperties,
        body: &[u8],
    ) -> Result<()> {
        let options = BasicPublishOptions {
            mandatory: true,
            ..BasicPublishOptions::default()
        };
        let properties = properties.with_delivery_mode(2);
        let sent = self.channel.basic_publish(
            exchange.into(),
            routing_key.into(),
            options,
            body,
            properties,
        );
        let confirmation = sent.await?.await?;
        ensure!(
            matches!(confirmation, Confirmation::Ack(None)),
            "{routing_key}: {confirmation:?}"
        );
        Ok(())
    }

    /// The message at the head of a queue, if there is one.
    pub(crate) async fn take(&self, queue: &str) -> Result<Option<Message>> {
        let options = BasicGetOptions { no_ack: true };
        let Some(got) = self.channel.basic_get(queue.into(), options).await? else {
            return Ok(None);
        };
        let properties = &got.delivery.properties;
        let text = |text: &lapin::types::ShortString| text.as_str().to_owned();
        let headers = properties.headers().as_ref();
        let headers = headers.into_iter().flat_map(|table| table.inner());
        Ok(Some(Message {
            content_type: properties.content_type().as_ref().map(text),
            correlation_id: properties.correlation_id().as_ref().map(text),
            headers: headers
                .map(|(name, value)| (name.as_str().to_owned(), header(value)))
                .collect(),
            body: got.delivery.data.to_vec(),
        }))
    }

    /// The next message of a queue, waited for.
    pub(crate) async fn next(&self, queue: &str) -> Result<Message> {
        let mut taken = Ok(None);
        let what = format!("a message in {queue}");
        wait::until(&what, LIMIT, async || {
            taken = self.take(queue).await;
            !matches!(taken, Ok(None))
        })
        .await?;
        taken?.context("taken")
    }
}

fn header(value: &AMQPValue) -> String {
    match value {
        AMQPValue::LongString(text) => text.to_string(),
        AMQPValue::ShortString(text) => text.as_str().to_owned(),
        AMQPValue::LongInt(number) => number.to_string(),
        AMQPValue::LongLongInt(number) => number.to_string(),
        other => format!("{other:?}"),
    }
}
