//! What is told about a shard: its status, and the events of its connection.

/// Status of a shard's connection, named as twilight-dispatch names it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Status {
    /// No connection.
    #[default]
    Disconnected,
    /// Waiting to identify, or for the answer.
    Identifying,
    /// Missed events are being replayed.
    Resuming,
    /// The session is live.
    Connected,
}

impl Status {
    /// Every status, for gauges that must show zeros too.
    pub const ALL: [Self; 4] = [
        Self::Disconnected,
        Self::Identifying,
        Self::Resuming,
        Self::Connected,
    ];

    /// The names of all.
    pub const NAMES: [&'static str; 4] = [
        Self::Disconnected.name(),
        Self::Identifying.name(),
        Self::Resuming.name(),
        Self::Connected.name(),
    ];

    /// Name in `gateway_statuses`, on Redis and as a metric's label.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Disconnected => "Disconnected",
            Self::Identifying => "Identifying",
            Self::Resuming => "Resuming",
            Self::Connected => "Connected",
        }
    }
}

/// Something that happened to a shard's connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ShardEvent {
    /// The first connection is about to be made.
    Connecting,
    /// The socket is up and Discord has said hello.
    Connected,
    /// A new session is asked for.
    Identifying,
    /// A stored session is asked for.
    Resuming,
    /// A new session is live.
    Ready,
    /// A session goes on.
    Resumed,
    /// The connection ended.
    Disconnected,
    /// A new connection is about to be made.
    Reconnecting,
}

impl ShardEvent {
    /// The names of all.
    pub const NAMES: [&'static str; 8] = [
        Self::Connecting.name(),
        Self::Connected.name(),
        Self::Identifying.name(),
        Self::Resuming.name(),
        Self::Ready.name(),
        Self::Resumed.name(),
        Self::Disconnected.name(),
        Self::Reconnecting.name(),
    ];

    /// Label of `gateway_shard_events`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Connecting => "Connecting",
            Self::Connected => "Connected",
            Self::Identifying => "Identifying",
            Self::Resuming => "Resuming",
            Self::Ready => "Ready",
            Self::Resumed => "Resumed",
            Self::Disconnected => "Disconnected",
            Self::Reconnecting => "Reconnecting",
        }
    }

    /// Colour of the notice in `LOG_CHANNEL`; `None` for what is not posted there.
    #[must_use]
    pub const fn colour(self) -> Option<u32> {
        match self {
            Self::Connected | Self::Ready => Some(0x00_FF_00),
            Self::Resumed => Some(0x1E_90_FF),
            Self::Disconnected => Some(0xFF_00_00),
            Self::Connecting | Self::Identifying | Self::Resuming | Self::Reconnecting => None,
        }
    }
}
