//! `COMMAND_TTL`: a command that no shard took in time becomes a dead letter, and is never sent after that.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use discord_sim::{Fault, Scope};
use dispatch_proto::rabbit::{SEND_QUEUE, shard_queue};
use serde_json::{Value, json};
use testbed::stack::{STOP_LIMIT, Stack};
use testbed::wait;

use crate::bot::{Bot, LIMIT};
use crate::commands::asking::{ask, dead_letter, presence, publish, reply, sent, taken_by};

/// The setting of this test, in milliseconds.
pub(crate) const TTL_MS: u64 = 2_000;

/// The shard's owner runs, but has no connection to Discord.
pub(crate) async fn while_the_shard_is_away(stack: &Stack, bot: &Bot) -> Result<()> {
    stack.sim.fault(Fault::RefuseConnections(true), Scope::All);
    stack.sim.fault(Fault::Drop, Scope::All);
    let disconnected = async || !stack.ingest.is_ready().await;
    wait::until("the shards to be away", LIMIT, disconnected).await?;
    let ended = expires(bot, "shard away", "no shard took the command").await;
    stack.sim.fault(Fault::RefuseConnections(false), Scope::All);
    let back = async || stack.ingest.is_ready().await;
    wait::until("the shards to be back", LIMIT, back).await?;
    ended
}

/// Nobody owns the shard.
pub(crate) async fn while_no_ingest_runs(stack: &mut Stack, bot: &Bot) -> Result<()> {
    stack.ingest.stop(STOP_LIMIT).await?;
    let first = expires(bot, "no ingest", "COMMAND_TTL").await;
    // The queue has been unattended for a while now; that must not cut the next one's time.
    let second = expires(bot, "still no ingest", "COMMAND_TTL").await;
    stack.ingest.restart()?;
    stack.ready().await?;
    first.and(second)
}

/// What has expired is never sent, and what comes now is.
pub(crate) async fn never_sent_later(stack: &Stack, bot: &Bot) -> Result<()> {
    let packet = presence("after all");
    let answer = ask(bot, &json!({"op": 0, "shard": 0, "data": packet})).await?;
    ensure!(answer == taken_by(0), "{answer}");
    sent(stack, 0, &packet).await?;
    let commands = stack.sim.commands_received(0);
    let commands: Vec<Value> = commands.into_iter().map(|(_, command)| command).collect();
    ensure!(commands == [packet], "{commands:?}");
    Ok(())
}

async fn expires(bot: &Bot, id: &str, part: &str) -> Result<()> {
    let packet = presence(id);
    let command = json!({"op": 0, "shard": 0, "data": packet}).to_string();
    let published = Instant::now();
    publish(bot, SEND_QUEUE, id, command.as_bytes()).await?;
    let reason = dead_letter(bot, &shard_queue(0), packet.to_string().as_bytes()).await?;
    let waited = published.elapsed();
    ensure!(
        waited >= Duration::from_millis(TTL_MS),
        "after {waited:?} only"
    );
    ensure!(reason.contains(part), "{reason}");
    let answer = reply(bot, id).await?;
    ensure!(
        answer == json!({"ok": false, "error": reason}),
        "reply: {answer}"
    );
    Ok(())
}
