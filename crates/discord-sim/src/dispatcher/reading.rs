//! What can be read of the log.

use std::time::Instant;

use serde_json::Value;

use super::{
    Dispatcher, fate,
    session::{Session, SessionKey},
    shard::{SentEvent, ShardLog},
};

impl Dispatcher {
    /// Whether everything that was made has been written to a socket, or never will be.
    pub(crate) fn is_quiet(&self) -> bool {
        self.sessions.values().all(|session| session.behind() == 0)
    }

    /// A live session.
    pub(crate) fn session(&self, key: SessionKey) -> Option<&Session> {
        self.sessions.get(&key)
    }

    /// All live sessions, oldest first.
    pub(crate) fn sessions(&self) -> impl Iterator<Item = &Session> {
        self.sessions.values()
    }

    /// The largest number of shards that a client has identified with.
    pub(crate) fn largest_total(&self) -> Option<u32> {
        self.shards.last_key_value().map(|((total, _), _)| *total)
    }

    /// Commands of a shard's clients (newest total).
    pub(crate) fn commands(&self, shard: u32) -> Vec<(Instant, Value)> {
        let log = self.shards.get(&(self.newest_total, shard));
        log.map(|log| log.commands.iter().cloned().collect())
            .unwrap_or_default()
    }

    /// Commands of all shards' clients from then on (newest total).
    pub(crate) fn commands_since(&self, then: Option<Instant>) -> Vec<Value> {
        let all = self.newest_logs().flat_map(|(_, log)| &log.commands);
        let new = all.filter(|(at, _)| then.is_none_or(|then| *at >= then));
        new.map(|(_, command)| command.clone()).collect()
    }

    /// A shard's events from index `after` on (newest total).
    pub(crate) fn sent(&mut self, shard: u32, after: usize, limit: usize) -> Vec<SentEvent> {
        self.settle();
        let log = self.shards.get(&(self.newest_total, shard));
        let is_live = |key| self.sessions.contains_key(&key);
        log.map(|log| log.events(shard, after, limit, is_live))
            .unwrap_or_default()
    }

    /// How many events each shard's log has seen (newest total).
    pub(crate) fn sent_counts(&self) -> Vec<(u32, usize)> {
        self.newest_logs()
            .map(|(shard, log)| (shard, log.len()))
            .collect()
    }

    /// The truth of all shards (newest total): what a perfect cache holds after all that was
    /// written.
    pub(crate) fn truth(&mut self) -> impl Iterator<Item = (&str, &Value)> {
        self.settle();
        self.newest_logs().flat_map(|(_, log)| log.truth.entries())
    }

    /// One entry of the truth.
    pub(crate) fn truth_of(&mut self, key: &str) -> Option<&Value> {
        self.settle();
        self.newest_logs().find_map(|(_, log)| log.truth.get(key))
    }

    fn newest_logs(&self) -> impl Iterator<Item = (u32, &ShardLog)> {
        let total = self.newest_total;
        self.shards
            .range((total, 0)..=(total, u32::MAX))
            .map(|((_, shard), log)| (*shard, log))
    }

    /// Settles all whose fate is known.
    pub(super) fn settle(&mut self) {
        let (sessions, ended) = (&self.sessions, &self.ended);
        for log in self.shards.values_mut() {
            log.settle(usize::MAX, self.keeping, |sent| fate(sessions, ended, sent));
        }
    }
}
