//! RabbitMQ takes nothing while Discord goes on sending: ingest holds so many bytes, then stops reading; its sessions
//! live; and when RabbitMQ is back everything arrives, once and in order.

mod full;

use crate::alone;
use testbed::servers::{Persistence, Servers};
use testbed::stack::{Options, STOP_LIMIT, Stack};

use discord_sim::{Fault, Scope};
use full::{HEARTBEAT, Held};

async fn start() -> Stack {
    let servers = Servers::start(Persistence::None).await.unwrap();
    let mut options = Options::new(2, 20);
    options.sim.heartbeat_interval = HEARTBEAT;
    options
        .env
        .insert("BUFFER_BYTES".into(), full::BUFFER_BYTES.to_string());
    let mut stack = Stack::start(servers, &options).await.unwrap();
    stack.ready().await.unwrap();
    stack
}

/// The memory alarm: publishers are blocked for four heartbeat intervals. The sockets live, and the buffer drains.
#[tokio::test(flavor = "multi_thread")]
async fn the_buffer_drains_after_a_memory_alarm() {
    let _alone = alone().await;
    let mut stack = start().await;
    let before = Held::of(&stack);
    let load = stack.start_load(full::RATE);
    full::flowing(&stack).await;
    stack.servers.rabbitmq.set_memory_alarm(true).await.unwrap();
    full::filled(&stack).await;
    full::stays_within_bounds(&stack, full::OUTAGE).await;
    assert_eq!(Held::of(&stack), before, "a connection was lost");
    stack
        .servers
        .rabbitmq
        .set_memory_alarm(false)
        .await
        .unwrap();
    full::drained(&mut stack, load, 0).await;
    assert_eq!(Held::of(&stack), before, "a connection was lost");
    stack.stop().await.unwrap();
}

/// RabbitMQ is killed, and away for four heartbeat intervals.
#[tokio::test(flavor = "multi_thread")]
async fn the_buffer_drains_after_a_crash_of_rabbitmq() {
    let _alone = alone().await;
    let mut stack = start().await;
    let before = Held::of(&stack);
    let load = stack.start_load(full::RATE);
    full::flowing(&stack).await;
    stack.servers.rabbitmq.kill();
    full::filled(&stack).await;
    full::stays_within_bounds(&stack, full::OUTAGE).await;
    stack.servers.rabbitmq.restart().await.unwrap();
    full::drained(&mut stack, load, 1).await;
    assert_eq!(Held::of(&stack), before, "a connection was lost");
    stack.stop().await.unwrap();
}

/// The connections to Discord die while the buffer is full: the shards resume when there is room.
#[tokio::test(flavor = "multi_thread")]
async fn a_full_shard_resumes_where_its_socket_died() {
    let _alone = alone().await;
    let mut stack = start().await;
    let before = Held::of(&stack);
    let load = stack.start_load(full::RATE);
    full::flowing(&stack).await;
    stack.servers.rabbitmq.set_memory_alarm(true).await.unwrap();
    full::filled(&stack).await;
    stack.sim.fault(Fault::Drop, Scope::All);
    full::stays_within_bounds(&stack, HEARTBEAT * 2).await;
    stack
        .servers
        .rabbitmq
        .set_memory_alarm(false)
        .await
        .unwrap();
    full::drained(&mut stack, load, 0).await;
    assert_eq!(Held::of(&stack).sessions, before.sessions);
    assert!(stack.sim.resumes() >= 2);
    stack.stop().await.unwrap();
}

/// Ingest is asked to end while its buffer is full and nothing is confirmed, and started again.
#[tokio::test(flavor = "multi_thread")]
async fn ingest_ends_with_a_full_buffer() {
    let _alone = alone().await;
    let mut stack = start().await;
    let before = Held::of(&stack);
    let load = stack.start_load(full::RATE);
    full::flowing(&stack).await;
    stack.servers.rabbitmq.set_memory_alarm(true).await.unwrap();
    full::filled(&stack).await;
    stack.ingest.stop(STOP_LIMIT).await.unwrap();
    stack.ingest.restart().unwrap();
    stack
        .servers
        .rabbitmq
        .set_memory_alarm(false)
        .await
        .unwrap();
    full::drained(&mut stack, load, 0).await;
    assert_eq!(Held::of(&stack).sessions, before.sessions);
    stack.stop().await.unwrap();
}

/// Ingest is asked to end when its full buffer begins to drain: there is no room at one moment and some at the next.
#[tokio::test(flavor = "multi_thread")]
async fn ingest_ends_while_its_buffer_drains() {
    let _alone = alone().await;
    let mut stack = start().await;
    let before = Held::of(&stack);
    let load = stack.start_load(full::RATE);
    full::flowing(&stack).await;
    for _ in 0..3 {
        stack.servers.rabbitmq.set_memory_alarm(true).await.unwrap();
        full::filled(&stack).await;
        let at_the_first_confirm = async {
            full::begins_to_drain(&stack.ingest).await;
            stack.ingest.stop(STOP_LIMIT).await
        };
        let (lifted, stopped) = tokio::join!(
            stack.servers.rabbitmq.set_memory_alarm(false),
            at_the_first_confirm
        );
        lifted.and(stopped).unwrap();
        stack.ingest.restart().unwrap();
        full::flowing(&stack).await;
    }
    full::drained(&mut stack, load, 0).await;
    assert_eq!(Held::of(&stack).sessions, before.sessions);
    stack.stop().await.unwrap();
}
