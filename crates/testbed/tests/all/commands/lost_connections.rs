//! Connections that end while commands are on their way: what Discord may not have read is sent again.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use discord_sim::{Fault, Scope};
use dispatch_proto::rabbit::{DEAD_QUEUE, SEND_QUEUE};
use lapin::BasicProperties;
use serde_json::{Value, json};
use testbed::stack::{STOP_LIMIT, Stack};
use testbed::wait;

use crate::bot::{Bot, LIMIT};
use crate::commands::asking::{ask, presence, taken_by};

/// Short, so that a dead connection is noticed soon; long enough that a loaded machine answers in time, or a connection would end that
/// nobody has ended.
pub(crate) const HEARTBEAT: Duration = Duration::from_secs(4);
/// For each shard and fault.
const COMMANDS: usize = 50;
/// Time between two commands of a shard.
const PACE: Duration = Duration::from_millis(100);
/// How many have arrived when the connection ends.
const BEFORE: usize = 12;

/// Ends of a connection, and whether they may make commands arrive twice: not where Discord answers our close frame.
pub(crate) const FAULTS: [(Fault, bool); 5] = [
    (Fault::BlackHole, true),
    (Fault::Drop, true),
    (Fault::Close(4000), true),
    (Fault::Reconnect, false),
    (Fault::InvalidSession { resumable: true }, false),
];

/// A steady stream of commands while `fault` ends the connections: all arrive, in order.
pub(crate) async fn all_arrive(stack: &Stack, bot: &Bot, fault: Fault, twice: bool) -> Result<()> {
    let name = format!("{fault:?}");
    let resumes = stack.sim.resumes();
    let publishing = async {
        let mut pace = tokio::time::interval(PACE);
        for n in 0..COMMANDS {
            pace.tick().await;
            for shard in 0..stack.shards {
                publish(bot, shard, &numbered(&name, n)).await?;
            }
        }
        anyhow::Ok(())
    };
    let striking = async {
        let underway =
            async || (0..stack.shards).all(|shard| arrived(stack, shard, &name).len() >= BEFORE);
        wait::until("the first commands", LIMIT, underway).await?;
        stack.sim.fault(fault, Scope::All);
        anyhow::Ok(())
    };
    let (published, struck) = tokio::join!(publishing, striking);
    published.and(struck)?;
    let resumed = async || stack.sim.resumes() >= resumes + u64::from(stack.shards);
    wait::until("the shards to resume", LIMIT, resumed).await?;
    for shard in 0..stack.shards {
        let all = async || arrived(stack, shard, &name).last() == Some(&(COMMANDS - 1));
        let waited = wait::until("the last command", LIMIT, all).await;
        let came = arrived(stack, shard, &name);
        waited.with_context(|| format!("shard {shard}: {came:?}"))?;
        let mut first = Vec::new();
        for n in &came {
            if !first.contains(n) {
                first.push(*n);
            }
        }
        ensure!(
            first.iter().copied().eq(0..COMMANDS),
            "shard {shard}: missing or out of order: {came:?}"
        );
        let repeated = came.len() - first.len();
        println!("{name}, shard {shard}: {repeated} of {COMMANDS} arrived twice");
        ensure!(
            twice || repeated == 0,
            "shard {shard}: {repeated} arrived twice"
        );
    }
    Ok(())
}

/// Ingest is asked to end while its connections are dead: the next one sends what Discord has not read.
pub(crate) async fn at_the_end(stack: &mut Stack, bot: &Bot) -> Result<()> {
    stack.sim.fault(Fault::BlackHole, Scope::All);
    for shard in 0..stack.shards {
        let command = json!({"op": 0, "shard": shard, "data": into_nothing(shard)});
        let answer = ask(bot, &command).await?;
        ensure!(answer == taken_by(shard), "{answer}");
    }
    stack.ingest.stop(STOP_LIMIT).await?;
    stack.ingest.restart()?;
    stack.ready().await?;
    let read = async || {
        (0..stack.shards).all(|shard| {
            let commands = stack.sim.commands_received(shard);
            let wanted = into_nothing(shard);
            commands.iter().any(|(_, command)| *command == wanted)
        })
    };
    wait::until("what went into nothing", LIMIT, read).await?;
    let dead = bot.take(DEAD_QUEUE).await?;
    ensure!(dead.is_none(), "{dead:?}");
    Ok(())
}

fn into_nothing(shard: u32) -> Value {
    presence(&format!("into nothing, shard {shard}"))
}

async fn publish(bot: &Bot, shard: u32, packet: &Value) -> Result<()> {
    let command = json!({"op": 0, "shard": shard, "data": packet}).to_string();
    let plain = BasicProperties::default();
    bot.publish("", SEND_QUEUE, plain, command.as_bytes()).await
}

fn numbered(name: &str, n: usize) -> Value {
    presence(&format!("{name} #{n}"))
}

/// Numbers of the commands of this name that a shard has sent, in order.
fn arrived(stack: &Stack, shard: u32, name: &str) -> Vec<usize> {
    let number = |command: &Value| {
        let text = command["d"]["activities"][0]["name"].as_str()?;
        text.strip_prefix(name)?.strip_prefix(" #")?.parse().ok()
    };
    let commands = stack.sim.commands_received(shard);
    commands
        .iter()
        .filter_map(|(_, command)| number(command))
        .collect()
}
