//! The long run: by hand, as it takes minutes and some gigabytes.

use std::time::{Duration, Instant};

use discord_sim::Mix;
use discord_sim::generator::DISPATCH_TYPES;
use redis::cmd;
use testbed::wait;

use super::bench::{Bench, options};
use crate::alone;

/// Longest time for what has been sent to arrive.
const LIMIT: Duration = Duration::from_secs(600);

/// 1,000,000 events, or `CACHE_EVENTS`; prints its figures.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "minutes: cargo test -p testbed --test all -- cache:: --ignored --nocapture"]
async fn a_million_events_leave_both_layouts_right() {
    let _alone = alone().await;
    let events = std::env::var("CACHE_EVENTS").map_or(1_000_000, |events| events.parse().unwrap());
    let mut options = options("both", 4, 100);
    options.sim.keep_payloads = false;
    // Nothing expires during the run.
    options
        .env
        .insert("STATE_MESSAGE_TTL".into(), "86400000".into());
    let bench = Bench::start(&options).await;
    let begun = Instant::now();
    // Messages never leave the truth, so most of the run makes few: each event as often as the others, but for guilds that
    // come and go.
    let guilds = ["GUILD_CREATE", "GUILD_DELETE"];
    let others = DISPATCH_TYPES
        .into_iter()
        .filter(|name| !guilds.contains(name));
    bench.load(events / 5, Mix::realistic()).await;
    bench
        .load(events - events / 5, Mix::only(&others.collect::<Vec<_>>()))
        .await;
    assert!(bench.stack.sim.quiet(LIMIT).await);
    let sent: u64 = bench
        .stack
        .sim
        .sessions()
        .iter()
        .map(|session| session.sequence)
        .sum();
    let arrived = async || bench.stack.collector.ledger().events() == sent;
    wait::until("all events to arrive", LIMIT, arrived)
        .await
        .unwrap();
    let seconds = begun.elapsed().as_secs_f64();

    let mut redis = bench.stack.servers.redis.connection().await.unwrap();
    let memory: String = cmd("INFO")
        .arg("memory")
        .query_async(&mut redis)
        .await
        .unwrap();
    let used = memory
        .lines()
        .find(|line| line.starts_with("used_memory_human"));
    let truth = bench.stack.sim.truth();
    eprintln!(
        "{sent} events in {seconds:.1} s: {:.0} events/s; {} objects; Redis {}",
        sent as f64 / seconds,
        truth.len(),
        used.unwrap_or_default()
    );
    bench.assert_cache(&truth).await;
    let (repeated, malformed) = {
        let ledger = bench.stack.collector.ledger();
        (ledger.repeated, ledger.malformed)
    };
    assert_eq!((repeated, malformed), (0, 0));
    bench.stack.stop().await.unwrap();
}
