//! The cache on a real Redis, written by the real services, compared with the simulator's truth: both layouts, the
//! indexes, the counts and every time to live.

#![allow(clippy::unwrap_used)]

#[path = "cache/bench.rs"]
mod bench;
#[path = "cache/contents.rs"]
mod contents;
#[path = "cache/expected.rs"]
mod expected;
#[path = "cache/expiry.rs"]
mod expiry;
#[path = "cache/foreign.rs"]
mod foreign;
#[path = "cache/guilds.rs"]
mod guilds;
#[path = "cache/large.rs"]
mod large;
#[path = "cache/layouts.rs"]
mod layouts;
#[path = "cache/long.rs"]
mod long;
#[path = "cache/mutations.rs"]
mod mutations;
#[path = "cache/payloads.rs"]
mod payloads;
#[path = "cache/switches.rs"]
mod switches;
