//! Transport compression and large messages.

use discord_sim::{Load, SimConfig, WorldConfig};
use serde_json::{Value, json};

use crate::{
    ALL_INTENTS, DEADLINE,
    client::{RawClient, Received, identify},
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

/// The whole of READY by itself, as a client asks for it in IDENTIFY.
#[tokio::test]
async fn large_payloads_are_compressed_on_request() {
    let sim = start(config()).await;
    let mut client = RawClient::hello(&sim).await;
    let mut d = identify(0, 1);
    d["compress"] = json!(true);
    client.send(&json!({"op": 2, "d": d})).await;
    let bytes = client.binary().await;
    let mut plain = Vec::with_capacity(1 << 20);
    flate2::Decompress::new(true)
        .decompress_vec(&bytes, &mut plain, flate2::FlushDecompress::Finish)
        .unwrap();
    let ready: Value = serde_json::from_slice(&plain).unwrap();
    assert_eq!(ready["t"], "READY");
}

/// HELLO and READY as terms; an IDENTIFY as a term.
#[tokio::test]
async fn etf_is_spoken_both_ways() {
    let sim = start(config()).await;
    let mut client = RawClient::connect(&sim, "v=9&encoding=etf").await;
    let hello = client.binary().await;
    assert_eq!(hello[..6], [131, 116, 0, 0, 0, 4]);
    // `{op => 1, d => nil}`
    let heartbeat = [
        131, 116, 0, 0, 0, 2, 109, 0, 0, 0, 2, 111, 112, 97, 1, 109, 0, 0, 0, 1, 100, 115, 3, 110,
        105, 108,
    ];
    client.send_binary(heartbeat.to_vec()).await;
    let ack = client.binary().await;
    assert!(
        ack.windows(4).any(|bytes| bytes == [111, 112, 97, 11]),
        "{ack:?}"
    );
}

/// Without the intent content is blank, and what a cache then holds is so, too.
#[tokio::test]
async fn content_is_for_who_asks_for_it() {
    let sim = start(config()).await;
    let mut client = RawClient::hello(&sim).await;
    let mut d = identify(0, 1);
    d["intents"] = json!(ALL_INTENTS & !(1 << 15));
    client.send(&json!({"op": 2, "d": d})).await;
    client.event("READY").await;
    let action = json!({"do": "message", "content": "a secret"});
    sim.act(&serde_json::from_value(action).unwrap()).unwrap();
    let told = client.event("MESSAGE_CREATE").await;
    assert_eq!(told["d"]["content"], "");
    assert!(sim.quiet(DEADLINE).await);
    let (channel, message) = (&told["d"]["channel_id"], &told["d"]["id"]);
    let key = format!(
        "message:{}:{}",
        channel.as_str().unwrap(),
        message.as_str().unwrap()
    );
    assert_eq!(sim.truth_of(&key).unwrap()["content"], "");
}
