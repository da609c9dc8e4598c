//! Carrying out what is decided about commands.

use std::{
    collections::{BTreeSet, HashMap, HashSet},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use dispatch_proto::{codec::Encoding, command::Reply, session::ShardEntry};
use dispatch_service::amqp::PublishError;
use futures_util::{StreamExt, future::BoxFuture, stream::FuturesUnordered};
use serde_json::value::RawValue;
use tokio::{
    sync::{mpsc, watch},
    time::{MissedTickBehavior, interval, timeout},
};
use tokio_util::sync::CancellationToken;

use super::{
    clock::{Clock, millis},
    consumers::{Event, Incoming},
    dead_letters::DeadLetters,
    envelope::{Envelope, deliveries},
    publications::Publications,
    replies::Replies,
    shards::Shards,
};
use crate::{
    config::Config,
    core::{
        deadline::deadline,
        forwarder::{Action, Delivered, Forwarder as Decisions, Id, QueueId},
        rejection::Rejection,
        route::{Forward, Message, read},
    },
    error::RouterError,
    metrics::{self, Outcome},
};

/// How long what is under way is waited for at the end.
const DRAIN: Duration = Duration::from_secs(3);
/// How often what waits is looked at.
const LOOK: Duration = Duration::from_secs(1);
/// How often it is logged.
const REPEAT: Duration = Duration::from_secs(60);

/// Takes the commands and does with each what is decided.
pub(crate) struct Forwarder<'a> {
    pub(crate) config: &'a Config,
    pub(crate) clock: Clock,
    pub(crate) shards: &'a Shards,
    pub(crate) publications: Publications,
    pub(crate) dead_letters: &'a DeadLetters,
    pub(crate) replies: &'a Replies,
    /// Set when RabbitMQ has confirmed a command or dead letter.
    pub(crate) progress: &'a AtomicBool,
    pub(crate) renewals: watch::Sender<BTreeSet<QueueId>>,
}

/// Something under way has come to its end.
enum Done {
    Published(Id, u32, Result<(), PublishError>),
    Settled(Id),
}

type Work<'a> = FuturesUnordered<BoxFuture<'a, Result<Done, RouterError>>>;

/// What is in hand.
struct InHand<'a> {
    decisions: Decisions,
    envelopes: HashMap<Id, (Arc<Envelope>, u64)>,
    work: Work<'a>,
    /// Shards whose queue is known to exist.
    declared: HashSet<u32>,
    logged: Option<Instant>,
}

/// What Redis knows of shards.
enum Known {
    Shard(u32, Box<RawValue>),
    All(Vec<ShardEntry>),
}

impl Forwarder<'_> {
    /// Routes until `stop`, then waits for what is under way. What was delivered and is not settled comes again.
    pub(crate) async fn run(
        &self,
        mut events: mpsc::Receiver<Event>,
        stop: &CancellationToken,
    ) -> Result<(), RouterError> {
        let mut hand = InHand {
            decisions: Decisions::new(millis(self.config.command_ttl)),
            envelopes: HashMap::new(),
            work: FuturesUnordered::new(),
            declared: HashSet::new(),
            logged: None,
        };
        let mut reads = self.shards.reads();
        reads.mark_changed();
        let mut looks = interval(LOOK);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            while let Some(action) = hand.decisions.poll(self.clock.now()) {
                self.begin(&mut hand, action);
            }
            tokio::select! {
                biased;
                () = stop.cancelled() => break,
                Some(done) = hand.work.next() => self.end(&mut hand, done?),
                Ok(()) = reads.changed() => {
                    if let Some(read) = *reads.borrow_and_update() {
                        hand.decisions.shards_read(read.total, read.began, self.clock.now());
                    }
                }
                () = self.clock.until(hand.decisions.wakeup()) => {}
                _ = looks.tick() => self.look(&mut hand),
                Some(event) = events.recv() => match event {
                    Event::Delivered(incoming) => self.deliver(&mut hand, *incoming),
                    Event::Lost(queue, answer) => {
                        let arrived = hand.decisions.lost(queue, self.clock.now());
                        // Nobody listens when the session ends.
                        let _ = answer.send(arrived);
                    }
                },
            }
        }
        let drain = async {
            while let Some(done) = hand.work.next().await {
                self.end(&mut hand, done?);
            }
            Ok(())
        };
        timeout(DRAIN, drain).await.unwrap_or(Ok(()))
    }

    fn deliver(&self, hand: &mut InHand<'_>, incoming: Incoming) {
        let (message, now) = (message(&incoming), self.clock.now());
        let spectacles = self.config.spectacles.as_ref();
        let setting = spectacles.map_or_else(Encoding::default, |spectacles| spectacles.encoding);
        let (encoding, command) = (message.encoding(setting), read(&message, setting));
        let properties = &incoming.delivery.properties;
        let expiration = properties.expiration().as_ref().map(|text| text.as_str());
        let ttl = millis(self.config.command_ttl);
        let deadline = deadline(incoming.arrived, ttl, expiration);
        let delivered = Delivered {
            queue: incoming.queue,
            command,
            arrived: incoming.arrived,
            deadline,
            deliveries: deliveries(&incoming.delivery),
        };
        let envelope = Envelope {
            queue: incoming.name,
            delivery: incoming.delivery,
            encoding,
            received: Instant::now(),
        };
        let id = hand.decisions.deliver(delivered, now);
        hand.envelopes.insert(id, (Arc::new(envelope), deadline));
    }

    /// Begins what is decided.
    fn begin<'a>(&'a self, hand: &mut InHand<'a>, action: Action) {
        let Some((envelope, deadline)) = hand.envelopes.get(&action.id()).cloned() else {
            return;
        };
        match action {
            Action::Publish(id, forward) => {
                let declare = !hand.declared.contains(&forward.shard);
                if forward.astray {
                    let shard = forward.shard;
                    tracing::debug!(shard, "command for a shard that is not its guild's");
                    metrics::astray();
                }
                let deadline = self.clock.unix(deadline);
                let publish = self.publish(id, envelope, forward, deadline, declare);
                hand.work.push(Box::pin(publish));
            }
            Action::Answer(id, shard) => hand.work.push(Box::pin(self.answer(id, envelope, shard))),
            Action::Reject(id, rejection) => {
                hand.work
                    .push(Box::pin(self.reject(id, envelope, rejection)));
            }
        }
    }

    async fn publish(
        &self,
        id: Id,
        envelope: Arc<Envelope>,
        forward: Forward,
        deadline: u64,
        declare: bool,
    ) -> Result<Done, RouterError> {
        let publications = &self.publications;
        let published = publications
            .publish(&envelope, &forward, deadline, declare)
            .await;
        match published {
            Ok(()) => {
                self.progress.store(true, Ordering::Relaxed);
                envelope.acknowledge().await;
                metrics::forwarded(envelope.received.elapsed());
            }
            Err(PublishError::Nacked | PublishError::Unroutable) => {}
            Err(error) => return Err(error.into()),
        }
        Ok(Done::Published(id, forward.shard, published))
    }

    async fn answer(
        &self,
        id: Id,
        envelope: Arc<Envelope>,
        shard: Option<u32>,
    ) -> Result<Done, RouterError> {
        let away = |error| format!("redis does not answer: {error}");
        let known = match shard {
            Some(shard) => match self.shards.status(shard).await {
                Ok(Some(text)) => serde_json::from_str::<Box<RawValue>>(&text)
                    .map(|status| Known::Shard(shard, status))
                    .map_err(|_| format!("the status of shard {shard} on redis is not json")),
                Ok(None) => Err(format!("shard {shard} has no status yet")),
                Err(error) => Err(away(error)),
            },
            None => self.shards.list().await.map(Known::All).map_err(away),
        };
        let reply = match &known {
            Ok(Known::Shard(shard, status)) => Reply::status(*shard, status),
            Ok(Known::All(shards)) => Reply::shards(shards),
            Err(reason) => Reply::error(reason),
        };
        envelope.acknowledge().await;
        metrics::finished(Outcome::Answered);
        self.replies.send(&envelope, &reply).await;
        Ok(Done::Settled(id))
    }

    async fn reject(
        &self,
        id: Id,
        envelope: Arc<Envelope>,
        rejection: Rejection,
    ) -> Result<Done, RouterError> {
        let reason = rejection.to_string();
        self.dead_letters
            .reject(&envelope, &reason, self.replies)
            .await?;
        self.progress.store(true, Ordering::Relaxed);
        match rejection {
            Rejection::Refused(refusal) => metrics::refused(&refusal),
            Rejection::TooMany(_) => metrics::finished(Outcome::Refused),
            Rejection::Expired { .. } | Rejection::Redelivered(_) => {
                metrics::finished(Outcome::Expired);
            }
        }
        Ok(Done::Settled(id))
    }

    /// Reports what has been done.
    fn end(&self, hand: &mut InHand<'_>, done: Done) {
        let now = self.clock.now();
        match done {
            Done::Published(id, shard, Ok(())) => {
                hand.declared.insert(shard);
                hand.envelopes.remove(&id);
                hand.decisions.confirmed(id, now);
            }
            Done::Published(id, shard, Err(error)) => {
                if matches!(error, PublishError::Unroutable) {
                    hand.declared.remove(&shard);
                }
                tracing::debug!(shard, %error, "a shard's queue refuses a command");
                metrics::shard_queue_refused();
                hand.decisions.refused(id, now);
            }
            Done::Settled(id) => {
                hand.envelopes.remove(&id);
                hand.decisions.settled(id);
            }
        }
    }

    /// Looks at what waits.
    fn look(&self, hand: &mut InHand<'_>) {
        let overdue = hand.decisions.overdue(self.clock.now());
        if !overdue.is_empty() {
            self.renewals.send_replace(overdue);
        }
        let waiting = hand.decisions.waiting();
        metrics::waiting(waiting);
        let obstacles = hand.decisions.obstacles();
        if obstacles.is_empty() {
            hand.logged = None;
        } else if hand.logged.is_none_or(|at| at.elapsed() >= REPEAT) {
            hand.logged = Some(Instant::now());
            tracing::warn!(waiting, "commands wait{}", obstacles.join(""));
        }
    }
}

fn message(incoming: &Incoming) -> Message<'_> {
    let properties = &incoming.delivery.properties;
    Message {
        source: incoming.source,
        body: &incoming.delivery.data,
        content_type: properties.content_type().as_ref().map(|text| text.as_str()),
        wants_reply: properties.reply_to().is_some(),
    }
}
