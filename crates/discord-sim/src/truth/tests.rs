#![allow(clippy::unwrap_used)]

use std::collections::BTreeSet;

use serde_json::json;

use super::*;
use crate::{
    generator::Mix,
    world::{Dispatch, World, WorldConfig, Written, intents},
};

mod bent;

/// The truth of a session that saw READY, the guilds, and some steps; with the world after them.
fn lived(seed: u64, steps: usize) -> (World, Truth) {
    let config = WorldConfig {
        seed,
        guilds: 5,
        members_per_guild: 25,
        large_threshold: u32::MAX,
        ..WorldConfig::default()
    };
    let mut world = World::new(config);
    let mut truth = Truth::new();
    begin(&world, &mut truth, "first");
    for step in 0..steps {
        let mut told = vec![world.step(&Mix::realistic())];
        if step.is_multiple_of(40) {
            told.extend(asked(&mut world, step));
        }
        for dispatch in told {
            truth.apply(
                "first",
                &dispatch.t,
                &serde_json::from_str(&dispatch.d).unwrap(),
            );
        }
    }
    (world, truth)
}

/// What clients do meanwhile: the bot moves between calls, writes, asks for members and sounds.
fn asked(world: &mut World, step: usize) -> Vec<Dispatch> {
    let guild = world.guild_ids().nth(step % 4).unwrap();
    let channels: Vec<u64> = world.guilds.get(guild).unwrap().channels.ids().collect();
    let channel = channels[step / 40 % channels.len()];
    let voice = if step.is_multiple_of(3) {
        Value::Null
    } else {
        json!(channel.to_string())
    };
    let id = guild.to_string();
    let mut told = world
        .update_voice(&json!({"guild_id": id, "channel_id": voice}))
        .unwrap();
    let members = json!({"guild_id": id, "query": "", "limit": 0, "presences": true});
    told.extend(world.request_members(&members, intents::ALL).unwrap());
    told.extend(
        world
            .request_soundboard(&json!({"guild_ids": [id]}))
            .unwrap(),
    );
    let place = world.place(channel).filter(|place| !place.hidden);
    told.extend(place.and_then(|place| {
        let written = Written {
            content: "hi".to_owned(),
            components: json!([]),
            ..Written::default()
        };
        world.write(channel, place, written, None).1
    }));
    told
}

fn begin(world: &World, truth: &mut Truth, session: &str) {
    let ready = json!({
        "user": world.bot_user(), "guilds": world.ready_guilds(0, 1), "shard": [0, 1],
    });
    truth.apply(session, "READY", &ready);
    for dispatch in world.guild_creates(0, 1, intents::ALL, u32::MAX) {
        truth.apply(
            session,
            &dispatch.t,
            &serde_json::from_str(&dispatch.d).unwrap(),
        );
    }
}

/// Fields that Discord changes without telling of the object, or tells in some events only.
const UNTOLD: [&str; 8] = [
    "last_message_id",
    "message_count",
    "total_message_sent",
    "creator",
    "member",
    "lazy",
    "unavailable",
    "last_pin_timestamp",
];

/// Every field that the world says now must be in the cache; `user` of a presence is partial.
fn assert_told(key: &str, world: &Value, cached: &Value) {
    for (name, value) in world.as_object().unwrap() {
        let partial = name == "user" && key.starts_with("presence:");
        if !UNTOLD.contains(&name.as_str()) && !partial {
            assert_eq!(cached.get(name), Some(value), "{key} {name}");
        }
    }
}

fn is_away(world: &World, key: &str) -> bool {
    let guild = key.split(':').nth(1).and_then(|id| id.parse().ok());
    let guild = guild.and_then(|guild| world.guilds.get(guild));
    guild.is_some_and(|guild| guild.unavailable)
}

#[test]
fn the_truth_agrees_with_the_world() {
    for (seed, steps) in [(1, 0), (2, 500), (3, 8_000), (4, 20_000)] {
        let (world, truth) = lived(seed, steps);
        let mut now = Truth::new();
        begin(&world, &mut now, "now");
        for (key, value) in now.entries() {
            let cached = truth
                .get(key)
                .unwrap_or_else(|| panic!("seed {seed}: {key} is missing"));
            assert_told(key, value, cached);
            let hidden = value["name"] == "___hidden___";
            assert!(
                !hidden || cached["last_message_id"].is_null(),
                "{key} shows too much"
            );
        }
        for (key, value) in truth.entries() {
            // Of a guild in an outage nothing is told anew, and all stays.
            let known = key.starts_with("message:") || is_away(&world, key);
            assert!(
                known || now.get(key).is_some(),
                "seed {seed}: {key} is left over: {value}"
            );
        }
        // It stays so when a new session begins.
        let mut again = truth.clone();
        begin(&world, &mut again, "second");
        let keys = |truth: &Truth| -> BTreeSet<String> {
            let keys = truth.entries().map(|(key, _)| key.to_owned());
            keys.filter(|key| !key.starts_with("message:") && !is_away(&world, key))
                .collect()
        };
        assert_eq!(keys(&again), keys(&now));
    }
}

#[test]
fn a_guild_left_leaves_nothing() {
    let (world, mut truth) = lived(11, 8_000);
    let guilds: Vec<u64> = world.guild_ids().collect();
    for guild in &guilds {
        let old = truth.apply("first", "GUILD_DELETE", &json!({"id": guild.to_string()}));
        assert_eq!(old.unwrap()["id"], guild.to_string());
        let middle = format!(":{guild}");
        assert!(truth.entries().all(|(key, _)| !key.contains(&middle)));
    }
    let dms = world
        .dms
        .iter()
        .map(|dm| format!("message:{}:", dm.channel))
        .collect::<Vec<_>>();
    let rest = truth
        .entries()
        .filter(|(key, _)| !dms.iter().any(|dm| key.starts_with(dm)));
    assert_eq!(rest.map(|(key, _)| key).collect::<Vec<_>>(), ["bot_user"]);
}

#[test]
fn a_new_session_ends_guilds_of_its_shard_that_are_gone() {
    let mut truth = Truth::new();
    let (kept, gone, foreign) = (2u64 << 22, 4u64 << 22, 3u64 << 22);
    for guild in [kept, gone, foreign] {
        let d = json!({"id": guild.to_string(), "name": "g", "roles": [{"id": "1"}]});
        truth.apply("a", "GUILD_CREATE", &d);
    }
    let ready = json!({
        "user": {"id": "9"}, "shard": [0, 2],
        "guilds": [{"id": kept.to_string(), "unavailable": true}, {"id": "8388608000", "unavailable": true}],
    });
    assert_eq!(truth.apply("b", "READY", &ready), None);
    assert_eq!(truth.get(&format!("guild:{kept}")).unwrap()["name"], "g");
    assert_eq!(truth.get("guild:8388608000").unwrap()["unavailable"], true);
    assert!(truth.get(&format!("guild:{gone}")).is_none());
    assert!(truth.get(&format!("role:{gone}:1")).is_none());
    assert!(truth.get(&format!("role:{foreign}:1")).is_some());
}

/// Applies events in turn and returns the last `old`.
fn after(events: &[(&str, Value)]) -> (Truth, Option<Value>) {
    let mut truth = Truth::new();
    let mut old = None;
    for (t, d) in events {
        old = truth.apply("s", t, d);
    }
    (truth, old)
}

#[test]
fn updates_merge_and_report_what_was() {
    let (truth, old) = after(&[
        (
            "MESSAGE_CREATE",
            json!({"id": "2", "channel_id": "1", "content": "a", "pinned": false}),
        ),
        (
            "MESSAGE_UPDATE",
            json!({"id": "2", "channel_id": 1, "pinned": true, "nonce": null}),
        ),
    ]);
    assert_eq!(old.unwrap()["pinned"], false);
    let now = truth.get("message:1:2").unwrap();
    assert_eq!(
        (&now["content"], &now["pinned"], &now["nonce"]),
        (&json!("a"), &json!(true), &Value::Null)
    );
    assert!(now.as_object().unwrap().contains_key("nonce"));
}

#[test]
fn an_unknown_object_is_kept_only_if_it_is_whole() {
    for (t, d, key, kept) in [
        (
            "MESSAGE_UPDATE",
            json!({"id": "2", "channel_id": "1", "content": ""}),
            "message:1:2",
            false,
        ),
        (
            "MESSAGE_UPDATE",
            json!({"id": "2", "channel_id": "1", "content": "", "author": {}, "timestamp": "t"}),
            "message:1:2",
            true,
        ),
        (
            "CHANNEL_UPDATE",
            json!({"id": "2", "guild_id": "1"}),
            "channel:1:2",
            false,
        ),
        (
            "CHANNEL_UPDATE",
            json!({"id": "2", "guild_id": "1", "type": 0}),
            "channel:1:2",
            true,
        ),
        (
            "CHANNEL_UPDATE",
            json!({"id": "2", "type": 1}),
            "channel:2",
            true,
        ),
        (
            "GUILD_MEMBER_UPDATE",
            json!({"guild_id": "1", "user": {"id": "2"}, "roles": []}),
            "member:1:2",
            false,
        ),
        (
            "GUILD_MEMBER_UPDATE",
            json!({"guild_id": "1", "user": {"id": "2"}, "roles": [], "joined_at": null}),
            "member:1:2",
            true,
        ),
    ] {
        let (truth, old) = after(&[(t, d.clone())]);
        assert_eq!(truth.get(key).is_some(), kept, "{t} {d}");
        assert_eq!(old, None);
    }
}

#[test]
fn a_hidden_channel_is_replaced_both_ways() {
    let seen =
        json!({"id": "2", "guild_id": "1", "type": 0, "name": "a", "topic": "t", "flags": 0});
    let hidden =
        json!({"id": "2", "guild_id": "1", "type": 0, "name": "___hidden___", "flags": 131_072});
    let (truth, old) = after(&[
        ("CHANNEL_CREATE", seen.clone()),
        ("CHANNEL_UPDATE", hidden.clone()),
    ]);
    assert_eq!(
        (old, truth.get("channel:1:2")),
        (Some(seen.clone()), Some(&hidden))
    );
    let (truth, old) = after(&[
        ("CHANNEL_CREATE", hidden.clone()),
        ("CHANNEL_UPDATE", seen.clone()),
    ]);
    assert_eq!((old, truth.get("channel:1:2")), (Some(hidden), Some(&seen)));
}

#[test]
fn members_are_counted() {
    let member = json!({"guild_id": "1", "user": {"id": "2"}, "roles": [], "joined_at": "t"});
    let count = |events: &[(&str, Value)]| {
        let guild = ("GUILD_CREATE", json!({"id": "1", "member_count": 1}));
        let mut all = vec![guild];
        all.extend_from_slice(events);
        after(&all).0.get("guild:1").unwrap()["member_count"].clone()
    };
    let gone = json!({"guild_id": "1", "user": {"id": "2"}});
    assert_eq!(count(&[("GUILD_MEMBER_ADD", member.clone())]), 2);
    assert_eq!(
        count(&[
            ("GUILD_MEMBER_ADD", member.clone()),
            ("GUILD_MEMBER_ADD", member)
        ]),
        2
    );
    assert_eq!(count(&[("GUILD_MEMBER_REMOVE", gone.clone())]), 0);
    assert_eq!(
        count(&[
            ("GUILD_MEMBER_REMOVE", gone.clone()),
            ("GUILD_MEMBER_REMOVE", gone)
        ]),
        0
    );
}

#[test]
fn lists_report_all_before_by_ascending_id() {
    let list = |ids: &[&str]| {
        let emojis: Vec<Value> = ids
            .iter()
            .map(|id| json!({"id": id, "name": "e"}))
            .collect();
        (
            "GUILD_EMOJIS_UPDATE",
            json!({"guild_id": "1", "emojis": emojis}),
        )
    };
    assert_eq!(after(&[list(&["3"])]).1, Some(json!([])));
    let (truth, old) = after(&[list(&["10", "9"]), list(&["9", "bad"])]);
    let old: Vec<Value> = old
        .unwrap()
        .as_array()
        .unwrap()
        .iter()
        .map(|e| e["id"].clone())
        .collect();
    assert_eq!(old, ["9", "10"]);
    assert_eq!(
        truth.entries().map(|(key, _)| key).collect::<Vec<_>>(),
        ["emoji:1:9"]
    );
    assert_eq!(truth.get("emoji:1:9").unwrap()["guild_id"], "1");
}

#[test]
fn threads_and_messages_go_with_their_channel() {
    let (truth, old) = after(&[
        (
            "CHANNEL_CREATE",
            json!({"id": "2", "guild_id": "1", "type": 0}),
        ),
        (
            "THREAD_CREATE",
            json!({"id": "3", "guild_id": "1", "type": 11, "parent_id": "2"}),
        ),
        (
            "THREAD_CREATE",
            json!({"id": "4", "guild_id": "1", "type": 11, "parent_id": "5"}),
        ),
        ("MESSAGE_CREATE", json!({"id": "6", "channel_id": "2"})),
        ("MESSAGE_CREATE", json!({"id": "7", "channel_id": "3"})),
        ("MESSAGE_CREATE", json!({"id": "8", "channel_id": "4"})),
        (
            "GUILD_SCHEDULED_EVENT_CREATE",
            json!({"id": "9", "guild_id": "1", "channel_id": "2"}),
        ),
        (
            "GUILD_SCHEDULED_EVENT_CREATE",
            json!({"id": "10", "guild_id": "1", "channel_id": null}),
        ),
        (
            "CHANNEL_DELETE",
            json!({"id": "2", "guild_id": "1", "type": 0}),
        ),
    ]);
    assert_eq!(old.unwrap()["id"], "2");
    let keys: Vec<&str> = truth.entries().map(|(key, _)| key).collect();
    assert_eq!(keys, ["channel:1:4", "message:4:8", "scheduled_event:1:10"]);
}

#[test]
fn a_whole_role_loses_its_tags_by_their_absence() {
    let role = |tags| {
        let mut role = json!({"id": "2", "name": "a", "position": 1, "permissions": "0"});
        if tags {
            role["tags"] = json!({"guild_connections": null});
        }
        json!({"guild_id": "1", "role": role})
    };
    let (truth, old) = after(&[
        ("GUILD_ROLE_CREATE", role(true)),
        ("GUILD_ROLE_UPDATE", role(false)),
        (
            "GUILD_ROLE_UPDATE",
            json!({"guild_id": "1", "role": {"id": "2", "name": "b"}}),
        ),
    ]);
    assert_eq!(old.unwrap().get("tags"), None);
    let role = truth.get("role:1:2").unwrap();
    assert_eq!((&role["name"], &role["position"]), (&json!("b"), &json!(1)));
}

#[test]
fn a_thread_list_replaces_the_threads_of_its_parents() {
    let thread = |id: &str, parent: &str| {
        let d = json!({"id": id, "guild_id": "1", "type": 11, "parent_id": parent});
        ("THREAD_CREATE", d)
    };
    let before = [
        (
            "CHANNEL_CREATE",
            json!({"id": "2", "guild_id": "1", "type": 0}),
        ),
        thread("3", "2"),
        thread("4", "2"),
        thread("5", "9"),
        ("MESSAGE_CREATE", json!({"id": "6", "channel_id": "3"})),
    ];
    let listed = json!([{"id": "4", "type": 11, "parent_id": "2", "name": "new"}, 7]);
    let keys_after = |sync: Value| -> Vec<String> {
        let mut events = before.to_vec();
        events.push(("THREAD_LIST_SYNC", sync));
        let (truth, old) = after(&events);
        assert_eq!(old, None);
        assert_eq!(truth.get("channel:1:4").unwrap()["name"], "new");
        assert_eq!(truth.get("channel:1:4").unwrap()["guild_id"], "1");
        truth.entries().map(|(key, _)| key.to_owned()).collect()
    };
    let of_parent = json!({"guild_id": "1", "channel_ids": ["2"], "threads": listed});
    assert_eq!(
        keys_after(of_parent),
        ["channel:1:2", "channel:1:4", "channel:1:5"]
    );
    let of_guild = json!({"guild_id": "1", "threads": listed});
    assert_eq!(keys_after(of_guild), ["channel:1:2", "channel:1:4"]);
}

#[test]
fn bulk_deletes_report_in_the_order_of_the_ids() {
    let (truth, old) = after(&[
        ("MESSAGE_CREATE", json!({"id": "6", "channel_id": "2"})),
        ("MESSAGE_CREATE", json!({"id": "7", "channel_id": "2"})),
        (
            "MESSAGE_DELETE_BULK",
            json!({"ids": ["7", "99", "6"], "channel_id": "2"}),
        ),
    ]);
    assert_eq!(
        old.unwrap(),
        json!([{"id": "7", "channel_id": "2"}, {"id": "6", "channel_id": "2"}])
    );
    assert_eq!(truth.entries().count(), 0);
}

#[test]
fn a_presence_keeps_what_a_partial_user_leaves_out() {
    let first = json!({"guild_id": "1", "status": "online", "user": {"id": "2", "username": "u"}});
    let second = json!({"guild_id": "1", "status": "idle", "user": {"id": "2"}});
    let (truth, old) = after(&[
        ("PRESENCE_UPDATE", first.clone()),
        ("PRESENCE_UPDATE", second.clone()),
    ]);
    assert_eq!(old, Some(first));
    let now = truth.get("presence:1:2").unwrap();
    assert_eq!(
        (&now["status"], &now["user"]["username"]),
        (&json!("idle"), &json!("u"))
    );
    let gone = json!({"guild_id": "1", "status": "offline", "user": {"id": "2"}});
    let (truth, old) = after(&[
        ("PRESENCE_UPDATE", second.clone()),
        ("PRESENCE_UPDATE", gone),
    ]);
    assert_eq!((old, truth.get("presence:1:2")), (Some(second), None));
}

#[test]
fn an_outage_loses_nothing() {
    let whole = json!({"id": "1", "name": "g", "channels": [{"id": "2", "type": 0}]});
    let stub = json!({"id": "1", "unavailable": true});
    for t in ["GUILD_DELETE", "GUILD_CREATE"] {
        let (truth, old) = after(&[
            ("GUILD_CREATE", whole.clone()),
            ("MESSAGE_CREATE", json!({"id": "6", "channel_id": "2"})),
            (t, stub.clone()),
        ]);
        assert_eq!(old.unwrap(), json!({"id": "1", "name": "g"}));
        let away = json!({"id": "1", "name": "g", "unavailable": true});
        assert_eq!(truth.get("guild:1"), Some(&away));
        assert!(truth.get("channel:1:2").is_some() && truth.get("message:2:6").is_some());
    }
}

#[test]
fn a_whole_message_replaces_and_less_is_merged() {
    let whole = json!({
        "id": "6", "channel_id": "2", "author": {"id": "9"}, "timestamp": "t", "content": "",
    });
    let mut rich = whole.clone();
    rich["reactions"] = json!([{"count": 1}]);
    let (truth, old) = after(&[
        ("MESSAGE_CREATE", rich.clone()),
        ("MESSAGE_UPDATE", whole.clone()),
    ]);
    assert_eq!(
        (old.as_ref(), truth.get("message:2:6")),
        (Some(&rich), Some(&whole))
    );
    let less = json!({"id": "6", "channel_id": "2", "embeds": []});
    let (truth, _) = after(&[("MESSAGE_CREATE", rich), ("MESSAGE_UPDATE", less)]);
    let now = truth.get("message:2:6").unwrap();
    assert!(now.get("reactions").is_some() && now.get("embeds").is_some());
}

#[test]
fn what_cannot_be_used_changes_nothing() {
    let odd = [
        json!(null),
        json!(7),
        json!("text"),
        json!([]),
        json!({}),
        json!({"id": []}),
        json!({"id": "x", "guild_id": "1"}),
        json!({"guild_id": -1, "user": {"id": 1.5}}),
        json!({"guild_id": "1", "user": null, "role": 3, "emojis": {}, "threads": 1, "ids": "7"}),
        json!({"channel_id": "18446744073709551616", "message_id": "1"}),
    ];
    for name in crate::generator::DISPATCH_TYPES {
        for d in &odd {
            let mut truth = Truth::new();
            truth.apply("s", "GUILD_CREATE", &json!({"id": "1", "name": "g"}));
            let was = truth.entries.clone();
            assert_eq!(truth.apply("s", name, d), None, "{name} {d}");
            assert_eq!(truth.entries, was, "{name} {d}");
        }
    }
}

#[test]
fn the_oldest_message_is_forgotten_beyond_a_bound() {
    let mut truth = Truth::bounded(2, true);
    for id in ["1", "2", "3"] {
        let message =
            json!({"id": id, "channel_id": "9", "author": {}, "content": "c", "timestamp": "t"});
        truth.apply("s", "MESSAGE_CREATE", &message);
        truth.apply("s", "MESSAGE_UPDATE", &message);
    }
    let keys: Vec<&str> = truth.entries().map(|(key, _)| key).collect();
    assert_eq!(keys, ["message:9:2", "message:9:3"]);
}
