//! Reading fields one by one, so that each has an error of its own.

use std::{borrow::Cow, collections::BTreeMap, fmt};

use serde::{
    Deserialize, Deserializer,
    de::{Error as _, MapAccess, Visitor},
};
use serde_json::value::RawValue;

use super::Refusal;

/// Longest excerpt of a wrong value in an error, in characters.
const EXCERPT: usize = 40;

/// Reads an object. `what` names it in errors.
pub(super) fn object<'a, T: Deserialize<'a>>(
    json: &'a str,
    what: &'static str,
) -> Result<T, Refusal> {
    let invalid = |source| Refusal::Json { what, source };
    let raw: &RawValue = serde_json::from_str(json).map_err(invalid)?;
    // A list would do as well for the parser: it takes the fields by their position.
    if !raw.get().starts_with('{') {
        return Err(wrong_type(raw, what, "an object"));
    }
    serde_json::from_str(raw.get()).map_err(invalid)
}

/// An object's fields, each as it was written; one that is there twice makes the object unreadable.
#[derive(Debug)]
pub(super) struct Fields<'a>(BTreeMap<String, &'a RawValue>);

impl<'a> Fields<'a> {
    /// A field that must be there, though perhaps as null.
    pub(super) fn required(&self, field: &'static str) -> Result<&'a RawValue, Refusal> {
        self.0.get(field).copied().ok_or(Refusal::Missing(field))
    }

    /// A field that may be absent or null.
    pub(super) fn optional(&self, field: &str) -> Option<&'a RawValue> {
        self.0.get(field).copied().filter(|raw| !is_null(raw))
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Fields<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Each;

        impl<'de> Visitor<'de> for Each {
            type Value = BTreeMap<String, &'de RawValue>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut fields = BTreeMap::new();
                while let Some(name) = map.next_key::<String>()? {
                    if fields.contains_key(&name) {
                        return Err(A::Error::custom(format!("duplicate field `{name}`")));
                    }
                    fields.insert(name, map.next_value()?);
                }
                Ok(fields)
            }
        }

        deserializer.deserialize_map(Each).map(Self)
    }
}

/// Whether a value is null.
pub(super) fn is_null(raw: &RawValue) -> bool {
    raw.get() == "null"
}

/// Reads a whole number from 0.
pub(super) fn number(raw: &RawValue, field: &'static str) -> Result<u64, Refusal> {
    read(raw, field, "a whole number from 0")
}

/// Reads a value of a type that JSON has; `expected` names it.
pub(super) fn read<'a, T: Deserialize<'a>>(
    raw: &'a RawValue,
    field: &'static str,
    expected: &'static str,
) -> Result<T, Refusal> {
    serde_json::from_str(raw.get()).map_err(|_| wrong_type(raw, field, expected))
}

/// Reads one of Discord's ids: a string, or a number for senders that write it so.
pub(super) fn snowflake(raw: &RawValue, field: &'static str) -> Result<u64, Refusal> {
    let text = if raw.get().starts_with('"') {
        serde_json::from_str::<Cow<'_, str>>(raw.get()).map_err(|source| Refusal::Json {
            what: field,
            source,
        })?
    } else if raw
        .get()
        .starts_with(|c: char| c == '-' || c.is_ascii_digit())
    {
        Cow::Borrowed(raw.get())
    } else {
        return Err(wrong_type(raw, field, "an id (a string or a number)"));
    };
    let digits = text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse()
        .ok()
        .filter(|id| digits && *id != 0)
        .ok_or_else(|| Refusal::NotASnowflake {
            field,
            found: excerpt(raw),
        })
}

/// Reads a list of Discord's ids.
pub(super) fn snowflakes(raw: &RawValue, field: &'static str) -> Result<Vec<u64>, Refusal> {
    let ids: Vec<&RawValue> = read(raw, field, "a list of ids")?;
    ids.into_iter().map(|raw| snowflake(raw, field)).collect()
}

/// The refusal of a value of another type, or of one that is not among the allowed ones.
pub(super) fn wrong_type(raw: &RawValue, field: &'static str, expected: &'static str) -> Refusal {
    Refusal::WrongType {
        field,
        expected,
        found: excerpt(raw),
    }
}

fn excerpt(raw: &RawValue) -> String {
    let mut characters = raw.get().chars();
    let mut text: String = characters.by_ref().take(EXCERPT).collect();
    if characters.next().is_some() {
        text.push('…');
    }
    text
}
