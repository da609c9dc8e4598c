//! From a queue of events to what to purge, read, publish as `old`, and write.

use std::collections::HashSet;

use super::{
    apply::State,
    entity::Entity,
    event::{Event, Unusable},
    layout,
    purge::{Purge, Target},
    rules,
    settings::Settings,
    snapshot::{Reads, Snapshot},
    step::{Scope, Step},
};

/// What a batch publishes and writes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// One for each event, in order.
    pub events: Vec<Outcome>,
    /// Sorted, at most one for each entity.
    pub writes: Vec<Write>,
}

/// What one event has found and told.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    /// JSON text of the state before the event, byte for byte as it was cached.
    pub old: Option<String>,
    /// Something worth a log line.
    pub note: Option<Note>,
    /// Bad elements of lists that were left out.
    pub skipped: u32,
}

/// Something about an event that is worth a log line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Note {
    /// The payload can't be used; it has changed nothing.
    Unusable(Unusable),
    /// The bot has joined a guild: GUILD_CREATE for one that is not cached, not even as a stub.
    Joined {
        /// The guild.
        guild: u64,
        /// Its name, if the payload has one.
        name: Option<String>,
    },
    /// The bot has left a guild.
    Left {
        /// The guild.
        guild: u64,
        /// Its name, if it was cached.
        name: Option<String>,
    },
}

/// One change of the cache.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Write {
    /// The entity's value becomes this JSON text.
    Put {
        /// What is stored.
        entity: Entity,
        /// Its JSON text.
        value: String,
    },
    /// The entity goes, if it is there.
    Delete(Entity),
}

impl Write {
    /// What is written.
    #[must_use]
    pub fn entity(&self) -> Entity {
        match self {
            Self::Put { entity, .. } | Self::Delete(entity) => *entity,
        }
    }
}

/// How many events from the front can go into one batch.
///
/// A batch's purges are done before its events are applied, so an event that purges what an earlier
/// one touches starts a new batch.
#[must_use]
pub fn cut(events: &[Event<'_>]) -> usize {
    let Some(last) = events.iter().rposition(|event| rules::purges(event.name)) else {
        return events.len();
    };
    let mut touched = Touched::default();
    for (position, event) in events.iter().enumerate().take(last + 1) {
        if rules::purges(event.name) && own_purges(event).any(|purge| touched.conflicts(purge)) {
            return position;
        }
        touched.add(event.scope());
    }
    events.len()
}

/// What must be purged before the batch is read and applied, in this order. `previous_session` is
/// the session that each shard had before the batch: only a new session's READY removes guilds.
#[must_use]
pub fn purges(
    events: &[Event<'_>],
    settings: &Settings,
    previous_session: impl Fn(u32) -> Option<String>,
) -> Vec<Purge> {
    if !settings.enabled {
        return Vec::new();
    }
    let mut purges = Vec::new();
    for event in events.iter().filter(|event| rules::purges(event.name)) {
        for purge in own_purges(event) {
            let mut purge = purge.under(settings);
            if let Target::Guilds { shard, total } = &mut purge.target {
                if previous_session(event.shard).as_deref() == Some(event.session) {
                    continue;
                }
                (*shard, *total) = (event.shard, event.total);
            }
            purges.push(purge);
        }
    }
    purges
}

/// What must be read for a batch: the first round trip.
#[must_use]
pub fn reads(events: &[Event<'_>], settings: &Settings) -> Reads {
    let mut reads = Reads::default();
    for step in kept_steps(events, settings) {
        match step {
            Step::StoreIfAbsent { entity, .. }
            | Step::Merge { entity, .. }
            | Step::SetField { entity, .. } => reads.entities.push(*entity),
            Step::Replace { entity, .. } | Step::Remove { entity } if settings.old => {
                reads.entities.push(*entity);
            }
            Step::RemoveAll { entities } if settings.old => reads.entities.extend(entities),
            Step::Adjust { entity, unless, .. } => {
                reads.entities.push(*entity);
                let unless = unless.filter(|entity| settings.keeps(entity.family()));
                reads.entities.extend(unless);
            }
            Step::Joined { guild, .. } | Step::Left { guild } => {
                reads.entities.push(Entity::Guild(*guild));
            }
            Step::ReplaceSet { .. } => reads.indexes.extend(step.index()),
            Step::Store { .. }
            | Step::Replace { .. }
            | Step::Remove { .. }
            | Step::Discard { .. }
            | Step::RemoveAll { .. }
            | Step::Purge(_) => {}
        }
    }
    reads.entities.sort_unstable();
    reads.entities.dedup();
    reads.indexes.sort_unstable();
    reads.indexes.dedup();
    reads
}

/// What the indexes that were read ask to be read besides: the second round trip, which usually is
/// empty.
#[must_use]
pub fn further_reads(
    events: &[Event<'_>],
    snapshot: &Snapshot,
    settings: &Settings,
) -> Vec<Entity> {
    if !settings.old {
        return Vec::new();
    }
    let mut entities: Vec<Entity> = kept_steps(events, settings)
        .filter(|step| matches!(step, Step::ReplaceSet { old: true, .. }))
        .filter_map(Step::index)
        .flat_map(|index| {
            snapshot
                .ids(index)
                .iter()
                .filter_map(move |id| index.entity(*id))
        })
        .filter(|entity| !snapshot.knows(*entity))
        .collect();
    entities.sort_unstable();
    entities.dedup();
    entities
}

/// The `old` of each event, as it stands after all events before it, and the writes of them all,
/// folded.
#[must_use]
pub fn plan(events: &[Event<'_>], snapshot: &Snapshot, settings: &Settings) -> Plan {
    if !settings.enabled {
        let events = events.iter().map(|_| Outcome::default()).collect();
        return Plan {
            events,
            writes: Vec::new(),
        };
    }
    let mut state = State::new(snapshot, settings);
    let mut outcomes: Vec<_> = events
        .iter()
        .map(|event| outcome(event, &mut state))
        .collect();
    for outcome in &mut outcomes {
        outcome.old = outcome
            .old
            .take()
            .map(|old| layout::as_stored(old, settings.layouts));
    }
    Plan {
        events: outcomes,
        writes: state.into_writes(),
    }
}

fn outcome<'e>(event: &'e Event<'_>, state: &mut State<'e>) -> Outcome {
    match event.steps() {
        Ok(steps) => {
            let mut outcome = Outcome {
                skipped: steps.skipped,
                ..Outcome::default()
            };
            for step in &steps.steps {
                state.apply(step, &mut outcome);
            }
            outcome
        }
        Err(unusable) => Outcome {
            note: Some(Note::Unusable(unusable)),
            ..Outcome::default()
        },
    }
}

/// The steps on families that are switched on.
fn kept_steps<'e, 'a>(
    events: &'e [Event<'a>],
    settings: &'e Settings,
) -> impl Iterator<Item = &'e Step<'a>> {
    let events = if settings.enabled { events } else { &[] };
    events
        .iter()
        .filter_map(|event| event.steps().ok())
        .flat_map(|steps| &steps.steps)
        .filter(|step| step.family().is_none_or(|family| settings.keeps(family)))
}

fn own_purges<'e>(event: &'e Event<'_>) -> impl Iterator<Item = &'e Purge> {
    event
        .steps()
        .into_iter()
        .flat_map(|steps| &steps.steps)
        .filter_map(|step| match step {
            Step::Purge(purge) => Some(purge),
            _ => None,
        })
}

/// What the events of a batch have touched so far.
#[derive(Debug, Default)]
struct Touched {
    guilds: HashSet<u64>,
    channels: HashSet<u64>,
    /// A message whose guild is not known may be in any guild.
    unknown_guild: bool,
    everything: bool,
}

impl Touched {
    fn add(&mut self, scope: Scope) {
        match scope {
            Scope::Nothing => {}
            Scope::Guild(guild) => {
                self.guilds.insert(guild);
            }
            Scope::Channel { guild, channel } => {
                self.channels.insert(channel);
                match guild {
                    Some(guild) => {
                        self.guilds.insert(guild);
                    }
                    None => self.unknown_guild = true,
                }
            }
            Scope::Everything => self.everything = true,
        }
    }

    fn conflicts(&self, purge: &Purge) -> bool {
        self.everything
            || match &purge.target {
                Target::Guilds { .. } => {
                    self.unknown_guild || !self.guilds.is_empty() || !self.channels.is_empty()
                }
                Target::Children { guild } | Target::Threads { guild, .. } => {
                    self.unknown_guild || self.guilds.contains(guild)
                }
                Target::Messages { channel } => self.channels.contains(channel),
            }
    }
}
