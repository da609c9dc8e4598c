//! What an event does to the cache, free of what is cached: the rules' output.

use std::borrow::Cow;

use super::{
    entity::{Entity, Family, Index},
    object::Object,
    purge::Purge,
};

/// What one usable payload does.
#[derive(Debug, Default)]
pub(super) struct Steps<'a> {
    pub(super) scope: Scope,
    /// In the order in which they apply.
    pub(super) steps: Vec<Step<'a>>,
    /// Bad elements of lists that were left out.
    pub(super) skipped: u32,
}

impl<'a> Steps<'a> {
    /// Steps of a payload of which nothing was left out.
    pub(super) fn new(scope: Scope, steps: Vec<Step<'a>>) -> Self {
        Self {
            scope,
            steps,
            skipped: 0,
        }
    }
}

/// What an event touches: what a purge later in the queue must not overtake.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Scope {
    #[default]
    Nothing,
    /// The guild and its children.
    Guild(u64),
    /// The messages of a channel, or a private channel.
    Channel {
        guild: Option<u64>,
        channel: u64,
    },
    Everything,
}

#[derive(Debug)]
pub(super) enum Step<'a> {
    /// Stored whole; no `old`.
    Store { entity: Entity, value: Cow<'a, str> },
    /// Stored unless something is cached already; no `old`.
    StoreIfAbsent { entity: Entity, value: Cow<'a, str> },
    /// Stored whole; `old` is what it replaces.
    Replace { entity: Entity, value: Cow<'a, str> },
    /// Merged over what is cached, which is `old`.
    Merge {
        entity: Entity,
        patch: Object<'a>,
        /// What to store where nothing is cached; none: the payload is not a whole object.
        whole: Option<Cow<'a, str>>,
        mode: Merging,
    },
    /// One field of a cached object set; `old` is the object. Without a value it stays as it is.
    SetField {
        entity: Entity,
        field: &'static str,
        value: Option<Cow<'a, str>>,
    },
    /// A number in a cached object raised or lowered, never below 0.
    Adjust {
        entity: Entity,
        field: &'static str,
        up: bool,
        unless: Option<Entity>,
        old: bool,
    },
    /// Goes; it is `old`.
    Remove { entity: Entity },
    /// Goes; no `old`.
    Discard { entity: Entity },
    /// Go; `old` is the array of those that were cached.
    RemoveAll { entities: Vec<Entity> },
    /// The small set of a guild's children of one family becomes this one.
    ReplaceSet {
        guild: u64,
        family: Family,
        children: Vec<(Entity, Cow<'a, str>)>,
        old: bool,
    },
    /// Done before the batch, see [`Purge`].
    Purge(Purge),
    /// The bot has joined the guild if nothing of it is cached. The name is JSON text.
    Joined { guild: u64, name: Option<&'a str> },
    /// The bot has left the guild.
    Left { guild: u64 },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Merging {
    /// Field by field.
    Fields,
    /// Field by field, and so within `user`, which is partial in presence updates.
    FieldsAndUser,
    /// Field by field, but whole between hidden and visible, see [`super::rules`].
    Channel,
}

impl Step<'_> {
    /// The family that it writes; none where it is done at any setting.
    pub(super) fn family(&self) -> Option<Family> {
        match self {
            Self::Store { entity, .. }
            | Self::StoreIfAbsent { entity, .. }
            | Self::Replace { entity, .. }
            | Self::Merge { entity, .. }
            | Self::SetField { entity, .. }
            | Self::Adjust { entity, .. }
            | Self::Remove { entity }
            | Self::Discard { entity } => Some(entity.family()),
            Self::RemoveAll { entities } => entities.first().map(|entity| entity.family()),
            Self::ReplaceSet { family, .. } => Some(*family),
            Self::Purge(_) | Self::Joined { .. } | Self::Left { .. } => None,
        }
    }

    /// The index that it replaces as a whole.
    pub(super) fn index(&self) -> Option<Index> {
        match self {
            Self::ReplaceSet { guild, family, .. } => Some(Index::Guild {
                guild: *guild,
                family: *family,
            }),
            _ => None,
        }
    }
}
