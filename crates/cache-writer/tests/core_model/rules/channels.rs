use super::check;

const TEXT: &str = r#"{"id":"3","type":0,"guild_id":"1","name":"a","topic":"t"}"#;
const HIDDEN: &str =
    r#"{"id":"3","type":0,"position":1,"guild_id":"1","name":"___hidden___","flags":131072}"#;
const THREAD: &str = r#"{"id":"4","type":11,"guild_id":"1","parent_id":"3"}"#;
const ARCHIVED: &str =
    r#"{"id":"4","type":11,"guild_id":"1","parent_id":"3","thread_metadata":{"archived":true}}"#;
const OTHER: &str = r#"{"id":"5","type":11,"guild_id":"1","parent_id":"9"}"#;
/// In the category 3, but no thread.
const IN_CATEGORY: &str = r#"{"id":"6","type":0,"guild_id":"1","parent_id":"3"}"#;

#[test]
fn create_stores_with_or_without_guild() {
    check(&[], "CHANNEL_CREATE", TEXT, None, &[("channel:1:3", TEXT)]);
    check(
        &[("channel:1:3", HIDDEN)],
        "CHANNEL_CREATE",
        TEXT,
        None,
        &[("channel:1:3", TEXT)],
    );
    check(
        &[],
        "THREAD_CREATE",
        THREAD,
        None,
        &[("channel:1:4", THREAD)],
    );
    let private = r#"{"id":"3","type":1}"#;
    check(
        &[],
        "CHANNEL_CREATE",
        private,
        None,
        &[("channel:3", private)],
    );
}

#[test]
fn update_merges_or_stores_a_whole_object() {
    check(
        &[("channel:1:3", TEXT)],
        "CHANNEL_UPDATE",
        r#"{"id":"3","guild_id":"1","topic":null}"#,
        Some(TEXT),
        &[(
            "channel:1:3",
            r#"{"id":"3","type":0,"guild_id":"1","name":"a","topic":null}"#,
        )],
    );
    check(
        &[],
        "THREAD_UPDATE",
        THREAD,
        None,
        &[("channel:1:4", THREAD)],
    );
    check(
        &[],
        "CHANNEL_UPDATE",
        r#"{"id":"3","guild_id":"1","topic":null}"#,
        None,
        &[],
    );
}

#[test]
fn nothing_lingers_between_hidden_and_visible() {
    check(
        &[("channel:1:3", TEXT)],
        "CHANNEL_UPDATE",
        HIDDEN,
        Some(TEXT),
        &[("channel:1:3", HIDDEN)],
    );
    check(
        &[("channel:1:3", HIDDEN)],
        "CHANNEL_UPDATE",
        TEXT,
        Some(HIDDEN),
        &[("channel:1:3", TEXT)],
    );
}

#[test]
fn delete_takes_messages_and_threads_along() {
    check(
        &[
            ("channel:1:3", TEXT),
            ("channel:1:4", THREAD),
            ("channel:1:5", OTHER),
            ("channel:1:6", IN_CATEGORY),
            ("message:3:1", "{}"),
            ("message:4:1", "{}"),
            ("message:5:1", "{}"),
        ],
        "CHANNEL_DELETE",
        r#"{"id":"3","guild_id":"1"}"#,
        Some(TEXT),
        &[
            ("channel:1:5", OTHER),
            ("channel:1:6", IN_CATEGORY),
            ("message:5:1", "{}"),
        ],
    );
    check(
        &[("channel:1:4", THREAD), ("message:4:1", "{}")],
        "THREAD_DELETE",
        r#"{"id":"4","guild_id":"1"}"#,
        Some(THREAD),
        &[],
    );
}

/// Discord sends no GUILD_SCHEDULED_EVENT_DELETE for them.
#[test]
fn a_channel_takes_its_scheduled_events_along() {
    let event = |id: u8, channel: &str| format!(r#"{{"id":"{id}","channel_id":{channel}}}"#);
    let (here, there, outside) = (event(7, r#""3""#), event(8, r#""4""#), event(9, "null"));
    for (data, stays) in [
        (r#"{"id":"3","guild_id":"1"}"#, false),
        (r#"{"id":"3","guild_id":"2"}"#, true),
        (r#"{"id":"3"}"#, true),
    ] {
        let before = [
            ("scheduled_event:1:7", here.as_str()),
            ("scheduled_event:1:8", &there),
            ("scheduled_event:1:9", &outside),
            ("scheduled_event:1:10", r#"{"id":"10"}"#),
        ];
        let after = before[usize::from(!stays)..].to_vec();
        check(&before, "CHANNEL_DELETE", data, None, &after);
    }
}

#[test]
fn single_fields_are_set_on_cached_channels_only() {
    let old = r#"{"id":"3","status":"a"}"#;
    for (name, data, after) in [
        (
            "CHANNEL_PINS_UPDATE",
            r#"{"guild_id":"1","channel_id":"3","last_pin_timestamp":null}"#,
            r#"{"id":"3","status":"a","last_pin_timestamp":null}"#,
        ),
        (
            "CHANNEL_PINS_UPDATE",
            r#"{"guild_id":"1","channel_id":"3"}"#,
            old,
        ),
        (
            "VOICE_CHANNEL_STATUS_UPDATE",
            r#"{"guild_id":"1","id":"3","status":"b"}"#,
            r#"{"id":"3","status":"b"}"#,
        ),
        (
            "VOICE_CHANNEL_START_TIME_UPDATE",
            r#"{"guild_id":"1","id":"3","voice_start_time":17}"#,
            r#"{"id":"3","status":"a","voice_start_time":17}"#,
        ),
        (
            "THREAD_MEMBER_UPDATE",
            r#"{"id":"3","guild_id":"1","user_id":"7"}"#,
            r#"{"id":"3","status":"a","member":{"id":"3","user_id":"7"}}"#,
        ),
        (
            "THREAD_MEMBERS_UPDATE",
            r#"{"id":"3","guild_id":"1","member_count":2}"#,
            r#"{"id":"3","status":"a","member_count":2}"#,
        ),
    ] {
        check(
            &[("channel:1:3", old)],
            name,
            data,
            Some(old),
            &[("channel:1:3", after)],
        );
        check(&[], name, data, None, &[]);
    }
}

#[test]
fn archived_threads_leave_with_their_messages_and_come_back() {
    let before = [("channel:1:4", THREAD), ("message:4:1", "{}")];
    check(&before, "THREAD_UPDATE", ARCHIVED, Some(THREAD), &[]);
    check(&[], "THREAD_UPDATE", ARCHIVED, None, &[]);
    check(&[], "THREAD_CREATE", ARCHIVED, None, &[]);
    check(
        &[],
        "THREAD_UPDATE",
        THREAD,
        None,
        &[("channel:1:4", THREAD)],
    );
    let listed = format!(r#"{{"guild_id":"1","threads":[{ARCHIVED}]}}"#);
    check(&before, "THREAD_LIST_SYNC", &listed, None, &[]);
}

#[test]
fn the_newest_message_or_thread_moves_the_channel() {
    let message = r#"{"id":"8","channel_id":"3","guild_id":"1"}"#;
    for (channel, moved) in [
        (r#"{"id":"3"}"#, r#"{"id":"3","last_message_id":"8"}"#),
        (
            r#"{"last_message_id":null,"id":"3"}"#,
            r#"{"last_message_id":"8","id":"3"}"#,
        ),
        (
            r#"{"id":"3","last_message_id":"7"}"#,
            r#"{"id":"3","last_message_id":"8"}"#,
        ),
        (
            r#"{"id":"3","last_message_id":"9"}"#,
            r#"{"id":"3","last_message_id":"9"}"#,
        ),
    ] {
        check(
            &[("channel:1:3", channel)],
            "MESSAGE_CREATE",
            message,
            None,
            &[("channel:1:3", moved), ("message:3:8", message)],
        );
    }
    let private = r#"{"id":"8","channel_id":"3"}"#;
    check(
        &[("channel:3", r#"{"id":"3"}"#)],
        "MESSAGE_CREATE",
        private,
        None,
        &[
            ("channel:3", r#"{"id":"3","last_message_id":"8"}"#),
            ("message:3:8", private),
        ],
    );
    for (kind, moved) in [
        (15, r#"{"type":15,"last_message_id":"4"}"#),
        (16, r#"{"type":16,"last_message_id":"4"}"#),
        (0, r#"{"type":0}"#),
    ] {
        check(
            &[("channel:1:3", &format!(r#"{{"type":{kind}}}"#))],
            "THREAD_CREATE",
            THREAD,
            None,
            &[("channel:1:3", moved), ("channel:1:4", THREAD)],
        );
    }
}

#[test]
fn the_bots_own_membership_of_a_thread_is_kept() {
    let bot = ("bot_user", r#"{"id":"7"}"#);
    let member = r#"{"id":"4","user_id":"7","flags":1}"#;
    let with =
        format!(r#"{{"id":"4","type":11,"guild_id":"1","parent_id":"3","member":{member}}}"#);
    let update = |fields: &str| format!(r#"{{"id":"4","guild_id":"1",{fields}}}"#);
    let added = r#""added_members":[{"user_id":"9"},{"id":"4","user_id":"7","flags":1,"member":{},"presence":null}]"#;
    let removed = r#""removed_member_ids":["9","7"]"#;
    let others = r#""added_members":[{"user_id":"9"}],"removed_member_ids":["8"]"#;
    for (before, fields, after) in [
        (THREAD, added, with.as_str()),
        (with.as_str(), removed, THREAD),
        (THREAD, others, THREAD),
        (with.as_str(), others, with.as_str()),
    ] {
        check(
            &[bot, ("channel:1:4", before)],
            "THREAD_MEMBERS_UPDATE",
            &update(fields),
            Some(before),
            &[bot, ("channel:1:4", after)],
        );
    }
    let sync = |more: &str| {
        let thread = r#"{"id":"4","type":11,"guild_id":"1","parent_id":"3"}"#;
        format!(r#"{{"guild_id":"1","channel_ids":["3"],"threads":[{thread}]{more}}}"#)
    };
    for (before, more, after) in [
        (THREAD, format!(r#","members":[{member}]"#), with.as_str()),
        (with.as_str(), String::new(), with.as_str()),
        (with.as_str(), r#","members":[]"#.to_owned(), THREAD),
    ] {
        check(
            &[("channel:1:4", before), ("message:4:1", "{}")],
            "THREAD_LIST_SYNC",
            &sync(&more),
            None,
            &[("channel:1:4", after), ("message:4:1", "{}")],
        );
    }
}

#[test]
fn list_sync_replaces_the_threads_of_the_named_parents() {
    let before = [
        ("channel:1:3", TEXT),
        ("channel:1:4", THREAD),
        ("channel:1:5", OTHER),
        ("message:4:1", "{}"),
    ];
    let new = r#"{"id":"8","type":11,"parent_id":"3","guild_id":"1"}"#;
    check(
        &before,
        "THREAD_LIST_SYNC",
        &format!(r#"{{"guild_id":"1","channel_ids":["3"],"threads":[{new}]}}"#),
        None,
        &[
            ("channel:1:3", TEXT),
            ("channel:1:5", OTHER),
            ("channel:1:8", new),
        ],
    );
    check(
        &before,
        "THREAD_LIST_SYNC",
        r#"{"guild_id":"1","threads":[]}"#,
        None,
        &[("channel:1:3", TEXT)],
    );
}

/// Discord: of each channel what was asked for, so of some no more than one field.
#[test]
fn channel_info_is_merged_into_cached_channels() {
    check(
        &[
            ("channel:1:3", r#"{"id":"3","name":"a","status":"b"}"#),
            ("channel:1:4", r#"{"id":"4"}"#),
        ],
        "CHANNEL_INFO",
        r#"{"guild_id":"1","channels":[{"id":"3","status":null,"voice_start_time":17},{"id":"5","status":"c"},{"id":"4","status":"d"}]}"#,
        None,
        &[
            (
                "channel:1:3",
                r#"{"id":"3","name":"a","status":null,"voice_start_time":17}"#,
            ),
            ("channel:1:4", r#"{"id":"4","status":"d"}"#),
        ],
    );
}
