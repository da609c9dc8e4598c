//! The shape of every documented payload, bent: each is published in order, and the cache stays the truth.

use std::collections::BTreeMap;

use discord_sim::Mix;
use discord_sim::generator::{DISPATCH_TYPES, UNKNOWN_TYPE};
use serde_json::Value;
use testbed::wait;

use super::bench::{Bench, LIMIT, options};
use super::mutations;
use crate::alone;

/// Payloads between two looks at what has arrived: what is injected waits for no reader.
const PAGE: usize = 2_000;
/// What Discord's session is known by: the gateway client itself reads these.
const SESSION: [&str; 3] = ["session_id", "resume_gateway_url", "guilds"];

#[tokio::test(flavor = "multi_thread")]
async fn every_payload_may_be_bent() {
    let _alone = alone().await;
    let mut options = options("dispatch", 1, 4);
    options.sim.world.members_per_guild = 8;
    options.sim.world.channels_per_guild = 4;
    let mut bench = Bench::start(&options).await;
    // First of all: READY removes the guilds that it doesn't list, and later this one's list is no longer right.
    let ready = mutations::of(&samples(&bench)["READY"], &SESSION);
    send(
        &mut bench,
        ready.into_iter().map(|d| ("READY", d)).collect(),
    )
    .await;
    let names: Vec<&str> = DISPATCH_TYPES.into_iter().chain([UNKNOWN_TYPE]).collect();
    bench.load(3_000, Mix::only(&names)).await;
    bench.assert_exact().await;

    let samples = samples(&bench);
    let mut bent = Vec::new();
    for name in names {
        // A gateway client doesn't survive READYs without a session, and RESUMED has nothing in it.
        if ["READY", "RESUMED"].contains(&name) {
            continue;
        }
        let sample = samples
            .get(name)
            .unwrap_or_else(|| panic!("no example of {name}"));
        let mutants = mutations::of(sample, &[]).into_iter();
        let payloads = mutants.chain(mutations::no_objects());
        // Last the whole one: what is cached is right again before the next name's turn.
        bent.extend(payloads.chain([sample.clone()]).map(|d| (name, d)));
    }
    assert!(bent.len() > 3_000, "{} payloads", bent.len());
    send(&mut bench, bent).await;
    assert_eq!(dead_letters(&bench).await, 0);

    // Three that can't be published: no JSON, no name, larger than a message may be.
    bench
        .stack
        .sim
        .inject(0, "MESSAGE_CREATE", r#"{"id": broken"#);
    bench.stack.sim.inject_raw(0, r#"{"s":$SEQ,"op":0,"d":{}}"#);
    let large = format!(r#"{{"content":"{}"}}"#, "x".repeat(20 * 1024 * 1024));
    bench.stack.sim.inject(0, "MESSAGE_CREATE", &large);
    let before = bench.stack.collector.ledger().events();
    bench.load(500, Mix::realistic()).await;
    let flows = async || bench.stack.collector.ledger().events() >= before + 500;
    wait::until("events behind what can't be published", LIMIT, flows)
        .await
        .unwrap();
    assert_eq!(dead_letters(&bench).await, 3);
    bench.assert_cache(&bench.stack.sim.truth()).await;
    assert!(bench.stack.processes().all(|process| process.runs()));
    assert_eq!(bench.stack.sim.identifies(), 1);
    bench.stack.stop().await.unwrap();
}

/// Sends payloads and asserts, page by page, that all is exact.
async fn send(bench: &mut Bench, payloads: Vec<(&str, Value)>) {
    for page in payloads.chunks(PAGE) {
        for (name, d) in page {
            assert_eq!(bench.stack.sim.inject(0, name, &d.to_string()), 1);
        }
        bench.assert_exact().await;
    }
}

/// A payload of each event: of those with the most fields, the last.
fn samples(bench: &Bench) -> BTreeMap<String, Value> {
    let mut samples: BTreeMap<String, Value> = BTreeMap::new();
    for event in bench.stack.sent().into_values().flatten() {
        let d: Value = serde_json::from_str(&event.data).unwrap();
        let fields = |value: &Value| value.as_object().map_or(0, |fields| fields.len());
        let known = samples.entry(event.name).or_insert(Value::Null);
        if fields(&d) >= fields(known) {
            *known = d;
        }
    }
    samples
}

async fn dead_letters(bench: &Bench) -> u32 {
    let queue = "gateway.dead".to_owned();
    let depths = bench
        .stack
        .servers
        .rabbitmq
        .queue_depths(std::slice::from_ref(&queue))
        .await;
    depths.unwrap()[&queue]
}
