//! The cache-writer where RabbitMQ refuses, where Redis is not the one it was, and where versions meet.

#![allow(clippy::unwrap_used)]

#[path = "writer/planted.rs"]
mod planted;
#[path = "writer/redis_link.rs"]
mod redis_link;
#[path = "writer/refusals.rs"]
mod refusals;
#[path = "writer/versions.rs"]
mod versions;

use tokio::sync::{Mutex, MutexGuard};

/// Each test loads the machine.
async fn alone() -> MutexGuard<'static, ()> {
    static ONE: Mutex<()> = Mutex::const_new(());
    ONE.lock().await
}
