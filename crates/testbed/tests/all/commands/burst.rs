//! More commands at once than Discord takes in a minute: they wait their turn, and survive a restart of ingest in the middle.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use dispatch_proto::rabbit::SEND_QUEUE;
use lapin::BasicProperties;
use serde_json::{Value, json};
use testbed::stack::{STOP_LIMIT, Stack};
use testbed::wait;

use crate::bot::Bot;
use crate::commands::asking::{SHARDS, guild_of, presence};
use crate::commands::sends::members;

/// For each shard. Discord takes 120 in 60 s.
const COMMANDS: usize = 200;
/// Longest time for all of them: a minute's wait, and what a slow machine adds.
const LIMIT: Duration = Duration::from_secs(100);
/// How many each shard has sent when ingest is restarted: its next connection can send the rest at once.
const AT_RESTART: usize = 90;
/// A shard that gets a crowd of requests and nothing else.
const CROWDED: u32 = SHARDS;
/// How many.
const CROWD: usize = 130;

/// How ingest ends in the middle.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    Sigterm,
    Kill9,
}

/// Every command arrives, in order; once, but for those in hand at a `kill -9`, which may repeat.
pub(crate) async fn survives_a_restart(stack: &mut Stack, bot: &Bot, end: End) -> Result<()> {
    let guilds: Result<Vec<u64>> = (0..stack.shards)
        .map(|shard| guild_of(stack, shard))
        .collect();
    let guilds = guilds?;
    let publishing = async {
        for n in 0..COMMANDS {
            for guild in &guilds {
                request(bot, *guild, n).await?;
            }
        }
        Ok(())
    };
    let (published, struck) = tokio::join!(publishing, strike(stack, end));
    published.and(struck)?;
    let all = async || {
        (0..stack.shards).all(|shard| requests(stack, shard).last() == Some(&(COMMANDS - 1)))
    };
    wait::until("all commands", LIMIT, all).await?;
    // Behind everything else, so that what might still come has come.
    let last = presence("the last one");
    publish(bot, &json!({"op": 0, "shard": 0, "data": last})).await?;
    let arrived = async || position(stack, 0, &last).is_some();
    wait::until("a command behind the burst", LIMIT, arrived).await?;
    for shard in 0..stack.shards {
        let repeated =
            repeats(&requests(stack, shard)).with_context(|| format!("shard {shard}"))?;
        let guild = guilds[shard as usize];
        let altered = stack
            .sim
            .commands_received(shard)
            .into_iter()
            .find(|(_, command)| {
                let number = number(command);
                number.is_some_and(|n| *command != numbered(guild, n))
            });
        ensure!(altered.is_none(), "shard {shard}: {altered:?}");
        println!("shard {shard}: {repeated} of {COMMANDS} repeated");
        ensure!(
            repeated == 0 || end == End::Kill9,
            "shard {shard}: {repeated} commands were sent again after a SIGTERM"
        );
    }
    Ok(())
}

/// Ends ingest while commands come and go, and starts it again.
async fn strike(stack: &mut Stack, end: End) -> Result<()> {
    let shards = 0..stack.shards;
    let underway = async || {
        let mut shards = shards.clone();
        shards.all(|shard| requests(stack, shard).len() >= AT_RESTART)
    };
    wait::until("the first commands", LIMIT, underway).await?;
    match end {
        End::Sigterm => stack.ingest.stop(STOP_LIMIT).await?,
        End::Kill9 => stack.ingest.kill9(),
    }
    let sent: Vec<usize> = shards.map(|shard| requests(stack, shard).len()).collect();
    ensure!(
        sent.iter().all(|sent| *sent < COMMANDS),
        "all was sent before the restart: {sent:?}"
    );
    stack.ingest.restart()
}

/// More requests for members than a shard may send in a minute, and a voice update behind them all.
pub(crate) async fn crowd(stack: &Stack, bot: &Bot) -> Result<()> {
    let guild = guild_of(stack, CROWDED)?;
    for n in 0..CROWD {
        request(bot, guild, n).await?;
    }
    publish(bot, &json!({"op": 0, "data": leave(guild)})).await
}

/// The voice update doesn't wait for all the requests, and none of them is lost.
pub(crate) async fn crowd_has_gone(stack: &Stack) -> Result<()> {
    let gone = async || requests(stack, CROWDED).len() >= CROWD;
    wait::until("the crowd to be gone", LIMIT, gone).await?;
    let order = requests(stack, CROWDED);
    ensure!(order.iter().copied().eq(0..CROWD), "{order:?}");
    let guild = guild_of(stack, CROWDED)?;
    let voice = position(stack, CROWDED, &leave(guild));
    let last = position(stack, CROWDED, &numbered(guild, CROWD - 1));
    ensure!(voice.is_some() && voice < last, "{voice:?}, {last:?}");
    Ok(())
}
async fn request(bot: &Bot, guild: u64, n: usize) -> Result<()> {
    publish(bot, &json!({"op": 0, "data": numbered(guild, n)})).await
}

async fn publish(bot: &Bot, command: &Value) -> Result<()> {
    let plain = BasicProperties::default();
    bot.publish("", SEND_QUEUE, plain, command.to_string().as_bytes())
        .await
}

fn numbered(guild: u64, n: usize) -> Value {
    members(&json!(guild.to_string()), &n.to_string())
}

fn leave(guild: u64) -> Value {
    json!({"op": 4, "d": {
        "guild_id": guild.to_string(), "channel_id": null, "self_mute": false, "self_deaf": true,
    }})
}

/// Numbers of the member requests that a shard has sent, in order.
fn requests(stack: &Stack, shard: u32) -> Vec<usize> {
    let commands = stack.sim.commands_received(shard);
    commands
        .iter()
        .filter_map(|(_, command)| number(command))
        .collect()
}

fn number(request: &Value) -> Option<usize> {
    request["d"]["nonce"].as_str()?.parse().ok()
}

/// Where a packet is among all that a shard has sent.
fn position(stack: &Stack, shard: u32, packet: &Value) -> Option<usize> {
    let mut commands = stack.sim.commands_received(shard).into_iter();
    commands.position(|(_, command)| command == *packet)
}

/// How many numbers come twice, if all is 0, 1, 2 … and at one place begins again with numbers that were there already.
fn repeats(sent: &[usize]) -> Result<usize> {
    let restarts = |pair: &[usize]| pair[1] != pair[0] + 1;
    let mut jumps = (1..sent.len()).filter(|at| restarts(&sent[at - 1..=*at]));
    let (jump, second) = (jumps.next(), jumps.next());
    ensure!(
        sent.first() == Some(&0) && sent.last() == Some(&(COMMANDS - 1)),
        "incomplete: {sent:?}"
    );
    ensure!(second.is_none(), "out of order more than once: {sent:?}");
    let Some(at) = jump else { return Ok(0) };
    ensure!(sent[at] <= sent[at - 1], "some are missing: {sent:?}");
    Ok(sent[at - 1] + 1 - sent[at])
}
