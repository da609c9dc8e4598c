//! Queues that are full and refuse what is published to them.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use dispatch_proto::rabbit::{DEAD_QUEUE, HEADER_REASON, SEND_QUEUE, shard_queue};
use lapin::BasicProperties;

use crate::router::client::{Bench, LIMIT, header, number};

/// A reply that is refused is counted and forgotten.
#[tokio::test(flavor = "multi_thread")]
async fn a_full_reply_queue_holds_up_nobody() {
    let bench = Bench::start(2, &[]).await;
    bench.client.full("bot.replies").await;
    for reply_to in ["bot.replies", "nobody", "amq.rabbitmq.reply-to.gone"] {
        for _ in 0..5 {
            let properties = BasicProperties::default().with_reply_to(reply_to.into());
            bench
                .client
                .publish(SEND_QUEUE, properties.clone(), b"{")
                .await;
            let status = br#"{"op":3,"shard":0}"#;
            bench.client.publish(SEND_QUEUE, properties, status).await;
        }
    }
    bench.client.commands(0, 0..20).await;
    assert_eq!(bench.arrived(0, 20).await, Vec::from_iter(0..20));
    let (reasons, _) = bench.dead_letters(15).await;
    assert!(
        reasons.iter().all(|reason| reason.contains("json")),
        "{reasons:?}"
    );
    let lost = async || bench.metric("command_router_lost_replies_total").await >= 30.0;
    bench.until("30 lost replies", lost).await;
    // Nothing repeats.
    assert!(bench.client.take(&shard_queue(0)).await.is_none());
    assert!(bench.client.take(DEAD_QUEUE).await.is_none());
    bench.stop().await;
}

/// A shard's queue that refuses holds up its own commands alone, in order, until there is room.
#[tokio::test(flavor = "multi_thread")]
async fn a_full_shard_queue_holds_up_its_shard_alone() {
    let mut bench = Bench::new(&[]).await;
    bench.client.full(&shard_queue(0)).await;
    bench.set_shards(2).await;
    bench.add_router();
    bench.routers[0].ready(LIMIT).await.unwrap();
    bench.client.commands(0, 0..60).await;
    bench.client.commands(1, 0..300).await;
    assert_eq!(bench.arrived(1, 300).await, Vec::from_iter(0..300));
    let refused = async || {
        bench
            .metric("command_router_shard_queue_refusals_total")
            .await
            > 3.0
    };
    bench.until("refusals", refused).await;
    let filler = bench.client.take(&shard_queue(0)).await.unwrap();
    assert_eq!(filler.data, b"filler");
    // Each is taken as soon as there is room for it.
    assert_eq!(bench.arrived(0, 60).await, Vec::from_iter(0..60));
    let counted = async || bench.metric("command_router_commands_total").await == 360.0;
    bench.until("each to be counted once", counted).await;
    bench.stop().await;
}

/// More commands than may wait for a queue that refuses, and then more: each becomes a dead letter at its own deadline, or at once.
#[tokio::test(flavor = "multi_thread")]
async fn what_a_full_shard_queue_never_takes_expires() {
    let ttl = Duration::from_secs(3);
    let mut bench = Bench::new(&[("COMMAND_TTL", &ttl.as_millis().to_string())]).await;
    bench.client.full(&shard_queue(0)).await;
    bench.set_shards(2).await;
    bench.add_router();
    bench.routers[0].ready(LIMIT).await.unwrap();
    let began = Instant::now();
    bench.client.commands(0, 0..2_500).await;
    bench.client.commands(1, 0..10).await;
    assert_eq!(bench.arrived(1, 10).await, Vec::from_iter(0..10));
    let mut reasons = BTreeMap::new();
    bench
        .until("a dead letter of each", async || {
            while let Some(message) = bench.client.take(DEAD_QUEUE).await {
                // It expires, too: no shard takes it. A command may then be next in the queue, and expire there.
                if message.data == b"filler" {
                    continue;
                }
                let number = number(&message.data);
                let before = reasons.insert(number, header(&message, HEADER_REASON));
                assert!(before.is_none(), "{number} was rejected twice");
            }
            reasons.len() >= 2_500
        })
        .await;
    assert!(reasons.keys().copied().eq(0..2_500));
    let (refused, taken): (Vec<_>, Vec<_>) = reasons
        .values()
        .partition(|reason| reason.contains("gateway:0"));
    let expired = refused
        .iter()
        .filter(|reason| reason.contains("COMMAND_TTL"));
    assert!(expired.count() >= 1_000);
    assert!(
        taken.iter().all(|reason| reason.contains("COMMAND_TTL")),
        "{taken:?}"
    );
    // One at a time lies there, each for as long as commands may wait.
    let turns = began.elapsed().div_duration_f64(ttl);
    assert!((taken.len() as f64) < turns, "{}", taken.len());
    bench.stop().await;
}

/// A queue of dead letters that refuses costs the letters, nothing else.
#[tokio::test(flavor = "multi_thread")]
async fn a_full_queue_of_dead_letters_holds_up_nobody() {
    let mut bench = Bench::new(&[]).await;
    bench.client.full(DEAD_QUEUE).await;
    bench.set_shards(2).await;
    bench.add_router();
    bench.routers[0].ready(LIMIT).await.unwrap();
    let replies = "bot.replies";
    bench.client.declare(replies, &[]).await;
    for _ in 0..10 {
        let properties = BasicProperties::default().with_reply_to(replies.into());
        bench.client.publish(SEND_QUEUE, properties, b"{").await;
    }
    bench.client.commands(1, 0..50).await;
    assert_eq!(bench.arrived(1, 50).await, Vec::from_iter(0..50));
    let lost = async || bench.metric("command_router_lost_dead_letters_total").await == 10.0;
    bench.until("10 lost dead letters", lost).await;
    let mut told = 0;
    bench
        .until("10 replies", async || {
            told += usize::from(bench.client.take(replies).await.is_some());
            told == 10
        })
        .await;
    assert!(
        bench.logs().contains("rejected command lost"),
        "{}",
        bench.logs()
    );
    assert!(bench.client.take(&shard_queue(1)).await.is_none());
    // All are acknowledged: a new router gets none of them.
    bench.routers[0].kill9();
    bench.add_router();
    bench.routers[1].ready(LIMIT).await.unwrap();
    bench.client.commands(0, [7]).await;
    assert_eq!(bench.arrived(0, 1).await, [7]);
    let again = bench.routers[1].metrics().await.unwrap();
    let outcomes = again.by("command_router_commands_total", "outcome");
    let refused = outcomes.get("refused").copied().unwrap_or_default();
    assert_eq!(refused, 0.0, "{outcomes:?}");
}
