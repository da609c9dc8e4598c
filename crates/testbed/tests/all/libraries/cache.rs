//! What a library has in its cache, compared with the truth.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

/// The differences that are a library's own, with the reason.
pub(crate) struct Explained(&'static [(&'static str, &'static str)]);

impl Explained {
    pub(crate) fn contains(&self, what: &str) -> bool {
        self.0.iter().any(|(known, _)| *known == what)
    }
}

pub(crate) static DISCORD_PY: Explained = Explained(&[(
    "extra channel",
    "an archived thread stays until its guild is told again",
)]);

pub(crate) static HIKARI: Explained = Explained(&[
    (
        "guild.member_count",
        "it is the count of GUILD_CREATE; members coming and going don't change it",
    ),
    (
        "extra channel",
        "an archived thread stays until its guild is told again",
    ),
]);

/// What differs, `family.field` or `missing family` or `extra family`, with one example of each. Guilds that have an outage
/// are left out: libraries put them aside, or forget what was in them.
pub(crate) fn differences(
    cache: &Value,
    truth: &BTreeMap<String, Value>,
) -> BTreeMap<String, String> {
    let cache = cache.as_object().unwrap();
    let family = |key: &str| key.split(':').next().unwrap_or_default().to_owned();
    let guild = |key: &str| key.split(':').nth(1).unwrap_or_default().to_owned();
    let families: BTreeSet<String> = cache.keys().map(|key| family(key)).collect();
    let is_away = |key: &str| {
        let known = truth.get(&format!("guild:{}", guild(key)));
        known.is_none_or(|known| known["unavailable"] == true)
    };
    let mut differences = BTreeMap::new();
    let mut note = |what: String, example: String| {
        differences.entry(what).or_insert(example);
    };
    for (key, entry) in cache.iter().filter(|(key, _)| !is_away(key)) {
        let Some(true_entry) = truth.get(key) else {
            note(format!("extra {}", family(key)), key.clone());
            continue;
        };
        // Members are not told of a role's deletion: some libraries show what is left, some all.
        let exists = |role: &Value| {
            let role = role.as_str().unwrap_or_default();
            truth.contains_key(&format!("role:{}:{role}", guild(key)))
        };
        for (field, value) in entry.as_object().unwrap() {
            let (mut value, mut expected) = (value.clone(), true_entry[field].clone());
            for list in [&mut value, &mut expected]
                .into_iter()
                .filter_map(Value::as_array_mut)
            {
                list.retain(exists);
                list.sort_by_key(|element| element.as_str().map(str::to_owned));
            }
            if value != expected {
                note(
                    format!("{}.{field}", family(key)),
                    format!("{key}: {value}, not {expected}"),
                );
            }
        }
    }
    for key in truth.keys().filter(|key| !is_away(key)) {
        // A direct message's channel has no guild in its key.
        let is_meant = families.contains(&family(key))
            && (key.matches(':').count() == 2 || family(key) == "guild");
        if is_meant && !cache.contains_key(key) {
            note(format!("missing {}", family(key)), key.clone());
        }
    }
    differences
}
