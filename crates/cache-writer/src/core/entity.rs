//! What the cache holds: one [`Entity`] for each Discord object, its [`Family`], and the [`Index`]
//! that lists it.

/// One cached Discord object.
///
/// Threads are channels. A channel without a guild is a private one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[allow(missing_docs)] // the fields are the ids that the variant's name says
pub enum Entity {
    /// The bot's own user.
    BotUser,
    /// A guild without its nested lists, or the stub of an unavailable one.
    Guild(u64),
    /// A channel or thread.
    Channel { guild: Option<u64>, id: u64 },
    /// A message of a channel, thread or private channel.
    Message { channel: u64, id: u64 },
    /// A role.
    Role { guild: u64, id: u64 },
    /// A custom emoji.
    Emoji { guild: u64, id: u64 },
    /// A custom sticker.
    Sticker { guild: u64, id: u64 },
    /// A guild member.
    Member { guild: u64, user: u64 },
    /// A user's presence in a guild.
    Presence { guild: u64, user: u64 },
    /// A user's voice state in a guild.
    Voice { guild: u64, user: u64 },
    /// A stage instance.
    Stage { guild: u64, id: u64 },
    /// A scheduled event.
    ScheduledEvent { guild: u64, id: u64 },
    /// A soundboard sound.
    SoundboardSound { guild: u64, id: u64 },
    /// Which total of shards writes a guild: bookkeeping of the writers, see the module `totals`.
    Total(u64),
    /// Who joined a guild lately, where members are not cached: a repeated join must not count twice.
    Arrival { guild: u64, user: u64 },
}

impl Entity {
    /// The kind of object this is.
    #[must_use]
    pub fn family(self) -> Family {
        match self {
            Self::BotUser => Family::User,
            Self::Guild(_) => Family::Guild,
            Self::Channel { .. } => Family::Channel,
            Self::Message { .. } => Family::Message,
            Self::Role { .. } => Family::Role,
            Self::Emoji { .. } => Family::Emoji,
            Self::Sticker { .. } => Family::Sticker,
            Self::Member { .. } => Family::Member,
            Self::Presence { .. } => Family::Presence,
            Self::Voice { .. } => Family::Voice,
            Self::Stage { .. } => Family::Stage,
            Self::ScheduledEvent { .. } => Family::ScheduledEvent,
            Self::SoundboardSound { .. } => Family::SoundboardSound,
            Self::Total(_) => Family::Total,
            Self::Arrival { .. } => Family::Arrival,
        }
    }

    /// The guild it belongs to, or is; none for messages, private channels and the bot's user.
    #[must_use]
    pub fn guild(self) -> Option<u64> {
        match self {
            Self::BotUser | Self::Message { .. } => None,
            Self::Channel { guild, .. } => guild,
            Self::Guild(guild)
            | Self::Total(guild)
            | Self::Arrival { guild, .. }
            | Self::Role { guild, .. }
            | Self::Emoji { guild, .. }
            | Self::Sticker { guild, .. }
            | Self::Member { guild, .. }
            | Self::Presence { guild, .. }
            | Self::Voice { guild, .. }
            | Self::Stage { guild, .. }
            | Self::ScheduledEvent { guild, .. }
            | Self::SoundboardSound { guild, .. } => Some(guild),
        }
    }

    /// Its id within its index (for members, presences and voice states the user's); 0 for the
    /// bot's user, which has no index.
    #[must_use]
    pub fn id(self) -> u64 {
        match self {
            Self::BotUser => 0,
            Self::Guild(id)
            | Self::Total(id)
            | Self::Arrival { user: id, .. }
            | Self::Channel { id, .. }
            | Self::Message { id, .. }
            | Self::Role { id, .. }
            | Self::Emoji { id, .. }
            | Self::Sticker { id, .. }
            | Self::Member { user: id, .. }
            | Self::Presence { user: id, .. }
            | Self::Voice { user: id, .. }
            | Self::Stage { id, .. }
            | Self::ScheduledEvent { id, .. }
            | Self::SoundboardSound { id, .. } => id,
        }
    }

    /// The index that lists it; none for the bot's user and for bookkeeping.
    #[must_use]
    pub fn index(self) -> Option<Index> {
        match self {
            Self::BotUser | Self::Total(_) | Self::Arrival { .. } => None,
            Self::Guild(_) => Some(Index::Guilds),
            Self::Channel { guild: None, .. } => Some(Index::PrivateChannels),
            Self::Message { channel, .. } => Some(Index::Messages { channel }),
            child => {
                let family = child.family();
                child.guild().map(|guild| Index::Guild { guild, family })
            }
        }
    }

    /// A guild's child by its family and id; none for families that are not children of a guild.
    #[must_use]
    pub fn child(guild: u64, family: Family, id: u64) -> Option<Self> {
        match family {
            Family::Channel => Some(Self::Channel {
                guild: Some(guild),
                id,
            }),
            Family::Role => Some(Self::Role { guild, id }),
            Family::Emoji => Some(Self::Emoji { guild, id }),
            Family::Sticker => Some(Self::Sticker { guild, id }),
            Family::Member => Some(Self::Member { guild, user: id }),
            Family::Presence => Some(Self::Presence { guild, user: id }),
            Family::Voice => Some(Self::Voice { guild, user: id }),
            Family::Stage => Some(Self::Stage { guild, id }),
            Family::ScheduledEvent => Some(Self::ScheduledEvent { guild, id }),
            Family::SoundboardSound => Some(Self::SoundboardSound { guild, id }),
            Family::User | Family::Guild | Family::Message | Family::Total | Family::Arrival => {
                None
            }
        }
    }
}

/// A kind of object: the unit of switches, expiry and gauges.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[allow(missing_docs)] // each is described by its name, see `Entity`
pub enum Family {
    User,
    Guild,
    Channel,
    Message,
    Role,
    Emoji,
    Sticker,
    Member,
    Presence,
    Voice,
    Stage,
    ScheduledEvent,
    SoundboardSound,
    Total,
    Arrival,
}

impl Family {
    /// Every family of Discord's objects: all but the bookkeeping.
    pub const ALL: [Self; 13] = [
        Self::User,
        Self::Guild,
        Self::Channel,
        Self::Message,
        Self::Role,
        Self::Emoji,
        Self::Sticker,
        Self::Member,
        Self::Presence,
        Self::Voice,
        Self::Stage,
        Self::ScheduledEvent,
        Self::SoundboardSound,
    ];

    /// The families whose objects belong to one guild.
    pub const CHILDREN: [Self; 10] = [
        Self::Channel,
        Self::Role,
        Self::Emoji,
        Self::Sticker,
        Self::Member,
        Self::Presence,
        Self::Voice,
        Self::Stage,
        Self::ScheduledEvent,
        Self::SoundboardSound,
    ];

    /// Its name in keys, singular.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::User => "user",
            Self::Guild => "guild",
            Self::Channel => "channel",
            Self::Message => "message",
            Self::Role => "role",
            Self::Emoji => "emoji",
            Self::Sticker => "sticker",
            Self::Member => "member",
            Self::Presence => "presence",
            Self::Voice => "voice",
            Self::Stage => "stage",
            Self::ScheduledEvent => "scheduled_event",
            Self::SoundboardSound => "soundboard_sound",
            Self::Total => "dispatch:total",
            Self::Arrival => "dispatch:arrival",
        }
    }

    /// Its name in index keys and gauges, plural.
    #[must_use]
    pub fn plural(self) -> &'static str {
        match self {
            Self::User => "users",
            Self::Guild => "guilds",
            Self::Channel => "channels",
            Self::Message => "messages",
            Self::Role => "roles",
            Self::Emoji => "emojis",
            Self::Sticker => "stickers",
            Self::Member => "members",
            Self::Presence => "presences",
            Self::Voice => "voices",
            Self::Stage => "stages",
            Self::ScheduledEvent => "scheduled_events",
            Self::SoundboardSound => "soundboard_sounds",
            Self::Total => "dispatch:totals",
            Self::Arrival => "dispatch:arrivals",
        }
    }

    /// The family with this plural name.
    #[must_use]
    pub fn from_plural(plural: &str) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|family| family.plural() == plural)
    }
}

/// A set of ids that belong together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Index {
    /// Every cached guild, stubs too.
    Guilds,
    /// Every cached private channel.
    PrivateChannels,
    /// The children of one family of a guild.
    Guild {
        /// The guild.
        guild: u64,
        /// One of [`Family::CHILDREN`].
        family: Family,
    },
    /// The members of a guild where they expire, see
    /// [`crate::core::settings::Settings::members_expire`].
    ExpiringMembers {
        /// The guild.
        guild: u64,
    },
    /// The messages of a channel.
    Messages {
        /// The channel.
        channel: u64,
    },
}

impl Index {
    /// The family of what it lists.
    #[must_use]
    pub fn family(self) -> Family {
        match self {
            Self::Guilds => Family::Guild,
            Self::PrivateChannels => Family::Channel,
            Self::Guild { family, .. } => family,
            Self::ExpiringMembers { .. } => Family::Member,
            Self::Messages { .. } => Family::Message,
        }
    }

    /// The entity that one of its ids stands for; none where the family is no child of a guild.
    #[must_use]
    pub fn entity(self, id: u64) -> Option<Entity> {
        match self {
            Self::Guilds => Some(Entity::Guild(id)),
            Self::PrivateChannels => Some(Entity::Channel { guild: None, id }),
            Self::Guild { guild, family } => Entity::child(guild, family, id),
            Self::ExpiringMembers { guild } => Some(Entity::Member { guild, user: id }),
            Self::Messages { channel } => Some(Entity::Message { channel, id }),
        }
    }

    /// Whether it is a sorted set scored by expiry (milliseconds since 1970, `+inf` for never),
    /// rather than a plain set.
    #[must_use]
    pub fn is_sorted(self) -> bool {
        matches!(self, Self::ExpiringMembers { .. } | Self::Messages { .. })
    }
}
