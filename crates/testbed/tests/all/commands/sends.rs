//! `op` 0: a packet reaches Discord on the right shard, as it was written.

use anyhow::{Result, ensure};
use dispatch_proto::command::MAX_PACKET;
use dispatch_proto::rabbit::{SEND_QUEUE, shard_queue};
use lapin::BasicProperties;
use serde_json::{Value, json};
use testbed::stack::Stack;

use crate::bot::Bot;
use crate::commands::asking::{SHARDS, ask, guild_of, presence, publish, reply, sent, taken_by};

/// On one shard after the other.
pub(crate) async fn with_a_shard(stack: &Stack, bot: &Bot) -> Result<()> {
    for shard in 0..SHARDS {
        let packet = presence(&format!("for shard {shard}"));
        let answer = ask(bot, &json!({"op": 0, "shard": shard, "data": packet})).await?;
        ensure!(answer == taken_by(shard), "{answer}");
        sent(stack, shard, &packet).await?;
    }
    Ok(())
}

/// The guild's id as a string and as a number; `run` tells the packets of several calls apart.
pub(crate) async fn without_a_shard(stack: &Stack, bot: &Bot, run: &str) -> Result<()> {
    for shard in 0..SHARDS {
        let guild = guild_of(stack, shard)?;
        for guild_id in [json!(guild.to_string()), json!(guild)] {
            let packet = members(&guild_id, run);
            let answer = ask(bot, &json!({"op": 0, "data": packet})).await?;
            ensure!(answer == taken_by(shard), "{answer}");
            sent(stack, shard, &packet).await?;
        }
    }
    Ok(())
}

/// Each opcode that a bot may send.
pub(crate) async fn each_allowed_opcode(stack: &Stack, bot: &Bot) -> Result<()> {
    let guild = guild_of(stack, 1)?.to_string();
    let packets = [
        presence("opcode 3"),
        json!({"op": 4, "d": {"guild_id": guild, "channel_id": null, "self_mute": true, "self_deaf": false}}),
        members(&json!(guild), "opcode 8"),
        json!({"op": 31, "d": {"guild_ids": [guild]}}),
        json!({"op": 43, "d": {"guild_id": guild, "fields": ["status"]}}),
    ];
    for packet in packets {
        let answer = ask(bot, &json!({"op": 0, "shard": 1, "data": packet})).await?;
        ensure!(answer == taken_by(1), "{answer}");
        sent(stack, 1, &packet).await?;
    }
    Ok(())
}

/// The largest packet that Discord takes, to the byte.
pub(crate) async fn largest_packet(stack: &Stack, bot: &Bot) -> Result<()> {
    let packet = presence_of(MAX_PACKET);
    let answer = ask(bot, &json!({"op": 0, "shard": 0, "data": packet})).await?;
    ensure!(answer == taken_by(0), "{answer}");
    sent(stack, 0, &packet).await
}

/// A presence of so many bytes.
pub(crate) fn presence_of(bytes: usize) -> Value {
    let frame = presence("").to_string().len();
    presence(&"x".repeat(bytes - frame))
}

/// Nobody has to ask for a reply.
pub(crate) async fn without_a_reply(stack: &Stack, bot: &Bot) -> Result<()> {
    let packet = presence("no reply");
    let body = json!({"op": 0, "shard": 2, "data": packet}).to_string();
    let plain = BasicProperties::default();
    bot.publish("", SEND_QUEUE, plain, body.as_bytes()).await?;
    sent(stack, 2, &packet).await
}

/// A packet in `gateway:<shard>`, published there by a client itself.
pub(crate) async fn by_the_shards_own_queue(stack: &Stack, bot: &Bot) -> Result<()> {
    let packet = presence("direct");
    let body = packet.to_string();
    publish(bot, &shard_queue(3), "direct", body.as_bytes()).await?;
    let answer = reply(bot, "direct").await?;
    ensure!(answer == taken_by(3), "{answer}");
    sent(stack, 3, &packet).await
}

/// A request for some members of a guild, with a nonce to know it by.
pub(crate) fn members(guild_id: &Value, nonce: &str) -> Value {
    json!({"op": 8, "d": {"guild_id": guild_id, "query": "a", "limit": 1, "nonce": nonce}})
}
