//! The private servers: ready when they say so, back with their data after a kill, and gone afterwards.

use std::time::Duration;

use lapin::options::{
    BasicGetOptions, BasicPublishOptions, ConfirmSelectOptions, QueueDeclareOptions,
};
use lapin::types::FieldTable;
use lapin::{BasicProperties, Channel, Connection, ConnectionProperties};
use redis::AsyncCommands;
use testbed::servers::{Persistence, RabbitMq, Redis, Servers};
use testbed::wait;

const QUEUE: &str = "kept";

async fn channel(rabbitmq: &RabbitMq) -> (Connection, Channel) {
    let properties = ConnectionProperties::default();
    let connection = Connection::connect(&rabbitmq.url(), properties)
        .await
        .unwrap();
    let channel = connection.create_channel().await.unwrap();
    channel
        .confirm_select(ConfirmSelectOptions::default())
        .await
        .unwrap();
    let options = QueueDeclareOptions::durable();
    channel
        .queue_declare(QUEUE.into(), options, FieldTable::default())
        .await
        .unwrap();
    (connection, channel)
}

async fn publish(channel: &Channel) -> lapin::Result<lapin::Confirmation> {
    let persistent = BasicProperties::default().with_delivery_mode(2);
    let options = BasicPublishOptions::default();
    channel
        .basic_publish("".into(), QUEUE.into(), options, b"body", persistent)
        .await?
        .await
}

#[tokio::test]
async fn rabbitmq_keeps_its_messages_through_a_kill_and_loses_them_when_renewed() {
    let mut servers = Servers::start(Persistence::None).await.unwrap();
    let (_connection, first) = channel(&servers.rabbitmq).await;
    publish(&first).await.unwrap();
    // Takes half a second. A queue declared just before a kill can be gone after it, with what was confirmed to be in
    // it: the broker writes its metadata behind.
    assert_eq!(servers.rabbitmq.queues().await.unwrap()[QUEUE], 1);

    servers.rabbitmq.kill();
    assert!(publish(&first).await.is_err());
    servers.rabbitmq.restart().await.unwrap();
    let (_connection, second) = channel(&servers.rabbitmq).await;
    let depths = servers
        .rabbitmq
        .queue_depths(&[QUEUE.into(), "none".into()])
        .await
        .unwrap();
    assert_eq!(depths, [(QUEUE.to_owned(), 1)].into());

    let held = second
        .basic_get(QUEUE.into(), BasicGetOptions::default())
        .await
        .unwrap()
        .unwrap();
    assert_eq!(servers.rabbitmq.queues().await.unwrap()[QUEUE], 1);
    drop(held);

    servers.renew().await.unwrap();
    servers.renew().await.unwrap();
    let (_connection, third) = channel(&servers.rabbitmq).await;
    assert!(
        third
            .basic_get(QUEUE.into(), BasicGetOptions::default())
            .await
            .unwrap()
            .is_none()
    );
}

#[tokio::test]
async fn the_memory_alarm_holds_publishers_back_until_it_is_lifted() {
    let dir = tempfile::tempdir().unwrap();
    let rabbitmq = RabbitMq::start(dir.path()).await.unwrap();
    let (_connection, channel) = channel(&rabbitmq).await;
    rabbitmq.set_memory_alarm(true).await.unwrap();
    let confirm = tokio::spawn(async move { publish(&channel).await });
    let early = wait::until("a confirm", Duration::from_millis(500), async || {
        confirm.is_finished()
    })
    .await;
    assert!(early.is_err());
    rabbitmq.set_memory_alarm(false).await.unwrap();
    let limit = Duration::from_secs(10);
    wait::until("the confirm", limit, async || confirm.is_finished())
        .await
        .unwrap();
    assert!(confirm.await.unwrap().is_ok());
}

#[tokio::test]
async fn redis_comes_back_with_its_data_unless_it_lost_them() {
    let dir = tempfile::tempdir().unwrap();
    let mut redis = Redis::start(dir.path(), Persistence::EveryWrite)
        .await
        .unwrap();
    let _: () = redis
        .connection()
        .await
        .unwrap()
        .set("key", "value")
        .await
        .unwrap();
    redis.kill();
    assert!(redis.connection().await.is_err());
    redis.restart().await.unwrap();
    let kept: Option<String> = redis.connection().await.unwrap().get("key").await.unwrap();
    assert_eq!(kept.as_deref(), Some("value"));
    redis.lose_data().unwrap();
    redis.restart().await.unwrap();
    let kept: Option<String> = redis.connection().await.unwrap().get("key").await.unwrap();
    assert_eq!(kept, None);
}
