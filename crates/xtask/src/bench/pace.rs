//! Events at a rate.

use std::time::{Duration, Instant};

/// How often events that are due are made.
const TICK: Duration = Duration::from_millis(1);

/// Says how many events are due: evenly, tick by tick, and after a delay all that fell into it.
#[derive(Debug)]
pub(super) struct Pace {
    rate: f64,
    start: Instant,
    made: u64,
}

impl Pace {
    pub(super) fn new(rate: f64) -> Self {
        Self {
            rate,
            start: Instant::now(),
            made: 0,
        }
    }

    /// Waits for the next tick at which events are due; how many, and for when it is that they are.
    pub(super) async fn due(&mut self) -> u64 {
        loop {
            tokio::time::sleep(TICK).await;
            let due = self.due_after(self.start.elapsed());
            if due > 0 {
                return due;
            }
        }
    }

    fn due_after(&mut self, elapsed: Duration) -> u64 {
        let all = (self.rate * elapsed.as_secs_f64()) as u64;
        let due = all.saturating_sub(self.made);
        self.made += due;
        due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_due_is_the_rate_times_the_time() {
        let mut pace = Pace::new(2_000.0);
        let mut due = |millis| pace.due_after(Duration::from_millis(millis));
        assert_eq!([due(1), due(2), due(2), due(10)], [2, 2, 0, 16]);
        let mut pace = Pace::new(200.0);
        let mut due = |millis| pace.due_after(Duration::from_millis(millis));
        assert_eq!([due(4), due(5), due(1_000)], [0, 1, 199]);
    }
}
