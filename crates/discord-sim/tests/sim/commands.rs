//! Commands: op 3, 4, 8, 31, 43 and their answers.

use serde_json::{Value, json};

use crate::{DEADLINE, client::RawClient, config, start};

async fn ready() -> (discord_sim::Sim, RawClient, Value) {
    let sim = start(config()).await;
    let (mut client, _) = RawClient::ready(&sim, 0, 1).await;
    let guild = client.event("GUILD_CREATE").await["d"].clone();
    client.events_to(5).await;
    (sim, client, guild)
}

#[tokio::test]
async fn presence_is_taken_and_noted() {
    let (sim, mut client, _) = ready().await;
    let d = json!({"since": null, "activities": [], "status": "idle", "afk": false});
    let command = json!({"op": 3, "d": d});
    client.send(&command).await;
    client.send(&json!({"op": 1, "d": 5})).await;
    client.op(11).await;
    let received = sim.commands_received(0);
    assert_eq!(received.len(), 1);
    assert_eq!(received[0].1, command);
}

#[tokio::test]
async fn joining_a_voice_channel_is_answered() {
    let (sim, mut client, guild) = ready().await;
    let channels = guild["channels"].as_array().unwrap();
    let channel = channels
        .iter()
        .find(|c| c["type"] == 2 && c["name"] != "___hidden___")
        .unwrap();
    let d = json!({
        "guild_id": guild["id"], "channel_id": channel["id"], "self_mute": false, "self_deaf": true,
    });
    client.send(&json!({"op": 4, "d": d})).await;
    let state = client.event("VOICE_STATE_UPDATE").await;
    assert_eq!(state["d"]["channel_id"], channel["id"]);
    let server = client.event("VOICE_SERVER_UPDATE").await;
    assert_eq!(server["d"]["guild_id"], guild["id"]);
    let user = state["d"]["user_id"].as_str().unwrap();
    assert!(sim.quiet(DEADLINE).await);
    let key = format!("voice:{}:{user}", guild["id"].as_str().unwrap());
    assert!(sim.truth_of(&key).is_some());
}

#[tokio::test]
async fn members_come_in_chunks_and_not_too_often() {
    let (sim, mut client, guild) = ready().await;
    let d = json!({"guild_id": guild["id"], "query": "", "limit": 0, "nonce": "n"});
    client.send(&json!({"op": 8, "d": d})).await;
    let chunk = client.event("GUILD_MEMBERS_CHUNK").await;
    assert_eq!(chunk["d"]["nonce"], "n");
    assert_eq!(chunk["d"]["members"].as_array().unwrap().len(), 10);
    client.send(&json!({"op": 8, "d": d})).await;
    let limited = client.event("RATE_LIMITED").await;
    assert_eq!(limited["d"]["opcode"], 8);
    assert_eq!(
        limited["d"]["meta"],
        json!({"guild_id": guild["id"], "nonce": "n"})
    );
    assert!(limited["d"]["retry_after"].as_f64().unwrap() > 0.0);
    assert_eq!(sim.violations().len(), 1);
    // A search is not limited.
    let d = json!({"guild_id": guild["id"], "query": "a", "limit": 5});
    client.send(&json!({"op": 8, "d": d})).await;
    client.event("GUILD_MEMBERS_CHUNK").await;
}

/// Each kind of request for members: how many come, or that none is answered.
#[tokio::test]
async fn members_are_asked_for_as_documented() {
    let sim = start(config()).await;
    let users: Vec<String> = (1..=150).map(|user| user.to_string()).collect();
    let (mut all, ready) = RawClient::ready(&sim, 0, 1).await;
    let guild = ready["d"]["guilds"][0]["id"].clone();
    let bot = &ready["d"]["user"]["id"];
    let known = [vec![bot.as_str().unwrap().to_owned()], users].concat();
    let mut few = RawClient::hello(&sim).await;
    let mut d = crate::client::identify(0, 1);
    d["intents"] = json!(1);
    few.send(&json!({"op": 2, "d": d})).await;
    few.event("READY").await;
    let (short, long) = ("n".repeat(32), "n".repeat(33));
    // Members, users not found, whether there are presences; the nonce.
    let none = None::<(usize, usize, bool, Option<&str>)>;
    let cases = [
        (
            true,
            json!({"query": "", "limit": 0, "presences": true, "nonce": short}),
            Some((10, 0, true, Some(&*short))),
        ),
        (
            true,
            json!({"query": "", "limit": 3, "nonce": long}),
            Some((3, 0, false, None)),
        ),
        (
            true,
            json!({"query": "", "limit": 5, "nonce": 7}),
            Some((5, 0, false, None)),
        ),
        (
            true,
            json!({"user_ids": known, "limit": 0}),
            Some((1, 99, false, None)),
        ),
        (true, json!({"user_ids": bot}), Some((1, 0, false, None))),
        (true, json!({"user_ids": []}), Some((0, 0, false, None))),
        (
            true,
            json!({"user_ids": [bot], "query": "", "limit": 0}),
            none,
        ),
        (true, json!({"query": "a"}), none),
        (true, json!({"limit": 0}), none),
        (
            true,
            json!({"guild_id": "1", "query": "", "limit": 0}),
            none,
        ),
        (
            true,
            json!({"guild_id": "1", "query": "", "limit": 0}),
            none,
        ),
        (false, json!({"query": "", "limit": 0}), none),
        (false, json!({"query": "", "limit": 0}), none),
        (
            false,
            json!({"query": "", "limit": 4}),
            Some((4, 0, false, None)),
        ),
        (
            false,
            json!({"user_ids": [bot], "presences": true}),
            Some((1, 0, false, None)),
        ),
    ];
    for (is_whole, mut d, expected) in cases {
        let client = if is_whole { &mut all } else { &mut few };
        if d["guild_id"].is_null() {
            d["guild_id"] = guild.clone();
        }
        client.send(&json!({"op": 8, "d": d})).await;
        client.send(&json!({"op": 1, "d": null})).await;
        let mut chunks = Vec::new();
        loop {
            let payload = client.payload().await;
            match payload["op"].as_u64() {
                Some(11) => break,
                _ => assert_ne!(payload["t"], "RATE_LIMITED", "{d}"),
            }
            if payload["t"] == "GUILD_MEMBERS_CHUNK" {
                chunks.push(payload["d"].clone());
            }
        }
        let found = chunks.first().map(|chunk| {
            let count = |name: &str| chunk[name].as_array().unwrap().len();
            let presences = chunk.get("presences").is_some();
            (
                count("members"),
                count("not_found"),
                presences,
                chunk["nonce"].as_str(),
            )
        });
        assert_eq!(found, expected, "{d}");
        assert!(chunks.len() < 2);
    }
    assert!(sim.violations().is_empty());
    // A nonce that is none is not sent back with the refusal either.
    let d = json!({"guild_id": guild, "query": "", "limit": 0, "nonce": long});
    all.send(&json!({"op": 8, "d": d})).await;
    let limited = all.event("RATE_LIMITED").await;
    assert_eq!(limited["d"]["meta"], json!({"guild_id": guild}));
}

/// "Clients may only update their game status 5 times per 20 seconds": what is more has no effect.
#[tokio::test]
async fn a_sixth_presence_is_without_effect() {
    let sim = start(config()).await;
    let (mut client, _) = RawClient::ready(&sim, 0, 1).await;
    let d = json!({"since": null, "activities": [], "status": "idle", "afk": false});
    for _ in 0..6 {
        client.send(&json!({"op": 3, "d": d})).await;
    }
    client.send(&json!({"op": 1, "d": null})).await;
    client.op(11).await;
    let counts = sim.counts();
    assert_eq!((counts.commands, counts.refused_commands), (6, 1));
    assert!(sim.violations().is_empty());
}

#[tokio::test]
async fn guilds_of_another_shard_are_not_answered_for() {
    let sim = start(config()).await;
    let (mut client, ready) = RawClient::ready(&sim, 0, 2).await;
    let own: Vec<Value> = ready["d"]["guilds"].as_array().unwrap().clone();
    let own: Vec<&Value> = own.iter().map(|guild| &guild["id"]).collect();
    let is_foreign = |key: &str| {
        let guild = key.strip_prefix("guild:")?.to_owned();
        (!own.contains(&&json!(guild))).then_some(guild)
    };
    let (mut other, _) = RawClient::ready(&sim, 1, 2).await;
    other.event("GUILD_CREATE").await;
    assert!(sim.quiet(DEADLINE).await);
    let foreign = sim.truth().iter().find_map(|(key, _)| is_foreign(key));
    let foreign = foreign.unwrap();
    let all = json!({"guild_id": foreign, "query": "", "limit": 0});
    client.send(&json!({"op": 8, "d": all})).await;
    let sounds = json!({"guild_ids": [foreign, own[0]]});
    client.send(&json!({"op": 31, "d": sounds})).await;
    loop {
        let payload = client.payload().await;
        assert_ne!(payload["t"], "GUILD_MEMBERS_CHUNK");
        if payload["t"] == "SOUNDBOARD_SOUNDS" {
            assert_eq!(&payload["d"]["guild_id"], own[0]);
            break;
        }
    }
}

#[tokio::test]
async fn soundboard_sounds_come_for_each_guild() {
    let (_sim, mut client, guild) = ready().await;
    client
        .send(&json!({"op": 31, "d": {"guild_ids": [guild["id"]]}}))
        .await;
    let sounds = client.event("SOUNDBOARD_SOUNDS").await;
    assert_eq!(sounds["d"]["guild_id"], guild["id"]);
    assert!(sounds["d"]["soundboard_sounds"].is_array());
}

#[tokio::test]
async fn channel_info_tells_the_guild() {
    let (_sim, mut client, guild) = ready().await;
    let d = json!({"guild_id": guild["id"], "fields": ["status", "voice_start_time"]});
    client.send(&json!({"op": 43, "d": d})).await;
    let info = client.event("CHANNEL_INFO").await;
    assert_eq!(info["d"]["guild_id"], guild["id"]);
    assert!(info["d"]["channels"].is_array());
    // Of a guild that the bot is not in it hears nothing.
    let d = json!({"guild_id": "1", "fields": ["status"]});
    client.send(&json!({"op": 43, "d": d})).await;
    client.send(&json!({"op": 1, "d": null})).await;
    loop {
        let payload = client.payload().await;
        assert_ne!(payload["t"], "CHANNEL_INFO");
        if payload["op"] == 11 {
            break;
        }
    }
}

#[tokio::test]
async fn a_command_without_an_answer_is_counted() {
    let (sim, mut client, guild) = ready().await;
    let unknown = json!({"guild_id": "1", "channel_id": null});
    let incomplete = json!({"guild_id": guild["id"]});
    client.send(&json!({"op": 4, "d": unknown})).await;
    client.send(&json!({"op": 8, "d": incomplete})).await;
    client.send(&json!({"op": 1, "d": null})).await;
    client.op(11).await;
    assert_eq!(
        (sim.counts().commands, sim.counts().refused_commands),
        (2, 1)
    );
    assert!(sim.violations().is_empty());
}

#[tokio::test]
async fn the_voice_server_is_the_one_that_was_named() {
    let mut config = crate::config();
    config.world.voice_endpoint = "127.0.0.1:5000".to_owned();
    let sim = crate::start(config).await;
    let (mut client, _) = RawClient::ready(&sim, 0, 1).await;
    let guild = client.event("GUILD_CREATE").await["d"].clone();
    let mut channels = guild["channels"].as_array().unwrap().iter();
    let is_voice = |channel: &&serde_json::Value| channel["type"] == 2 && channel["flags"] == 0;
    let channel = channels.find(is_voice).unwrap();
    let d = json!({
        "guild_id": guild["id"], "channel_id": channel["id"], "self_mute": true, "self_deaf": false,
    });
    client.send(&json!({"op": 4, "d": d})).await;
    let state = client.event("VOICE_STATE_UPDATE").await;
    assert_eq!(
        (&state["d"]["channel_id"], &state["d"]["self_mute"]),
        (&channel["id"], &json!(true))
    );
    let server = client.event("VOICE_SERVER_UPDATE").await;
    assert_eq!(server["d"]["endpoint"], "127.0.0.1:5000");
    assert_eq!(server["d"]["guild_id"], guild["id"]);
}
