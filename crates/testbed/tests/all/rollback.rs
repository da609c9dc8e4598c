//! Redis comes back with older data, as by a fail-over to a replica that lagged: events must flow on, none lost, none twice, none
//! taken for a gap; that the cache lacks changes must be told.

use std::time::Duration;

use discord_sim::{Load, Mix};
use testbed::servers::{Persistence, Servers};
use testbed::stack::{Options, Stack};
use testbed::wait;

const LIMIT: Duration = Duration::from_secs(30);

#[tokio::test(flavor = "multi_thread")]
async fn older_data_is_noticed_and_repeats_nothing() {
    let servers = Servers::start(Persistence::EveryWrite).await.unwrap();
    let mut stack = Stack::start(servers, &Options::new(2, 8)).await.unwrap();
    stack.ready().await.unwrap();

    load(&stack).await;
    stack.servers.redis.keep_copy().unwrap();
    load(&stack).await;
    roll_back(&mut stack).await;
    load(&stack).await;
    told_times(&stack, 1).await;

    // Taken over anew since the copy was made: what comes back does not even know this owner.
    stack.servers.redis.keep_copy().unwrap();
    let ports = stack.writers[0].tcp_ports();
    let rabbitmq = &stack.servers.rabbitmq;
    rabbitmq.close_connections_from(&ports).await.unwrap();
    load(&stack).await;
    roll_back(&mut stack).await;
    load(&stack).await;
    told_times(&stack, 2).await;

    let report = stack.check(LIMIT).await.unwrap();
    let found = (report.lost, report.repeated, report.misordered);
    assert_eq!(found, (0, 0, 0), "{report}\n{}", stack.log_tails(30));
    assert_eq!(stack.collector.ledger().distinct_gaps(), 0);
    stack.stop().await.unwrap();
}

async fn roll_back(stack: &mut Stack) {
    stack.servers.redis.roll_back().unwrap();
    stack.servers.redis.restart().await.unwrap();
}

/// Every partition with a shard has told of it so often.
async fn told_times(stack: &Stack, times: u32) {
    let expected = f64::from(times * stack.shards);
    let mut told = None;
    let all = wait::until("the older data to be noticed", LIMIT, async || {
        let metrics = stack.writers[0].metrics().await.unwrap();
        told = metrics.sum("writer_redis_rollbacks_total");
        told >= Some(expected)
    });
    let all = all.await;
    all.unwrap_or_else(|error| panic!("{error}: {told:?}"));
    assert_eq!(told, Some(expected));
}

async fn load(stack: &Stack) {
    let load = Load {
        events: Some(600),
        rate: Some(1_000.0),
        mix: Mix::realistic(),
        duration: None,
    };
    stack.sim.generate(load).await;
    assert!(stack.sim.quiet(LIMIT).await);
    stack.arrived(&stack.sent(), LIMIT).await.unwrap();
}
