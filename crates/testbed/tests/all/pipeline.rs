//! The whole pipeline, from the simulated Discord's socket to the exchange and the cache.

use std::time::Duration;

use crate::alone;
use discord_sim::{Load, Mix, Sim};
use dispatch_proto::rabbit::shard_queue;
use dispatch_service::topology::counts;
use testbed::servers::{Persistence, Servers, rabbitmq_connection};
use testbed::stack::{Options, STOP_LIMIT, Stack};
use testbed::wait;

const LIMIT: Duration = Duration::from_secs(60);

async fn start(options: &Options) -> Stack {
    let servers = Servers::start(Persistence::None).await.unwrap();
    let mut stack = Stack::start(servers, options).await.unwrap();
    stack.ready().await.unwrap();
    stack
}

async fn load(sim: &Sim, events: u64, rate: f64) -> u64 {
    let (events, rate) = (Some(events), Some(rate));
    sim.generate(Load {
        events,
        rate,
        mix: Mix::realistic(),
        duration: None,
    })
    .await
}

/// 2 shards, 200 guilds, 20,000 events at 1,000/s: each arrives once, in order, with the right `old`; Redis is the truth.
#[tokio::test(flavor = "multi_thread")]
async fn twenty_thousand_events_arrive_exactly() {
    let _alone = alone().await;
    let stack = start(&Options::new(2, 200)).await;
    assert_eq!(load(&stack.sim, 20_000, 1_000.0).await, 20_000);
    let report = stack.check_exact(LIMIT).await.unwrap();
    assert!(report.events >= 20_200, "{report}");
    assert_eq!(report.gaps, 0);
    assert_eq!(stack.sim.violations(), Vec::<String>::new());
    stack.stop().await.unwrap();
}

/// SIGTERM of ingest under load, and again a start: resumed without a new identify, nothing lost, nothing twice.
#[tokio::test(flavor = "multi_thread")]
async fn ingest_resumes_after_sigterm_under_load() {
    let _alone = alone().await;
    let mut stack = start(&Options::new(2, 50)).await;
    let identifies = stack.sim.identifies();
    let sim = stack.sim.clone();
    let running = tokio::spawn(async move { load(&sim, 6_000, 1_000.0).await });
    let flowing = async || stack.collector.ledger().events() > 1_000;
    wait::until("events to flow", LIMIT, flowing).await.unwrap();

    stack.ingest.stop(STOP_LIMIT).await.unwrap();
    stack.ingest.restart().unwrap();
    stack.ready().await.unwrap();

    running.await.unwrap();
    stack.check_exact(LIMIT).await.unwrap();
    assert_eq!(
        stack.sim.identifies(),
        identifies,
        "a session was not resumed"
    );
    assert!(stack.sim.resumes() >= 2);
    stack.stop().await.unwrap();
}

/// Several writers share the partitions, and quorum queues carry them as classic ones do.
#[tokio::test(flavor = "multi_thread")]
async fn several_writers_and_quorum_queues_keep_the_order() {
    let _alone = alone().await;
    let mut options = Options::new(4, 60);
    options.writers = 3;
    options
        .env
        .insert("RABBIT_QUEUE_TYPE".into(), "quorum".into());
    let stack = start(&options).await;
    load(&stack.sim, 5_000, 1_000.0).await;
    stack.check_exact(LIMIT).await.unwrap();
    stack.stop().await.unwrap();
}

/// RabbitMQ allows fewer channels on a connection than there are shards: events and commands of all of them travel.
#[tokio::test(flavor = "multi_thread")]
async fn a_process_has_more_shards_than_a_connection_has_channels() {
    let _alone = alone().await;
    let mut servers = Servers::start(Persistence::None).await.unwrap();
    let limit = servers.rabbitmq.configure("channel_max = 30\n");
    limit.await.unwrap();
    let shards = 90;
    let mut stack = Stack::start(servers, &Options::new(shards, 90))
        .await
        .unwrap();
    stack.ready().await.unwrap();
    load(&stack.sim, 3_000, 1_000.0).await;
    stack.check_exact(LIMIT).await.unwrap();

    let url = stack.servers.rabbitmq.url();
    let connection = rabbitmq_connection(&url, "consumers").await.unwrap();
    let channel = connection.create_channel().await.unwrap();
    for shard in 0..shards {
        let queue = shard_queue(shard);
        let consumed = async || {
            let counts = counts(&channel, &queue).await;
            counts.is_ok_and(|counts| counts.consumers == 1)
        };
        wait::until("a consumer of the shard's commands", LIMIT, consumed)
            .await
            .unwrap();
    }
    stack.stop().await.unwrap();
}

/// A payload that nobody can use stops neither its shard nor a process, and what can be published is.
#[tokio::test(flavor = "multi_thread")]
async fn poison_payloads_pass_or_go_to_the_dead_letters() {
    let _alone = alone().await;
    let mut stack = start(&Options::new(1, 5)).await;
    let large = format!(r#"{{"content":"{}"}}"#, "x".repeat(20 * 1024 * 1024));
    let odd = [
        ("MESSAGE_CREATE", r#"{"id":17,"channel_id":{},"author":[]}"#),
        ("GUILD_CREATE", "[]"),
        (
            "GUILD_MEMBER_ADD",
            r#"{"guild_id":"not a number","user":null}"#,
        ),
        ("CLOUD_CASTLE_UPDATE", "null"),
        ("PRESENCE_UPDATE", "\"text\""),
    ];
    let before = stack.collector.ledger().events();
    for (name, data) in odd {
        stack.sim.inject(0, name, data);
    }
    stack.sim.inject(0, "MESSAGE_CREATE", r#"{"id": broken"#);
    stack.sim.inject(0, "MESSAGE_CREATE", &large);
    stack.sim.inject_raw(0, r#"{"s":$SEQ,"op":0,"d":{}}"#);
    let through = load(&stack.sim, 500, 1_000.0).await;

    let expected = before + odd.len() as u64 + through;
    let all = async || stack.collector.ledger().events() >= expected;
    wait::until("events behind the poison", LIMIT, all)
        .await
        .unwrap();
    let dead = ["gateway.dead".to_owned()];
    let dead = stack.servers.rabbitmq.queue_depths(&dead).await.unwrap();
    assert!(dead["gateway.dead"] >= 3, "{dead:?}");
    assert!(stack.processes().all(|process| process.runs()));
    let report = stack.check(Duration::from_secs(2)).await.unwrap();
    assert_eq!((report.misordered, report.repeated), (0, 0), "{report}");
    stack.stop().await.unwrap();
}
