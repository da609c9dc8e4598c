//! Gateway intents: the bits a session asks for, and so which dispatches it gets
//! (Discord, "Gateway intents").

/// Guilds, roles, channels, threads, stages.
pub const GUILDS: u64 = 1 << 0;
/// Members joining, leaving, changing (privileged).
pub const GUILD_MEMBERS: u64 = 1 << 1;
/// Audit log and bans.
pub const GUILD_MODERATION: u64 = 1 << 2;
/// Emojis, stickers, soundboard sounds.
pub const GUILD_EXPRESSIONS: u64 = 1 << 3;
/// Integrations.
pub const GUILD_INTEGRATIONS: u64 = 1 << 4;
/// Webhooks.
pub const GUILD_WEBHOOKS: u64 = 1 << 5;
/// Invites.
pub const GUILD_INVITES: u64 = 1 << 6;
/// Voice states.
pub const GUILD_VOICE_STATES: u64 = 1 << 7;
/// Presences (privileged).
pub const GUILD_PRESENCES: u64 = 1 << 8;
/// Messages in guilds.
pub const GUILD_MESSAGES: u64 = 1 << 9;
/// Reactions in guilds.
pub const GUILD_MESSAGE_REACTIONS: u64 = 1 << 10;
/// Typing in guilds.
pub const GUILD_MESSAGE_TYPING: u64 = 1 << 11;
/// Direct messages.
pub const DIRECT_MESSAGES: u64 = 1 << 12;
/// Reactions in direct messages.
pub const DIRECT_MESSAGE_REACTIONS: u64 = 1 << 13;
/// Typing in direct messages.
pub const DIRECT_MESSAGE_TYPING: u64 = 1 << 14;
/// Content of messages (privileged).
pub const MESSAGE_CONTENT: u64 = 1 << 15;
/// Scheduled events.
pub const GUILD_SCHEDULED_EVENTS: u64 = 1 << 16;
/// Auto moderation rules.
pub const AUTO_MODERATION_CONFIGURATION: u64 = 1 << 20;
/// Auto moderation actions.
pub const AUTO_MODERATION_EXECUTION: u64 = 1 << 21;
/// Polls in guilds.
pub const GUILD_MESSAGE_POLLS: u64 = 1 << 24;
/// Polls in direct messages.
pub const DIRECT_MESSAGE_POLLS: u64 = 1 << 25;

/// Every intent that Discord documents.
pub const ALL: u64 = ((1 << 17) - 1)
    | AUTO_MODERATION_CONFIGURATION
    | AUTO_MODERATION_EXECUTION
    | GUILD_MESSAGE_POLLS
    | DIRECT_MESSAGE_POLLS;
/// The intents that Discord grants to approved bots only.
pub const PRIVILEGED: u64 = GUILD_MEMBERS | GUILD_PRESENCES | MESSAGE_CONTENT;
