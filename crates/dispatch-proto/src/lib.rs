//! The protocol of Dispatch: the names, keys, wire types and codecs that the services and their clients agree on.
//!
//! Nothing here does I/O, reads a clock or knows an AMQP or Redis client, so all of it is tested without a server.
//! The page that fixes the outside names is the README of this crate.

#![cfg_attr(test, allow(clippy::unwrap_used))]

pub mod codec;
pub mod command;
pub mod envelope;
pub mod event;
pub mod frame;
pub mod namespace;
pub mod notice;
pub mod partition;
pub mod rabbit;
pub mod redis;
pub mod session;
