#![allow(clippy::unwrap_used)]

use serde_json::{Value, json};

use super::{EPHEMERAL, World, WorldConfig, Written, intents};

fn world() -> World {
    let config = WorldConfig {
        guilds: 3,
        members_per_guild: 1_200,
        ..WorldConfig::default()
    };
    World::new(config)
}

fn parsed(text: &str) -> Value {
    serde_json::from_str(text).unwrap()
}

#[test]
fn all_members_come_in_chunks_of_a_thousand() {
    let world = world();
    let guild = world.guild_ids().next().unwrap();
    let d = json!({"guild_id": guild.to_string(), "query": "", "limit": 0, "nonce": "n"});
    let chunks = world.request_members(&d, intents::ALL).unwrap();
    let chunks: Vec<Value> = chunks.iter().map(|chunk| parsed(&chunk.d)).collect();
    let sizes: Vec<usize> = chunks
        .iter()
        .map(|c| c["members"].as_array().unwrap().len())
        .collect();
    assert_eq!(sizes, [1_000, 200]);
    assert_eq!(
        (&chunks[1]["chunk_index"], &chunks[1]["chunk_count"]),
        (&json!(1), &json!(2))
    );
    assert_eq!(
        (&chunks[0]["nonce"], chunks[0].get("presences")),
        (&json!("n"), None)
    );
    assert!(world.request_members(&d, intents::GUILDS).is_err());
}

#[test]
fn some_members_come_by_id_or_name() {
    let world = world();
    let guild = world.guild_ids().next().unwrap().to_string();
    let bot = world.bot_user();
    let ask = |d: Value| parsed(&world.request_members(&d, intents::GUILDS).unwrap()[0].d);
    let by_id = ask(json!({"guild_id": guild, "user_ids": [bot["id"], "5"], "presences": true}));
    assert_eq!(by_id["members"][0]["user"]["id"], bot["id"]);
    assert_eq!(
        (&by_id["not_found"], by_id.get("presences")),
        (&json!(["5"]), None)
    );
    let name = &bot["username"];
    let by_name = ask(json!({"guild_id": guild, "query": name, "limit": 2}));
    assert!(
        by_name["members"]
            .as_array()
            .unwrap()
            .iter()
            .all(|m| m["user"]["username"] == *name)
    );
    let nobody = ask(json!({"guild_id": guild, "query": "no such name", "limit": 2}));
    assert_eq!(
        (&nobody["members"], &nobody["chunk_count"]),
        (&json!([]), &json!(1))
    );
    assert!(
        world
            .request_members(&json!({"guild_id": "7", "user_ids": "1"}), 0)
            .unwrap()
            .is_empty()
    );
    for wrong in [
        json!(null),
        json!({}),
        json!({"guild_id": guild}),
        json!({"guild_id": [], "query": ""}),
    ] {
        assert!(
            world.request_members(&wrong, intents::ALL).is_err(),
            "{wrong}"
        );
    }
}

#[test]
fn the_bot_joins_and_leaves_a_call() {
    let mut world = world();
    let id = world.guild_ids().next().unwrap();
    let guild = world.guilds.get(id).unwrap();
    let voice = guild
        .channels
        .values()
        .find(|channel| channel.takes_voice())
        .unwrap()
        .id;
    let text = guild
        .channels
        .values()
        .find(|channel| channel.kind == super::TEXT)
        .unwrap()
        .id;
    let mut ask = |channel: Value| {
        let d = json!({"guild_id": id.to_string(), "channel_id": channel, "self_mute": true});
        world.update_voice(&d).unwrap()
    };
    assert!(ask(json!(text.to_string())).is_empty());
    assert!(ask(json!(null)).is_empty());
    let joined = ask(json!(voice.to_string()));
    let names: Vec<&str> = joined.iter().map(|dispatch| dispatch.t.as_str()).collect();
    assert_eq!(names, ["VOICE_STATE_UPDATE", "VOICE_SERVER_UPDATE"]);
    assert_eq!(parsed(&joined[0].d)["self_mute"], true);
    let left = ask(json!(null));
    assert_eq!(
        (left.len(), &parsed(&left[0].d)["channel_id"]),
        (1, &Value::Null)
    );
    assert!(world.update_voice(&json!({"channel_id": null})).is_err());
}

#[test]
fn a_message_of_the_bot_is_answered_and_told() {
    let mut world = world();
    let at = world.guild_ids().next().unwrap();
    let channels = &world.guilds.get(at).unwrap().channels;
    let takes = channels.values().find(|channel| channel.takes_messages());
    let channel = takes.unwrap().id;
    let written = || Written {
        content: "hello".to_owned(),
        embeds: vec![json!({"title": "t"})],
        ..Written::default()
    };
    let place = world.place(channel).unwrap();
    let (message, told) = world.write(channel, place, written(), None);
    let told = told.unwrap();
    let d = parsed(&told.d);
    assert_eq!((told.t.as_str(), told.guild), ("MESSAGE_CREATE", Some(at)));
    let answer = world.message_object(world.message(Some(at), channel, message).unwrap());
    assert_eq!(answer["content"], "hello");
    assert_eq!(answer["author"]["id"], world.bot_user()["id"]);
    assert!(answer.get("guild_id").is_none() && d["guild_id"] == json!(at.to_string()));
    assert!(d["member"].is_object());
    let dm = world.dms[0].channel;
    let place = world.place(dm).unwrap();
    assert_eq!(
        world.write(dm, place, written(), None).1.unwrap().guild,
        None
    );
    assert!(world.place(5).is_none());
    let whisper = Written {
        flags: EPHEMERAL,
        ..written()
    };
    let place = world.place(channel).unwrap();
    assert!(world.write(channel, place, whisper, None).1.is_none());
}

#[test]
fn sounds_are_answered() {
    let world = world();
    let ids: Vec<String> = world.guild_ids().map(|id| id.to_string()).collect();
    let sounds = world
        .request_soundboard(&json!({"guild_ids": [ids[0], ids[1], "5"]}))
        .unwrap();
    assert_eq!(sounds.len(), 2);
    assert!(
        world
            .request_soundboard(&json!({"guild_ids": "5"}))
            .is_err()
    );
}

#[test]
fn a_session_sees_what_its_intents_allow() {
    let world = world();
    let members = |intents: u64, large_threshold: u32| -> (usize, usize) {
        let told = world.guild_creates(0, 1, intents, large_threshold);
        let guild = parsed(&told[0].d);
        let count = |list: &str| guild[list].as_array().unwrap().len();
        (count("members"), count("presences"))
    };
    let (all, online) = members(intents::ALL, 5_000);
    assert_eq!(all, 1_200);
    assert!(online > 400 && online < 800);
    let (cut, _) = members(intents::ALL, 250);
    assert!(cut >= online && cut < 800);
    let (few, none) = members(intents::GUILDS, 250);
    assert!(few < 100 && none == 0);
    assert!(world.guild_creates(0, 1, 0, 250).is_empty());
    assert_eq!(world.ready_guilds(0, 1).len(), 3);
    let split: usize = (0..2).map(|shard| world.ready_guilds(shard, 2).len()).sum();
    assert_eq!(split, 3);
}
