//! Owning a shard.
//!
//! **Invariant:** who holds the exclusive queue `gateway.owner.<shard>` owns the shard, and publishes its frames on the
//! connection that holds it: when the broker drops the connection, the right and the ability end together.
//!
//! Redis names the owner too (`dispatch:owners`). The new owner writes itself there before it touches the session, so
//! whoever comes back and finds another name knows that what it holds is not the shard's state any more.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use dispatch_proto::rabbit::owner_lock;
use lapin::{
    Channel, Connection, ErrorKind,
    options::QueueDeclareOptions,
    types::{AMQPValue, FieldTable},
};

use tokio::time::{Instant, timeout};

use super::{context::Context, link::current, store};
use crate::core::owner::Sight;

/// AMQP's reply code for a queue that is exclusive to another connection.
const RESOURCE_LOCKED: u16 = 405;

/// Longest time to ask RabbitMQ which locks are held.
const HELD_LIMIT: Duration = Duration::from_secs(5);

/// When the connection of the moment was first seen.
#[derive(Debug, Default)]
pub(crate) struct Sighted(Mutex<Option<(Arc<Connection>, Instant)>>);

impl Sighted {
    fn age(&self, connection: &Arc<Connection>) -> Duration {
        let mut seen = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match &*seen {
            Some((known, since)) if Arc::ptr_eq(known, connection) => since.elapsed(),
            _ => {
                *seen = Some((connection.clone(), Instant::now()));
                Duration::ZERO
            }
        }
    }
}

/// How one try to own a shard ended.
#[derive(Debug)]
pub(crate) enum Attempt {
    /// Owned.
    Held {
        /// The connection that holds the lock.
        connection: Arc<Connection>,
        /// Whether another process has owned the shard since this one last did.
        taken: bool,
    },
    /// Another connection holds the lock.
    Locked {
        /// Whether another process has made the shard its own; else the broker has not noticed yet that our old connection is dead.
        taken: bool,
    },
    /// It could not be tried.
    Failed {
        error: lapin::Error,
        connection: Arc<Connection>,
    },
}

/// Tries once, after `delay`, as soon as there is a connection. `broken` is a connection on which the lock could not be tried:
/// if it is still the same, something is amiss on the broker, and everything is declared again.
pub(crate) async fn attempt(
    context: Arc<Context>,
    shard: u32,
    delay: Duration,
    broken: Option<Arc<Connection>>,
) -> Attempt {
    tokio::time::sleep(delay).await;
    let connection = current(context.publishing.clone()).await;
    let same = broken.is_some_and(|broken| Arc::ptr_eq(&broken, &connection));
    if let Some(owner) = other_owner(&context, shard).await {
        let alive = store::is_alive(&context, &owner).await;
        let sight = Sight {
            other: true,
            alive,
            connected_for: context.sighted.age(&connection),
            tried: context.table.tried(shard),
        };
        if !sight.worth_trying() {
            context.table.standby(shard, alive);
            return Attempt::Locked { taken: true };
        }
    }
    match lock(&context, shard, &connection, same).await {
        Ok(()) => {
            let taken = other_owner(&context, shard).await.is_some();
            store::own(&context, shard).await;
            Attempt::Held { connection, taken }
        }
        Err(error) if is_locked(&error) => {
            let owner = other_owner(&context, shard).await;
            let taken = owner.is_some();
            if let Some(owner) = owner {
                let alive = store::is_alive(&context, &owner).await;
                context.table.standby(shard, alive);
            }
            Attempt::Locked { taken }
        }
        Err(error) => Attempt::Failed { error, connection },
    }
}

/// The process that Redis names as the owner, if it is another one.
async fn other_owner(context: &Context, shard: u32) -> Option<String> {
    let owner = store::owner(context, shard).await;
    owner.filter(|owner| *owner != context.instance)
}

/// Which of these shards' locks are on our connection. RabbitMQ is asked: a process that was frozen must not believe that its
/// connection, which RabbitMQ has dropped meanwhile, still holds anything.
pub(crate) async fn held(context: &Context, shards: &[u32]) -> Vec<u32> {
    let connection = context.publishing.borrow().clone();
    let mut held = Vec::new();
    let Some(connection) = connection else {
        return held;
    };
    let asked = async {
        for shard in shards {
            // A refusal closes the channel, so each has one of its own.
            let channel = connection.create_channel().await?;
            match declare_lock(&channel, *shard).await {
                Ok(()) => held.push(*shard),
                Err(error) if is_locked(&error) => continue,
                Err(error) => return Err(error),
            }
            channel.close(200, "asked".into()).await?;
        }
        lapin::Result::Ok(())
    };
    let asked = timeout(HELD_LIMIT, asked).await;
    // What was granted before a failure is held all the same.
    if !matches!(asked, Ok(Ok(()))) {
        tracing::warn!("cannot ask rabbitmq for all locks that are held");
    }
    held
}

async fn lock(
    context: &Context,
    shard: u32,
    connection: &Connection,
    declare: bool,
) -> lapin::Result<()> {
    // It is never closed.
    let _few = context.trying.acquire().await;
    // A refusal closes the channel, so each has one of its own; the lock belongs to the connection.
    let channel = connection.create_channel().await?;
    if declare {
        context.topology.declare(&channel).await?;
    }
    declare_lock(&channel, shard).await?;
    channel.close(200, "locked".into()).await
}

async fn declare_lock(channel: &Channel, shard: u32) -> lapin::Result<()> {
    let options = QueueDeclareOptions {
        exclusive: true,
        ..QueueDeclareOptions::default()
    };
    // Said, because a virtual host may have another default, and only classic queues are exclusive.
    let mut arguments = FieldTable::default();
    let classic = AMQPValue::LongString("classic".into());
    arguments.insert("x-queue-type".into(), classic);
    channel
        .queue_declare(owner_lock(shard).into(), options, arguments)
        .await?;
    Ok(())
}

fn is_locked(error: &lapin::Error) -> bool {
    matches!(error.kind(), ErrorKind::ProtocolError(error) if error.get_id() == RESOURCE_LOCKED)
}
