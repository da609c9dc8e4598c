//! What all partitions of a process share.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError, atomic::AtomicUsize},
};

use dispatch_proto::rabbit::MAX_BODY;
use dispatch_service::health::Condition;

use super::guild_log::GuildLog;
use crate::{config::Config, core::applied::Applied};

/// What all partitions share.
pub(super) struct Shared {
    pub(super) config: Config,
    pub(super) guild_log: Option<GuildLog>,
    pub(super) redis_up: Condition,
    /// By partition, what was applied and published when this process served it last.
    published: Mutex<HashMap<u32, Arc<Applied>>>,
    /// The largest body that RabbitMQ takes, in bytes, as far as is known.
    pub(super) largest: Arc<AtomicUsize>,
}

impl Shared {
    pub(super) fn new(config: Config, guild_log: Option<GuildLog>, redis_up: Condition) -> Self {
        Self {
            config,
            guild_log,
            redis_up,
            published: Mutex::default(),
            largest: Arc::new(AtomicUsize::new(MAX_BODY)),
        }
    }

    /// What was applied and published when this process served the partition last.
    pub(super) fn published(&self, partition: u32) -> Option<Arc<Applied>> {
        self.lock_published().get(&partition).cloned()
    }

    pub(super) fn set_published(&self, partition: u32, published: Arc<Applied>) {
        self.lock_published().insert(partition, published);
    }

    fn lock_published(&self) -> MutexGuard<'_, HashMap<u32, Arc<Applied>>> {
        self.published
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}
