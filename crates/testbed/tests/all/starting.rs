//! The start of gateway-ingest: how many shards there are, what Redis says of them, a REST API that limits it.

use std::time::Duration;

use discord_sim::{RestBody, RestFault};
use redis::AsyncCommands as _;
use serde_json::Value;
use testbed::{
    servers::{Persistence, Servers},
    stack::{Options, Stack},
    wait,
};

const LIMIT: Duration = Duration::from_secs(60);

#[tokio::test(flavor = "multi_thread")]
async fn retry_after_is_obeyed_without_bucket_headers() {
    let servers = Servers::start(Persistence::None).await.unwrap();
    let mut stack = Stack::start(servers, &Options::new(1, 1)).await.unwrap();
    stack.ready().await.unwrap();
    stack.ingest.stop(LIMIT).await.unwrap();
    stack.sim.rest_fault(RestFault {
        status: Some(429),
        retry_after: Some("4".to_owned()),
        body: RestBody::Html,
        ..RestFault::default()
    });
    let before = stack.sim.rest_requests().len();
    stack.ingest.restart().unwrap();
    let asked = async || stack.sim.rest_requests().len() > before;
    wait::until("the first request", LIMIT, asked)
        .await
        .unwrap();
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert_eq!(stack.sim.rest_requests().len(), before + 1);
    stack.sim.rest_normally();
    stack.ready().await.unwrap();
    stack.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_number_of_shards_stays_while_there_are_sessions() {
    let servers = Servers::start(Persistence::None).await.unwrap();
    let mut options = Options::new(2, 4);
    for (name, value) in [("SHARDS_TOTAL", "auto"), ("SHARDS_END", "")] {
        options.env.insert(name.into(), value.into());
    }
    let mut stack = Stack::start(servers, &options).await.unwrap();
    stack.ready().await.unwrap();
    let identifies = stack.sim.identifies();
    let limit = r#"{"total":1000,"remaining":900,"reset_after":1000000,"max_concurrency":2}"#;
    let url = stack.sim.gateway_url();
    stack.sim.rest_fault(RestFault {
        route: Some("/gateway/bot".to_owned()),
        status: Some(200),
        body: RestBody::Text(format!(
            r#"{{"url":"{url}","shards":5,"session_start_limit":{limit}}}"#
        )),
        ..RestFault::default()
    });
    stack.ingest.stop(LIMIT).await.unwrap();
    stack.ingest.restart().unwrap();
    stack.ready().await.unwrap();
    assert_eq!(stack.sim.identifies(), identifies);
    assert_eq!(value::<u32>(&stack, "gateway_shards").await, 2);
    let metrics = stack.ingest.metrics().await.unwrap();
    assert_eq!(metrics.sum("gateway_shards_recommended"), Some(5.0));
    assert_eq!(metrics.sum("gateway_identifies_left"), Some(900.0));
    stack.stop().await.unwrap();
}

/// Redis may come back with owners that are older than the lock on RabbitMQ, which is the truth: the owner writes itself in again, and
/// goes on storing its sessions.
#[tokio::test(flavor = "multi_thread")]
async fn who_holds_the_lock_owns_the_shard_again_when_redis_names_another() {
    let servers = Servers::start(Persistence::None).await.unwrap();
    let mut stack = Stack::start(servers, &Options::new(1, 3)).await.unwrap();
    stack.ready().await.unwrap();
    let load = stack.start_load(50.0);
    let mut redis = stack.servers.redis.connection().await.unwrap();
    let owner: String = redis.hget("dispatch:owners", "1:0").await.unwrap();
    let _: () = redis
        .hset("dispatch:owners", "1:0", "a process of long ago")
        .await
        .unwrap();
    let owned = wait::until("the owner to own again", LIMIT, async || {
        stack.sim.connections() == 1
            && redis
                .hget::<_, _, String>("dispatch:owners", "1:0")
                .await
                .unwrap()
                == owner
    });
    owned.await.unwrap();
    let stored = async || {
        let sessions: String = value(&stack, "gateway_sessions").await;
        let sessions: Vec<Value> = serde_json::from_str(&sessions).unwrap();
        sessions[0]["sequence"].as_u64().unwrap()
    };
    let before = stored().await;
    wait::until("the session to be stored again", LIMIT, async || {
        stored().await > before
    })
    .await
    .unwrap();
    assert_eq!(stack.sim.identifies(), 1);
    stack.sim.stop_load();
    load.await.unwrap();
    stack.check_exact(LIMIT).await.unwrap();
    stack.stop().await.unwrap();
}

/// A process of the version whose names hold no total owns the shard, and ends: no shard has two owners, and its session is resumed.
#[tokio::test(flavor = "multi_thread")]
async fn a_shard_is_taken_over_from_the_version_before_by_resuming() {
    let servers = Servers::start(Persistence::None).await.unwrap();
    let mut stack = Stack::start(servers, &Options::new(1, 3)).await.unwrap();
    stack.ready().await.unwrap();
    stack.ingest.stop(LIMIT).await.unwrap();
    let mut redis = stack.servers.redis.connection().await.unwrap();
    let session: String = redis.hget("dispatch:sessions", "1:0").await.unwrap();
    let _: () = redis.del("dispatch:sessions").await.unwrap();
    let _: () = redis.hset("dispatch:sessions", 0, session).await.unwrap();
    let _: () = redis.hset("dispatch:owners", 0, "older").await.unwrap();
    let _: () = redis.set("dispatch:ingest:older", 1).await.unwrap();
    let url = stack.servers.rabbitmq.url();
    let older = testbed::servers::rabbitmq_connection(&url, "older")
        .await
        .unwrap();
    let channel = older.create_channel().await.unwrap();
    let exclusive = lapin::options::QueueDeclareOptions {
        exclusive: true,
        ..Default::default()
    };
    let lock = channel.queue_declare("gateway.owner.0".into(), exclusive, Default::default());
    lock.await.unwrap();

    stack.ingest.restart().unwrap();
    stack.ingest.ready(LIMIT).await.unwrap();
    let connected = wait::until("a connection", Duration::from_secs(3), async || {
        stack.sim.connections() > 0
    });
    assert!(connected.await.is_err(), "the shard has two owners");
    // As it ends, and its connection with it.
    let _: () = redis.del("dispatch:ingest:older").await.unwrap();
    older.close(200, "ending".into()).await.unwrap();
    stack.ready().await.unwrap();
    assert_eq!(stack.sim.identifies(), 1);
    let fields: Vec<String> = redis.hkeys("dispatch:sessions").await.unwrap();
    assert_eq!(fields, ["1:0"]);
    stack.stop().await.unwrap();
}

async fn value<T: redis::FromRedisValue>(stack: &Stack, key: &str) -> T {
    let mut redis = stack.servers.redis.connection().await.unwrap();
    redis.get(key).await.unwrap()
}
