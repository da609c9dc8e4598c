//! What the processes of gateway-ingest tell each other on Redis: who lives, and which shards it may hold.
//!
//! These are hints. The locks on RabbitMQ are what counts.

use std::{
    collections::{BTreeMap, BTreeSet},
    ops::RangeInclusive,
    sync::Arc,
    time::Duration,
};

use dispatch_proto::redis::{
    GIVEN_AWAY, INGESTS, OWNERS_HASH, OWNERS_VERSION, PLAN, ingest_alive, shard_field,
};
use redis::{AsyncCommands, RedisResult};
use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use super::context::Context;
use crate::core::share::{Member, View};

/// How long a process counts as alive after its last sign of life, and a plan as agreed.
pub(super) const ALIVE_MILLIS: u64 = 5_000;

/// So often the owners are read whatever their version says: a process of the version before does not change it.
const AGAIN: Duration = Duration::from_secs(5);

/// What a process says of itself.
#[derive(Debug, Deserialize, Serialize)]
struct Sign {
    total: u32,
    /// First and last of the shards that it may hold; any, if there are none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    range: Option<(u32, u32)>,
}

/// The owners, as they were read last.
#[derive(Debug, Default)]
pub(crate) struct Owners {
    /// What [`OWNERS_VERSION`] was before they were read, and when that was.
    read: Option<(Option<String>, Instant)>,
    of: BTreeMap<u32, String>,
    /// Shards of which Redis names this process as the owner.
    pub(crate) named: BTreeSet<u32>,
}

/// What Redis said.
#[derive(Debug)]
pub(crate) struct Look {
    pub(crate) view: View,
    pub(crate) owners: Arc<Owners>,
    /// The number of shards that was agreed on.
    pub(crate) plan: Option<u32>,
}

/// Gives a sign of life and reads those of the others. `able`: this process can own shards. `known`: the owners, as they were read
/// last.
pub(crate) async fn look(
    context: &Context,
    known: Arc<Owners>,
    range: Option<&RangeInclusive<u32>>,
    able: bool,
) -> RedisResult<Look> {
    let sign = Sign {
        total: context.total,
        range: range.map(|range| (*range.start(), *range.end())),
    };
    let sign = serde_json::to_string(&sign).unwrap_or_default();
    let mut redis = context.config.redis.connection().await?;
    let mut pipe = redis::pipe();
    if able {
        let alive = context.config.name(ingest_alive(&context.instance));
        pipe.pset_ex(alive, sign, ALIVE_MILLIS).ignore();
        pipe.sadd(context.config.name(INGESTS), &context.instance)
            .ignore();
    }
    // Renewed by everybody who goes by it.
    pipe.cmd("SET")
        .arg(context.config.name(PLAN))
        .arg(context.total);
    pipe.arg("NX").arg("PX").arg(ALIVE_MILLIS).ignore();
    pipe.pexpire(context.config.name(PLAN), ALIVE_MILLIS as i64)
        .ignore();
    pipe.get(context.config.name(PLAN))
        .smembers(context.config.name(INGESTS))
        .get(context.config.name(OWNERS_VERSION));
    type Read = (Option<String>, BTreeSet<String>, Option<String>);
    let (plan, names, version): Read = pipe.query_async(&mut redis).await?;
    let plan = plan.and_then(|plan| plan.parse().ok());

    let owners = if known.are_current(version.as_ref()) {
        known
    } else {
        let read = Some((version, Instant::now()));
        let fields = redis.hgetall(context.config.name(OWNERS_HASH)).await?;
        Arc::new(Owners::new(read, context, &fields))
    };
    let asked: BTreeSet<&String> = names.iter().chain(owners.of.values()).collect();
    let keys: Vec<String> = asked
        .iter()
        .map(|name| context.config.name(ingest_alive(name)).into_owned())
        .collect();
    let signs: Vec<Option<String>> = match keys.as_slice() {
        [] => Vec::new(),
        keys => redis::cmd("MGET").arg(keys).query_async(&mut redis).await?,
    };
    let mut view = View::default();
    let mut dead = Vec::new();
    for (name, sign) in asked.into_iter().zip(signs) {
        let Some(sign) = sign else {
            dead.push(name.clone());
            continue;
        };
        view.alive.insert(name.clone());
        // The older version's sign says nothing of what the process may hold, and it gives nothing away.
        if let Ok(sign) = serde_json::from_str::<Sign>(&sign)
            && sign.total == context.total
        {
            let range = sign.range.map(|(first, last)| first..=last);
            view.members.insert(name.clone(), Member { range });
        }
    }
    dead.retain(|name| names.contains(name));
    if !dead.is_empty() {
        let _: () = redis::cmd("SREM")
            .arg(context.config.name(INGESTS))
            .arg(&dead)
            .query_async(&mut redis)
            .await?;
    }
    view.owners.clone_from(&owners.of);
    Ok(Look { view, owners, plan })
}

impl Owners {
    fn new(
        read: Option<(Option<String>, Instant)>,
        context: &Context,
        fields: &BTreeMap<String, String>,
    ) -> Self {
        Self {
            read,
            of: owners_of(context.total, fields),
            named: named(context.total, fields, &context.instance),
        }
    }

    /// Whether Redis holds no others, as far as its version says.
    fn are_current(&self, version: Option<&String>) -> bool {
        let read = self.read.as_ref();
        read.is_some_and(|(known, at)| known.as_ref() == version && at.elapsed() < AGAIN)
    }
}

/// Says what this process goes by, whatever Redis says: it holds shards.
pub(crate) async fn say_plan(context: &Context) -> RedisResult<()> {
    let mut pipe = redis::pipe();
    pipe.pset_ex(context.config.name(PLAN), context.total, ALIVE_MILLIS)
        .ignore();
    pipe.exec_async(&mut context.config.redis.connection().await?)
        .await
}

/// The process ends: others need not wait for its sign of life to run out. With the last one ends what was agreed on.
pub(crate) async fn leave(context: &Context) -> RedisResult<()> {
    let mut redis = context.config.redis.connection().await?;
    let mut pipe = redis::pipe();
    pipe.del(context.config.name(ingest_alive(&context.instance)))
        .ignore();
    pipe.srem(context.config.name(INGESTS), &context.instance)
        .ignore();
    pipe.scard(context.config.name(INGESTS));
    let (others,): (u64,) = pipe.query_async(&mut redis).await?;
    if others == 0 {
        let _: () = redis::cmd("DEL")
            .arg(context.config.name(PLAN))
            .query_async(&mut redis)
            .await?;
    }
    Ok(())
}

/// The owner of each shard of `total`. Under the older version's name stands who owned the shard last, of whatever version.
fn owners_of(total: u32, fields: &BTreeMap<String, String>) -> BTreeMap<u32, String> {
    let owner = |shard: u32| {
        let older = fields.get(&shard.to_string());
        let owner = older.or_else(|| fields.get(&shard_field(total, shard)))?;
        (owner != GIVEN_AWAY).then(|| (shard, owner.clone()))
    };
    (0..total).filter_map(owner).collect()
}

/// The shards of which `me` is the owner under both names.
fn named(total: u32, fields: &BTreeMap<String, String>, me: &str) -> BTreeSet<u32> {
    let is_me = |field: String| fields.get(&field).is_some_and(|owner| owner == me);
    (0..total)
        .filter(|shard| is_me(shard.to_string()) && is_me(shard_field(total, *shard)))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn owners_are_read_under_both_names() {
        let fields = [
            ("2:0", "a"),
            ("0", "b"),
            ("2:1", GIVEN_AWAY),
            ("4:1", "c"),
            ("3", "d"),
            ("2:3", "d"),
        ];
        let fields = fields.map(|(field, owner)| (field.to_owned(), owner.to_owned()));
        let fields = BTreeMap::from(fields);
        let owners = owners_of(2, &fields);
        assert_eq!(owners, BTreeMap::from([(0, "b".to_owned())]));
        assert_eq!(named(4, &fields, "d"), BTreeSet::new());
        assert_eq!(named(2, &fields, "a"), BTreeSet::new());
        let both = ["1", "4:1"].map(|field| (field.to_owned(), "c".to_owned()));
        assert_eq!(named(4, &BTreeMap::from(both), "c"), BTreeSet::from([1]));
    }
}
