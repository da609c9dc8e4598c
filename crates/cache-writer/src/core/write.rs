//! A change of the cache, before a layout makes commands of it.

use std::borrow::Cow;

use super::entity::Entity;

/// One change of the cache.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Write<'a> {
    /// The entity's value becomes this JSON text.
    Put {
        /// What is stored.
        entity: Entity,
        /// Its JSON text.
        value: Cow<'a, str>,
        /// The place, among the events of the batch, of the last one that tells the object; none: they only count in it or
        /// set a field of it.
        told: Option<usize>,
    },
    /// The entity goes, if it is there.
    Delete(Entity),
}

impl Write<'_> {
    /// What is written.
    #[must_use]
    pub fn entity(&self) -> Entity {
        match self {
            Self::Put { entity, .. } | Self::Delete(entity) => *entity,
        }
    }
}
