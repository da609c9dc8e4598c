//! Owning a shard.
//!
//! **Invariant:** who holds the exclusive queue `gateway.owner.<shard>` owns the shard, and publishes its frames on the
//! connection that holds it: when the broker drops the connection, the right and the ability end together.
//!
//! Redis names the owner too (`dispatch:owners`). The new owner writes itself there before it touches the session, so
//! whoever comes back and finds another name knows that what it holds is not the shard's state any more.

use std::{sync::Arc, time::Duration};

use dispatch_proto::rabbit::owner_lock;
use dispatch_service::amqp::Publisher;
use lapin::{
    Connection, ErrorKind,
    options::QueueDeclareOptions,
    types::{AMQPValue, FieldTable},
};

use super::{context::Context, link::Current, store};

/// AMQP's reply code for a queue that is exclusive to another connection.
const RESOURCE_LOCKED: u16 = 405;

/// A shard that is owned, and the channel to publish its frames on.
#[derive(Debug)]
pub(crate) struct Claim {
    pub(crate) publisher: Publisher,
    pub(crate) connection: Arc<Connection>,
}

/// How one try to own a shard ended.
#[derive(Debug)]
pub(crate) enum Attempt {
    /// Owned.
    Held {
        claim: Claim,
        /// Whether another process has owned the shard since this one last did.
        taken: bool,
    },
    /// Another connection holds the lock.
    Locked {
        /// Whether another process has made the shard its own; else the broker has not noticed yet that our old connection is dead.
        taken: bool,
    },
    /// The channel failed.
    Failed {
        error: lapin::Error,
        connection: Arc<Connection>,
    },
}

/// Tries once, after `delay`, as soon as there is a connection. `broken` is a connection on which the shard's channel failed:
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
    match lock(&context, shard, &connection, same).await {
        Ok(publisher) => {
            let owner = store::owner(&context, shard).await;
            let taken = owner.is_some_and(|owner| owner != context.instance);
            store::own(&context, shard).await;
            let claim = Claim {
                publisher,
                connection,
            };
            Attempt::Held { claim, taken }
        }
        Err(error) if is_locked(&error) => {
            let owner = store::owner(&context, shard).await;
            Attempt::Locked {
                taken: owner.is_some_and(|owner| owner != context.instance),
            }
        }
        Err(error) => Attempt::Failed { error, connection },
    }
}

/// The connection of the moment, or the next one.
pub(crate) async fn current(mut connections: Current) -> Arc<Connection> {
    loop {
        if let Some(connection) = connections.borrow_and_update().clone() {
            return connection;
        }
        if connections.changed().await.is_err() {
            // The keeper has ended: the process is about to.
            std::future::pending::<()>().await;
        }
    }
}

async fn lock(
    context: &Context,
    shard: u32,
    connection: &Connection,
    declare: bool,
) -> lapin::Result<Publisher> {
    let publisher = Publisher::open(connection).await?;
    if declare {
        context.topology.declare(publisher.channel()).await?;
    }
    let options = QueueDeclareOptions {
        exclusive: true,
        ..QueueDeclareOptions::default()
    };
    // Said, because a virtual host may have another default, and only classic queues are exclusive.
    let mut arguments = FieldTable::default();
    let classic = AMQPValue::LongString("classic".into());
    arguments.insert("x-queue-type".into(), classic);
    publisher
        .channel()
        .queue_declare(owner_lock(shard).into(), options, arguments)
        .await?;
    Ok(publisher)
}

fn is_locked(error: &lapin::Error) -> bool {
    matches!(error.kind(), ErrorKind::ProtocolError(error) if error.get_id() == RESOURCE_LOCKED)
}
