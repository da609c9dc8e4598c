//! Who serves which partition: this process's part in sharing them among replicas.

use std::{sync::Arc, time::Duration};

use dispatch_proto::rabbit::raw_queue;
use dispatch_service::topology;
use lapin::Connection;
use tokio::sync::watch;

use super::shared::Shared;
use crate::{config::Config, core::balance::surplus, metrics};

/// How often the shares are looked at. A hand-over costs a partition some milliseconds; a new replica can wait this long.
const INTERVAL: Duration = Duration::from_secs(3);

/// Where each partition stands.
#[derive(Debug)]
pub(super) struct Assignments {
    partitions: Vec<watch::Sender<Assignment>>,
}

/// Where a partition's task stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Assignment {
    /// Subscribed, but another process is served, or there was nothing to serve.
    Waiting,
    /// Served.
    Active,
    /// Asked to let go after the batch in hand.
    Leaving,
}

impl Assignments {
    pub(super) fn new(partitions: u32) -> Self {
        Self {
            partitions: (0..partitions)
                .map(|_| watch::Sender::new(Assignment::Waiting))
                .collect(),
        }
    }

    /// The partition's task says where it stands. Whoever is asked to let go stays so while it is served.
    pub(super) fn set(&self, partition: u32, assignment: Assignment) {
        if let Some(sender) = self.partitions.get(partition as usize) {
            sender.send_if_modified(|now| {
                let stays = *now == Assignment::Leaving && assignment == Assignment::Active;
                let changes = *now != assignment && !stays;
                if changes {
                    *now = assignment;
                }
                changes
            });
        }
        metrics::partitions_active(self.active().count());
    }

    /// Resolves when the partition's task is asked to let go.
    pub(super) async fn leaving(&self, partition: u32) {
        match self.partitions.get(partition as usize) {
            // The sender lives as long as `self`, so waiting can't fail.
            Some(sender) => drop(
                sender
                    .subscribe()
                    .wait_for(|assignment| *assignment == Assignment::Leaving)
                    .await,
            ),
            None => std::future::pending().await,
        }
    }

    /// Lets go of what is more than this process's share, for as long as the connection lives.
    pub(super) async fn balance(self: Arc<Self>, connection: Arc<Connection>, shared: Arc<Shared>) {
        let mut interval = tokio::time::interval(INTERVAL);
        loop {
            interval.tick().await;
            let Ok((writers, lag)) = look(&connection, &shared.config).await else {
                continue;
            };
            metrics::queue_lag(lag);
            let surplus = surplus(self.active().count(), self.partitions.len(), writers);
            if surplus > 0 {
                tracing::info!(
                    partitions = surplus,
                    writers,
                    "handing partitions over to other writers"
                );
            }
            for partition in self.active().take(surplus).collect::<Vec<_>>() {
                self.set(partition, Assignment::Leaving);
            }
        }
    }

    fn active(&self) -> impl Iterator<Item = u32> {
        (0_u32..)
            .zip(&self.partitions)
            .filter(|(_, assignment)| *assignment.borrow() == Assignment::Active)
            .map(|(number, _)| number)
    }
}

/// The number of writers (each subscribes to every partition once, so the most on any queue) and of frames waiting.
async fn look(connection: &Connection, config: &Config) -> lapin::Result<(usize, u64)> {
    let channel = connection.create_channel().await?;
    let (mut writers, mut frames) = (0, 0);
    for partition in 0..config.partitions {
        let name = config.namespace.name(raw_queue(partition));
        let queue = topology::counts(&channel, &name).await?;
        writers = writers.max(queue.consumers as usize);
        frames += u64::from(queue.messages);
    }
    channel.close(200, "looked".into()).await?;
    Ok((writers, frames))
}
