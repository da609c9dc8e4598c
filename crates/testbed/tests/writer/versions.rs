//! What is of a newer version stays where it is.

use super::alone;
use super::planted::{Planted, journal};

/// A frame of a newer version, behind one that can be read: the latter is published, the former waits for another writer.
#[tokio::test(flavor = "multi_thread")]
async fn a_newer_frame_is_left_to_a_newer_writer() {
    let _alone = alone().await;
    let planted = Planted::start().await;
    planted.put(b"no frame").await;
    planted.frame(&[(1, "A")]).await;
    planted.put(b"DPF\x02of another time").await;
    planted.frame(&[(2, "A")]).await;
    assert_eq!(planted.next().await, 1);
    planted.metric("writer_unreadable_total", 1.0).await;
    planted.logged("unknown frame version 2", 1).await;
    assert_eq!(planted.take("gateway.dead").await, "");
    assert_eq!(planted.depth("gateway.dead").await, 0);
    assert_eq!(planted.depth("gateway.raw.0").await, 2);
    assert_eq!(planted.depth("gateway.recv").await, 0);
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
