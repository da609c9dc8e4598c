//! `COMMAND_TTL`, and shards that are unknown or exist no more.

use std::time::{Duration, Instant};

use dispatch_proto::command::DEADLINE_HEADER;
use dispatch_proto::rabbit::{SEND_QUEUE, shard_queue};
use lapin::BasicProperties;
use lapin::types::{AMQPValue, FieldTable};
use serde_json::Value;

use crate::router::client::{Bench, LIMIT, command};

/// While the number of shards is unknown, every command has its own deadline, however many wait.
#[tokio::test(flavor = "multi_thread")]
async fn commands_expire_together_while_the_number_of_shards_is_unknown() {
    let mut bench = Bench::new(&[("COMMAND_TTL", "3000")]).await;
    bench.add_router();
    bench.routers[0].ready(LIMIT).await.unwrap();
    bench.client.declare("bot.replies", &[]).await;
    let began = Instant::now();
    for number in 0..5 {
        let properties = BasicProperties::default().with_reply_to("bot.replies".into());
        let body = command(0, number).to_string();
        bench
            .client
            .publish(SEND_QUEUE, properties, body.as_bytes())
            .await;
    }
    let (reasons, _) = bench.dead_letters(5).await;
    let waited = began.elapsed();
    assert!(
        reasons.iter().all(|reason| reason.contains("COMMAND_TTL")),
        "{reasons:?}"
    );
    // One after the other they would take 15 s.
    assert!(
        (Duration::from_secs(3)..Duration::from_secs(12)).contains(&waited),
        "{waited:?}"
    );
    for _ in 0..5 {
        let mut reply = None;
        bench
            .until("a reply", async || {
                reply = bench.client.take("bot.replies").await;
                reply.is_some()
            })
            .await;
        let reply: Value = serde_json::from_slice(&reply.unwrap().data).unwrap();
        assert_eq!(reply["ok"], false);
    }
    // More than are in hand at a time, all of them within `LIMIT`.
    bench.client.commands(0, 0..5_000).await;
    bench.dead_letters(5_000).await;
    bench.stop().await;
}

/// Commands wait for the number of shards, and for one that has grown; one for a shard that isn't there costs others nothing, even
/// when Redis is frozen.
#[tokio::test(flavor = "multi_thread")]
async fn an_unknown_shard_costs_no_one_else_time() {
    let mut bench = Bench::new(&[]).await;
    bench.add_router();
    bench.routers[0].ready(LIMIT).await.unwrap();
    bench.client.commands(1, 0..3).await;
    bench.set_shards(2).await;
    assert_eq!(bench.arrived(1, 3).await, [0, 1, 2]);
    // It has grown, and the router can't know yet.
    bench.set_shards(3).await;
    bench.client.commands(2, 0..3).await;
    assert_eq!(bench.arrived(2, 3).await, [0, 1, 2]);
    bench.servers.redis.freeze();
    bench.client.commands(99, 0..100).await;
    bench.client.commands(0, 0..50).await;
    // Within `LIMIT`: if each of the hundred cost the two seconds that it waits itself, it would take 200 s.
    assert_eq!(bench.arrived(0, 50).await, Vec::from_iter(0..50));
    let (reasons, _) = bench.dead_letters(100).await;
    assert!(
        reasons
            .iter()
            .all(|reason| reason.contains("shard 99 is unknown"))
    );
    bench.servers.redis.wake();
    bench.stop().await;
}

/// What lies in the queue of a shard that exists no more expires like what waits for one that nobody runs, whatever header a client
/// has given it.
#[tokio::test(flavor = "multi_thread")]
async fn queues_of_shards_that_exist_no_more_expire() {
    let mut bench = Bench::new(&[("COMMAND_TTL", "2000")]).await;
    bench.set_shards(4).await;
    // From a time with more shards, and before this router.
    bench.client.declare(&shard_queue(6), &[]).await;
    for deadline in [None, Some(i64::MAX), Some(1)] {
        let mut headers = FieldTable::default();
        if let Some(deadline) = deadline {
            headers.insert(DEADLINE_HEADER.into(), AMQPValue::LongLongInt(deadline));
        }
        let properties = BasicProperties::default().with_headers(headers);
        bench
            .client
            .publish(&shard_queue(6), properties, b"{}")
            .await;
    }
    bench.add_router();
    bench.routers[0].ready(LIMIT).await.unwrap();
    let (reasons, _) = bench.dead_letters(3).await;
    assert!(
        reasons.iter().all(|reason| reason.contains("COMMAND_TTL")),
        "{reasons:?}"
    );
    // Fewer shards while this router runs.
    bench.client.commands(3, 0..2).await;
    assert_eq!(bench.arrived(3, 2).await, [0, 1]);
    bench.client.commands(3, 2..4).await;
    bench.set_shards(2).await;
    let (reasons, _) = bench.dead_letters(2).await;
    assert_eq!(reasons.len(), 2);
    bench.stop().await;
}
