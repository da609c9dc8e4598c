//! Commands by the Spectacles exchange.

use anyhow::{Context, Result, ensure};
use dispatch_proto::codec::Encoding;
use dispatch_proto::partition::shard_of;
use dispatch_proto::rabbit::{DEAD_QUEUE, HEADER_REASON, HEADER_SOURCE};
use lapin::BasicProperties;
use serde_json::{Value, json};
use testbed::stack::Stack;
use testbed::wait;

use crate::bot::LIMIT;
use crate::spectacles::client::{Client, EXCHANGE, queue};

/// `SEND` and `<shard>` in all encodings: by the content type, and in that of the setting without one.
pub(crate) async fn check(stack: &Stack, client: &Client, setting: Encoding) -> Result<()> {
    // Clients assert these queues too.
    client.assert(&queue("SEND"), "SEND").await?;
    client.assert(&queue("0"), "0").await?;
    let truth = stack.sim.truth();
    let guild: u64 = truth
        .keys()
        .find_map(|key| key.strip_prefix("guild:")?.parse().ok())
        .context("a guild")?;
    let owner = shard_of(guild, stack.shards).context("its shard")?;
    let ways = [
        (Encoding::Json, true),
        (Encoding::Etf, true),
        (Encoding::MsgPack, true),
        (setting, false),
    ];
    for (encoding, told) in ways {
        let nonce = |kind: &str| format!("{kind} {encoding:?} {told}");
        for guild_id in [json!(guild.to_string()), json!(guild)] {
            let packet = members(&guild_id, &nonce("SEND"));
            let command = json!({"guild_id": guild_id, "packet": packet});
            client.send("SEND", &command, encoding, told).await?;
            sent(stack, owner, &packet).await?;
        }
        let packet = presence(&nonce("no guild"));
        let command = json!({"guild_id": "0", "packet": packet});
        client.send("SEND", &command, encoding, told).await?;
        sent(stack, 0, &packet).await?;
        for shard in 0..stack.shards {
            let packet = presence(&nonce("shard"));
            let routing_key = shard.to_string();
            client.send(&routing_key, &packet, encoding, told).await?;
            sent(stack, shard, &packet).await?;
        }
    }
    Ok(())
}

/// What can't be read or sent goes to the dead letters as it came.
pub(crate) async fn refusals(client: &Client) -> Result<()> {
    let own_opcode = br#"{"guild_id":"41771983423143937","packet":{"op":2,"d":{}}}"#;
    let table: [(&str, Encoding, &[u8], &str); 5] = [
        ("SEND", Encoding::Json, b"{", "not json"),
        (
            "SEND",
            Encoding::Etf,
            b"\x83\x6d\xff\xff\xff\xff",
            "not usable etf",
        ),
        ("SEND", Encoding::MsgPack, b"\xc1", "not usable messagepack"),
        ("SEND", Encoding::Json, own_opcode, "does this itself"),
        ("1", Encoding::Json, br#"{"op":99,"d":{}}"#, "opcode 99"),
    ];
    for (routing_key, encoding, body, part) in table {
        let properties = BasicProperties::default();
        let properties = properties.with_content_type(encoding.content_type().into());
        let bot = &client.bot;
        bot.publish(EXCHANGE, routing_key, properties, body).await?;
        let letter = bot.next(DEAD_QUEUE).await?;
        ensure!(letter.body == body, "{letter:?}");
        ensure!(letter.header(HEADER_REASON).contains(part), "{letter:?}");
        ensure!(
            letter.header(HEADER_SOURCE) == queue(routing_key),
            "{letter:?}"
        );
    }
    Ok(())
}

/// Waits until a shard has sent this packet.
async fn sent(stack: &Stack, shard: u32, packet: &Value) -> Result<()> {
    let arrived = async || {
        let commands = stack.sim.commands_received(shard);
        commands.iter().any(|(_, command)| command == packet)
    };
    wait::until("the packet at discord", LIMIT, arrived)
        .await
        .with_context(|| format!("shard {shard}: {packet}"))?;
    Ok(())
}

fn members(guild_id: &Value, nonce: &str) -> Value {
    json!({"op": 8, "d": {"guild_id": guild_id, "query": "a", "limit": 1, "nonce": nonce}})
}

fn presence(name: &str) -> Value {
    json!({"op": 3, "d": {
        "since": null, "activities": [{"name": name, "type": 0}], "status": "idle", "afk": false,
    }})
}
