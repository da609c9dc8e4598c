//! command-router by itself, with real servers: what happens when RabbitMQ refuses something, when the number of shards is unknown, when
//! several routers run, and when others take from its queues. Nobody runs the shards: what arrives is read from `gateway:<shard>`.

pub(crate) mod client;
mod expiry;
mod foreign;
mod full;
mod several;
