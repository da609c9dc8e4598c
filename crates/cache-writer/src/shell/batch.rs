//! Working off deliveries: the order of steps that P1–P4 rest on.
//!
//! 1. What was applied before is told by its sequence. If the last owner's journal has it, it is published again with
//!    the `old` it had; else it was published and confirmed, and is dropped.
//! 2. What is new is cut into batches. For each: purge, read, plan, then one transaction with the entities, the applied
//!    sequences and the journal; then publish and await the confirms.
//! 3. The caller acknowledges the frames last.
//!
//! **Invariant:** the journal is replaced only when all that it held is confirmed, so "applied and not in the journal" implies
//! "published". A crash between any two steps therefore loses nothing: whatever was not finished comes again.

use std::{borrow::Cow, sync::Arc};

use dispatch_proto::{
    event::Dispatch,
    frame::Frame,
    notice::{Gap, GapReason},
};
use dispatch_service::backoff::Backoff;
use lapin::message::Delivery;
use tokio_util::sync::CancellationToken;

use super::{
    outlet::{Outgoing, Outlet},
    partition::Shared,
    store::{Legacy, Store},
};
use crate::{
    core::{
        applied::{Applied, Verdict},
        event::Event,
        journal::{Journal, JournalWriter},
        plan::{self, Note, Plan},
        snapshot::Snapshot,
    },
    error::{PartitionError, StoreError},
    metrics,
};

/// The most events of one transaction: what bounds the journal, and the time that Redis is held up.
const MAX_BATCH: usize = 1_000;

/// The owner of a partition.
pub(super) struct Owner {
    partition: u32,
    store: Store,
    shared: Arc<Shared>,
    stop: CancellationToken,
    applied: Arc<Applied>,
    /// What was applied when everything was confirmed last; none before this owner's first batch.
    published: Option<Arc<Applied>>,
    /// What the last owner left to be published again.
    pending: Journal,
    /// The newest journal whose events are all confirmed: found on Redis again, it asks for nothing.
    confirmed: Option<String>,
    /// Whether Redis may lack applied sequences that are known here.
    rewrite: bool,
}

/// An event of a frame.
struct Incoming<'a> {
    shard: u32,
    total: u32,
    session: &'a str,
    sequence: u64,
    received_us: u64,
    payload: &'a [u8],
    dispatch: Result<Dispatch<'a>, String>,
}

/// Why an attempt was given up.
enum Interrupted {
    Store(StoreError),
    Partition(PartitionError),
}

impl From<StoreError> for Interrupted {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Fenced => Self::Partition(PartitionError::Fenced),
            error => Self::Store(error),
        }
    }
}

impl From<dispatch_service::amqp::PublishError> for Interrupted {
    fn from(error: dispatch_service::amqp::PublishError) -> Self {
        Self::Partition(error.into())
    }
}

impl Owner {
    /// Takes the partition over as soon as Redis answers; none if `stop` comes first.
    pub(super) async fn take_over(
        partition: u32,
        shared: Arc<Shared>,
        stop: CancellationToken,
    ) -> Option<Self> {
        let mut store = Store::new(&shared.config, partition);
        let mut backoff = Backoff::default();
        let Legacy { applied, journal } = loop {
            match store.take_over().await {
                Ok(legacy) => break legacy,
                Err(error) => wait(&shared, &error, &mut backoff, &stop).await?,
            }
        };
        shared.redis_up.set(true);
        let mut owner = Self {
            partition,
            store,
            stop,
            applied: Arc::default(),
            published: None,
            pending: decode(journal.as_deref()),
            confirmed: None,
            rewrite: false,
            shared,
        };
        // This process may have served the partition before, and know of more than Redis does.
        if let Some(known) = owner.shared.published(partition) {
            owner.applied = known;
        }
        owner.reconcile(applied);
        Some(owner)
    }

    /// Works deliveries off. `false` if the process was asked to end while Redis was away: they are to come again.
    pub(super) async fn process(
        &mut self,
        deliveries: &[Delivery],
        outlet: &mut Outlet,
    ) -> Result<bool, PartitionError> {
        let mut events = Vec::new();
        for delivery in deliveries {
            metrics::frame();
            match Frame::decode(&delivery.data) {
                Ok(frame) => events.extend(incoming(frame)),
                Err(error) => {
                    tracing::error!(%error, "delivery is not a frame of raw events");
                    metrics::dead_letter("frame");
                    outlet
                        .dead_letter(&error.to_string(), &delivery.data)
                        .await?;
                }
            }
        }
        let mut backoff = Backoff::default();
        loop {
            let error = match self.attempt(&events, outlet).await {
                Ok(()) => return Ok(true),
                Err(Interrupted::Partition(error)) => return Err(error),
                Err(Interrupted::Store(error)) => error,
            };
            // The outcome of what was under way is not known. What Redis holds tells, once it answers.
            let mut error = Some(error);
            while let Some(failed) = error.take() {
                if wait(&self.shared, &failed, &mut backoff, &self.stop)
                    .await
                    .is_none()
                {
                    return Ok(false);
                }
                error = match self.recover(failed).await {
                    Ok(()) => None,
                    Err(StoreError::Fenced) => return Err(PartitionError::Fenced),
                    Err(error) => Some(error),
                };
            }
            self.shared.redis_up.set(true);
        }
    }

    /// Ends the ownership in order: a successor finds nothing to repeat.
    pub(super) async fn retire(mut self) {
        // Without it the successor publishes the last batch once more, as after a crash.
        if self.pending.is_empty()
            && let Err(error) = self.store.retire().await
        {
            tracing::warn!(%error, "journal could not be closed");
        }
    }

    async fn attempt(
        &mut self,
        events: &[Incoming<'_>],
        outlet: &mut Outlet,
    ) -> Result<(), Interrupted> {
        let mut ahead = Applied::clone(&self.applied);
        let (mut replays, mut new) = (Vec::new(), Vec::new());
        for event in events {
            match ahead.judge(event.shard, event.session, event.sequence) {
                Verdict::New(gap) => {
                    ahead.advance(event.shard, event.session, event.sequence);
                    new.push((event, gap));
                }
                Verdict::Applied => match self.pending.take(event.session, event.sequence) {
                    Some(journaled) => {
                        metrics::replay();
                        let old = journaled.old.map(Cow::Owned);
                        replays.push(event.outgoing(old, journaled.gap));
                    }
                    None => metrics::duplicate(),
                },
            }
        }
        outlet.publish(&replays).await?;
        let views: Vec<Event<'_>> = new.iter().map(|(event, _)| event.view()).collect();
        let mut done = 0;
        while done < new.len() {
            let end = done + plan::cut(&views[done..]).clamp(1, MAX_BATCH);
            self.batch(&new[done..end], &views[done..end], outlet)
                .await?;
            done = end;
        }
        Ok(())
    }

    async fn batch(
        &mut self,
        events: &[(&Incoming<'_>, Option<Gap>)],
        views: &[Event<'_>],
        outlet: &mut Outlet,
    ) -> Result<(), Interrupted> {
        metrics::batch(events.len());
        let shared = self.shared.clone();
        let settings = &shared.config.state;
        let mut noted = Snapshot::default();
        let purge_reads = plan::purge_reads(views, settings);
        if !purge_reads.is_empty() {
            self.store.read_further(&purge_reads, &mut noted).await?;
        }
        for purge in plan::purges(views, settings, &noted) {
            self.store.purge(&purge).await?;
        }
        let mut snapshot = self.store.read(&plan::reads(views, settings)).await?;
        let further = plan::further_reads(views, &snapshot, settings);
        if !further.is_empty() {
            self.store.read_further(&further, &mut snapshot).await?;
        }
        let Plan {
            events: outcomes,
            writes,
        } = plan::plan(views, &snapshot, settings);

        let mut journal = JournalWriter::default();
        let mut applied = Applied::clone(&self.applied);
        let mut shards = Vec::new();
        for ((event, gap), outcome) in events.iter().zip(&outcomes) {
            journal.push(
                event.session,
                event.sequence,
                outcome.old.as_deref(),
                gap.as_ref(),
            );
            applied.advance(event.shard, event.session, event.sequence);
            shards.push(event.shard);
        }
        if self.rewrite {
            shards.extend(applied.shards());
        }
        shards.sort_unstable();
        shards.dedup();
        let texts: Vec<_> = shards
            .into_iter()
            .map(|shard| (shard, applied.encode(shard)))
            .collect();
        let journal = journal.finish();
        self.store.commit(&writes, &texts, &journal).await?;
        self.applied = Arc::new(applied);
        self.rewrite = false;
        // What came again came before anything new, so what is left of the last owner's journal was acknowledged.
        self.pending = Journal::default();

        let outgoing: Vec<_> = events
            .iter()
            .zip(&outcomes)
            .map(|((event, gap), outcome)| {
                event.outgoing(outcome.old.as_deref().map(Cow::Borrowed), gap.clone())
            })
            .collect();
        outlet.publish(&outgoing).await?;
        self.confirmed = Some(journal);
        self.published = Some(self.applied.clone());
        for ((event, gap), outcome) in events.iter().zip(outcomes) {
            self.tell(event, gap.as_ref(), outcome);
        }
        Ok(())
    }

    /// Finds out where things stand after Redis failed.
    async fn recover(&mut self, failed: StoreError) -> Result<(), StoreError> {
        if matches!(failed, StoreError::Emptied) {
            tracing::error!(
                "redis has lost its data: events go on without `old` until the cache is rebuilt (see the README)"
            );
            metrics::rollback();
            self.rewrite = true;
            self.pending = Journal::default();
            return self.store.retake().await;
        }
        let Legacy { applied, journal } = self.store.reload().await?;
        self.reconcile(applied);
        let published = journal.is_none() || journal == self.confirmed;
        self.pending = if published {
            Journal::default()
        } else {
            decode(journal.as_deref())
        };
        Ok(())
    }

    /// Takes in what Redis says is applied. What is known here beyond that was applied once, and lost with newer data: a fail-over to a
    /// replica that lagged, say.
    fn reconcile(&mut self, mut stored: Applied) {
        let lost = self.applied.ahead_of(&stored);
        if !lost.is_empty() {
            tracing::error!(shards = ?lost, "redis came back with older data: the cache lacks changes until it is rebuilt (see the README)");
            metrics::rollback();
            self.rewrite = true;
        }
        stored.merge(&self.applied, &lost);
        self.applied = Arc::new(stored);
    }

    /// Logs and counts what an event has brought to light.
    fn tell(&self, event: &Incoming<'_>, gap: Option<&Gap>, outcome: plan::Outcome) {
        if let Some(gap) = gap {
            let reason = match gap.reason {
                GapReason::SessionReplaced => "session_replaced",
                GapReason::SequenceSkipped => "sequence_skipped",
            };
            metrics::gap(reason);
            tracing::warn!(
                shard = gap.shard,
                reason,
                last_session = gap.last_session,
                last_sequence = gap.last_sequence,
                next_session = gap.next_session,
                next_sequence = gap.next_sequence,
                "events are missing that Discord can't send again"
            );
        }
        if outcome.skipped > 0 {
            metrics::skipped(outcome.skipped);
        }
        match outcome.note {
            Some(Note::Unusable(reason)) => {
                metrics::unusable();
                let name = event
                    .dispatch
                    .as_ref()
                    .map_or("", |dispatch| dispatch.name.as_ref());
                tracing::warn!(shard = event.shard, event = name, %reason, "payload can't be used by the cache");
            }
            Some(Note::Joined { guild, name }) => {
                metrics::guild_event("Join");
                if let Some(log) = &self.shared.guild_log {
                    log.joined(guild, name.as_deref());
                }
            }
            Some(Note::Left { guild, name }) => {
                metrics::guild_event("Leave");
                if let Some(log) = &self.shared.guild_log {
                    log.left(guild, name.as_deref());
                }
            }
            None => {}
        }
    }
}

/// However the ownership ends, the next one of this process is to know of it.
impl Drop for Owner {
    fn drop(&mut self) {
        if let Some(published) = self.published.take() {
            self.shared.set_published(self.partition, published);
        }
    }
}

impl<'a> Incoming<'a> {
    /// The event as the core sees it. One that can't be published keeps its place with a name that no rule knows.
    fn view(&self) -> Event<'_> {
        let (name, data) = match &self.dispatch {
            Ok(dispatch) => (dispatch.name.as_ref(), dispatch.data),
            Err(_) => ("", "null"),
        };
        Event::new(
            self.session,
            self.sequence,
            (self.shard, self.total),
            name,
            data,
        )
        .received(self.received_us)
    }

    fn outgoing<'o>(&'o self, old: Option<Cow<'o, str>>, gap: Option<Gap>) -> Outgoing<'o> {
        let (name, data, unpublishable) = match &self.dispatch {
            Ok(dispatch) => (Cow::Borrowed(dispatch.name.as_ref()), dispatch.data, None),
            Err(reason) => (Cow::Borrowed(""), "null", Some(reason.clone())),
        };
        Outgoing {
            shard: self.shard,
            session: self.session,
            sequence: self.sequence,
            received_us: self.received_us,
            name,
            data,
            old,
            gap,
            unpublishable,
            payload: self.payload,
        }
    }
}

fn incoming<'a>(frame: Frame<'a>) -> impl Iterator<Item = Incoming<'a>> {
    let Frame {
        shard,
        total,
        session,
        events,
    } = frame;
    events.into_iter().map(move |event| Incoming {
        shard,
        total,
        session,
        sequence: event.sequence,
        received_us: event.received_us,
        payload: event.payload,
        dispatch: Dispatch::parse(event.payload).map_err(|error| error.to_string()),
    })
}

fn decode(journal: Option<&str>) -> Journal {
    let decoded = journal.map(Journal::decode).transpose();
    decoded
        .map(Option::unwrap_or_default)
        .unwrap_or_else(|error| {
            tracing::error!(%error, "journal is unreadable: what it held can't be published again");
            Journal::default()
        })
}

/// Waits before the next attempt on Redis; none if the process is asked to end meanwhile.
async fn wait(
    shared: &Shared,
    error: &StoreError,
    backoff: &mut Backoff,
    stop: &CancellationToken,
) -> Option<()> {
    shared.redis_up.set(false);
    let delay = backoff.next_delay();
    tracing::warn!(%error, retry_in_ms = delay.as_millis(), "redis failed; the batch in hand is kept");
    stop.run_until_cancelled(tokio::time::sleep(delay)).await
}
