//! Whether a command has left the client's queue for the socket, as far as the client's limiter of sends shows it.
//!
//! The client takes a permit as it writes a command, so their number falls. It may rise in the same moment, by permits that were taken
//! a minute before.
//!
//! Discord counts when commands arrive, and they may come closer to each other on their way: the limiter's minute is made longer here.

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

/// For how long a permit is taken.
const PERIOD: Duration = Duration::from_secs(60);
/// What commands may come closer to each other on their way.
const JITTER: Duration = Duration::from_secs(1);
/// The limiter counts in milliseconds and takes its time a little later than we do.
const MARGIN: Duration = Duration::from_millis(20);

/// What Discord takes on a connection in a minute: commands, heartbeats and the IDENTIFY or RESUME.
const SENDS: u8 = 120;
/// Commands that may leave in any case: with heartbeats so often that nothing is left for commands, none would.
const AT_LEAST: u8 = 10;

/// Commands that may leave on a connection in a minute, where heartbeats are due so often. The client's own limiter forgets the IDENTIFY or
/// RESUME, and reserves ten heartbeats at most. One more is reserved, since Discord may ask for one.
#[must_use]
pub fn commands_a_minute(heartbeat: Duration) -> u8 {
    let heartbeats = PERIOD.as_secs_f64() / heartbeat.as_secs_f64().max(0.001);
    // Above 255 it is cut off there.
    let others = (heartbeats.ceil() as u8).saturating_add(2);
    SENDS.saturating_sub(others).max(AT_LEAST)
}

/// When commands left on a connection in the last minute.
#[derive(Debug, Default)]
pub struct Departures {
    at: VecDeque<Instant>,
}

impl Departures {
    /// Whether the only command in the client's queue left between `from` and `to`, with so many permits free before and after.
    pub fn left(&mut self, before: u8, after: u8, from: Instant, to: Instant) -> bool {
        while self
            .at
            .front()
            .is_some_and(|at| *at + PERIOD + JITTER < from)
        {
            self.at.pop_front();
        }
        let back = |at: &Instant| *at + PERIOD <= to + MARGIN && *at + PERIOD + MARGIN >= from;
        let came_back = self.at.iter().any(back);
        let left = after < before || came_back;
        if left {
            self.at.push_back(to);
        }
        left
    }

    /// Until when no more may leave, if as many as the limiter has permits have left a minute before `now`, or since.
    pub fn full_until(&self, permits: u8, now: Instant) -> Option<Instant> {
        let first = self.at.len().checked_sub(usize::from(permits))?;
        let until = *self.at.get(first)? + PERIOD + JITTER;
        (until > now).then_some(until)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHORT: Duration = Duration::from_micros(50);

    #[test]
    fn commands_leave_room_for_heartbeats_and_the_resume() {
        for (heartbeat, expected) in [
            (Duration::from_millis(41_250), 116),
            (Duration::from_secs(60), 117),
            (Duration::from_secs(4), 103),
            (Duration::from_millis(1), 10),
            (Duration::ZERO, 10),
        ] {
            assert_eq!(commands_a_minute(heartbeat), expected, "{heartbeat:?}");
        }
    }

    #[test]
    fn fewer_permits_mean_that_it_left() {
        let now = Instant::now();
        let mut departures = Departures::default();
        assert!(departures.left(5, 4, now, now + SHORT));
        assert!(!departures.left(4, 4, now + SHORT, now + 2 * SHORT));
        assert!(!departures.left(4, 5, now + SHORT, now + 2 * SHORT));
    }

    #[test]
    fn a_permit_that_comes_back_hides_one_that_goes() {
        let now = Instant::now();
        let mut departures = Departures::default();
        assert!(departures.left(5, 4, now, now));
        let soon = now + PERIOD - Duration::from_secs(1);
        assert!(!departures.left(4, 4, soon, soon + SHORT));
        let back = now + PERIOD - SHORT;
        assert!(departures.left(4, 4, back, back + 2 * SHORT));
        let later = back + Duration::from_secs(2);
        assert!(!departures.left(4, 4, later, later + SHORT));
    }

    #[test]
    fn a_minute_is_longer_than_the_limiters() {
        let now = Instant::now();
        let mut departures = Departures::default();
        assert_eq!(departures.full_until(2, now), None);
        assert!(departures.left(2, 1, now, now));
        assert_eq!(departures.full_until(2, now), None);
        assert!(departures.left(1, 0, now + SHORT, now + SHORT));
        let free = now + PERIOD + JITTER;
        assert_eq!(departures.full_until(2, now + PERIOD), Some(free));
        assert_eq!(departures.full_until(2, free), None);
        assert!(departures.left(2, 1, free, free));
        assert_eq!(departures.full_until(2, free), Some(free + SHORT));
    }
}
