//! The Spectacles protocol: events and commands by a direct exchange, in three encodings, with the release binaries.

mod client;
mod received;
mod sends;

use std::collections::BTreeMap;
use std::time::Duration;

use discord_sim::{Fault, Load, Mix, Scope};
use dispatch_proto::codec::Encoding;
use dispatch_proto::notice::{GAP, Gap, GapReason};
use testbed::collector::check::{Expected, Tolerated};
use testbed::servers::{Persistence, Servers};
use testbed::stack::{Options, Stack};
use testbed::wait;

use client::{Client, EXCHANGE, decode, queue};

const LIMIT: Duration = Duration::from_secs(30);
/// Events of each run. Enough for most kinds to occur.
const EVENTS: u64 = 1_500;

/// Events and commands in each encoding, then a choice of events and a gap; all on the same servers, one after the other.
#[tokio::test(flavor = "multi_thread")]
async fn spectacles_clients_are_served() {
    let mut servers = Servers::start(Persistence::None).await.unwrap();
    for encoding in [Encoding::Json, Encoding::Etf, Encoding::MsgPack] {
        servers = each_event_and_command(servers, encoding).await;
        servers.renew().await.unwrap();
    }
    chosen_events_and_a_gap(servers, Encoding::Etf).await;
}

async fn each_event_and_command(servers: Servers, encoding: Encoding) -> Servers {
    let (stack, client) = start(servers, encoding, "").await;
    load(&stack).await;
    stack.check_exact(LIMIT).await.unwrap();
    let kinds = received::check(&client, &stack.sent(), encoding).await;
    let kinds = kinds.unwrap_or_else(|error| panic!("{encoding:?}: {error:#}"));
    assert!(kinds > 50, "only {kinds} kinds of events occurred");
    let sends = sends::check(&stack, &client, encoding).await;
    sends.unwrap_or_else(|error| panic!("{encoding:?}: {error:#}"));
    let refused = sends::refusals(&client).await;
    refused.unwrap_or_else(|error| panic!("{encoding:?}: {error:#}"));
    assert_eq!(stack.sim.violations(), Vec::<String>::new());
    stack.stop().await.unwrap()
}

/// `EVENTS` limits what is published on both exchanges, not what is cached; a gap is told all the same.
async fn chosen_events_and_a_gap(servers: Servers, encoding: Encoding) {
    let chosen = ["MESSAGE_CREATE", "GUILD_CREATE"];
    let (stack, client) = start(servers, encoding, &chosen.join(",")).await;
    load(&stack).await;
    let identifies = stack.sim.identifies();
    let end = Fault::InvalidSession { resumable: false };
    stack.sim.fault(end, Scope::Shard(1));
    let told = async || !stack.collector.ledger().gaps.is_empty();
    wait::until("the gap notice", LIMIT, told).await.unwrap();
    assert_eq!(stack.sim.identifies(), identifies + 1);
    load(&stack).await;
    assert!(stack.sim.quiet(LIMIT).await);

    let mut sent: BTreeMap<u32, Vec<Expected>> = stack.sent();
    for sent in sent.values_mut() {
        sent.retain(|event| event.deliverable && chosen.contains(&event.name.as_str()));
    }
    stack.arrived(&sent, LIMIT).await.unwrap();
    let mut redis = stack.servers.redis.connection().await.unwrap();
    let mut report = stack
        .collector
        .check(&sent, &stack.sim.truth(), &mut redis)
        .await
        .unwrap();
    // An event that isn't published tells nobody when the cache has it.
    let settled = wait::until("the cache to be complete", LIMIT, async || {
        let truth = stack.sim.truth();
        report = stack
            .collector
            .check(&sent, &truth, &mut redis)
            .await
            .unwrap();
        report.cache_differences == 0
    });
    settled
        .await
        .unwrap_or_else(|error| panic!("{error}: {report}"));
    let faults = report.faults(Tolerated::default());
    assert_eq!(faults, Vec::<String>::new(), "{report}");

    let told = stack.collector.ledger().gaps.clone();
    assert_eq!(told.len(), 1);
    let notices = client.drain(&queue(GAP), 1).await.unwrap();
    let notice = decode(&notices[0], encoding).unwrap();
    assert_eq!(notice, told[0]["d"], "the two exchanges differ");
    let gap: Gap = serde_json::from_value(notice).unwrap();
    assert_eq!((gap.shard, gap.reason), (1, GapReason::SessionReplaced));
    // What is not chosen has left its queues empty.
    received::check(&client, &sent, encoding).await.unwrap();
    stack.stop().await.unwrap();
}

async fn start(servers: Servers, encoding: Encoding, events: &str) -> (Stack, Client) {
    // Before the services: it misses nothing then.
    let client = Client::connect(&servers.rabbitmq.url()).await.unwrap();
    let mut options = Options::new(2, 16);
    let name = match encoding {
        Encoding::Json => "json",
        Encoding::Etf => "etf",
        Encoding::MsgPack => "msgpack",
    };
    options.env.extend(
        [
            ("SPECTACLES_EXCHANGE", EXCHANGE),
            ("SPECTACLES_ENCODING", name),
            ("EVENTS", events),
        ]
        .map(|(name, value)| (name.to_owned(), value.to_owned())),
    );
    let mut stack = Stack::start(servers, &options).await.unwrap();
    stack.ready().await.unwrap();
    (stack, client)
}

async fn load(stack: &Stack) {
    let load = Load {
        events: Some(EVENTS),
        rate: Some(1_500.0),
        mix: Mix::realistic(),
        duration: None,
    };
    assert_eq!(stack.sim.generate(load).await, EVENTS);
}
