use super::*;
use crate::core::settings::Layouts;

/// 2026-01-31T12:00:00Z.
const NOW_MS: u64 = 1_769_860_800_000;
const BOT: u64 = 99;

fn takeover() -> Takeover {
    Takeover {
        settings: Settings::default(),
        bot: Some(BOT),
        dispatch_since: false,
        now_ms: NOW_MS,
    }
}

fn page(takeover: &Takeover, key: &str, guild: Option<u64>, value: &str) -> Page {
    let found = Found {
        key,
        value: Some(value),
        expiry: None,
    };
    takeover.page(&[found], guild)
}

/// What is written for a key, as `key value`.
fn written(takeover: &Takeover, key: &str, guild: Option<u64>, value: &str) -> Option<String> {
    let page = page(takeover, key, guild, value);
    let mut writes = page.writes.into_values().flatten();
    let write = writes.next()?;
    assert!(writes.next().is_none());
    match write {
        Write::Put { entity, value, .. } => Some(format!("{} {value}", dispatch::key(entity))),
        Write::Delete(entity) => panic!("{entity:?} deleted"),
    }
}

#[test]
fn each_key_becomes_what_its_name_and_value_say() {
    for (key, guild, value, expected) in [
        (
            "guild:1",
            None,
            r#"{"id":"1","name":"a","channels":[],"roles":[],"emojis":[]}"#,
            Some(r#"guild:1 {"id":"1","name":"a"}"#),
        ),
        ("guild:1", None, r#"{"id":"2"}"#, None),
        ("guild:1", None, "[]", None),
        ("guild:x", None, r#"{"id":"1"}"#, None),
        (
            "channel:5",
            Some(1),
            r#"{"id":"5","type":0}"#,
            Some(r#"channel:1:5 {"id":"5","type":0,"guild_id":"1"}"#),
        ),
        (
            "channel:5",
            None,
            r#"{"id":"5","type":0,"guild_id":"1"}"#,
            Some(r#"channel:1:5 {"id":"5","type":0,"guild_id":"1"}"#),
        ),
        (
            "channel:5",
            None,
            r#"{"id":"5","type":1,"recipients":[]}"#,
            Some(r#"channel:5 {"id":"5","type":1,"recipients":[]}"#),
        ),
        ("channel:5", None, r#"{"id":"5","type":0}"#, None),
        ("channel:5", Some(1), r#"{"id":"6","type":0}"#, None),
        ("channel:1:5", Some(1), r#"{"id":"5","type":0}"#, None),
        (
            "role:1:7",
            None,
            r#"{"id":"7"}"#,
            Some(r#"role:1:7 {"id":"7","guild_id":"1"}"#),
        ),
        (
            "emoji:1:7",
            None,
            r#"{"id":"7"}"#,
            Some(r#"emoji:1:7 {"id":"7","guild_id":"1"}"#),
        ),
        (
            "member:1:7",
            Some(1),
            r#"{"guild_id":"1","user":{"id":"7"}}"#,
            Some(r#"member:1:7 {"guild_id":"1","user":{"id":"7"}}"#),
        ),
        ("member:1:7", None, r#"{"user":{"id":"8"}}"#, None),
        ("member:1:7", None, r#"{"nick":"a"}"#, None),
        ("member:1:07", None, r#"{"user":{"id":"7"}}"#, None),
        (
            "voice:1:7",
            None,
            r#"{"user_id":"7","channel_id":"5"}"#,
            Some(r#"voice:1:7 {"user_id":"7","channel_id":"5","guild_id":"1"}"#),
        ),
        (
            "presence:1:7",
            None,
            r#"{"user":{"id":"7"},"status":"idle"}"#,
            Some(r#"presence:1:7 {"user":{"id":"7"},"status":"idle","guild_id":"1"}"#),
        ),
        (
            "presence:1:7",
            None,
            r#"{"user":{"id":"7"},"status":"offline"}"#,
            None,
        ),
        (
            "message:5:8",
            None,
            r#"{"id":"8","channel_id":"5"}"#,
            Some(r#"message:5:8 {"id":"8","channel_id":"5"}"#),
        ),
        ("message:5:8", None, r#"{"id":"8","channel_id":"6"}"#, None),
        (
            "bot_user",
            None,
            r#"{"id":"99"}"#,
            Some(r#"bot_user {"id":"99"}"#),
        ),
        ("sticker:1:7", None, r#"{"id":"7"}"#, None),
        ("mine", None, r#"{"id":"7"}"#, None),
    ] {
        let written = written(&takeover(), key, guild, value);
        assert_eq!(written.as_deref(), expected, "{key} {value}");
    }
}

#[test]
fn a_key_of_somebody_else_is_not_touched_and_one_that_cannot_be_read_goes() {
    for (key, gone) in [
        ("role:1:7", true),
        ("channel:5", true),
        ("message:5:8", true),
        ("channel:1:5", false),
        ("sticker:1:7", false),
        ("index:guilds", false),
        ("dispatch:total:1", false),
        ("guild:", false),
        ("role:1", false),
        ("role:1:7:8", false),
    ] {
        let page = page(&takeover(), key, None, "nonsense");
        assert_eq!(page.unlink.contains(key), gone, "{key}");
        assert_eq!(page.unlisted.is_empty(), !gone, "{key}");
        assert_eq!(page.removed, u64::from(gone), "{key}");
    }
}

#[test]
fn what_a_setting_switches_off_goes() {
    let off = |change: fn(&mut Settings)| {
        let mut takeover = takeover();
        change(&mut takeover.settings);
        takeover
    };
    let member = r#"{"user":{"id":"7"}}"#;
    let own = r#"{"user":{"id":"99"}}"#;
    for (takeover, key, value, kept) in [
        (off(|s| s.member = false), "member:1:7", member, false),
        (off(|s| s.member = false), "member:1:99", own, true),
        (off(|s| s.enabled = false), "member:1:99", own, false),
        (
            off(|s| s.enabled = false),
            "guild:1",
            r#"{"id":"1"}"#,
            false,
        ),
        (
            off(|s| s.enabled = false),
            "bot_user",
            r#"{"id":"99"}"#,
            false,
        ),
        (
            off(|s| s.emoji = false),
            "emoji:1:7",
            r#"{"id":"7"}"#,
            false,
        ),
        (off(|s| s.emoji = false), "role:1:7", r#"{"id":"7"}"#, true),
        (
            off(|s| s.voice = false),
            "voice:1:7",
            r#"{"user_id":"7"}"#,
            false,
        ),
        (
            off(|s| s.presence = false),
            "presence:1:7",
            r#"{"user":{"id":"7"},"status":"idle"}"#,
            false,
        ),
        (
            off(|s| s.message = false),
            "message:5:8",
            r#"{"id":"8","channel_id":"5"}"#,
            false,
        ),
    ] {
        let page = page(&takeover, key, None, value);
        assert_eq!(page.kept, u64::from(kept), "{key}");
        assert_eq!(page.unlink.contains(key), !kept, "{key}");
    }
}

#[test]
fn channels_that_dispatch_has_newer_are_not_written_over() {
    let takeover = Takeover {
        dispatch_since: true,
        ..takeover()
    };
    let page_of = |value| page(&takeover, "channel:5", None, value);
    let guilds = page_of(r#"{"id":"5","type":0,"guild_id":"1"}"#);
    assert_eq!((guilds.kept, guilds.removed), (0, 1));
    let private = page_of(r#"{"id":"5","type":1}"#);
    assert_eq!((private.kept, private.removed), (1, 0));
}

#[test]
fn a_time_to_live_is_kept() {
    let keys = ["message:5:8", "message:5:9", "message:5:10"];
    let values = [8, 9, 10].map(|id| format!(r#"{{"id":"{id}","channel_id":"5"}}"#));
    let expiries = [
        Some(r#""2026-01-31T12:00:01.5""#),
        Some(r#""2026-01-31T12:00:00.0""#),
        None,
    ];
    let found: Vec<_> = keys
        .iter()
        .zip(&values)
        .zip(expiries)
        .map(|((key, value), expiry)| Found {
            key,
            value: Some(value),
            expiry,
        })
        .collect();
    let takeover = takeover();
    let page = takeover.page(&found, None);
    let expiries: Vec<_> = page
        .commands(&takeover)
        .into_iter()
        .filter_map(|command| match command {
            Command::Set { key, expire_ms, .. } => Some((key, expire_ms)),
            _ => None,
        })
        .collect();
    assert_eq!(
        expiries,
        [
            ("message:5:10".to_owned(), Some(600_000)),
            ("message:5:8".to_owned(), Some(1_500)),
        ]
    );
    assert_eq!((page.kept, page.removed), (2, 1));
    assert!(page.unlink.contains("channel_keys:5"));
}

#[test]
fn keys_that_the_layout_does_not_use_go() {
    let layouts = |text: &str| text.parse::<Layouts>().unwrap();
    for (layout, key, value, unlinked) in [
        ("dispatch", "role:1:7", r#"{"id":"7"}"#, false),
        ("both", "role:1:7", r#"{"id":"7"}"#, false),
        ("spectacles", "role:1:7", r#"{"id":"7"}"#, true),
        ("spectacles", "bot_user", r#"{"id":"99"}"#, false),
        (
            "dispatch",
            "channel:5",
            r#"{"id":"5","guild_id":"1"}"#,
            true,
        ),
        ("dispatch", "channel:5", r#"{"id":"5","type":1}"#, false),
    ] {
        let mut takeover = takeover();
        takeover.settings.layouts = layouts(layout);
        let page = page(&takeover, key, None, value);
        assert_eq!(page.kept, 1, "{layout} {key}");
        assert_eq!(page.unlink.contains(key), unlinked, "{layout} {key}");
    }
}

#[test]
fn keys_leave_every_set_that_lists_them() {
    let sets = |guild| {
        let value = r#"{"id":"7"}"#;
        let page = page(&takeover(), "role:1:7", guild, value);
        let unlisted: Vec<_> = page.unlisted.into_keys().collect();
        (unlisted, page.unlink.into_iter().collect::<Vec<_>>())
    };
    let names = |names: &[&str]| {
        names
            .iter()
            .map(|&name| name.to_owned())
            .collect::<Vec<_>>()
    };
    assert_eq!(sets(Some(1)), (names(&["role_keys"]), vec![]));
    assert_eq!(
        sets(None),
        (names(&["role_keys"]), names(&["guild_keys:1"]))
    );
}

#[test]
fn times_are_read() {
    for (text, expected) in [
        (r#""1970-01-01T00:00:00.0""#, Some(0)),
        (r#""2026-01-31T12:00:00.0""#, Some(NOW_MS)),
        (r#""2000-02-29T23:59:59.999999999""#, Some(951_868_799_999)),
        (r#""2000-03-01T00:00:00.25""#, Some(951_868_800_250)),
        (r#""2026-13-01T00:00:00.0""#, None),
        (r#""2026-01-31""#, None),
        (r#""2026-01-31T12:00:00.x""#, None),
        ("17", None),
    ] {
        assert_eq!(milliseconds(text), expected, "{text}");
    }
}
