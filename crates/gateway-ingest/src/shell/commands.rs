//! Commands for a shard: from `gateway:<shard>` to the shard's task.

use std::sync::Arc;

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
use tokio::sync::mpsc;

use super::{context::Context, links::Place};
use crate::core::command::HEADER_OP;

/// Commands on their way to the shard's task.
const ON_THEIR_WAY: usize = 32;

/// What the shard's task receives.
#[derive(Debug)]
pub(crate) enum Inbound {
    /// A new consumer: RabbitMQ hands out again what was not acknowledged, so what is still in hand of the old one is void.
    Anew,
    /// A command.
    Command(Box<Delivery>),
}

/// Consumes the shard's queue for as long as the receiver lives.
pub(crate) fn consume(context: Arc<Context>, shard: u32) -> mpsc::Receiver<Inbound> {
    let (sender, receiver) = mpsc::channel(ON_THEIR_WAY);
    tokio::spawn(async move {
        let consuming = keep_consuming(&context, shard, &sender);
        tokio::select! {
            () = consuming => {}
            () = sender.closed() => {}
        }
    });
    receiver
}

async fn keep_consuming(context: &Context, shard: u32, sender: &mpsc::Sender<Inbound>) {
    let mut backoff = Backoff::default();
    loop {
        let place = context.commands.place().await;
        match subscribe(&place, shard, context).await {
            Ok((channel, consumer)) => {
                backoff.reset();
                if forward(consumer, sender).await.is_none() {
                    return;
                }
                close_channel(&channel).await;
            }
            Err(error) => {
                tracing::warn!(%error, shard, "cannot consume the shard's commands");
            }
        }
        tokio::time::sleep(backoff.next_delay()).await;
    }
}

async fn subscribe(
    place: &Place,
    shard: u32,
    context: &Context,
) -> lapin::Result<(lapin::Channel, Consumer)> {
    let declaring = place.declaring().await;
    ensure(&place.connection, async |channel| {
        declare_shard_queue(channel, shard, context.topology.queue_type).await
    })
    .await?;
    drop(declaring);
    let channel = place.connection.create_channel().await?;
    channel
        .basic_qos(context.prefetch, BasicQosOptions::default())
        .await?;
    let consumer = channel
        .basic_consume(
            shard_queue(shard).into(),
            "".into(),
            BasicConsumeOptions::default(),
            FieldTable::default(),
        )
        .await?;
    Ok((channel, consumer))
}

/// Until the consumer ends; `None` if the shard's task has.
async fn forward(mut consumer: Consumer, sender: &mpsc::Sender<Inbound>) -> Option<()> {
    sender.send(Inbound::Anew).await.ok()?;
    while let Some(Ok(delivery)) = consumer.next().await {
        let command = Inbound::Command(Box::new(delivery));
        sender.send(command).await.ok()?;
    }
    Some(())
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
