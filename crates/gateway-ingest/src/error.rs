//! What ends the process.

use dispatch_service::{identity::AnotherBot, tls::UnusableAuthority};
use thiserror::Error;
use tokio::task::JoinError;

use crate::core::shards::RangeError;

/// Why gateway-ingest can't go on.
#[derive(Debug, Error)]
pub enum IngestError {
    /// The REST API refuses the token.
    #[error("discord refuses the token ({0}): check BOT_TOKEN")]
    Unauthorized(u16),
    /// The settings name shards that don't exist.
    #[error(transparent)]
    Shards(#[from] RangeError),
    /// Discord closed a shard's connection for good.
    #[error("shard {shard} was closed by discord with code {code}: {advice}")]
    Closed {
        /// The shard's number.
        shard: u32,
        /// Discord's close code.
        code: u16,
        /// The cause, and what to change.
        advice: &'static str,
    },
    /// The names on the servers are another bot's.
    #[error(transparent)]
    AnotherBot(#[from] AnotherBot),
    /// The gateway's client can't be made.
    #[error(transparent)]
    Authority(#[from] UnusableAuthority),
    /// A bug: a shard's task panicked.
    #[error("a shard's task failed: {0}")]
    Task(#[from] JoinError),
}

impl IngestError {
    /// Whether Discord refuses the bot, or the bot another one's servers, so that starting again won't mend it.
    #[must_use]
    pub const fn is_refusal(&self) -> bool {
        matches!(
            self,
            Self::Unauthorized(_) | Self::Closed { .. } | Self::AnotherBot(_)
        )
    }
}
