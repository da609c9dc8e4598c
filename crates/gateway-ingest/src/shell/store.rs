//! What gateway-ingest keeps on Redis.

use std::{sync::Arc, time::Duration};

use dispatch_proto::{
    redis::{OWNERS_HASH, SESSIONS, SESSIONS_HASH, SHARDS, STARTED, STATUSES, STATUSES_HASH},
    session::{SessionRecord, ShardStatus},
};
use dispatch_service::{backoff::Backoff, health::Condition};
use redis::{FromRedisValue, Pipeline, RedisResult, Script, aio::ConnectionManager};
use serde::de::DeserializeOwned;
use tokio::time::{Instant, MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;
use twilight_model::util::Timestamp;

use super::context::{Context, unix_time};
use crate::{
    core::{
        resume::{Stored, resumable},
        status::Status,
    },
    metrics,
};

/// How often sessions that move are stored: a crash makes Discord replay what was confirmed since.
const SESSIONS_EVERY: Duration = Duration::from_millis(250);
/// How often what others read is refreshed.
const SUMMARY_EVERY: Duration = Duration::from_secs(1);

/// Stores a session only for the shard's owner: a process that lost a shard while it was frozen must not overwrite what its
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
    let mut redis = context.redis.clone();
    let mut tick = interval(SESSIONS_EVERY);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut summarised: Option<Instant> = None;
    loop {
        let stopping = tokio::select! {
            () = stop.cancelled() => true,
            () = context.book.urgent.notified() => false,
            _ = tick.tick() => false,
        };
        let mut result = store_sessions(&context, &script, &mut redis).await;
        if stopping || summarised.is_none_or(|at| at.elapsed() >= SUMMARY_EVERY) {
            summarised = Some(Instant::now());
            let statuses = observe(&context, &seen);
            if result.is_ok() {
                result = summarise(&context, &mut redis, &statuses).await;
            }
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

async fn store_sessions(
    context: &Context,
    script: &Script,
    redis: &mut ConnectionManager,
) -> RedisResult<()> {
    let changed = context.book.take_changed();
    if changed.is_empty() {
        return Ok(());
    }
    let mut call = script.prepare_invoke();
    call.key(OWNERS_HASH)
        .key(SESSIONS_HASH)
        .arg(&context.instance);
    for record in &changed {
        call.arg(record.shard).arg(json(record));
    }
    match call.invoke_async::<Vec<u32>>(redis).await {
        Ok(refused) if refused.is_empty() => Ok(()),
        Ok(refused) => {
            metrics::sessions_refused(refused.len());
            tracing::warn!(shards = ?refused, "sessions not stored: another process owns the shards");
            Ok(())
        }
        Err(error) => {
            context
                .book
                .give_back(changed.iter().map(|record| record.shard));
            Err(error)
        }
    }
}

/// Gauges and readiness, from what the shards said last.
fn observe(context: &Context, seen: &Seen) -> Vec<ShardStatus> {
    let statuses = context.book.statuses();
    let count = |wanted: Status| {
        statuses
            .iter()
            .filter(|(status, _)| *status == wanted)
            .count()
    };
    metrics::shards(statuses.len());
    metrics::statuses(count);
    metrics::buffered(context.buffered());
    seen.shards.set(count(Status::Connected) == statuses.len());
    let full = context.book.count_full();
    metrics::full_shards(full);
    if seen.buffer.is_met() && full > 0 {
        tracing::warn!(
            shards = full,
            "BUFFER_BYTES are used up, not reading from discord"
        );
    }
    seen.buffer.set(full == 0);
    statuses.into_iter().map(|(_, status)| status).collect()
}

/// Rewrites the keys that others read. They are put together from the hashes, to which every replica adds its own shards.
async fn summarise(
    context: &Context,
    redis: &mut ConnectionManager,
    statuses: &[ShardStatus],
) -> RedisResult<()> {
    let mut read = redis::pipe();
    for status in statuses {
        read.hset(STATUSES_HASH, status.shard, json(status))
            .ignore();
    }
    read.hvals(SESSIONS_HASH).hvals(STATUSES_HASH);
    let (sessions, statuses): (Vec<String>, Vec<String>) = read.query_async(redis).await?;
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
        .query_async(redis)
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
    sessions: Option<String>,
    total: Option<u32>,
}

/// Records the start, and returns what was there before.
pub(crate) async fn started(redis: &ConnectionManager) -> Inherited {
    let mut pipe = redis::pipe();
    pipe.get(SESSIONS)
        .get(SHARDS)
        .set(STARTED, timestamp())
        .ignore();
    let (sessions, total): (Option<String>, Option<String>) = until_done(redis, &pipe).await;
    Inherited {
        sessions,
        total: total.and_then(|total| total.parse().ok()),
    }
}

/// The process that Redis names as the shard's owner.
pub(crate) async fn owner(context: &Context, shard: u32) -> Option<String> {
    let mut pipe = redis::pipe();
    pipe.hget(OWNERS_HASH, shard);
    let (owner,) = until_done(&context.redis, &pipe).await;
    owner
}

/// Names this process as the shard's owner.
pub(crate) async fn own(context: &Context, shard: u32) {
    let mut pipe = redis::pipe();
    pipe.hset(OWNERS_HASH, shard, &context.instance).ignore();
    until_done(&context.redis, &pipe).await
}

/// The session that the shard may resume.
pub(crate) async fn session(context: &Context, shard: u32) -> Option<SessionRecord> {
    if !context.config.resume {
        return None;
    }
    let mut pipe = redis::pipe();
    pipe.hget(SESSIONS_HASH, shard);
    let (own,) = until_done(&context.redis, &pipe).await;
    let stored = Stored {
        own,
        shared: context.inherited.sessions.clone(),
        total: context.inherited.total,
    };
    resumable(&stored, shard, context.total)
}

/// Runs the commands until Redis has carried them out.
async fn until_done<T: FromRedisValue>(redis: &ConnectionManager, pipe: &Pipeline) -> T {
    let mut backoff = Backoff::default();
    let mut redis = redis.clone();
    loop {
        match pipe.query_async(&mut redis).await {
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
