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
