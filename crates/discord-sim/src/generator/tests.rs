#![allow(clippy::unwrap_used)]

use std::collections::{BTreeMap, BTreeSet};

use serde::de::DeserializeSeed;
use serde_json::{Value, json};
use twilight_model::{
    gateway::event::{DispatchEventWithTypeDeserializer, EventType},
    guild::Guild,
};

use super::*;
use crate::{
    protocol::snowflake::shard_of,
    world::{WorldConfig, intents},
};

fn world(seed: u64) -> World {
    World::new(WorldConfig {
        seed,
        guilds: 6,
        members_per_guild: 30,
        ..WorldConfig::default()
    })
}

/// Deserialises as an independent library does; `Err` says what it didn't like.
fn read_as_client(dispatch: &Dispatch) -> Result<(), String> {
    let d: Value = serde_json::from_str(&dispatch.d).map_err(|error| error.to_string())?;
    let t = dispatch.t.as_str();
    if EventType::try_from(t).is_err() {
        return Ok(());
    }
    // The library's types expect RATE_LIMITED's `meta` in another shape than Discord documents, and
    // take any guild that says `unavailable`, even false, for a stub.
    if t == "RATE_LIMITED" {
        return Ok(());
    }
    let mut reader = serde_json::Deserializer::from_str(&dispatch.d);
    if t == "GUILD_CREATE" && d.get("name").is_some() {
        return readable(serde_json::from_str::<Guild>(&dispatch.d));
    }
    let seed = DispatchEventWithTypeDeserializer::new(t);
    readable(seed.deserialize(&mut reader))
}

fn readable<T>(result: Result<T, serde_json::Error>) -> Result<(), String> {
    result.map(|_| ()).map_err(|error| error.to_string())
}

#[test]
fn every_documented_type_occurs_and_has_a_shape_that_a_library_reads() {
    let mut world = world(3);
    let mix = Mix::realistic();
    let mut seen: BTreeMap<String, u32> = BTreeMap::new();
    let mut refused: BTreeMap<String, String> = BTreeMap::new();
    for _ in 0..40_000 {
        let dispatch = world.step(&mix);
        let count = seen.entry(dispatch.t.clone()).or_default();
        *count += 1;
        if *count <= 150
            && let Err(error) = read_as_client(&dispatch)
        {
            refused
                .entry(dispatch.t.clone())
                .or_insert(format!("{error}: {}", dispatch.d));
        }
    }
    assert!(refused.is_empty(), "{refused:#?}");
    let missing: Vec<&str> = DISPATCH_TYPES
        .into_iter()
        .chain([UNKNOWN_TYPE])
        .filter(|name| !matches!(*name, "READY" | "RESUMED") && !seen.contains_key(*name))
        .collect();
    assert!(missing.is_empty(), "{missing:?}");
    assert!(seen.keys().all(|name| Mix::knows(name)));
}

#[test]
fn what_a_client_gets_at_start_and_in_answer_has_a_shape_that_a_library_reads() {
    let mut world = world(4);
    let guild = world.guild_ids().next().unwrap();
    let channels = &world.guilds.get(guild).unwrap().channels;
    let voice = channels
        .values()
        .find(|channel| channel.takes_voice())
        .unwrap()
        .id;
    let ask = json!({"guild_id": guild.to_string(), "query": "", "limit": 0, "presences": true});
    let join = json!({"guild_id": guild.to_string(), "channel_id": voice.to_string()});
    let mut told = world.guild_creates(0, 1, intents::ALL, 250);
    told.extend(world.request_members(&ask, intents::ALL).unwrap());
    told.extend(world.update_voice(&join).unwrap());
    assert_eq!(
        told.iter()
            .filter(|dispatch| dispatch.t == "GUILD_CREATE")
            .count(),
        6
    );
    for dispatch in &told {
        read_as_client(dispatch).unwrap();
    }
    let ready = json!({
        "v": 10, "user": world.bot_user(), "guilds": world.ready_guilds(0, 1), "session_id": "s",
        "resume_gateway_url": "ws://127.0.0.1", "shard": [0, 1], "application": world.application(),
    });
    let ready = Dispatch::plain(None, "READY", 0, &ready);
    read_as_client(&ready).unwrap();
}

#[test]
fn the_same_seed_gives_the_same_bytes() {
    let told = |seed: u64| -> Vec<Dispatch> {
        let mut world = world(seed);
        let mut told = world.guild_creates(0, 1, intents::ALL, 250);
        told.extend((0..3_000).map(|_| world.step(&Mix::realistic())));
        told
    };
    assert_eq!(told(7), told(7));
    assert_ne!(told(7), told(8));
}

#[test]
fn a_narrow_mix_stays_narrow() {
    let mut world = world(5);
    let mix = Mix::only(&["MESSAGE_CREATE", "MESSAGE_UPDATE", "NO_SUCH_EVENT"]);
    assert_eq!(
        mix.names().collect::<Vec<_>>(),
        ["MESSAGE_CREATE", "MESSAGE_UPDATE"]
    );
    let seen: BTreeSet<String> = (0..500).map(|_| world.step(&mix).t).collect();
    assert_eq!(
        seen,
        BTreeSet::from(["MESSAGE_CREATE".to_owned(), "MESSAGE_UPDATE".to_owned()])
    );
    assert!(!Mix::knows("NO_SUCH_EVENT") && !Mix::knows("READY"));
}

#[test]
fn every_event_can_be_asked_for_alone() {
    for kind in KINDS {
        let mut world = world(6);
        let mix = Mix::only(&[kind.name]);
        let made = (0..200).filter(|_| world.step(&mix).t == kind.name).count();
        assert!(
            made >= 20,
            "{} was made {made} times in 200 steps",
            kind.name
        );
    }
}

#[test]
fn an_empty_world_and_an_empty_mix_still_tell_something() {
    let empty = WorldConfig {
        guilds: 0,
        ..WorldConfig::default()
    };
    let mut world = World::new(empty);
    for _ in 0..50 {
        assert!(!world.step(&Mix::only(&[])).t.is_empty());
    }
    for _ in 0..500 {
        world.step(&Mix::realistic());
    }
}

#[test]
fn guilds_spread_over_all_shards() {
    let config = WorldConfig {
        guilds: 240,
        members_per_guild: 2,
        ..WorldConfig::default()
    };
    let world = World::new(config);
    for total in [2, 3, 4, 5, 8, 16] {
        let mut counts = vec![0u32; total as usize];
        for guild in world.guild_ids() {
            counts[shard_of(guild, total) as usize] += 1;
        }
        let (least, most) = (counts.iter().min().unwrap(), counts.iter().max().unwrap());
        assert!(most - least <= 1, "{total} shards: {counts:?}");
    }
}

#[test]
fn edge_shapes_occur() {
    let mut world = world(9);
    let mix = Mix::realistic();
    let (mut hidden, mut shown, mut future, mut outage, mut returned, mut left) =
        (0, 0, 0, 0, 0, 0);
    let mut hidden_now: BTreeSet<String> = BTreeSet::new();
    for _ in 0..60_000 {
        let dispatch = world.step(&mix);
        let d: Value = serde_json::from_str(&dispatch.d).unwrap();
        future += usize::from(d.get("x_future").is_some());
        match dispatch.t.as_str() {
            "CHANNEL_UPDATE" if d["name"] == "___hidden___" => {
                hidden += 1;
                hidden_now.insert(d["id"].as_str().unwrap().to_owned());
            }
            "CHANNEL_UPDATE" => {
                shown += usize::from(hidden_now.remove(d["id"].as_str().unwrap()));
            }
            // Discord sends every update whole; libraries rely on it.
            "MESSAGE_UPDATE" => assert!(d["author"].is_object() && d["type"].is_u64(), "{d}"),
            "GUILD_UPDATE" => {
                for lacking in ["joined_at", "large", "member_count"] {
                    assert!(d.get(lacking).is_none());
                }
            }
            "GUILD_DELETE" if d.get("unavailable").is_some() => outage += 1,
            "GUILD_DELETE" => left += 1,
            "GUILD_CREATE" => {
                returned += usize::from(d.get("unavailable") == Some(&Value::Bool(false)));
                for role in d
                    .get("roles")
                    .and_then(Value::as_array)
                    .into_iter()
                    .flatten()
                {
                    assert!(role.get("guild_id").is_none());
                }
            }
            _ => {}
        }
    }
    for count in [hidden, shown, future, outage, returned, left] {
        assert!(
            count > 2,
            "{hidden} {shown} {future} {outage} {returned} {left}"
        );
    }
}
