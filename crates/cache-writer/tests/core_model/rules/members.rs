use cache_writer::core::{event::Unusable, plan::Note, settings::Settings};

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

#[test]
fn without_a_member_cache_each_add_counts() {
    let mut writer = Writer::new(Settings {
        member: false,
        ..Settings::default()
    });
    let mut events = vec![Dispatch::new(
        "GUILD_CREATE",
        r#"{"id":"1","member_count":5}"#,
    )];
    events.extend((2..4).map(|seq| Dispatch {
        seq,
        ..Dispatch::new("GUILD_MEMBER_ADD", MEMBER)
    }));
    writer.deliver(&events, 10);
    assert_eq!(
        writer.store.strings["guild:1"],
        r#"{"id":"1","member_count":7}"#
    );
    assert_eq!(writer.store.strings.len(), 1);
}

#[test]
fn remove_takes_presence_and_voice_along_and_counts_down_to_zero() {
    let remove = r#"{"guild_id":"1","user":{"id":"5"}}"#;
    for (count, after) in [(5, 4), (0, 0)] {
        check(
            &[
                ("guild:1", &format!(r#"{{"member_count":{count}}}"#)),
                ("member:1:5", MEMBER),
                ("presence:1:5", "{}"),
                ("voice:1:5", "{}"),
                ("voice:1:6", "{}"),
            ],
            "GUILD_MEMBER_REMOVE",
            remove,
            Some(MEMBER),
            &[
                ("guild:1", &format!(r#"{{"member_count":{after}}}"#)),
                ("voice:1:6", "{}"),
            ],
        );
    }
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
        r#"{"guild_id":"1","user":{"id":"5","avatar":null},"status":"offline","activities":[]}"#,
        Some(old),
        &[(
            "presence:1:5",
            r#"{"guild_id":"1","user":{"id":"5","name":"a","avatar":null},"status":"offline","activities":[]}"#,
        )],
    );
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
