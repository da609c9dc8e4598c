//! What deletions of much take.

use std::collections::BTreeSet;

use dispatch_proto::frame::FrameBuilder;
use serde_json::{Value, json};

use super::planted::Planted;
use crate::alone;

const GUILD: u64 = 1;
const CHANNELS: u64 = 300;
const MEMBERS: u64 = 3_000;

/// A guild goes with its channels, each of which has messages, and its members. Its partition stands still meanwhile, so its pages must
/// not be fetched one after the other.
#[tokio::test(flavor = "multi_thread")]
async fn a_large_guild_goes_in_few_round_trips() {
    let _alone = alone().await;
    let mut planted = Planted::start().await;
    planted.frame(&[(1, "A")]).await;
    let mut last = 1;
    planted.metric("gateway_events", 1.0).await;
    let empty = keys(&mut planted).await;

    let channels: Vec<_> = (0..CHANNELS)
        .map(|at| json!({"id": id(at), "type": 0}))
        .collect();
    let guild = json!({"id": GUILD.to_string(), "channels": channels});
    let member = |at| json!({"user": {"id": id(at)}, "roles": []});
    let members: Vec<_> = (0..MEMBERS).map(member).collect();
    let chunk = json!({"guild_id": GUILD.to_string(), "members": members});
    let message = |at: u64| json!({"id": id(at), "channel_id": id(at), "guild_id": GUILD.to_string(), "author": {"id": id(0)}});
    let messages = (0..CHANNELS).map(|at| ("MESSAGE_CREATE", message(at)));
    let all = [("GUILD_CREATE", guild), ("GUILD_MEMBERS_CHUNK", chunk)]
        .into_iter()
        .chain(messages);
    put(&planted, &mut last, all).await;
    assert!(keys(&mut planted).await.len() > empty.len() + CHANNELS as usize);

    let before = reads(&mut planted).await;
    put(
        &planted,
        &mut last,
        [("GUILD_DELETE", json!({"id": GUILD.to_string()}))],
    )
    .await;
    let took = reads(&mut planted).await - before;
    assert!(took < 100, "{took} round trips");
    assert_eq!(keys(&mut planted).await, empty);
}

fn id(at: u64) -> String {
    (1_000_000 + at).to_string()
}

/// Puts these events into the partition's queue, and waits until all are published.
async fn put(
    planted: &Planted,
    last: &mut u64,
    events: impl IntoIterator<Item = (&'static str, Value)>,
) {
    let mut frame = FrameBuilder::new(0, 1, "s");
    for (name, data) in events {
        *last += 1;
        let payload = json!({"t": name, "s": *last, "op": 0, "d": data}).to_string();
        frame.push(*last, 0, payload.as_bytes());
    }
    planted.put(&frame.finish()).await;
    planted.metric("gateway_events", *last as f64).await;
}

/// All keys.
async fn keys(planted: &mut Planted) -> BTreeSet<String> {
    let keys: Vec<String> = redis::cmd("KEYS")
        .arg("*")
        .query_async(&mut planted.redis)
        .await
        .unwrap();
    keys.into_iter().collect()
}

/// Times that Redis has read something from a connection: a round trip each.
async fn reads(planted: &mut Planted) -> u64 {
    let info: redis::InfoDict = redis::cmd("INFO")
        .arg("stats")
        .query_async(&mut planted.redis)
        .await
        .unwrap();
    info.get("total_reads_processed").unwrap()
}
