//! What the three services of Dispatch share around their work: settings, logs, metrics, health, links, start and end.
//!
//! A service's `main` calls [`start::start`] with its settings and its body; everything here is plumbing. The feature
//! `discord` adds Discord's REST API.

#![cfg_attr(test, allow(clippy::unwrap_used))]

pub mod amqp;
pub mod backoff;
pub mod clock;
#[cfg(feature = "discord")]
pub mod discord;
pub mod health;
mod http;
pub mod identity;
pub mod lock;
mod logging;
pub mod metrics;
mod probe;
pub mod redis_link;
pub mod settings;
pub mod start;
pub mod tls;
pub mod topology;
