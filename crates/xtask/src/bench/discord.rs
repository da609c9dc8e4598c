//! The simulated Discord.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context, Result};
use discord_sim::{Sim, SimConfig};
use testbed::servers::Servers;
use testbed::stack::settings;

use super::Args;

/// A Discord that lets everybody identify at once, keeps what a client has yet to read, and computes no truth.
pub(super) async fn start(args: &Args, guilds: u32, servers: &Servers) -> Result<Sim> {
    let mut config = SimConfig::default();
    config.world.guilds = guilds;
    config.world.members_per_guild = args.members;
    config.world.seed = args.seed;
    config.max_concurrency = args.shards;
    config.recommended_shards = args.shards;
    config.session_start_limit = args.shards * 10;
    config.identify_interval = Duration::from_millis(100);
    // All of a run may be made for one shard before any of it is read.
    config.replay_limit = usize::try_from(args.events())? + 1_000;
    config.session_lifetime = Duration::from_secs(3_600);
    config.keep_payloads = false;
    config.keep_truth = false;
    config.tls = args.tls.then(|| servers.dir().join("tls"));
    Sim::start(config)
        .await
        .context("can't start the simulator")
}

/// Settings of the services: as deployed by default, but for a queue that nobody reads.
pub(super) fn environment(args: &Args, servers: &Servers, sim: &Sim) -> BTreeMap<String, String> {
    let mut env = settings::links(&servers.rabbitmq.url(), &servers.redis.url());
    env.extend(settings::discord(
        "sim-token",
        &sim.http_url(),
        &sim.gateway_url(),
    ));
    env.extend(settings::shards(args.shards));
    let own = [
        ("INTENTS", settings::ALL_INTENTS.to_string()),
        ("DEFAULT_QUEUE", "false".to_owned()),
        ("RABBIT_QUEUE_TYPE", args.queue_type.clone()),
    ];
    env.extend(own.map(|(name, value)| (name.to_owned(), value)));
    if let Some(authority) = sim.authority() {
        let authority = authority.to_string_lossy().into_owned();
        env.insert("SSL_CERT_FILE".to_owned(), authority);
    }
    env
}
