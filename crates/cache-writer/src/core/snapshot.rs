//! What a batch needs to read, and what was read.

use foldhash::HashMap;

use super::entity::{Entity, Index};

/// What must be read before a batch can be planned.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reads {
    /// The objects, each once, sorted.
    pub entities: Vec<Entity>,
    /// The indexes (small ones only), each once, sorted.
    pub indexes: Vec<Index>,
}

/// What stood in the cache when it was read. An entity that was not read counts as not cached.
#[derive(Clone, Debug, Default)]
pub struct Snapshot {
    values: HashMap<Entity, Option<String>>,
    members: HashMap<Index, Vec<u64>>,
}

impl Snapshot {
    /// Notes what was read for an entity: its JSON text, or none where it is not cached.
    pub fn insert(&mut self, entity: Entity, value: Option<String>) {
        self.values.insert(entity, value);
    }

    /// Notes the ids that an index held.
    pub fn insert_index(&mut self, index: Index, ids: Vec<u64>) {
        self.members.insert(index, ids);
    }

    /// The cached text of an entity.
    #[must_use]
    pub fn value(&self, entity: Entity) -> Option<&str> {
        self.values.get(&entity)?.as_deref()
    }

    /// Whether the entity was read at all.
    #[must_use]
    pub fn knows(&self, entity: Entity) -> bool {
        self.values.contains_key(&entity)
    }

    /// The ids that an index held, in no order.
    #[must_use]
    pub fn ids(&self, index: Index) -> &[u64] {
        self.members.get(&index).map_or(&[], Vec::as_slice)
    }
}
