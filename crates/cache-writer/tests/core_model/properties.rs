//! Random streams: the same state and the same `old` as the reference's, whatever the batches and
//! redeliveries.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use cache_writer::core::{
    entity::Entity,
    layout::{Location, dispatch, spectacles},
    settings::{Layouts, Settings},
};
use proptest::prelude::*;
use serde_json::Value;

use super::{
    generate::{NAMES, dispatches, farewell},
    reference::Reference,
    writer::{Dispatch, Writer, old},
};

/// Feeds the writer with windows of the stream that overlap, and compares with the reference's one
/// by one.
fn compare(
    stream: &[Dispatch],
    cuts: &[(usize, usize, usize)],
    settings: &Settings,
    adapt: impl Fn(Value) -> Value,
) -> (Writer, Reference) {
    let mut reference = Reference::new(settings.clone());
    let mut writer = Writer::new(settings.clone());
    let mut expected: HashMap<(String, u64), Option<Value>> = HashMap::new();
    let mut cuts = cuts.iter().cycle();
    let (mut from, mut published) = (0, Vec::new());
    while from < stream.len() {
        let (length, batch, back) = cuts.next().unwrap();
        let to = (from + length).min(stream.len());
        let back = from.saturating_sub(*back);
        for event in &stream[from..to] {
            let old = reference.apply(event);
            expected.insert((event.session.clone(), event.seq), old.map(&adapt));
        }
        let fresh = &stream[from..to];
        let outcomes = writer.deliver(&stream[back..to], *batch);
        assert_eq!(outcomes.len(), fresh.len(), "each event once");
        published.extend(fresh.iter().zip(outcomes));
        from = to;
    }
    for (event, (seq, outcome)) in published {
        assert_eq!(event.seq, seq);
        let expected = &expected[&(event.session.clone(), seq)];
        assert_eq!(&old(&outcome), expected, "old of {event:?}");
    }
    (writer, reference)
}

fn without_nulls(value: Value) -> Value {
    match value {
        Value::Object(fields) => fields
            .into_iter()
            .filter(|(_, value)| !value.is_null())
            .map(|(name, value)| (name, without_nulls(value)))
            .collect(),
        Value::Array(list) => list.into_iter().map(without_nulls).collect(),
        value => value,
    }
}

/// In a role's tags null means true. Nothing else has any here.
fn without_nulls_but_tags(value: Value) -> Value {
    let tags = value.get("tags").cloned();
    let mut value = without_nulls(value);
    if let Some(tags) = tags {
        value["tags"] = tags;
    }
    value
}

/// The state as the Spectacles layout should hold it.
fn spectacles_state(reference: &Reference) -> BTreeMap<Location, Value> {
    let mut state = BTreeMap::new();
    // The bookkeeping has keys of its own in either layout.
    let objects = |(key, _): &(&String, &Value)| !key.starts_with("dispatch:");
    for (key, value) in reference.state.iter().filter(objects) {
        let entity = dispatch::parse_key(key).unwrap();
        let mut value = without_nulls_but_tags(value.clone());
        if let (Entity::Guild(_), Some(guild)) = (entity, value.as_object_mut()) {
            guild.retain(|name, value| name == "features" || !value.is_array());
        }
        if entity == Entity::BotUser {
            let field = value["id"].as_str().unwrap().to_owned();
            state.insert(
                Location::Field {
                    key: "USERS".to_owned(),
                    field,
                },
                value.clone(),
            );
        }
        state.insert(spectacles::location(entity), value);
    }
    state
}

fn is_user(location: &Location) -> bool {
    matches!(location, Location::Field { key, .. } if key == "USERS")
}

/// Members of cached guilds and the bot are users; any other user has written a message.
fn assert_users(
    users: &BTreeMap<String, String>,
    stream: &[Dispatch],
    reference: &Reference,
    bot: Option<String>,
) {
    let mut members: BTreeSet<String> = bot.into_iter().collect();
    for key in reference
        .state
        .keys()
        .filter(|key| key.starts_with("member:"))
    {
        members.extend(key.rsplit(':').next().map(str::to_owned));
    }
    let authors: BTreeSet<String> = stream
        .iter()
        .filter_map(|event| serde_json::from_str::<Value>(&event.data).ok())
        .filter_map(|d| Some(d["author"]["id"].as_str()?.to_owned()))
        .collect();
    let held: BTreeSet<String> = users.keys().cloned().collect();
    assert!(held.is_superset(&members), "{members:?} of {held:?}");
    let others: Vec<&String> = held.difference(&members).collect();
    assert!(others.iter().all(|id| authors.contains(*id)), "{others:?}");
}

fn settings() -> impl Strategy<Value = Settings> {
    let ttl = prop_oneof![Just(0_u64), Just(60_000)];
    let switches = proptest::array::uniform6(proptest::bool::weighted(0.85));
    (switches, ttl.clone(), ttl).prop_map(|(on, member_ttl_ms, message_ttl_ms)| {
        let [old, member, message, presence, emoji, voice] = on;
        Settings {
            old,
            member,
            message,
            presence,
            emoji,
            voice,
            member_ttl_ms,
            message_ttl_ms,
            ..Settings::default()
        }
    })
}

fn seeds() -> impl Strategy<Value = Vec<u64>> {
    proptest::collection::vec(any::<u64>(), 1..250)
}

fn cuts() -> impl Strategy<Value = Vec<(usize, usize, usize)>> {
    proptest::collection::vec((1..40_usize, 1..40_usize, 0..10_usize), 1..8)
}

fn json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        (0..9_u64).prop_map(Value::from),
        (0..9_u64).prop_map(|id| Value::from(id.to_string())),
        "[a-z\"\\\\{]{0,3}".prop_map(Value::from),
    ];
    let names = [
        "id",
        "guild_id",
        "channel_id",
        "user",
        "user_id",
        "members",
        "roles",
        "role",
        "guilds",
        "ids",
        "channels",
        "threads",
        "emojis",
        "sound_id",
        "soundboard_sounds",
        "type",
        "parent_id",
        "flags",
        "unavailable",
        "a\"b",
    ];
    leaf.prop_recursive(4, 40, 6, move |inner| {
        let field = (proptest::sample::select(names.to_vec()), inner.clone());
        prop_oneof![
            proptest::collection::vec(inner, 0..4).prop_map(Value::Array),
            proptest::collection::vec(field, 0..6).prop_map(|fields| {
                fields
                    .into_iter()
                    .map(|(name, value)| (name.to_owned(), value))
                    .collect()
            }),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 400,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn state_and_old_equal_the_reference(
        seeds in seeds(),
        cuts in cuts(),
        settings in settings(),
    ) {
        let stream = dispatches(&seeds, true);
        let (mut writer, mut reference) = compare(&stream, &cuts, &settings, |old| old);
        prop_assert_eq!(&writer.store.values(), &reference.state, "after {:?}", stream);
        writer.assert_indexed();

        for event in farewell() {
            reference.apply(&event);
            writer.deliver(&[Dispatch { session: "last".to_owned(), ..event }], 1);
        }
        prop_assert_eq!(&writer.store.values(), &reference.state);
        writer.assert_indexed();
        let left: Vec<&String> = reference
            .state
            .keys()
            .filter(|key| *key != "bot_user" && !key.starts_with("message:"))
            .filter(|key| !key.starts_with("dispatch:arrival:"))
            .filter(|key| key.matches(':').count() != 1)
            .collect();
        prop_assert!(left.is_empty(), "{:?}", left);
    }

    #[test]
    fn both_layouts_hold_the_same(seeds in seeds(), cuts in cuts(), alone in any::<bool>()) {
        let layouts = Layouts { dispatch: !alone, spectacles: true };
        let settings = Settings { layouts, ..Settings::default() };
        let stream = dispatches(&seeds, false);
        let adapt = |old| if alone { without_nulls_but_tags(old) } else { old };
        let (writer, reference) = compare(&stream, &cuts, &settings, adapt);

        let mut held = BTreeMap::new();
        for (key, fields) in &writer.store.hashes {
            for (field, text) in fields {
                let location = Location::Field { key: key.clone(), field: field.clone() };
                held.insert(location, serde_json::from_str(text).unwrap());
            }
        }
        let mut strings = writer.store.values();
        let messages: Vec<String> =
            strings.keys().filter(|key| key.starts_with("MESSAGES:")).cloned().collect();
        for key in messages {
            let entity = dispatch::parse_key(&key.to_lowercase().replace("messages", "message"));
            held.insert(spectacles::location(entity.unwrap()), strings.remove(&key).unwrap());
        }
        let users = writer.store.hashes.get("USERS").cloned().unwrap_or_default();
        held.retain(|location, _| !is_user(location));
        let mut expected = spectacles_state(&reference);
        let bot = expected.keys().find_map(|location| match location {
            Location::Field { key, field } if key == "USERS" => Some(field.clone()),
            _ => None,
        });
        expected.retain(|location, _| !is_user(location));
        assert_users(&users, &stream, &reference, bot);
        let user = expected.remove(&spectacles::location(Entity::BotUser));
        prop_assert_eq!(held, expected);
        if alone {
            prop_assert_eq!(strings.remove("bot_user"), user);
            strings.retain(|key, _| !key.starts_with("dispatch:total:"));
            prop_assert!(strings.is_empty(), "{:?}", strings);
        } else {
            prop_assert_eq!(&strings, &reference.state);
        }
    }

    #[test]
    fn anything_goes_through(
        events in proptest::collection::vec((proptest::sample::select(NAMES.to_vec()), json()), 1..40),
        batch in 1..20_usize,
    ) {
        let stream: Vec<Dispatch> = (1..)
            .zip(events)
            .map(|(seq, (name, d))| Dispatch { seq, ..Dispatch::new(name, &d.to_string()) })
            .collect();
        let mut writer = Writer::new(Settings::default());
        let outcomes = writer.deliver(&stream, batch);
        prop_assert_eq!(outcomes.len(), stream.len());
        for (_, outcome) in &outcomes {
            old(outcome);
        }
        prop_assert!(writer.store.values().values().all(Value::is_object));
        writer.assert_indexed();
    }
}
