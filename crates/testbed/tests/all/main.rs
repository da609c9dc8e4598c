//! The stack from outside, with real servers and the simulator: one program, so that it is linked once.
//!
//! A module at the top is a group of tests: `cargo xtask test` runs each group in a process of its own.

#![allow(clippy::unwrap_used)]

mod backpressure;
mod bad_days;
mod bot;
mod cache;
mod channel_logs;
mod clients;
mod commands;
mod dependencies;
mod deployment;
mod endings;
mod examples;
mod libraries;
mod metrics;
mod namespaces;
mod pipeline;
mod processes;
mod redis_pool;
mod replicas;
mod rights;
mod rollback;
mod router;
mod servers;
mod settings;
mod spectacles;
mod starting;
mod tls;
mod writer;

use tokio::sync::{Mutex, MutexGuard};

/// Each test that takes this loads the machine; together they would not meet their deadlines on a small one.
async fn alone() -> MutexGuard<'static, ()> {
    static ONE: Mutex<()> = Mutex::const_new(());
    ONE.lock().await
}
