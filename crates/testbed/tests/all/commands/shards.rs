//! `op` 1, 2 and 3: commands about a shard's connection.

use anyhow::{Context, Result, ensure};
use discord_sim::SessionStatus;
use dispatch_proto::redis::STATUSES;
use redis::AsyncCommands;
use serde_json::{Value, json};
use testbed::stack::Stack;
use testbed::wait;

use crate::bot::{Bot, LIMIT};
use crate::commands::asking::{ask, guild_of, taken_by};

/// `op` 1: another connection, the same session.
pub(crate) async fn reconnect(stack: &Stack, bot: &Bot) -> Result<()> {
    let (before, identifies, resumes) = counts(stack);
    let answer = ask(bot, &json!({"op": 1, "shard": 1})).await?;
    ensure!(answer == taken_by(1), "{answer}");
    let resumed = async || stack.sim.resumes() == resumes + 1;
    wait::until("a resume", LIMIT, resumed).await?;
    all_connected(stack).await?;
    ensure!(stack.sim.identifies() == identifies, "identified anew");
    ensure!(sessions(stack) == before, "another session");
    Ok(())
}

/// `op` 2: a new session, whose guilds bring back what the cache lacks.
pub(crate) async fn identify(stack: &Stack, bot: &Bot) -> Result<()> {
    let (before, identifies, resumes) = counts(stack);
    let mut redis = stack.servers.redis.connection().await?;
    let guild = guild_of(stack, 2)?;
    let truth = stack.sim.truth();
    let of_guild = format!("role:{guild}:");
    let (key, role) = truth
        .iter()
        .find(|(key, _)| key.starts_with(&of_guild))
        .context("a role")?;
    let deleted: u64 = redis.del(key).await?;
    ensure!(deleted == 1, "{key} was not cached");

    let answer = ask(bot, &json!({"op": 2, "shard": 2})).await?;
    ensure!(answer == taken_by(2), "{answer}");
    let identified = async || stack.sim.identifies() == identifies + 1;
    wait::until("an identify", LIMIT, identified).await?;
    all_connected(stack).await?;
    ensure!(stack.sim.resumes() == resumes, "resumed");
    let changed = |(now, before): &(String, String)| now != before;
    let pairs = sessions(stack).into_iter().zip(before);
    let changed: Vec<bool> = pairs.map(|pair| changed(&pair)).collect();
    ensure!(
        changed == [false, false, true, false, false],
        "new sessions: {changed:?}"
    );
    let rebuilt = async || cached(&mut redis.clone(), key).await.as_ref() == Some(role);
    wait::until("the role in the cache again", LIMIT, rebuilt).await?;
    Ok(())
}

/// `op` 3: the status is in the reply.
pub(crate) async fn status(stack: &Stack, bot: &Bot) -> Result<()> {
    let mut redis = stack.servers.redis.connection().await?;
    for shard in 0..stack.shards {
        let answer = ask(bot, &json!({"op": 3, "shard": shard})).await?;
        ensure!(answer["ok"] == true && answer["shard"] == shard, "{answer}");
        let status = &answer["status"];
        ensure!(status["shard"] == shard, "{answer}");
        ensure!(status["status"] == "Connected", "{answer}");
        ensure!(status["latency"].is_u64(), "{answer}");
        ensure!(status["last_ack"].is_string(), "{answer}");
        let listed = cached(&mut redis, STATUSES).await;
        let listed = listed.as_ref().and_then(Value::as_array).cloned();
        let listed = listed.context("gateway_statuses")?;
        let same = |other: &Value| other["shard"] == shard && other["status"] == status["status"];
        ensure!(listed.iter().any(same), "{answer} is not in {listed:?}");
    }
    // `op` 4: all shards, with who owns them.
    let answer = ask(bot, &json!({"op": 4})).await?;
    let shards = answer["shards"].as_array().context("shards")?;
    ensure!(shards.len() == stack.shards as usize, "{answer}");
    for (number, shard) in shards.iter().enumerate() {
        ensure!(shard["shard"] == number, "{answer}");
        ensure!(shard["status"] == "Connected", "{answer}");
        ensure!(shard["owner"] == shards[0]["owner"], "{answer}");
        ensure!(shard["owner"].is_string(), "{answer}");
        ensure!(shard["session_age"].is_u64(), "{answer}");
        ensure!(shard["latency"].is_u64(), "{answer}");
    }
    Ok(())
}

/// Waits until all shards have their connection.
async fn all_connected(stack: &Stack) -> Result<()> {
    let connected = async || {
        let sessions = stack.sim.sessions();
        sessions.len() == stack.shards as usize && sessions.iter().all(|session| session.connected)
    };
    wait::until("all shards to be connected", LIMIT, connected).await?;
    let ready = async || stack.ingest.is_ready().await;
    wait::until("ingest to be ready", LIMIT, ready).await?;
    Ok(())
}

fn counts(stack: &Stack) -> (Vec<String>, u64, u64) {
    (sessions(stack), stack.sim.identifies(), stack.sim.resumes())
}

/// Session ids, by shard.
fn sessions(stack: &Stack) -> Vec<String> {
    let mut sessions: Vec<SessionStatus> = stack.sim.sessions();
    sessions.sort_by_key(|session| session.shard);
    sessions.into_iter().map(|session| session.id).collect()
}

async fn cached(redis: &mut redis::aio::MultiplexedConnection, key: &str) -> Option<Value> {
    let text: Option<String> = redis.get(key).await.ok()?;
    serde_json::from_str(&text?).ok()
}
