use cache_writer::core::{outcome::Note, settings::Settings, unusable::Unusable};

use super::{apply, check};
use crate::writer::{Dispatch, Writer};

const MEMBER: &str = r#"{"user":{"id":"5"},"guild_id":"1","roles":[],"joined_at":"x","nick":"a"}"#;

#[test]
fn add_counts_once() {
    check(
        &[("guild:1", r#"{"id":"1","member_count":5,"z":1}"#)],
        "GUILD_MEMBER_ADD",
        MEMBER,
        None,
        &[
            ("guild:1", r#"{"id":"1","member_count":6,"z":1}"#),
            ("member:1:5", MEMBER),
        ],
    );
    let repeated = [
        ("guild:1", r#"{"id":"1","member_count":5}"#),
        ("member:1:5", MEMBER),
    ];
    check(&repeated, "GUILD_MEMBER_ADD", MEMBER, None, &repeated);
    let stub = ("guild:1", r#"{"id":"1","unavailable":true}"#);
    check(
        &[stub],
        "GUILD_MEMBER_ADD",
        MEMBER,
        None,
        &[stub, ("member:1:5", MEMBER)],
    );
}

fn without_members() -> Writer {
    Writer::new(Settings {
        member: false,
        ..Settings::default()
    })
}

fn stream(pairs: &[(&str, &str)]) -> Vec<Dispatch> {
    (1..)
        .zip(pairs)
        .map(|(seq, (name, data))| Dispatch {
            seq,
            ..Dispatch::new(name, data)
        })
        .collect()
}

#[test]
fn without_a_member_cache_a_repeated_add_counts_once_too() {
    let (create, add) = (
        ("GUILD_CREATE", r#"{"id":"1","member_count":5}"#),
        ("GUILD_MEMBER_ADD", MEMBER),
    );
    let remove = (
        "GUILD_MEMBER_REMOVE",
        r#"{"guild_id":"1","user":{"id":"5"}}"#,
    );
    for (pairs, count) in [
        (&[create, add, add][..], 6),
        (&[create, add, remove][..], 5),
        (&[create, add, remove, add][..], 6),
    ] {
        let mut writer = without_members();
        writer.deliver(&stream(pairs), 10);
        let guild = format!(r#"{{"id":"1","member_count":{count}}}"#);
        assert_eq!(writer.store.strings["guild:1"], guild);
        assert!(!writer.store.strings.contains_key("member:1:5"));
    }
}

#[test]
fn the_bots_own_member_is_cached_at_any_setting() {
    let ready = ("READY", r#"{"user":{"id":"5"},"guilds":[]}"#);
    let create = (
        "GUILD_CREATE",
        r#"{"id":"1","members":[{"user":{"id":"5"},"nick":"a"},{"user":{"id":"6"}}]}"#,
    );
    let update = r#"{"user":{"id":"5"},"guild_id":"1","nick":"b"}"#;
    let mut writer = without_members();
    let mut told = writer.deliver(&stream(&[ready, create]), 1);
    let held = r#"{"user":{"id":"5"},"nick":"a","guild_id":"1"}"#;
    assert_eq!(writer.store.strings["member:1:5"], held);
    let mut events = stream(&[ready, create, ("GUILD_MEMBER_UPDATE", update)]);
    told.extend(writer.deliver(&events.split_off(2), 1));
    assert_eq!(told[2].1.old.as_deref(), Some(held));
    let held = r#"{"user":{"id":"5"},"nick":"b","guild_id":"1"}"#;
    assert_eq!(writer.store.strings["member:1:5"], held);
    assert!(!writer.store.strings.contains_key("member:1:6"));
    writer.assert_indexed();
}

#[test]
fn voice_outlives_the_member_and_presence_does_not() {
    let voice = r#"{"guild_id":"1","user_id":"5","channel_id":"3"}"#;
    let mut writer = Writer::default();
    let online = r#"{"user":{"id":"5"},"guild_id":"1","status":"online"}"#;
    let told = writer.deliver(
        &stream(&[
            ("GUILD_MEMBER_ADD", MEMBER),
            ("VOICE_STATE_UPDATE", voice),
            ("PRESENCE_UPDATE", online),
            (
                "GUILD_MEMBER_REMOVE",
                r#"{"guild_id":"1","user":{"id":"5"}}"#,
            ),
            (
                "VOICE_STATE_UPDATE",
                r#"{"guild_id":"1","user_id":"5","channel_id":null}"#,
            ),
            (
                "PRESENCE_UPDATE",
                r#"{"user":{"id":"5"},"guild_id":"1","status":"offline"}"#,
            ),
        ]),
        1,
    );
    assert_eq!(told[4].1.old.as_deref(), Some(voice));
    assert_eq!(told[5].1.old, None);
    assert!(
        writer.store.strings.is_empty(),
        "{:?}",
        writer.store.strings
    );
}

#[test]
fn update_merges_or_stores_a_whole_member() {
    check(
        &[("member:1:5", MEMBER)],
        "GUILD_MEMBER_UPDATE",
        r#"{"guild_id":"1","user":{"id":"5","n":1},"nick":null}"#,
        Some(MEMBER),
        &[(
            "member:1:5",
            r#"{"user":{"id":"5","n":1},"guild_id":"1","roles":[],"joined_at":"x","nick":null}"#,
        )],
    );
    check(
        &[],
        "GUILD_MEMBER_UPDATE",
        MEMBER,
        None,
        &[("member:1:5", MEMBER)],
    );
    let partial = r#"{"guild_id":"1","user":{"id":"5"},"roles":[]}"#;
    check(&[], "GUILD_MEMBER_UPDATE", partial, None, &[]);
}

#[test]
fn chunk_replaces_and_skips_the_bad() {
    let chunk = r#"{"guild_id":"1","members":[{"user":{"id":"5"}},{"user":7},3],"presences":[{"user":{"id":"5"},"status":"idle"}]}"#;
    let after = [
        ("member:1:5", r#"{"user":{"id":"5"},"guild_id":"1"}"#),
        (
            "presence:1:5",
            r#"{"user":{"id":"5"},"status":"idle","guild_id":"1"}"#,
        ),
    ];
    check(
        &[("member:1:5", MEMBER)],
        "GUILD_MEMBERS_CHUNK",
        chunk,
        None,
        &after,
    );
    assert_eq!(apply(&[], "GUILD_MEMBERS_CHUNK", chunk).1.skipped, 2);
}

#[test]
fn presence_merges_its_partial_user() {
    let old = r#"{"guild_id":"1","user":{"id":"5","name":"a"},"status":"online","activities":[{"id":1}]}"#;
    check(
        &[("presence:1:5", old)],
        "PRESENCE_UPDATE",
        r#"{"guild_id":"1","user":{"id":"5","avatar":null},"status":"idle","activities":[]}"#,
        Some(old),
        &[(
            "presence:1:5",
            r#"{"guild_id":"1","user":{"id":"5","name":"a","avatar":null},"status":"idle","activities":[]}"#,
        )],
    );
    let offline = r#"{"guild_id":"1","user":{"id":"5"},"status":"offline"}"#;
    let cached = [("presence:1:5", old)];
    check(&cached, "PRESENCE_UPDATE", offline, Some(old), &[]);
    check(&[], "PRESENCE_UPDATE", offline, None, &[]);
}

#[test]
fn a_guest_without_joined_at_is_a_whole_member() {
    let guest = r#"{"user":{"id":"5"},"guild_id":"1","roles":[],"joined_at":null}"#;
    check(
        &[],
        "GUILD_MEMBER_UPDATE",
        guest,
        None,
        &[("member:1:5", guest)],
    );
    let partial = r#"{"user":{"id":"5"},"guild_id":"1","roles":[]}"#;
    check(&[], "GUILD_MEMBER_UPDATE", partial, None, &[]);
}

#[test]
fn voice_without_a_channel_field_changes_nothing() {
    let cached = (
        "voice:1:5",
        r#"{"guild_id":"1","user_id":"5","channel_id":"3"}"#,
    );
    let (writer, outcome) = apply(
        &[cached],
        "VOICE_STATE_UPDATE",
        r#"{"guild_id":"1","user_id":"5"}"#,
    );
    let missing = Note::Unusable(Unusable::Missing("channel_id"));
    assert_eq!((outcome.old, outcome.note), (None, Some(missing)));
    assert_eq!(writer.store.strings[cached.0], cached.1);
}

#[test]
fn voice_comes_moves_and_goes() {
    let voice = r#"{"guild_id":"1","user_id":"5","channel_id":"3","member":{"user":{"id":"5"}}}"#;
    let moved = r#"{"guild_id":"1","user_id":"5","channel_id":"4"}"#;
    let left = r#"{"guild_id":"1","user_id":"5","channel_id":null}"#;
    check(
        &[],
        "VOICE_STATE_UPDATE",
        voice,
        None,
        &[("voice:1:5", voice)],
    );
    let cached = [("voice:1:5", voice)];
    check(
        &cached,
        "VOICE_STATE_UPDATE",
        moved,
        Some(voice),
        &[("voice:1:5", moved)],
    );
    check(&cached, "VOICE_STATE_UPDATE", left, Some(voice), &[]);
    check(
        &[],
        "VOICE_STATE_UPDATE",
        r#"{"user_id":"5","channel_id":"3"}"#,
        None,
        &[],
    );
}

/// In the Spectacles layout: whatever the order of the keys, and however old the message that is only counted in.
#[test]
fn a_user_is_held_as_it_was_last_told() {
    let named = |name: &str| format!(r#"{{"id":"5","username":"{name}"}}"#);
    let member = |name: &str| {
        let user = named(name);
        format!(r#"{{"user":{user},"guild_id":"1","roles":[],"joined_at":"x"}}"#)
    };
    let message = |name: &str| {
        let author = named(name);
        format!(
            r#"{{"id":"9","channel_id":"3","guild_id":"1","author":{author},"timestamp":"x","content":"y"}}"#
        )
    };
    let reaction = r#"{"user_id":"6","channel_id":"3","message_id":"9","guild_id":"1","emoji":{"id":null,"name":"a"}}"#;
    for batch in [1, 10] {
        let mut writer = Writer::new(Settings {
            layouts: "both".parse().unwrap(),
            ..Settings::default()
        });
        writer.deliver(
            &stream(&[
                ("GUILD_MEMBER_ADD", &member("first")),
                ("MESSAGE_CREATE", &message("first")),
                ("GUILD_MEMBER_UPDATE", &member("second")),
                ("MESSAGE_REACTION_ADD", reaction),
            ]),
            batch,
        );
        let users = &writer.store.hashes["USERS"];
        assert_eq!(users["5"], named("second"), "in batches of {batch}");
    }
}
