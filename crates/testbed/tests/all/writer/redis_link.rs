//! Redis does not answer, or takes no writes.

use std::time::Duration;

use testbed::proxy::Proxy;
use testbed::servers::{Persistence, Servers};
use testbed::stack::{Options, Stack};
use testbed::wait;

use super::planted::{LIMIT, Planted, journal};
use crate::alone;

const FAILED: &str = "redis failed; the batch in hand is kept";
/// What ends a transaction.
const TRANSACTION: &str = "EXEC\r\n";

/// Redis can be claimed, but takes no batch: the predecessor's journal is published once, not at each retry. Where it takes
/// no write at all, it is published once when it does.
#[tokio::test(flavor = "multi_thread")]
async fn a_journal_is_published_once_while_redis_takes_no_batch() {
    let _alone = alone().await;
    let batches = (
        ["ACL", "SETUSER", "default", "-hset"],
        ["ACL", "SETUSER", "default", "+hset"],
    );
    let writes = (
        ["CONFIG", "SET", "min-replicas-to-write", "1"],
        ["CONFIG", "SET", "min-replicas-to-write", "0"],
    );
    for (refuse, accept) in [batches, writes] {
        let mut planted = Planted::start().await;
        planted.leave(2, &journal(&[1, 2])).await;
        configure(&mut planted, &refuse).await;
        planted.frame(&[(1, "A"), (2, "A"), (3, "A")]).await;
        planted.logged(FAILED, 4).await;
        configure(&mut planted, &accept).await;
        for sequence in 1..=3 {
            assert_eq!(planted.next().await, sequence, "after {refuse:?}");
        }
        assert_eq!(planted.depth("gateway.recv").await, 0, "after {refuse:?}");
    }
}

async fn configure(planted: &mut Planted, command: &[&str]) {
    let redis = &mut planted.redis;
    let command = redis::cmd(command[0]).arg(&command[1..]).take();
    command.exec_async(redis).await.unwrap();
}

/// The network swallows a writer's transaction for longer than it waits, and delivers it when the writer has gone on: it is
/// refused, though nobody else has taken the partition over.
#[tokio::test(flavor = "multi_thread")]
async fn a_transaction_that_was_given_up_is_refused_when_it_arrives() {
    let _alone = alone().await;
    let mut planted = Planted::start().await;
    planted.frame(&[(1, "A")]).await;
    assert_eq!(planted.next().await, 1);

    planted.proxy.swallow_from(TRANSACTION);
    planted.frame(&[(2, "A")]).await;
    planted.logged(FAILED, 1).await;
    assert!(planted.proxy.swallows());
    assert_eq!(planted.applied().await.as_deref(), Some(r#"[["s",1]]"#));
    planted.proxy.heal();
    assert_eq!(planted.next().await, 2);
    planted.frame(&[(3, "A")]).await;
    assert_eq!(planted.next().await, 3);

    let newest = (planted.applied().await, planted.journal().await);
    assert_eq!(newest.0.as_deref(), Some(r#"[["s",3]]"#));
    let before = planted.transactions().await;
    planted.proxy.deliver();
    let mut after = before;
    let arrived = wait::until("the old transaction", LIMIT, async || {
        after = planted.transactions().await;
        after > before
    });
    arrived.await.unwrap();
    assert_eq!(after, before + 1);
    let held = (planted.applied().await, planted.journal().await);
    assert_eq!(held, newest, "the old transaction was carried out");

    planted.frame(&[(2, "A"), (3, "A"), (4, "A")]).await;
    assert_eq!(planted.next().await, 4);
    assert_eq!(planted.depth("gateway.recv").await, 0);
}

/// The same for all services, under load: nothing is lost, repeated or out of order, and the cache is right.
#[tokio::test(flavor = "multi_thread")]
async fn what_a_network_swallowed_for_too_long_harms_nothing_later() {
    let _alone = alone().await;
    let servers = Servers::start(Persistence::None).await.unwrap();
    let proxy = Proxy::start(servers.redis.port()).await.unwrap();
    let mut options = Options::new(2, 20);
    options.env.insert("REDIS_URL".into(), proxy.redis_url());
    let mut stack = Stack::start(servers, &options).await.unwrap();
    stack.ready().await.unwrap();
    let load = stack.start_load(300.0);
    flowing(&stack).await;
    proxy.swallow_from(TRANSACTION);
    failed_again(&stack).await;
    proxy.heal();
    flowing(&stack).await;
    proxy.deliver();
    flowing(&stack).await;
    exact(stack, load).await;
}

/// Redis stands still for longer than it is waited for, then carries out what it was asked.
#[tokio::test(flavor = "multi_thread")]
async fn a_redis_that_stands_still_too_long_repeats_nothing() {
    let _alone = alone().await;
    let servers = Servers::start(Persistence::None).await.unwrap();
    let mut stack = Stack::start(servers, &Options::new(2, 20)).await.unwrap();
    stack.ready().await.unwrap();
    let load = stack.start_load(300.0);
    flowing(&stack).await;
    stack.servers.redis.freeze();
    failed_again(&stack).await;
    stack.servers.redis.wake();
    flowing(&stack).await;
    exact(stack, load).await;
}

/// Waits until events arrive that were sent after this was called.
async fn flowing(stack: &Stack) {
    let before = stack.sent().values().map(Vec::len).sum::<usize>() as u64;
    let more = async || stack.collector.ledger().events() > before + 100;
    wait::until("events to flow", LIMIT, more).await.unwrap();
}

/// Waits until the writer has given up an answer.
async fn failed_again(stack: &Stack) {
    let times = || stack.writers[0].log_tail(10_000).matches(FAILED).count();
    let before = times();
    let failed = async || times() > before;
    wait::until("the writer to give up", LIMIT, failed)
        .await
        .unwrap();
}

async fn exact(stack: Stack, load: tokio::task::JoinHandle<u64>) {
    stack.sim.stop_load();
    load.await.unwrap();
    let report = stack.check(Duration::from_secs(60)).await.unwrap();
    let faults = report.faults(testbed::collector::check::Tolerated::default());
    assert_eq!(faults, Vec::<String>::new(), "{report}");
    assert_eq!(stack.collector.ledger().distinct_gaps(), 0);
    stack.stop().await.unwrap();
}
