//! The system's clock as Unix time.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Time since the Unix epoch; 0 before it.
#[must_use]
pub fn unix_time() -> Duration {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    now.unwrap_or_default()
}

/// Milliseconds of Unix time.
#[must_use]
pub fn unix_millis() -> u64 {
    u64::try_from(unix_time().as_millis()).unwrap_or(u64::MAX)
}

/// Microseconds of Unix time.
#[must_use]
pub fn unix_micros() -> u64 {
    u64::try_from(unix_time().as_micros()).unwrap_or(u64::MAX)
}
