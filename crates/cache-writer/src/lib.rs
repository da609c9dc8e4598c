//! Keeps the state cache in Redis and publishes each event with the state before it.
//!
//! [`core`] is pure: values in, values out. `shell` does the I/O: it consumes the partition queues, reads and writes Redis,
//! publishes. The order of what it does for a batch is what the guarantees rest on, see `shell::partition`.

#![cfg_attr(test, allow(clippy::unwrap_used))]

pub mod core;

#[cfg(feature = "shell")]
pub mod config;
#[cfg(feature = "shell")]
mod error;
#[cfg(feature = "shell")]
pub mod metrics;
#[cfg(feature = "shell")]
mod shell;

#[cfg(feature = "shell")]
pub use shell::App;
