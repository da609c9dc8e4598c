//! What changed between `old` and `d`.

use serde_json::Value;

/// One field that changed.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Change {
    /// Path of the field, names separated by dots.
    pub(super) field: String,
    /// Its value before; `None` if it was not there.
    pub(super) old: Option<Value>,
    /// Its value now; `None` if it has gone.
    pub(super) new: Option<Value>,
}

/// The fields that differ. A field that `new` doesn't have keeps its value: Discord sends what changed. Inside a nested
/// object or list, which Discord sends whole, it has gone.
pub(super) fn between(old: &Value, new: &Value) -> Vec<Change> {
    let mut changes = Vec::new();
    match (old, new) {
        (Value::Object(old), Value::Object(new)) => {
            for (name, value) in new {
                compare(name, old.get(name), Some(value), &mut changes);
            }
        }
        // The event's list is in a field of its own, named after what it holds.
        (Value::Array(_), Value::Object(new)) => {
            if let Some((name, list)) = new.iter().find(|(_, value)| value.is_array()) {
                compare(name, Some(old), Some(list), &mut changes);
            }
        }
        _ => compare("", Some(old), Some(new), &mut changes),
    }
    changes
}

fn compare(field: &str, old: Option<&Value>, new: Option<&Value>, changes: &mut Vec<Change>) {
    if old == new {
        return;
    }
    match (old, new) {
        (Some(Value::Object(old)), Some(Value::Object(new))) => {
            for (name, value) in new {
                compare(
                    &format!("{field}.{name}"),
                    old.get(name),
                    Some(value),
                    changes,
                );
            }
            // The cache adds the guild to what Discord nests in one.
            let gone = |name: &String| !new.contains_key(name) && name != "guild_id";
            for (name, value) in old.iter().filter(|(name, _)| gone(name)) {
                compare(&format!("{field}.{name}"), Some(value), None, changes);
            }
        }
        (Some(Value::Array(old)), Some(Value::Array(new))) => {
            compare_lists(field, old, new, changes);
        }
        _ => changes.push(Change {
            field: field.to_owned(),
            old: old.cloned(),
            new: new.cloned(),
        }),
    }
}

/// Elements with an `id` are matched by it, others by value.
fn compare_lists(field: &str, old: &[Value], new: &[Value], changes: &mut Vec<Change>) {
    let same = |a: &Value, b: &Value| match (a.get("id"), b.get("id")) {
        (Some(a), Some(b)) => a == b,
        _ => a == b,
    };
    let label = |element: &Value| match element.get("id").and_then(Value::as_str) {
        Some(id) => format!("{field}[{id}]"),
        None => format!("{field}[]"),
    };
    let before = changes.len();
    for element in old {
        match new.iter().find(|other| same(element, other)) {
            Some(other) => compare(&label(element), Some(element), Some(other), changes),
            None => compare(&label(element), Some(element), None, changes),
        }
    }
    for element in new
        .iter()
        .filter(|element| !old.iter().any(|other| same(element, other)))
    {
        compare(&label(element), None, Some(element), changes);
    }
    if changes.len() == before {
        changes.push(Change {
            field: format!("{field} (order)"),
            old: None,
            new: None,
        });
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn fields(old: Value, new: Value) -> Vec<String> {
        let show = |value: Option<Value>| value.map_or("-".to_owned(), |value| value.to_string());
        between(&old, &new)
            .into_iter()
            .map(|change| format!("{} {} {}", change.field, show(change.old), show(change.new)))
            .collect()
    }

    #[test]
    fn fields_that_are_absent_have_not_changed() {
        let old = json!({"a": 1, "b": 2, "user": {"name": "x", "bot": true}});
        let new = json!({"a": 2, "c": 3, "user": {"name": "y"}});
        let expected = ["a 1 2", "c - 3", r#"user.name "x" "y""#, "user.bot true -"];
        assert_eq!(fields(old, new), expected);
    }

    #[test]
    fn lists_are_compared_by_id_or_value() {
        let old = json!({"roles": ["1", "2"], "same": [1]});
        let new = json!({"roles": ["2", "3"], "same": [1]});
        assert_eq!(fields(old, new), [r#"roles[] "1" -"#, r#"roles[] - "3""#]);
        let old = json!([{"id": "1", "name": "a", "guild_id": "9"}, {"id": "2", "name": "b"}]);
        let new = json!({"guild_id": "9", "emojis": [{"id": "1", "name": "c"}]});
        assert_eq!(
            fields(old, new),
            [
                r#"emojis[1].name "a" "c""#,
                r#"emojis[2] {"id":"2","name":"b"} -"#
            ]
        );
        assert_eq!(
            fields(json!({"a": [1, 2]}), json!({"a": [2, 1]})),
            ["a (order) - -"]
        );
    }
}
