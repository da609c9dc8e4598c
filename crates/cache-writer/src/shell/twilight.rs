//! Taking over the state that twilight-dispatch has left, before any partition applies an event.
//!
//! One writer does it, page by page, each page one transaction: what is in the cache, in the indexes, and out of
//! twilight-dispatch's lists. After a crash the next one goes on with what these still list.
//!
//! **Invariant:** a page is refused if the lock is no longer this writer's. So one that was frozen can't overwrite what has been
//! applied since.

use std::time::{Duration, Instant};

use dispatch_proto::{
    namespace::Namespace,
    redis::{BOT_USER, TWILIGHT_LOCK, TWILIGHT_STATE},
};
use dispatch_service::{
    backoff::Backoff, clock::unix_millis, health::Condition, redis_link::Connection,
};
use redis::{FromRedisValue, Pipeline, RedisError, RedisResult, Value, from_redis_value, pipe};
use thiserror::Error;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use super::store::Databases;
use crate::{
    config::Config,
    core::{
        entity::Index,
        layout::index,
        twilight::{self, EXPIRIES, Found, GUILDS, SETS, Takeover},
    },
    metrics,
};

/// Keys of a step: at some KB each, what Redis and this process have in hand at once.
const PAGE: usize = 200;
/// How long the lock outlives its holder.
const LOCK_MS: u64 = 10_000;
/// How often a writer that waits looks again.
const LOOK: Duration = Duration::from_millis(250);
/// How often the log says how far it is.
const REPORT: Duration = Duration::from_secs(10);

#[derive(Debug, Error)]
enum Interrupted {
    #[error("another writer has gone on with it")]
    Lost,
    #[error("the process was asked to end")]
    Stopped,
    #[error("redis: {0}")]
    Redis(#[from] RedisError),
}

/// Returns when nothing of twilight-dispatch's state is left to be taken over; false if the process is asked to end first.
pub(super) async fn take_over(
    config: &Config,
    redis_up: &Condition,
    stop: &CancellationToken,
) -> bool {
    if config.namespace != Namespace::default() {
        // twilight-dispatch knows of none.
        return true;
    }
    let mut backoff = Backoff::default();
    while !stop.is_cancelled() {
        let attempt = stop.run_until_cancelled(attempt(config, stop)).await;
        match attempt {
            Some(Ok(true)) => return true,
            Some(Ok(false) | Err(Interrupted::Lost)) => {
                redis_up.set(true);
                stop.run_until_cancelled(sleep(LOOK)).await;
            }
            None | Some(Err(Interrupted::Stopped)) => break,
            Some(Err(Interrupted::Redis(error))) => {
                redis_up.set(false);
                let delay = backoff.next_delay();
                tracing::warn!(%error, retry_in_ms = delay.as_millis(), "redis failed; what twilight-dispatch has left is taken over later");
                stop.run_until_cancelled(sleep(delay)).await;
            }
        }
    }
    false
}

/// Whether it is done. Not yet, if another writer is at it.
async fn attempt(config: &Config, stop: &CancellationToken) -> Result<bool, Interrupted> {
    let mut connection = config.redis.connection().await?;
    let looked = look(&mut connection).await?;
    if !looked.left {
        if looked.state.as_deref() != Some("done") {
            let () = pipe()
                .cmd("SET")
                .arg(TWILIGHT_STATE)
                .arg("done")
                .ignore()
                .query_async(&mut connection)
                .await?;
        }
        return Ok(true);
    }
    let token = format!("{:032x}", rand::random::<u128>());
    let (locked,): (Option<String>,) = pipe()
        .cmd("SET")
        .arg(TWILIGHT_LOCK)
        .arg(&token)
        .arg("NX")
        .arg("PX")
        .arg(LOCK_MS)
        .query_async(&mut connection)
        .await?;
    if locked.is_none() {
        return Ok(false);
    }
    let state = match looked.state.as_deref() {
        // Of a version that did not take the state over.
        None if looked.dispatch => "ours",
        Some("ours") => "ours",
        _ => "theirs",
    };
    let bot = looked.bot.as_deref().and_then(twilight::user_id);
    let mut work = Work {
        connection,
        databases: Databases::new(config),
        takeover: Takeover {
            settings: config.state.clone(),
            bot,
            dispatch_since: state == "ours",
            now_ms: unix_millis(),
        },
        token,
        stop,
        kept: 0,
        removed: 0,
        reported: Instant::now(),
    };
    tracing::info!("taking over the state that twilight-dispatch has left");
    work.all(state).await?;
    tracing::info!(
        kept = work.kept,
        removed = work.removed,
        "the state that twilight-dispatch has left is taken over"
    );
    Ok(true)
}

/// What is there at the start.
struct Looked {
    state: Option<String>,
    /// Whether Dispatch has a cache there.
    dispatch: bool,
    bot: Option<String>,
    /// Whether anything of twilight-dispatch is.
    left: bool,
}

async fn look(connection: &mut Connection) -> RedisResult<Looked> {
    let mut pipe = pipe();
    pipe.cmd("GET").arg(TWILIGHT_STATE);
    pipe.cmd("EXISTS").arg(index::key(Index::Guilds));
    pipe.cmd("GET").arg(BOT_USER);
    for set in SETS {
        pipe.cmd("TYPE").arg(set);
    }
    pipe.cmd("TYPE").arg(EXPIRIES);
    let mut replies: Vec<Value> = pipe.query_async(connection).await?;
    let expiries: String = from_redis_value(replies.pop().unwrap_or(Value::Nil))?;
    let sets: Vec<String> = from_redis_value(Value::Array(replies.split_off(3)))?;
    let (state, dispatch, bot) = from_redis_value(Value::Array(replies))?;
    // Of another type, they are somebody else's.
    let left = sets.iter().any(|kind| kind == "set") || expiries == "hash";
    Ok(Looked {
        state,
        dispatch,
        bot,
        left,
    })
}

/// The work of the writer that has the lock.
struct Work<'a> {
    connection: Connection,
    databases: Databases,
    takeover: Takeover,
    token: String,
    stop: &'a CancellationToken,
    kept: u64,
    removed: u64,
    reported: Instant,
}

impl Work<'_> {
    async fn all(&mut self, state: &str) -> Result<(), Interrupted> {
        let mut begin = pipe();
        begin.cmd("SET").arg(TWILIGHT_STATE).arg(state);
        self.watched(&[], &pipe()).await?;
        self.execute(begin).await?;
        self.page(&[BOT_USER.into()], EXPIRIES, None).await?;
        self.guilds().await?;
        for set in SETS {
            self.drain(set, None).await?;
        }
        self.drain(EXPIRIES, None).await?;
        let mut end = pipe();
        end.cmd("SET").arg(TWILIGHT_STATE).arg("done");
        end.cmd("UNLINK").arg(TWILIGHT_LOCK);
        self.watched(&[], &pipe()).await?;
        self.execute(end).await
    }

    /// Each guild after what belongs to it.
    async fn guilds(&mut self) -> Result<(), Interrupted> {
        let mut cursor = 0;
        loop {
            let (next, keys) = self.scan(GUILDS, cursor).await?;
            for key in &keys {
                let guild = std::str::from_utf8(key).ok().and_then(twilight::guild_of);
                if let Some(guild) = guild {
                    self.drain(&format!("{GUILDS}:{guild}"), Some(guild))
                        .await?;
                }
            }
            cursor = next;
            if cursor == 0 {
                return Ok(());
            }
        }
    }

    /// Works off all that a set, or the hash, lists.
    async fn drain(&mut self, list: &str, guild: Option<u64>) -> Result<(), Interrupted> {
        loop {
            let (mut cursor, mut found) = (0, false);
            loop {
                let (next, keys) = self.scan(list, cursor).await?;
                for page in keys.chunks(PAGE) {
                    found = true;
                    self.page(page, list, guild).await?;
                }
                cursor = next;
                if cursor == 0 {
                    break;
                }
            }
            // A set that shrinks under a scan may keep some from it.
            if !found {
                return Ok(());
            }
        }
    }

    async fn scan(&mut self, list: &str, cursor: u64) -> Result<(u64, Vec<Vec<u8>>), Interrupted> {
        let (kind,): (String,) = self.query(pipe().cmd("TYPE").arg(list)).await?;
        let command = match kind.as_str() {
            "set" => "SSCAN",
            "hash" => "HSCAN",
            _ => return Ok((0, Vec::new())),
        };
        let mut scan = pipe();
        scan.cmd(command)
            .arg(list)
            .arg(cursor)
            .arg("COUNT")
            .arg(PAGE);
        let ((next, mut keys),): ((u64, Vec<Vec<u8>>),) = self.query(&scan).await?;
        if kind == "hash" {
            // Fields and values in turn.
            keys = keys.into_iter().step_by(2).collect();
        }
        keys.sort_unstable();
        keys.dedup();
        Ok((next, keys))
    }

    /// Takes over the objects of some keys, and has `list` list them no more, whosever they are.
    async fn page(
        &mut self,
        keys: &[Vec<u8>],
        list: &str,
        guild: Option<u64>,
    ) -> Result<(), Interrupted> {
        if self.stop.is_cancelled() {
            return Err(Interrupted::Stopped);
        }
        let mut reads = pipe();
        reads.cmd("MGET").arg(keys);
        reads.cmd("HMGET").arg(EXPIRIES).arg(keys);
        let mut replies = self.watched(keys, &reads).await?;
        let values = texts(replies.next());
        let expiries = texts(replies.next());
        let found: Vec<_> = keys
            .iter()
            .enumerate()
            .filter_map(|(at, key)| {
                Some(Found {
                    // One that is not text is no key of theirs.
                    key: std::str::from_utf8(key).ok()?,
                    value: values.get(at)?.as_deref(),
                    expiry: expiries.get(at).and_then(Option::as_deref),
                })
            })
            .collect();
        self.takeover.now_ms = unix_millis();
        let page = self.takeover.page(&found, guild);
        let mut transaction = pipe();
        self.databases
            .add_writes(&mut transaction, page.commands(&self.takeover));
        for (set, keys) in &page.unlisted {
            transaction.cmd("SREM").arg(set).arg(keys);
        }
        transaction.cmd("HDEL").arg(EXPIRIES).arg(keys);
        if list != EXPIRIES {
            transaction.cmd("SREM").arg(list).arg(keys);
        }
        self.execute(transaction).await?;
        self.kept += page.kept;
        self.removed += page.removed;
        metrics::twilight_objects(page.kept, page.removed);
        if self.reported.elapsed() > REPORT {
            self.reported = Instant::now();
            tracing::info!(kept = self.kept, removed = self.removed, "taking over");
        }
        Ok(())
    }

    /// Begins to watch the lock and these keys, reads, and returns the replies.
    async fn watched(
        &mut self,
        keys: &[Vec<u8>],
        reads: &Pipeline,
    ) -> Result<std::vec::IntoIter<RedisResult<Value>>, Interrupted> {
        let mut pipe = pipe();
        // A writer of a version that knows nothing of this may be at work.
        pipe.cmd("WATCH").arg(TWILIGHT_LOCK).arg(keys);
        pipe.cmd("GET").arg(TWILIGHT_LOCK);
        for command in reads.cmd_iter() {
            pipe.add_command(command.clone());
        }
        let replies: Vec<RedisResult<Value>> = self.query(pipe.ignore_errors()).await?;
        let mut replies = replies.into_iter();
        replies.next().transpose()?;
        let holder = replies
            .next()
            .transpose()?
            .map(from_redis_value::<Option<String>>);
        let holder = holder.transpose().map_err(RedisError::from)?.flatten();
        match holder {
            Some(holder) if holder == self.token => Ok(replies),
            _ => Err(Interrupted::Lost),
        }
    }

    /// Runs a transaction under the lock, which it makes last longer.
    async fn execute(&mut self, mut transaction: Pipeline) -> Result<(), Interrupted> {
        transaction.cmd("PEXPIRE").arg(TWILIGHT_LOCK).arg(LOCK_MS);
        transaction.atomic().ignore_errors();
        let replies: Option<Vec<RedisResult<Value>>> = self.query(&transaction).await?;
        let replies = replies.ok_or(Interrupted::Lost)?;
        // As in a batch: a key of a foreign type must not hold everything up.
        let mut refused = replies.into_iter().filter_map(RedisResult::err).peekable();
        if let Some(error) = refused.peek() {
            tracing::error!(%error, "redis refused a write of the cache");
            metrics::store_errors(refused.count());
        }
        Ok(())
    }

    async fn query<T: FromRedisValue>(&mut self, pipe: &Pipeline) -> RedisResult<T> {
        pipe.query_async(&mut self.connection).await
    }
}

/// The texts of a list; none where there is no value, or one that is not text.
fn texts(reply: Option<RedisResult<Value>>) -> Vec<Option<String>> {
    let values: Option<Vec<Option<Vec<u8>>>> =
        reply.and_then(|reply| from_redis_value(reply.ok()?).ok());
    let text = |value: Option<Vec<u8>>| String::from_utf8(value?).ok();
    values.unwrap_or_default().into_iter().map(text).collect()
}
