//! Whether commands are routed, by this router or another.

use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

use dispatch_service::health::Condition;

/// The queues that commands come in by, and which of them the active router can't consume.
#[derive(Debug)]
pub(crate) struct Readiness {
    condition: Condition,
    /// Queues that are not consumed, with the reason.
    missing: Mutex<BTreeMap<String, String>>,
}

impl Readiness {
    pub(crate) fn new(condition: Condition) -> Self {
        Self {
            condition,
            missing: Mutex::default(),
        }
    }

    /// Another router is active.
    pub(crate) fn stand_by(&self) {
        self.lock().clear();
        self.condition.set(true);
    }

    /// Nothing is known of the queues.
    pub(crate) fn disconnected(&self) {
        self.lock().clear();
        self.condition.set(false);
    }

    pub(crate) fn is_missing(&self, queue: &str, reason: &str) {
        let mut missing = self.lock();
        missing.insert(queue.to_owned(), reason.to_owned());
        self.report(&missing);
    }

    pub(crate) fn is_there(&self, queue: &str) {
        let mut missing = self.lock();
        missing.remove(queue);
        self.report(&missing);
    }

    fn report(&self, missing: &BTreeMap<String, String>) {
        if missing.is_empty() {
            return self.condition.set(true);
        }
        let list = missing
            .iter()
            .map(|(queue, reason)| format!("{queue}: {reason}"));
        self.condition.unmet(&list.collect::<Vec<_>>().join("; "));
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, String>> {
        self.missing.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
