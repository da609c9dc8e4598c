//! command-router by itself, with real servers: what happens when RabbitMQ refuses something, when the number of shards is unknown, when
//! several routers run, and when others take from its queues. Nobody runs the shards: what arrives is read from `gateway:<shard>`.

#![allow(clippy::unwrap_used)]

#[path = "router/client.rs"]
mod client;
#[path = "router/expiry.rs"]
mod expiry;
#[path = "router/foreign.rs"]
mod foreign;
#[path = "router/full.rs"]
mod full;
#[path = "router/several.rs"]
mod several;
