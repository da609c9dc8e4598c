//! Both layouts under mixed events, and what a batch costs.

use std::collections::BTreeMap;
use std::time::Instant;

use discord_sim::Mix;
use discord_sim::generator::DISPATCH_TYPES;
use redis::cmd;
use serde_json::Value;

use super::bench::{Bench, options};
use super::guilds;
use crate::alone;

/// How often gateway-ingest asks Redis who lives, in milliseconds.
const MEMBERS_EVERY_MS: u64 = 500;

/// Every dispatch type, mixed; then what only a few events show.
#[tokio::test(flavor = "multi_thread")]
async fn both_layouts_hold_the_truth() {
    let _alone = alone().await;
    let mut options = options("both", 2, 20);
    options.env.insert("STATE_MEMBER_TTL".into(), "1000".into());
    let mut bench = Bench::start(&options).await;
    bench.load(2_500, Mix::realistic()).await;
    bench.load(2_000, Mix::only(&DISPATCH_TYPES)).await;
    bench.assert_exact().await;

    bench
        .load(400, Mix::only(&["CHANNEL_UPDATE", "USER_UPDATE"]))
        .await;
    bench.assert_exact().await;
    assert_hidden_both_ways(&bench);

    a_batch_costs_one_watch_and_one_transaction(&mut bench).await;
    bench.assert_exact().await;

    guilds::left(&mut bench).await;
    guilds::away_and_back(&mut bench).await;
    guilds::gone_with_the_session(&mut bench).await;
    assert_eq!(bench.metric("writer_store_errors_total").await, 0.0);
    bench.stack.stop().await.unwrap();
}

/// Its `old` values are what it holds: without nulls.
#[tokio::test(flavor = "multi_thread")]
async fn spectacles_layout_alone_holds_the_truth() {
    let _alone = alone().await;
    let mut bench = Bench::start(&options("spectacles", 2, 20)).await;
    bench.load(1_500, Mix::realistic()).await;
    bench.load(2_000, Mix::only(&DISPATCH_TYPES)).await;
    bench.assert_exact().await;
    bench
        .load(300, Mix::only(&["CHANNEL_UPDATE", "USER_UPDATE"]))
        .await;
    bench.assert_exact().await;
    guilds::left(&mut bench).await;
    guilds::away_and_back(&mut bench).await;
    guilds::gone_with_the_session(&mut bench).await;
    bench.stack.stop().await.unwrap();
}

/// The comparison of events has shown that each `old` is right; this shows that there was something to compare.
fn assert_hidden_both_ways(bench: &Bench) {
    let hidden = |channel: &Value| channel["flags"].as_u64().unwrap_or_default() >> 17 & 1 == 1;
    let sent = bench.stack.sent();
    let (mut hides, mut shows, mut users) = (0, 0, 0);
    for event in sent.values().flatten() {
        let Some(old) = &event.old else { continue };
        let d: Value = serde_json::from_str(&event.data).unwrap();
        match event.name.as_str() {
            "CHANNEL_UPDATE" => {
                hides += u32::from(hidden(&d) && !hidden(old));
                shows += u32::from(!hidden(&d) && hidden(old));
            }
            "USER_UPDATE" => users += 1,
            _ => {}
        }
    }
    assert!(
        hides > 0 && shows > 0 && users > 0,
        "{hides} {shows} {users}"
    );
}

/// Two round trips: one that watches and reads, one that writes; whatever the number of events.
async fn a_batch_costs_one_watch_and_one_transaction(bench: &mut Bench) {
    let before = (commands(bench).await, steps(bench).await);
    let hot = [
        "MESSAGE_CREATE",
        "MESSAGE_UPDATE",
        "PRESENCE_UPDATE",
        "VOICE_STATE_UPDATE",
        "GUILD_MEMBER_UPDATE",
        "TYPING_START",
    ];
    let begin = Instant::now();
    bench.load(4_000, Mix::only(&hot)).await;
    bench.settle().await;
    let others = begin.elapsed().as_millis() as u64 / MEMBERS_EVERY_MS + 2;
    let after = (commands(bench).await, steps(bench).await);
    let calls = |name: &str| after.0.get(name).unwrap_or(&0) - before.0.get(name).unwrap_or(&0);
    let batches = after.1["batches"] - before.1["batches"];
    assert_eq!(after.1["events"] - before.1["events"], 4_000);
    assert!(
        batches < 2_000,
        "events did not travel together: {batches} batches"
    );
    assert_eq!(
        (calls("watch"), calls("multi"), calls("exec")),
        (batches, batches, batches)
    );
    let reads = calls("mget");
    assert!(
        reads <= batches + others,
        "{reads} MGETs for {batches} batches, {others} of them by others"
    );
    for step in ["read", "commit"] {
        assert_eq!(after.1[step] - before.1[step], batches, "{step}");
    }
    assert_eq!(after.1["purge"], before.1["purge"]);
    assert_eq!(
        calls("sscan") + calls("zscan") + calls("scan") + calls("keys"),
        0
    );
}

/// How often Redis has run each command.
async fn commands(bench: &Bench) -> BTreeMap<String, u64> {
    let mut redis = bench.stack.servers.redis.connection().await.unwrap();
    let info: String = cmd("INFO")
        .arg("commandstats")
        .query_async(&mut redis)
        .await
        .unwrap();
    let line = |line: &str| {
        let (name, stats) = line.strip_prefix("cmdstat_")?.split_once(":calls=")?;
        let calls = stats.split(',').next()?.parse().ok()?;
        Some((name.to_owned(), calls))
    };
    info.lines().filter_map(line).collect()
}

/// Batches, their events, and the steps on Redis so far.
async fn steps(bench: &Bench) -> BTreeMap<String, u64> {
    let metrics = bench.stack.writers[0].metrics().await.unwrap();
    let steps = metrics.by("writer_redis_seconds_count", "step");
    let mut steps: BTreeMap<String, u64> = steps
        .into_iter()
        .map(|(step, calls)| (step, calls as u64))
        .collect();
    for (name, metric) in [
        ("batches", "writer_batch_events_count"),
        ("events", "writer_batch_events_sum"),
    ] {
        steps.insert(name.into(), metrics.sum(metric).unwrap() as u64);
    }
    steps
}
