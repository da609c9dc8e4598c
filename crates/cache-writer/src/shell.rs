//! The shell: everything of the cache-writer that does I/O.
//!
//! - [`app`] holds the link to RabbitMQ and runs one task for each partition;
//! - [`partition`] is the life of a subscription: take over, batch after batch, let go;
//! - [`batch`] turns deliveries into events and works them off: the order of steps that the guarantees rest on;
//! - [`store`] talks to Redis, [`outlet`] publishes;
//! - [`seats`] shares the partitions among replicas, [`gauges`] and [`guild_log`] tell what goes on.

mod app;
mod batch;
mod gauges;
mod guild_log;
mod outlet;
mod partition;
mod seats;
mod store;

pub use app::App;
