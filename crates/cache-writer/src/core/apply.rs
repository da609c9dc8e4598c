//! Applies steps to what was read, one event after the other.

use std::{borrow::Cow, collections::BTreeSet};

use foldhash::{HashMap, HashMapExt};

use super::{
    entity::{Entity, Index},
    event::Event,
    object::{Object, is_object, string},
    outcome::{Note, Outcome},
    settings::Settings,
    snapshot::Snapshot,
    step::{Merging, Step, Steps, Written},
    totals::{self, Right},
    write::Write,
};

/// The cache as it stands at a point of the batch: what was read, under what the events so far have
/// written.
pub(super) struct State<'e, 'a> {
    snapshot: &'e Snapshot,
    settings: &'e Settings,
    written: HashMap<Entity, Change<'a>>,
    /// The place of the event that is being applied.
    place: usize,
    /// Whether the event that is being applied has an `old`.
    tells_old: bool,
}

/// What became of an entity.
struct Change<'a> {
    /// None: deleted.
    value: Option<Cow<'a, str>>,
    /// The place of the last event that told it.
    told: Option<usize>,
}

impl<'e, 'a> State<'e, 'a> {
    pub(super) fn new(snapshot: &'e Snapshot, settings: &'e Settings) -> Self {
        Self {
            snapshot,
            settings,
            written: HashMap::new(),
            place: 0,
            tells_old: settings.old,
        }
    }

    /// Applies the steps of an event.
    pub(super) fn apply(&mut self, event: &Event<'_>, steps: &Steps<'a>) -> Outcome {
        self.place += 1;
        let mut outcome = Outcome {
            skipped: steps.skipped,
            ..Outcome::default()
        };
        if let Some(guild) = steps.scope.guild() {
            let total = totals::entity(guild);
            match totals::right(self.text(total), event.origin(), steps.takes_guild) {
                Right::Writes => {}
                Right::Takes => self.put(total, Cow::Owned(totals::note(event.origin()))),
                Right::Nothing => return outcome,
            }
        }
        self.tells_old = self.settings.old || steps.always_old;
        for step in &steps.steps {
            self.step(step, &mut outcome);
        }
        outcome
    }

    fn step(&mut self, step: &Step<'a>, outcome: &mut Outcome) {
        if step.target().is_some_and(|written| !self.keeps(written)) {
            return;
        }
        match step {
            Step::Store { entity, value } => self.put(*entity, value.clone()),
            Step::StoreIfAbsent { entity, value } => {
                if self.current(*entity).is_none() {
                    self.put(*entity, value.clone());
                }
            }
            Step::Replace { entity, value } => {
                outcome.old = self.old(*entity);
                self.put(*entity, value.clone());
            }
            Step::Merge {
                entity,
                patch,
                whole,
                mode,
            } => {
                outcome.old = self.merge(*entity, patch, whole.as_ref(), *mode);
            }
            Step::StoreKeeping {
                entity,
                object,
                value,
                field,
            } => {
                let cached = self.object(*entity).filter(|_| object.raw(field).is_none());
                let kept = cached.and_then(|cached| cached.raw(field));
                let value = match (kept, Object::parse(value)) {
                    (Some(kept), Some(object)) => Cow::Owned(object.with_field(field, kept)),
                    _ => value.clone(),
                };
                self.put(*entity, value);
            }
            Step::SetField {
                entity,
                field,
                value,
            } => {
                outcome.old = self.set_field(*entity, field, value.as_deref());
            }
            Step::Patch { entity, patch } => {
                self.merge(*entity, patch, None, Merging::Fields);
            }
            Step::Adjust {
                entity,
                field,
                up,
                by,
                unless,
                old,
            } => {
                if *old {
                    outcome.old = self.old(*entity);
                }
                if !unless.iter().any(|entity| self.is_cached(*entity)) {
                    self.adjust(*entity, field, *up, *by);
                }
            }
            Step::Remove { entity } => {
                outcome.old = self.old(*entity);
                self.delete(*entity);
            }
            Step::Discard { entity } => self.delete(*entity),
            Step::RemoveAll { entities, .. } => outcome.old = self.remove_all(entities),
            Step::MergeAll { children, .. } => outcome.old = self.merge_all(children),
            Step::Newest { channel, id, types } => self.newest(*channel, *id, *types),
            Step::ThreadMembers {
                thread,
                count,
                added,
                removed,
            } => {
                outcome.old = self.old(*thread);
                self.thread_members(*thread, count.as_deref(), added, removed);
            }
            Step::Count { message, tally } => {
                outcome.old = self.old(*message);
                let bot = self.bot();
                let counted = self
                    .object(*message)
                    .and_then(|message| tally.count(&message, bot));
                if let Some(counted) = counted {
                    self.alter(*message, counted);
                }
            }
            Step::ReplaceSet {
                guild,
                family,
                children,
                old,
            } => {
                let index = Index::Guild {
                    guild: *guild,
                    family: *family,
                };
                self.replace_set(index, children, *old, outcome);
            }
            Step::Purge(_) => {}
            Step::Joined { guild, name } => {
                if self.current(Entity::Guild(*guild)).is_none() {
                    let name = name.and_then(string);
                    outcome.note = Some(Note::Joined {
                        guild: *guild,
                        name,
                    });
                }
            }
            Step::Left { guild } => {
                let name = self
                    .object(Entity::Guild(*guild))
                    .and_then(|object| object.raw("name").and_then(string));
                outcome.note = Some(Note::Left {
                    guild: *guild,
                    name,
                });
            }
        }
    }

    /// All that was written, folded.
    pub(super) fn into_writes(self) -> Vec<Write<'a>> {
        let mut writes: Vec<Write<'a>> = self
            .written
            .into_iter()
            .map(|(entity, Change { value, told })| match value {
                Some(value) => Write::Put {
                    entity,
                    value,
                    told,
                },
                None => Write::Delete(entity),
            })
            .collect();
        writes.sort_unstable_by_key(Write::entity);
        writes
    }

    fn merge(
        &mut self,
        entity: Entity,
        patch: &Object<'_>,
        whole: Option<&Cow<'a, str>>,
        mode: Merging,
    ) -> Option<String> {
        let base = self.object(entity);
        let value = match (&base, whole) {
            (None, None) => return None,
            (None, Some(whole)) => whole.clone(),
            (Some(base), Some(whole))
                if mode == Merging::Channel && (is_hidden(base) || is_hidden(patch)) =>
            {
                whole.clone()
            }
            (Some(base), Some(whole)) if mode == Merging::Message => {
                let value = match with_poll_results(base, patch) {
                    Some(kept) => Cow::Owned(kept),
                    None => whole.clone(),
                };
                let spoken = Object::parse(&value).filter(|_| base.is_true("tts"));
                match spoken.map(|message| message.with_field("tts", "true")) {
                    Some(kept) => Cow::Owned(kept),
                    None => value,
                }
            }
            (Some(base), _) => {
                let deep = (mode == Merging::FieldsAndUser).then_some("user");
                Cow::Owned(base.merged(patch, deep))
            }
        };
        let old = base
            .filter(|_| self.tells_old)
            .map(|base| base.text.to_owned());
        self.put(entity, value);
        old
    }

    fn set_field(&mut self, entity: Entity, field: &str, value: Option<&str>) -> Option<String> {
        let base = self.object(entity)?;
        let old = self.tells_old.then(|| base.text.to_owned());
        if let Some(changed) = value.map(|value| base.with_field(field, value)) {
            self.alter(entity, changed);
        }
        old
    }

    fn adjust(&mut self, entity: Entity, field: &str, up: bool, by: u64) {
        // Each message asks so of its channel, and few channels are threads: most are not scanned.
        let text = self.text(entity).filter(|text| text.contains(field));
        let changed = text.and_then(Object::parse).and_then(|object| {
            let number = object.number(field)?;
            let number = if up {
                number.saturating_add(by)
            } else {
                number.saturating_sub(by)
            };
            Some(object.with_field(field, &number.to_string()))
        });
        if let Some(changed) = changed {
            self.alter(entity, changed);
        }
    }

    fn replace_set(
        &mut self,
        index: Index,
        children: &[(Entity, Cow<'a, str>)],
        old: bool,
        outcome: &mut Outcome,
    ) {
        let before = self
            .ids(index)
            .into_iter()
            .filter_map(|id| index.entity(id));
        let removed = self.remove_all(&before.collect::<Vec<_>>());
        outcome.old = removed.filter(|_| old);
        for (entity, value) in children {
            self.put(*entity, value.clone());
        }
    }

    /// Removes the entities; the array of those that were cached.
    fn remove_all(&mut self, entities: &[Entity]) -> Option<String> {
        let mut before = Vec::new();
        for entity in entities {
            before.extend(self.old(*entity));
            self.delete(*entity);
        }
        self.array(&before)
    }

    /// Merges each over what is cached, or stores it; the array of those that were cached.
    fn merge_all(&mut self, children: &[(Entity, Object<'_>, Cow<'a, str>)]) -> Option<String> {
        let mut before = Vec::new();
        for (entity, patch, whole) in children {
            before.extend(self.merge(*entity, patch, Some(whole), Merging::Fields));
        }
        self.array(&before)
    }

    /// An empty array is an `old` too: there was nothing.
    fn array(&self, before: &[String]) -> Option<String> {
        self.tells_old.then(|| format!("[{}]", before.join(",")))
    }

    fn newest(&mut self, channel: Entity, id: u64, types: Option<&[u64]>) {
        let moved = self.object(channel).and_then(|cached| {
            let is_of_type = types.is_none_or(|types| {
                let is = cached.number("type");
                is.is_some_and(|is| types.contains(&is))
            });
            // The Spectacles layout finds guild channels by their id alone.
            let is_private = cached.value("guild_id").is_none();
            let is_it = channel.guild().is_some() || is_private;
            let before = cached.optional_id("last_message_id").ok().flatten();
            (is_of_type && is_it && before.is_none_or(|before| before < id))
                .then(|| cached.with_field("last_message_id", &format!("\"{id}\"")))
        });
        if let Some(moved) = moved {
            self.alter(channel, moved);
        }
    }

    fn thread_members(
        &mut self,
        thread: Entity,
        count: Option<&str>,
        added: &[(u64, String)],
        removed: &[u64],
    ) {
        let bot = self.bot();
        let is_bot = |user: u64| bot == Some(user);
        let Some(mut text) = self.current(thread).map(str::to_owned) else {
            return;
        };
        let mut set = |change: &dyn Fn(&Object<'_>) -> String| {
            if let Some(changed) = Object::parse(&text).map(|thread| change(&thread)) {
                text = changed;
            }
        };
        if let Some(count) = count {
            set(&|thread| thread.with_field("member_count", count));
        }
        if let Some((_, member)) = added.iter().rfind(|(user, _)| is_bot(*user)) {
            set(&|thread| thread.with_field("member", member));
        }
        if removed.iter().any(|user| is_bot(*user)) {
            set(&|thread| thread.without_field("member"));
        }
        self.put(thread, Cow::Owned(text));
    }

    /// The bot's user id, if it is known.
    fn bot(&self) -> Option<u64> {
        bot_of(self.current(Entity::BotUser)?)
    }

    /// Whether what is written is kept: its family is switched on, or it is the bot's own member.
    fn keeps(&self, written: Written) -> bool {
        self.settings.keeps(written.family())
            || match written {
                Written::One(Entity::Member { user, .. }) => {
                    self.settings.enabled && self.bot() == Some(user)
                }
                _ => false,
            }
    }

    fn put(&mut self, entity: Entity, value: Cow<'a, str>) {
        let (value, told) = (Some(value), Some(self.place));
        self.written.insert(entity, Change { value, told });
    }

    /// Puts what the event does not tell, but changes.
    fn alter(&mut self, entity: Entity, value: String) {
        let told = self.written.get(&entity).and_then(|change| change.told);
        let value = Some(Cow::Owned(value));
        self.written.insert(entity, Change { value, told });
    }

    fn delete(&mut self, entity: Entity) {
        let change = Change {
            value: None,
            told: None,
        };
        self.written.insert(entity, change);
    }

    /// The value of an entity. What was read but is no object (nothing of ours) counts as not
    /// cached, since as `old` it would break the event that it is put into.
    fn current(&self, entity: Entity) -> Option<&str> {
        match self.written.get(&entity) {
            Some(change) => change.value.as_deref(),
            None => self.snapshot.value(entity).filter(|value| is_object(value)),
        }
    }

    /// The same, scanned.
    fn object(&self, entity: Entity) -> Option<Object<'_>> {
        self.text(entity).and_then(Object::parse)
    }

    /// The same, whatever it is.
    fn text(&self, entity: Entity) -> Option<&str> {
        match self.written.get(&entity) {
            Some(change) => change.value.as_deref(),
            None => self.snapshot.value(entity),
        }
    }

    fn is_cached(&self, entity: Entity) -> bool {
        self.keeps(Written::One(entity)) && self.current(entity).is_some()
    }

    fn old(&self, entity: Entity) -> Option<String> {
        self.tells_old
            .then(|| self.current(entity).map(str::to_owned))
            .flatten()
    }

    /// The ids that an index lists at this point, ascending.
    fn ids(&self, index: Index) -> BTreeSet<u64> {
        let mut ids: BTreeSet<u64> = self.snapshot.ids(index).iter().copied().collect();
        for (entity, change) in &self.written {
            if entity.index() == Some(index) {
                if change.value.is_some() {
                    ids.insert(entity.id());
                } else {
                    ids.remove(&entity.id());
                }
            }
        }
        ids
    }
}

/// The id in the text of the bot's user.
pub(super) fn bot_of(user: &str) -> Option<u64> {
    Object::parse(user)?.id("id").ok()
}

/// A whole message whose poll lacks results that the cached one has, with these.
fn with_poll_results(cached: &Object<'_>, message: &Object<'_>) -> Option<String> {
    let (before, poll) = (cached.nested("poll").ok()?, message.nested("poll").ok()?);
    let results = before
        .value("results")
        .filter(|_| poll.value("results").is_none())?;
    Some(message.with_field("poll", &poll.with_field("results", results)))
}

/// Whether a channel is one that the bot can't see: only its id, type and position are reliable, so
/// nothing is merged between this and its visible form (flag 1 << 17, Discord's channel page,
/// "Obfuscated channels").
fn is_hidden(channel: &Object<'_>) -> bool {
    channel
        .number("flags")
        .is_some_and(|flags| flags & (1 << 17) != 0)
}
