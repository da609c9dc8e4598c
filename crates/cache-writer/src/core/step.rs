//! What an event does to the cache, free of what is cached: the rules' output.

use std::borrow::Cow;

use super::{
    entity::{Entity, Family, Index},
    object::Object,
    purge::Purge,
    tally::Tally,
};

/// What one usable payload does.
#[derive(Debug, Default)]
pub(super) struct Steps<'a> {
    pub(super) scope: Scope,
    /// In the order in which they apply.
    pub(super) steps: Vec<Step<'a>>,
    /// Bad elements of lists that were left out.
    pub(super) skipped: u32,
    /// Whether its `old` is told at any `STATE_OLD`: what a join is told by.
    pub(super) always_old: bool,
    /// Whether its total of shards becomes the one that writes the guild, see [`super::totals`].
    pub(super) takes_guild: bool,
}

impl<'a> Steps<'a> {
    /// Steps of a payload of which nothing was left out.
    pub(super) fn new(scope: Scope, steps: Vec<Step<'a>>) -> Self {
        Self {
            scope,
            steps,
            ..Self::default()
        }
    }

    /// Whether another total of shards may write the guild after it than before.
    pub(super) fn changes_total(&self) -> bool {
        let discards = |step: &Step<'_>| {
            matches!(
                step,
                Step::Discard {
                    entity: Entity::Total(_)
                }
            )
        };
        self.takes_guild || self.steps.iter().any(discards)
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

impl Scope {
    /// The guild that it is in, if that is known.
    pub(super) fn guild(self) -> Option<u64> {
        match self {
            Self::Guild(guild) => Some(guild),
            Self::Channel { guild, .. } => guild,
            Self::Nothing | Self::Everything => None,
        }
    }
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
    /// Stored whole but for one field, which stays as it is cached where the object lacks it; no
    /// `old`.
    StoreKeeping {
        entity: Entity,
        object: Object<'a>,
        value: Cow<'a, str>,
        field: &'static str,
    },
    /// Each merged over what is cached, or stored; `old` is the array of those that were cached.
    MergeAll {
        family: Family,
        children: Vec<(Entity, Object<'a>, Cow<'a, str>)>,
    },
    /// The id of the newest message (of a forum: thread) of a cached channel, if it is newer; no
    /// `old`. With types: only of channels of these.
    Newest {
        channel: Entity,
        id: u64,
        types: Option<&'static [u64]>,
    },
    /// Who came to a cached thread and who left it, of which the bot's own membership is kept; `old`
    /// is the thread.
    ThreadMembers {
        thread: Entity,
        count: Option<Cow<'a, str>>,
        /// User and thread member.
        added: Vec<(u64, String)>,
        removed: Vec<u64>,
    },
    /// Reactions or votes of a cached message counted; `old` is the message.
    Count { message: Entity, tally: Tally<'a> },
    /// One field of a cached object set; `old` is the object. Without a value it stays as it is.
    SetField {
        entity: Entity,
        field: &'static str,
        value: Option<Cow<'a, str>>,
    },
    /// Merged over what is cached, field by field; no `old`.
    Patch { entity: Entity, patch: Object<'a> },
    /// A number in a cached object raised or lowered, never below 0; nothing where it has none.
    Adjust {
        entity: Entity,
        field: &'static str,
        up: bool,
        by: u64,
        /// Not if one of these is cached.
        unless: Vec<Entity>,
        old: bool,
    },
    /// Goes; it is `old`.
    Remove { entity: Entity },
    /// Goes; no `old`.
    Discard { entity: Entity },
    /// Go; `old` is the array of those that were cached.
    RemoveAll {
        family: Family,
        entities: Vec<Entity>,
    },
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
    /// A whole message replaces the cached one but for the results of a poll, which Discord leaves
    /// out where it has not looked them up (Discord, poll page, "Poll Results Object"), and `tts`, which
    /// is false in every update (gateway events page, "Message Update").
    Message,
}

impl Step<'_> {
    /// What it writes, or a representative where all are of one family; none where it is done at any
    /// setting.
    pub(super) fn target(&self) -> Option<Written> {
        match self {
            Self::Store { entity, .. }
            | Self::StoreIfAbsent { entity, .. }
            | Self::StoreKeeping { entity, .. }
            | Self::Replace { entity, .. }
            | Self::Merge { entity, .. }
            | Self::SetField { entity, .. }
            | Self::Patch { entity, .. }
            | Self::Adjust { entity, .. }
            | Self::Remove { entity }
            | Self::Discard { entity }
            | Self::Newest {
                channel: entity, ..
            }
            | Self::ThreadMembers { thread: entity, .. }
            | Self::Count {
                message: entity, ..
            } => Some(Written::One(*entity)),
            Self::RemoveAll { family, .. }
            | Self::MergeAll { family, .. }
            | Self::ReplaceSet { family, .. } => Some(Written::Family(*family)),
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

/// What a step writes.
#[derive(Clone, Copy, Debug)]
pub(super) enum Written {
    One(Entity),
    Family(Family),
}

impl Written {
    pub(super) fn family(self) -> Family {
        match self {
            Self::One(entity) => entity.family(),
            Self::Family(family) => family,
        }
    }
}
