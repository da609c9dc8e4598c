//! Guild joins and leaves, told in a channel on Discord.

use std::sync::Arc;

use dispatch_service::discord::{ChannelLog, Client, Entry};

use crate::config::GuildLogConfig;

/// Colours of twilight-dispatch's logs.
const JOIN_COLOUR: u32 = 0x0043_b581;
const LEAVE_COLOUR: u32 = 0x00f0_4747;

/// The log.
#[derive(Clone, Debug)]
pub(super) struct GuildLog(ChannelLog);

impl GuildLog {
    /// Starts the log.
    pub(super) fn start(config: &GuildLogConfig) -> Self {
        let client = Arc::new(Client::new(config.api.clone(), config.token.clone()));
        Self(ChannelLog::start(client, config.channel))
    }

    /// The bot has joined a guild.
    pub(super) fn joined(&self, guild: u64, name: Option<&str>) {
        self.tell("Guild Join", JOIN_COLOUR, guild, name);
    }

    /// The bot has left a guild.
    pub(super) fn left(&self, guild: u64, name: Option<&str>) {
        self.tell("Guild Leave", LEAVE_COLOUR, guild, name);
    }

    fn tell(&self, title: &str, colour: u32, guild: u64, name: Option<&str>) {
        let entry = Entry {
            title: title.to_owned(),
            description: Some(format!("{} ({guild})", name.unwrap_or("Unknown"))),
            colour,
            at: None,
        };
        if !self.0.tell(entry) {
            tracing::warn!(
                guild,
                "guild log message dropped: too many are waiting for discord"
            );
        }
    }
}
