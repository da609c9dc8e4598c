//! Takes commands from the bot, finds the shard, sends them on.
//!
//! Commands come from `gateway.send` and, if `SPECTACLES_EXCHANGE` is set, from `<exchange>:SEND` and `<exchange>:<shard>`.
//! Each is checked and goes to `gateway:<shard>`, or to `gateway.dead` with the reason; it is acknowledged only after
//! RabbitMQ has confirmed the one or the other. The parsers are [`dispatch_proto::command`], what is decided about a message
//! is [`core`], which is pure; `shell` does the I/O.
//!
//! **Invariant: one router is active.** Commands of a shard keep their order only if one process takes them from the queue,
//! and `gateway.send` can carry no single-active-consumer argument, because clients declare it bare. So the router holds a
//! lock: an exclusive queue, on the connection that it publishes on. The right and the ability to publish end together, on queues
//! of any type; the others stand by until then.
//!
//! **Invariant: each command for itself.** Nothing that RabbitMQ refuses (a full reply queue, a full shard's queue, a full queue of
//! dead letters) holds up or repeats what belongs to others, see [`core::forwarder`].
//!
//! **Invariant: at least once.** A command that was published but not acknowledged when the router or the broker died is
//! published again, under the `message_id` that its sender gave it. Nothing else repeats, and nothing is lost.

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
