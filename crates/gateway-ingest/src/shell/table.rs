//! What is known about each shard that runs in this process, kept for [`super::store`] to write.

use std::{
    collections::BTreeMap,
    sync::{
        Mutex, MutexGuard, PoisonError,
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
    /// Whether it has become known which shards are this process's.
    settled: AtomicBool,
}

#[derive(Debug, Default)]
struct Row {
    session: Option<SessionRecord>,
    session_changed: bool,
    /// A session has begun that is not stored yet.
    begun: bool,
    /// When it began, in milliseconds of Unix time, if it began here.
    start: Option<u64>,
    status_changed: bool,
    status: Status,
    latency: u64,
    last_ack: String,
    full: bool,
}

impl SessionTable {
    /// The shard runs here from now on.
    pub(crate) fn enter(&self, shard: u32) {
        let row = Row {
            status_changed: true,
            ..Row::default()
        };
        self.rows().insert(shard, row);
    }

    /// The shard runs here no more: nothing of it is this process's to store. What was known of it last.
    pub(crate) fn remove(&self, shard: u32) -> Option<(Option<SessionRecord>, ShardStatus)> {
        let row = self.rows().remove(&shard)?;
        Some((row.session.clone(), row.told(shard)))
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

    /// The session that has begun is a new one.
    pub(crate) fn identified(&self, shard: u32, at: u64) {
        self.with(shard, |row| row.start = Some(at));
    }

    /// When the sessions began of these shards, of those that began here.
    pub(crate) fn starts(&self, shards: impl IntoIterator<Item = u32>) -> BTreeMap<u32, String> {
        let rows = self.rows();
        let start = |shard| Some((shard, rows.get(&shard)?.start?.to_string()));
        shards.into_iter().filter_map(start).collect()
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

    pub(crate) fn status(&self, shard: u32, status: Status) {
        self.with(shard, |row| {
            row.status = status;
            row.status_changed = true;
        });
    }

    /// It is known which shards are this process's.
    pub(crate) fn settle(&self) {
        self.settled.store(true, Ordering::Relaxed);
    }

    /// Everything counts as changed: what was written may be lost.
    pub(crate) fn all_changed(&self) {
        for row in self.rows().values_mut() {
            row.session_changed = true;
            row.status_changed = true;
        }
    }

    /// Whether each shard is connected, or waits for its turn to identify. A process that has none is ready: an update that replaces one
    /// process after the other would never end otherwise.
    pub(crate) fn is_ready(&self) -> bool {
        let ready = |status| matches!(status, Status::Connected | Status::Identifying);
        self.settled.load(Ordering::Relaxed) && self.rows().values().all(|row| ready(row.status))
    }

    /// Whether the shard has stopped reading because there is no room for what it reads.
    pub(crate) fn full(&self, shard: u32, full: bool) {
        self.with(shard, |row| row.full = full);
    }

    /// How many shards have stopped reading.
    pub(crate) fn count_full(&self) -> usize {
        self.rows().values().filter(|row| row.full).count()
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
        let mut rows = self.rows();
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

    /// The statuses that have changed since they were last taken.
    pub(crate) fn take_statuses(&self) -> Vec<ShardStatus> {
        let mut rows = self.rows();
        let changed = rows.iter_mut().filter_map(|(shard, row)| {
            std::mem::take(&mut row.status_changed).then(|| row.told(*shard))
        });
        changed.collect()
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

    /// The statuses of all shards.
    pub(crate) fn statuses(&self) -> Vec<Status> {
        self.rows().values().map(|row| row.status).collect()
    }

    fn with(&self, shard: u32, change: impl FnOnce(&mut Row)) {
        if let Some(row) = self.rows().get_mut(&shard) {
            change(row);
        }
    }

    fn rows(&self) -> MutexGuard<'_, BTreeMap<u32, Row>> {
        self.rows.lock().unwrap_or_else(PoisonError::into_inner)
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
        table.enter(0);
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
        assert_eq!(table.remove(0).unwrap().0, Some(record("new", 3)));
        table.confirmed(0, &place("new", 4));
        table.give_back([0]);
        assert_eq!(table.take_changed(false), []);
    }
}
