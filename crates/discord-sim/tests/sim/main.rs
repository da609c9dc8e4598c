//! The simulator from the outside: by a raw WebSocket client, by twilight, and over HTTP.

#![allow(clippy::unwrap_used)]

mod answers;
mod bots;
mod client;
mod close_codes;
mod commands;
mod control;
mod documented;
mod faults;
mod http;
mod intents;
mod load;
mod program;
mod rest;
mod rest_faults;
mod scenarios;
mod sessions;
mod tls;
mod transport;
mod twilight;

use std::time::Duration;

use discord_sim::{Sim, SimConfig, WorldConfig};

/// Every intent there is.
const ALL_INTENTS: u64 = 0x1_ffff | (0b11 << 20) | (0b11 << 24);

/// Far more than anything here takes.
const DEADLINE: Duration = Duration::from_secs(20);

/// A small world, quick identifies, heartbeats at leisure.
fn config() -> SimConfig {
    SimConfig {
        world: WorldConfig {
            guilds: 4,
            members_per_guild: 10,
            ..WorldConfig::default()
        },
        identify_interval: Duration::ZERO,
        ..SimConfig::default()
    }
}

async fn start(config: SimConfig) -> Sim {
    Sim::start(config).await.unwrap()
}

/// Waits until a condition holds; fails if it does not within the deadline.
async fn until(what: &str, mut condition: impl FnMut() -> bool) {
    let start = std::time::Instant::now();
    while !condition() {
        assert!(start.elapsed() < DEADLINE, "not so in time: {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}
