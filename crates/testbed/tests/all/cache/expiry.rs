//! Times to live: what has expired is gone from the indexes and counts, too.

use std::collections::BTreeMap;

use discord_sim::Mix;
use testbed::wait;

use super::bench::{Bench, LIMIT, options};
use super::contents::Contents;
use crate::alone;

/// Members that live as long as messages: until something happens to them.
#[tokio::test(flavor = "multi_thread")]
async fn what_expires_leaves_nothing() {
    let _alone = alone().await;
    let mut options = options("dispatch", 2, 10);
    options
        .env
        .insert("STATE_MEMBER_TTL".into(), "300000".into());
    let mut bench = Bench::start(&options).await;
    bench.load(1_500, Mix::realistic()).await;
    bench.assert_exact().await;

    for name in ["STATE_MEMBER_TTL", "STATE_MESSAGE_TTL"] {
        options.env.insert(name.into(), "1500".into());
    }
    let mut bench = Bench::on(bench.renewed().await, &options).await;
    bench.load(1_000, Mix::realistic()).await;
    bench.settle().await;
    let mut left = Vec::new();
    let expired = wait::until("members and messages to expire", LIMIT, async || {
        let contents = Contents::read(&bench.stack.servers.redis, 0).await;
        let expiring = |key: &&String| {
            [
                "member:",
                "message:",
                "index:expiring_members:",
                "index:messages:",
            ]
            .iter()
            .any(|prefix| key.starts_with(prefix))
        };
        left = contents.values.keys().filter(expiring).cloned().collect();
        left.is_empty()
    });
    expired
        .await
        .unwrap_or_else(|error| panic!("{error}: {left:?}"));

    // What doesn't expire stays, and the counts follow.
    let mut truth = bench.stack.sim.truth();
    truth.retain(|key, _| !key.starts_with("member:") && !key.starts_with("message:"));
    let counts: BTreeMap<String, i64> = super::expected::counts(&truth);
    bench.assert_counts(&counts).await;
    bench.load(500, Mix::realistic()).await;
    bench.settle().await;
    assert_eq!(bench.metric("writer_store_errors_total").await, 0.0);
    bench.stack.stop().await.unwrap();
}
