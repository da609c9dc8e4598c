//! What is known about each shard of this process, kept for [`super::store`] to write.

use std::{
    collections::BTreeMap,
    sync::{Mutex, PoisonError},
};

use dispatch_proto::session::{SessionRecord, ShardStatus};
use tokio::sync::Notify;

use crate::core::{outbox::Place, status::Status};

/// The shards of this process.
#[derive(Debug, Default)]
pub(crate) struct Book {
    rows: Mutex<BTreeMap<u32, Row>>,
    /// Something must be stored at once.
    pub(crate) urgent: Notify,
}

#[derive(Debug, Default)]
struct Row {
    session: Option<SessionRecord>,
    session_changed: bool,
    status: Status,
    latency: u64,
    last_ack: String,
    full: bool,
}

impl Book {
    /// A shard exists.
    pub(crate) fn enter(&self, shard: u32) {
        self.with(shard, |_| ());
    }

    /// A session has begun, or is about to be resumed: to be stored at once.
    pub(crate) fn begin(&self, record: SessionRecord) {
        self.with(record.shard, |row| {
            row.session_changed = true;
            row.session = Some(record);
        });
        self.urgent.notify_one();
    }

    /// Everything up to `place` is confirmed. A place in an older session says nothing about the present one.
    pub(crate) fn confirmed(&self, shard: u32, place: &Place) {
        self.with(shard, |row| match &mut row.session {
            Some(record) if *record.session_id == *place.session => {
                record.sequence = place.sequence;
                row.session_changed = true;
            }
            _ => {}
        });
    }

    /// The present session is not this process's any more: nothing of it is to be stored.
    pub(crate) fn forget(&self, shard: u32) {
        self.with(shard, |row| {
            row.session = None;
            row.session_changed = false;
        });
    }

    pub(crate) fn status(&self, shard: u32, status: Status) {
        self.with(shard, |row| row.status = status);
    }

    /// Whether the shard has stopped reading because there is no room for what it reads.
    pub(crate) fn full(&self, shard: u32, full: bool) {
        self.with(shard, |row| row.full = full);
    }

    /// How many shards have stopped reading.
    pub(crate) fn count_full(&self) -> usize {
        let rows = self.rows.lock().unwrap_or_else(PoisonError::into_inner);
        rows.values().filter(|row| row.full).count()
    }

    pub(crate) fn heartbeat(&self, shard: u32, latency: u64, last_ack: String) {
        self.with(shard, |row| {
            row.latency = latency;
            row.last_ack = last_ack;
        });
    }

    /// The sessions that have changed since they were last taken.
    pub(crate) fn take_changed(&self) -> Vec<SessionRecord> {
        let mut rows = self.rows.lock().unwrap_or_else(PoisonError::into_inner);
        let changed = rows.values_mut().filter_map(|row| {
            let changed = std::mem::take(&mut row.session_changed);
            row.session.clone().filter(|_| changed)
        });
        changed.collect()
    }

    /// These could not be stored: they count as changed again.
    pub(crate) fn give_back(&self, shards: impl IntoIterator<Item = u32>) {
        for shard in shards {
            self.with(shard, |row| row.session_changed = true);
        }
    }

    /// All statuses, in the order of the shards.
    pub(crate) fn statuses(&self) -> Vec<(Status, ShardStatus)> {
        let rows = self.rows.lock().unwrap_or_else(PoisonError::into_inner);
        let statuses = rows.iter().map(|(shard, row)| {
            let status = ShardStatus {
                shard: *shard,
                status: row.status.name().to_owned(),
                latency: row.latency,
                last_ack: row.last_ack.clone(),
            };
            (row.status, status)
        });
        statuses.collect()
    }

    fn with<T>(&self, shard: u32, change: impl FnOnce(&mut Row) -> T) -> T {
        let mut rows = self.rows.lock().unwrap_or_else(PoisonError::into_inner);
        change(rows.entry(shard).or_default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_confirm_of_an_older_session_does_not_move_the_new_one() {
        let book = Book::default();
        let record = |session: &str, sequence| SessionRecord {
            shard: 0,
            session_id: session.to_owned(),
            resume_url: String::new(),
            sequence,
            shards_total: 1,
        };
        let place = |session: &str, sequence| Place {
            session: session.into(),
            sequence,
        };
        book.begin(record("old", 5));
        book.begin(record("new", 0));
        book.confirmed(0, &place("old", 9));
        assert_eq!(book.take_changed(), [record("new", 0)]);
        assert_eq!(book.take_changed(), []);
        book.confirmed(0, &place("new", 2));
        assert_eq!(book.take_changed(), [record("new", 2)]);
        book.give_back([0]);
        assert_eq!(book.take_changed(), [record("new", 2)]);
        book.confirmed(0, &place("new", 3));
        book.forget(0);
        assert_eq!(book.take_changed(), []);
    }
}
