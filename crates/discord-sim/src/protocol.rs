//! The gateway's protocol, pure: what a client may say, Discord's limits and close codes, compression, snowflakes.

pub(crate) mod buckets;
pub(crate) mod close;
pub(crate) mod compression;
pub(crate) mod etf;
pub(crate) mod handshake;
pub(crate) mod limits;
pub(crate) mod payload;
pub mod snowflake;
