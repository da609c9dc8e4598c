//! Requests for the full member list of one guild: Discord takes one in 30 s.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use dispatch_proto::rabbit::SEND_QUEUE;
use lapin::BasicProperties;
use serde_json::{Value, json};
use testbed::stack::{STOP_LIMIT, Stack};
use testbed::wait;

use crate::bot::Bot;
use crate::commands::asking::{ask, guild_of, taken_by};

/// Discord's interval (Discord, "Request Guild Members"), with time to look.
const LIMIT: Duration = Duration::from_secs(45);

/// Discord's interval where ingest is restarted meanwhile: longer than that takes.
pub(crate) const INTERVAL: Duration = Duration::from_secs(20);

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

/// Ingest does not remember over a restart what it asked for before. Discord refuses the request then, and says how long to
/// wait; it goes again after that.
pub(crate) async fn refused_after_a_restart(stack: &mut Stack, bot: &Bot) -> Result<()> {
    let (first, second) = (request(stack, "before")?, request(stack, "after")?);
    let times_of = |stack: &Stack, packet: &Value| -> Vec<Instant> {
        let commands = stack.sim.commands_received(0).into_iter();
        let same = commands.filter(|(_, command)| command == packet);
        same.map(|(at, _)| at).collect()
    };
    let answer = ask(bot, &json!({"op": 0, "shard": 0, "data": first})).await?;
    ensure!(answer == taken_by(0), "{answer}");
    stack.ingest.stop(STOP_LIMIT).await?;
    stack.ingest.restart()?;
    stack.ready().await?;
    let answer = ask(bot, &json!({"op": 0, "shard": 0, "data": second})).await?;
    ensure!(answer == taken_by(0), "{answer}");

    let refused = async || stack.sim.violations().len() == 1;
    wait::until("discord to refuse the second list", LIMIT, refused).await?;
    let again = async || times_of(stack, &second).len() == 2;
    wait::until("the second list to be asked for again", LIMIT, again).await?;
    let chunks = || {
        let sent = stack.sim.sent(0).into_iter();
        sent.filter(|event| event.t == "GUILD_MEMBERS_CHUNK")
            .count()
    };
    ensure!(chunks() == 2, "{} chunks", chunks());
    let apart = times_of(stack, &second)[1] - times_of(stack, &first)[0];
    ensure!(apart >= INTERVAL, "{apart:?} apart");
    let refusals = stack.sim.violations();
    ensure!(refusals.len() == 1, "refused again: {refusals:?}");
    Ok(())
}

fn request(stack: &Stack, nonce: &str) -> Result<Value> {
    let guild = guild_of(stack, 0)?.to_string();
    Ok(json!({"op": 8, "d": {"guild_id": guild, "query": "", "limit": 0, "nonce": nonce}}))
}
