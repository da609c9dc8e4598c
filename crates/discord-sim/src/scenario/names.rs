//! What a step calls by name: `{question.id}` is the id of what the step `as = "question"` has made or found.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Serialize, de::DeserializeOwned};
use serde_json::Value;

/// What every step can name.
pub(super) const ALWAYS: [&str; 1] = ["bot"];

/// Whether something can be called so.
pub(super) fn is_name(text: &str) -> bool {
    let is_part = |c: char| c.is_ascii_alphanumeric() || c == '_';
    !text.is_empty() && text.chars().all(is_part)
}

/// Whether all that is named is known.
///
/// # Errors
///
/// What is not.
pub(super) fn check(what: &impl Serialize, named: &BTreeSet<String>) -> Result<(), String> {
    let value = serde_json::to_value(what).map_err(|error| error.to_string())?;
    let mut unknown = None;
    visit(&value, &mut |text| {
        for (_, name, _) in references(text) {
            if !named.contains(name) {
                unknown.get_or_insert_with(|| name.to_owned());
            }
        }
    });
    match unknown {
        None => Ok(()),
        Some(name) => Err(format!("no earlier step is called {name:?}")),
    }
}

/// Puts what is named in its place.
///
/// # Errors
///
/// What has no such field.
pub(super) fn fill<T: Serialize + DeserializeOwned>(
    what: &T,
    known: &BTreeMap<String, Value>,
) -> Result<T, String> {
    let mut value = serde_json::to_value(what).map_err(|error| error.to_string())?;
    fill_value(&mut value, known)?;
    serde_json::from_value(value).map_err(|error| error.to_string())
}

pub(super) fn fill_value(value: &mut Value, known: &BTreeMap<String, Value>) -> Result<(), String> {
    match value {
        Value::String(text) => *text = fill_text(text, known)?,
        Value::Array(elements) => {
            for element in elements {
                fill_value(element, known)?;
            }
        }
        Value::Object(fields) => {
            for (_, field) in fields.iter_mut() {
                fill_value(field, known)?;
            }
        }
        _ => {}
    }
    Ok(())
}

pub(super) fn fill_text(text: &str, known: &BTreeMap<String, Value>) -> Result<String, String> {
    let (mut filled, mut from) = (String::new(), 0);
    for (place, name, path) in references(text) {
        let whole = format!("{{{name}.{path}}}");
        let mut found = known.get(name);
        for field in path.split('.') {
            found = found.and_then(|value| match field.parse::<usize>() {
                Ok(index) if value.is_array() => value.get(index),
                _ => value.get(field),
            });
        }
        filled.push_str(&text[from..place]);
        match found {
            None | Some(Value::Null) => return Err(format!("there is no {whole}")),
            Some(Value::String(text)) => filled.push_str(text),
            Some(other) => filled.push_str(&other.to_string()),
        }
        from = place + whole.len();
    }
    filled.push_str(&text[from..]);
    Ok(filled)
}

fn visit(value: &Value, see: &mut impl FnMut(&str)) {
    match value {
        Value::String(text) => see(text),
        Value::Array(elements) => elements.iter().for_each(|element| visit(element, see)),
        Value::Object(fields) => fields.values().for_each(|field| visit(field, see)),
        _ => {}
    }
}

/// Each `{name.path}` in a text with its place. Other braces are text.
fn references(text: &str) -> Vec<(usize, &str, &str)> {
    let mut found = Vec::new();
    let mut from = 0;
    while let Some(start) = text[from..].find('{').map(|place| from + place) {
        from = start + 1;
        let Some(end) = text[from..].find('}').map(|place| from + place) else {
            break;
        };
        if let Some((name, path)) = text[from..end].split_once('.')
            && is_name(name)
            && path.split('.').all(is_name)
        {
            found.push((start, name, path));
            from = end + 1;
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_named_is_filled_in_and_other_braces_stay() {
        let known = BTreeMap::from([(
            "a".to_owned(),
            json!({"id": "1", "n": 2, "list": [{"x": "y"}], "none": null}),
        )]);
        let fill = |text: &str| fill_text(text, &known);
        assert_eq!(
            fill("<{a.id}> {a.n}, {a.list.0.x}!"),
            Ok("<1> 2, y!".to_owned())
        );
        let text = r#"{"k": {}} {a} {a.} {.a} {a b.c} {a.id"#;
        assert_eq!(fill(text), Ok(text.to_owned()));
        assert_eq!(fill("{{a.id}}"), Ok("{1}".to_owned()));
        for missing in ["{a.x}", "{b.id}", "{a.none}", "{a.id.x}"] {
            assert!(fill(missing).unwrap_err().contains(missing));
        }
        let filled = super::fill(&json!({"m": ["{a.id}"], "k": 1}), &known);
        assert_eq!(filled, Ok(json!({"m": ["1"], "k": 1})));
    }

    #[test]
    fn unknown_names_are_found_before_anything_runs() {
        let named = BTreeSet::from(["a".to_owned()]);
        assert!(check(&json!({"m": "{a.id} {x}"}), &named).is_ok());
        let error = check(&json!([{"m": "{b.id}"}]), &named).unwrap_err();
        assert!(error.contains("\"b\""), "{error}");
    }
}
