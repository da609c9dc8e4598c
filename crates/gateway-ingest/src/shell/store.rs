//! What gateway-ingest keeps on Redis.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use dispatch_proto::{
    redis::{
        OWNERS_HASH, REFUSED_SHARDS, SESSIONS, SESSIONS_HASH, SHARDS, STARTED, STATUSES,
        STATUSES_HASH, ingest_alive,
    },
    session::{SessionRecord, ShardStatus},
};
use dispatch_service::{backoff::Backoff, health::Condition, redis_link::RedisLink};
use redis::{FromRedisValue, Pipeline, RedisResult, Script};
use serde::de::DeserializeOwned;
use tokio::time::{Instant, MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;
use twilight_model::util::Timestamp;

use super::{
    claim,
    context::{Context, unix_time},
};
use crate::{
    core::{
        resume::{Stored, StoredTotal, resumable, shared_records},
        status::Status,
    },
    metrics,
};

/// How often what has changed is stored. After a crash Discord replays what was confirmed since, and the writer drops it.
const EVERY: Duration = Duration::from_secs(1);
/// How often everything is stored, changed or not: Redis may have lost it without our noticing.
const ALL_EVERY: Duration = Duration::from_secs(15);
/// How long a process counts as alive after its last sign of life.
const ALIVE_MILLIS: u64 = 5_000;

/// Stores a session or a status only for the shard's owner: a process that lost a shard while it was frozen must not overwrite what its
/// successor stored. On a Redis that lost its data the first to write becomes the owner. Returns the shards refused.
const STORE: &str = r"
local refused = {}
for i = 2, #ARGV, 2 do
  local shard = ARGV[i]
  local owner = redis.call('HGET', KEYS[1], shard)
  if not owner then
    redis.call('HSET', KEYS[1], shard, ARGV[1])
    owner = ARGV[1]
  end
  if owner == ARGV[1] then
    redis.call('HSET', KEYS[2], shard, ARGV[i + 1])
  else
    table.insert(refused, tonumber(shard))
  end
end
return refused";

/// What the keeper finds out, for readiness.
pub(crate) struct Seen {
    /// Redis takes what is written.
    pub(crate) redis: Condition,
    /// Every shard is connected.
    pub(crate) shards: Condition,
    /// Every shard has room for what it reads.
    pub(crate) buffer: Condition,
}

/// Writes sessions, statuses and the keys that others read, until `stop`; then a last time.
pub(crate) async fn keep(context: Arc<Context>, seen: Seen, stop: CancellationToken) {
    let connected = &seen.redis;
    let script = Script::new(STORE);
    let mut tick = interval(EVERY);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut all_at = Instant::now();
    // Whether something was stored that the public keys don't show yet.
    let mut stale = false;
    loop {
        let (stopping, urgent) = tokio::select! {
            () = stop.cancelled() => (true, false),
            () = context.table.urgent.notified() => (false, true),
            _ = tick.tick() => (false, false),
        };
        if !urgent {
            observe(&context, &seen);
        }
        if all_at.elapsed() >= ALL_EVERY || !connected.is_met() {
            all_at = Instant::now();
            context.table.all_changed();
        }
        let stored = store(&context, &script, urgent).await;
        stale |= stored.as_ref().is_ok_and(|stored| *stored);
        let mut result = stored.map(drop);
        if result.is_ok() && !urgent {
            result = show_life(&context, stopping).await;
        }
        if result.is_ok() && stale && !urgent {
            result = summarise(&context).await;
            stale = result.is_err();
        }
        if let Err(error) = &result
            && connected.is_met()
        {
            tracing::warn!(%error, "cannot write to redis, trying again");
        }
        connected.set(result.is_ok());
        if stopping {
            return;
        }
    }
}

/// Stores what has changed of own shards; `true` if there was anything. If it is urgent, only sessions that have begun.
async fn store(context: &Context, script: &Script, urgent: bool) -> RedisResult<bool> {
    let sessions: BTreeMap<u32, String> = (context.table.take_changed(urgent).iter())
        .map(|record| (record.shard, json(record)))
        .collect();
    let statuses: BTreeMap<u32, String> = if urgent {
        BTreeMap::new()
    } else {
        let changed = context.table.take_statuses();
        (changed.iter())
            .map(|status| (status.shard, json(status)))
            .collect()
    };
    let mut refused = Vec::new();
    for (hash, values) in [(SESSIONS_HASH, &sessions), (STATUSES_HASH, &statuses)] {
        if values.is_empty() {
            continue;
        }
        let mut call = script.prepare_invoke();
        call.key(OWNERS_HASH).key(hash).arg(&context.instance);
        for (shard, value) in values {
            call.arg(*shard).arg(value);
        }
        let stored = async {
            let mut redis = context.config.redis.connection().await?;
            call.invoke_async::<Vec<u32>>(&mut redis).await
        };
        match stored.await {
            Ok(shards) => refused.extend(shards),
            Err(error) => {
                let all = sessions.keys().chain(statuses.keys()).copied();
                context.table.give_back(all);
                return Err(error);
            }
        }
    }
    refused.sort_unstable();
    refused.dedup();
    if !refused.is_empty() {
        metrics::sessions_refused(refused.len());
        // Redis may have come back with older data: the lock on RabbitMQ is what counts.
        let held = claim::held(context, &refused).await;
        tracing::warn!(
            shards = ?refused,
            held = ?held,
            "sessions not stored: redis names another owner of these shards; owning again those whose lock is held"
        );
        if !held.is_empty() {
            let mut pipe = redis::pipe();
            for shard in &held {
                pipe.hset(OWNERS_HASH, *shard, &context.instance).ignore();
            }
            context.table.give_back(held);
            pipe.exec_async(&mut context.config.redis.connection().await?)
                .await?;
        }
    }
    Ok(!sessions.is_empty() || !statuses.is_empty())
}

/// Says that this process lives and can own shards; at the end, that it does not any more.
async fn show_life(context: &Context, stopping: bool) -> RedisResult<()> {
    let key = ingest_alive(&context.instance);
    let mut pipe = redis::pipe();
    if stopping {
        pipe.del(key).ignore();
    } else if context.publishing.borrow().is_some() {
        pipe.pset_ex(key, 1, ALIVE_MILLIS).ignore();
    } else {
        return Ok(());
    }
    pipe.exec_async(&mut context.config.redis.connection().await?)
        .await
}

/// Gauges and readiness, from what the shards said last.
fn observe(context: &Context, seen: &Seen) {
    let statuses = context.table.statuses();
    let count = |wanted: Status| statuses.iter().filter(|status| **status == wanted).count();
    metrics::shards(statuses.len());
    metrics::statuses(count);
    metrics::buffered(context.buffered());
    seen.shards.set(context.table.is_ready());
    let full = context.table.count_full();
    metrics::full_shards(full);
    if seen.buffer.is_met() && full > 0 {
        tracing::warn!(
            shards = full,
            "BUFFER_BYTES are used up, not reading from discord"
        );
    }
    seen.buffer.set(full == 0);
}

/// Rewrites the keys that others read. They are put together from the hashes, to which every replica adds its own shards.
async fn summarise(context: &Context) -> RedisResult<()> {
    let mut redis = context.config.redis.connection().await?;
    let mut read = redis::pipe();
    read.hvals(SESSIONS_HASH).hvals(STATUSES_HASH);
    let (sessions, statuses): (Vec<String>, Vec<String>) = read.query_async(&mut redis).await?;
    let mut sessions: Vec<SessionRecord> = parsed(&sessions);
    sessions.retain(|record| record.shards_total == context.total && record.shard < context.total);
    sessions.sort_unstable_by_key(|record| record.shard);
    let mut statuses: Vec<ShardStatus> = parsed(&statuses);
    statuses.retain(|status| status.shard < context.total);
    statuses.sort_unstable_by_key(|status| status.shard);
    redis::pipe()
        .set(SESSIONS, json(&sessions))
        .ignore()
        .set(STATUSES, json(&statuses))
        .ignore()
        .set(SHARDS, context.total)
        .ignore()
        .query_async(&mut redis)
        .await
}

fn parsed<T: DeserializeOwned>(texts: &[String]) -> Vec<T> {
    texts
        .iter()
        .filter_map(|text| serde_json::from_str(text).ok())
        .collect()
}

fn json(value: &impl serde::Serialize) -> String {
    serde_json::to_string(value).unwrap_or_default()
}

/// What the public keys held before this process started to rewrite them: perhaps twilight-dispatch's sessions.
#[derive(Debug)]
pub(crate) struct Inherited {
    /// `gateway_sessions`, by shard.
    sessions: BTreeMap<u32, SessionRecord>,
    total: StoredTotal,
}

impl Inherited {
    /// The number of shards to go on with, if there are sessions to resume.
    pub(crate) fn total(&self) -> Option<u32> {
        self.total.kept()
    }
}

/// What was there before.
pub(crate) async fn inherited(redis: &RedisLink) -> Inherited {
    let mut pipe = redis::pipe();
    pipe.get(SESSIONS)
        .get(SHARDS)
        .get(REFUSED_SHARDS)
        .hvals(SESSIONS_HASH);
    type Read = (Option<String>, Option<String>, Option<String>, Vec<String>);
    let (sessions, total, refused, own): Read = until_done(redis, &pipe).await;
    let sessions = shared_records(&sessions.unwrap_or_default());
    let own: Vec<SessionRecord> = parsed(&own);
    let number = |text: Option<String>| text.and_then(|text| text.parse().ok());
    Inherited {
        total: StoredTotal {
            total: number(total),
            refused: number(refused),
            sessions: (sessions.values().chain(&own))
                .map(|record| record.shards_total)
                .collect(),
        },
        sessions,
    }
}

/// Discord has refused the number of shards: the next start is not to use it by itself.
pub(crate) async fn refuse_total(context: &Context) {
    let mut pipe = redis::pipe();
    pipe.set(REFUSED_SHARDS, context.total).ignore();
    until_done(&context.config.redis, &pipe).await
}

/// The process that Redis names as the shard's owner.
pub(crate) async fn owner(context: &Context, shard: u32) -> Option<String> {
    let mut pipe = redis::pipe();
    pipe.hget(OWNERS_HASH, shard);
    let (owner,) = until_done(&context.config.redis, &pipe).await;
    owner
}

/// Whether a process has given a sign of life of late.
pub(crate) async fn is_alive(context: &Context, instance: &str) -> bool {
    let mut pipe = redis::pipe();
    pipe.exists(ingest_alive(instance));
    let (alive,) = until_done(&context.config.redis, &pipe).await;
    alive
}

/// Names this process as the shard's owner. The first shard is the start of the process's work.
pub(crate) async fn own(context: &Context, shard: u32) {
    let mut pipe = redis::pipe();
    pipe.hset(OWNERS_HASH, shard, &context.instance).ignore();
    if context.table.starts() {
        pipe.set(STARTED, timestamp()).ignore();
    }
    until_done(&context.config.redis, &pipe).await
}

/// The session that the shard may resume.
pub(crate) async fn session(context: &Context, shard: u32) -> Option<SessionRecord> {
    if !context.config.resume {
        return None;
    }
    let mut pipe = redis::pipe();
    pipe.hget(SESSIONS_HASH, shard);
    let (own,) = until_done(&context.config.redis, &pipe).await;
    let stored = Stored {
        own,
        shared: context.inherited.sessions.get(&shard).cloned(),
        total: context.inherited.total.total,
    };
    resumable(&stored, shard, context.total)
}

/// Runs the commands until Redis has carried them out.
async fn until_done<T: FromRedisValue>(redis: &RedisLink, pipe: &Pipeline) -> T {
    let mut backoff = Backoff::default();
    loop {
        let done = async { pipe.query_async(&mut redis.connection().await?).await };
        match done.await {
            Ok(value) => return value,
            Err(error) => {
                let delay = backoff.next_delay();
                tracing::warn!(%error, retry_in_ms = delay.as_millis(), "redis does not answer");
                tokio::time::sleep(delay).await;
            }
        }
    }
}

/// Now, as RFC 3339 in UTC.
pub(crate) fn timestamp() -> String {
    Timestamp::from_micros(unix_time().as_micros() as i64)
        .map(|now| now.iso_8601().to_string())
        .unwrap_or_default()
}
