use super::check;

#[test]
fn roles() {
    let old = r#"{"id":"2","name":"a","color":1,"guild_id":"1"}"#;
    let create = r#"{"guild_id":"1","role":{"id":"2","name":"a","color":1}}"#;
    check(&[], "GUILD_ROLE_CREATE", create, None, &[("role:1:2", old)]);
    check(&[], "GUILD_ROLE_UPDATE", create, None, &[("role:1:2", old)]);
    check(
        &[("role:1:2", old)],
        "GUILD_ROLE_UPDATE",
        r#"{"guild_id":"1","role":{"id":"2","name":"b"}}"#,
        Some(old),
        &[(
            "role:1:2",
            r#"{"id":"2","name":"b","color":1,"guild_id":"1"}"#,
        )],
    );
    let delete = r#"{"guild_id":"1","role_id":"2"}"#;
    check(
        &[("role:1:2", old)],
        "GUILD_ROLE_DELETE",
        delete,
        Some(old),
        &[],
    );
}

/// Discord, permissions page, "Example Role", with tags and without: that a role has none any more, only their
/// absence says.
#[test]
fn a_whole_role_replaces() {
    let role = |tags: &str| {
        format!(
            r#"{{"id":"41771983423143936","name":"WE DEM BOYZZ!!!!!!","color":3447003,"colors":{{"primary_color":3447003,"secondary_color":null,"tertiary_color":null}},"hoist":true,"icon":"cf3ced8600b777c9486c6d8d84fb4327","unicode_emoji":null,"position":1,"permissions":"66321471","managed":false,"mentionable":false,"flags":0{tags}"#
        )
    };
    let key = "role:1:41771983423143936";
    for (before, after) in [
        (r#","tags":{"guild_connections":null}"#, ""),
        ("", r#","tags":{"available_for_purchase":null}"#),
        (
            r#","tags":{"bot_id":"5","premium_subscriber":null}"#,
            r#","tags":{"bot_id":"5"}"#,
        ),
    ] {
        let old = format!(r#"{},"guild_id":"1"}}"#, role(before));
        let update = format!(r#"{{"guild_id":"1","role":{}}}}}"#, role(after));
        let new = format!(r#"{},"guild_id":"1"}}"#, role(after));
        check(
            &[(key, &old)],
            "GUILD_ROLE_UPDATE",
            &update,
            Some(&old),
            &[(key, &new)],
        );
    }
}

#[test]
fn sets_are_replaced_as_a_whole() {
    for (event, list, kind, id, old) in [
        ("GUILD_EMOJIS_UPDATE", "emojis", "emoji", "id", true),
        ("GUILD_STICKERS_UPDATE", "stickers", "sticker", "id", true),
        (
            "SOUNDBOARD_SOUNDS",
            "soundboard_sounds",
            "soundboard_sound",
            "sound_id",
            false,
        ),
    ] {
        let key = |id: &str| format!("{kind}:1:{id}");
        let empty = old.then_some("[]");
        let old = old.then_some(r#"[{"n":9},{"n":10}]"#);
        check(
            &[(&key("10"), r#"{"n":10}"#), (&key("9"), r#"{"n":9}"#)],
            event,
            &format!(r#"{{"guild_id":"1","{list}":[{{"{id}":"10","n":"b"}}]}}"#),
            old,
            &[(
                &key("10"),
                &format!(r#"{{"{id}":"10","n":"b","guild_id":"1"}}"#),
            )],
        );
        check(
            &[],
            event,
            &format!(r#"{{"guild_id":"1","{list}":[]}}"#),
            empty,
            &[],
        );
    }
}

#[test]
fn sounds_that_changed_leave_the_others() {
    let (one, other) = (r#"{"sound_id":"2","n":1,"v":1}"#, r#"{"sound_id":"3"}"#);
    let update =
        r#"{"guild_id":"1","soundboard_sounds":[{"sound_id":"2","n":2},{"sound_id":"4"}]}"#;
    check(
        &[
            ("soundboard_sound:1:2", one),
            ("soundboard_sound:1:3", other),
        ],
        "GUILD_SOUNDBOARD_SOUNDS_UPDATE",
        update,
        Some(&format!("[{one}]")),
        &[
            ("soundboard_sound:1:2", r#"{"sound_id":"2","n":2,"v":1}"#),
            ("soundboard_sound:1:3", other),
            ("soundboard_sound:1:4", r#"{"sound_id":"4","guild_id":"1"}"#),
        ],
    );
    let nothing = r#"{"guild_id":"1","soundboard_sounds":[]}"#;
    check(
        &[],
        "GUILD_SOUNDBOARD_SOUNDS_UPDATE",
        nothing,
        Some("[]"),
        &[],
    );
}

#[test]
fn single_objects_come_change_and_go() {
    for (prefix, kind, id) in [
        ("STAGE_INSTANCE", "stage", "id"),
        ("GUILD_SCHEDULED_EVENT", "scheduled_event", "id"),
        ("GUILD_SOUNDBOARD_SOUND", "soundboard_sound", "sound_id"),
    ] {
        let key = format!("{kind}:1:2");
        let old = format!(r#"{{"{id}":"2","guild_id":"1","a":1,"b":1}}"#);
        let cached = [(key.as_str(), old.as_str())];
        check(&[], &format!("{prefix}_CREATE"), &old, None, &cached);
        check(&[], &format!("{prefix}_UPDATE"), &old, None, &cached);
        check(
            &cached,
            &format!("{prefix}_UPDATE"),
            &format!(r#"{{"{id}":"2","guild_id":"1","b":2}}"#),
            Some(&old),
            &[(
                &key,
                &format!(r#"{{"{id}":"2","guild_id":"1","a":1,"b":2}}"#),
            )],
        );
        let delete = format!(r#"{{"{id}":"2","guild_id":"1"}}"#);
        check(
            &cached,
            &format!("{prefix}_DELETE"),
            &delete,
            Some(&old),
            &[],
        );
    }
}

#[test]
fn scheduled_events_count_users() {
    let data = r#"{"guild_id":"1","guild_scheduled_event_id":"2","user_id":"5"}"#;
    for (name, before, after) in [
        (
            "GUILD_SCHEDULED_EVENT_USER_ADD",
            r#"{"user_count":1}"#,
            r#"{"user_count":2}"#,
        ),
        (
            "GUILD_SCHEDULED_EVENT_USER_REMOVE",
            r#"{"user_count":1}"#,
            r#"{"user_count":0}"#,
        ),
        (
            "GUILD_SCHEDULED_EVENT_USER_REMOVE",
            r#"{"user_count":0}"#,
            r#"{"user_count":0}"#,
        ),
        (
            "GUILD_SCHEDULED_EVENT_USER_ADD",
            r#"{"id":"2"}"#,
            r#"{"id":"2"}"#,
        ),
    ] {
        let key = "scheduled_event:1:2";
        check(&[(key, before)], name, data, Some(before), &[(key, after)]);
        check(&[], name, data, None, &[]);
    }
}
