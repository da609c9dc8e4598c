//! What gateway-ingest keeps on Redis.

mod scripts;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use dispatch_proto::{
    redis::{
        BOT_USER, GIVEN_AWAY, OWNERS_HASH, PLAN, REFUSED_SHARDS, SESSION_STARTS_HASH, SESSIONS,
        SESSIONS_HASH, SHARDS, STATUSES_HASH, shard_field,
    },
    session::SessionRecord,
};
use dispatch_service::{backoff::Backoff, clock::unix_micros, redis_link::RedisLink};
use redis::{FromRedisValue, Pipeline, RedisResult};
use serde::{Deserialize, de::DeserializeOwned};
use tokio::time::{Instant, MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;
use twilight_model::util::Timestamp;

use super::{Conditions, context::Context, members};
use crate::{
    config::Config,
    core::{
        resume::{Inherited, Stored, StoredTotal, resumable, shared_records},
        status::Status,
    },
    metrics,
};

/// How often what has changed is stored. After a crash Discord replays what was confirmed since, and the writer drops it.
const EVERY: Duration = Duration::from_secs(1);
/// How often everything is stored, changed or not: Redis may have lost it without our noticing.
const ALL_EVERY: Duration = Duration::from_secs(15);
/// Longest time to store what a shard that goes leaves behind. What is not stored then Discord sends again.
const LEAVE_LIMIT: Duration = Duration::from_secs(2);

/// Writes sessions, statuses and the keys that others read, until `stop`; then a last time.
pub(crate) async fn keep(context: Arc<Context>, seen: Arc<Conditions>, stop: CancellationToken) {
    let connected = &seen.redis;
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
        let stored = store(&context, urgent).await;
        stale |= stored.as_ref().is_ok_and(|stored| *stored);
        let mut result = stored.map(drop);
        // The shards that have ended have left their last word.
        stale |= stopping;
        if result.is_ok() && stale && !urgent {
            result = scripts::summarise(&context).await;
            stale = result.is_err();
        }
        if result.is_ok() && stopping {
            result = members::leave(&context).await;
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

/// Stores what has changed; `true` if there was anything. If it is urgent, only sessions that have begun.
async fn store(context: &Context, urgent: bool) -> RedisResult<bool> {
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
    // With each new session, and again now and then, as everything.
    let starts = context.table.starts(statuses.keys().copied());
    let mut refused = BTreeSet::new();
    for (hash, values) in [
        (SESSIONS_HASH, &sessions),
        (STATUSES_HASH, &statuses),
        (SESSION_STARTS_HASH, &starts),
    ] {
        if values.is_empty() {
            continue;
        }
        match scripts::store(context, hash, values).await {
            Ok(shards) => refused.extend(shards),
            Err(error) => {
                let all = sessions.keys().chain(statuses.keys()).copied();
                context.table.give_back(all);
                return Err(error);
            }
        }
    }
    if !refused.is_empty() {
        metrics::sessions_refused(refused.len());
        tracing::warn!(
            shards = ?refused,
            "sessions not stored: redis does not name this process as the owner of these shards"
        );
        context.table.give_back(refused);
    }
    Ok(!sessions.is_empty() || !statuses.is_empty())
}

/// Gauges and readiness, from what the shards said last.
fn observe(context: &Context, seen: &Conditions) {
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

fn parsed<T: DeserializeOwned>(texts: &[String]) -> Vec<T> {
    texts
        .iter()
        .filter_map(|text| serde_json::from_str(text).ok())
        .collect()
}

fn json(value: &impl serde::Serialize) -> String {
    serde_json::to_string(value).unwrap_or_default()
}

/// What was there before.
pub(crate) async fn inherited(config: &Config) -> Inherited {
    let mut pipe = redis::pipe();
    pipe.get(config.name(SESSIONS))
        .get(config.name(SHARDS))
        .get(config.name(REFUSED_SHARDS))
        .hvals(config.name(SESSIONS_HASH));
    type Read = (Option<String>, Option<String>, Option<String>, Vec<String>);
    let (sessions, total, refused, own): Read = until_done(&config.redis, &pipe).await;
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

/// Id of the user in the cache of twilight-dispatch; `None` once Dispatch has been there.
pub(crate) async fn predecessors_user(config: &Config) -> Option<u64> {
    let mut pipe = redis::pipe();
    pipe.get(config.name(BOT_USER))
        .exists(config.name(OWNERS_HASH));
    let (user, followed): (Option<String>, bool) = until_done(&config.redis, &pipe).await;
    user_id(&user.filter(|_| !followed)?)
}

/// The id in a user's JSON text.
fn user_id(text: &str) -> Option<u64> {
    #[derive(Deserialize)]
    struct User {
        id: String,
    }
    serde_json::from_str::<User>(text).ok()?.id.parse().ok()
}

/// Discord has refused the number of shards: the next start is not to use it by itself.
pub(crate) async fn refuse_total(context: &Context) {
    let mut pipe = redis::pipe();
    pipe.set(context.config.name(REFUSED_SHARDS), context.total)
        .ignore();
    pipe.del(context.config.name(PLAN)).ignore();
    until_done(&context.config.redis, &pipe).await
}

/// The process that Redis names as the shard's owner.
pub(crate) async fn owner(context: &Context, shard: u32) -> Option<String> {
    let mut pipe = redis::pipe();
    // Under the older version's name stands who owned the shard last, of whatever version.
    pipe.hget(context.config.name(OWNERS_HASH), shard);
    pipe.hget(
        context.config.name(OWNERS_HASH),
        shard_field(context.total, shard),
    );
    let (older, owner): (Option<String>, Option<String>) =
        until_done(&context.config.redis, &pipe).await;
    older.or(owner)
}

/// A shard that this process has just begun to own.
#[derive(Debug)]
pub(crate) struct Owned {
    pub(crate) shard: u32,
    /// Whether another process has owned the shard since this one last did.
    pub(crate) taken: bool,
    /// Whether the owner before has given the shard away.
    pub(crate) given: bool,
    /// The session that is stored.
    record: Option<String>,
}

impl Owned {
    /// The session that the shard may resume. `running`: whatever `RESUME` says, because it is not from before this process.
    pub(crate) fn session(&self, context: &Context, running: bool) -> Option<SessionRecord> {
        if !context.config.resume && !running {
            return None;
        }
        let stored = Stored {
            own: self.record.clone(),
            shared: context.inherited.sessions.get(&self.shard).cloned(),
            total: context.inherited.total.total,
        };
        resumable(&stored, self.shard, context.total)
    }
}

/// Names this process as the owner of these shards, whose locks it holds.
pub(crate) async fn own(context: &Context, shards: &[u32]) -> Vec<Owned> {
    let mut backoff = Backoff::default();
    let answers = loop {
        match scripts::own(context, shards).await {
            Ok(answers) => break answers,
            Err(error) => {
                let delay = backoff.next_delay();
                tracing::warn!(%error, retry_in_ms = delay.as_millis(), "redis does not answer");
                tokio::time::sleep(delay).await;
            }
        }
    };
    let owned = shards.iter().zip(answers).map(|(shard, (owner, record))| {
        let owner = owner.filter(|owner| *owner != context.instance);
        Owned {
            shard: *shard,
            taken: owner.is_some(),
            given: owner.is_some_and(|owner| owner == GIVEN_AWAY),
            record,
        }
    });
    owned.collect()
}

/// Stores what is known of shards that have ended in this process, and clears the owner. `given`: they were given away so that all
/// processes hold as many.
pub(crate) async fn leave(context: &Context, shards: &[u32], given: bool) {
    let left: Vec<_> = (shards.iter())
        .filter_map(|shard| Some((*shard, context.table.remove(*shard)?)))
        .collect();
    let left = scripts::leave(context, &left, given);
    let stored = async {
        match tokio::time::timeout(LEAVE_LIMIT, left).await {
            Ok(stored) => stored.map_err(|error| error.to_string()),
            Err(_) => Err("no answer".to_owned()),
        }
    };
    if let Err(error) = stored.await {
        tracing::warn!(
            ?shards,
            error,
            "the last sequences are not stored; discord will send some events again"
        );
    }
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
    Timestamp::from_micros(unix_micros() as i64)
        .map(|now| now.iso_8601().to_string())
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cached_user_has_an_id() {
        assert_eq!(user_id(r#"{"name":"a","id":"12"}"#), Some(12));
        assert_eq!(user_id(r#"{"id":null}"#), None);
        assert_eq!(user_id("x"), None);
    }
}
