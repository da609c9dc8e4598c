//! What follows from what was told.

use super::{Guild, Member, Voice};

/// What must be told next because of what has been told; the world changes when it is told.
#[derive(Debug, Clone)]
pub(crate) enum Planned {
    DeleteThread {
        guild: u64,
        thread: u64,
    },
    DeleteChannel {
        guild: u64,
        channel: u64,
    },
    SyncThreads {
        guild: u64,
        channel: u64,
    },
    RemoveMember {
        guild: u64,
        user: u64,
    },
    /// A user has changed: its other guilds hear of it.
    ShowFace {
        guild: u64,
        user: u64,
    },
    /// A role is gone: a member that had it is told without it.
    ShowRoles {
        guild: u64,
        user: u64,
    },
    Enter(Box<Guild>),
    /// Who was removed leaves the call.
    LeaveCall {
        guild: u64,
        member: Box<Member>,
        voice: Voice,
    },
    /// Who was removed is seen no more.
    GoOffline {
        guild: u64,
        user: u64,
    },
    /// A message has become the beginning of a thread.
    ShowThread {
        guild: u64,
        message: u64,
    },
}
