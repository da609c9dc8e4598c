use crate::writer::{Dispatch, Writer};

const GUILD: &str = r#"{"id":"1","name":"old","channels":[{"id":"3","type":0}]}"#;
const NEW: &str = r#"{"id":"1","name":"new","channels":[{"id":"3","type":0}]}"#;

/// Delivers events in turn: name, payload, total of shards, time of receipt.
fn deliver(writer: &mut Writer, events: &[(&str, &str, u32, u64)]) -> Vec<Option<String>> {
    let mut told = Vec::new();
    for (name, data, total, received_us) in events {
        let event = Dispatch {
            session: format!("{name} {total} {received_us}"),
            seq: 1,
            total: *total,
            received_us: *received_us,
            ..Dispatch::new(name, data)
        };
        told.push(writer.deliver(&[event], 1).remove(0).1.old);
    }
    told
}

#[test]
fn what_an_old_total_still_holds_leaves_a_guild_alone() {
    let mut writer = Writer::default();
    let taken = [
        ("GUILD_CREATE", GUILD, 4, 1),
        ("GUILD_CREATE", NEW, 8, 10),
        (
            "MESSAGE_CREATE",
            r#"{"id":"8","channel_id":"3","guild_id":"1"}"#,
            8,
            11,
        ),
    ];
    deliver(&mut writer, &taken);
    let before = writer.store.strings.clone();
    let late = [
        ("GUILD_DELETE", r#"{"id":"1","unavailable":true}"#, 4, 5),
        ("GUILD_DELETE", r#"{"id":"1"}"#, 4, 6),
        ("GUILD_CREATE", GUILD, 4, 7),
        ("CHANNEL_DELETE", r#"{"id":"3","guild_id":"1"}"#, 4, 8),
        (
            "MESSAGE_DELETE",
            r#"{"id":"8","channel_id":"3","guild_id":"1"}"#,
            4,
            9,
        ),
        ("GUILD_UPDATE", r#"{"id":"1","name":"late"}"#, 4, 12),
    ];
    for event in late {
        let told = deliver(&mut writer, &[event]);
        assert_eq!(told, [None], "{}", event.0);
        assert_eq!(writer.store.strings, before, "{}", event.0);
    }
    let ready = r#"{"user":{"id":"7"},"guilds":[]}"#;
    deliver(&mut writer, &[("READY", ready, 4, 9)]);
    assert!(writer.store.strings.contains_key("guild:1"));
    deliver(&mut writer, &[("READY", ready, 4, 13)]);
    assert_eq!(
        writer.store.strings.keys().collect::<Vec<_>>(),
        ["bot_user"]
    );
}

#[test]
fn going_back_to_the_total_before_takes_the_guild_again() {
    let mut writer = Writer::default();
    let told = deliver(
        &mut writer,
        &[
            ("GUILD_CREATE", GUILD, 4, 1),
            ("GUILD_CREATE", NEW, 8, 2),
            ("GUILD_CREATE", GUILD, 4, 3),
            ("GUILD_UPDATE", r#"{"id":"1","name":"last"}"#, 4, 4),
        ],
    );
    assert_eq!(told[3].as_deref(), Some(r#"{"id":"1","name":"old"}"#));
}

/// Once the guild is gone no total has a right to it, also within one batch: what is purged is decided before the batch.
#[test]
fn after_the_guild_is_gone_another_total_is_obeyed() {
    let message = r#"{"id":"8","channel_id":"5","guild_id":"1"}"#;
    let event = |seq, name, data, total| Dispatch {
        seq,
        total,
        received_us: seq,
        ..Dispatch::new(name, data)
    };
    let events = [
        event(1, "GUILD_CREATE", GUILD, 4),
        event(2, "MESSAGE_CREATE", message, 4),
        event(3, "GUILD_DELETE", r#"{"id":"1"}"#, 4),
        event(4, "THREAD_DELETE", r#"{"id":"5","guild_id":"1"}"#, 8),
    ];
    for size in [1, events.len()] {
        let mut writer = Writer::default();
        writer.deliver(&events[..2], 2);
        assert!(writer.store.strings.contains_key("message:5:8"));
        writer.deliver(&events[2..], size);
        assert!(!writer.store.strings.contains_key("message:5:8"), "{size}");
    }
}
