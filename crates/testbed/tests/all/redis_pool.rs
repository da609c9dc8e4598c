//! The services' pool of connections to Redis, against servers that fail over, freeze and refuse.

use std::{future::Future, time::Duration};

use dispatch_service::{
    redis_link::{Connection, RedisLink},
    settings::Reader,
};
use redis::{AsyncCommands, RedisResult, cmd};
use testbed::servers::{Persistence, Redis};
use tokio::time::timeout;

/// A Redis, and a pool of two connections to it.
async fn pool() -> (tempfile::TempDir, Redis, RedisLink) {
    let dir = tempfile::tempdir().unwrap();
    let redis = Redis::start(dir.path(), Persistence::None).await.unwrap();
    let url = redis.url();
    let mut reader = Reader::of([("REDIS_URL", url.as_str()), ("REDIS_POOL_TIMEOUT", "200")]);
    let link = RedisLink::read(&mut reader, 2).unwrap();
    reader.finish().unwrap();
    (dir, redis, link)
}

async fn id(connection: &mut Connection) -> u64 {
    cmd("CLIENT")
        .arg("ID")
        .query_async(connection)
        .await
        .unwrap()
}

/// What the server is told on a connection of its own.
async fn tell(redis: &Redis, command: &[&str]) {
    let mut connection = redis.connection().await.unwrap();
    cmd(command[0])
        .arg(&command[1..])
        .exec_async(&mut connection)
        .await
        .unwrap();
}

/// The id of a connection on which `fail` went wrong, and of the next one that the pool lends.
async fn before_and_after<F: Future<Output = ()>>(
    link: &RedisLink,
    fail: impl FnOnce(Connection) -> F,
) -> (u64, u64) {
    let mut first = link.connection().await.unwrap();
    let before = id(&mut first).await;
    fail(first).await;
    (before, id(&mut link.connection().await.unwrap()).await)
}

#[tokio::test]
async fn a_connection_is_used_again_without_what_it_watched() {
    let (_dir, _redis, link) = pool().await;
    let (before, after) = before_and_after(&link, async |mut connection| {
        cmd("WATCH")
            .arg("k")
            .exec_async(&mut connection)
            .await
            .unwrap();
        // What a single command was refused for says nothing about the connection.
        let refused: RedisResult<u32> = cmd("LPUSH").query_async(&mut connection).await;
        refused.unwrap_err();
    })
    .await;
    assert_eq!(before, after);
    let mut connection = link.connection().await.unwrap();
    let mut other = link.connection().await.unwrap();
    let _: () = other.set("k", 1).await.unwrap();
    let mut transaction = redis::pipe();
    transaction.atomic().set("k", 2);
    let done: Option<Vec<String>> = transaction.query_async(&mut connection).await.unwrap();
    assert_eq!(done, Some(vec!["OK".to_owned()]));
}

#[tokio::test]
async fn waiting_for_a_connection_ends() {
    let (_dir, _redis, link) = pool().await;
    let held = [link.connection().await, link.connection().await];
    let error = link.connection().await.unwrap_err().to_string();
    assert!(error.contains("none of the 2 connections"), "{error}");
    drop(held);
    link.connection().await.unwrap();
}

#[tokio::test]
async fn a_primary_that_becomes_a_replica_is_not_used_again() {
    let (_dir, redis, link) = pool().await;
    let mut held = link.connection().await.unwrap();
    let idle = link.connection().await.unwrap();
    drop(idle);
    tell(&redis, &["REPLICAOF", "127.0.0.1", "1"]).await;

    let refused: RedisResult<()> = held.set("k", 1).await;
    assert_eq!(refused.unwrap_err().code(), Some("READONLY"));
    drop(held);
    let error = link.connection().await.unwrap_err().to_string();
    assert!(error.contains("replica"), "{error}");

    tell(&redis, &["REPLICAOF", "NO", "ONE"]).await;
    let mut connection = link.connection().await.unwrap();
    let _: () = connection.set("k", 1).await.unwrap();
}

#[tokio::test]
async fn a_connection_that_has_met_a_fault_is_not_used_again() {
    let (_dir, redis, link) = pool().await;
    tell(&redis, &["CONFIG", "SET", "min-replicas-to-write", "1"]).await;
    let alone = before_and_after(&link, async |mut connection| {
        let refused: RedisResult<()> = connection.set("k", 1).await;
        assert_eq!(refused.unwrap_err().code(), Some("NOREPLICAS"));
    })
    .await;
    assert_ne!(alone.0, alone.1, "after an error");
    let ignored = before_and_after(&link, async |mut connection| {
        let mut pipe = redis::pipe();
        pipe.ignore_errors().get("k").set("k", 1);
        let replies: Vec<RedisResult<redis::Value>> =
            pipe.query_async(&mut connection).await.unwrap();
        assert!(replies[1].is_err());
    })
    .await;
    assert_ne!(
        ignored.0, ignored.1,
        "after an error in a pipeline that ignores it"
    );
    let transaction = before_and_after(&link, async |mut connection| {
        let mut pipe = redis::pipe();
        pipe.atomic().set("k", 1);
        let refused: RedisResult<Vec<String>> = pipe.query_async(&mut connection).await;
        refused.unwrap_err();
    })
    .await;
    assert_ne!(transaction.0, transaction.1, "after a transaction");
    let answered = before_and_after(&link, async |mut connection| {
        let refused: RedisResult<()> = connection.set("k", 1).await;
        refused.unwrap_err();
        let _: Option<String> = connection.get("k").await.unwrap();
    })
    .await;
    assert_ne!(answered.0, answered.1, "after an answer that followed");
}

#[tokio::test]
async fn a_call_that_was_given_up_leaves_no_reply_to_the_next() {
    let (_dir, _redis, link) = pool().await;
    let (before, after) = before_and_after(&link, async |mut connection| {
        let mut pop = cmd("BLPOP");
        let pop = pop.arg("never").arg(0);
        let pop = pop.exec_async(&mut connection);
        timeout(Duration::from_millis(100), pop).await.unwrap_err();
    })
    .await;
    assert_ne!(before, after);
}

#[tokio::test]
async fn a_server_that_died_or_froze_is_found_again() {
    let (_dir, mut redis, link) = pool().await;
    drop(link.connection().await.unwrap());
    redis.freeze();
    // The check of the idle connection, then a new one: 3 s each.
    timeout(Duration::from_secs(30), link.connection())
        .await
        .unwrap()
        .unwrap_err();
    redis.wake();
    drop(link.connection().await.unwrap());
    redis.kill();
    link.connection().await.unwrap_err();
    redis.restart().await.unwrap();
    link.connection().await.unwrap();
}
