//! From a queue of events to what to purge, read, publish as `old`, and write.

use std::collections::HashSet;

use super::{
    apply::{State, bot_of},
    entity::Entity,
    event::Event,
    layout,
    outcome::{Note, Outcome},
    purge::{Purge, Target},
    rules,
    settings::Settings,
    snapshot::{Reads, Snapshot},
    step::{Scope, Step, Steps, Written},
    totals::{self, Right},
    write::Write,
};

/// What a batch publishes and writes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plan<'a> {
    /// One for each event, in order.
    pub events: Vec<Outcome>,
    /// Sorted, at most one for each entity.
    pub writes: Vec<Write<'a>>,
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
        if rules::purges(event.name)
            && own_purges(event).any(|purge| touched.conflicts(purge, event.scope()))
        {
            return position;
        }
        touched.add(event);
    }
    events.len()
}

/// What must be read before [`purges`] can tell what goes; usually nothing.
#[must_use]
pub fn purge_reads(events: &[Event<'_>], settings: &Settings) -> Vec<Entity> {
    let mut entities: Vec<Entity> = purging(events, settings)
        .filter(|event| own_purges(event).next().is_some())
        .filter_map(|event| event.scope().guild())
        .map(totals::entity)
        .collect();
    entities.sort_unstable();
    entities.dedup();
    entities
}

/// What must be purged before the batch is read and applied, in this order. `snapshot` holds what
/// [`purge_reads`] has named.
#[must_use]
pub fn purges(events: &[Event<'_>], settings: &Settings, snapshot: &Snapshot) -> Vec<Purge> {
    purging(events, settings)
        .filter(|event| {
            let noted = |guild| snapshot.value(totals::entity(guild));
            event.steps().is_ok_and(|steps| {
                steps.scope.guild().is_none_or(|guild| {
                    totals::right(noted(guild), event.origin(), steps.takes_guild) != Right::Nothing
                })
            })
        })
        .flat_map(own_purges)
        .map(|purge| purge.under(settings))
        .collect()
}

fn purging<'e, 'a>(
    events: &'e [Event<'a>],
    settings: &Settings,
) -> impl Iterator<Item = &'e Event<'a>> {
    let events = if settings.enabled { events } else { &[] };
    events.iter().filter(|event| rules::purges(event.name))
}

/// What must be read for a batch: the first round trip.
#[must_use]
pub fn reads(events: &[Event<'_>], settings: &Settings) -> Reads {
    let mut reads = Reads::default();
    for steps in usable(events, settings) {
        reads
            .entities
            .extend(steps.scope.guild().map(totals::entity));
        for step in &steps.steps {
            if is_kept(step, settings) {
                add_reads(step, settings.old || steps.always_old, settings, &mut reads);
            } else if may_be_own_member(step) {
                reads.entities.push(Entity::BotUser);
            }
        }
    }
    // Several steps of an event are often on one object: there is less to sort without it.
    reads.entities.dedup();
    reads.entities.sort_unstable();
    reads.entities.dedup();
    reads.indexes.sort_unstable();
    reads.indexes.dedup();
    reads
}

fn add_reads(step: &Step<'_>, old: bool, settings: &Settings, reads: &mut Reads) {
    let entities = &mut reads.entities;
    match step {
        Step::StoreIfAbsent { entity, .. }
        | Step::StoreKeeping { entity, .. }
        | Step::Merge { entity, .. }
        | Step::SetField { entity, .. }
        | Step::Patch { entity, .. }
        | Step::Newest {
            channel: entity, ..
        } => entities.push(*entity),
        Step::ThreadMembers { thread: entity, .. }
        | Step::Count {
            message: entity, ..
        } => entities.extend([*entity, Entity::BotUser]),
        Step::MergeAll { children, .. } => {
            entities.extend(children.iter().map(|(entity, ..)| *entity));
        }
        Step::Replace { entity, .. } | Step::Remove { entity } if old => entities.push(*entity),
        Step::RemoveAll { entities: gone, .. } if old => entities.extend(gone),
        Step::Adjust { entity, unless, .. } => {
            entities.push(*entity);
            // A member may be the bot's own, which is kept at any setting.
            let kept = |entity: &&Entity| {
                settings.keeps(entity.family()) || matches!(entity, Entity::Member { .. })
            };
            entities.extend(unless.iter().filter(kept));
        }
        Step::Joined { guild, .. } | Step::Left { guild } => entities.push(Entity::Guild(*guild)),
        Step::ReplaceSet { .. } => reads.indexes.extend(step.index()),
        Step::Store { .. }
        | Step::Replace { .. }
        | Step::Remove { .. }
        | Step::Discard { .. }
        | Step::RemoveAll { .. }
        | Step::Purge(_) => {}
    }
}

/// What was read asks to be read besides: the second round trip, which usually is empty.
#[must_use]
pub fn further_reads(
    events: &[Event<'_>],
    snapshot: &Snapshot,
    settings: &Settings,
) -> Vec<Entity> {
    let bot = snapshot.value(Entity::BotUser).and_then(bot_of);
    let mut reads = Reads::default();
    for steps in usable(events, settings) {
        for step in &steps.steps {
            match step {
                Step::ReplaceSet { old: true, .. } if settings.old && is_kept(step, settings) => {
                    let index = step.index();
                    let ids = index.map(|index| snapshot.ids(index)).unwrap_or_default();
                    let entities = ids.iter().filter_map(|id| index?.entity(*id));
                    reads.entities.extend(entities);
                }
                _ if !is_kept(step, settings)
                    && may_be_own_member(step)
                    && bot.is_some_and(|bot| is_of_user(step, bot)) =>
                {
                    add_reads(step, settings.old, settings, &mut reads);
                }
                _ => {}
            }
        }
    }
    let mut entities = reads.entities;
    entities.retain(|entity| !snapshot.knows(*entity));
    entities.sort_unstable();
    entities.dedup();
    entities
}

/// The `old` of each event, as it stands after all events before it, and the writes of them all,
/// folded.
#[must_use]
pub fn plan<'a>(events: &[Event<'a>], snapshot: &Snapshot, settings: &Settings) -> Plan<'a> {
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

fn outcome<'a>(event: &Event<'a>, state: &mut State<'_, 'a>) -> Outcome {
    match event.steps() {
        Ok(steps) => state.apply(event, steps),
        Err(unusable) => Outcome {
            note: Some(Note::Unusable(unusable)),
            ..Outcome::default()
        },
    }
}

fn usable<'e, 'a>(
    events: &'e [Event<'a>],
    settings: &Settings,
) -> impl Iterator<Item = &'e Steps<'a>> {
    let events = if settings.enabled { events } else { &[] };
    events.iter().filter_map(|event| event.steps().ok())
}

/// Whether a step is on a family that is switched on.
fn is_kept(step: &Step<'_>, settings: &Settings) -> bool {
    let target = step.target();
    target.is_none_or(|written| settings.keeps(written.family()))
}

/// Whether a step that is not kept may be on the bot's own member, which is kept nevertheless.
fn may_be_own_member(step: &Step<'_>) -> bool {
    matches!(step.target(), Some(Written::One(Entity::Member { .. })))
}

fn is_of_user(step: &Step<'_>, user: u64) -> bool {
    matches!(step.target(), Some(Written::One(entity)) if entity.id() == user)
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
    /// Guilds that another total of shards may write from here on.
    taken: HashSet<u64>,
}

impl Touched {
    fn add(&mut self, event: &Event<'_>) {
        if event.steps().is_ok_and(Steps::changes_total) {
            self.taken.extend(event.scope().guild());
        }
        match event.scope() {
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

    /// Whether a purge of an event of this scope would overtake something.
    fn conflicts(&self, purge: &Purge, scope: Scope) -> bool {
        self.everything
            || scope
                .guild()
                .is_some_and(|guild| self.taken.contains(&guild))
            || match &purge.target {
                Target::Guilds { .. } => {
                    self.unknown_guild || !self.guilds.is_empty() || !self.channels.is_empty()
                }
                Target::Children { guild, .. }
                | Target::Threads { guild, .. }
                | Target::ScheduledEvents { guild, .. } => {
                    self.unknown_guild || self.guilds.contains(guild)
                }
                Target::Messages { channel } => self.channels.contains(channel),
            }
    }
}
