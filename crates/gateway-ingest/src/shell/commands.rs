//! Commands for a shard: from `gateway:<shard>` to the shard's task.

use std::{sync::Arc, time::Duration};

use dispatch_proto::rabbit::shard_queue;
use dispatch_service::{
    amqp::close_channel,
    backoff::Backoff,
    topology::{declare_shard_queue, ensure},
};
use futures_util::StreamExt as _;
use lapin::{
    Consumer,
    message::Delivery,
    options::{BasicConsumeOptions, BasicQosOptions},
    types::{AMQPValue, FieldTable},
};
use tokio::{sync::mpsc, task::JoinHandle, time::timeout};

use super::{context::Context, links::Place};
use crate::core::command::HEADER_OP;

/// Commands on their way to the shard's task.
const ON_THEIR_WAY: usize = 32;

/// Longest time for a channel to be closed.
const CLOSING: Duration = Duration::from_millis(500);

/// The commands of a shard.
#[derive(Debug)]
pub(crate) struct Commands {
    inbound: mpsc::Receiver<Inbound>,
    consumer: JoinHandle<()>,
}

impl Commands {
    pub(crate) async fn next(&mut self) -> Option<Inbound> {
        self.inbound.recv().await
    }

    /// Closes the channel: RabbitMQ has all commands again that are not acknowledged, and another process may consume.
    pub(crate) async fn close(self) {
        drop(self.inbound);
        let _ = timeout(CLOSING, self.consumer).await;
    }
}

/// What the shard's task receives.
#[derive(Debug)]
pub(crate) enum Inbound {
    /// A new consumer: RabbitMQ hands out again what was not acknowledged, so what is still in hand of the old one is void.
    Anew,
    /// A command.
    Command(Box<Delivery>),
}

/// Consumes the shard's queue until the commands are dropped or closed.
pub(crate) fn consume(context: Arc<Context>, shard: u32) -> Commands {
    let (sender, inbound) = mpsc::channel(ON_THEIR_WAY);
    let consumer = tokio::spawn(async move {
        while let Some(channel) = subscribed(&context, shard, &sender).await {
            close_channel(&channel).await;
            if sender.is_closed() {
                return;
            }
        }
    });
    Commands { inbound, consumer }
}

/// Consumes until the consumer or the shard's task ends; returns the channel. `None` if the task has ended before there was one.
async fn subscribed(
    context: &Context,
    shard: u32,
    sender: &mpsc::Sender<Inbound>,
) -> Option<lapin::Channel> {
    let subscribing = async {
        let mut backoff = Backoff::default();
        loop {
            let place = context.commands.place().await;
            match subscribe(&place, shard, context).await {
                Ok(subscribed) => return subscribed,
                Err(error) => {
                    tracing::warn!(%error, shard, "cannot consume the shard's commands");
                }
            }
            tokio::time::sleep(backoff.next_delay()).await;
        }
    };
    let (channel, consumer) = tokio::select! {
        subscribed = subscribing => subscribed,
        () = sender.closed() => return None,
    };
    tokio::select! {
        () = forward(consumer, sender) => {}
        () = sender.closed() => {}
    }
    Some(channel)
}

async fn subscribe(
    place: &Place,
    shard: u32,
    context: &Context,
) -> lapin::Result<(lapin::Channel, Consumer)> {
    let namespace = &context.config.namespace;
    let declaring = place.declaring().await;
    ensure(&place.connection, async |channel| {
        declare_shard_queue(channel, namespace, shard, context.topology.queue_type).await
    })
    .await?;
    drop(declaring);
    let channel = place.connection.create_channel().await?;
    channel
        .basic_qos(context.prefetch, BasicQosOptions::default())
        .await?;
    let consumer = channel
        .basic_consume(
            (&*namespace.name(shard_queue(shard))).into(),
            "".into(),
            // The shard's owner alone: a quorum queue knows no such thing, and grants it to all.
            BasicConsumeOptions {
                exclusive: true,
                ..BasicConsumeOptions::default()
            },
            FieldTable::default(),
        )
        .await?;
    Ok((channel, consumer))
}

/// Until the consumer ends, or the shard's task.
async fn forward(mut consumer: Consumer, sender: &mpsc::Sender<Inbound>) {
    if sender.send(Inbound::Anew).await.is_err() {
        return;
    }
    while let Some(Ok(delivery)) = consumer.next().await {
        let command = Inbound::Command(Box::new(delivery));
        if sender.send(command).await.is_err() {
            return;
        }
    }
}

/// The command's kind, if its header names one.
pub(crate) fn op(delivery: &Delivery) -> Option<String> {
    let headers = delivery.properties.headers().as_ref()?;
    match headers.inner().get(HEADER_OP)? {
        AMQPValue::LongString(text) => Some(text.to_string()),
        AMQPValue::ShortString(text) => Some(text.as_str().to_owned()),
        other => Some(format!("{other:?}")),
    }
}
