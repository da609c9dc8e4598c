//! The load: counts, rates, waiting.

use std::time::{Duration, Instant};

use discord_sim::{Load, Mix, SimConfig};

use crate::{DEADLINE, client::RawClient, config, start, until};

#[tokio::test]
async fn without_a_session_it_waits() {
    let sim = start(config()).await;
    let load = Load {
        duration: Some(Duration::from_millis(100)),
        ..Load::default()
    };
    assert_eq!(sim.generate(load).await, 0);
    let loading = sim.clone();
    let load = Load {
        events: Some(100),
        ..Load::default()
    };
    let running = tokio::spawn(async move { loading.generate(load).await });
    let (mut client, _) = RawClient::ready(&sim, 0, 1).await;
    client.events_to(105).await;
    assert_eq!(running.await.unwrap(), 100);
}

#[tokio::test]
async fn a_rate_is_kept() {
    let sim = start(config()).await;
    let (mut client, _) = RawClient::ready(&sim, 0, 1).await;
    let start = Instant::now();
    let load = Load {
        events: Some(200),
        rate: Some(500.0),
        ..Load::default()
    };
    assert_eq!(sim.generate(load).await, 200);
    assert!(
        start.elapsed() >= Duration::from_millis(390),
        "{:?}",
        start.elapsed()
    );
    client.events_to(205).await;
}

#[tokio::test]
async fn a_mix_nobody_wants_ends() {
    let sim = start(config()).await;
    let mut client = RawClient::hello(&sim).await;
    let mut d = crate::client::identify(0, 1);
    d["intents"] = 0.into();
    client.send(&serde_json::json!({"op": 2, "d": d})).await;
    client.event("READY").await;
    let mix = Mix::only(&["TYPING_START"]);
    assert_eq!(
        sim.generate(Load {
            mix,
            ..Load::default()
        })
        .await,
        0
    );
}

#[tokio::test]
async fn a_load_stops_when_told() {
    let sim = start(config()).await;
    let (mut client, _) = RawClient::ready(&sim, 0, 1).await;
    let loading = sim.clone();
    let running = tokio::spawn(async move { loading.generate(Load::default()).await });
    until("events are made", || sim.counts().produced > 0).await;
    sim.stop_load();
    let made = running.await.unwrap();
    client.events_to(5 + made).await;
    // The next load is not affected.
    let load = Load {
        events: Some(3),
        ..Load::default()
    };
    assert_eq!(sim.generate(load).await, 3);
}

#[tokio::test]
async fn without_payloads_the_truth_is_the_same() {
    let mut truths = Vec::new();
    for keep_payloads in [true, false] {
        let sim = start(SimConfig {
            keep_payloads,
            ..config()
        })
        .await;
        let (mut client, _) = RawClient::ready(&sim, 0, 1).await;
        let load = Load {
            events: Some(3_000),
            ..Load::default()
        };
        let (made, ()) = tokio::join!(sim.generate(load), async {
            client.events_to(3_005).await;
        });
        assert_eq!(made, 3_000);
        assert!(sim.quiet(DEADLINE).await);
        truths.push(sim.truth());
        assert_eq!(sim.sent(0).is_empty(), !keep_payloads);
    }
    assert!(truths[0].len() > 100);
    assert_eq!(truths[0], truths[1]);
}
