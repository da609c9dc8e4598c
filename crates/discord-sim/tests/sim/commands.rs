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
