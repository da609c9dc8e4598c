//! A guild of 20,000 members: it comes in chunks, and goes without holding Redis up.

use std::time::Duration;

use lapin::options::BasicPublishOptions;
use lapin::{BasicProperties, Connection, ConnectionProperties};
use redis::cmd;
use serde_json::json;
use testbed::wait;

use super::bench::{Bench, LIMIT, options};
use crate::alone;

const MEMBERS: u32 = 20_000;
/// No single command may take longer.
const SLOW: Duration = Duration::from_millis(20);

#[tokio::test(flavor = "multi_thread")]
async fn a_large_guild_goes_without_blocking_redis() {
    let _alone = alone().await;
    let mut options = options("both", 1, 1);
    options.sim.world.members_per_guild = MEMBERS;
    let mut bench = Bench::start(&options).await;
    let truth = bench.assert_exact().await;
    let guild = truth.keys().find_map(|key| key.strip_prefix("guild:"));
    let guild: u64 = guild.unwrap().parse().unwrap();

    ask_for_members(&bench, guild).await;
    let members = || {
        let truth = bench.stack.sim.truth();
        truth
            .keys()
            .filter(|key| key.starts_with("member:"))
            .count()
    };
    let all = async || members() >= MEMBERS as usize;
    wait::until("all members to be sent", LIMIT, all)
        .await
        .unwrap();
    bench.assert_exact().await;

    log_slow_commands(&bench).await;
    bench.tell(guild, "GUILD_DELETE", &json!({"id": guild.to_string()}));
    bench.assert_exact().await;
    let slow = slow_commands(&bench).await;
    assert!(slow.is_empty(), "slower than {SLOW:?}: {slow:?}");
    let found = bench.mentions(guild).await;
    assert!(found.is_empty(), "{guild} is still in {found:?}");
    bench.stack.stop().await.unwrap();
}

async fn ask_for_members(bench: &Bench, guild: u64) {
    let url = bench.stack.servers.rabbitmq.url();
    let connection = Connection::connect(&url, ConnectionProperties::default());
    let connection = connection.await.unwrap();
    let channel = connection.create_channel().await.unwrap();
    let ask = json!({"guild_id": guild.to_string(), "query": "", "limit": 0, "presences": true});
    let command = json!({"op": 0, "data": {"op": 8, "d": ask}}).to_string();
    let options = BasicPublishOptions::default();
    let (exchange, queue) = ("".into(), "gateway.send".into());
    let properties = BasicProperties::default();
    let sent = channel.basic_publish(exchange, queue, options, command.as_bytes(), properties);
    sent.await.unwrap();
    connection.close(200, "".into()).await.unwrap();
}

async fn log_slow_commands(bench: &Bench) {
    let mut redis = bench.stack.servers.redis.connection().await.unwrap();
    let () = cmd("CONFIG")
        .arg("SET")
        .arg("slowlog-log-slower-than")
        .arg(SLOW.as_micros() as u64)
        .query_async(&mut redis)
        .await
        .unwrap();
    let () = cmd("SLOWLOG")
        .arg("RESET")
        .query_async(&mut redis)
        .await
        .unwrap();
}

/// Names of the slow commands and how many microseconds they took. The comparison's own reading is left out.
async fn slow_commands(bench: &Bench) -> Vec<(String, u64)> {
    let mut redis = bench.stack.servers.redis.connection().await.unwrap();
    let entries: Vec<Vec<redis::Value>> = cmd("SLOWLOG")
        .arg("GET")
        .arg(100)
        .query_async(&mut redis)
        .await
        .unwrap();
    let entry = |entry: Vec<redis::Value>| {
        let took: u64 = redis::from_redis_value(entry[2].clone()).unwrap();
        let words: Vec<String> = redis::from_redis_value(entry[3].clone()).unwrap();
        (words[0].clone(), took)
    };
    let ours = ["GET", "HGETALL", "SMEMBERS", "ZRANGE", "SCAN"];
    let entries = entries.into_iter().map(entry);
    entries
        .filter(|(name, _)| !ours.contains(&name.to_uppercase().as_str()))
        .collect()
}
