//! The shell: everything of the cache-writer that does I/O.
//!
//! - [`app`] holds the link to RabbitMQ and runs one task for each partition;
//! - [`partition`] is the life of a subscription: deliveries after deliveries, then letting go;
//! - [`owner`] carries out what `core::owner` asks for, [`incoming`] turns deliveries into events;
//! - [`store`] talks to Redis, [`publish`] publishes, [`acknowledgements`] wait for that;
//! - [`declarations`] declares what all of them use;
//! - [`twilight`] takes over what twilight-dispatch has left, before all that;
//! - [`assignment`] shares the partitions among replicas, [`gauges`] and [`guild_log`] tell what goes on;
//! - [`shared`] is what all partitions have in common.

mod acknowledgements;
mod app;
mod assignment;
mod declarations;
mod gauges;
mod guild_log;
mod incoming;
mod owner;
mod partition;
mod publish;
mod shared;
mod store;
mod twilight;

pub use app::App;
