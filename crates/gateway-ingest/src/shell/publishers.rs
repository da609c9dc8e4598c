//! From the shards' outboxes to RabbitMQ: one publisher for each partition.
//!
//! **Invariant:** one frame is in flight for each partition of a process, and a shard's events travel through one publisher. So what
//! is confirmed of a shard has everything before it confirmed too ([`crate::core::outbox`]).
//!
//! **Invariant:** a shard's events are published on the connection that holds its lock. All locks of a process are on one connection; when
//! it ends, nothing of a shard is published until it is owned again.

mod partition;

use std::sync::Arc;

use dispatch_proto::partition::partition_of;
use lapin::Connection;
use tokio::{sync::OwnedSemaphorePermit, task::JoinSet};

use super::{
    link::{Current, Topology},
    table::SessionTable,
};
use crate::core::outbox::Received;
use partition::Partition;

/// The publishers of all partitions.
#[derive(Debug)]
pub(crate) struct Publishers {
    partitions: Vec<Arc<Partition>>,
    /// They end with this.
    _tasks: JoinSet<()>,
}

impl Publishers {
    /// Starts them; the shards are of `total`. What is confirmed is noted in the table.
    pub(crate) fn start(
        total: u32,
        topology: &Topology,
        publishing: &Current,
        table: &Arc<SessionTable>,
    ) -> Self {
        let mut tasks = JoinSet::new();
        let partitions = (0..topology.partitions.max(1)).map(|number| {
            let partition = Arc::new(Partition::new(number, total, table.clone()));
            tasks.spawn(
                partition
                    .clone()
                    .publish(topology.clone(), publishing.clone()),
            );
            partition
        });
        Self {
            partitions: partitions.collect(),
            _tasks: tasks,
        }
    }

    /// The shard's lock is held on this connection: its events may be published there.
    pub(crate) fn own(&self, shard: u32, connection: &Arc<Connection>) {
        self.of(shard).own(shard, connection);
    }

    /// The shard's lock may not be held any more: nothing of it is published until it is owned again.
    pub(crate) fn release(&self, shard: u32) {
        self.of(shard).release(shard);
    }

    /// Takes in what a shard has received.
    pub(crate) fn push(&self, shard: u32, received: Received<OwnedSemaphorePermit>) {
        self.of(shard).push(shard, received);
    }

    /// Whether everything of the shard is confirmed.
    pub(crate) fn is_drained(&self, shard: u32) -> bool {
        self.of(shard).is_drained(shard)
    }

    /// Until everything of the shard is confirmed.
    pub(crate) async fn drained(&self, shard: u32) {
        self.of(shard).drained(shard).await;
    }

    /// Releases the shard and drops what is not confirmed of it. After that no confirm is noted for it.
    pub(crate) fn clear(&self, shard: u32) {
        self.of(shard).clear(shard);
    }

    fn of(&self, shard: u32) -> &Partition {
        let partition = partition_of(shard, self.partitions.len() as u32);
        &self.partitions[partition as usize]
    }
}
