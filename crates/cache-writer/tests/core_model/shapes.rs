//! Payloads that are not what they should be.

use cache_writer::core::{
    outcome::{Note, Outcome},
    settings::Settings,
    unusable::Unusable,
};

use serde::de::IgnoredAny;
use serde_json::{Value, json};

use super::{
    fields::Fields,
    generate::{NAMES, dispatches},
    writer::{Dispatch, Writer},
};

fn deliver(settings: Settings, name: &str, data: &str) -> (Writer, Outcome) {
    let mut writer = Writer::new(settings);
    let outcome = writer.deliver(&[Dispatch::new(name, data)], 1).remove(0).1;
    (writer, outcome)
}

#[test]
fn what_is_wrong_is_told() {
    for (name, data, expected) in [
        ("MESSAGE_CREATE", "null", Unusable::NotAnObject),
        ("MESSAGE_CREATE", "[]", Unusable::NotAnObject),
        ("MESSAGE_CREATE", "{\"id\":", Unusable::NotAnObject),
        (
            "MESSAGE_CREATE",
            r#"{"id":"1"}"#,
            Unusable::Missing("channel_id"),
        ),
        (
            "MESSAGE_CREATE",
            r#"{"id":null,"channel_id":"2"}"#,
            Unusable::Missing("id"),
        ),
        (
            "MESSAGE_CREATE",
            r#"{"id":"x","channel_id":"2"}"#,
            Unusable::WrongType("id"),
        ),
        (
            "MESSAGE_CREATE",
            r#"{"id":1.5,"channel_id":"2"}"#,
            Unusable::WrongType("id"),
        ),
        (
            "CHANNEL_UPDATE",
            r#"{"id":"1","guild_id":[]}"#,
            Unusable::WrongType("guild_id"),
        ),
        (
            "GUILD_CREATE",
            r#"{"id":"1","roles":"all"}"#,
            Unusable::WrongType("roles"),
        ),
        (
            "GUILD_MEMBER_ADD",
            r#"{"guild_id":"1","user":7}"#,
            Unusable::WrongType("user"),
        ),
        (
            "READY",
            r#"{"user":{"id":"1"}}"#,
            Unusable::Missing("guilds"),
        ),
    ] {
        let (writer, outcome) = deliver(Settings::default(), name, data);
        assert_eq!(
            outcome.note,
            Some(Note::Unusable(expected)),
            "{name} {data}"
        );
        assert_eq!(outcome.old, None);
        assert!(writer.store.strings.is_empty(), "{name} {data}");
    }
}

#[test]
fn every_event_with_a_rule_tells_an_empty_payload_and_the_others_do_not_look() {
    let without_rule = [
        "RESUMED",
        "GUILD_BAN_ADD",
        "TYPING_START",
        "INVENTED_TOMORROW",
    ];
    for name in NAMES {
        let (_, outcome) = deliver(Settings::default(), name, "{}");
        // A voice state outside a guild is fine, and is not cached.
        let silent = without_rule.contains(&name) || name == "VOICE_STATE_UPDATE";
        assert_eq!(outcome.note.is_none(), silent, "{name}");
    }
    assert_eq!(
        deliver(Settings::default(), "TYPING_START", "nonsense").1,
        Outcome::default()
    );
}

#[test]
fn ids_may_be_numbers() {
    let data = r#"{"id":8,"channel_id":3}"#;
    let (writer, _) = deliver(Settings::default(), "MESSAGE_CREATE", data);
    assert_eq!(writer.store.strings["message:3:8"], data);
}

#[test]
fn what_stands_in_the_cache_and_is_no_object_counts_as_nothing() {
    for cached in ["", "7", "{\"id\":", "[]", "{} {}"] {
        for (name, data) in [
            ("MESSAGE_DELETE", r#"{"id":"8","channel_id":"3"}"#),
            ("MESSAGE_DELETE_BULK", r#"{"ids":["8"],"channel_id":"3"}"#),
            ("MESSAGE_UPDATE", r#"{"id":"8","channel_id":"3"}"#),
        ] {
            let mut writer = Writer::default();
            writer
                .store
                .strings
                .insert("message:3:8".to_owned(), cached.to_owned());
            let outcome = writer.deliver(&[Dispatch::new(name, data)], 1).remove(0).1;
            let empty = (name == "MESSAGE_DELETE_BULK").then(|| "[]".to_owned());
            assert_eq!(outcome.old, empty, "{name} over {cached}");
        }
    }
}

/// JSON's grammar allows what strict readers refuse, and ids that are none.
#[test]
fn odd_text_in_any_place_passes() {
    let deep = format!("{}7{}", "[".repeat(10_000), "]".repeat(10_000));
    let deeper = format!(r#"{}7{}"#, r#"{"id":"#.repeat(10_000), "}".repeat(10_000));
    let odd = [
        r#""\ud800""#,
        r#""\udc00\ud800""#,
        "1e400",
        "-1E-400",
        "1.0",
        "-0",
        "0",
        r#""0""#,
        r#""007""#,
        "9223372036854775808",
        r#""18446744073709551615""#,
        r#""18446744073709551616""#,
        r#""""#,
        r#"" 7""#,
        r#""\u0037""#,
        r#""٣""#,
        r#""a\u0000b""#,
        r#"[null,null,7,7,"7","7",{},[]]"#,
        r#"{"id":"7","id":null,"\ud800":1}"#,
        &deep,
        &deeper,
    ];
    let seeds: Vec<u64> = (0..600).collect();
    for event in dispatches(&seeds, false) {
        let fields: Fields = serde_json::from_str(&event.data).unwrap();
        let mut writer = Writer::default();
        for (place, name) in fields.keys().enumerate() {
            let data = with_text(&fields, name, odd[(place + event.data.len()) % odd.len()]);
            let stream = [&event.data, &data, &event.data].map(|data| data.as_str());
            let stream: Vec<_> = (3 * place as u64 + 1..)
                .zip(stream)
                .map(|(seq, data)| Dispatch {
                    seq,
                    ..Dispatch::new(&event.name, data)
                })
                .collect();
            let outcomes = writer.deliver(&stream, 2);
            assert_eq!(outcomes.len(), 3, "{} {data:.300}", event.name);
            let mut old = outcomes
                .iter()
                .filter_map(|(_, outcome)| outcome.old.as_ref());
            assert!(old.all(|old| is_json(old)), "{} {data:.300}", event.name);
            let mut held = writer.store.strings.values();
            assert!(held.all(|value| value.starts_with('{') && is_json(value)));
        }
        writer.assert_indexed();
    }
}

/// The object as text, one of its fields with another one's text.
fn with_text(fields: &Fields, odd_one: &str, odd: &str) -> String {
    let field = |(name, value): (&String, &Value)| match value {
        _ if name == odd_one => format!("{}:{odd}", json!(name)),
        value => format!("{}:{value}", json!(name)),
    };
    let fields: Vec<String> = fields.iter().map(field).collect();
    format!("{{{}}}", fields.join(","))
}

fn is_json(text: &str) -> bool {
    serde_json::from_str::<IgnoredAny>(text).is_ok()
}

#[test]
fn without_a_cache_events_pass() {
    let settings = Settings {
        enabled: false,
        ..Settings::default()
    };
    for name in NAMES {
        let (writer, outcome) = deliver(settings.clone(), name, r#"{"id":"1"}"#);
        assert_eq!(outcome, Outcome::default());
        assert!(writer.store.strings.is_empty());
    }
}
