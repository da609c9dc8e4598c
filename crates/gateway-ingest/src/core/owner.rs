//! Whether the lock of a shard is worth trying.
//!
//! A lock that another connection holds costs RabbitMQ a channel error, and a line in its log, for each try. So Redis is asked
//! first who owns the shard (`dispatch:owners`) and whether that process lives. Nothing here grants a right: the lock does.

use std::time::Duration;

/// How long after a connection to RabbitMQ was made the locks of others are left alone: RabbitMQ may just have come back, and
/// who held them before is to have them again.
const HEAD_START: Duration = Duration::from_secs(5);

/// What is known about a shard before its lock is tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sight {
    /// Redis names another process as the owner.
    pub other: bool,
    /// That process has given a sign of life of late.
    pub alive: bool,
    /// Age of the connection to RabbitMQ.
    pub connected_for: Duration,
    /// This process has tried before.
    pub tried: bool,
}

impl Sight {
    /// Whether the lock may be free.
    ///
    /// The first try of a process is always made: what owned the shard may be dead, and this its successor, before the sign
    /// of life runs out.
    #[must_use]
    pub fn worth_trying(self) -> bool {
        !self.tried || !self.other || !(self.alive || self.connected_for < HEAD_START)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_living_owner_and_one_that_may_come_back_are_left_alone() {
        let young = Duration::from_secs(1);
        let old = Duration::from_secs(60);
        for (other, alive, connected_for, tried, expected) in [
            (false, false, young, true, true),
            (false, true, young, true, true),
            (true, true, old, true, false),
            (true, false, old, true, true),
            (true, false, young, true, false),
            (true, true, young, false, true),
        ] {
            let sight = Sight {
                other,
                alive,
                connected_for,
                tried,
            };
            assert_eq!(sight.worth_trying(), expected, "{sight:?}");
        }
    }
}
