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
    check(&[], "MESSAGE_DELETE_BULK", bulk, None, &[]);
}

#[test]
fn reactions_change_nothing() {
    let reaction = r#"{"message_id":"8","channel_id":"3","emoji":{"name":"a"}}"#;
    let cached = [("message:3:8", MESSAGE)];
    check(&cached, "MESSAGE_REACTION_ADD", reaction, None, &cached);
}
