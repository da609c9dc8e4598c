use cache_writer::core::{outcome::Note, settings::Settings};

use super::{apply, check};
use crate::writer::{Dispatch, Writer};

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
fn an_outage_loses_nothing_and_a_leave_everything() {
    let before = [
        ("guild:1", r#"{"id":"1","name":"a"}"#),
        ("channel:1:3", r#"{"id":"3"}"#),
        ("message:3:1", "{}"),
        ("member:1:5", "{}"),
        ("voice:1:5", "{}"),
    ];
    let mut after = before;
    after[0].1 = r#"{"id":"1","name":"a","unavailable":true}"#;
    for name in ["GUILD_DELETE", "GUILD_CREATE"] {
        check(&before, name, STUB, Some(before[0].1), &after);
    }
    check(&[], "GUILD_DELETE", STUB, None, &[("guild:1", STUB)]);
    let (writer, _) = apply(&before, "GUILD_DELETE", r#"{"id":"1"}"#);
    assert!(writer.store.strings.is_empty());
    assert!(writer.store.sets.is_empty());
}

#[test]
fn what_a_guild_does_not_list_in_full_stays() {
    let before = [
        ("channel:1:3", r#"{"id":"3"}"#),
        ("emoji:1:6", "{}"),
        ("guild:1", r#"{"id":"1","unavailable":true}"#),
        ("member:1:5", "{}"),
        ("message:3:1", "{}"),
        ("presence:1:5", "{}"),
        ("role:1:2", "{}"),
        ("voice:1:5", "{}"),
    ];
    let member = r#"{"user":{"id":"9"},"guild_id":"1"}"#;
    for (about, stays) in [
        (r#""large":true"#, true),
        (r#""large":false,"member_count":2"#, true),
        (r#""large":false,"member_count":1"#, false),
        (r#""large":false"#, false),
    ] {
        let guild = format!(r#"{{"id":"1",{about}}}"#);
        let lists =
            r#""roles":[],"channels":[{"id":"3","guild_id":"1"}],"presences":[],"voice_states":[]"#;
        let create = format!(r#"{{"id":"1",{about},{lists},"members":[{member}]}}"#);
        let mut after = vec![
            ("channel:1:3", r#"{"id":"3","guild_id":"1"}"#),
            ("emoji:1:6", "{}"),
            ("guild:1", guild.as_str()),
            ("member:1:9", member),
            ("message:3:1", "{}"),
        ];
        after.extend(stays.then_some(("member:1:5", "{}")));
        check(&before, "GUILD_CREATE", &create, Some(before[2].1), &after);
    }
}

#[test]
fn what_says_no_more_than_its_absence_is_not_stored() {
    let create = r#"{"id":"1","threads":[{"id":"4","thread_metadata":{"archived":true}}],"presences":[{"user":{"id":"5"},"status":"offline"}],"voice_states":[{"user_id":"5","channel_id":null}]}"#;
    let guild = ("guild:1", r#"{"id":"1"}"#);
    let before = [
        guild,
        ("presence:1:5", "{}"),
        ("presence:1:6", "{}"),
        ("voice:1:5", "{}"),
    ];
    check(&before, "GUILD_CREATE", create, Some(guild.1), &[guild]);
}

#[test]
fn a_join_that_begins_with_an_outage_is_noted_once() {
    let (_, first) = apply(&[], "GUILD_CREATE", STUB);
    let joined = Note::Joined {
        guild: 1,
        name: None,
    };
    assert_eq!((first.note, first.old), (Some(joined), None));
    let (_, second) = apply(
        &[("guild:1", STUB)],
        "GUILD_CREATE",
        r#"{"id":"1","name":"a"}"#,
    );
    assert_eq!((second.note, second.old.as_deref()), (None, Some(STUB)));
    let (_, outage) = apply(&[], "GUILD_DELETE", STUB);
    assert_eq!(outage.note, None);
}

#[test]
fn a_join_is_told_by_old_at_any_setting() {
    let mut writer = Writer::new(Settings {
        old: false,
        ..Settings::default()
    });
    let guild = r#"{"id":"1","name":"a"}"#;
    let mut told = Vec::new();
    for (seq, (name, data)) in (1..).zip([
        ("GUILD_CREATE", guild),
        ("GUILD_CREATE", guild),
        ("GUILD_UPDATE", guild),
        ("GUILD_DELETE", STUB),
        ("GUILD_CREATE", guild),
        ("GUILD_DELETE", r#"{"id":"1"}"#),
    ]) {
        let event = Dispatch {
            seq,
            ..Dispatch::new(name, data)
        };
        told.push(writer.deliver(&[event], 1).remove(0).1.old);
    }
    let away = r#"{"id":"1","name":"a","unavailable":true}"#;
    let expected = [
        None,
        Some(guild),
        None,
        Some(guild),
        Some(away),
        Some(guild),
    ];
    assert_eq!(told, expected.map(|old| old.map(str::to_owned)));
}

#[test]
fn one_shard_writes_the_bots_user() {
    let (old, new) = (USER, r#"{"id":"7","username":"new"}"#);
    let ready = format!(r#"{{"user":{new},"guilds":[]}}"#);
    for (shard, name, data, before, told, after) in [
        (0, "USER_UPDATE", new, Some(old), Some(old), Some(new)),
        (1, "USER_UPDATE", new, Some(old), None, Some(old)),
        (1, "USER_UPDATE", new, None, None, None),
        (0, "READY", ready.as_str(), Some(old), None, Some(new)),
        (1, "READY", ready.as_str(), Some(old), None, Some(old)),
        (1, "READY", ready.as_str(), None, None, Some(new)),
    ] {
        let mut writer = Writer::default();
        if let Some(user) = before {
            writer.store.strings.insert("bot_user".into(), user.into());
        }
        let event = Dispatch {
            shard,
            ..Dispatch::new(name, data)
        };
        let outcome = writer.deliver(&[event], 1).remove(0).1;
        assert_eq!(outcome.old.as_deref(), told, "{shard} {name}");
        let held = writer.store.strings.get("bot_user").map(String::as_str);
        assert_eq!(held, after, "{shard} {name}");
    }
}

/// Discord: of a guild with over 75,000 members, GUILD_CREATE has the presences of some only.
#[test]
fn presences_that_a_very_large_guild_does_not_list_stay() {
    let presence = ("presence:1:5", r#"{"user":{"id":"5"},"status":"idle"}"#);
    for (count, kept) in [(75_000, false), (75_001, true)] {
        let create = format!(r#"{{"id":"1","large":true,"member_count":{count},"presences":[]}}"#);
        let guild = format!(r#"{{"id":"1","large":true,"member_count":{count}}}"#);
        let mut after = vec![("guild:1", guild.as_str())];
        after.extend(kept.then_some(presence));
        check(
            &[("guild:1", "{}"), presence],
            "GUILD_CREATE",
            &create,
            Some("{}"),
            &after,
        );
    }
}
