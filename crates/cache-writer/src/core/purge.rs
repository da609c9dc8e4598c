//! Deletions of unbounded size: a guild's children, a channel's messages.

use std::collections::HashSet;

use super::{
    entity::{Entity, Family, Index},
    object::Object,
    settings::Settings,
    totals::{self, Origin},
};

/// Children that go because of an event, found through indexes and removed page by page **before**
/// the event's batch is read and applied.
///
/// To run one: page through each of [`Purge::indexes`]; of each page take the entities that
/// [`Purge::takes`] names (if [`Purge::needs_values`], what [`Purge::decided_by`] names is read
/// first); for each run [`Purge::before`] first, if there is one; then delete them as ordinary
/// writes, with what goes [`Purge::along`]. Whatever it
/// removes may be removed again, so a crash half-way is harmless: what it starts from (the guild,
/// the channel) goes last.
///
/// What the event brings is kept and overwritten by the batch, so that a reader never sees it
/// missing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Purge {
    /// What goes.
    pub target: Target,
    /// What stays nevertheless.
    pub keep: HashSet<Entity>,
}

/// What a purge removes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// Every guild of a shard, with all that belongs to it.
    Guilds {
        /// The shard.
        shard: u32,
        /// The number of shards.
        total: u32,
        /// When the session began, in microseconds since 1970: what another total of shards has
        /// written since is left.
        received_us: u64,
    },
    /// The children of some families of a guild, and the messages of its channels if they are among
    /// them.
    Children {
        /// The guild.
        guild: u64,
        /// The families.
        families: Vec<Family>,
    },
    /// A guild's threads and their messages.
    Threads {
        /// The guild.
        guild: u64,
        /// Only the threads of these channels; none = of all.
        parents: Option<HashSet<u64>>,
    },
    /// A guild's scheduled events that take place in a channel.
    ScheduledEvents {
        /// The guild.
        guild: u64,
        /// The channel.
        channel: u64,
    },
    /// Every message of a channel.
    Messages {
        /// The channel.
        channel: u64,
    },
}

impl Purge {
    /// A purge that keeps nothing.
    #[must_use]
    pub fn all(target: Target) -> Self {
        Self {
            target,
            keep: HashSet::new(),
        }
    }

    /// The indexes that list what may go.
    #[must_use]
    pub fn indexes(&self) -> Vec<Index> {
        match &self.target {
            Target::Guilds { .. } => vec![Index::Guilds],
            Target::Children { guild, families } => {
                let expiring = families.contains(&Family::Member);
                let expiring = expiring.then_some(Index::ExpiringMembers { guild: *guild });
                let index = |family: &Family| Index::Guild {
                    guild: *guild,
                    family: *family,
                };
                families.iter().map(index).chain(expiring).collect()
            }
            Target::Threads { guild, .. } => {
                vec![Index::Guild {
                    guild: *guild,
                    family: Family::Channel,
                }]
            }
            Target::ScheduledEvents { guild, .. } => {
                vec![Index::Guild {
                    guild: *guild,
                    family: Family::ScheduledEvent,
                }]
            }
            Target::Messages { channel } => vec![Index::Messages { channel: *channel }],
        }
    }

    /// Whether [`Purge::takes`] needs the cached values.
    #[must_use]
    pub fn needs_values(&self) -> bool {
        matches!(
            self.target,
            Target::Threads { .. } | Target::ScheduledEvents { .. } | Target::Guilds { .. }
        )
    }

    /// What [`Purge::takes`] looks at to decide on an entity.
    #[must_use]
    pub fn decided_by(&self, entity: Entity) -> Entity {
        match (&self.target, entity) {
            (Target::Guilds { .. }, Entity::Guild(guild)) => totals::entity(guild),
            _ => entity,
        }
    }

    /// Whether an entity of the indexes goes. `value` is the cached text of what decides on it, where
    /// values are needed.
    #[must_use]
    pub fn takes(&self, entity: Entity, value: Option<&str>) -> bool {
        if self.keep.contains(&entity) {
            return false;
        }
        match &self.target {
            Target::Guilds {
                shard,
                total,
                received_us,
            } => {
                let origin = Origin {
                    shard: *shard,
                    total: *total,
                    received_us: *received_us,
                };
                shard_of(entity.id(), *total).is_some_and(|owner| owner == u64::from(*shard))
                    && totals::may_remove(value, origin)
            }
            Target::Children { .. } | Target::Messages { .. } => true,
            Target::Threads { parents, .. } => {
                value.and_then(Object::parse).is_some_and(|channel| {
                    is_thread(&channel)
                        && parents
                            .as_ref()
                            .is_none_or(|parents| is_child_of(&channel, parents))
                })
            }
            Target::ScheduledEvents { channel, .. } => value
                .and_then(Object::parse)
                .is_some_and(|event| event.id("channel_id") == Ok(*channel)),
        }
    }

    /// What must be purged before this entity may go, since it is found through it.
    #[must_use]
    pub fn before(entity: Entity) -> Option<Self> {
        match entity {
            Entity::Guild(guild) => Some(Self::all(Target::Children {
                guild,
                families: Family::CHILDREN.to_vec(),
            })),
            Entity::Channel { id, .. } => Some(Self::all(Target::Messages { channel: id })),
            _ => None,
        }
    }

    /// What goes with an entity that goes.
    #[must_use]
    pub fn along(entity: Entity) -> Option<Entity> {
        match entity {
            Entity::Guild(guild) => Some(totals::entity(guild)),
            _ => None,
        }
    }

    /// Families that are switched off are not written, so they can't be overwritten either.
    pub(super) fn under(&self, settings: &Settings) -> Self {
        let mut purge = self.clone();
        purge.keep.retain(|entity| settings.keeps(entity.family()));
        purge
    }
}

/// The shard that receives a guild's events (Discord, gateway page, "Sharding"); none for a total
/// of 0.
fn shard_of(guild: u64, total: u32) -> Option<u64> {
    (guild >> 22).checked_rem(u64::from(total))
}

/// Discord's channel types 10 to 12. The `parent_id` of any other type is a category.
fn is_thread(channel: &Object<'_>) -> bool {
    matches!(channel.number("type"), Some(10..=12))
}

fn is_child_of(channel: &Object<'_>, parents: &HashSet<u64>) -> bool {
    channel
        .optional_id("parent_id")
        .ok()
        .flatten()
        .is_some_and(|parent| parents.contains(&parent))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_category_does_not_take_its_channels_along() {
        let purge = Purge::all(Target::Threads {
            guild: 1,
            parents: Some([2].into()),
        });
        let entity = Entity::Channel {
            guild: Some(1),
            id: 3,
        };
        for (value, expected) in [
            (r#"{"type":0,"parent_id":"2"}"#, false),
            (r#"{"type":11,"parent_id":"2"}"#, true),
            (r#"{"type":11,"parent_id":"4"}"#, false),
            (r#"{"type":11}"#, false),
            ("nonsense", false),
        ] {
            assert_eq!(purge.takes(entity, Some(value)), expected, "{value}");
        }
    }

    #[test]
    fn guilds_of_other_shards_and_a_total_of_zero_are_left() {
        let guild = Entity::Guild(5 << 22);
        for (shard, total, expected) in [(1, 4, true), (0, 4, false), (0, 1, true), (0, 0, false)] {
            let purge = Purge::all(Target::Guilds {
                shard,
                total,
                received_us: 5,
            });
            assert_eq!(purge.takes(guild, None), expected, "{shard} of {total}");
        }
    }

    #[test]
    fn a_guild_that_another_total_has_written_since_is_left() {
        let guild = Entity::Guild(5 << 22);
        for (received_us, expected) in [(9, false), (11, true)] {
            let purge = Purge::all(Target::Guilds {
                shard: 1,
                total: 4,
                received_us,
            });
            let noted = Some(r#"{"total":8,"since_us":10}"#);
            assert_eq!(purge.takes(guild, noted), expected);
            assert!(purge.takes(guild, Some(r#"{"total":4,"since_us":10}"#)));
            assert_eq!(purge.decided_by(guild), Entity::Total(5 << 22));
        }
    }
}
