//! Which commands writes become.

use cache_writer::core::{
    entity::{Entity, Family, Index},
    layout::{
        Command, Database, PAGE, commands, dispatch,
        index::{self, counts},
    },
    settings::{Layouts, Settings},
    write::Write,
};

const NOW: u64 = 1_700_000_000_000;

fn put(entity: Entity, value: &str) -> Write<'_> {
    Write::Put {
        entity,
        value: value.into(),
        told: Some(1),
    }
}

/// The commands in Redis's own words.
fn words(writes: &[Write], settings: &Settings) -> Vec<String> {
    commands(writes, settings, NOW)
        .into_iter()
        .map(word)
        .collect()
}

fn word(command: Command<'_>) -> String {
    let ids = |ids: Vec<u64>| ids.iter().map(u64::to_string).collect::<Vec<_>>().join(" ");
    match command {
        Command::Set {
            database,
            key,
            value,
            expire_ms,
        } => {
            let px = expire_ms.map(|ms| format!(" PX {ms}")).unwrap_or_default();
            let to = if database == Database::Messages {
                "messages: "
            } else {
                ""
            };
            format!("{to}SET {key} {value}{px}")
        }
        Command::Unlink { database, keys } => {
            let to = if database == Database::Messages {
                "messages: "
            } else {
                ""
            };
            format!("{to}UNLINK {}", keys.join(" "))
        }
        Command::HashSet { key, field, value } => format!("HSET {key} {field} {value}"),
        Command::HashDelete { key, fields } => format!("HDEL {key} {}", fields.join(" ")),
        Command::SetAdd { key, ids: list } => format!("SADD {key} {}", ids(list)),
        Command::SetRemove { key, ids: list } => format!("SREM {key} {}", ids(list)),
        Command::Index(update) => {
            format!(
                "EVAL {} | {}",
                update.keys().join(" "),
                update.arguments().join(" ")
            )
        }
        Command::Users(update) => {
            format!(
                "USERS {} | {}",
                update.keys().join(" "),
                update.arguments().join(" ")
            )
        }
    }
}

#[test]
fn dispatch_layout() {
    let writes = [
        put(Entity::Guild(1), "{}"),
        put(Entity::Message { channel: 3, id: 8 }, "{}"),
        Write::Delete(Entity::Message { channel: 3, id: 9 }),
        Write::Delete(Entity::Role { guild: 1, id: 2 }),
    ];
    assert_eq!(
        words(&writes, &Settings::default()),
        [
            "SET guild:1 {}",
            "SET message:3:8 {} PX 600000",
            "UNLINK message:3:9 role:1:2",
            "EVAL index:counts index:guilds index:roles:1 index:messages:3 index:messages:3 | \
             1700000000000 add guilds inf 1 1 1 remove roles inf 1 1 2 \
             remove_expiring messages 1700000600000 9375 1 9 \
             add_expiring messages 1700000600000 9375 1 8",
        ]
    );
}

#[test]
fn spectacles_layout() {
    let settings = Settings {
        layouts: Layouts {
            dispatch: false,
            spectacles: true,
        },
        ..Settings::default()
    };
    let writes = [
        put(Entity::BotUser, r#"{"id":"7","avatar":null}"#),
        put(Entity::Guild(1), r#"{"id":"1","roles":[],"icon":null}"#),
        put(
            Entity::Channel {
                guild: Some(1),
                id: 3,
            },
            "{}",
        ),
        put(Entity::Message { channel: 3, id: 8 }, "{}"),
        put(Entity::Presence { guild: 1, user: 5 }, "{}"),
        Write::Delete(Entity::Member { guild: 1, user: 5 }),
        Write::Delete(Entity::Message { channel: 3, id: 9 }),
    ];
    let mut words = words(&writes, &settings);
    words.retain(|word| !word.starts_with("EVAL"));
    assert_eq!(
        words,
        [
            r#"HSET USERS 7 {"id":"7"}"#,
            r#"SET bot_user {"id":"7"}"#,
            r#"HSET GUILDS 1 {"id":"1"}"#,
            "HSET CHANNELS 3 {}",
            "messages: SET MESSAGES:3:8 {} PX 600000",
            "HSET PRESENCES:5 1 {}",
            "messages: UNLINK MESSAGES:3:9",
            "HDEL MEMBERS:1 5",
            "SADD CHANNELS:1 3",
            "USERS dispatch:user_guilds dispatch:authors USERS bot_user index:members:1 | \
             1700000000000 1700000600000 0 0 leave 1 5",
        ]
    );
}

#[test]
fn users_come_with_members_and_messages() {
    let settings = Settings {
        layouts: Layouts {
            dispatch: false,
            spectacles: true,
        },
        ..Settings::default()
    };
    let author = r#"{"author":{"id":"5","a":null}}"#;
    let writes = [
        put(Entity::Message { channel: 3, id: 8 }, author),
        put(
            Entity::Message { channel: 3, id: 9 },
            r#"{"author":{"id":"6"},"webhook_id":"6"}"#,
        ),
        put(
            Entity::Member { guild: 1, user: 7 },
            r#"{"user":{"id":"7"}}"#,
        ),
        Write::Delete(Entity::Member { guild: 2, user: 7 }),
    ];
    let words = words(&writes, &settings);
    let users: Vec<&String> = words.iter().filter(|w| w.starts_with("USERS ")).collect();
    assert_eq!(
        users,
        [
            r#"USERS dispatch:user_guilds dispatch:authors USERS bot_user index:members:1 index:members:2 | 1700000000000 1700000600000 2 5 {"id":"5"} 7 {"id":"7"} 1 5 join 1 7 leave 1 7"#
        ]
    );
}

#[test]
fn members_are_listed_by_whether_they_expire() {
    let member = Entity::Member { guild: 1, user: 5 };
    let indexed = |writes: &[Write], settings: &Settings| words(writes, settings).pop().unwrap();
    let forever = Settings {
        member_ttl_ms: 0,
        ..Settings::default()
    };
    let expiring = Settings {
        member_ttl_ms: 60_000,
        ..Settings::default()
    };
    assert_eq!(
        indexed(&[put(member, "{}")], &forever),
        "EVAL index:counts index:members:1 | 1700000000000 add members inf 1 1 5"
    );
    assert_eq!(
        indexed(&[put(member, "{}")], &expiring),
        "EVAL index:counts index:members:1 index:expiring_members:1 | 1700000000000 \
         remove members 1700000060000 1000 1 5 add_expiring members 1700000060000 1000 1 5"
    );
    for settings in [forever, expiring] {
        let words = indexed(&[Write::Delete(member)], &settings);
        assert!(
            words.contains("index:members:1 index:expiring_members:1"),
            "{words}"
        );
    }
}

#[test]
fn no_command_is_huge() {
    let gone: Vec<Write> = (0..2_500)
        .map(|user| Write::Delete(Entity::Member { guild: 1, user }))
        .collect();
    let settings = Settings {
        layouts: Layouts {
            dispatch: true,
            spectacles: true,
        },
        ..Settings::default()
    };
    for command in commands(&gone, &settings, NOW) {
        let size = match command {
            Command::Unlink { keys, .. } => keys.len(),
            Command::HashDelete { fields, .. } => fields.len(),
            Command::Index(update) => update.changes.iter().map(|change| change.ids.len()).sum(),
            Command::Users(update) => update.size(),
            other => panic!("unexpected {other:?}"),
        };
        assert!(size <= PAGE, "{size}");
    }
}

#[test]
fn keys_are_parsed_back() {
    for key in [
        "bot_user",
        "guild:1",
        "channel:1",
        "channel:1:2",
        "message:1:2",
        "role:1:2",
        "emoji:1:2",
        "sticker:1:2",
        "member:1:2",
        "presence:1:2",
        "voice:1:2",
        "stage:1:2",
        "scheduled_event:1:2",
        "soundboard_sound:1:2",
    ] {
        assert_eq!(dispatch::key(dispatch::parse_key(key).unwrap()), key);
    }
    for key in [
        "",
        "guild",
        "guild:",
        "guild:x",
        "guild:1:2",
        "role:1",
        "role:1:2:3",
        "index:guilds",
    ] {
        assert_eq!(dispatch::parse_key(key), None, "{key}");
    }
    for key in [
        "index:guilds",
        "index:private_channels",
        "index:voices:1",
        "index:expiring_members:1",
        "index:messages:3",
    ] {
        assert_eq!(index::key(index::parse_key(key).unwrap()), key);
    }
    for key in ["index:counts", "index:messages", "index:users:1", "guild:1"] {
        assert_eq!(index::parse_key(key), None, "{key}");
    }
    assert_eq!(
        index::parse_key("index:messages:3"),
        Some(Index::Messages { channel: 3 })
    );
}

#[test]
fn counts_forget_what_has_expired() {
    let fields = [
        ("members", 3),
        ("members:2000", 2),
        ("messages:1000", 5),
        ("messages:3000", -1),
        ("else", 1),
    ];
    let counts = counts(fields, 1_500);
    let of = |family| {
        counts
            .families
            .iter()
            .find(|(known, _)| *known == family)
            .unwrap()
            .1
    };
    assert_eq!(
        (of(Family::Member), of(Family::Message), of(Family::Guild)),
        (5, 0, 0)
    );
    assert_eq!(counts.stale, ["messages:1000"]);
    assert!(
        counts
            .families
            .iter()
            .all(|(family, _)| *family != Family::User)
    );
}
