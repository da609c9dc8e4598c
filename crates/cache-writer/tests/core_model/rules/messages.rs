use super::check;

const MESSAGE: &str = r#"{"id":"8","channel_id":"3","author":{"id":"5"},"timestamp":"x","content":"","embeds":[ 1.0 ],"edited_timestamp":null}"#;

#[test]
fn create_stores_the_bytes() {
    check(
        &[],
        "MESSAGE_CREATE",
        MESSAGE,
        None,
        &[("message:3:8", MESSAGE)],
    );
}

#[test]
fn update_merges_or_stores_a_whole_message() {
    let edit = r#"{"id":"8","channel_id":"3","content":"b","edited_timestamp":"y"}"#;
    check(
        &[("message:3:8", MESSAGE)],
        "MESSAGE_UPDATE",
        edit,
        Some(MESSAGE),
        &[(
            "message:3:8",
            r#"{"id":"8","channel_id":"3","author":{"id":"5"},"timestamp":"x","content":"b","embeds":[ 1.0 ],"edited_timestamp":"y"}"#,
        )],
    );
    check(&[], "MESSAGE_UPDATE", edit, None, &[]);
    check(
        &[],
        "MESSAGE_UPDATE",
        MESSAGE,
        None,
        &[("message:3:8", MESSAGE)],
    );
}

#[test]
fn a_whole_update_replaces() {
    let with = |more: &str| MESSAGE.replacen('{', &format!("{{{more},"), 1);
    let rich = with(r#""reactions":[{"count":1}],"thread":{"id":"8"},"poll":{"question":{}}"#);
    check(
        &[("message:3:8", &rich)],
        "MESSAGE_UPDATE",
        MESSAGE,
        Some(&rich),
        &[("message:3:8", MESSAGE)],
    );
}

/// Discord: a poll without results is one whose results were not looked up.
#[test]
fn a_poll_keeps_its_results_where_an_update_lacks_them() {
    let with = |poll: &str| MESSAGE.replacen('}', &format!(r#"}},"poll":{poll}"#), 1);
    let known = with(r#"{"results":{"answer_counts":[1]},"layout_type":1}"#);
    let kept = with(r#"{"layout_type":2,"results":{"answer_counts":[1]}}"#);
    let news = with(r#"{"layout_type":2,"results":{"answer_counts":[]}}"#);
    for (update, after) in [(with(r#"{"layout_type":2}"#), &kept), (news.clone(), &news)] {
        check(
            &[("message:3:8", &known)],
            "MESSAGE_UPDATE",
            &update,
            Some(&known),
            &[("message:3:8", after)],
        );
    }
}

#[test]
fn deletes_tell_what_went() {
    let delete = r#"{"id":"8","channel_id":"3"}"#;
    check(
        &[("message:3:8", MESSAGE)],
        "MESSAGE_DELETE",
        delete,
        Some(MESSAGE),
        &[],
    );
    check(&[], "MESSAGE_DELETE", delete, None, &[]);
    let bulk = r#"{"ids":["9","7","8"],"channel_id":"3"}"#;
    check(
        &[
            ("message:3:8", r#"{"id":"8"}"#),
            ("message:3:9", r#"{"id":"9"}"#),
            ("message:4:8", "{}"),
        ],
        "MESSAGE_DELETE_BULK",
        bulk,
        Some(r#"[{"id":"9"},{"id":"8"}]"#),
        &[("message:4:8", "{}")],
    );
    check(&[], "MESSAGE_DELETE_BULK", bulk, Some("[]"), &[]);
}

/// Discord tells of a thread's messages by themselves alone. Its initial message is not counted: in a forum it has the thread's id,
/// elsewhere a message of type 21 stands for it.
#[test]
fn a_thread_counts_its_messages() {
    let thread = |id: u64, count: u64, sent: u64, last: &str| {
        format!(
            r#"{{"id":"{id}","type":11,"message_count":{count},"total_message_sent":{sent},"last_message_id":{last}}}"#
        )
    };
    let before = thread(3, 1, 5, "null");
    let message = |id: u64, kind: u64| {
        format!(r#"{{"id":"{id}","channel_id":"3","guild_id":"1","type":{kind}}}"#)
    };
    for (id, kind, after) in [
        (8, 0, thread(3, 2, 6, r#""8""#)),
        (8, 21, thread(3, 1, 5, r#""8""#)),
        (3, 0, thread(3, 1, 5, r#""3""#)),
    ] {
        let (message, key) = (message(id, kind), format!("message:3:{id}"));
        check(
            &[("channel:1:3", &before)],
            "MESSAGE_CREATE",
            &message,
            None,
            &[("channel:1:3", &after), (&key, &message)],
        );
    }
    let gone = thread(3, 0, 5, "null");
    for (name, data, old, after) in [
        ("MESSAGE_DELETE", r#""id":"8""#, None, &gone),
        ("MESSAGE_DELETE", r#""id":"3""#, None, &before),
        (
            "MESSAGE_DELETE_BULK",
            r#""ids":["8","9"]"#,
            Some("[]"),
            &gone,
        ),
        ("MESSAGE_DELETE_BULK", r#""ids":["3"]"#, Some("[]"), &before),
    ] {
        let data = format!(r#"{{{data},"channel_id":"3","guild_id":"1"}}"#);
        check(
            &[("channel:1:3", &before)],
            name,
            &data,
            old,
            &[("channel:1:3", after)],
        );
    }
    let text = r#"{"id":"3","type":0,"last_message_id":"9"}"#;
    let message = message(8, 0);
    check(
        &[("channel:1:3", text)],
        "MESSAGE_CREATE",
        &message,
        None,
        &[("channel:1:3", text), ("message:3:8", &message)],
    );
}

/// Discord: `tts` is false in every update, whatever the message was.
#[test]
fn a_spoken_message_stays_one() {
    let with = |tts: &str| MESSAGE.replacen('{', &format!(r#"{{"tts":{tts},"#), 1);
    let (spoken, silent) = (with("true"), with("false"));
    for before in [&spoken, &silent] {
        check(
            &[("message:3:8", before)],
            "MESSAGE_UPDATE",
            &silent,
            Some(before),
            &[("message:3:8", before)],
        );
    }
}
