//! Other consumers of the queues that commands come in by.

use dispatch_proto::rabbit::SEND_QUEUE;
use lapin::options::{BasicConsumeOptions, QueueBindOptions, QueueDeleteOptions};
use lapin::types::FieldTable;
use lapin::{BasicProperties, Channel, Consumer};

use crate::router::client::{Bench, Client, LIMIT, command};

const EXCHANGE: &str = "spec";

async fn consume(client: &Client, queue: &str, exclusive: bool) -> (Channel, Consumer) {
    client.declare(queue, &[]).await;
    let channel = client.connection.create_channel().await.unwrap();
    let options = BasicConsumeOptions {
        exclusive,
        ..BasicConsumeOptions::default()
    };
    let arguments = FieldTable::default();
    let consumer = channel.basic_consume(queue.into(), "".into(), options, arguments);
    let consumer = consumer.await.unwrap();
    (channel, consumer)
}

/// A queue that another consumer has for itself is named by `/readyz`; commands of the others are routed, and its own too as soon as
/// it is free.
async fn one_is_taken(queue: &str, send_works: bool) {
    let mut bench = Bench::new(&[("SPECTACLES_EXCHANGE", EXCHANGE)]).await;
    let (channel, consumer) = consume(&bench.client, queue, true).await;
    bench.set_shards(2).await;
    bench.add_router();
    bench
        .until("not ready, naming the queue", async || {
            let Ok(answer) = testbed::http::fetch(bench.routers[0].port(), "/readyz").await else {
                return false;
            };
            answer.status == 503 && answer.body.contains(&format!("{queue}: another consumer"))
        })
        .await;
    let packet = |number| command(0, number)["data"].to_string();
    let shard_1 = format!("{EXCHANGE}:1");
    let plain = BasicProperties::default;
    bench
        .until("the queue of shard 1", async || {
            !bench.readyz().await.1.contains(&format!("{shard_1}:"))
        })
        .await;
    bench
        .client
        .publish(&shard_1, plain(), packet(1).as_bytes())
        .await;
    assert_eq!(bench.arrived(1, 1).await, [1]);
    if send_works {
        bench.client.commands(0, [2]).await;
        assert_eq!(bench.arrived(0, 1).await, [2]);
    }
    assert_eq!(bench.readyz().await.0, 503);
    channel.close(200, "free".into()).await.unwrap();
    drop(consumer);
    bench.routers[0].ready(LIMIT).await.unwrap();
    bench.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn gateway_send_is_taken() {
    one_is_taken(SEND_QUEUE, false).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn spectacles_send_is_taken() {
    one_is_taken("spec:SEND", true).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_queue_of_one_shard_is_taken() {
    one_is_taken("spec:0", true).await;
}

/// A consumer that shares a queue gets commands that nobody routes then: it is counted and logged.
#[tokio::test(flavor = "multi_thread")]
async fn a_consumer_that_shares_the_queue_is_reported() {
    let bench = Bench::start(1, &[]).await;
    assert_eq!(bench.metric("command_router_foreign_consumers").await, 0.0);
    let (channel, _consumer) = consume(&bench.client, SEND_QUEUE, false).await;
    let counted = async || bench.metric("command_router_foreign_consumers").await == 1.0;
    bench.until("the metric", counted).await;
    assert!(
        bench.logs().contains("others consume the queue too"),
        "{}",
        bench.logs()
    );
    channel.close(200, "free".into()).await.unwrap();
    let gone = async || bench.metric("command_router_foreign_consumers").await == 0.0;
    bench.until("the metric", gone).await;
    bench.stop().await;
}

/// A queue that is deleted, and its binding with it, is declared again.
#[tokio::test(flavor = "multi_thread")]
async fn a_deleted_queue_comes_back() {
    let bench = Bench::start(1, &[("SPECTACLES_EXCHANGE", EXCHANGE)]).await;
    for queue in [SEND_QUEUE, "spec:SEND", "gateway:0"] {
        let deleted = bench
            .client
            .channel
            .queue_delete(queue.into(), QueueDeleteOptions::default());
        deleted.await.unwrap();
    }
    let bind = async || {
        // It is refused, and closes the channel, as long as the queue isn't there.
        let channel = bench.client.connection.create_channel().await.unwrap();
        let options = QueueBindOptions::default();
        let bound = channel.queue_bind(
            SEND_QUEUE.into(),
            EXCHANGE.into(),
            "unused".into(),
            options,
            FieldTable::default(),
        );
        bound.await.is_ok()
    };
    bench.until("gateway.send to be there", bind).await;
    bench.client.commands(0, [1]).await;
    assert_eq!(bench.arrived(0, 1).await, [1]);
    let ready = async || bench.routers[0].is_ready().await;
    bench.until("the router to be ready", ready).await;
    bench.stop().await;
}
