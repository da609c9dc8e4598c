//! Dead-lettering commands that wait too long in the queue of a shard that nobody runs.

use std::{borrow::Cow, collections::BTreeSet, time::Duration};

use dispatch_proto::rabbit::shard_queue;
use dispatch_service::{
    amqp::{close_channel, deadline, reply_encoding},
    clock::unix_millis,
    topology::{Counts, counts},
};
use futures_util::{StreamExt as _, stream};
use lapin::{Channel, Connection, options::BasicGetOptions};
use tokio::time::{Instant, MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use super::{
    clock::millis, dead_letters::DeadLetters, envelope::Envelope, queues::Queues, replies::Replies,
    shards::Shards,
};
use crate::{
    config::Config,
    core::{
        rejection::{Obstacle, Rejection},
        unattended::{Head, Unattended},
    },
    error::RouterError,
    metrics::{self, Outcome},
};

/// How often the shards' queues are looked over.
const INTERVAL: Duration = Duration::from_secs(1);
/// Queues that RabbitMQ is asked for at a time.
const AT_ONCE: usize = 64;
/// How often queues are looked for whose shards exist no more. Each that isn't there is a line in RabbitMQ's log.
const SEARCH: Duration = Duration::from_secs(600);
/// Shards in a row without a queue, after which the search ends.
const GAP: u32 = 8;

/// Looks over the queues of all shards. Only the active router does.
pub(crate) struct Expiry<'a> {
    shards: &'a Shards,
    connection: &'a Connection,
    queues: &'a Queues,
    dead_letters: &'a DeadLetters,
    replies: &'a Replies,
    unattended: Unattended,
    reason: String,
    /// Shards whose queue is known to exist: some of them may exist no more themselves.
    known: BTreeSet<u32>,
    /// Number of shards at the last search for queues, and when it was.
    searched: Option<(u32, Instant)>,
}

impl<'a> Expiry<'a> {
    pub(crate) fn new(
        config: &Config,
        shards: &'a Shards,
        connection: &'a Connection,
        queues: &'a Queues,
        dead_letters: &'a DeadLetters,
        replies: &'a Replies,
    ) -> Self {
        let ttl_ms = millis(config.command_ttl);
        let obstacle = Obstacle::Shard;
        Self {
            shards,
            connection,
            queues,
            dead_letters,
            replies,
            unattended: Unattended::new(ttl_ms, millis(INTERVAL)),
            reason: Rejection::Expired { ttl_ms, obstacle }.to_string(),
            known: BTreeSet::new(),
            searched: None,
        }
    }

    /// Looks the queues over until `ending`, and ends between two messages. What goes wrong is tried again at the next turn.
    pub(crate) async fn run(mut self, ending: &CancellationToken) {
        let mut interval = interval(INTERVAL);
        interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
        while ending.run_until_cancelled(interval.tick()).await.is_some() {
            if let Err(error) = self.look_over(ending).await {
                tracing::debug!(%error, "cannot look over the shards' queues");
            }
        }
    }

    async fn look_over(&mut self, ending: &CancellationToken) -> Result<(), RouterError> {
        let Some(total) = self.shards.total() else {
            return Ok(());
        };
        let due = |(searched, at): (u32, Instant)| searched != total || at.elapsed() >= SEARCH;
        if self.searched.is_none_or(due) {
            self.search(total).await?;
            self.searched = Some((total, Instant::now()));
        }
        for shard in 0..total {
            if !self.known.contains(&shard) {
                self.queues.declare_shard(shard).await?;
                self.known.insert(shard);
            }
        }
        let channel = self.connection.create_channel().await?;
        // Asked for together, they cost RabbitMQ and this process a fraction of what they do one after the other.
        let queues = self.queues;
        let asked = self.unattended.turn(&self.known).into_iter();
        let asked = asked.map(|shard| {
            let channel = &channel;
            async move { (shard, counts(channel, &queue(queues, shard)).await) }
        });
        let mut answers = stream::iter(asked).buffered(AT_ONCE);
        while let Some((shard, counts)) = answers.next().await {
            if ending.is_cancelled() {
                break;
            }
            let Counts {
                messages,
                consumers,
            } = counts.inspect_err(|_| {
                self.known.remove(&shard);
            })?;
            if self
                .unattended
                .observe(shard, messages, consumers, unix_millis())
            {
                self.expire(shard, ending).await?;
            }
        }
        drop(answers);
        close_channel(&channel).await;
        Ok(())
    }

    /// Finds queues of shards that there were once, behind the last one that there is.
    async fn search(&mut self, total: u32) -> Result<(), RouterError> {
        let (mut shard, mut missing) = (total, 0);
        while missing < GAP && self.connection.status().connected() {
            let channel = self.connection.create_channel().await?;
            missing += 1;
            let exists = async || counts(&channel, &queue(self.queues, shard)).await.is_ok();
            if self.known.contains(&shard) || exists().await {
                self.known.insert(shard);
                missing = 0;
                close_channel(&channel).await;
            }
            shard = shard.saturating_add(1);
        }
        Ok(())
    }

    /// Dead-letters from the head of a shard's queue what has waited too long.
    ///
    /// The first message that has not goes back to its place when its channel is closed.
    async fn expire(&mut self, shard: u32, ending: &CancellationToken) -> Result<(), RouterError> {
        let channel = self.connection.create_channel().await?;
        let expired = self.expire_with(shard, &channel, ending).await;
        close_channel(&channel).await;
        expired
    }

    async fn expire_with(
        &mut self,
        shard: u32,
        channel: &Channel,
        ending: &CancellationToken,
    ) -> Result<(), RouterError> {
        let queue = queue(self.queues, shard);
        while !ending.is_cancelled() {
            let options = BasicGetOptions::default();
            let Some(message) = channel.basic_get((&*queue).into(), options).await? else {
                return Ok(());
            };
            let behind = message.message_count;
            let delivery = message.delivery;
            let deadline = deadline(&delivery.properties);
            match self.unattended.head(shard, deadline, behind, unix_millis()) {
                Head::Waits => return Ok(()),
                Head::Expired => {
                    let envelope = Envelope {
                        queue: (&*queue).into(),
                        encoding: reply_encoding(&delivery.properties),
                        delivery,
                        received: std::time::Instant::now(),
                    };
                    let rejected = self
                        .dead_letters
                        .reject(&envelope, &self.reason, self.replies);
                    rejected.await?;
                    metrics::finished(Outcome::Expired);
                }
            }
        }
        Ok(())
    }
}

fn queue(queues: &Queues, shard: u32) -> Cow<'static, str> {
    queues.namespace().name(shard_queue(shard))
}
