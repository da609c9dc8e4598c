//! Payloads that lack something or hold something else.

use serde_json::json;

use super::after;

#[test]
fn a_field_that_is_missing_changes_nothing_but_the_channel_is_old() {
    let channel = json!({"id": "2", "guild_id": "1", "type": 0, "last_pin_timestamp": "x"});
    let (truth, old) = after(&[
        ("CHANNEL_CREATE", channel.clone()),
        (
            "CHANNEL_PINS_UPDATE",
            json!({"channel_id": "2", "guild_id": "1"}),
        ),
    ]);
    assert_eq!(
        (truth.get("channel:1:2"), old),
        (Some(&channel), Some(channel.clone()))
    );
}

#[test]
fn a_list_of_another_type_makes_the_whole_payload_useless() {
    let guild = json!({"id": "1", "roles": [{"id": "1"}], "channels": null});
    let bent = json!({"id": "1", "roles": "all"});
    let (truth, old) = after(&[("GUILD_CREATE", guild), ("GUILD_CREATE", bent)]);
    assert_eq!(old, None);
    assert!(truth.get("role:1:1").is_some());
    let chunk = json!({"guild_id": "1", "members": [{"user": {"id": "5"}}], "presences": {}});
    let (truth, _) = after(&[("GUILD_MEMBERS_CHUNK", chunk)]);
    assert_eq!(truth.entries().count(), 0);
}
