//! Each event's rule by example: what was cached, the event, its `old`, what is cached then.

use cache_writer::core::{layout::dispatch, outcome::Outcome, write::Write};

use super::writer::{Dispatch, Writer};

#[path = "rules/channels.rs"]
mod channels;
#[path = "rules/children.rs"]
mod children;
#[path = "rules/guilds.rs"]
mod guilds;
#[path = "rules/members.rs"]
mod members;
#[path = "rules/messages.rs"]
mod messages;
#[path = "rules/reactions.rs"]
mod reactions;
#[path = "rules/totals.rs"]
mod totals;

type Entries<'c> = &'c [(&'c str, &'c str)];

/// Applies one event to a cache that holds `before`; asserts its `old` and everything that is
/// cached then, byte for byte.
fn check(before: Entries<'_>, name: &str, data: &str, old: Option<&str>, after: Entries<'_>) {
    let (writer, outcome) = apply(before, name, data);
    assert_eq!(outcome.old.as_deref(), old, "old of {name}");
    assert_eq!(outcome.note, None, "{name}");
    let held: Vec<(&str, &str)> = writer
        .store
        .strings
        .iter()
        .map(|(key, value)| (key.as_str(), value.as_str()))
        .filter(|(key, _)| !key.starts_with("dispatch:total:"))
        .collect();
    let mut after = after.to_vec();
    after.sort_unstable();
    assert_eq!(held, after, "after {name}");
    writer.assert_indexed();
}

fn apply(before: Entries<'_>, name: &str, data: &str) -> (Writer, Outcome) {
    let mut writer = Writer::default();
    let writes: Vec<Write> = before
        .iter()
        .map(|(key, value)| Write::Put {
            entity: dispatch::parse_key(key).unwrap(),
            value: (*value).into(),
            told: Some(1),
        })
        .collect();
    writer.write(&writes);
    let mut outcomes = writer.deliver(&[Dispatch::new(name, data)], 1);
    (writer, outcomes.remove(0).1)
}
