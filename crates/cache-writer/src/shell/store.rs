//! A partition's state on Redis: read and written only by whoever has taken the partition over last.
//!
//! **Invariant:** every write is a transaction that is refused if the partition's epoch is no longer this writer's token. So a
//! writer that was frozen or cut off while another took over can't overwrite newer state, at whatever point it wakes up.

mod commands;

use std::time::{Instant, SystemTime, UNIX_EPOCH};

use dispatch_proto::redis::PartitionKeys;
use dispatch_service::redis_link::RedisLink;
use redis::{
    FromRedisValue, Pipeline, RedisResult, Value, aio::MultiplexedConnection, from_redis_value,
    pipe,
};

use self::commands::Databases;
use crate::{
    config::Config,
    core::{
        applied::Applied,
        entity::{Entity, Index},
        layout::{self, Location, index},
        plan::Write,
        purge::Purge,
        settings::Settings,
        snapshot::{Reads, Snapshot},
    },
    error::StoreError,
    metrics,
};

/// Ids that a purge looks at in one step, so that no single command holds Redis up.
const PAGE: usize = 500;

/// One partition's link to Redis. The connection is its own: what it watches is nobody else's.
pub(super) struct Store {
    link: RedisLink,
    messages: Databases,
    connection: Option<MultiplexedConnection>,
    keys: PartitionKeys,
    /// What marks the epoch as this writer's: never used before, also after Redis has lost its data.
    token: String,
    settings: Settings,
}

/// What a predecessor left.
pub(super) struct Legacy {
    pub(super) applied: Applied,
    pub(super) journal: Option<String>,
}

impl Store {
    pub(super) fn new(config: &Config, partition: u32) -> Self {
        Self {
            link: config.redis.clone(),
            messages: Databases::new(config),
            connection: None,
            keys: PartitionKeys::new(partition),
            token: token(),
            settings: config.state.clone(),
        }
    }

    /// Makes this writer the partition's owner and reads what the last one left.
    pub(super) async fn take_over(&mut self) -> Result<Legacy, StoreError> {
        let mut pipe = pipe();
        pipe.atomic()
            .cmd("SET")
            .arg(&self.keys.epoch)
            .arg(&self.token)
            .ignore();
        self.add_legacy(&mut pipe);
        let (applied, journal) = self.query(&pipe).await?;
        Ok(legacy(applied, journal))
    }

    /// Reads the state again after a failure whose outcome is not known.
    pub(super) async fn reload(&mut self) -> Result<Legacy, StoreError> {
        self.connection = None;
        let mut pipe = pipe();
        pipe.atomic().cmd("GET").arg(&self.keys.epoch);
        self.add_legacy(&mut pipe);
        let (epoch, applied, journal) = self.query(&pipe).await?;
        self.check(epoch)?;
        Ok(legacy(applied, journal))
    }

    /// After Redis has lost its data: becomes the owner again, unless another writer was quicker.
    pub(super) async fn retake(&mut self) -> Result<(), StoreError> {
        let mut pipe = pipe();
        pipe.cmd("SET")
            .arg(&self.keys.epoch)
            .arg(&self.token)
            .arg("NX")
            .ignore();
        pipe.cmd("GET").arg(&self.keys.epoch);
        let (epoch,) = self.query(&pipe).await?;
        self.check(epoch)
    }

    /// Reads what a batch needs and begins to watch the epoch: the first round trip.
    pub(super) async fn read(&mut self, reads: &Reads) -> Result<Snapshot, StoreError> {
        let mut snapshot = Snapshot::default();
        let begun = Instant::now();
        let mut pipe = self.watch();
        self.messages
            .add_reads(&mut pipe, &self.locations(&reads.entities));
        for index in &reads.indexes {
            add_index_read(&mut pipe, *index);
        }
        let mut replies = self.watched(&pipe).await?;
        self.take_values(&mut replies, &reads.entities, &mut snapshot);
        for index in &reads.indexes {
            snapshot.insert_index(*index, replies.next().and_then(parse).unwrap_or_default());
        }
        metrics::redis_step("read", begun.elapsed().as_secs_f64());
        Ok(snapshot)
    }

    /// Reads what the indexes of [`Self::read`] lead to. The epoch is still watched.
    pub(super) async fn read_further(
        &mut self,
        entities: &[Entity],
        snapshot: &mut Snapshot,
    ) -> Result<(), StoreError> {
        let mut pipe = pipe();
        pipe.ignore_errors();
        self.messages
            .add_reads(&mut pipe, &self.locations(entities));
        let replies: Vec<RedisResult<Value>> = self.query(&pipe).await?;
        self.take_values(&mut replies.into_iter(), entities, snapshot);
        Ok(())
    }

    /// Applies a batch: entities, what is applied, and the journal, all or nothing; the second round trip.
    pub(super) async fn commit(
        &mut self,
        writes: &[Write],
        applied: &[(u32, String)],
        journal: &str,
    ) -> Result<(), StoreError> {
        let begun = Instant::now();
        let mut pipe = pipe();
        for (shard, text) in applied {
            pipe.cmd("HSET")
                .arg(&self.keys.applied)
                .arg(shard)
                .arg(text)
                .ignore();
        }
        pipe.cmd("SET")
            .arg(&self.keys.journal)
            .arg(journal)
            .ignore();
        self.execute(pipe, writes).await?;
        metrics::redis_step("commit", begun.elapsed().as_secs_f64());
        Ok(())
    }

    /// Deletes the journal: everything in it is published and confirmed, so a successor need not repeat it.
    pub(super) async fn retire(&mut self) -> Result<(), StoreError> {
        let watch = self.watch();
        self.watched(&watch).await?;
        let mut pipe = pipe();
        pipe.cmd("DEL").arg(&self.keys.journal).ignore();
        self.execute(pipe, &[]).await
    }

    /// Removes what a purge names, page by page. Whatever was removed before a failure may be removed again.
    pub(super) async fn purge(&mut self, purge: &Purge) -> Result<(), StoreError> {
        let begun = Instant::now();
        let mut cursors: Vec<(Index, u64)> = purge
            .indexes()
            .into_iter()
            .map(|index| (index, 0))
            .collect();
        while !cursors.is_empty() {
            let mut pipe = pipe();
            for (index, cursor) in &cursors {
                add_scan(&mut pipe, *index, *cursor);
            }
            let pages: Vec<(u64, Vec<String>)> = self.query(&pipe).await?;
            let mut found = Vec::new();
            for ((index, cursor), (next, ids)) in cursors.iter_mut().zip(pages) {
                *cursor = next;
                // Sorted sets answer with id and score in turn.
                let ids = ids.iter().step_by(if index.is_sorted() { 2 } else { 1 });
                found.extend(ids.filter_map(|id| index.entity(id.parse().ok()?)));
            }
            cursors.retain(|(_, cursor)| *cursor != 0);
            self.remove(purge, found).await?;
        }
        metrics::redis_step("purge", begun.elapsed().as_secs_f64());
        Ok(())
    }

    async fn remove(&mut self, purge: &Purge, mut found: Vec<Entity>) -> Result<(), StoreError> {
        let mut snapshot = Snapshot::default();
        if purge.needs_values() && !found.is_empty() {
            let deciding: Vec<_> = found
                .iter()
                .map(|entity| purge.decided_by(*entity))
                .collect();
            self.read_further(&deciding, &mut snapshot).await?;
        }
        found.retain(|entity| purge.takes(*entity, snapshot.value(purge.decided_by(*entity))));
        for before in found.iter().filter_map(|entity| Purge::before(*entity)) {
            Box::pin(self.purge(&before)).await?;
        }
        for page in found.chunks(PAGE) {
            let gone = page
                .iter()
                .flat_map(|entity| [Some(*entity), Purge::along(*entity)]);
            let writes: Vec<_> = gone.flatten().map(Write::Delete).collect();
            let watch = self.watch();
            self.watched(&watch).await?;
            self.execute(pipe(), &writes).await?;
        }
        Ok(())
    }

    /// Runs a transaction under the watched epoch.
    async fn execute(&mut self, mut pipe: Pipeline, writes: &[Write]) -> Result<(), StoreError> {
        let commands = layout::commands(writes, &self.settings, now_ms());
        self.messages.add_writes(&mut pipe, commands);
        pipe.atomic().ignore_errors();
        let replies: Option<Vec<RedisResult<Value>>> = self.query(&pipe).await?;
        let Some(replies) = replies else {
            let (epoch,) = self
                .query(redis::pipe().cmd("GET").arg(&self.keys.epoch))
                .await?;
            self.check(epoch)?;
            // The epoch was touched and is ours again: only possible if Redis lost it in between.
            return Err(StoreError::Emptied);
        };
        // What is refused within a transaction (a key of a foreign type, say) leaves the rest applied: counted, not retried,
        // or one bad key would hold the partition up for ever.
        let mut refused = replies.into_iter().filter_map(RedisResult::err).peekable();
        if let Some(error) = refused.peek() {
            tracing::error!(%error, "redis refused a write of the cache");
            metrics::store_errors(refused.count());
        }
        Ok(())
    }

    fn add_legacy(&self, pipe: &mut Pipeline) {
        pipe.cmd("HGETALL").arg(&self.keys.applied);
        pipe.cmd("GET").arg(&self.keys.journal);
    }

    fn watch(&self) -> Pipeline {
        let mut pipe = pipe();
        pipe.ignore_errors();
        pipe.cmd("WATCH").arg(&self.keys.epoch);
        pipe.cmd("GET").arg(&self.keys.epoch);
        pipe
    }

    /// Runs a pipeline that begins with [`Self::watch`]; returns the replies after it.
    async fn watched(
        &mut self,
        pipe: &Pipeline,
    ) -> Result<std::vec::IntoIter<RedisResult<Value>>, StoreError> {
        let replies: Vec<RedisResult<Value>> = self.query(pipe).await?;
        let mut replies = replies.into_iter();
        if let Some(watched) = replies.next() {
            watched?;
        }
        let epoch = replies
            .next()
            .transpose()?
            .map(from_redis_value)
            .transpose();
        self.check(epoch.map_err(redis::RedisError::from)?.flatten())?;
        Ok(replies)
    }

    fn check(&self, epoch: Option<String>) -> Result<(), StoreError> {
        match epoch {
            Some(epoch) if epoch == self.token => Ok(()),
            Some(_) => Err(StoreError::Fenced),
            None => Err(StoreError::Emptied),
        }
    }

    fn locations(&self, entities: &[Entity]) -> Vec<Location> {
        entities
            .iter()
            .map(|entity| layout::location(*entity, self.settings.layouts))
            .collect()
    }

    /// Takes the values of `entities` from replies to [`Databases::add_reads`].
    fn take_values(
        &self,
        replies: &mut impl Iterator<Item = RedisResult<Value>>,
        entities: &[Entity],
        snapshot: &mut Snapshot,
    ) {
        let values = Databases::values(replies, &self.locations(entities));
        for (entity, value) in entities.iter().zip(values) {
            snapshot.insert(*entity, value);
        }
    }

    async fn query<T: FromRedisValue>(&mut self, pipe: &Pipeline) -> Result<T, StoreError> {
        let connection = match &mut self.connection {
            Some(connection) => connection,
            None => self.connection.insert(self.link.connect().await?),
        };
        let result = pipe.query_async(connection).await;
        if result.is_err() {
            // A connection that failed may still watch, or answer the wrong question.
            self.connection = None;
        }
        Ok(result?)
    }
}

fn add_index_read(pipe: &mut Pipeline, index: Index) {
    let key = index::key(index);
    if index.is_sorted() {
        pipe.cmd("ZRANGEBYSCORE")
            .arg(key)
            .arg(format!("({}", now_ms()))
            .arg("+inf");
    } else {
        pipe.cmd("SMEMBERS").arg(key);
    }
}

fn add_scan(pipe: &mut Pipeline, index: Index, cursor: u64) {
    let command = if index.is_sorted() { "ZSCAN" } else { "SSCAN" };
    pipe.cmd(command)
        .arg(index::key(index))
        .arg(cursor)
        .arg("COUNT")
        .arg(PAGE);
}

/// A reply as a value; none if the command failed on its own (a key of a foreign type counts as empty).
fn parse<T: FromRedisValue>(reply: RedisResult<Value>) -> Option<T> {
    from_redis_value(reply.ok()?).ok()
}

fn legacy(applied: Vec<(u32, String)>, journal: Option<String>) -> Legacy {
    let mut known = Applied::default();
    for (shard, text) in applied {
        if let Err(error) = known.decode(shard, &text) {
            tracing::error!(shard, %error, "what redis holds of applied events is unreadable");
        }
    }
    Legacy {
        applied: known,
        journal,
    }
}

fn now_ms() -> u64 {
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    u64::try_from(now.as_millis()).unwrap_or(u64::MAX)
}

/// 128 random bits; the standard library's hash seeds are the operating system's randomness.
fn token() -> String {
    use std::hash::{BuildHasher, RandomState};
    let bits = || RandomState::new().hash_one(SystemTime::now());
    format!("{:016x}{:016x}", bits(), bits())
}
