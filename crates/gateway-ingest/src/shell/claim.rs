//! The locks of shards.
//!
//! **Invariant:** who holds the exclusive queue `gateway.owner.<total>.<shard>` owns the shard, and publishes its frames on the
//! connection that holds it: when the broker drops the connection, the right and the ability end together.
//!
//! Where a lock may be held, that is found out first ([`dispatch_service::lock`]): on a connection of its own, because RabbitMQ holds up the
//! connections that publish while it is short of memory or disk.

use std::{borrow::Cow, collections::BTreeSet, time::Duration};

use dispatch_proto::rabbit::{owner_lock, owner_lock_without_total};
use dispatch_service::{
    amqp::{PublishError, Publisher, close_channel},
    lock,
};
use futures_util::future::join_all;
use lapin::{Channel, Connection, options::QueueDeleteOptions};
use tokio::time::timeout;

use super::context::Context;

/// Longest time to ask RabbitMQ which locks are ours, or to give locks back.
const ASK_LIMIT: Duration = Duration::from_secs(5);
/// Longest time to find out which locks are held.
const LOOK_LIMIT: Duration = Duration::from_secs(2);

/// As RabbitMQ shows the connection of [`held`].
const LOOKS: &str = "gateway-ingest locks";

/// Takes those of the locks that nobody holds; some may be in doubt.
pub(crate) async fn take(
    context: &Context,
    connection: &Connection,
    shards: &[u32],
    doubtful: &[u32],
) -> Vec<u32> {
    let held = match doubtful {
        [] => BTreeSet::new(),
        shards => held(context, shards).await.unwrap_or_default(),
    };
    let mut taken = Vec::new();
    let result = async {
        let mut channel = connection.create_channel().await?;
        for shard in shards.iter().filter(|shard| !held.contains(shard)) {
            if declare(context, &channel, *shard).await? {
                taken.push(*shard);
            } else {
                // Somebody was faster; the refusal has closed the channel.
                channel = connection.create_channel().await?;
            }
        }
        close_channel(&channel).await;
        lapin::Result::Ok(())
    };
    // What was taken before a failure is held all the same.
    if let Err(error) = result.await {
        tracing::warn!(%error, "cannot take the locks of all shards that are free");
    }
    taken
}

/// Those of the locks that some connection holds; `None` if RabbitMQ does not say. Nothing is asked that it would refuse.
pub(crate) async fn held(context: &Context, shards: &[u32]) -> Option<BTreeSet<u32>> {
    let asked = async {
        let connection = context.config.rabbit.connect(LOOKS).await?;
        let publisher = Publisher::open(&connection).await?;
        let looks = shards.iter().map(async |shard| {
            for name in names(context, *shard) {
                if lock::is_held(&publisher, &name).await? {
                    return Ok(Some(*shard));
                }
            }
            Ok(None)
        });
        let held: Result<Vec<_>, PublishError> = join_all(looks).await.into_iter().collect();
        let _ = connection.close(200, "looked".into()).await;
        Ok(held?.into_iter().flatten().collect())
    };
    match timeout(LOOK_LIMIT, asked).await {
        Ok(Ok(held)) => Some(held),
        Ok(Err(error)) => {
            let error: PublishError = error;
            tracing::debug!(%error, "cannot find out which locks are held");
            None
        }
        Err(_) => None,
    }
}

/// Which of these locks are on our connection. RabbitMQ is asked: a process that was frozen must not believe that its
/// connection, which RabbitMQ has dropped meanwhile, still holds anything.
pub(crate) async fn ours(context: &Context, connection: &Connection, shards: &[u32]) -> Vec<u32> {
    let mut ours = Vec::new();
    let asked = async {
        for shard in shards {
            // A refusal closes the channel, so each has one of its own.
            let channel = connection.create_channel().await?;
            if declare(context, &channel, *shard).await? {
                ours.push(*shard);
                close_channel(&channel).await;
            }
        }
        lapin::Result::Ok(())
    };
    let asked = timeout(ASK_LIMIT, asked).await;
    // What was granted before a failure is held all the same.
    if !matches!(asked, Ok(Ok(()))) {
        tracing::warn!("cannot ask rabbitmq for all locks that are held");
    }
    ours
}

/// Gives locks back that are on this connection.
pub(crate) async fn give_back(context: &Context, connection: &Connection, shards: &[u32]) {
    let deleted = async {
        let channel = connection.create_channel().await?;
        for lock in shards.iter().flat_map(|shard| names(context, *shard)) {
            let options = QueueDeleteOptions::default();
            channel.queue_delete((&*lock).into(), options).await?;
        }
        close_channel(&channel).await;
        lapin::Result::Ok(())
    };
    match timeout(ASK_LIMIT, deleted).await {
        Ok(Ok(())) => {}
        // They end with the connection.
        Ok(Err(error)) => tracing::warn!(%error, "cannot give locks back"),
        Err(_) => tracing::warn!("rabbitmq does not answer: cannot give locks back"),
    }
}

/// The older name first: a process of the older version knows no other.
fn names(context: &Context, shard: u32) -> [Cow<'static, str>; 2] {
    [
        owner_lock_without_total(shard),
        owner_lock(context.total, shard),
    ]
    .map(|name| context.config.name(name))
}

/// `false` if another connection holds one of them, and then the channel is closed.
async fn declare(context: &Context, channel: &Channel, shard: u32) -> lapin::Result<bool> {
    for name in names(context, shard) {
        if !lock::take(channel, &name).await? {
            return Ok(false);
        }
    }
    Ok(true)
}
