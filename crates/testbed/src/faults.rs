//! The fault suite: under a steady load something is killed, frozen, blocked or cut; afterwards nothing may be lost,
//! out of order, or wrong.
//!
//! [`strike`] is what can happen, [`cases`] the suite's list and the randomised one, [`run`] the way through one case,
//! [`rebuild`] what follows a loss of Redis's data, [`routers`] the cases of the routers alone, [`table`] how the results are shown.

pub mod cases;
pub mod commands;
mod in_batch;
mod progress;
pub mod rebuild;
pub mod routers;
pub mod run;
pub mod strike;
pub mod table;
mod unconfirmed;

use std::collections::BTreeMap;
use std::time::Duration;

use crate::collector::check::{Report, Tolerated};
use strike::Strike;

/// Short, so that stalled acknowledgements show soon; long enough to leave room for commands under the send limit.
const HEARTBEAT: Duration = Duration::from_secs(2);
/// Longest time for everything to arrive after a strike, and at the end.
const ARRIVE_LIMIT: Duration = Duration::from_secs(60);

/// One case: strikes under load, then the comparison.
#[derive(Clone, Debug)]
pub struct Case {
    /// Name in the table.
    pub name: String,
    /// Rounds, one after the other; the strikes of a round hit together.
    pub rounds: Vec<Vec<Strike>>,
    /// Seed of the moments at which they hit, and of the simulated world.
    pub seed: u64,
    /// Events a second.
    pub rate: f64,
    /// Settings of the services beyond those that every case has.
    pub settings: BTreeMap<String, String>,
}

impl Case {
    /// With queues of this type (`RABBIT_QUEUE_TYPE`).
    #[must_use]
    pub fn with_queue_type(mut self, queue_type: &str) -> Self {
        let setting = ("RABBIT_QUEUE_TYPE".to_owned(), queue_type.to_owned());
        self.settings.extend([setting]);
        self
    }

    /// What its strikes bring with them by their nature.
    #[must_use]
    pub fn tolerated(&self) -> Tolerated {
        let crashes = self.rounds.iter().flatten();
        let crashes = crashes.filter(|strike| strike.may_repeat()).count() as u64;
        Tolerated {
            crashes,
            repeats_other_old: self.rounds.iter().any(|round| loses_track(round)),
        }
    }

    /// Sessions that its strikes end, at most, for one shard.
    #[must_use]
    pub fn new_sessions(&self) -> u64 {
        self.rounds
            .iter()
            .flatten()
            .filter(|strike| strike.ends_sessions())
            .count() as u64
    }
}

/// Whether Redis's data is lost together with whoever knows what was applied to it.
fn loses_track(round: &[Strike]) -> bool {
    round.contains(&Strike::LoseRedis) && round.iter().any(|strike| strike.holds_up_publishing())
}

/// How a case ended.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// Name of the case.
    pub name: String,
    /// The comparison; `None` if the case itself broke off.
    pub report: Option<Report>,
    /// Commands that were published, and of them those that never reached the simulated Discord.
    pub commands: (u64, u64),
    /// Longest time from a strike until everything sent up to its end had arrived.
    pub recovery: Duration,
    /// What is wrong; empty if the case passed.
    pub faults: Vec<String>,
    /// Tails of the services' logs, if something is wrong.
    pub logs: String,
}

impl Outcome {
    /// The outcome of a case that has just begun.
    fn of(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            report: None,
            commands: (0, 0),
            recovery: Duration::ZERO,
            faults: Vec::new(),
            logs: String::new(),
        }
    }

    /// Whether nothing is wrong.
    #[must_use]
    pub fn passed(&self) -> bool {
        self.faults.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_crashes_that_leave_a_batch_in_flight_excuse_repeats() {
        use Strike::{
            BlockRabbitMq, KillIngest, KillRabbitMq, KillRedis, KillWriter, LoseRedis, TermWriter,
        };
        let tolerated = |round: &[Strike]| {
            let case = Case {
                name: String::new(),
                rounds: vec![round.to_vec()],
                seed: 0,
                rate: 1.0,
                settings: BTreeMap::new(),
            };
            let tolerated = case.tolerated();
            (tolerated.crashes, tolerated.repeats_other_old)
        };
        for alone in [
            KillIngest,
            TermWriter(0),
            KillRedis,
            LoseRedis,
            BlockRabbitMq,
        ] {
            assert_eq!(tolerated(&[alone]), (0, false));
        }
        assert_eq!(tolerated(&[KillWriter(0), KillRabbitMq]), (2, false));
        assert_eq!(tolerated(&[KillWriter(0), LoseRedis]), (1, true));
        assert_eq!(tolerated(&[BlockRabbitMq, LoseRedis]), (0, true));
    }
}
