//! The cache on a real Redis, written by the real services, compared with the simulator's truth: both layouts, the
//! indexes, the counts and every time to live.

mod bench;
mod contents;
mod expected;
mod expiry;
mod foreign;
mod guilds;
mod large;
mod layouts;
mod long;
mod mutations;
mod oversize;
mod payloads;
mod switches;
mod twilight;
