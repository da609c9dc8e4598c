//! Several routers: one is active, and another takes over when it ends.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use dispatch_proto::rabbit::{ROUTER_LOCK, SEND_QUEUE};
use lapin::types::AMQPValue;
use testbed::process::Process;

use crate::router::client::{Bench, LIMIT};

/// Commands of a shard that may repeat when a router is killed: one is in flight, and the acknowledgements of those before it may
/// not have left the process.
const REPEATS: usize = 8;

async fn index_of_active(routers: &[Process]) -> Option<usize> {
    for (index, router) in routers.iter().enumerate() {
        if let Ok(metrics) = router.metrics().await
            && metrics.sum("command_router_active") == Some(1.0)
        {
            return Some(index);
        }
    }
    None
}

/// Routers that are started together: one is active, whatever type the queue has, and all are ready.
async fn started_together(queue_type: &str, env: &[(&str, &str)]) {
    let mut bench = Bench::new(env).await;
    bench.set_shards(1).await;
    if !queue_type.is_empty() {
        let queue_type = AMQPValue::LongString(queue_type.into());
        bench
            .client
            .declare(SEND_QUEUE, &[("x-queue-type", queue_type)])
            .await;
    }
    for _ in 0..4 {
        bench.routers.clear();
        for _ in 0..3 {
            bench.add_router();
        }
        for router in &mut bench.routers {
            router.ready(LIMIT).await.unwrap();
        }
        assert_eq!(bench.active().await, 1);
        bench.client.commands(0, 0..100).await;
        assert_eq!(bench.arrived(0, 100).await, Vec::from_iter(0..100));
        assert_eq!(bench.active().await, 1);
    }
    bench.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_of_three_is_active_on_a_classic_queue() {
    started_together("classic", &[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_of_three_is_active_on_a_quorum_queue() {
    started_together("quorum", &[]).await;
}

/// With `RABBIT_QUEUE_TYPE=quorum` the queues are quorum queues.
#[tokio::test(flavor = "multi_thread")]
async fn the_queue_type_is_that_of_the_setting() {
    let env = [
        ("RABBIT_QUEUE_TYPE", "quorum"),
        ("SPECTACLES_EXCHANGE", "spec"),
    ];
    let bench = Bench::start(1, &env).await;
    bench.client.commands(0, 0..10).await;
    assert_eq!(bench.arrived(0, 10).await, Vec::from_iter(0..10));
    let quorum = AMQPValue::LongString("quorum".into());
    for queue in [SEND_QUEUE, "spec:SEND", "spec:0", "gateway:0"] {
        bench
            .client
            .declare(queue, &[("x-queue-type", quorum.clone())])
            .await;
    }
    bench.stop().await;
}

/// Another takes over within a second, whether the active router is killed or asked to end.
#[tokio::test(flavor = "multi_thread")]
async fn another_takes_over_at_once() {
    let mut bench = Bench::start(1, &[]).await;
    bench.add_router();
    bench.routers[1].ready(LIMIT).await.unwrap();
    for turn in 0..6 {
        let active = index_of_active(&bench.routers).await.unwrap();
        let ended = Instant::now();
        match turn % 2 {
            0 => bench.routers[active].kill9(),
            _ => bench.routers[active].stop(LIMIT).await.unwrap(),
        }
        let other = 1 - active;
        let took = async || index_of_active(&bench.routers).await == Some(other);
        bench.until("the other to be active", took).await;
        let waited = ended.elapsed();
        // Sooner than RabbitMQ would notice by a missing heartbeat.
        assert!(waited < Duration::from_secs(8), "turn {turn}: {waited:?}");
        bench.client.commands(0, [turn]).await;
        assert_eq!(bench.arrived(0, 1).await, [turn]);
        bench.routers[active].restart().unwrap();
        bench.routers[active].ready(LIMIT).await.unwrap();
    }
    bench.stop().await;
}

/// A router whose lock is deleted is not active any more until it has it again.
#[tokio::test(flavor = "multi_thread")]
async fn the_right_ends_with_the_lock() {
    let mut bench = Bench::start(1, &[]).await;
    let expression = format!(
        "{{ok, Q}} = rabbit_amqqueue:lookup(rabbit_misc:r(<<\"/\">>, queue, <<\"{ROUTER_LOCK}\">>)), \
         rabbit_amqqueue:delete(Q, false, false, <<\"test\">>)."
    );
    bench.servers.rabbitmq.eval(&expression).await.unwrap();
    let noticed = async || bench.logs().contains("routing was interrupted");
    bench.until("the loss to be noticed", noticed).await;
    bench.routers[0].ready(LIMIT).await.unwrap();
    bench.client.commands(0, [1]).await;
    assert_eq!(bench.arrived(0, 1).await, [1]);
    bench.stop().await;
}

/// 800 commands for four shards, with two routers that are killed twice each: all arrive, in order.
async fn killed_under_commands(queue_type: &str) {
    let mut bench = Bench::start(4, &[("RABBIT_QUEUE_TYPE", queue_type)]).await;
    bench.add_router();
    bench.routers[1].ready(LIMIT).await.unwrap();
    let mut arrived: BTreeMap<u32, Vec<u64>> = BTreeMap::new();
    for part in 0..4_u64 {
        for number in part * 50..(part + 1) * 50 {
            for shard in 0..4 {
                bench.client.commands(shard, [number]).await;
            }
        }
        let active = index_of_active(&bench.routers).await.unwrap();
        // In the middle of those that are on their way now.
        let burst = 200 + part * 100;
        for shard in 0..4 {
            bench.client.commands(shard, burst..burst + 100).await;
        }
        bench.routers[active].kill9();
        for shard in 0..4 {
            let known = arrived.entry(shard).or_default();
            let whole = |known: &Vec<u64>| known.contains(&(burst + 99));
            while !whole(known) {
                known.extend(bench.arrived(shard, 1).await);
            }
        }
        bench.routers[active].restart().unwrap();
        bench.routers[active].ready(LIMIT).await.unwrap();
    }
    let sent: Vec<u64> = (0..4)
        .flat_map(|part: u64| {
            let burst = 200 + part * 100;
            (part * 50..(part + 1) * 50).chain(burst..burst + 100)
        })
        .collect();
    for (shard, numbers) in arrived {
        let repeats = in_order(&sent, &numbers);
        assert!(repeats <= 4 * REPEATS, "shard {shard}: {repeats} repeats");
    }
}

/// Checks that what arrived is what was sent, in order, with nothing but steps back after which all goes on; the number of repeats.
fn in_order(sent: &[u64], arrived: &[u64]) -> usize {
    let (mut next, mut repeats) = (0, 0);
    for number in arrived {
        let at = sent.iter().position(|other| other == number).unwrap();
        assert!(
            at <= next,
            "{number} came before {}: {arrived:?}",
            sent[next]
        );
        if at < next {
            repeats += next - at;
        }
        next = at + 1;
    }
    assert_eq!(next, sent.len(), "{arrived:?}");
    repeats
}

#[tokio::test(flavor = "multi_thread")]
async fn order_survives_kills_on_classic_queues() {
    killed_under_commands("classic").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn order_survives_kills_on_quorum_queues() {
    killed_under_commands("quorum").await;
}
