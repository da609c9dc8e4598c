//! What is known about each shard of this process, kept for [`super::store`] to write.

use std::{
    collections::BTreeMap,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

use dispatch_proto::session::{SessionRecord, ShardStatus};
use tokio::sync::Notify;

use crate::core::{outbox::Place, status::Status};

/// The shards of this process.
#[derive(Debug, Default)]
pub(crate) struct SessionTable {
    rows: Mutex<BTreeMap<u32, Row>>,
    /// Something must be stored at once.
    pub(crate) urgent: Notify,
    /// Whether a shard has been owned.
    started: AtomicBool,
}

#[derive(Debug, Default)]
struct Row {
    session: Option<SessionRecord>,
    session_changed: bool,
    /// A session has begun that is not stored yet.
    begun: bool,
    /// This process owns the shard.
    ours: bool,
    /// Another process owns the shard, and lives.
    standby: bool,
    /// The lock has been tried.
    tried: bool,
    status_changed: bool,
    status: Status,
    latency: u64,
    last_ack: String,
    full: bool,
}

impl SessionTable {
    /// A shard exists.
    pub(crate) fn enter(&self, shard: u32) {
        self.with(shard, |_| ());
    }

    /// A session has begun, or is about to be resumed: to be stored at once.
    pub(crate) fn begin(&self, record: SessionRecord) {
        self.with(record.shard, |row| {
            row.session_changed = true;
            row.begun = true;
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
            row.ours = false;
        });
    }

    pub(crate) fn status(&self, shard: u32, status: Status) {
        self.with(shard, |row| {
            row.status = status;
            row.status_changed = true;
        });
    }

    /// The shard is this process's: its status is this process's to tell.
    pub(crate) fn own(&self, shard: u32) {
        self.with(shard, |row| {
            row.ours = true;
            row.standby = false;
            row.status_changed = true;
        });
    }

    /// Whether the process has owned no shard before; it has from now on.
    pub(crate) fn starts(&self) -> bool {
        !self.started.swap(true, Ordering::Relaxed)
    }

    /// Whether another process owns the shard, and lives: this one has nothing to do for it.
    pub(crate) fn standby(&self, shard: u32, standby: bool) {
        self.with(shard, |row| row.standby = standby);
    }

    /// Whether the shard's lock has been tried before; it has from now on.
    pub(crate) fn tried(&self, shard: u32) -> bool {
        self.with(shard, |row| std::mem::replace(&mut row.tried, true))
    }

    /// Everything counts as changed: what was written may be lost.
    pub(crate) fn all_changed(&self) {
        let mut rows = self.rows.lock().unwrap_or_else(PoisonError::into_inner);
        for row in rows.values_mut() {
            row.session_changed = true;
            row.status_changed = true;
        }
    }

    /// Whether each shard is connected, or owned by another living process.
    pub(crate) fn is_ready(&self) -> bool {
        let rows = self.rows.lock().unwrap_or_else(PoisonError::into_inner);
        rows.values()
            .all(|row| row.status == Status::Connected || (row.standby && !row.ours))
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
            row.status_changed = true;
        });
    }

    /// The sessions that have changed since they were last taken; those alone that have begun, if only they are wanted.
    pub(crate) fn take_changed(&self, begun_only: bool) -> Vec<SessionRecord> {
        let mut rows = self.rows.lock().unwrap_or_else(PoisonError::into_inner);
        let changed = rows.values_mut().filter_map(|row| {
            if begun_only && !row.begun {
                return None;
            }
            row.begun = false;
            let changed = std::mem::take(&mut row.session_changed);
            row.session.clone().filter(|_| changed)
        });
        changed.collect()
    }

    /// The statuses of own shards that have changed since they were last taken.
    pub(crate) fn take_statuses(&self) -> Vec<ShardStatus> {
        let mut rows = self.rows.lock().unwrap_or_else(PoisonError::into_inner);
        let changed = rows.iter_mut().filter(|(_, row)| row.ours);
        changed
            .filter_map(|(shard, row)| {
                std::mem::take(&mut row.status_changed).then(|| row.told(*shard))
            })
            .collect()
    }

    /// These could not be stored: they count as changed again.
    pub(crate) fn give_back(&self, shards: impl IntoIterator<Item = u32>) {
        for shard in shards {
            self.with(shard, |row| {
                row.session_changed = true;
                row.status_changed = true;
            });
        }
    }

    /// The statuses of own shards.
    pub(crate) fn statuses(&self) -> Vec<Status> {
        let rows = self.rows.lock().unwrap_or_else(PoisonError::into_inner);
        let ours = rows.values().filter(|row| row.ours);
        ours.map(|row| row.status).collect()
    }

    fn with<T>(&self, shard: u32, change: impl FnOnce(&mut Row) -> T) -> T {
        let mut rows = self.rows.lock().unwrap_or_else(PoisonError::into_inner);
        change(rows.entry(shard).or_default())
    }
}

impl Row {
    fn told(&self, shard: u32) -> ShardStatus {
        ShardStatus {
            shard,
            status: self.status.name().to_owned(),
            latency: self.latency,
            last_ack: self.last_ack.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_confirm_of_an_older_session_does_not_move_the_new_one() {
        let table = SessionTable::default();
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
        table.begin(record("old", 5));
        table.begin(record("new", 0));
        table.confirmed(0, &place("old", 9));
        assert_eq!(table.take_changed(false), [record("new", 0)]);
        assert_eq!(table.take_changed(false), []);
        table.confirmed(0, &place("new", 2));
        assert_eq!(table.take_changed(false), [record("new", 2)]);
        table.give_back([0]);
        assert_eq!(table.take_changed(false), [record("new", 2)]);
        table.confirmed(0, &place("new", 3));
        table.forget(0);
        assert_eq!(table.take_changed(false), []);
    }
}
