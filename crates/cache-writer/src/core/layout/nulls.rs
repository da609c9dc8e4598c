//! JSON text without the fields that are null.

use std::{borrow::Cow, collections::BTreeSet};

use crate::core::object::{Object, ObjectWriter, elements};

/// How deep nulls are looked for; deeper values stay as they are.
const DEPTH: usize = 32;

/// A field of roles in which null means true, and absence false (Discord, permissions page, "Role Tags
/// Structure").
const MEANT: &str = "tags";

/// Takes fields that are null out of an object and of the objects inside it, but for a role's tags. Elements
/// of arrays stay: leaving one out would move the others.
pub(super) fn without_nulls(text: &str) -> Cow<'_, str> {
    strip(text, DEPTH)
}

fn strip(text: &str, depth: usize) -> Cow<'_, str> {
    if depth == 0 || !text.contains("null") {
        return Cow::Borrowed(text);
    }
    if let Some(object) = text.starts_with('{').then(|| Object::parse(text)).flatten() {
        let mut writer = ObjectWriter::with_capacity(text.len());
        let nulls = null_fields(&object);
        for (name, value) in object.fields().filter(|(name, _)| !nulls.contains(name)) {
            if depth == DEPTH && name == MEANT {
                writer.field(name, value);
            } else {
                writer.field(name, &strip(value, depth - 1));
            }
        }
        return Cow::Owned(writer.finish());
    }
    match text.starts_with('[').then(|| elements(text)).flatten() {
        Some(elements) => {
            let elements: Vec<_> = elements
                .into_iter()
                .map(|element| strip(element, depth - 1))
                .collect();
            Cow::Owned(format!("[{}]", elements.join(",")))
        }
        None => Cow::Borrowed(text),
    }
}

/// Names of the fields that are null. Where a name repeats, the last one counts.
fn null_fields<'o>(object: &'o Object<'_>) -> BTreeSet<&'o str> {
    let mut nulls = BTreeSet::new();
    for (name, value) in object.fields() {
        if value == "null" {
            nulls.insert(name);
        } else {
            nulls.remove(name);
        }
    }
    nulls
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nulls_go_at_every_level_but_not_from_arrays() {
        for (text, expected) in [
            (r#"{"a":1}"#, r#"{"a":1}"#),
            (r#"{"a":null,"b":1.0}"#, r#"{"b":1.0}"#),
            (
                r#"{"a":{"b":null},"c":[null,{"d":null}]}"#,
                r#"{"a":{},"c":[null,{}]}"#,
            ),
            (r#"{"a":"null"}"#, r#"{"a":"null"}"#),
            (r#"{"a":1,"b":2,"a":null}"#, r#"{"b":2}"#),
        ] {
            assert_eq!(without_nulls(text), expected);
        }
    }

    #[test]
    fn nulls_that_mean_something_stay() {
        for (text, expected) in [
            (
                r#"{"icon":null,"tags":{"premium_subscriber":null},"x":{"tags":{"y":null}}}"#,
                r#"{"tags":{"premium_subscriber":null},"x":{"tags":{}}}"#,
            ),
            (r#"{"tags":null}"#, "{}"),
        ] {
            assert_eq!(without_nulls(text), expected);
        }
    }

    #[test]
    fn deep_nesting_ends() {
        let text = format!("{}null{}", "[".repeat(5_000), "]".repeat(5_000));
        assert_eq!(without_nulls(&text), text);
    }
}
