//! Why a connection ended, or was not made.

use std::fmt;

/// Why a connection ended, or was not made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// The peer's host refused the connection.
    Refused,
    /// The host's name has no address.
    Dns,
    /// No TLS session came about.
    Tls,
    /// The peer answered with something else than a websocket.
    Upgrade,
    /// The network failed on the way to the peer.
    Network,
    /// No connection within its time.
    ConnectTimeout,
    /// No HELLO within its time.
    NoHello,
    /// No READY within its time.
    NoReady,
    /// Neither a replayed event nor RESUMED within its time.
    NoResumed,
    /// A heartbeat was not acknowledged before the next one.
    Zombie,
    /// The connection was reset, or ended without a close frame.
    Cut,
    /// What came can't be decompressed.
    Undecodable,
    /// The peer closed it, perhaps with a code.
    Closed(Option<u16>),
    /// Discord asked for another connection (op 7).
    Reconnect,
    /// Discord did not take the session, or the identify (op 9).
    InvalidSession {
        /// Whether it says that the session may be resumed later.
        resumable: bool,
    },
    /// A READY that the client can't use, because it doesn't say where to resume.
    UnusableReady,
    /// The client took a payload for what it isn't, and ended the connection.
    Misread,
    /// A command asked for another connection.
    Command {
        /// Whether it asked for another session too.
        new_session: bool,
    },
}

impl Cause {
    /// All labels.
    pub const LABELS: &'static [&'static str] = &[
        "refused",
        "dns",
        "tls",
        "upgrade",
        "network",
        "connect_timeout",
        "no_hello",
        "no_ready",
        "no_resumed",
        "heartbeat",
        "cut",
        "undecodable",
        "closed",
        "reconnect",
        "invalid_session",
        "unusable_ready",
        "misread",
        "command",
    ];

    /// Label of `gateway_reconnects_total`.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::Refused => "refused",
            Self::Dns => "dns",
            Self::Tls => "tls",
            Self::Upgrade => "upgrade",
            Self::Network => "network",
            Self::ConnectTimeout => "connect_timeout",
            Self::NoHello => "no_hello",
            Self::NoReady => "no_ready",
            Self::NoResumed => "no_resumed",
            Self::Zombie => "heartbeat",
            Self::Cut => "cut",
            Self::Undecodable => "undecodable",
            Self::Closed(_) => "closed",
            Self::Reconnect => "reconnect",
            Self::InvalidSession { .. } => "invalid_session",
            Self::UnusableReady => "unusable_ready",
            Self::Misread => "misread",
            Self::Command { .. } => "command",
        }
    }

    /// Whether Discord says that the session is gone: op 9, or a close code whose row asks for a new session (Discord,
    /// "Gateway Close Event Codes").
    #[must_use]
    pub const fn ends_session(self) -> bool {
        matches!(
            self,
            Self::InvalidSession { resumable: false } | Self::Closed(Some(4007 | 4009))
        )
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Refused => "connection refused",
            Self::Dns => "the host's name can't be resolved",
            Self::Tls => "no TLS session",
            Self::Upgrade => "the peer does not speak websocket",
            Self::Network => "the network failed",
            Self::ConnectTimeout => "no connection in time",
            Self::NoHello => "no HELLO in time",
            Self::NoReady => "no READY in time",
            Self::NoResumed => "no RESUMED in time",
            Self::Zombie => "heartbeats are not acknowledged",
            Self::Cut => "cut without a close frame",
            Self::Undecodable => "what came can't be decompressed",
            Self::Closed(Some(code)) => return write!(f, "closed with {code}"),
            Self::Closed(None) => "closed without a code",
            Self::Reconnect => "discord asked for it (op 7)",
            Self::InvalidSession { resumable: true } => "session not taken, to be resumed later",
            Self::InvalidSession { resumable: false } => "session not taken",
            Self::UnusableReady => "READY names no usable resume URL",
            Self::Misread => "the client misread a payload",
            Self::Command { .. } => "a command asked for it",
        })
    }
}
