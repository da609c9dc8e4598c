//! A partition's state on Redis: read and written only by whoever has taken the partition over last.
//!
//! **Invariant:** every write is a transaction that is refused if the partition's epoch is no longer this connection's token. So
//! a writer that was frozen or cut off while another took over can't overwrite newer state, at whatever point it wakes up; nor
//! can what it sent on a connection that it has given up since, at whatever point that arrives.

mod commands;

use std::time::Instant;

use dispatch_proto::redis::PartitionKeys;
use dispatch_service::{
    clock::unix_millis,
    redis_link::{Connection, RedisLink},
};
use redis::{FromRedisValue, Pipeline, RedisResult, Value, from_redis_value, pipe};

pub(super) use self::commands::Databases;
use crate::{
    config::Config,
    core::{
        applied::Stored,
        entity::{Entity, Index},
        layout::{self, Location, index},
        owner::{Claim, Commit, Loaded},
        purge::Purge,
        settings::Settings,
        snapshot::{Reads, Snapshot},
        write::Write,
    },
    error::StoreError,
    metrics,
};

/// Ids that a purge looks at in one step, so that no single command holds Redis up.
const PAGE: usize = 500;
/// Pages that a purge looks at in one round trip.
const SCANS: usize = 32;

/// One partition's link to Redis. It holds a connection of the pool for as long as it owns the partition: what that one watches is
/// nobody else's.
pub(super) struct Store {
    link: RedisLink,
    databases: Databases,
    connection: Option<Connection>,
    keys: PartitionKeys,
    /// What marks the epoch as this connection's.
    token: String,
    settings: Settings,
}

impl Store {
    pub(super) fn new(config: &Config, partition: u32) -> Self {
        Self {
            link: config.redis.clone(),
            databases: Databases::new(config),
            connection: None,
            keys: PartitionKeys::new(partition).within(&config.namespace),
            token: String::new(),
            settings: config.state.clone(),
        }
    }

    /// Makes a new connection the partition's owner and reads what is applied and the journal.
    pub(super) async fn claim(&mut self, claim: Claim) -> Result<Loaded, StoreError> {
        self.connection = None;
        let watch = self.watch();
        let ((), epoch): ((), Option<String>) = self.query(&watch).await?;
        if let (Some(holder), Some(epoch)) = (&claim.holder, epoch)
            && !epoch.starts_with(holder)
        {
            return Err(StoreError::Fenced);
        }
        let mut pipe = pipe();
        pipe.atomic();
        pipe.cmd("SET")
            .arg(&self.keys.epoch)
            .arg(&claim.token)
            .ignore();
        for applied in [&self.keys.applied, &self.keys.applied_by_number] {
            pipe.cmd("HGETALL").arg(applied);
        }
        pipe.cmd("GET").arg(&self.keys.journal);
        let loaded: Option<_> = self.query(&pipe).await?;
        let (shards, numbers, journal) = loaded.ok_or(StoreError::Lost)?;
        self.token = claim.token;
        let applied = Stored { shards, numbers };
        Ok(Loaded { applied, journal })
    }

    /// Reads what a batch needs and begins to watch the epoch: the first round trip.
    pub(super) async fn read(&mut self, reads: &Reads) -> Result<Snapshot, StoreError> {
        let mut snapshot = Snapshot::default();
        let begun = Instant::now();
        let mut pipe = self.watch();
        pipe.ignore_errors();
        self.databases
            .add_reads(&mut pipe, &self.locations(&reads.entities));
        for index in &reads.indexes {
            let key = self.databases.key(index::key(*index));
            add_index_read(&mut pipe, *index, &key);
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
        self.databases
            .add_reads(&mut pipe, &self.locations(entities));
        let replies: Vec<RedisResult<Value>> = self.query(&pipe).await?;
        self.take_values(&mut replies.into_iter(), entities, snapshot);
        Ok(())
    }

    /// Applies a batch: entities, what is applied, and the journal, all or nothing; the second round trip.
    pub(super) async fn commit(
        &mut self,
        writes: &[Write<'_>],
        commit: &Commit,
    ) -> Result<(), StoreError> {
        let begun = Instant::now();
        let mut bookkeeping = pipe();
        for (field, text) in &commit.applied.shards {
            let set = bookkeeping.cmd("HSET").arg(&self.keys.applied);
            set.arg(field).arg(text);
        }
        for (number, text) in &commit.applied.numbers {
            let set = bookkeeping.cmd("HSET").arg(&self.keys.applied_by_number);
            set.arg(number).arg(text);
        }
        bookkeeping
            .cmd("SET")
            .arg(&self.keys.journal)
            .arg(&commit.journal);
        self.execute(bookkeeping, writes).await?;
        metrics::redis_step("commit", begun.elapsed().as_secs_f64());
        Ok(())
    }

    /// Deletes the journal: everything in it is published and confirmed, so a successor need not repeat it.
    pub(super) async fn retire(&mut self) -> Result<(), StoreError> {
        self.watched(self.watch().ignore_errors()).await?;
        let mut pipe = pipe();
        pipe.cmd("DEL").arg(&self.keys.journal);
        self.execute(pipe, &[]).await
    }

    /// Removes what purges name, page by page. Whatever was removed before a failure may be removed again.
    pub(super) async fn purge(&mut self, purges: &[Purge]) -> Result<(), StoreError> {
        let begun = Instant::now();
        self.remove_all(purges).await?;
        metrics::redis_step("purge", begun.elapsed().as_secs_f64());
        Ok(())
    }

    async fn remove_all(&mut self, purges: &[Purge]) -> Result<(), StoreError> {
        let begin = |purge| {
            Purge::indexes(purge)
                .into_iter()
                .map(move |index| (purge, index, 0))
        };
        let mut pages: Vec<(&Purge, Index, u64)> = purges.iter().flat_map(begin).collect();
        while !pages.is_empty() {
            let now = pages.split_off(pages.len().saturating_sub(SCANS));
            let mut pipe = self.watch();
            for (_, index, cursor) in &now {
                let key = self.databases.key(index::key(*index));
                add_scan(&mut pipe, *index, &key, *cursor);
            }
            let mut replies = self.watched(pipe.ignore_errors()).await?;
            let mut found = Vec::new();
            for (purge, index, _) in now {
                let (next, ids): (u64, Vec<String>) = match replies.next() {
                    Some(reply) => from_redis_value(reply?).map_err(redis::RedisError::from)?,
                    None => break,
                };
                // Sorted sets answer with id and score in turn.
                let ids = ids.iter().step_by(if index.is_sorted() { 2 } else { 1 });
                let entities = ids.filter_map(|id| index.entity(id.parse().ok()?));
                found.extend(entities.map(|entity| (purge, entity)));
                if next != 0 {
                    pages.push((purge, index, next));
                }
            }
            self.remove(found).await?;
        }
        Ok(())
    }

    /// Removes what was found for these purges. The epoch is watched since.
    async fn remove(&mut self, mut found: Vec<(&Purge, Entity)>) -> Result<(), StoreError> {
        let deciding: Vec<_> = found
            .iter()
            .filter(|(purge, _)| purge.needs_values())
            .map(|(purge, entity)| purge.decided_by(*entity))
            .collect();
        let mut snapshot = Snapshot::default();
        for page in deciding.chunks(PAGE) {
            self.read_further(page, &mut snapshot).await?;
        }
        found.retain(|(purge, entity)| {
            purge.takes(*entity, snapshot.value(purge.decided_by(*entity)))
        });
        let before = found
            .iter()
            .filter_map(|(_, entity)| Purge::before(*entity));
        let before: Vec<_> = before.collect();
        let mut watched = before.is_empty();
        if !watched {
            Box::pin(self.remove_all(&before)).await?;
        }
        for page in found.chunks(PAGE) {
            let gone = page
                .iter()
                .flat_map(|(_, entity)| [Some(*entity), Purge::along(*entity)]);
            let writes: Vec<_> = gone.flatten().map(Write::Delete).collect();
            if !std::mem::take(&mut watched) {
                self.watched(self.watch().ignore_errors()).await?;
            }
            self.execute(pipe(), &writes).await?;
        }
        Ok(())
    }

    /// Runs a transaction under the watched epoch: the writer's own bookkeeping, and writes of the cache.
    async fn execute(
        &mut self,
        bookkeeping: Pipeline,
        writes: &[Write<'_>],
    ) -> Result<(), StoreError> {
        let mut pipe = bookkeeping;
        let kept = pipe.cmd_iter().count();
        let commands = layout::commands(writes, &self.settings, unix_millis());
        self.databases.add_writes(&mut pipe, commands);
        pipe.atomic().ignore_errors();
        let replies: Option<Vec<RedisResult<Value>>> = self.query(&pipe).await?;
        let Some(mut replies) = replies else {
            let (epoch,) = self
                .query(redis::pipe().cmd("GET").arg(&self.keys.epoch))
                .await?;
            self.check(epoch)?;
            // The epoch was touched and is ours again: only possible if Redis lost it in between.
            return Err(StoreError::Lost);
        };
        for reply in replies.drain(..kept.min(replies.len())) {
            reply?;
        }
        // What is refused of the cache (a key of a foreign type, say) leaves the rest applied: counted, not retried, or one bad
        // key would hold the partition up for ever.
        let mut refused = replies.into_iter().filter_map(RedisResult::err).peekable();
        if let Some(error) = refused.peek() {
            tracing::error!(%error, "redis refused a write of the cache");
            metrics::store_errors(refused.count());
        }
        Ok(())
    }

    fn watch(&self) -> Pipeline {
        let mut pipe = pipe();
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
            None => Err(StoreError::Lost),
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
            None => self.connection.insert(self.link.connection().await?),
        };
        let result = pipe.query_async(connection).await;
        if result.is_err() {
            // A connection that failed may still watch, or answer the wrong question.
            self.connection = None;
        }
        Ok(result?)
    }
}

fn add_index_read(pipe: &mut Pipeline, index: Index, key: &str) {
    if index.is_sorted() {
        pipe.cmd("ZRANGEBYSCORE")
            .arg(key)
            .arg(format!("({}", unix_millis()))
            .arg("+inf");
    } else {
        pipe.cmd("SMEMBERS").arg(key);
    }
}

fn add_scan(pipe: &mut Pipeline, index: Index, key: &str, cursor: u64) {
    let command = if index.is_sorted() { "ZSCAN" } else { "SSCAN" };
    pipe.cmd(command)
        .arg(key)
        .arg(cursor)
        .arg("COUNT")
        .arg(PAGE);
}

/// A reply as a value; none if the command failed on its own (a key of a foreign type counts as empty).
fn parse<T: FromRedisValue>(reply: RedisResult<Value>) -> Option<T> {
    from_redis_value(reply.ok()?).ok()
}
