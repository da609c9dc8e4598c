//! What RabbitMQ is told of a shard's commands: replies, acknowledgements and dead letters.
//!
//! Tasks of their own, so that a slow RabbitMQ never keeps a shard from reading.

use std::{sync::Mutex, time::Duration};

use dispatch_proto::{
    command::Reply,
    namespace::Namespace,
    rabbit::{MAX_BODY, shard_queue},
};
use dispatch_service::{
    amqp::{Answer, DeadLetter, PublishError, Publisher, reply_encoding},
    backoff::Backoff,
    topology::declare_dead,
};
use lapin::{Acker, message::Delivery, options::BasicAckOptions};
use tokio::{
    sync::{mpsc, oneshot},
    task::JoinHandle,
    time::timeout,
};
use tokio_util::sync::CancellationToken;

use super::link::{Current, current};
use crate::metrics;

/// Replies that may wait for RabbitMQ; they are answers to people who wait, not events.
const REPLIES: usize = 4096;

/// Longest wait for acknowledgements to be written.
const ACKNOWLEDGE_LIMIT: Duration = Duration::from_secs(1);

/// Where shards hand in what RabbitMQ is to be told.
#[derive(Debug)]
pub(crate) struct Replies {
    acks: mpsc::Sender<Ack>,
    rejects: mpsc::Sender<Rejected>,
    replies: mpsc::Sender<Answer>,
    stop: CancellationToken,
    tasks: Mutex<Vec<JoinHandle<()>>>,
}

#[derive(Debug)]
enum Ack {
    Command(Acker),
    /// All before it are written.
    Written(oneshot::Sender<()>),
}

#[derive(Debug)]
struct Rejected {
    delivery: Delivery,
    shard: u32,
    reason: String,
    /// Its sender has had a reply.
    answered: bool,
}

impl Replies {
    /// Starts the tasks. The broker hands out at most `commands` at a time: so many may wait here.
    pub(crate) fn start(namespace: Namespace, publishing: Current, commands: usize) -> Self {
        // And one more for each shard, which at its end waits for its acknowledgements to be written.
        let capacity = 2 * commands.max(1);
        let (acks, ack_queue) = mpsc::channel(capacity);
        let (rejects, reject_queue) = mpsc::channel(capacity);
        let (replies, reply_queue) = mpsc::channel(REPLIES);
        let stop = CancellationToken::new();
        let tasks = vec![
            tokio::spawn(acknowledge(ack_queue, stop.clone())),
            tokio::spawn(reject(
                reject_queue,
                Outlet::new(namespace.clone(), publishing.clone()),
                acks.clone(),
                replies.clone(),
                stop.clone(),
            )),
            tokio::spawn(reply(
                reply_queue,
                Outlet::new(namespace, publishing),
                stop.clone(),
            )),
        ];
        Self {
            acks,
            rejects,
            replies,
            stop,
            tasks: Mutex::new(tasks),
        }
    }

    /// The command has left for Discord, or is carried out: its sender is told, if it asked for that.
    pub(crate) fn reply(&self, shard: u32, delivery: &Delivery) {
        answer(&self.replies, delivery, &Reply::taken(shard));
    }

    /// Discord has read the command, or it is carried out: RabbitMQ may forget it.
    pub(crate) fn acknowledge(&self, shard: u32, delivery: &Delivery) {
        // Full can't be: the queue holds as many as the broker hands out. Without an ack the command would come again.
        let ack = Ack::Command(delivery.acker.clone());
        if self.acks.try_send(ack).is_err() {
            tracing::error!(
                shard,
                "a command could not be acknowledged and may be sent again"
            );
        }
    }

    /// Until what was acknowledged before is written: after that a channel may be closed.
    pub(crate) async fn acknowledged(&self) {
        let (written, is_written) = oneshot::channel();
        let wait = async {
            if self.acks.send(Ack::Written(written)).await.is_ok() {
                let _ = is_written.await;
            }
        };
        if timeout(ACKNOWLEDGE_LIMIT, wait).await.is_err() {
            tracing::warn!("rabbitmq takes no acknowledgements: commands may be sent again");
        }
    }

    /// The command can't be carried out, or Discord did not take it. `answered`: its sender has had a reply.
    pub(crate) fn reject(&self, shard: u32, delivery: Delivery, reason: String, answered: bool) {
        let rejected = Rejected {
            delivery,
            shard,
            reason,
            answered,
        };
        if self.rejects.try_send(rejected).is_err() {
            tracing::error!(
                shard,
                "a rejected command could not be handed on and will come again"
            );
        }
    }

    /// Does what can be done at once, then ends.
    pub(crate) async fn finish(&self) {
        self.stop.cancel();
        let tasks = std::mem::take(
            &mut *self
                .tasks
                .lock()
                .unwrap_or_else(std::sync::PoisonError::into_inner),
        );
        for task in tasks.into_iter().rev() {
            let _ = task.await;
        }
    }
}

/// Queues the answer to a command, if its sender asked for one. Too many that wait are dropped: an answer is worth less than
/// the commands behind it.
fn answer(replies: &mpsc::Sender<Answer>, delivery: &Delivery, reply: &Reply<'_>) {
    let properties = &delivery.properties;
    if let Some(answer) = Answer::to(properties, reply, reply_encoding(properties))
        && replies.try_send(answer).is_err()
    {
        metrics::reply_dropped();
    }
}

/// The next entry; after `stop`, only what is there already.
async fn next<T>(queue: &mut mpsc::Receiver<T>, stop: &CancellationToken) -> Option<T> {
    tokio::select! {
        biased;
        entry = queue.recv() => entry,
        () = stop.cancelled() => None,
    }
}

async fn acknowledge(mut acks: mpsc::Receiver<Ack>, stop: CancellationToken) {
    while let Some(ack) = next(&mut acks, &stop).await {
        let acker = match ack {
            Ack::Command(acker) => acker,
            Ack::Written(written) => {
                let _ = written.send(());
                continue;
            }
        };
        // It fails when the channel has died: then the command comes again, which can't be helped.
        if let Err(error) = acker.ack(BasicAckOptions::default()).await {
            tracing::debug!(%error, "a command's channel died before its ack");
        }
    }
}

async fn reject(
    mut rejects: mpsc::Receiver<Rejected>,
    mut outlet: Outlet,
    acks: mpsc::Sender<Ack>,
    replies: mpsc::Sender<Answer>,
    stop: CancellationToken,
) {
    while let Some(rejected) = next(&mut rejects, &stop).await {
        let Rejected {
            delivery,
            shard,
            reason,
            answered,
        } = rejected;
        let mut backoff = Backoff::default();
        let publish = async {
            while let Err(error) = outlet.dead_letter(&delivery, shard, &reason).await {
                outlet.publisher = None;
                tracing::warn!(%error, "cannot publish a dead letter, trying again");
                tokio::time::sleep(backoff.next_delay()).await;
            }
        };
        if stop.run_until_cancelled(publish).await.is_none() {
            continue;
        }
        tracing::info!(shard, reason, "command rejected");
        if !answered {
            answer(&replies, &delivery, &Reply::error(&reason));
        }
        let _ = acks.send(Ack::Command(delivery.acker)).await;
    }
}

async fn reply(mut replies: mpsc::Receiver<Answer>, mut outlet: Outlet, stop: CancellationToken) {
    while let Some(answer) = next(&mut replies, &stop).await {
        let publish = async { answer.publish(outlet.opened().await?).await };
        match publish.await {
            Ok(()) => {}
            // Whoever asked is gone.
            Err(PublishError::Unroutable) => metrics::reply_dropped(),
            Err(error) => {
                outlet.publisher = None;
                metrics::reply_dropped();
                tracing::debug!(%error, "a reply could not be sent");
            }
        }
    }
}

/// Where a task publishes: a channel on the connection of the moment.
struct Outlet {
    namespace: Namespace,
    publishing: Current,
    publisher: Option<Publisher>,
}

impl Outlet {
    fn new(namespace: Namespace, publishing: Current) -> Self {
        Self {
            namespace,
            publishing,
            publisher: None,
        }
    }

    async fn opened(&mut self) -> Result<&Publisher, PublishError> {
        match &mut self.publisher {
            Some(publisher) => Ok(publisher),
            closed => {
                let connection = current(self.publishing.clone()).await;
                let opened = Publisher::open(&connection).await?;
                declare_dead(opened.channel(), &self.namespace).await?;
                Ok(closed.insert(opened))
            }
        }
    }

    async fn dead_letter(
        &mut self,
        delivery: &Delivery,
        shard: u32,
        reason: &str,
    ) -> Result<(), PublishError> {
        let namespace = self.namespace.clone();
        let letter = DeadLetter {
            namespace: &namespace,
            source: &namespace.name(shard_queue(shard)),
            reason,
            limit: MAX_BODY,
        };
        let properties = delivery.properties.clone();
        let publisher = self.opened().await?;
        publisher
            .dead_letter(letter, properties, &delivery.data)
            .await
    }
}
