//! RabbitMQ refuses messages.

use std::collections::BTreeMap;

use lapin::options::{QueueBindOptions, QueueDeclareOptions};
use lapin::types::{AMQPValue, FieldTable};

use super::planted::Planted;
use crate::alone;

/// A queue that takes one message at a time refuses some of a batch: it gets all of its events in order, and so does
/// everybody else, from the first refused one on perhaps more than once.
#[tokio::test(flavor = "multi_thread")]
async fn from_the_first_refused_event_on_all_come_in_order() {
    let _alone = alone().await;
    let planted = Planted::start().await;
    let mut full = FieldTable::default();
    full.insert("x-max-length".into(), AMQPValue::LongInt(1));
    full.insert(
        "x-overflow".into(),
        AMQPValue::LongString("reject-publish".into()),
    );
    let channel = &planted.channel;
    let options = QueueDeclareOptions::default();
    channel
        .queue_declare("limited".into(), options, full)
        .await
        .unwrap();
    let (options, none) = (QueueBindOptions::default(), FieldTable::default());
    channel
        .queue_bind(
            "limited".into(),
            "gateway".into(),
            "B".into(),
            options,
            none,
        )
        .await
        .unwrap();

    let names = ["A", "B", "B", "A", "B", "A"];
    let events: Vec<_> = (1..).zip(names).collect();
    planted.frame(&events).await;
    planted.metric("writer_refused_messages_total", 2.0).await;
    for sequence in [2, 3, 5] {
        assert_eq!(planted.take("limited").await, format!("s:{sequence}"));
    }
    let mut came = Vec::new();
    while came.last() != Some(&6) || planted.depth("gateway.recv").await > 0 {
        came.push(planted.next().await);
    }
    let mut last: BTreeMap<u64, usize> = BTreeMap::new();
    last.extend(
        came.iter()
            .enumerate()
            .map(|(at, sequence)| (*sequence, at)),
    );
    assert_eq!(last.len(), 6, "{came:?}");
    assert!(last.values().is_sorted(), "{came:?}");
    assert_eq!(came.iter().filter(|sequence| **sequence < 3).count(), 2);
}

/// `gateway.dead` takes no more: what follows an event that can't be published is published all the same.
#[tokio::test(flavor = "multi_thread")]
async fn a_full_dead_letter_queue_holds_up_nothing() {
    let _alone = alone().await;
    let planted = Planted::start().await;
    let limit = r#"{"max-length":1,"overflow":"reject-publish"}"#;
    let rabbitmq = &planted.servers.rabbitmq;
    rabbitmq.set_policy("gateway.dead", limit).await.unwrap();
    for round in 0..4 {
        planted.put(b"no frame").await;
        planted.frame(&[(round + 1, "A")]).await;
        assert_eq!(planted.next().await, round + 1);
    }
    planted
        .metric("writer_dead_letters_dropped_total", 2.0)
        .await;
    planted.logged("dead letter can't be delivered", 2).await;
    assert_eq!(planted.depth("gateway.raw.0").await, 0);
}
