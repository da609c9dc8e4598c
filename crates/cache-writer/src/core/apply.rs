//! Applies steps to what was read, one event after the other.

use std::{
    borrow::Cow,
    collections::{BTreeSet, HashMap},
};

use super::{
    entity::{Entity, Index},
    object::{Object, is_object, string},
    plan::{Note, Outcome, Write},
    settings::Settings,
    snapshot::Snapshot,
    step::{Merging, Step},
};

/// The cache as it stands at a point of the batch: what was read, under what the events so far have
/// written.
pub(super) struct State<'e> {
    snapshot: &'e Snapshot,
    settings: &'e Settings,
    /// None: deleted.
    written: HashMap<Entity, Option<Cow<'e, str>>>,
}

impl<'e> State<'e> {
    pub(super) fn new(snapshot: &'e Snapshot, settings: &'e Settings) -> Self {
        Self {
            snapshot,
            settings,
            written: HashMap::new(),
        }
    }

    /// Applies a step of an event and adds to its outcome.
    pub(super) fn apply(&mut self, step: &'e Step<'_>, outcome: &mut Outcome) {
        if step
            .family()
            .is_some_and(|family| !self.settings.keeps(family))
        {
            return;
        }
        match step {
            Step::Store { entity, value } => self.put(*entity, Cow::Borrowed(value.as_ref())),
            Step::StoreIfAbsent { entity, value } => {
                if self.current(*entity).is_none() {
                    self.put(*entity, Cow::Borrowed(value.as_ref()));
                }
            }
            Step::Replace { entity, value } => {
                outcome.old = self.old(*entity);
                self.put(*entity, Cow::Borrowed(value.as_ref()));
            }
            Step::Merge {
                entity,
                patch,
                whole,
                mode,
            } => {
                outcome.old = self.merge(*entity, patch, whole.as_deref(), *mode);
            }
            Step::SetField {
                entity,
                field,
                value,
            } => {
                outcome.old = self.set_field(*entity, field, value.as_deref());
            }
            Step::Adjust {
                entity,
                field,
                up,
                unless,
                old,
            } => {
                if *old {
                    outcome.old = self.old(*entity);
                }
                if unless.is_none_or(|member| !self.is_cached(member)) {
                    self.adjust(*entity, field, *up);
                }
            }
            Step::Remove { entity } => {
                outcome.old = self.old(*entity);
                self.delete(*entity);
            }
            Step::Discard { entity } => self.delete(*entity),
            Step::RemoveAll { entities } => outcome.old = self.remove_all(entities),
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
    pub(super) fn into_writes(self) -> Vec<Write> {
        let mut writes: Vec<Write> = self
            .written
            .into_iter()
            .map(|(entity, value)| match value {
                Some(value) => Write::Put {
                    entity,
                    value: value.into_owned(),
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
        whole: Option<&'e str>,
        mode: Merging,
    ) -> Option<String> {
        let base = self.object(entity);
        let value = match (&base, whole) {
            (None, None) => return None,
            (None, Some(whole)) => Cow::Borrowed(whole),
            (Some(base), Some(whole))
                if mode == Merging::Channel && (is_hidden(base) || is_hidden(patch)) =>
            {
                Cow::Borrowed(whole)
            }
            (Some(base), _) => {
                let deep = (mode == Merging::FieldsAndUser).then_some("user");
                Cow::Owned(base.merged(patch, deep))
            }
        };
        let old = base
            .filter(|_| self.settings.old)
            .map(|base| base.text.to_owned());
        self.put(entity, value);
        old
    }

    fn set_field(&mut self, entity: Entity, field: &str, value: Option<&str>) -> Option<String> {
        let base = self.object(entity)?;
        let old = self.settings.old.then(|| base.text.to_owned());
        if let Some(changed) = value.map(|value| base.with_field(field, value)) {
            self.put(entity, Cow::Owned(changed));
        }
        old
    }

    fn adjust(&mut self, entity: Entity, field: &str, up: bool) {
        let changed = self.object(entity).and_then(|object| {
            let number = object.number(field)?;
            let number = if up {
                number.saturating_add(1)
            } else {
                number.saturating_sub(1)
            };
            Some(object.with_field(field, &number.to_string()))
        });
        if let Some(changed) = changed {
            self.put(entity, Cow::Owned(changed));
        }
    }

    fn replace_set(
        &mut self,
        index: Index,
        children: &'e [(Entity, Cow<'_, str>)],
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
            self.put(*entity, Cow::Borrowed(value.as_ref()));
        }
    }

    /// Removes the entities; the array of those that were cached, none if none was.
    fn remove_all(&mut self, entities: &[Entity]) -> Option<String> {
        let mut array = String::from("[");
        for entity in entities {
            if let Some(text) = self.old(*entity) {
                if array.len() > 1 {
                    array.push(',');
                }
                array.push_str(&text);
            }
            self.delete(*entity);
        }
        (array.len() > 1).then(|| array + "]")
    }

    fn put(&mut self, entity: Entity, value: Cow<'e, str>) {
        self.written.insert(entity, Some(value));
    }

    fn delete(&mut self, entity: Entity) {
        self.written.insert(entity, None);
    }

    /// The value of an entity. What was read but is no object (nothing of ours) counts as not
    /// cached, since as `old` it would break the event that it is put into.
    fn current(&self, entity: Entity) -> Option<&str> {
        match self.written.get(&entity) {
            Some(written) => written.as_deref(),
            None => self.snapshot.value(entity).filter(|value| is_object(value)),
        }
    }

    /// The same, scanned.
    fn object(&self, entity: Entity) -> Option<Object<'_>> {
        let text = match self.written.get(&entity) {
            Some(written) => written.as_deref(),
            None => self.snapshot.value(entity),
        };
        text.and_then(Object::parse)
    }

    fn is_cached(&self, entity: Entity) -> bool {
        self.settings.keeps(entity.family()) && self.current(entity).is_some()
    }

    fn old(&self, entity: Entity) -> Option<String> {
        self.settings
            .old
            .then(|| self.current(entity).map(str::to_owned))
            .flatten()
    }

    /// The ids that an index lists at this point, ascending.
    fn ids(&self, index: Index) -> BTreeSet<u64> {
        let mut ids: BTreeSet<u64> = self.snapshot.ids(index).iter().copied().collect();
        for (entity, value) in &self.written {
            if entity.index() == Some(index) {
                if value.is_some() {
                    ids.insert(entity.id());
                } else {
                    ids.remove(&entity.id());
                }
            }
        }
        ids
    }
}

/// Whether a channel is one that the bot can't see: only its id, type and position are reliable, so
/// nothing is merged between this and its visible form (flag 1 << 17, Discord's channel page,
/// "Obfuscated channels").
fn is_hidden(channel: &Object<'_>) -> bool {
    channel
        .number("flags")
        .is_some_and(|flags| flags & (1 << 17) != 0)
}
