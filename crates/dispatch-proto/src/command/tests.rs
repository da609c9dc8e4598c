use proptest::prelude::*;

use super::*;

/// `(197038439483310086 >> 22) % 4` is 2.
const GUILD: u64 = 197_038_439_483_310_086;

/// What opcode 3 needs.
const PRESENCE: &str = r#""since":null,"activities":[],"status":"online","afk":false"#;
/// What opcode 4 needs beside its guild.
const VOICE: &str = r#""channel_id":null,"self_mute":false,"self_deaf":false"#;

fn sent(body: &str) -> (Target, String) {
    let command = Command::parse(body.as_bytes()).unwrap();
    match command.action {
        Action::Send(packet) => (command.target, packet.into_json()),
        other => panic!("{other:?}"),
    }
}

fn refused(body: &str) -> Refusal {
    Command::parse(body.as_bytes()).unwrap_err()
}

#[test]
fn a_send_keeps_the_packets_bytes() {
    let packet = format!(
        r#"{{ "op":3, "d":{{"x":1.0, {PRESENCE}, "big":123456789012345678901234567890 }} }}"#
    );
    let (target, json) = sent(&format!(r#" {{"op":0,"shard":2,"data": {packet} }} "#));
    assert_eq!(target, Target::Shard(2));
    assert_eq!(json, packet);
}

#[test]
fn the_shard_is_computed_from_the_guild() {
    for guild_id in [format!("\"{GUILD}\""), GUILD.to_string()] {
        for (opcode, field) in [
            (4, format!(r#""guild_id":{guild_id},{VOICE}"#)),
            (8, format!(r#""guild_id":{guild_id},"query":"","limit":0"#)),
            (43, format!(r#""guild_id":{guild_id},"fields":[]"#)),
            (31, format!(r#""guild_ids":[{guild_id},"5"]"#)),
        ] {
            let (target, _) = sent(&format!(
                r#"{{"op":0,"data":{{"op":{opcode},"d":{{{field}}}}}}}"#
            ));
            assert_eq!(target, Target::Guild(GUILD));
            assert_eq!(target.shard(4).unwrap(), 2);
        }
    }
}

#[test]
fn a_named_shard_is_obeyed() {
    let body =
        format!(r#"{{"op":0,"shard":3,"data":{{"op":4,"d":{{"guild_id":"{GUILD}",{VOICE}}}}}}}"#);
    let command = Command::parse(body.as_bytes()).unwrap();
    assert_eq!(command.target.shard(4).unwrap(), 3);
    assert!(command.is_astray(4));
    assert!(
        !Command {
            target: Target::Shard(2),
            ..command.clone()
        }
        .is_astray(4)
    );
    assert!(
        !Command {
            target: Target::Shard(0),
            ..command
        }
        .is_astray(1)
    );
}

#[test]
fn other_ops_name_their_shard() {
    for (op, action) in [
        (1, Action::Reconnect),
        (2, Action::Identify),
        (3, Action::Status),
    ] {
        let command = Command::parse(format!(r#"{{"op":{op},"shard":7}}"#).as_bytes()).unwrap();
        assert_eq!(
            command,
            Command {
                target: Target::Shard(7),
                action
            }
        );
        assert!(matches!(
            refused(&format!(r#"{{"op":{op}}}"#)),
            Refusal::MissingShard
        ));
    }
}

#[test]
fn spectacles_forms() {
    let packet = format!(r#"{{"op":8,"d":{{"guild_id":"{GUILD}","query":"","limit":0}}}}"#);
    let bodies = [
        format!(r#"{{"guild_id":"{GUILD}","packet":{packet}}}"#),
        format!(r#"{{"guild_id":{GUILD},"packet":{packet}}}"#),
        format!(r#"{{"packet":{packet}}}"#),
    ];
    for body in bodies {
        let command = Command::parse_spectacles(&body).unwrap();
        assert_eq!(command.target, Target::Guild(GUILD));
        assert!(matches!(command.action, Action::Send(sent) if sent.json() == packet));
    }
    let command = Command::parse_packet(2, &packet).unwrap();
    assert_eq!(command.target, Target::Shard(2));

    let refused = |body: &str| Command::parse_spectacles(body).unwrap_err();
    assert!(matches!(
        refused(r#"{"guild_id":"1"}"#),
        Refusal::Missing("packet")
    ));
    let presence = format!(r#"{{"op":3,"d":{{{PRESENCE}}}}}"#);
    for guild in [
        "",
        r#""guild_id":null,"#,
        r#""guild_id":0,"#,
        r#""guild_id":"0","#,
    ] {
        let of = |packet: &str| {
            let body = format!(r#"{{{guild}"packet":{packet}}}"#);
            Command::parse_spectacles(&body).unwrap().target
        };
        assert_eq!(of(&presence), Target::Shard(0), "{guild}");
        assert_eq!(of(&packet), Target::Guild(GUILD), "{guild}");
    }
    assert!(matches!(
        refused(r#"{"guild_id":-1,"packet":{"op":3,"d":{}}}"#),
        Refusal::NotASnowflake { .. }
    ));
    assert!(matches!(
        Command::parse_packet(0, "[]"),
        Err(Refusal::WrongType { .. })
    ));
}

#[test]
fn refusals_are_words_for_people() {
    let big = format!(
        r#"{{"op":0,"shard":0,"data":{{"op":3,"d":{{"x":"{}"}}}}}}"#,
        "x".repeat(MAX_PACKET)
    );
    let homeless = format!(r#"{{"op":0,"data":{{"op":3,"d":{{{PRESENCE}}}}}}}"#);
    let table: &[(&str, &str)] = &[
        (
            "",
            "the command is not valid json: EOF while parsing a value at line 1 column 0",
        ),
        (
            "{\"op\":0,",
            "the command is not valid json: EOF while parsing an object at line 1 column 8",
        ),
        ("[0,1]", "the command must be an object, found [0,1]"),
        ("null", "the command must be an object, found null"),
        (
            r#"{"op":0,"op":1}"#,
            "the command is not valid json: duplicate field `op` at line 1 column 12",
        ),
        ("{}", "op is missing"),
        (
            r#"{"op":"0"}"#,
            r#"op must be a whole number from 0, found "0""#,
        ),
        (
            r#"{"op":9}"#,
            "op 9 is unknown: 0 sends, 1 reconnects, 2 reconnects with a new session, 3 asks for the status, 4 for that of all shards",
        ),
        (r#"{"op":0,"shard":0}"#, "data is missing"),
        (
            r#"{"op":0,"shard":-1,"data":{}}"#,
            "shard must be a whole number from 0, found -1",
        ),
        (
            r#"{"op":1,"shard":"1"}"#,
            r#"shard must be a whole number from 0, found "1""#,
        ),
        (
            r#"{"op":0,"shard":0,"data":[]}"#,
            "data must be an object, found []",
        ),
        (
            r#"{"op":0,"shard":0,"data":{}}"#,
            "the packet's op is missing",
        ),
        (
            r#"{"op":0,"shard":0,"data":{"op":true}}"#,
            "the packet's op must be a whole number from 0, found true",
        ),
        (
            r#"{"op":0,"shard":0,"data":{"op":2,"d":{}}}"#,
            "opcode 2 can't be sent: the gateway service does this itself",
        ),
        (
            r#"{"op":0,"shard":0,"data":{"op":0,"d":{}}}"#,
            "opcode 0 can't be sent: allowed are 3, 4, 8, 31 and 43",
        ),
        (
            r#"{"op":0,"shard":0,"data":{"op":3}}"#,
            "the packet's d is missing",
        ),
        (
            r#"{"op":0,"shard":0,"data":{"op":3,"d":5}}"#,
            "the packet's d must be an object, found 5",
        ),
        (
            &homeless,
            "shard is missing, and there is no guild_id to compute it from",
        ),
        (
            r#"{"op":0,"shard":0,"data":{"op":3,"d":{"status":"online"}}}"#,
            "since is missing",
        ),
        (
            r#"{"op":0,"shard":0,"data":{"op":4,"d":{}}}"#,
            "guild_id is missing",
        ),
        (
            r#"{"op":0,"data":{"op":4,"d":{"guild_id":"abc"}}}"#,
            r#"guild_id is no id of discord's: it must be a positive integer of 64 bits, found "abc""#,
        ),
        (
            r#"{"op":0,"data":{"op":31,"d":{"guild_ids":"1"}}}"#,
            r#"guild_ids must be a list of ids, found "1""#,
        ),
        (
            &big,
            "the packet has 4117 bytes, discord takes at most 4096",
        ),
    ];
    for (body, reason) in table {
        assert_eq!(refused(body).to_string(), *reason, "{body}");
    }
    assert!(matches!(Command::parse(b"\xff"), Err(Refusal::NotText)));
}

#[test]
fn ids_that_are_no_snowflakes() {
    for id in [
        "0",
        "-1",
        "1.5",
        "1e3",
        "18446744073709551616",
        "\"\"",
        "\"0\"",
        "\"+5\"",
        "\"-5\"",
        "\" 5\"",
    ] {
        let body = format!(r#"{{"op":0,"data":{{"op":4,"d":{{"guild_id":{id}}}}}}}"#);
        assert!(
            matches!(refused(&body), Refusal::NotASnowflake { .. }),
            "{id}"
        );
    }
    for id in ["true", "[]", "{}"] {
        let body = format!(r#"{{"op":0,"data":{{"op":4,"d":{{"guild_id":{id}}}}}}}"#);
        assert!(matches!(refused(&body), Refusal::WrongType { .. }), "{id}");
    }
}

#[test]
fn the_largest_packet_is_taken() {
    let packet = |len: usize| {
        let of = |x: String| format!(r#"{{"op":3,"d":{{{PRESENCE},"x":"{x}"}}}}"#);
        of("x".repeat(len - of(String::new()).len()))
    };
    assert!(Command::parse_packet(0, &packet(MAX_PACKET)).is_ok());
    assert!(matches!(
        Command::parse_packet(0, &packet(MAX_PACKET + 1)),
        Err(Refusal::TooLarge(4097))
    ));
}

#[test]
fn unknown_shards() {
    for shard in [4, u64::from(u32::MAX) + 1, u64::MAX] {
        assert!(matches!(
            Target::Shard(shard).shard(4),
            Err(Refusal::UnknownShard { total: 4, .. })
        ));
    }
    assert_eq!(Target::Shard(3).shard(4).unwrap(), 3);
    assert!(matches!(
        Target::Guild(GUILD).shard(0),
        Err(Refusal::NoShards)
    ));
}

/// Bodies that are nearly right reach further into the parsers than noise does.
fn nearly() -> impl Strategy<Value = String> {
    let value = prop_oneof![
        Just("null".to_owned()),
        any::<i32>().prop_map(|n| n.to_string()),
        (0..10_u8).prop_map(|n| n.to_string()),
        any::<String>().prop_map(|text| serde_json::Value::from(text).to_string()),
        Just("[]".to_owned()),
    ];
    let keys = prop::sample::select(vec![
        "op",
        "shard",
        "data",
        "d",
        "guild_id",
        "guild_ids",
        "packet",
    ]);
    value.prop_recursive(4, 24, 4, move |inner| {
        prop::collection::vec((keys.clone(), inner), 0..4).prop_map(|fields| {
            let fields: Vec<_> = fields
                .iter()
                .map(|(key, value)| format!("\"{key}\":{value}"))
                .collect();
            format!("{{{}}}", fields.join(","))
        })
    })
}

proptest! {
    #[test]
    fn no_body_panics(body in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = Command::parse(&body);
        let text = String::from_utf8_lossy(&body);
        let _ = Command::parse_spectacles(&text);
        let _ = Command::parse_packet(0, &text);
    }

    #[test]
    fn no_nearly_right_body_panics(body in nearly()) {
        for parsed in [
            Command::parse(body.as_bytes()),
            Command::parse_spectacles(&body),
            Command::parse_packet(1, &body),
        ] {
            match parsed {
                Ok(command) => { let _ = command.target.shard(4); }
                Err(refusal) => prop_assert!(!refusal.to_string().is_empty()),
            }
        }
    }
}
