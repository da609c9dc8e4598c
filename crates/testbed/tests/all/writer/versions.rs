//! What is of a newer version stays where it is.

use dispatch_proto::frame::FrameBuilder;

use super::planted::{Planted, journal};
use crate::alone;

/// A frame of a newer version, behind one that can be read: the latter is published, the former waits for another writer.
#[tokio::test(flavor = "multi_thread")]
async fn a_newer_frame_is_left_to_a_newer_writer() {
    let _alone = alone().await;
    let planted = Planted::start().await;
    planted.put(b"no frame").await;
    planted.frame(&[(1, "A")]).await;
    planted.put(b"DPF\x04of another time").await;
    planted.frame(&[(2, "A")]).await;
    assert_eq!(planted.next().await, 1);
    planted.metric("writer_unreadable_total", 1.0).await;
    planted.logged("unknown frame version 4", 1).await;
    assert_eq!(planted.take("gateway.dead").await, "");
    assert_eq!(planted.depth("gateway.dead").await, 0);
    assert_eq!(planted.depth("gateway.raw.0").await, 2);
    assert_eq!(planted.depth("gateway.recv").await, 0);
}

/// After an update, frames of both versions lie in the queue: they are worked off in their order.
#[tokio::test(flavor = "multi_thread")]
async fn frames_of_the_version_before_are_read_too() {
    let _alone = alone().await;
    let planted = Planted::start().await;
    let payload = br#"{"t":"A","s":1,"op":0,"d":{}}"#;
    let mut older = b"DPF\x01\0\0\0\0\0\0\0\x01\0\x01s\0\0\0\x01".to_vec();
    older.extend(b"\0\0\0\0\0\0\0\x01\0\0\0\0\0\0\0\0\0\0\0\x1d");
    older.extend(payload);
    planted.put(&older).await;
    planted.frame(&[(2, "A"), (3, "A")]).await;
    for sequence in 1..=3 {
        assert_eq!(planted.next().await, sequence);
    }
}

/// A frame holds events of several shards, each in its order.
#[tokio::test(flavor = "multi_thread")]
async fn a_frame_of_several_shards_is_read() {
    let _alone = alone().await;
    let planted = Planted::start().await;
    let mut frame = FrameBuilder::new(0, 2, "a");
    frame.push(7, 0, br#"{"t":"A","s":7,"op":0,"d":{}}"#);
    frame.push(8, 0, br#"{"op":0,"d":{},"t":"A","s":8}"#);
    frame.section(1, 2, "b");
    frame.push(1, 0, br#"{"t":"A","s":1,"op":0,"d":{}}"#);
    frame.push(2, 0, br#"{"t":"A","s":2,"op":0"#);
    frame.section(0, 2, "a");
    frame.push(9, 0, br#"{"t":"A","s":9,"op":0,"d":{}}"#);
    planted.put(&frame.finish()).await;
    let mut ids = Vec::new();
    for _ in 0..4 {
        ids.push(planted.take("gateway.recv").await);
    }
    assert_eq!(ids, ["a:7", "a:8", "b:1", "a:9"]);
    // What can't be published is a dead letter in its place.
    planted.take("gateway.dead").await;
}

/// A journal of a newer version: nothing is acknowledged, published or overwritten until somebody can read it.
#[tokio::test(flavor = "multi_thread")]
async fn a_newer_journal_is_left_to_a_newer_writer() {
    let _alone = alone().await;
    let mut planted = Planted::start().await;
    let newer = r#"{"version":3,"events":{}}"#;
    planted.leave(2, newer).await;
    planted.frame(&[(1, "A"), (2, "A"), (3, "A")]).await;
    planted.metric("writer_unreadable_total", 1.0).await;
    planted.logged("unknown journal version 3", 1).await;
    assert_eq!(planted.journal().await.as_deref(), Some(newer));
    assert_eq!(planted.depth("gateway.raw.0").await, 1);
    assert_eq!(planted.depth("gateway.recv").await, 0);

    planted.leave(2, &journal(&[1, 2])).await;
    planted.writer.restart().unwrap();
    for sequence in 1..=3 {
        assert_eq!(planted.next().await, sequence);
    }
}
