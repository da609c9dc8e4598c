//! What is refused comes to `gateway.dead`, its body untouched, with the reason; the sender is told the same.

use anyhow::{Context, Result, ensure};
use dispatch_proto::command::MAX_PACKET;
use dispatch_proto::rabbit::{SEND_QUEUE, shard_queue};
use lapin::BasicProperties;
use serde_json::json;
use testbed::stack::Stack;

use crate::bot::Bot;
use crate::commands::asking::{REPLIES, dead_letter, packets_sent, presence, publish, reply, sent};
use crate::commands::sends::presence_of;

/// A body for `gateway.send`, and a part of the reason for which it is refused.
const TABLE: &[(&[u8], &str)] = &[
    (b"", "not valid json"),
    (br#"{"op":0,"#, "not valid json"),
    (br#"{"op":1,"shard":0} {}"#, "not valid json"),
    (b"\xff\xfe", "not utf-8"),
    (b"[0]", "must be an object"),
    (br#"{"shard":0}"#, "op is missing"),
    (br#"{"op":"0","shard":0}"#, "op must be"),
    (br#"{"op":9,"shard":0}"#, "op 9 is unknown"),
    (br#"{"op":0,"shard":0}"#, "data is missing"),
    (br#"{"op":0,"shard":0,"data":[]}"#, "data must be"),
    (br#"{"op":0,"shard":0,"data":{"d":{}}}"#, "op is missing"),
    (
        br#"{"op":0,"shard":0,"data":{"op":"3","d":{}}}"#,
        "op must be",
    ),
    (br#"{"op":0,"shard":0,"data":{"op":3}}"#, "d is missing"),
    (br#"{"op":0,"shard":0,"data":{"op":3,"d":7}}"#, "d must be"),
    (
        br#"{"op":0,"data":{"op":3,"d":{"since":null,"activities":[],"status":"idle","afk":false}}}"#,
        "shard is missing",
    ),
    (
        br#"{"op":0,"shard":0,"data":{"op":3,"d":{"status":"online"}}}"#,
        "since is missing",
    ),
    (
        br#"{"op":0,"shard":0,"data":{"op":3,"d":{"since":null,"activities":null,"status":"idle","afk":false}}}"#,
        "activities must be a list",
    ),
    (
        br#"{"op":0,"shard":0,"data":{"op":3,"d":{"since":null,"activities":[],"status":"away","afk":false}}}"#,
        "status must be online, dnd",
    ),
    (
        br#"{"op":0,"data":{"op":4,"d":{"guild_id":"7","self_mute":false,"self_deaf":false}}}"#,
        "channel_id is missing",
    ),
    (
        br#"{"op":0,"data":{"op":8,"d":{"guild_id":"7"}}}"#,
        "query or user_ids is missing",
    ),
    (
        br#"{"op":0,"data":{"op":8,"d":{"guild_id":"7","query":"a"}}}"#,
        "limit is missing",
    ),
    (
        br#"{"op":0,"data":{"op":8,"d":{"guild_id":"7","user_ids":["me"]}}}"#,
        "user_ids is no id",
    ),
    (
        br#"{"op":0,"shard":0,"data":{"op":31,"d":{}}}"#,
        "guild_ids is missing",
    ),
    (
        br#"{"op":0,"data":{"op":43,"d":{"guild_id":"7"}}}"#,
        "fields is missing",
    ),
    (br#"{"op":1}"#, "shard is missing"),
    (br#"{"op":1,"shard":"one"}"#, "shard must be"),
    (br#"{"op":1,"shard":-1}"#, "shard must be"),
    (br#"{"op":1,"shard":0.5}"#, "shard must be"),
    (br#"{"op":1,"shard":5}"#, "shard 5 is unknown"),
    (br#"{"op":2,"shard":99}"#, "shard 99 is unknown"),
    (
        br#"{"op":0,"shard":5,"data":{"op":31,"d":{"guild_ids":[]}}}"#,
        "shard 5 is unknown",
    ),
    (
        br#"{"op":0,"data":{"op":4,"d":{"guild_id":"abc"}}}"#,
        "no id of discord's",
    ),
    (
        br#"{"op":0,"data":{"op":4,"d":{"guild_id":0}}}"#,
        "no id of discord's",
    ),
    (
        br#"{"op":0,"data":{"op":4,"d":{"guild_id":-5}}}"#,
        "no id of discord's",
    ),
    (
        br#"{"op":0,"data":{"op":4,"d":{"guild_id":"99999999999999999999"}}}"#,
        "no id of discord's",
    ),
    (
        br#"{"op":0,"data":{"op":4,"d":{"guild_id":[1]}}}"#,
        "guild_id must be",
    ),
    (
        br#"{"op":0,"shard":0,"data":{"op":4,"d":{}}}"#,
        "guild_id is missing",
    ),
    (
        br#"{"op":0,"shard":0,"data":{"op":1,"d":{}}}"#,
        "the gateway service does this itself",
    ),
    (
        br#"{"op":0,"shard":0,"data":{"op":2,"d":{}}}"#,
        "the gateway service does this itself",
    ),
    (
        br#"{"op":0,"shard":0,"data":{"op":6,"d":{}}}"#,
        "the gateway service does this itself",
    ),
    (
        br#"{"op":0,"shard":0,"data":{"op":99,"d":{}}}"#,
        "opcode 99 can't be sent",
    ),
    (
        br#"{"op":0,"shard":0,"data":{"op":0,"d":{}}}"#,
        "opcode 0 can't be sent",
    ),
];

pub(crate) async fn by_the_router(stack: &Stack, bot: &Bot) -> Result<()> {
    let before = packets_sent(stack);
    for (n, (body, reason)) in TABLE.iter().enumerate() {
        let id = format!("refused {n}");
        let text = String::from_utf8_lossy(body);
        refused(bot, SEND_QUEUE, &id, body, reason)
            .await
            .with_context(|| format!("{text:?}"))?;
    }
    let packet = presence_of(MAX_PACKET + 1);
    let large = json!({"op": 0, "shard": 0, "data": packet}).to_string();
    refused(bot, SEND_QUEUE, "large", large.as_bytes(), "4097 bytes").await?;
    ensure!(
        packets_sent(stack) == before,
        "something was sent to discord"
    );
    Ok(())
}

/// Of a client that publishes to the shard's queue itself.
pub(crate) async fn by_the_shard(stack: &Stack, bot: &Bot) -> Result<()> {
    let before = packets_sent(stack);
    let queue = shard_queue(1);
    let large = presence_of(MAX_PACKET + 1).to_string();
    let table: [(&[u8], &str); 7] = [
        (br#"{"op":3,"d":{"status":"online"}}"#, "since is missing"),
        (
            br#"{"op":4,"d":{"guild_id":"7","channel_id":null}}"#,
            "self_mute is missing",
        ),
        (b"{", "not valid json"),
        (b"\xff", "not utf-8"),
        (br#"{"op":2,"d":{}}"#, "does this itself"),
        (br#"{"op":99,"d":{}}"#, "opcode 99"),
        (large.as_bytes(), "4097 bytes"),
    ];
    for (n, (body, reason)) in table.iter().enumerate() {
        let id = format!("refused by the shard {n}");
        refused(bot, &queue, &id, body, reason).await?;
    }
    ensure!(
        packets_sent(stack) == before,
        "something was sent to discord"
    );
    Ok(())
}

/// A status has nowhere to go without an address for the reply.
pub(crate) async fn status_without_an_address(bot: &Bot) -> Result<()> {
    let body = br#"{"op":3,"shard":0}"#;
    let plain = BasicProperties::default();
    bot.publish("", SEND_QUEUE, plain, body).await?;
    let reason = dead_letter(bot, SEND_QUEUE, body).await?;
    ensure!(reason.contains("reply_to is missing"), "{reason}");
    Ok(())
}

/// A refusal keeps nothing up: what comes behind it is sent.
pub(crate) async fn in_nobodys_way(stack: &Stack, bot: &Bot) -> Result<()> {
    let packet = presence("behind a refusal");
    let good = json!({"op": 0, "shard": 0, "data": packet}).to_string();
    publish(bot, SEND_QUEUE, "bad", b"bad").await?;
    publish(bot, SEND_QUEUE, "good", good.as_bytes()).await?;
    sent(stack, 0, &packet).await?;
    dead_letter(bot, SEND_QUEUE, b"bad").await?;
    // Either may be the first: the router sends one, the shard the other.
    bot.next(REPLIES).await?;
    bot.next(REPLIES).await?;
    Ok(())
}

async fn refused(bot: &Bot, queue: &str, id: &str, body: &[u8], part: &str) -> Result<()> {
    publish(bot, queue, id, body).await?;
    let reason = dead_letter(bot, queue, body).await?;
    ensure!(reason.contains(part), "reason: {reason}");
    let answer = reply(bot, id).await?;
    ensure!(
        answer == json!({"ok": false, "error": reason}),
        "reply: {answer}"
    );
    Ok(())
}
