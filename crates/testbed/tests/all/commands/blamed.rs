//! A packet over which Discord closes the connection: it becomes a dead letter, and those around it arrive.

use anyhow::{Result, ensure};
use discord_sim::{Answer, Fault, Point, Scope};
use dispatch_proto::rabbit::shard_queue;
use serde_json::Value;
use testbed::stack::Stack;
use testbed::wait;

use crate::bot::{Bot, LIMIT};
use crate::commands::asking::{REPLIES, dead_letter, presence, publish};

/// Behind the one to blame.
const INNOCENT: usize = 15;

/// An incomplete packet in the shard's own queue never reaches Discord.
pub(crate) async fn incomplete(stack: &Stack, bot: &Bot) -> Result<()> {
    let connections = stack.sim.resumes();
    let bad = br#"{"op":3,"d":{"status":"online"}}"#;
    surrounded(stack, bot, "incomplete", bad).await?;
    let reason = dead_letter(bot, &shard_queue(0), bad).await?;
    ensure!(reason == "since is missing", "{reason}");
    ensure!(stack.sim.resumes() == connections, "a connection ended");
    Ok(())
}

/// One that Discord does not take although it is complete.
pub(crate) async fn refused_by_discord(stack: &Stack, bot: &Bot, code: u16) -> Result<()> {
    let at = Point::Command(31);
    let fault = Fault::Answer {
        at,
        with: Answer::Close(code),
        times: None,
        host: None,
    };
    stack.sim.fault(fault, Scope::All);
    let bad = br#"{"op":31,"d":{"guild_ids":["7"]}}"#;
    surrounded(stack, bot, &code.to_string(), bad).await?;
    let reason = dead_letter(bot, &shard_queue(0), bad).await?;
    ensure!(reason.contains(&format!("close code {code}")), "{reason}");
    stack
        .sim
        .fault(Fault::AnswerNormally { at: None }, Scope::All);
    Ok(())
}

/// Publishes `bad` with others before and behind it, and waits for those; all of them are answered.
async fn surrounded(stack: &Stack, bot: &Bot, name: &str, bad: &[u8]) -> Result<()> {
    let innocent: Vec<Value> = (0..=INNOCENT)
        .map(|n| presence(&format!("{name} {n}")))
        .collect();
    let queue = shard_queue(0);
    for (n, packet) in innocent.iter().enumerate() {
        publish(bot, &queue, name, packet.to_string().as_bytes()).await?;
        if n == 0 {
            publish(bot, &queue, name, bad).await?;
        }
    }
    for packet in &innocent {
        let arrived = async || {
            let commands = stack.sim.commands_received(0);
            commands.iter().any(|(_, command)| command == packet)
        };
        wait::until(&packet.to_string(), 3 * LIMIT, arrived).await?;
    }
    for _ in 0..innocent.len() + 1 {
        bot.next(REPLIES).await?;
    }
    let second = bot.take(REPLIES).await?;
    ensure!(second.is_none(), "answered twice: {second:?}");
    Ok(())
}
