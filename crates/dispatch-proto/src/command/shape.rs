//! Reading fields one by one, so that each has an error of its own.

use std::borrow::Cow;

use serde::Deserialize;
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

/// Reads a whole number from 0.
pub(super) fn number(raw: &RawValue, field: &'static str) -> Result<u64, Refusal> {
    serde_json::from_str(raw.get()).map_err(|_| wrong_type(raw, field, "a whole number from 0"))
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

/// The refusal of a value of another type.
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
