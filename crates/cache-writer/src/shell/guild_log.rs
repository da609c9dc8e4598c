//! Guild joins and leaves, told in a channel on Discord.

use std::sync::Arc;

use tokio::sync::mpsc;
use twilight_http::Client;
use twilight_model::{
    channel::message::Embed,
    id::{Id, marker::ChannelMarker},
};

use crate::config::GuildLogConfig;

/// Colours of twilight-dispatch's logs.
const JOIN_COLOR: u32 = 0x0043_b581;
const LEAVE_COLOR: u32 = 0x00f0_4747;
/// Messages that may wait for Discord. Beyond that they are dropped: the log must never hold events up.
const WAITING: usize = 100;

/// The log; messages are sent by a task of its own.
#[derive(Clone, Debug)]
pub(super) struct GuildLog {
    messages: mpsc::Sender<Embed>,
}

/// The log can't be served.
#[derive(Debug, thiserror::Error)]
pub(super) enum GuildLogError {
    /// No channel has this id.
    #[error("0 is not the id of a channel")]
    Channel,
}

impl GuildLog {
    /// Starts the log.
    pub(super) fn start(config: &GuildLogConfig) -> Result<Self, GuildLogError> {
        let channel: Id<ChannelMarker> =
            Id::new_checked(config.channel).ok_or(GuildLogError::Channel)?;
        let client = Arc::new(client(config));
        let (messages, mut waiting) = mpsc::channel::<Embed>(WAITING);
        tokio::spawn(async move {
            while let Some(embed) = waiting.recv().await {
                if let Err(error) = client.create_message(channel).embeds(&[embed]).await {
                    tracing::warn!(%error, "guild log message could not be sent");
                }
            }
        });
        Ok(Self { messages })
    }

    /// The bot has joined a guild.
    pub(super) fn joined(&self, guild: u64, name: Option<&str>) {
        self.tell("Guild Join", JOIN_COLOR, guild, name);
    }

    /// The bot has left a guild.
    pub(super) fn left(&self, guild: u64, name: Option<&str>) {
        self.tell("Guild Leave", LEAVE_COLOR, guild, name);
    }

    fn tell(&self, title: &str, color: u32, guild: u64, name: Option<&str>) {
        let embed = Embed {
            author: None,
            color: Some(color),
            description: Some(format!("{} ({guild})", name.unwrap_or("Unknown"))),
            fields: Vec::new(),
            flags: None,
            footer: None,
            image: None,
            kind: "rich".to_owned(),
            provider: None,
            thumbnail: None,
            timestamp: None,
            title: Some(title.to_owned()),
            url: None,
            video: None,
        };
        if self.messages.try_send(embed).is_err() {
            tracing::warn!(
                guild,
                "guild log message dropped: too many are waiting for discord"
            );
        }
    }
}

fn client(config: &GuildLogConfig) -> Client {
    let builder = Client::builder().token(config.token.clone());
    match config.api_url.split_once("://") {
        // The client's own address needs no proxy.
        Some(("https", "discord.com")) | None => builder.build(),
        Some((scheme, host)) => builder
            .proxy(host.trim_end_matches('/').to_owned(), scheme == "http")
            .ratelimiter(None)
            .build(),
    }
}
