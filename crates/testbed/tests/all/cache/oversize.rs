//! Events that are larger than what RabbitMQ takes: they are cached, and what follows is as exact as ever.

use discord_sim::Mix;
use serde_json::{Value, json};
use testbed::collector::check::{Tolerated, compare};
use testbed::servers::{Persistence, Servers};

use super::bench::{Bench, LIMIT, options};
use crate::alone;

/// `max_message_size`; what is published of the guild is several times as large.
const LARGEST: usize = 1024 * 1024;
const GUILD: u64 = 9 << 22;
const MEMBERS: u64 = 3_000;

#[tokio::test(flavor = "multi_thread")]
async fn a_guild_create_above_rabbitmqs_limit_is_cached() {
    let _alone = alone().await;
    let mut servers = Servers::start(Persistence::None).await.unwrap();
    let lines = format!("max_message_size = {LARGEST}\n");
    servers.rabbitmq.configure(&lines).await.unwrap();
    let mut bench = Bench::on(servers, &options("both", 1, 3)).await;
    bench.load(100, Mix::realistic()).await;
    let create = guild_create();
    assert!(create.to_string().len() > 2 * LARGEST);
    bench.tell(GUILD, "GUILD_CREATE", &create);
    let mut member = create["members"][5].clone();
    member["guild_id"] = json!(GUILD.to_string());
    member["nick"] = json!("another");
    bench.tell(GUILD, "GUILD_MEMBER_UPDATE", &member);
    bench.load(200, Mix::realistic()).await;

    assert!(bench.stack.sim.quiet(LIMIT).await);
    let mut sent = bench.stack.sent();
    for event in sent.values_mut().flatten() {
        event.deliverable &= event.data.len() <= LARGEST;
    }
    if let Err(error) = bench.stack.arrived(&sent, LIMIT).await {
        panic!("{error:#}\n{}", bench.stack.log_tails(20));
    }
    let report = compare(&bench.stack.collector.ledger(), &sent);
    // What was under way when RabbitMQ closed the channel comes again.
    let tolerated = Tolerated {
        crashes: 1,
        ..Tolerated::default()
    };
    assert_eq!(report.faults(tolerated), Vec::<String>::new(), "{report}");
    let truth = bench.stack.sim.truth();
    assert!(truth.contains_key(&format!("member:{GUILD}:{MEMBERS}")));
    bench.assert_cache(&truth).await;
    assert_eq!(bench.metric("writer_dead_letters_total").await, 1.0);
    let ingest = bench.stack.ingest.metrics().await.unwrap();
    assert_eq!(ingest.sum("ingest_dead_letters_total"), Some(0.0));
    bench.stack.stop().await.unwrap();
}

fn guild_create() -> Value {
    let member = |user: u64| {
        json!({
            "user": {"id": user.to_string(), "username": "somebody".repeat(80)},
            "nick": null,
            "roles": [],
            "joined_at": "2026-01-01T00:00:00+00:00",
        })
    };
    let members: Vec<Value> = (1..=MEMBERS).map(member).collect();
    json!({
        "id": GUILD.to_string(),
        "name": "large",
        "large": true,
        "member_count": MEMBERS,
        "channels": [],
        "members": members,
    })
}
