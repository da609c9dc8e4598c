//! Every close code of the gateway, and what it leaves of the session.

use std::time::Duration;

use discord_sim::{Fault, Scope, SimConfig};
use serde_json::{Value, json};

use crate::{
    client::{RawClient, identify},
    config, start,
};

fn with(field: &str, value: Value) -> Value {
    let mut d = identify(0, 1);
    d["intents"] = json!(1);
    d[field] = value;
    json!({"op": 2, "d": d})
}

#[tokio::test]
async fn wrong_first_payloads_are_closed_with_their_code() {
    let config = SimConfig {
        disallowed_intents: 1 << 8,
        ..config()
    };
    let sim = start(config).await;
    let cases = [
        (json!({"op": 99, "d": null}), 4001),
        (json!({"op": "x"}), 4002),
        (json!({"op": 2, "d": {}}), 4002),
        (
            json!({"op": 4, "d": {"guild_id": "1", "channel_id": null}}),
            4003,
        ),
        (with("token", json!("wrong")), 4004),
        (
            json!({"op": 6, "d": {"token": "wrong", "session_id": "x", "seq": 1}}),
            4004,
        ),
        (with("shard", json!([1, 1])), 4010),
        (with("intents", json!(1u64 << 40)), 4013),
        (with("intents", json!(1 << 8)), 4014),
    ];
    for (payload, code) in cases {
        let mut client = RawClient::hello(&sim).await;
        client.send(&payload).await;
        assert_eq!(client.closed().await, code, "{payload}");
    }
    assert_eq!(sim.identifies(), 0);
}

#[tokio::test]
async fn a_large_bot_must_shard() {
    let sim = start(SimConfig {
        required_shards: 2,
        ..config()
    })
    .await;
    let mut client = RawClient::hello(&sim).await;
    client.identify(0, 1).await;
    assert_eq!(client.closed().await, 4011);
}

#[tokio::test]
async fn another_version_or_encoding_is_closed() {
    let sim = start(config()).await;
    for (query, code) in [
        ("v=5&encoding=json", 4012),
        ("v=11&encoding=json", 4012),
        ("v=10&encoding=xml", 4002),
    ] {
        assert_eq!(
            RawClient::connect(&sim, query).await.closed().await,
            code,
            "{query}"
        );
    }
}

#[tokio::test]
async fn identify_twice_is_4005_and_leaves_the_session() {
    let sim = start(config()).await;
    let (mut client, _) = RawClient::ready(&sim, 0, 1).await;
    client.identify(0, 1).await;
    assert_eq!(client.closed().await, 4005);
    let mut client = RawClient::resume(&sim, &client.session, client.sequence).await;
    client.event("RESUMED").await;
}

#[tokio::test]
async fn a_sequence_from_the_future_is_4007_and_ends_the_session() {
    let sim = start(config()).await;
    let (mut client, _) = RawClient::ready(&sim, 0, 1).await;
    client.close(4000).await;
    let mut ahead = RawClient::resume(&sim, &client.session, 1_000_000).await;
    assert_eq!(ahead.closed().await, 4007);
    let mut late = RawClient::resume(&sim, &client.session, 1).await;
    assert_eq!(late.op(9).await["d"], false);
}

#[tokio::test]
async fn too_many_payloads_are_4008() {
    let sim = start(SimConfig {
        send_limit: (5, Duration::from_secs(60)),
        ..config()
    })
    .await;
    let (mut client, _) = RawClient::ready(&sim, 0, 1).await;
    for _ in 0..4 {
        client.send(&json!({"op": 1, "d": null})).await;
        client.op(11).await;
    }
    assert!(sim.violations().is_empty());
    client.send(&json!({"op": 1, "d": null})).await;
    assert_eq!(client.closed().await, 4008);
    assert_eq!(sim.violations().len(), 1);
}

/// Discord's limit, with IDENTIFY and heartbeats counted.
#[tokio::test]
async fn the_121st_payload_of_a_minute_is_4008() {
    let sim = start(config()).await;
    let (mut client, _) = RawClient::ready(&sim, 0, 1).await;
    for _ in 0..119 {
        client.send(&json!({"op": 1, "d": null})).await;
        client.op(11).await;
    }
    client.send(&json!({"op": 1, "d": null})).await;
    assert_eq!(client.closed().await, 4008);
}

#[tokio::test]
async fn too_large_a_payload_is_4002() {
    let sim = start(config()).await;
    let (mut client, _) = RawClient::ready(&sim, 0, 1).await;
    let filler = "x".repeat(4_096);
    client.send(&json!({"op": 1, "d": null, "x": filler})).await;
    assert_eq!(client.closed().await, 4002);
    assert_eq!(sim.violations().len(), 1);
}

#[tokio::test]
async fn a_zombie_is_4009_and_its_session_ends() {
    let sim = start(SimConfig {
        heartbeat_interval: Duration::from_millis(100),
        ..config()
    })
    .await;
    let (mut client, _) = RawClient::ready(&sim, 0, 1).await;
    assert_eq!(client.closed().await, 4009);
    assert!(sim.sessions().is_empty());
}

#[tokio::test]
async fn any_code_can_be_asked_for() {
    let sim = start(config()).await;
    for (code, stays) in [
        (4000, true),
        (4004, false),
        (4009, false),
        (4014, false),
        (1001, true),
    ] {
        let (mut client, _) = RawClient::ready(&sim, 0, 1).await;
        assert_eq!(sim.fault(Fault::Close(code), Scope::All), 1);
        assert_eq!(client.closed().await, code);
        assert_eq!(sim.sessions().len(), usize::from(stays), "{code}");
    }
}

#[tokio::test]
async fn the_clients_own_code_decides_about_the_session() {
    let sim = start(config()).await;
    for (code, stays) in [(1000, false), (1001, false), (4000, true), (4999, true)] {
        let (mut client, _) = RawClient::ready(&sim, 0, 1).await;
        client.close(code).await;
        crate::until("the connection is closed", || sim.connections() == 0).await;
        assert_eq!(sim.sessions().len(), usize::from(stays), "{code}");
    }
}
