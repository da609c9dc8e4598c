//! A thousand commands wait while Discord is away, and gateway-ingest ends in the middle, twice: none that was answered is missing.

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use discord_sim::{Fault, Scope};
use dispatch_proto::rabbit::{DEAD_QUEUE, SEND_QUEUE, shard_queue};
use dispatch_service::topology::counts;
use serde_json::{Value, json};
use testbed::stack::{STOP_LIMIT, Stack};
use testbed::wait;

use crate::bot::Bot;
use crate::commands::asking::{REPLIES, guild_of, publish};
use crate::commands::burst::End;
use crate::commands::sends::members;

/// Shards that share the commands.
pub(crate) const SHARDS: u32 = 10;
/// For each shard: what Discord takes in a minute, nearly.
const COMMANDS: usize = 100;
/// For the one shard that has them all.
const ONE_SHARDS: usize = 1_000;
/// What that shard may send of them at once, nearly.
const A_MINUTES: usize = 100;
/// Far less than the rest of the minute.
const A_MOMENT: Duration = Duration::from_secs(20);
/// How many each shard has sent when ingest ends for the second time.
const UNDERWAY: usize = 10;
/// Those that were sent twice may have to wait for Discord's minute.
const LIMIT: Duration = Duration::from_secs(100);

/// Each command arrives, in order; once, unless ingest is killed.
pub(crate) async fn survives(stack: &mut Stack, bot: &Bot, end: End) -> Result<()> {
    away(stack, true).await?;
    let guilds: Result<Vec<u64>> = (0..SHARDS).map(|shard| guild_of(stack, shard)).collect();
    for n in 0..COMMANDS {
        for guild in guilds
            .as_ref()
            .map_err(|error| anyhow::anyhow!("{error:#}"))?
        {
            let command =
                json!({"op": 0, "data": members(&json!(guild.to_string()), &n.to_string())});
            let id = format!("{guild} {n}");
            publish(bot, SEND_QUEUE, &id, command.to_string().as_bytes()).await?;
        }
    }
    in_hand(stack, bot).await?;
    ended(stack, end).await?;
    stack.ingest.restart()?;
    away(stack, false).await?;
    let underway = async || (0..SHARDS).all(|shard| numbers(stack, shard).len() >= UNDERWAY);
    wait::until("the first commands", LIMIT, underway).await?;
    ended(stack, end).await?;
    stack.ingest.restart()?;
    for shard in 0..SHARDS {
        let all = async || numbers(stack, shard).last() == Some(&(COMMANDS - 1));
        let waited = wait::until("the last command", LIMIT, all).await;
        let came = numbers(stack, shard);
        waited.with_context(|| format!("shard {shard}: {came:?}"))?;
        let mut seen = BTreeSet::new();
        let first: Vec<usize> = came.iter().copied().filter(|n| seen.insert(*n)).collect();
        ensure!(
            first.iter().copied().eq(0..COMMANDS),
            "shard {shard}: {came:?}"
        );
        let repeated = came.len() - first.len();
        println!("shard {shard}: {repeated} of {COMMANDS} repeated");
        ensure!(
            repeated == 0 || end == End::Kill9,
            "shard {shard}: {came:?}"
        );
    }
    let dead = bot.take(DEAD_QUEUE).await?;
    ensure!(dead.is_none(), "{dead:?}");
    answered(bot).await
}

/// A thousand requests for one shard, and a voice state behind them: it overtakes them. Only those are answered that have left, and
/// what ingest has not sent when it ends is in the queue again.
pub(crate) async fn is_overtaken(stack: &mut Stack, bot: &Bot) -> Result<()> {
    away(stack, true).await?;
    let guild = guild_of(stack, 0)?.to_string();
    for n in 0..ONE_SHARDS {
        let command = json!({"op": 0, "data": members(&json!(guild), &n.to_string())}).to_string();
        publish(bot, SEND_QUEUE, &n.to_string(), command.as_bytes()).await?;
    }
    let leave = json!({"op": 4, "d": {
        "guild_id": guild, "channel_id": null, "self_mute": false, "self_deaf": true,
    }});
    let command = json!({"op": 0, "data": leave}).to_string();
    publish(bot, SEND_QUEUE, "voice", command.as_bytes()).await?;
    in_hand(stack, bot).await?;
    away(stack, false).await?;
    let sent = async || stack.sim.commands_received(0).len() >= A_MINUTES;
    wait::until("as many as may be sent at once", LIMIT, sent).await?;
    let voice = stack.sim.commands_received(0);
    let voice = voice.iter().position(|(_, command)| *command == leave);
    ensure!(voice.is_some_and(|at| at < 2), "the voice state: {voice:?}");
    // Nor does one that comes when the requests have used up what they may send in a minute.
    let back = json!({"op": 4, "d": {
        "guild_id": guild, "channel_id": null, "self_mute": true, "self_deaf": true,
    }});
    let command = json!({"op": 0, "data": back}).to_string();
    publish(bot, SEND_QUEUE, "voice again", command.as_bytes()).await?;
    let at_once = async || {
        let commands = stack.sim.commands_received(0);
        commands.iter().any(|(_, command)| *command == back)
    };
    wait::until("the second voice state", A_MOMENT, at_once).await?;
    stack.ingest.stop(STOP_LIMIT).await?;
    let (sent, left) = (
        stack.sim.commands_received(0).len(),
        waiting(stack, bot).await?,
    );
    ensure!(sent < ONE_SHARDS / 2, "{sent} at once");
    ensure!(sent + left == ONE_SHARDS + 2, "{sent} sent, {left} left");
    let mut answered = 0;
    while bot.take(REPLIES).await?.is_some() {
        answered += 1;
    }
    ensure!(answered == sent, "{answered} answered, {sent} sent");
    let dead = bot.take(DEAD_QUEUE).await?;
    ensure!(dead.is_none(), "{dead:?}");
    Ok(())
}

/// Every command is answered; after a `kill -9`, perhaps twice.
async fn answered(bot: &Bot) -> Result<()> {
    let mut answered = BTreeSet::new();
    while answered.len() < SHARDS as usize * COMMANDS {
        let missing = || format!("{} were answered", answered.len());
        let reply = bot.next(REPLIES).await.with_context(missing)?;
        let body: Value = serde_json::from_slice(&reply.body)?;
        ensure!(body["ok"] == true, "{reply:?}");
        answered.insert(reply.correlation_id);
    }
    Ok(())
}

async fn ended(stack: &mut Stack, end: End) -> Result<()> {
    match end {
        End::Sigterm => stack.ingest.stop(STOP_LIMIT).await,
        End::Kill9 => {
            stack.ingest.kill9();
            Ok(())
        }
    }
}

/// Ends all connections and lets none be made, or lets them be made again.
async fn away(stack: &Stack, away: bool) -> Result<()> {
    stack.sim.fault(Fault::RefuseConnections(away), Scope::All);
    if !away {
        return Ok(());
    }
    stack.sim.fault(Fault::Drop, Scope::All);
    let disconnected = async || !stack.ingest.is_ready().await;
    wait::until("the shards to be away", LIMIT, disconnected).await?;
    Ok(())
}

/// Waits until no command is in a queue any more.
async fn in_hand(stack: &Stack, bot: &Bot) -> Result<()> {
    let mut counted = Ok(());
    wait::until("ingest to have all commands in hand", LIMIT, async || {
        let waiting = waiting(stack, bot).await;
        let none = matches!(waiting, Ok(0));
        counted = waiting.map(drop);
        none || counted.is_err()
    })
    .await?;
    counted
}

/// Commands that no consumer has, in the queues on their way.
async fn waiting(stack: &Stack, bot: &Bot) -> Result<usize> {
    let mut waiting = 0;
    let queues = (0..stack.shards).map(shard_queue);
    for name in queues.chain([SEND_QUEUE.to_owned()]) {
        waiting += counts(bot.channel(), &name).await?.messages as usize;
    }
    Ok(waiting)
}

/// Numbers of the requests that a shard has sent, in order.
fn numbers(stack: &Stack, shard: u32) -> Vec<usize> {
    let commands = stack.sim.commands_received(shard).into_iter();
    commands
        .filter_map(|(_, command)| command["d"]["nonce"].as_str()?.parse().ok())
        .collect()
}
