use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

fn parse(op: u8, d: &Value) -> Result<Packet, String> {
    let text = json!({"op": op, "d": d}).to_string();
    Packet::parse(&text, "the packet").map_err(|refusal| refusal.to_string())
}

/// A complete packet of each opcode, to be varied.
fn complete(op: u8) -> Value {
    match op {
        3 => {
            json!({"since": null, "activities": [{"name": "n", "type": 0}], "status": "online", "afk": false})
        }
        4 => json!({"guild_id": "7", "channel_id": "8", "self_mute": false, "self_deaf": true}),
        8 => json!({"guild_id": "7", "query": "", "limit": 0}),
        31 => json!({"guild_ids": ["7", "9"]}),
        _ => json!({"guild_id": "7", "fields": ["status", "voice_start_time"]}),
    }
}

fn with(op: u8, field: &str, value: Value) -> Value {
    let mut d = complete(op);
    d[field] = value;
    d
}

fn without(op: u8, field: &str) -> Value {
    let mut d = complete(op);
    d.as_object_mut().unwrap().remove(field);
    d
}

#[test]
fn what_discord_takes_is_taken() {
    let hundred: Vec<String> = (1..=100).map(|id: u64| id.to_string()).collect();
    let table = [
        (3, complete(3)),
        (3, with(3, "since", json!(0))),
        (3, with(3, "since", json!(1_732_579_200_123_u64))),
        (3, with(3, "activities", json!([]))),
        (3, with(3, "status", json!("invisible"))),
        (3, with(3, "status", json!("offline"))),
        (3, with(3, "client", json!({"new": [1]}))),
        (
            3,
            with(
                3,
                "activities",
                json!([
                    {"name": "n", "type": 1, "url": "https://twitch.tv/x"},
                    {"name": "n", "type": 4, "state": "s", "emoji": null, "url": null},
                    {"name": "", "type": 5, "created_at": 1, "flags": 0, "x": {}},
                ]),
            ),
        ),
        (4, complete(4)),
        (4, with(4, "channel_id", Value::Null)),
        (4, with(4, "channel_id", json!(8))),
        (4, with(4, "guild_id", json!(7))),
        (4, with(4, "self_video", json!(false))),
        (8, complete(8)),
        (8, with(8, "query", json!("ab"))),
        (8, with(8, "limit", json!(1000))),
        (8, with(8, "guild_id", json!(["7"]))),
        (8, with(8, "guild_id", json!([7]))),
        (8, with(8, "presences", json!(true))),
        (8, with(8, "presences", Value::Null)),
        (8, with(8, "user_ids", Value::Null)),
        (8, with(8, "user_ids", json!([]))),
        (8, with(8, "nonce", json!("x".repeat(32)))),
        (8, with(8, "nonce", json!(""))),
        (8, with(8, "nonce", json!(12))),
        (8, with(8, "nonce", Value::Null)),
        (8, json!({"guild_id": "7", "user_ids": "5"})),
        (8, json!({"guild_id": "7", "user_ids": 5})),
        (8, json!({"guild_id": "7", "user_ids": ["5", 6]})),
        (8, json!({"guild_id": "7", "user_ids": hundred, "limit": 0})),
        (
            8,
            json!({"guild_id": "7", "user_ids": ["5"], "query": null}),
        ),
        (31, complete(31)),
        (31, with(31, "guild_ids", json!([7]))),
        (31, with(31, "guild_ids", json!([]))),
        (43, complete(43)),
        (43, with(43, "fields", json!([]))),
        (43, with(43, "fields", json!(["invented_tomorrow"]))),
    ];
    for (op, d) in table {
        assert_eq!(parse(op, &d).err(), None, "{op} {d}");
    }
}

#[test]
fn what_discord_closes_over_is_refused() {
    let many: Vec<String> = (1..=101).map(|id: u64| id.to_string()).collect();
    let status = "status must be online, dnd, idle, invisible or offline, found";
    let kind = "activities[].type must be a whole number from 0 to 5, found";
    let nonce = "nonce must be a string of at most 32 bytes, found";
    let activity =
        |activity: Value| with(3, "activities", json!([{"name": "n", "type": 0}, activity]));
    let table = [
        (3, json!({}), "since is missing".to_owned()),
        (3, json!({"status": "online"}), "since is missing".into()),
        (3, without(3, "since"), "since is missing".into()),
        (3, without(3, "activities"), "activities is missing".into()),
        (3, without(3, "status"), "status is missing".into()),
        (3, without(3, "afk"), "afk is missing".into()),
        (3, with(3, "since", json!("0")), "since must be a whole number or null, found \"0\"".into()),
        (3, with(3, "since", json!(1.5)), "since must be a whole number or null, found 1.5".into()),
        (3, with(3, "activities", Value::Null), "activities must be a list of activities, found null".into()),
        (3, with(3, "activities", json!({})), "activities must be a list of activities, found {}".into()),
        (3, with(3, "activities", json!(["n"])), "activities[] must be an object, found \"n\"".into()),
        (3, with(3, "activities", json!([null])), "activities[] must be an object, found null".into()),
        (3, activity(json!({"type": 0})), "activities[].name is missing".into()),
        (3, activity(json!({"name": null, "type": 0})), "activities[].name must be a string, found null".into()),
        (3, activity(json!({"name": 5, "type": 0})), "activities[].name must be a string, found 5".into()),
        (3, activity(json!({"name": "n"})), "activities[].type is missing".into()),
        (3, activity(json!({"name": "n", "type": "0"})), format!("{kind} \"0\"")),
        (3, activity(json!({"name": "n", "type": -1})), format!("{kind} -1")),
        (3, activity(json!({"name": "n", "type": 6})), format!("{kind} 6")),
        (3, activity(json!({"name": "n", "type": 1, "url": 1})), "activities[].url must be a string, found 1".into()),
        (3, activity(json!({"name": "n", "type": 4, "state": []})), "activities[].state must be a string, found []".into()),
        (3, with(3, "status", json!("away")), format!("{status} \"away\"")),
        (3, with(3, "status", json!("Online")), format!("{status} \"Online\"")),
        (3, with(3, "status", Value::Null), format!("{status} null")),
        (3, with(3, "afk", json!(0)), "afk must be true or false, found 0".into()),
        (3, with(3, "afk", Value::Null), "afk must be true or false, found null".into()),
        (4, without(4, "guild_id"), "guild_id is missing".into()),
        (4, without(4, "channel_id"), "channel_id is missing".into()),
        (4, without(4, "self_mute"), "self_mute is missing".into()),
        (4, without(4, "self_deaf"), "self_deaf is missing".into()),
        (4, with(4, "guild_id", Value::Null), "guild_id must be an id (a string or a number), found null".into()),
        (4, with(4, "guild_id", json!(["7"])), "guild_id must be an id (a string or a number), found [\"7\"]".into()),
        (4, with(4, "channel_id", json!(false)), "channel_id must be an id (a string or a number), found false".into()),
        (4, with(4, "channel_id", json!("")), "channel_id is no id of discord's: it must be a positive integer of 64 bits, found \"\"".into()),
        (4, with(4, "self_mute", json!("false")), "self_mute must be true or false, found \"false\"".into()),
        (4, with(4, "self_deaf", Value::Null), "self_deaf must be true or false, found null".into()),
        (8, without(8, "guild_id"), "guild_id is missing".into()),
        (8, without(8, "query"), "query or user_ids is missing".into()),
        (8, without(8, "limit"), "limit is missing".into()),
        (8, with(8, "limit", Value::Null), "limit is missing".into()),
        (8, with(8, "limit", json!("0")), "limit must be a whole number from 0, found \"0\"".into()),
        (8, with(8, "limit", json!(-1)), "limit must be a whole number from 0, found -1".into()),
        (8, with(8, "limit", json!(0.5)), "limit must be a whole number from 0, found 0.5".into()),
        (8, with(8, "query", json!(5)), "query must be a string, found 5".into()),
        (8, with(8, "guild_id", json!(["7", "8"])), "guild_id must be one id, found [\"7\",\"8\"]".into()),
        (8, with(8, "guild_id", json!([])), "guild_id must be one id, found []".into()),
        (8, with(8, "user_ids", json!(["5"])), "query and user_ids exclude each other".into()),
        (8, json!({"guild_id": "7", "user_ids": many}), "user_ids must be at most 100 ids, found 101".into()),
        (8, json!({"guild_id": "7", "user_ids": ["5", "a"]}), "user_ids is no id of discord's: it must be a positive integer of 64 bits, found \"a\"".into()),
        (8, json!({"guild_id": "7", "user_ids": {}}), "user_ids must be an id (a string or a number), found {}".into()),
        (8, json!({"guild_id": "7", "user_ids": ["5"], "limit": "1"}), "limit must be a whole number from 0, found \"1\"".into()),
        (8, with(8, "presences", json!("true")), "presences must be true or false, found \"true\"".into()),
        (8, with(8, "nonce", json!("é".repeat(17))), format!("{nonce} \"{}\"", "é".repeat(17))),
        (8, with(8, "nonce", json!(["n"])), format!("{nonce} [\"n\"]")),
        (31, json!({}), "guild_ids is missing".into()),
        (31, with(31, "guild_ids", json!("7")), "guild_ids must be a list of ids, found \"7\"".into()),
        (31, with(31, "guild_ids", Value::Null), "guild_ids must be a list of ids, found null".into()),
        (31, with(31, "guild_ids", json!(["x"])), "guild_ids is no id of discord's: it must be a positive integer of 64 bits, found \"x\"".into()),
        (43, without(43, "guild_id"), "guild_id is missing".into()),
        (43, without(43, "fields"), "fields is missing".into()),
        (43, with(43, "fields", json!("status")), "fields must be a list of strings, found \"status\"".into()),
        (43, with(43, "fields", json!([1])), "fields must be a list of strings, found [1]".into()),
    ];
    for (op, d, reason) in table {
        assert_eq!(parse(op, &d).unwrap_err(), reason, "{op} {d}");
    }
}

#[test]
fn a_field_twice_is_refused_and_unknown_ones_pass() {
    let twice = r#"{"op":43,"d":{"guild_id":"7","fields":[],"guild_id":"8"}}"#;
    let refused = Packet::parse(twice, "the packet").unwrap_err().to_string();
    assert!(refused.contains("duplicate field `guild_id`"), "{refused}");
    let unknown = r#"{"op":43,"s":null,"t":null,"d":{"guild_id":"7","fields":[],"new":{"a":[1,null]}},"x":1}"#;
    assert_eq!(
        Packet::parse(unknown, "the packet").unwrap().json(),
        unknown
    );
}

#[test]
fn what_matters_for_sending_is_read() {
    let about = |op, d: Value| {
        let packet = parse(op, &d).unwrap();
        let nonce = packet.nonce().map(str::to_owned);
        (
            packet.opcode(),
            packet.guild(),
            packet.is_full_list(),
            nonce,
        )
    };
    assert_eq!(about(3, complete(3)), (3, None, false, None));
    assert_eq!(about(4, complete(4)), (4, Some(7), false, None));
    assert_eq!(about(8, complete(8)), (8, Some(7), true, None));
    assert_eq!(about(31, complete(31)), (31, Some(7), false, None));
    assert_eq!(about(31, json!({"guild_ids": []})), (31, None, false, None));
    assert_eq!(about(43, complete(43)), (43, Some(7), false, None));
    let named = with(8, "query", json!("a"));
    assert_eq!(about(8, named), (8, Some(7), false, None));
    let some = with(8, "limit", json!(5));
    assert_eq!(about(8, some), (8, Some(7), false, None));
    let users = json!({"guild_id": [7], "user_ids": ["1"], "limit": 0, "nonce": "n"});
    assert_eq!(about(8, users), (8, Some(7), false, Some("n".into())));
    let number = with(8, "nonce", json!(12));
    assert_eq!(about(8, number), (8, Some(7), true, Some("12".into())));
}

#[test]
fn other_opcodes_are_refused() {
    for op in [0, 1, 2, 5, 6, 7, 9, 10, 11, 12, 44, 255] {
        let reason = parse(op, &json!({})).unwrap_err();
        assert!(
            reason.starts_with(&format!("opcode {op} can't be sent")),
            "{reason}"
        );
    }
}

proptest! {
    /// A required field that is absent, or of a type that is none of its own, is named in the refusal.
    #[test]
    fn the_field_is_named(op in prop::sample::select(vec![3_u8, 4, 31, 43]), at in 0..4_usize, absent: bool) {
        let d = complete(op);
        let fields: Vec<&String> = d.as_object().unwrap().keys().collect();
        let field = fields[at % fields.len()];
        // An object is what no field of these may be.
        let changed = if absent { without(op, field) } else { with(op, field, json!({"x": 1})) };
        let reason = parse(op, &changed).unwrap_err();
        prop_assert!(reason.starts_with(field.as_str()), "{reason}");
    }
}
