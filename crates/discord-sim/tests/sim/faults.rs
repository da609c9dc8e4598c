//! Faults on demand.

use std::time::{Duration, Instant};

use discord_sim::{Fault, Load, Scope, SimConfig};
use serde_json::json;
use tokio::net::TcpStream;
use tokio_websockets::ClientBuilder;

use crate::{DEADLINE, client::RawClient, config, start, until};

#[tokio::test]
async fn a_drop_has_no_close_frame_and_can_be_resumed() {
    let sim = start(config()).await;
    let (mut client, _) = RawClient::ready(&sim, 0, 1).await;
    client.events_to(5).await;
    assert_eq!(sim.fault(Fault::Drop, Scope::Shard(1)), 0);
    assert_eq!(sim.fault(Fault::Drop, Scope::Shard(0)), 1);
    client.gone().await;
    let mut client = RawClient::resume(&sim, &client.session, 5).await;
    client.event("RESUMED").await;
}

#[tokio::test]
async fn a_black_hole_reads_nothing_and_keeps_the_session() {
    let sim = start(config()).await;
    let (mut client, _) = RawClient::ready(&sim, 0, 1).await;
    client.events_to(5).await;
    assert_eq!(sim.fault(Fault::BlackHole, Scope::All), 1);
    until("the connection is forgotten", || sim.connections() == 0).await;
    let presence =
        json!({"op": 3, "d": {"since": null, "activities": [], "status": "idle", "afk": false}});
    client.send(&presence).await;
    client.send(&json!({"op": 1, "d": 5})).await;
    let mut next = RawClient::resume(&sim, &client.session, 5).await;
    next.event("RESUMED").await;
    next.send(&json!({"op": 1, "d": 5})).await;
    next.op(11).await;
    assert!(sim.commands_received(0).is_empty());
    let heard = tokio::time::timeout(Duration::from_millis(100), client.next()).await;
    assert!(heard.is_err());
}

#[tokio::test]
async fn reconnect_is_op_7_and_a_close_for_who_stays() {
    let sim = start(config()).await;
    let (mut client, _) = RawClient::ready(&sim, 0, 1).await;
    sim.fault(Fault::Reconnect, Scope::All);
    client.op(7).await;
    assert_eq!(client.closed().await, 4000);
    let mut client = RawClient::resume(&sim, &client.session, client.sequence).await;
    client.event("RESUMED").await;
}

#[tokio::test]
async fn an_invalid_session_may_be_resumable_or_not() {
    let sim = start(config()).await;
    let (mut client, _) = RawClient::ready(&sim, 0, 1).await;
    client.events_to(5).await;
    sim.fault(Fault::InvalidSession { resumable: true }, Scope::All);
    assert_eq!(client.op(9).await["d"], true);
    client.close(4000).await;
    until("the connection is closed", || sim.connections() == 0).await;
    let mut client = RawClient::resume(&sim, &client.session, 5).await;
    client.event("RESUMED").await;

    sim.fault(Fault::InvalidSession { resumable: false }, Scope::All);
    assert_eq!(client.op(9).await["d"], false);
    let mut late = RawClient::resume(&sim, &client.session, client.sequence).await;
    assert_eq!(late.op(9).await["d"], false);
    // The first connection may identify anew.
    client.identify(0, 1).await;
    assert_ne!(
        client.event("READY").await["d"]["session_id"],
        client.session
    );
    assert_eq!(sim.invalid_sessions(), 3);
}

#[tokio::test]
async fn acks_stall_while_told_to() {
    let sim = start(config()).await;
    let (mut client, ready) = RawClient::ready(&sim, 0, 1).await;
    let guild = &ready["d"]["guilds"][0]["id"];
    let heartbeat = json!({"op": 1, "d": null});
    client.send(&heartbeat).await;
    client.op(11).await;
    sim.fault(Fault::StallAcks(true), Scope::All);
    client.send(&heartbeat).await;
    // A command after it is answered, so the heartbeat was read and left alone.
    client
        .send(&json!({"op": 43, "d": {"guild_id": guild, "fields": ["status"]}}))
        .await;
    client.event("CHANNEL_INFO").await;
    sim.fault(Fault::StallAcks(false), Scope::All);
    sim.fault(Fault::RequestHeartbeat, Scope::All);
    client.op(1).await;
    client.send(&heartbeat).await;
    client.op(11).await;
}

#[tokio::test]
async fn connections_are_refused_while_told_to() {
    let sim = start(config()).await;
    sim.fault(Fault::RefuseConnections(true), Scope::All);
    let address = sim.gateway_url();
    let tcp = TcpStream::connect(address.trim_start_matches("ws://"))
        .await
        .unwrap();
    let uri = format!("{address}/?v=10&encoding=json");
    assert!(
        ClientBuilder::new()
            .uri(&uri)
            .unwrap()
            .connect_on(tcp)
            .await
            .is_err()
    );
    sim.fault(Fault::RefuseConnections(false), Scope::All);

    sim.fault(Fault::RefuseConnections(true), Scope::Shard(1));
    let (_zero, _) = RawClient::ready(&sim, 0, 2).await;
    let mut one = RawClient::hello(&sim).await;
    one.identify(1, 2).await;
    one.gone().await;
    sim.fault(Fault::RefuseConnections(false), Scope::Shard(1));
    let (_one, _) = RawClient::ready(&sim, 1, 2).await;
}

#[tokio::test]
async fn a_slow_socket_is_slow() {
    let sim = start(config()).await;
    let (mut client, _) = RawClient::ready(&sim, 0, 1).await;
    client.events_to(5).await;
    let speed = 40_000;
    sim.fault(
        Fault::SlowSocket {
            bytes_per_second: speed,
        },
        Scope::All,
    );
    let start = Instant::now();
    sim.inject(0, "FILLER", &json!("x".repeat(20_000)).to_string());
    sim.inject(0, "FILLER", "{}");
    client.event("FILLER").await;
    client.event("FILLER").await;
    assert!(start.elapsed() > Duration::from_millis(400));
    sim.fault(Fault::NormalSocket, Scope::All);
    sim.generate(Load {
        events: Some(200),
        ..Load::default()
    })
    .await;
    assert!(sim.quiet(DEADLINE).await);
}

#[tokio::test]
async fn a_reader_that_stalls_holds_the_load_and_loses_nothing() {
    let sim = start(SimConfig {
        replay_limit: 2_000,
        ..config()
    })
    .await;
    let (mut client, _) = RawClient::ready(&sim, 0, 1).await;
    // Far more than the sockets' buffers hold; the client does not read.
    let load = sim.clone();
    let running = tokio::spawn(async move {
        let filler = json!({"filler": "x".repeat(200_000)}).to_string();
        for _ in 0..100 {
            load.inject(0, "FILLER", &filler);
        }
        load.generate(Load {
            events: Some(5_000),
            ..Load::default()
        })
        .await
    });
    until("the load is held", || sim.sessions()[0].behind > 1_000).await;
    assert!(!running.is_finished());
    client.events_to(5_105).await;
    assert_eq!(running.await.unwrap(), 5_000);
    assert!(sim.quiet(DEADLINE).await);
    // And a connection that is stuck can still be cut.
    sim.inject(0, "FILLER", &json!("x".repeat(40 << 20)).to_string());
    sim.fault(Fault::Drop, Scope::All);
    until("the connection is cut", || sim.connections() == 0).await;
}

#[tokio::test]
async fn poison_is_sent_as_it_is() {
    let sim = start(config()).await;
    let (mut client, _) = RawClient::ready(&sim, 0, 1).await;
    client.events_to(5).await;
    assert_eq!(sim.inject(0, "MESSAGE_CREATE", "{broken"), 1);
    assert_eq!(sim.inject_raw(0, r#"{"op":0,"s":$SEQ,"d":{}}"#), 1);
    assert_eq!(sim.inject_raw(0, "no json"), 1);
    assert_eq!(sim.inject_raw(7, "nobody"), 0);
    let expected = [
        r#"{"t":"MESSAGE_CREATE","s":6,"op":0,"d":{broken}"#,
        r#"{"op":0,"s":7,"d":{}}"#,
        "no json",
    ];
    for text in expected {
        assert_eq!(
            client.next().await,
            crate::client::Received::Payload(text.to_owned())
        );
    }
    assert!(sim.quiet(DEADLINE).await);
    let sent = sim.sent(0);
    assert_eq!(sent.len(), 7);
    assert!(sent.iter().all(|event| event.delivered));
    // Replayed, but for what has no sequence.
    client.close(4000).await;
    let mut client = RawClient::resume(&sim, &client.session, 5).await;
    for text in &expected[..2] {
        assert_eq!(
            client.next().await,
            crate::client::Received::Payload((*text).to_owned())
        );
    }
}
