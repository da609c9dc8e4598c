//! What the shell does with the core, without the I/O.

use std::collections::BTreeMap;

use cache_writer::core::{
    applied::Stored,
    entity::{Entity, Index},
    event::Event,
    layout::{self, dispatch, index},
    outcome::Outcome,
    owner::{Action, EventId, Loaded, Owner, Publication},
    plan,
    purge::Purge,
    settings::Settings,
    snapshot::Snapshot,
    write::Write,
};
use serde_json::Value;

use super::store::Store;

/// A dispatch as it would come in a frame.
#[derive(Clone, Debug)]
pub(crate) struct Dispatch {
    pub(crate) session: String,
    pub(crate) seq: u64,
    pub(crate) shard: u32,
    pub(crate) total: u32,
    pub(crate) received_us: u64,
    pub(crate) name: String,
    pub(crate) data: String,
}

impl Dispatch {
    /// An event of shard 0 where order and session do not matter.
    pub(crate) fn new(name: &str, data: &str) -> Self {
        let (session, name, data) = ("s".to_owned(), name.to_owned(), data.to_owned());
        Self {
            session,
            seq: 1,
            shard: 0,
            total: SHARDS,
            received_us: 0,
            name,
            data,
        }
    }

    pub(crate) fn event(&self) -> Event<'_> {
        Event::new(
            &self.session,
            self.seq,
            (self.shard, self.total),
            &self.name,
            &self.data,
        )
        .received(self.received_us)
    }
}

pub(crate) const SHARDS: u32 = 2;

#[derive(Debug)]
pub(crate) struct Writer {
    pub(crate) settings: Settings,
    pub(crate) store: Store,
    owner: Owner,
    applied: Stored,
    journal: Option<String>,
}

impl Default for Writer {
    fn default() -> Self {
        Self::new(Settings::default())
    }
}

impl Writer {
    pub(crate) fn new(settings: Settings) -> Self {
        Self {
            settings,
            store: Store::default(),
            owner: Owner::new("model".to_owned(), None),
            applied: Stored::default(),
            journal: None,
        }
    }

    /// Has the owner work off a delivery in batches of at most `batch`; what it publishes, in order.
    pub(crate) fn deliver(&mut self, dispatches: &[Dispatch], batch: usize) -> Vec<(u64, Outcome)> {
        let ids = dispatches.iter().map(|dispatch| EventId {
            total: dispatch.total,
            shard: dispatch.shard,
            session: dispatch.session.as_str().into(),
            sequence: dispatch.seq,
        });
        self.owner.delivered(vec![ids.collect()], None);
        let (mut views, mut plan) = (Vec::new(), plan::Plan::default());
        let mut outcomes = Vec::new();
        loop {
            match self.owner.next_action() {
                Action::Claim(_) => self.owner.claimed(&Loaded {
                    applied: self.applied.clone(),
                    journal: self.journal.clone(),
                }),
                Action::Purge(candidates) => {
                    let candidates = candidates.iter().take(batch);
                    views = candidates.map(|at| dispatches[*at].event()).collect();
                    let size = plan::cut(&views);
                    assert!(size > 0, "a batch makes progress");
                    views.truncate(size);
                    let mut noted = Snapshot::default();
                    self.read(&mut noted, &plan::purge_reads(&views, &self.settings));
                    for purge in plan::purges(&views, &self.settings, &noted) {
                        // Twice, as after a crash half-way.
                        self.purge(&purge);
                        self.purge(&purge);
                    }
                    self.owner.purged(size);
                }
                Action::Read => {
                    plan = self.plan(&views);
                    let old = plan.events.iter().map(|outcome| outcome.old.clone());
                    self.owner.planned(old.collect());
                }
                Action::Commit(commit) => {
                    self.write(&plan.writes);
                    self.applied.extend(commit.applied);
                    self.journal = Some(commit.journal);
                    self.owner.committed();
                }
                Action::Publish(publications) => {
                    let published = publications.into_iter().zip(plan.events.drain(..));
                    outcomes.extend(published.map(|(Publication { event, old, .. }, outcome)| {
                        (dispatches[event].seq, Outcome { old, ..outcome })
                    }));
                    self.owner.confirmed();
                }
                Action::AwaitConfirm => unreachable!("what is published is confirmed at once"),
                Action::Acknowledge(_) => {}
                Action::Await => return outcomes,
                Action::GiveUp(reason) => panic!("{reason}"),
            }
        }
    }

    fn plan<'a>(&self, events: &[Event<'a>]) -> plan::Plan<'a> {
        let reads = plan::reads(events, &self.settings);
        let mut snapshot = Snapshot::default();
        self.read(&mut snapshot, &reads.entities);
        for index in reads.indexes {
            snapshot.insert_index(index, self.store.ids(index));
        }
        let further = plan::further_reads(events, &snapshot, &self.settings);
        self.read(&mut snapshot, &further);
        let plan = plan::plan(events, &snapshot, &self.settings);
        assert!(
            plan.writes.is_sorted_by(|a, b| a.entity() < b.entity()),
            "one write each"
        );
        plan
    }

    fn read(&self, snapshot: &mut Snapshot, entities: &[Entity]) {
        for entity in entities {
            let location = layout::location(*entity, self.settings.layouts);
            snapshot.insert(*entity, self.store.read(&location));
        }
    }

    fn purge(&mut self, purge: &Purge) {
        for index in purge.indexes() {
            for id in self.store.ids(index) {
                let entity = index.entity(id).unwrap();
                let location = layout::location(purge.decided_by(entity), self.settings.layouts);
                let value = purge
                    .needs_values()
                    .then(|| self.store.read(&location))
                    .flatten();
                if purge.takes(entity, value.as_deref()) {
                    if let Some(before) = Purge::before(entity) {
                        self.purge(&before);
                    }
                    let gone = [Some(entity), Purge::along(entity)];
                    let gone: Vec<_> = gone.into_iter().flatten().map(Write::Delete).collect();
                    self.write(&gone);
                }
            }
        }
    }

    pub(crate) fn write(&mut self, writes: &[Write]) {
        for command in layout::commands(writes, &self.settings, 1_000) {
            self.store.execute(command);
        }
    }

    /// Asserts that indexes and keys of the dispatch layout say the same, and the counts too.
    pub(crate) fn assert_indexed(&self) {
        let mut counts: BTreeMap<String, i64> = BTreeMap::new();
        let mut indexed = 0;
        for key in self.store.strings.keys() {
            let entity = dispatch::parse_key(key).unwrap();
            let expiring = match entity {
                Entity::Member { guild, .. } if self.settings.members_expire() => {
                    Some(Index::ExpiringMembers { guild })
                }
                _ => None,
            };
            if let Some(index) = expiring.or(entity.index()) {
                assert!(
                    self.store.ids(index).contains(&entity.id()),
                    "{key} is not indexed"
                );
                *counts
                    .entry(entity.family().plural().to_owned())
                    .or_default() += 1;
                indexed += 1;
            }
        }
        let ids: usize = self.store.sets.values().map(|set| set.len()).sum();
        assert_eq!(
            ids, indexed,
            "an index points at nothing: {:?}",
            self.store.sets
        );
        let mut counted = self.store.counts.clone();
        counted.retain(|_, count| *count != 0);
        assert_eq!(counted, counts);
        for key in self.store.sets.keys() {
            let index = index::parse_key(key).unwrap();
            assert_eq!(index::key(index), *key);
        }
    }
}

/// The `old` of an outcome, parsed.
pub(crate) fn old(outcome: &Outcome) -> Option<Value> {
    outcome
        .old
        .as_deref()
        .map(|text| serde_json::from_str(text).unwrap())
}
