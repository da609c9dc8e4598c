//! Where batches end, and what they read.

use cache_writer::core::{
    entity::Entity,
    event::Event,
    plan::{cut, further_reads, plan, purges, reads},
    settings::Settings,
    snapshot::{Reads, Snapshot},
};

fn events<'a>(pairs: &'a [(&'a str, &'a str)]) -> Vec<Event<'a>> {
    (1..)
        .zip(pairs)
        .map(|(seq, (name, data))| Event::new("s", seq, (0, 1), name, data))
        .collect()
}

const MESSAGE: (&str, &str) = (
    "MESSAGE_CREATE",
    r#"{"id":"8","channel_id":"3","guild_id":"1"}"#,
);
const PRIVATE: (&str, &str) = ("MESSAGE_CREATE", r#"{"id":"8","channel_id":"4"}"#);
const ROLE: (&str, &str) = ("GUILD_ROLE_DELETE", r#"{"guild_id":"1","role_id":"2"}"#);
const LEAVE: (&str, &str) = ("GUILD_DELETE", r#"{"id":"1"}"#);
const JOIN: (&str, &str) = ("GUILD_CREATE", r#"{"id":"1"}"#);
const JOIN_OTHER: (&str, &str) = ("GUILD_CREATE", r#"{"id":"2"}"#);
const READY: (&str, &str) = ("READY", r#"{"user":{"id":"1"},"guilds":[]}"#);
const THREAD_3: (&str, &str) = ("THREAD_DELETE", r#"{"id":"3","guild_id":"1"}"#);
const THREAD_9: (&str, &str) = ("THREAD_DELETE", r#"{"id":"9","guild_id":"1"}"#);
const SPOILT: (&str, &str) = ("GUILD_DELETE", "7");

#[test]
fn a_purge_does_not_overtake_what_it_would_purge() {
    for (queue, expected) in [
        (&[][..], 0),
        (&[LEAVE][..], 1),
        (&[MESSAGE, ROLE, MESSAGE][..], 3),
        (&[LEAVE, ROLE, MESSAGE][..], 3),
        (&[ROLE, LEAVE][..], 1),
        (&[MESSAGE, LEAVE][..], 1),
        (&[PRIVATE, LEAVE][..], 1),
        (&[JOIN, JOIN_OTHER][..], 2),
        (&[JOIN, LEAVE][..], 1),
        (&[JOIN_OTHER, JOIN, MESSAGE, LEAVE][..], 3),
        (&[MESSAGE, THREAD_9, MESSAGE][..], 3),
        (&[ROLE, MESSAGE, THREAD_3][..], 2),
        (&[JOIN, THREAD_9][..], 1),
        (&[ROLE, READY][..], 1),
        (&[READY, ROLE, JOIN][..], 2),
        (&[MESSAGE, SPOILT][..], 2),
    ] {
        assert_eq!(cut(&events(queue)), expected, "{queue:?}");
    }
}

#[test]
fn families_that_are_off_are_not_kept_from_purges() {
    let queue = events(&[(
        "GUILD_CREATE",
        r#"{"id":"1","roles":[{"id":"2"}],"members":[{"user":{"id":"3"}}]}"#,
    )]);
    let settings = Settings {
        member: false,
        ..Settings::default()
    };
    let purge = purges(&queue, &settings, &Snapshot::default()).remove(0);
    assert!(!purge.takes(Entity::Role { guild: 1, id: 2 }, None));
    assert!(purge.takes(Entity::Member { guild: 1, user: 3 }, None));
}

#[test]
fn only_what_matters_is_read_and_once() {
    let delete = ("MESSAGE_DELETE", r#"{"id":"8","channel_id":"3"}"#);
    let pairs = [MESSAGE, delete, delete, ROLE];
    let queue = events(&pairs);
    let channel = Entity::Channel {
        guild: Some(1),
        id: 3,
    };
    let expected = [
        channel,
        Entity::Message { channel: 3, id: 8 },
        Entity::Role { guild: 1, id: 2 },
        Entity::Total(1),
    ];
    assert_eq!(reads(&queue, &Settings::default()).entities, expected);
    let silent = Settings {
        old: false,
        ..Settings::default()
    };
    let expected = Reads {
        entities: vec![channel, Entity::Total(1)],
        indexes: Vec::new(),
    };
    assert_eq!(reads(&queue, &silent), expected);
}

#[test]
fn a_set_is_read_in_two_steps() {
    let queue = events(&[("GUILD_EMOJIS_UPDATE", r#"{"guild_id":"1","emojis":[]}"#)]);
    let settings = Settings::default();
    let reads = reads(&queue, &settings);
    assert_eq!(reads.entities, [Entity::Total(1)]);
    let mut snapshot = Snapshot::default();
    snapshot.insert_index(reads.indexes[0], vec![7, 5]);
    let emojis = [
        Entity::Emoji { guild: 1, id: 5 },
        Entity::Emoji { guild: 1, id: 7 },
    ];
    assert_eq!(further_reads(&queue, &snapshot, &settings), emojis);
    for emoji in emojis {
        snapshot.insert(emoji, Some("{}".to_owned()));
    }
    assert!(further_reads(&queue, &snapshot, &settings).is_empty());
    let plan = plan(&queue, &snapshot, &settings);
    assert_eq!(plan.events[0].old.as_deref(), Some("[{},{}]"));
    assert_eq!(plan.writes.len(), 2);
}
