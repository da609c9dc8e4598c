//! Two requests for the full member list of one guild: Discord takes one in 30 s.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use dispatch_proto::rabbit::SEND_QUEUE;
use lapin::BasicProperties;
use serde_json::{Value, json};
use testbed::stack::Stack;
use testbed::wait;

use crate::asking::guild_of;
use crate::bot::Bot;

/// Discord's interval (Discord, "Request Guild Members"), with time to look.
const LIMIT: Duration = Duration::from_secs(45);

/// Publishes both; [`check`] comes later, so that others needn't wait.
pub(crate) async fn ask_twice(stack: &Stack, bot: &Bot) -> Result<()> {
    for nonce in ["first list", "second list"] {
        let body = json!({"op": 0, "data": request(stack, nonce)?}).to_string();
        let plain = BasicProperties::default();
        bot.publish("", SEND_QUEUE, plain, body.as_bytes()).await?;
    }
    Ok(())
}

/// The second one waits its time, and others have not waited for it.
pub(crate) async fn check(stack: &Stack) -> Result<()> {
    let (first, second) = (
        request(stack, "first list")?,
        request(stack, "second list")?,
    );
    let time_of = |packet: &Value| -> Option<Instant> {
        let commands = stack.sim.commands_received(0);
        let found = commands.into_iter().find(|(_, command)| command == packet);
        found.map(|(at, _)| at)
    };
    let arrived = async || time_of(&second).is_some();
    wait::until("the second list", LIMIT, arrived).await?;
    let (Some(first), Some(second)) = (time_of(&first), time_of(&second)) else {
        anyhow::bail!("the first list was not asked for");
    };
    let apart = second - first;
    // The requests leave 30 s apart; on their way they may come a little closer.
    ensure!(apart >= Duration::from_millis(29_900), "{apart:?} apart");
    Ok(())
}

fn request(stack: &Stack, nonce: &str) -> Result<Value> {
    let guild = guild_of(stack, 0)?.to_string();
    Ok(json!({"op": 8, "d": {"guild_id": guild, "query": "", "limit": 0, "nonce": nonce}}))
}
