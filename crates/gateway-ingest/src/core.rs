//! The pure part of gateway-ingest: values in, values out. No I/O, no clock, no randomness, no logging, no client types.

pub mod close;
pub mod command;
pub mod connection;
pub mod departures;
pub mod gateway_url;
pub mod identify;
pub mod outbox;
pub mod payload;
pub mod repeats;
pub mod resume;
pub mod schedule;
pub mod shards;
pub mod share;
pub mod status;
pub mod unacknowledged;
