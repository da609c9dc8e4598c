//! Discord's gateway close codes.
//!
//! <https://discord.com/developers/docs/topics/opcodes-and-status-codes#gateway-gateway-close-event-codes>

/// Why the gateway closes a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u16)]
pub(crate) enum CloseCode {
    /// Anything; resuming is allowed.
    UnknownError = 4000,
    /// An opcode that clients may not send.
    UnknownOpcode = 4001,
    /// Invalid JSON, a wrong type, or more than 4,096 bytes.
    DecodeError = 4002,
    /// A command before IDENTIFY.
    NotAuthenticated = 4003,
    /// Wrong token.
    AuthenticationFailed = 4004,
    /// IDENTIFY twice.
    AlreadyAuthenticated = 4005,
    /// RESUME with a sequence that was never sent.
    InvalidSequence = 4007,
    /// More than 120 sends in 60 s.
    RateLimited = 4008,
    /// No heartbeat for two intervals.
    SessionTimedOut = 4009,
    /// Shard id not below the total.
    InvalidShard = 4010,
    /// Too many guilds for so few shards.
    ShardingRequired = 4011,
    /// A version other than 10.
    InvalidApiVersion = 4012,
    /// Intent bits that don't exist.
    InvalidIntents = 4013,
    /// Privileged intents that were not granted.
    DisallowedIntents = 4014,
}

impl CloseCode {
    /// The number in the close frame.
    pub(crate) fn code(self) -> u16 {
        self as u16
    }

    /// The words in the close frame, as Discord words them.
    pub(crate) fn reason(self) -> &'static str {
        match self {
            Self::UnknownError => "Unknown error.",
            Self::UnknownOpcode => "Unknown opcode.",
            Self::DecodeError => "Error while decoding payload.",
            Self::NotAuthenticated => "Not authenticated.",
            Self::AuthenticationFailed => "Authentication failed.",
            Self::AlreadyAuthenticated => "Already authenticated.",
            Self::InvalidSequence => "Invalid seq.",
            Self::RateLimited => "Rate limited.",
            Self::SessionTimedOut => "Session timed out.",
            Self::InvalidShard => "Invalid shard.",
            Self::ShardingRequired => "Sharding required.",
            Self::InvalidApiVersion => "Invalid API version.",
            Self::InvalidIntents => "Invalid intent(s).",
            Self::DisallowedIntents => "Disallowed intent(s).",
        }
    }
}

/// Whether a close frame *of the gateway* ends the session as well as the connection.
pub(crate) fn gateway_close_ends_session(code: u16) -> bool {
    matches!(code, 4004 | 4007 | 4009..=4014)
}

/// Whether a close frame *of the client* ends the session: 1000 and 1001 do, all others keep it
/// resumable.
pub(crate) fn client_close_ends_session(code: u16) -> bool {
    matches!(code, 1000 | 1001)
}
