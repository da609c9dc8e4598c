//! What all shards of the process share.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Instant,
};

use tokio::sync::Semaphore;
use twilight_gateway::Config as ShardConfig;

use super::{
    identify::IdentifyQueue,
    link::{Current, Topology},
    links::CommandLinks,
    notices::Notices,
    publishers::Publishers,
    replies::Replies,
    table::SessionTable,
};
use crate::{
    config::Config,
    core::{repeats::Repeats, resume::Inherited},
};

/// What all shards share.
#[derive(Debug)]
pub(crate) struct Context {
    pub(crate) config: Config,
    /// Name of this process in `dispatch:owners`, new at each start.
    pub(crate) instance: String,
    /// The number of shards of the bot.
    pub(crate) total: u32,
    /// What the public keys on Redis held before this process started.
    pub(crate) inherited: Inherited,
    pub(crate) topology: Topology,
    /// The connection for locks and frames.
    pub(crate) publishing: Current,
    pub(crate) commands: Arc<CommandLinks>,
    pub(crate) table: Arc<SessionTable>,
    pub(crate) replies: Replies,
    /// Commands of each shard that RabbitMQ may hand out at a time.
    pub(crate) prefetch: u16,
    pub(crate) notices: Notices,
    pub(crate) budget: Budget,
    pub(crate) identifies: IdentifyQueue,
    pub(crate) publishers: Publishers,
    /// How the shards connect; without a session.
    pub(crate) gateway: ShardConfig<IdentifyQueue>,
    /// How many connections may be made at once.
    pub(crate) slots: Arc<Semaphore>,
    /// How often what was logged lately.
    pub(crate) repeats: Mutex<Repeats>,
}

impl Context {
    /// Whether to log something of this kind now; if so, how many of the kind were not logged since.
    pub(crate) fn repeats(&self, kind: &'static str, now: Instant) -> Option<u64> {
        let mut repeats = self.repeats.lock().unwrap_or_else(PoisonError::into_inner);
        repeats.next(kind, now)
    }

    /// Bytes of received events that are held now.
    pub(crate) fn buffered(&self) -> usize {
        let free = self.budget.main.available_permits() + self.budget.reserve.available_permits();
        (self.config.buffer_bytes as usize).saturating_sub(free)
    }
}

/// `BUFFER_BYTES`: one permit for each byte of received events that may be held.
#[derive(Debug)]
pub(crate) struct Budget {
    pub(crate) main: Arc<Semaphore>,
    /// Permits that `main` has when nothing is held.
    pub(crate) size: u32,
    /// For what must be read when `main` has no room.
    pub(crate) reserve: Arc<Semaphore>,
}

impl Budget {
    /// A sixteenth is the reserve.
    pub(crate) fn new(bytes: u32) -> Self {
        let reserve = bytes / 16;
        let size = bytes - reserve;
        Self {
            main: Arc::new(Semaphore::new(size as usize)),
            size,
            reserve: Arc::new(Semaphore::new(reserve as usize)),
        }
    }
}
