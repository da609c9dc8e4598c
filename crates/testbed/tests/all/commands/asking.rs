//! Commands that ask for a reply, and what they lead to: a reply, a packet at Discord, a dead letter.

use anyhow::{Context, Result, ensure};
use dispatch_proto::partition::shard_of;
use dispatch_proto::rabbit::{DEAD_QUEUE, HEADER_REASON, HEADER_SOURCE, SEND_QUEUE};
use lapin::BasicProperties;
use lapin::options::QueueDeclareOptions;
use lapin::types::FieldTable;
use serde_json::{Value, json};
use testbed::stack::Stack;
use testbed::wait;

use crate::bot::{Bot, LIMIT};

/// The shards that commands go to one by one; there may be more.
pub(crate) const SHARDS: u32 = 4;
/// A queue of the bot's own, for replies.
pub(crate) const REPLIES: &str = "bot.replies";

/// Declares the queue for replies.
pub(crate) async fn prepare(bot: &Bot) -> Result<()> {
    let options = QueueDeclareOptions {
        exclusive: true,
        ..QueueDeclareOptions::default()
    };
    let declared = bot
        .channel()
        .queue_declare(REPLIES.into(), options, FieldTable::default());
    declared.await?;
    Ok(())
}

/// Publishes a message that wants a reply to `queue`; `id` becomes its correlation id.
pub(crate) async fn publish(bot: &Bot, queue: &str, id: &str, body: &[u8]) -> Result<()> {
    let properties = BasicProperties::default()
        .with_reply_to(REPLIES.into())
        .with_correlation_id(id.into());
    bot.publish("", queue, properties, body).await
}

/// The next reply, which must be that to `id`.
pub(crate) async fn reply(bot: &Bot, id: &str) -> Result<Value> {
    let reply = bot
        .next(REPLIES)
        .await
        .with_context(|| format!("reply to {id}"))?;
    ensure!(
        reply.correlation_id.as_deref() == Some(id),
        "{id}: {reply:?}"
    );
    Ok(serde_json::from_slice(&reply.body)?)
}

/// Publishes a command to `gateway.send` and returns the reply.
pub(crate) async fn ask(bot: &Bot, command: &Value) -> Result<Value> {
    let id = command.to_string();
    // A correlation id has at most 255 bytes.
    let id: String = id.chars().take(100).collect();
    publish(bot, SEND_QUEUE, &id, command.to_string().as_bytes()).await?;
    reply(bot, &id).await
}

/// What the sender is told when a shard has taken its command.
pub(crate) fn taken_by(shard: u32) -> Value {
    json!({"ok": true, "shard": shard})
}

/// Waits until `shard` has sent `packet` to Discord, and checks that this was done once and on no other shard. So `packet`
/// must be unlike all others of the test.
pub(crate) async fn sent(stack: &Stack, shard: u32, packet: &Value) -> Result<()> {
    let shards_with = || -> Vec<u32> {
        let all = (0..stack.shards).flat_map(|shard| {
            let commands = stack.sim.commands_received(shard);
            commands
                .into_iter()
                .map(move |(_, command)| (shard, command))
        });
        all.filter(|(_, command)| command == packet)
            .map(|(shard, _)| shard)
            .collect()
    };
    let arrived = async || !shards_with().is_empty();
    wait::until("the packet at discord", LIMIT, arrived)
        .await
        .with_context(|| packet.to_string())?;
    let shards = shards_with();
    ensure!(
        shards == [shard],
        "sent on shards {shards:?}, not once on {shard}: {packet}"
    );
    Ok(())
}

/// The next dead letter, which must have this source and body; returns its reason.
pub(crate) async fn dead_letter(bot: &Bot, source: &str, body: &[u8]) -> Result<String> {
    let letter = bot.next(DEAD_QUEUE).await?;
    ensure!(letter.body == body, "the body was touched: {letter:?}");
    ensure!(letter.header(HEADER_SOURCE) == source, "source: {letter:?}");
    Ok(letter.header(HEADER_REASON).to_owned())
}

/// Packets that all shards have sent so far.
pub(crate) fn packets_sent(stack: &Stack) -> usize {
    (0..stack.shards)
        .map(|shard| stack.sim.commands_received(shard).len())
        .sum()
}

/// A packet with an activity's name to know it by.
pub(crate) fn presence(name: &str) -> Value {
    json!({"op": 3, "d": {
        "since": null,
        "activities": [{"name": name, "type": 0}],
        "status": "online",
        "afk": false,
    }})
}

/// A guild that belongs to `shard`.
pub(crate) fn guild_of(stack: &Stack, shard: u32) -> Result<u64> {
    let truth = stack.sim.truth();
    let mut guilds = truth
        .keys()
        .filter_map(|key| key.strip_prefix("guild:")?.parse().ok());
    guilds
        .find(|guild| shard_of(*guild, stack.shards) == Some(shard))
        .with_context(|| format!("shard {shard} has no guild"))
}
