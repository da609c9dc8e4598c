//! Who serves which partition: this process's part in sharing them among replicas.

use std::{sync::Arc, time::Duration};

use dispatch_proto::rabbit::raw_queue;
use lapin::{Connection, options::QueueDeclareOptions, types::FieldTable};
use tokio::sync::watch;

use crate::{core::balance::surplus, metrics};

/// How often the shares are looked at. A hand-over costs a partition some milliseconds; a new replica can wait this long.
const INTERVAL: Duration = Duration::from_secs(3);

/// One seat for each partition.
#[derive(Debug)]
pub(super) struct Seats {
    seats: Vec<watch::Sender<Seat>>,
}

/// Where a partition's task stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Seat {
    /// Subscribed, but another process is served, or there was nothing to serve.
    Waiting,
    /// Served.
    Active,
    /// Asked to let go after the batch in hand.
    Leaving,
}

impl Seats {
    pub(super) fn new(partitions: u32) -> Self {
        Self {
            seats: (0..partitions)
                .map(|_| watch::Sender::new(Seat::Waiting))
                .collect(),
        }
    }

    /// The partition's task says where it stands.
    pub(super) fn set(&self, partition: u32, seat: Seat) {
        if let Some(sender) = self.seats.get(partition as usize) {
            sender.send_replace(seat);
        }
        metrics::partitions_active(self.active().count());
    }

    /// Resolves when the partition's task is asked to let go.
    pub(super) async fn leaving(&self, partition: u32) {
        match self.seats.get(partition as usize) {
            // The sender lives as long as `self`, so waiting can't fail.
            Some(sender) => drop(
                sender
                    .subscribe()
                    .wait_for(|seat| *seat == Seat::Leaving)
                    .await,
            ),
            None => std::future::pending().await,
        }
    }

    /// Lets go of what is more than this process's share, for as long as the connection lives.
    pub(super) async fn balance(self: Arc<Self>, connection: Arc<Connection>, partitions: u32) {
        let mut interval = tokio::time::interval(INTERVAL);
        loop {
            interval.tick().await;
            let Ok((writers, lag)) = look(&connection, partitions).await else {
                continue;
            };
            metrics::queue_lag(lag);
            let surplus = surplus(self.active().count(), self.seats.len(), writers);
            if surplus > 0 {
                tracing::info!(
                    partitions = surplus,
                    writers,
                    "handing partitions over to other writers"
                );
            }
            for partition in self.active().take(surplus).collect::<Vec<_>>() {
                self.set(partition, Seat::Leaving);
            }
        }
    }

    fn active(&self) -> impl Iterator<Item = u32> {
        (0_u32..)
            .zip(&self.seats)
            .filter(|(_, seat)| *seat.borrow() == Seat::Active)
            .map(|(number, _)| number)
    }
}

/// The number of writers (each subscribes to every partition once, so the most on any queue) and of frames waiting.
async fn look(connection: &Connection, partitions: u32) -> lapin::Result<(usize, u64)> {
    let channel = connection.create_channel().await?;
    let options = QueueDeclareOptions {
        passive: true,
        ..QueueDeclareOptions::default()
    };
    let (mut writers, mut frames) = (0, 0);
    for partition in 0..partitions {
        let queue = channel
            .queue_declare(raw_queue(partition).into(), options, FieldTable::default())
            .await?;
        writers = writers.max(queue.consumer_count() as usize);
        frames += u64::from(queue.message_count());
    }
    channel.close(200, "looked".into()).await?;
    Ok((writers, frames))
}
