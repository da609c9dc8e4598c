//! Why a command is refused.

use thiserror::Error;

use super::MAX_PACKET;
use crate::codec::DecodeError;

/// Why a command is refused, in words for the person who wrote the sender.
#[derive(Debug, Error)]
pub enum Refusal {
    /// The body is not UTF-8.
    #[error("the command is not utf-8 text")]
    NotText,
    /// The body can't be read in its encoding.
    #[error("the command can't be read: {0}")]
    Encoding(#[from] DecodeError),
    /// The body, or a part of it, is not JSON, or names a field twice.
    #[error("{what} is not valid json: {source}")]
    Json {
        /// The part.
        what: &'static str,
        /// What the parser says.
        source: serde_json::Error,
    },
    /// A field has another type than it must have.
    #[error("{field} must be {expected}, found {found}")]
    WrongType {
        /// The field.
        field: &'static str,
        /// What it must be.
        expected: &'static str,
        /// The beginning of what it is.
        found: String,
    },
    /// A field is not there.
    #[error("{0} is missing")]
    Missing(&'static str),
    /// Neither a shard nor a guild is named.
    #[error("shard is missing, and there is no guild_id to compute it from")]
    MissingShard,
    /// The command's own `op` is unknown.
    #[error(
        "op {0} is unknown: 0 sends, 1 reconnects, 2 reconnects with a new session, 3 asks for the status, 4 for that of all shards"
    )]
    UnknownOp(u64),
    /// There is no shard of this number.
    #[error("shard {shard} is unknown: there are {total}, counted from 0")]
    UnknownShard {
        /// The shard that was named.
        shard: u64,
        /// The number of shards.
        total: u32,
    },
    /// The number of shards is 0, so that no guild has one.
    #[error("there are no shards")]
    NoShards,
    /// An id that can't be one of Discord's.
    #[error(
        "{field} is no id of discord's: it must be a positive integer of 64 bits, found {found}"
    )]
    NotASnowflake {
        /// The field.
        field: &'static str,
        /// The beginning of what it is.
        found: String,
    },
    /// An opcode with which the gateway service keeps its own connection.
    #[error("opcode {0} can't be sent: the gateway service does this itself")]
    OwnOpcode(u64),
    /// An opcode that a bot can't send.
    #[error("opcode {0} can't be sent: allowed are 3, 4, 8, 31 and 43")]
    Opcode(u64),
    /// Discord takes one of them.
    #[error("query and user_ids exclude each other")]
    QueryAndUsers,
    /// More users than Discord answers for.
    #[error("user_ids must be at most 100 ids, found {0}")]
    TooManyUsers(usize),
    /// Discord would close the connection over it (close code 4002).
    #[error("the packet has {0} bytes, discord takes at most {MAX_PACKET}")]
    TooLarge(usize),
    /// A status was asked for without an address for the reply.
    #[error("a status is sent as a reply: reply_to is missing")]
    NoReplyTo,
}

impl Refusal {
    /// All that [`Self::label`] says.
    pub const LABELS: [&'static str; 8] = [
        "unreadable",
        "wrong_type",
        "missing",
        "unknown_op",
        "unknown_shard",
        "no_snowflake",
        "opcode",
        "too_large",
    ];

    /// A short name, for a metric's label.
    #[must_use]
    pub fn label(&self) -> &'static str {
        match self {
            Self::NotText | Self::Encoding(_) | Self::Json { .. } => "unreadable",
            Self::WrongType { .. } | Self::QueryAndUsers | Self::TooManyUsers(_) => "wrong_type",
            Self::Missing(_) | Self::MissingShard | Self::NoReplyTo => "missing",
            Self::UnknownOp(_) => "unknown_op",
            Self::UnknownShard { .. } | Self::NoShards => "unknown_shard",
            Self::NotASnowflake { .. } => "no_snowflake",
            Self::OwnOpcode(_) | Self::Opcode(_) => "opcode",
            Self::TooLarge(_) => "too_large",
        }
    }
}
