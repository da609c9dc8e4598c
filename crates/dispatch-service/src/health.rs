//! Health: whether the process lives, and whether it is ready to do its work.

use std::sync::{
    Arc, Mutex, PoisonError,
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
}

impl Health {
    /// Adds a condition, not met yet.
    #[must_use]
    pub fn condition(&self, name: &str) -> Condition {
        let condition = Condition {
            name: name.into(),
            met: Arc::default(),
        };
        self.conditions
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(condition.clone());
        condition
    }

    /// Names of the conditions that are not met. A service that has named none yet is still starting.
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
            .map(|condition| condition.name.clone())
            .collect()
    }
}

impl Condition {
    /// Says whether the condition is met.
    pub fn set(&self, met: bool) {
        self.met.store(met, Ordering::Relaxed);
    }

    /// Whether the condition is met.
    #[must_use]
    pub fn is_met(&self) -> bool {
        self.met.load(Ordering::Relaxed)
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
    }
}
