//! The connections to RabbitMQ that the shards share: one for locks and frames, and those for commands.
//!
//! Each shard consumes its commands on a channel of its own, because closing it is what gives them back. A broker may allow
//! fewer channels on a connection than there are shards; then there are more connections.

use std::sync::{Arc, Mutex, PoisonError};

use dispatch_service::{amqp::AmqpLink, health::Condition, health::Health};
use lapin::Connection;
use tokio::{
    sync::{Semaphore, SemaphorePermit, watch},
    task::JoinHandle,
};
use tokio_util::sync::CancellationToken;

use super::link::{self, Current, Topology};

/// Channels of a connection for commands that no shard keeps: declarations, and channels that are being closed.
const SPARE: usize = 6;
/// Declarations at a time on a connection for commands.
const DECLARING: usize = 4;

/// The connections to RabbitMQ.
#[derive(Debug)]
pub(crate) struct Links {
    /// Locks and frames.
    pub(crate) publishing: Current,
    pub(crate) commands: Arc<CommandLinks>,
    keeper: JoinHandle<()>,
    stop: CancellationToken,
}

impl Links {
    /// Opens them; a broker that allows fewer channels than `publishers` on a connection is refused.
    pub(crate) fn open(
        rabbit: &AmqpLink,
        publishers: usize,
        topology: Topology,
        connected: Condition,
    ) -> Self {
        let stop = CancellationToken::new();
        let rabbit = rabbit.clone();
        let (sender, publishing) = watch::channel(None);
        let keeper = link::keep(
            rabbit.clone().needing_channels(publishers),
            "gateway-ingest events",
            topology.clone(),
            connected,
            sender,
            stop.clone(),
        );
        let commands = CommandLinks {
            rabbit: rabbit.needing_channels(SPARE + 1),
            topology,
            links: Mutex::default(),
            stop: stop.clone(),
        };
        Self {
            publishing,
            commands: Arc::new(commands),
            keeper: tokio::spawn(keeper),
            stop,
        }
    }

    /// Closing gives the locks and the commands in hand back at once.
    pub(crate) async fn close(self) {
        self.stop.cancel();
        let _ = self.keeper.await;
        for keeper in self.commands.take_keepers() {
            let _ = keeper.await;
        }
    }
}

/// The connections on which commands are consumed.
#[derive(Debug)]
pub(crate) struct CommandLinks {
    rabbit: AmqpLink,
    topology: Topology,
    links: Mutex<Vec<CommandLink>>,
    stop: CancellationToken,
}

#[derive(Debug)]
struct CommandLink {
    current: Current,
    /// Held by each consumer.
    shared: Arc<Shared>,
    keeper: Option<JoinHandle<()>>,
}

#[derive(Debug)]
struct Shared {
    declaring: Semaphore,
}

/// Room for one consumer on a connection.
#[derive(Debug)]
pub(crate) struct Place {
    pub(crate) connection: Arc<Connection>,
    shared: Arc<Shared>,
}

impl Place {
    /// Leave to declare something on a channel of its own.
    pub(crate) async fn declaring(&self) -> Option<SemaphorePermit<'_>> {
        self.shared.declaring.acquire().await.ok()
    }
}

impl CommandLinks {
    /// Waits for a connection with room for one more consumer.
    pub(crate) async fn place(&self) -> Place {
        let mut number = 0;
        loop {
            let connection = link::current(self.current(number)).await;
            // 0 is no limit.
            let most = match connection.configuration().channel_max() {
                0 => usize::from(u16::MAX),
                most => usize::from(most),
            };
            if let Some(shared) = self.shared(number, most.saturating_sub(SPARE)) {
                return Place { connection, shared };
            }
            number += 1;
        }
    }

    /// The connection of this number, which is opened if there is none yet.
    fn current(&self, number: usize) -> Current {
        let mut links = self.links.lock().unwrap_or_else(PoisonError::into_inner);
        while links.len() <= number {
            links.push(self.open());
        }
        links[number].current.clone()
    }

    /// A place on this connection, if fewer than `most` are taken.
    fn shared(&self, number: usize, most: usize) -> Option<Arc<Shared>> {
        let links = self.links.lock().unwrap_or_else(PoisonError::into_inner);
        let shared = &links.get(number)?.shared;
        let taken = Arc::strong_count(shared) - 1;
        (taken < most).then(|| shared.clone())
    }

    fn open(&self) -> CommandLink {
        let (sender, current) = watch::channel(None);
        let keeper = link::keep(
            self.rabbit.clone(),
            "gateway-ingest commands",
            self.topology.clone(),
            Health::default().condition("commands"),
            sender,
            self.stop.clone(),
        );
        CommandLink {
            current,
            shared: Arc::new(Shared {
                declaring: Semaphore::new(DECLARING),
            }),
            keeper: Some(tokio::spawn(keeper)),
        }
    }

    fn take_keepers(&self) -> Vec<JoinHandle<()>> {
        let mut links = self.links.lock().unwrap_or_else(PoisonError::into_inner);
        let keepers = links.iter_mut().filter_map(|link| link.keeper.take());
        keepers.collect()
    }
}
