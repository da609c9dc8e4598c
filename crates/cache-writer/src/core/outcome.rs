//! What comes of one event, besides its writes.

use super::unusable::Unusable;

/// What one event has found and told.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    /// JSON text of the state before the event, byte for byte as it was cached.
    pub old: Option<String>,
    /// Something worth a log line.
    pub note: Option<Note>,
    /// Bad elements of lists that were left out.
    pub skipped: u32,
}

/// Something about an event that is worth a log line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Note {
    /// The payload can't be used; it has changed nothing.
    Unusable(Unusable),
    /// The bot has joined a guild: GUILD_CREATE for one that is not cached, not even as a stub.
    Joined {
        /// The guild.
        guild: u64,
        /// Its name, if the payload has one.
        name: Option<String>,
    },
    /// The bot has left a guild.
    Left {
        /// The guild.
        guild: u64,
        /// Its name, if it was cached.
        name: Option<String>,
    },
}
