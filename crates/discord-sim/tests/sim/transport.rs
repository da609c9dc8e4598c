//! Transport compression and large messages.

use discord_sim::{Fault, Load, Scope, SimConfig, WorldConfig};
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

/// Discord promises how a payload ends, not that it is one message.
#[tokio::test]
async fn a_payload_comes_in_several_messages_on_request() {
    let sim = start(config()).await;
    sim.fault(Fault::SplitMessages(true), Scope::All);
    let mut client = RawClient::connect(&sim, "v=10&encoding=json&compress=zlib-stream").await;
    let mut context = flate2::Decompress::new(true);
    let (hello, messages) = joined(&mut client, &mut context).await;
    assert_eq!((&hello["op"], messages > 1), (&json!(10), true));
    client.identify(0, 1).await;
    let (ready, messages) = joined(&mut client, &mut context).await;
    assert_eq!((&ready["t"], messages > 1), (&json!("READY"), true));
    // From the next batch on they are whole again.
    while joined(&mut client, &mut context).await.0["s"] != json!(sim.sent(0).len()) {}
    sim.fault(Fault::SplitMessages(false), Scope::All);
    sim.inject(0, "WHOLE", "{}");
    let (whole, messages) = joined(&mut client, &mut context).await;
    assert_eq!((&whole["t"], messages), (&json!("WHOLE"), 1));
}

/// The next payload, and how many messages it came in.
async fn joined(client: &mut RawClient, context: &mut flate2::Decompress) -> (Value, usize) {
    let (mut bytes, mut messages) = (Vec::new(), 0);
    while !bytes.ends_with(&[0, 0, 0xff, 0xff]) {
        bytes.extend(client.binary().await);
        messages += 1;
    }
    let mut text = Vec::with_capacity(1 << 20);
    let flush = flate2::FlushDecompress::Sync;
    context.decompress_vec(&bytes, &mut text, flush).unwrap();
    (serde_json::from_slice(&text).unwrap(), messages)
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

/// A name as a term's key, as Discord takes it, and what is under it.
fn term(pairs: &[(&str, &[u8])]) -> Vec<u8> {
    let mut bytes = vec![131, 116, 0, 0, 0, pairs.len() as u8];
    for (name, value) in pairs {
        bytes.extend([109, 0, 0, 0, name.len() as u8]);
        bytes.extend(name.as_bytes());
        bytes.extend(*value);
    }
    bytes
}

/// Numbers of each kind; a key that is no text is 4002, as Discord documents it.
#[tokio::test]
async fn terms_are_read_as_documented() {
    let sim = start(config()).await;
    let nil: &[u8] = b"s\x03nil";
    for (wrong, bytes) in [
        (
            "an atom as key",
            [
                &[131, 116, 0, 0, 0, 2, 115, 2][..],
                b"op",
                &[97, 1],
                b"s\x01d",
                nil,
            ]
            .concat(),
        ),
        (
            "a number as key",
            [&[131, 116, 0, 0, 0, 1, 97, 1], &[97, 1][..]].concat(),
        ),
        (
            "a text as opcode",
            term(&[("op", &[109, 0, 0, 0, 1, b'1']), ("d", nil)]),
        ),
        ("JSON", br#"{"op":1,"d":null}"#.to_vec()),
    ] {
        let mut client = RawClient::connect(&sim, "v=10&encoding=etf").await;
        client.binary().await;
        client.send_binary(bytes).await;
        assert_eq!(client.closed().await, 4002, "{wrong}");
    }
    let mut client = RawClient::connect(&sim, "v=10&encoding=etf").await;
    client.binary().await;
    let small_op: &[u8] = &[97, 1];
    let (op, big_op): (&[u8], &[u8]) = (&[98, 0, 0, 0, 1], &[110, 1, 0, 1]);
    for (op, d) in [
        (small_op, nil),
        (op, &[97, 255]),
        (big_op, &[98, 0, 1, 0, 0]),
        (small_op, &[110, 8, 0, 1, 2, 3, 4, 5, 6, 0, 0]),
    ] {
        client.send_binary(term(&[("op", op), ("d", d)])).await;
        let ack = client.binary().await;
        let is_ack = ack.windows(4).any(|bytes| bytes == [111, 112, 97, 11]);
        assert!(is_ack, "{op:?} {d:?}: {ack:?}");
    }
}

/// "Payload compression can only be enabled when using a JSON encoding."
#[tokio::test]
async fn terms_are_not_compressed_one_by_one() {
    let sim = start(config()).await;
    let mut client = RawClient::connect(&sim, "v=10&encoding=etf").await;
    client.binary().await;
    let text = |text: &str| {
        let length = u32::try_from(text.len()).unwrap().to_be_bytes();
        [&[109][..], &length, text.as_bytes()].concat()
    };
    let token = text("sim-token");
    let empty: &[u8] = &[116, 0, 0, 0, 0];
    let d = term(&[
        ("token", &token),
        ("intents", &[97, 1]),
        ("properties", empty),
        ("compress", b"s\x04true"),
    ]);
    let identify = term(&[("op", &[97, 2]), ("d", &d[1..])]);
    client.send_binary(identify).await;
    let ready = client.binary().await;
    assert_eq!(ready[..2], [131, 116]);
    assert!(ready.windows(5).any(|bytes| bytes == b"READY"));
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
