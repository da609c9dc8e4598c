//! Health: whether the process lives, and whether it is ready to do its work.

use std::sync::{
    Arc, Mutex, MutexGuard, PoisonError,
    atomic::{AtomicBool, Ordering},
};

/// The conditions that make a service ready.
///
/// Each condition is a named flag that its owner sets and clears; the service is ready while all are set.
#[derive(Clone, Debug, Default)]
pub struct Health {
    conditions: Arc<Mutex<Vec<Condition>>>,
}

/// One condition of readiness, not met until its owner says so.
#[derive(Clone, Debug)]
pub struct Condition {
    name: Arc<str>,
    met: Arc<AtomicBool>,
    /// Why it is not met, if its owner says so.
    reason: Arc<Mutex<String>>,
}

impl Health {
    /// Adds a condition, not met yet.
    #[must_use]
    pub fn condition(&self, name: &str) -> Condition {
        let condition = Condition {
            name: name.into(),
            met: Arc::default(),
            reason: Arc::default(),
        };
        self.conditions
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(condition.clone());
        condition
    }

    /// The conditions that are not met, with the reasons that are known. A service that has named none yet is still starting.
    #[must_use]
    pub fn missing(&self) -> Vec<Arc<str>> {
        let conditions = self
            .conditions
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if conditions.is_empty() {
            return vec!["start".into()];
        }
        conditions
            .iter()
            .filter(|condition| !condition.is_met())
            .map(Condition::describe)
            .collect()
    }
}

impl Condition {
    /// Says whether the condition is met.
    pub fn set(&self, met: bool) {
        self.reason().clear();
        self.met.store(met, Ordering::Relaxed);
    }

    /// Says that the condition is not met, and why.
    pub fn unmet(&self, reason: &str) {
        reason.clone_into(&mut self.reason());
        self.met.store(false, Ordering::Relaxed);
    }

    /// Whether the condition is met.
    #[must_use]
    pub fn is_met(&self) -> bool {
        self.met.load(Ordering::Relaxed)
    }

    fn describe(&self) -> Arc<str> {
        let reason = self.reason();
        match reason.is_empty() {
            true => self.name.clone(),
            false => format!("{} ({reason})", self.name).into(),
        }
    }

    fn reason(&self) -> MutexGuard<'_, String> {
        self.reason.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ready_while_all_conditions_are_met() {
        let health = Health::default();
        assert_eq!(health.missing(), [Arc::<str>::from("start")]);
        let (rabbit, redis) = (health.condition("rabbitmq"), health.condition("redis"));
        rabbit.set(true);
        assert_eq!(health.missing(), [Arc::<str>::from("redis")]);
        redis.set(true);
        assert!(health.missing().is_empty());
        rabbit.set(false);
        assert_eq!(health.missing(), [Arc::<str>::from("rabbitmq")]);
        rabbit.unmet("a: b");
        assert_eq!(health.missing(), [Arc::<str>::from("rabbitmq (a: b)")]);
        rabbit.set(true);
        assert!(health.missing().is_empty());
    }
}
