//! Transport compression and large messages.

use discord_sim::{Load, SimConfig, WorldConfig};
use serde_json::json;

use crate::{
    DEADLINE,
    client::{RawClient, Received},
    config, start,
};

#[tokio::test]
async fn every_compression_carries_the_same_bytes() {
    let sim = start(config()).await;
    for compression in ["", "&compress=zlib-stream", "&compress=zstd-stream"] {
        let query = format!("v=10&encoding=json{compression}");
        let mut client = RawClient::connect(&sim, &query).await;
        client.op(10).await;
        client.identify(0, 1).await;
        let ready = client.event("READY").await;
        let before = sim.sent(0).len();
        sim.generate(Load {
            events: Some(300),
            ..Load::default()
        })
        .await;
        let mut texts = Vec::new();
        let session = ready["d"]["session_id"].as_str().unwrap();
        let sent: Vec<_> = sim
            .sent(0)
            .into_iter()
            .filter(|e| e.session == session)
            .collect();
        while client.sequence < sent.last().unwrap().seq {
            match client.next().await {
                Received::Payload(text) => texts.push(text),
                other => panic!("{other:?}"),
            }
        }
        assert!(before >= 5);
        for (text, event) in texts.iter().zip(&sent[1..]) {
            let expected = format!(
                r#"{{"t":"{}","s":{},"op":0,"d":{}}}"#,
                event.t, event.seq, event.d
            );
            assert!(*text == expected, "{text}\n{expected}");
        }
        assert_eq!(texts.len(), sent.len() - 1);
        client.close(1000).await;
    }
}

#[tokio::test]
async fn an_unknown_compression_is_refused() {
    let sim = start(config()).await;
    let mut client = RawClient::connect(&sim, "v=10&encoding=json&compress=brotli").await;
    assert_eq!(client.closed().await, 4002);
}

#[tokio::test]
async fn twenty_megabytes_pass_in_one_message() {
    let world = WorldConfig {
        guilds: 1,
        members_per_guild: 5,
        ..WorldConfig::default()
    };
    let sim = start(SimConfig { world, ..config() }).await;
    for compression in ["", "&compress=zlib-stream", "&compress=zstd-stream"] {
        let query = format!("v=10&encoding=json{compression}");
        let mut client = RawClient::connect(&sim, &query).await;
        client.op(10).await;
        client.identify(0, 1).await;
        client.event("READY").await;
        let d = json!({"filler": "x".repeat(20 << 20)}).to_string();
        sim.inject(0, "GIANT", &d);
        let giant = client.event("GIANT").await;
        assert_eq!(giant["d"]["filler"].as_str().unwrap().len(), 20 << 20);
        assert!(sim.quiet(DEADLINE).await);
        client.close(1000).await;
    }
}
