//! Carrying out what [`crate::core::owner`] asks for.

use std::{collections::VecDeque, sync::Arc};

use dispatch_proto::notice::{Gap, GapReason};
use dispatch_service::backoff::Backoff;
use futures_util::FutureExt;
use lapin::{Channel, message::Delivery};
use tokio_util::sync::CancellationToken;

use super::{
    incoming::{self, Contents, Incoming},
    publish::EventPublisher,
    shared::Shared,
    store::Store,
};
use crate::{
    core::{
        event::Event,
        outcome::{Note, Outcome},
        owner::{Action, Claim, Finding, Owner, Publication, Reason},
        plan::{self, Plan},
        snapshot::Snapshot,
    },
    error::{PartitionError, StoreError},
    metrics,
};

/// The owner of a partition.
pub(super) struct PartitionOwner {
    partition: u32,
    protocol: Owner,
    store: Store,
    shared: Arc<Shared>,
    /// Where the deliveries come from, and the events go to.
    channel: Channel,
    /// Deliveries that are not acknowledged, by their tags.
    unacknowledged: VecDeque<u64>,
    stop: CancellationToken,
    taken_over: bool,
    backoff: Backoff,
}

impl PartitionOwner {
    pub(super) fn new(
        partition: u32,
        shared: Arc<Shared>,
        channel: Channel,
        stop: CancellationToken,
    ) -> Self {
        // This process may have served the partition before, and know of more than Redis does.
        let known = shared.published(partition);
        Self {
            partition,
            protocol: Owner::new(format!("{:032x}", rand::random::<u128>()), known),
            store: Store::new(&shared.config, partition),
            shared,
            channel,
            unacknowledged: VecDeque::new(),
            stop,
            taken_over: false,
            backoff: Backoff::default(),
        }
    }

    /// Applies and publishes what deliveries hold. It is in flight then, perhaps; deliveries are acknowledged with what `publisher` publishes
    /// next. `false` if the process was asked to end while Redis was away: they are to come again.
    pub(super) async fn process(
        &mut self,
        deliveries: &[Delivery],
        publisher: &mut EventPublisher,
    ) -> Result<bool, PartitionError> {
        let bodies = incoming::bodies(deliveries);
        let contents = Contents::decode(deliveries, &bodies, publisher).await?;
        let tags = deliveries.iter().map(|delivery| delivery.delivery_tag);
        self.unacknowledged.extend(tags.take(contents.frames.len()));
        self.protocol
            .delivered(contents.frames, contents.unreadable);
        self.act(&contents.events, publisher).await
    }

    /// Waits until what is longest in flight is confirmed.
    pub(super) async fn confirmed(
        &mut self,
        publisher: &mut EventPublisher,
    ) -> Result<(), PartitionError> {
        publisher.confirmed().await?;
        self.protocol.confirmed();
        self.act(&[], publisher).await.map(drop)
    }

    /// Does what is to be done with the events in hand.
    async fn act(
        &mut self,
        events: &[Incoming<'_>],
        publisher: &mut EventPublisher,
    ) -> Result<bool, PartitionError> {
        let mut batch = Batch::default();
        self.backoff.reset();
        loop {
            while let Some(answered) = publisher.answered().now_or_never() {
                answered?;
                publisher.confirmed().await?;
                self.protocol.confirmed();
            }
            let action = self.protocol.next_action();
            self.report_findings();
            let done = match action {
                Action::Await => return Ok(true),
                Action::AwaitConfirm => {
                    publisher.confirmed().await?;
                    self.protocol.confirmed();
                    continue;
                }
                Action::GiveUp(reason) => {
                    // What is done stays done.
                    publisher.acknowledgements.send()?;
                    return Err(reason.into());
                }
                Action::Acknowledge(deliveries) => {
                    if let Some(last) = self.unacknowledged.drain(..deliveries).next_back() {
                        publisher.acknowledgements.add(last, deliveries)?;
                    }
                    continue;
                }
                Action::Publish(publications) => {
                    self.publish(events, publications, &mut batch, publisher)
                        .await?;
                    continue;
                }
                Action::Claim(claim) => self.claim(claim).await,
                Action::Purge(candidates) => {
                    batch.views = candidates.iter().map(|at| events[*at].view()).collect();
                    self.purge(&mut batch.views).await
                }
                Action::Read => self.read(&mut batch).await,
                Action::Commit(commit) => {
                    let committed = self.store.commit(&batch.plan.writes, &commit).await;
                    committed.map(|()| self.protocol.committed())
                }
            };
            match done {
                Ok(()) => {}
                Err(StoreError::Fenced) => self.protocol.refused(),
                Err(error) => {
                    self.protocol.timed_out();
                    batch = Batch::default();
                    if !self.wait(&error).await? {
                        return Ok(false);
                    }
                }
            }
        }
    }

    /// Ends the ownership in order: a successor finds nothing to repeat.
    pub(super) async fn retire(
        mut self,
        publisher: &mut EventPublisher,
    ) -> Result<(), PartitionError> {
        while publisher.has_in_flight() {
            self.confirmed(publisher).await?;
        }
        publisher.acknowledgements.send()?;
        // Without it the successor publishes the last batch once more if it comes again, as after a crash.
        if self.protocol.may_retire()
            && let Err(error) = self.store.retire().await
        {
            tracing::warn!(%error, "journal could not be closed");
        }
        Ok(())
    }

    async fn claim(&mut self, claim: Claim) -> Result<(), StoreError> {
        let loaded = self.store.claim(claim).await?;
        self.shared.redis_up.set(true);
        if !self.taken_over {
            self.taken_over = true;
            metrics::takeover();
            tracing::info!(partition = self.partition, "partition taken over");
        }
        self.protocol.claimed(&loaded);
        Ok(())
    }

    async fn purge(&mut self, views: &mut Vec<Event<'_>>) -> Result<(), StoreError> {
        views.truncate(plan::cut(views).max(1));
        let settings = &self.shared.config.state;
        let mut noted = Snapshot::default();
        let purge_reads = plan::purge_reads(views, settings);
        if !purge_reads.is_empty() {
            self.store.read_further(&purge_reads, &mut noted).await?;
        }
        let purges = plan::purges(views, settings, &noted);
        if !purges.is_empty() {
            self.store.purge(&purges).await?;
        }
        self.protocol.purged(views.len());
        Ok(())
    }

    async fn read(&mut self, batch: &mut Batch<'_>) -> Result<(), StoreError> {
        let settings = &self.shared.config.state;
        let views = &batch.views;
        metrics::batch(views.len());
        let mut snapshot = self.store.read(&plan::reads(views, settings)).await?;
        let further = plan::further_reads(views, &snapshot, settings);
        if !further.is_empty() {
            self.store.read_further(&further, &mut snapshot).await?;
        }
        batch.plan = plan::plan(views, &snapshot, settings);
        let old = |outcome: &mut Outcome| outcome.old.take();
        self.protocol
            .planned(batch.plan.events.iter_mut().map(old).collect());
        Ok(())
    }

    async fn publish(
        &mut self,
        events: &[Incoming<'_>],
        publications: Vec<Publication>,
        batch: &mut Batch<'_>,
        publisher: &mut EventPublisher,
    ) -> Result<(), PartitionError> {
        let outgoing: Vec<_> = publications
            .iter()
            .map(|publication| {
                let old = publication.old.as_deref();
                events[publication.event].outgoing(old, publication.gap.clone())
            })
            .collect();
        publisher.publish(&outgoing).await?;
        // What comes from the journal has no outcome here.
        for (publication, outcome) in publications.iter().zip(batch.plan.events.drain(..)) {
            let event = &events[publication.event];
            self.report(event, publication.gap.as_ref(), outcome);
        }
        Ok(())
    }

    /// Waits before the next attempt on Redis; false if the process is asked to end meanwhile.
    async fn wait(&mut self, error: &StoreError) -> Result<bool, PartitionError> {
        self.shared.redis_up.set(false);
        let delay = self.backoff.next_delay();
        tracing::warn!(%error, retry_in_ms = delay.as_millis(), "redis failed; the batch in hand is kept");
        let waited = self
            .stop
            .run_until_cancelled(tokio::time::sleep(delay))
            .await;
        // Whoever has lost its consumer must not claim the partition: another may have it.
        if !self.channel.status().connected() {
            return Err(Reason::Unpublished.into());
        }
        Ok(waited.is_some())
    }

    fn report_findings(&mut self) {
        for finding in self.protocol.findings() {
            match finding {
                Finding::Duplicates(events) => metrics::duplicates(events),
                Finding::Replays(events) => metrics::replays(events),
                Finding::RolledBack(shards) => {
                    tracing::error!(
                        ?shards,
                        "redis came back with older data, or none: the cache lacks changes, and events `old`, until it is rebuilt (see deploy/README.md: rebuilding the cache)"
                    );
                    metrics::rollback();
                }
            }
        }
    }

    /// Logs and counts what an event has brought to light.
    fn report(&self, event: &Incoming<'_>, gap: Option<&Gap>, outcome: Outcome) {
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
                tracing::warn!(shard = event.id.shard, event = event.name(), %reason, "payload can't be used by the cache");
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

/// The batch under way.
#[derive(Default)]
struct Batch<'a> {
    views: Vec<Event<'a>>,
    plan: Plan<'a>,
}

/// However the ownership ends, the next one of this process is to know of it.
impl Drop for PartitionOwner {
    fn drop(&mut self) {
        if let Some(published) = self.protocol.published() {
            self.shared.set_published(self.partition, published.clone());
        }
    }
}
