use cache_writer::core::plan::Note;

use super::{apply, check};

const STUB: &str = r#"{"id":"1","unavailable":true}"#;
const USER: &str = r#"{"id":"7","username":"bot"}"#;

#[test]
fn ready_stores_stubs_beside_cached_guilds_and_drops_the_unlisted() {
    let ready = r#"{"v":10,"user":{"id":"7","username":"bot"},"guilds":[{"id":"1","unavailable":true},{"id":"2","unavailable":true}]}"#;
    check(
        &[
            ("guild:2", r#"{"id":"2","name":"b"}"#),
            ("guild:3", r#"{"id":"3"}"#),
            ("role:3:4", r#"{"id":"4"}"#),
            ("channel:3:5", r#"{"id":"5"}"#),
            ("message:5:6", r#"{"id":"6"}"#),
            ("guild:4194304", r#"{"id":"4194304","of":"shard 1"}"#),
        ],
        "READY",
        ready,
        None,
        &[
            ("bot_user", USER),
            ("guild:1", STUB),
            ("guild:2", r#"{"id":"2","name":"b"}"#),
            ("guild:4194304", r#"{"id":"4194304","of":"shard 1"}"#),
        ],
    );
}

#[test]
fn user_update_merges() {
    let after = r#"{"id":"7","username":"new"}"#;
    check(
        &[("bot_user", USER)],
        "USER_UPDATE",
        after,
        Some(USER),
        &[("bot_user", after)],
    );
}

#[test]
fn create_reconciles_the_children() {
    let create = r#"{"id":"1","name":"a","member_count":2,"joined_at":"x","roles":[{"id":"2","n":1.0}],"channels":[{"id":"3","type":0}],"threads":[{"id":"4","type":11}],"members":[{"user":{"id":"5"}},{"no":"user"}],"presences":[{"user":{"id":"5"}}],"voice_states":[{"user_id":"5","channel_id":"3"}],"emojis":[],"stickers":[{"id":"6","guild_id":"1"}],"stage_instances":[{"id":"7"}],"guild_scheduled_events":[{"id":"8"}],"soundboard_sounds":[{"sound_id":"9","name":"s"}],"new_field":{"a":null}}"#;
    check(
        &[
            ("guild:1", STUB),
            ("role:1:99", "{}"),
            ("emoji:1:99", "{}"),
            ("member:1:99", "{}"),
            ("channel:1:3", r#"{"id":"3"}"#),
            ("channel:1:99", "{}"),
            ("message:3:1", r#"{"stays":1}"#),
            ("message:99:1", "{}"),
        ],
        "GUILD_CREATE",
        create,
        Some(STUB),
        &[
            (
                "guild:1",
                r#"{"id":"1","name":"a","member_count":2,"joined_at":"x","new_field":{"a":null}}"#,
            ),
            ("role:1:2", r#"{"id":"2","n":1.0,"guild_id":"1"}"#),
            ("channel:1:3", r#"{"id":"3","type":0,"guild_id":"1"}"#),
            ("channel:1:4", r#"{"id":"4","type":11,"guild_id":"1"}"#),
            ("member:1:5", r#"{"user":{"id":"5"},"guild_id":"1"}"#),
            ("presence:1:5", r#"{"user":{"id":"5"},"guild_id":"1"}"#),
            (
                "voice:1:5",
                r#"{"user_id":"5","channel_id":"3","guild_id":"1"}"#,
            ),
            ("sticker:1:6", r#"{"id":"6","guild_id":"1"}"#),
            ("stage:1:7", r#"{"id":"7","guild_id":"1"}"#),
            ("scheduled_event:1:8", r#"{"id":"8","guild_id":"1"}"#),
            (
                "soundboard_sound:1:9",
                r#"{"sound_id":"9","name":"s","guild_id":"1"}"#,
            ),
            ("message:3:1", r#"{"stays":1}"#),
        ],
    );
}

#[test]
fn joins_and_leaves_are_noted_outages_are_not() {
    let guild = r#"{"id":"1","name":"a\"b"}"#;
    let name = Some("a\"b".to_owned());
    let (_, joined) = apply(&[], "GUILD_CREATE", guild);
    assert_eq!(
        joined.note,
        Some(Note::Joined {
            guild: 1,
            name: name.clone()
        })
    );
    let (_, left) = apply(&[("guild:1", guild)], "GUILD_DELETE", r#"{"id":"1"}"#);
    assert_eq!(left.note, Some(Note::Left { guild: 1, name }));
    assert_eq!(left.old.as_deref(), Some(guild));
    let (_, unknown) = apply(&[], "GUILD_DELETE", r#"{"id":"1"}"#);
    assert_eq!(
        unknown.note,
        Some(Note::Left {
            guild: 1,
            name: None
        })
    );
    let (_, outage) = apply(&[("guild:1", guild)], "GUILD_DELETE", STUB);
    assert_eq!(outage.note, None);
    let (_, back) = apply(&[("guild:1", STUB)], "GUILD_CREATE", guild);
    assert_eq!(back.note, None);
}

#[test]
fn update_keeps_what_it_lacks_and_ignores_its_lists() {
    check(
        &[
            ("guild:1", r#"{"id":"1","name":"a","member_count":5}"#),
            ("role:1:2", r#"{"id":"2"}"#),
        ],
        "GUILD_UPDATE",
        r#"{"id":"1","name":"b","roles":[],"icon":null}"#,
        Some(r#"{"id":"1","name":"a","member_count":5}"#),
        &[
            (
                "guild:1",
                r#"{"id":"1","name":"b","member_count":5,"icon":null}"#,
            ),
            ("role:1:2", r#"{"id":"2"}"#),
        ],
    );
}

#[test]
fn an_outage_leaves_the_stub_and_a_leave_nothing() {
    let before = [
        ("guild:1", r#"{"id":"1"}"#),
        ("channel:1:3", r#"{"id":"3"}"#),
        ("message:3:1", "{}"),
        ("member:1:5", "{}"),
        ("voice:1:5", "{}"),
    ];
    for name in ["GUILD_DELETE", "GUILD_CREATE"] {
        check(
            &before,
            name,
            STUB,
            Some(r#"{"id":"1"}"#),
            &[("guild:1", STUB)],
        );
    }
    let (writer, _) = apply(&before, "GUILD_DELETE", r#"{"id":"1"}"#);
    assert!(writer.store.strings.is_empty());
    assert!(writer.store.sets.is_empty());
}
