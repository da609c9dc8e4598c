//! What of the truth the cache must hold, by the stack's settings and age.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde_json::Value;

/// Switches, and the families that they keep out of the cache.
const SWITCHES: [(&str, &str); 6] = [
    ("STATE_MEMBER", "member"),
    ("STATE_MESSAGE", "message"),
    ("STATE_PRESENCE", "presence"),
    ("STATE_EMOJI", "emoji"),
    ("STATE_EMOJI", "sticker"),
    ("STATE_VOICE", "voice"),
];
/// Times to live, their families, and their defaults in milliseconds (0: for ever).
const TTLS: [(&str, &str, u64); 2] = [
    ("STATE_MESSAGE_TTL", "message", 600_000),
    ("STATE_MEMBER_TTL", "member", 0),
];

/// What the cache must hold.
///
/// The truth does not expire, and does not know when an object was last changed by the clock that Redis goes by. So once
/// the stack has run for as long as a family's time to live:
///
/// - an object of it that is not in the cache counts as expired, unless it is new since `known` was read: what was just
///   sent can't have expired;
/// - of one that is there, the fields that are cached must be right: it may have expired, and come back by an update that
///   tells fewer fields than the truth remembers.
///
/// Before that, and for all other families, cache and truth must be equal.
#[derive(Debug)]
pub(super) struct Expectation {
    off: Vec<&'static str>,
    /// Families of which something may have expired, and whether even what is new may have.
    expiring: BTreeMap<&'static str, bool>,
    known: BTreeSet<String>,
}

impl Expectation {
    /// For a stack with these settings that has run for `age`, and is looked at for `duration` from now on. `known` are
    /// the keys of the truth now.
    ///
    /// # Errors
    ///
    /// If the settings keep no cache that can be compared.
    pub(super) fn new(
        settings: &BTreeMap<String, String>,
        age: Duration,
        duration: Duration,
        known: BTreeSet<String>,
    ) -> Result<Self> {
        if is_off(settings, "STATE_ENABLED") {
            bail!("STATE_ENABLED is off: there is no cache to compare");
        }
        let layout = settings.get("CACHE_LAYOUT").map_or("dispatch", |l| l);
        if layout == "spectacles" {
            bail!("CACHE_LAYOUT is spectacles: only the layout dispatch is compared");
        }
        let off = SWITCHES.into_iter().filter(|(s, _)| is_off(settings, s));
        let mut expiring = BTreeMap::new();
        for (setting, family, default) in TTLS {
            let ttl = match settings.get(setting) {
                Some(text) => text.trim().parse().with_context(|| setting.to_owned())?,
                None => default,
            };
            let ttl = Duration::from_millis(ttl);
            if !ttl.is_zero() && age + duration >= ttl {
                expiring.insert(family, duration >= ttl);
            }
        }
        Ok(Self {
            off: off.map(|(_, family)| family).collect(),
            expiring,
            known,
        })
    }

    /// Families of which something may have expired.
    pub(super) fn expiring(&self) -> Vec<&'static str> {
        self.expiring.keys().copied().collect()
    }

    /// What of `truth` a right cache holds where this one holds `cached`.
    pub(super) fn hold(
        &self,
        mut truth: BTreeMap<String, Value>,
        cached: &BTreeMap<String, String>,
    ) -> BTreeMap<String, Value> {
        let bot = truth.get("bot_user").and_then(|user| user["id"].as_str());
        let own = bot.map(|bot| format!(":{bot}"));
        truth.retain(|key, value| {
            let family = key.split(':').next().unwrap_or_default();
            // The bot's own member is kept at any setting.
            let is_own = own.as_ref().is_some_and(|own| key.ends_with(own));
            if self.off.contains(&family) && !(family == "member" && is_own) {
                return false;
            }
            let may_have_expired = match self.expiring.get(family) {
                None => false,
                Some(even_new) => *even_new || self.known.contains(key),
            };
            if !may_have_expired {
                return true;
            }
            match cached.get(key) {
                None => false,
                Some(text) => {
                    keep_fields(value, text);
                    true
                }
            }
        });
        truth
    }
}

/// Leaves the fields that `text` has too.
fn keep_fields(value: &mut Value, text: &str) {
    if let (Value::Object(fields), Ok(Value::Object(cached))) =
        (value, serde_json::from_str::<Value>(text))
    {
        fields.retain(|name, _| cached.contains_key(name));
    }
}

fn is_off(settings: &BTreeMap<String, String>, name: &str) -> bool {
    let off = |value: &String| {
        let value = value.to_ascii_lowercase();
        ["false", "0", "no", "off"].contains(&value.as_str())
    };
    settings.get(name).is_some_and(off)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const LOOK: Duration = Duration::from_secs(13);

    fn expectation(settings: &[(&str, &str)], age: u64, known: &[&str]) -> Result<Expectation> {
        let settings = settings
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect();
        let known = known.iter().map(|key| (*key).to_owned()).collect();
        Expectation::new(&settings, Duration::from_secs(age), LOOK, known)
    }

    /// Three messages in the truth, of which the first is known and gone, the second known and cached in part, the third
    /// new and gone.
    fn held(expectation: &Expectation) -> Vec<String> {
        let message = |n: u32| (format!("message:1:{n}"), json!({"id": n, "nonce": "x"}));
        let cached = [("message:1:2".to_owned(), r#"{"id":2}"#.to_owned())].into();
        let held = expectation.hold([message(1), message(2), message(3)].into(), &cached);
        held.into_iter()
            .map(|(key, value)| format!("{key} {value}"))
            .collect()
    }

    #[test]
    fn everything_must_be_there_while_nothing_can_have_expired() {
        let known = ["message:1:1", "message:1:2"];
        assert_eq!(held(&expectation(&[], 500, &known).unwrap()).len(), 3);
        let for_ever = [("STATE_MESSAGE_TTL", "0")];
        let old = expectation(&for_ever, 9_000, &known).unwrap();
        assert_eq!(held(&old).len(), 3);
        assert!(held(&old)[1].contains("nonce"));
    }

    #[test]
    fn old_messages_may_be_gone_or_have_come_back_in_part() {
        let known = ["message:1:1", "message:1:2"];
        let old = expectation(&[], 600, &known).unwrap();
        assert_eq!(old.expiring(), ["message"]);
        assert_eq!(
            held(&old),
            [
                r#"message:1:2 {"id":2}"#,
                r#"message:1:3 {"id":3,"nonce":"x"}"#
            ]
        );
        let short = [("STATE_MESSAGE_TTL", "1000")];
        let short = expectation(&short, 600, &known).unwrap();
        assert_eq!(held(&short), [r#"message:1:2 {"id":2}"#]);
    }

    #[test]
    fn the_bots_own_member_is_expected_at_any_setting() {
        let off = expectation(&[("STATE_MEMBER", "off")], 1, &[]).unwrap();
        let truth = [
            ("bot_user", json!({"id": "7"})),
            ("member:1:7", json!({})),
            ("member:1:17", json!({})),
        ];
        let truth = truth.map(|(key, value)| (key.to_owned(), value));
        let held = off.hold(truth.into(), &BTreeMap::new());
        let keys: Vec<&String> = held.keys().collect();
        assert_eq!(keys, ["bot_user", "member:1:7"]);
    }

    #[test]
    fn what_is_switched_off_is_not_expected() {
        let off = expectation(&[("STATE_MESSAGE", "off")], 1, &[]).unwrap();
        assert_eq!(held(&off), Vec::<String>::new());
        assert!(expectation(&[("STATE_ENABLED", "False")], 1, &[]).is_err());
        assert!(expectation(&[("CACHE_LAYOUT", "spectacles")], 1, &[]).is_err());
    }
}
