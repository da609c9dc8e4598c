//! The least that RabbitMQ takes: a publisher that does nothing but publish, and a relay that does nothing but hand on. Each is a process of
//! its own, so that its CPU time can be told.

use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use dispatch_service::clock::unix_micros;
use futures_util::StreamExt;
use lapin::options::{
    BasicAckOptions, BasicConsumeOptions, BasicPublishOptions, BasicQosOptions,
    ConfirmSelectOptions,
};
use lapin::types::{AMQPValue, FieldTable};
use lapin::{BasicProperties, Channel, Confirmation, PublisherConfirm};
use testbed::child::{Child, Launch};

use super::pace::Pace;

/// Messages that may wait for their confirm.
const UNCONFIRMED: usize = 1_000;
/// Messages that the relay is handed before it acknowledges.
const PREFETCH: u16 = 1_000;

/// Publishes messages: a part of `cargo xtask bench`.
#[derive(Debug, clap::Args)]
pub(crate) struct PublishArgs {
    url: String,
    exchange: String,
    routing_key: String,
    /// File with the bodies, which are published in turn.
    bodies: PathBuf,
    /// How many.
    events: u64,
    /// Events in a second; 0 for as many as are taken.
    rate: f64,
}

/// Hands messages on from a queue to another: a part of `cargo xtask bench`.
#[derive(Debug, clap::Args)]
pub(crate) struct RelayArgs {
    url: String,
    queue: String,
    exchange: String,
    routing_key: String,
}

/// The session of what the bare publisher sends.
pub(super) const SESSION: &str = "00000000000000000000000000000000";

pub(crate) async fn publish(args: PublishArgs) -> Result<ExitCode> {
    let bodies = read_bodies(&args.bodies)?;
    let connection = testbed::servers::rabbitmq_connection(&args.url, "bench publisher").await?;
    let channel = connection.create_channel().await?;
    channel
        .confirm_select(ConfirmSelectOptions::default())
        .await?;
    let mut sender = Sender::new(channel, args.exchange, args.routing_key);
    let mut pace = (args.rate > 0.0).then(|| Pace::new(args.rate));
    let (mut sequence, mut due, mut at) = (0, args.events, 0);
    for body in bodies.iter().cycle() {
        if sequence == args.events {
            break;
        }
        if let Some(pace) = &mut pace
            && (due == 0 || sequence == 0)
        {
            due = pace.due().await;
            at = unix_micros();
        }
        sequence += 1;
        due -= 1;
        sender.send(body, properties(sequence, at)).await?;
    }
    sender.finish().await?;
    // It stays, so that its CPU time can be read, until it is killed.
    std::future::pending().await
}

pub(crate) async fn relay(args: RelayArgs) -> Result<ExitCode> {
    let connection = testbed::servers::rabbitmq_connection(&args.url, "bench relay").await?;
    let channel = connection.create_channel().await?;
    channel
        .confirm_select(ConfirmSelectOptions::default())
        .await?;
    channel
        .basic_qos(PREFETCH, BasicQosOptions::default())
        .await?;
    let options = BasicConsumeOptions::default();
    let consumer = channel
        .basic_consume(args.queue.into(), "".into(), options, FieldTable::default())
        .await?;
    let mut ready = consumer.ready_chunks(usize::from(PREFETCH) / 4);
    let mut sender = Sender::new(channel, args.exchange, args.routing_key);
    while let Some(deliveries) = ready.next().await {
        let deliveries: Vec<_> = deliveries.into_iter().collect::<Result<_, _>>()?;
        for delivery in &deliveries {
            let properties = delivery.properties.clone();
            sender.send(&delivery.data, properties).await?;
        }
        sender.finish().await?;
        if let Some(last) = deliveries.last() {
            last.ack(BasicAckOptions { multiple: true }).await?;
        }
    }
    bail!("the consumer has ended");
}

/// Starts one of them; `arguments` are those of its arguments in order.
pub(super) fn start(part: &str, arguments: &[&str], dir: &Path) -> Result<Child> {
    let launch = Launch {
        program: std::env::current_exe().context("can't find this program")?,
        args: [part].iter().chain(arguments).map(Into::into).collect(),
        env: [].into(),
        dir: dir.to_owned(),
        log: dir.join(format!("{part}.log")),
    };
    Child::spawn(&launch)
}

/// Publishes as the client's own examples do, with a bounded number of confirms outstanding.
struct Sender {
    channel: Channel,
    exchange: String,
    routing_key: String,
    confirms: VecDeque<PublisherConfirm>,
}

impl Sender {
    fn new(channel: Channel, exchange: String, routing_key: String) -> Self {
        Self {
            channel,
            exchange,
            routing_key,
            confirms: VecDeque::with_capacity(UNCONFIRMED),
        }
    }

    async fn send(&mut self, body: &[u8], properties: BasicProperties) -> Result<()> {
        if self.confirms.len() >= UNCONFIRMED {
            self.confirm().await?;
        }
        let options = BasicPublishOptions::default();
        let publish = self.channel.basic_publish(
            self.exchange.as_str().into(),
            self.routing_key.as_str().into(),
            options,
            body,
            properties,
        );
        self.confirms.push_back(publish.await?);
        Ok(())
    }

    async fn finish(&mut self) -> Result<()> {
        while !self.confirms.is_empty() {
            self.confirm().await?;
        }
        Ok(())
    }

    async fn confirm(&mut self) -> Result<()> {
        if let Some(confirm) = self.confirms.pop_front()
            && !matches!(confirm.await?, Confirmation::Ack(None))
        {
            bail!("a message was refused");
        }
        Ok(())
    }
}

/// What an enriched event has, and the time in microseconds (the broker passes it on as it is).
fn properties(sequence: u64, at_us: u64) -> BasicProperties {
    let mut headers = FieldTable::default();
    headers.insert("shard".into(), AMQPValue::LongInt(0));
    headers.insert("seq".into(), AMQPValue::LongLongInt(sequence.cast_signed()));
    BasicProperties::default()
        .with_content_type("application/json".into())
        .with_type("MESSAGE_CREATE".into())
        .with_message_id(format!("{SESSION}:{sequence}").into())
        .with_headers(headers)
        .with_delivery_mode(2)
        .with_timestamp(at_us)
}

/// Writes bodies to a file, one a line: none of them has a line break.
pub(super) fn write_bodies(path: &Path, bodies: &[Vec<u8>]) -> Result<()> {
    Ok(std::fs::write(path, bodies.join(&b'\n'))?)
}

fn read_bodies(path: &Path) -> Result<Vec<Vec<u8>>> {
    let text = std::fs::read(path)?;
    Ok(text
        .split(|byte| *byte == b'\n')
        .map(<[u8]>::to_vec)
        .collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bodies_are_read_as_they_were_written() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("bodies");
        let bodies = [b"{\"a\":1}".to_vec(), b"{}".to_vec()];
        write_bodies(&path, &bodies).unwrap();
        assert_eq!(read_bodies(&path).unwrap(), bodies);
    }
}
