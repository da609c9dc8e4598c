//! Payloads that are not what they should be: fields missing, null, of another type.

use serde_json::{Value, json};

/// How deep fields are looked for.
const DEPTH: u32 = 2;

/// Every payload that differs from `d` in one field, down to the objects inside it and inside its lists' first elements;
/// fields named in `keep` stay as they are.
pub(crate) fn of(d: &Value, keep: &[&str]) -> Vec<Value> {
    let mut mutants = Vec::new();
    mutate(d, DEPTH, keep, &mut |mutant| mutants.push(mutant));
    mutants
}

/// What no rule can use.
pub(crate) fn no_objects() -> [Value; 6] {
    [
        json!(null),
        json!([]),
        json!("text"),
        json!(7.5),
        json!(true),
        json!({}),
    ]
}

fn mutate(value: &Value, depth: u32, keep: &[&str], tell: &mut dyn FnMut(Value)) {
    let fields = match value {
        Value::Object(fields) => fields,
        Value::Array(elements) => {
            let Some(first) = elements.first() else {
                return;
            };
            let with = |mutant| {
                let mut elements = elements.clone();
                elements[0] = mutant;
                Value::Array(elements)
            };
            for wrong in [json!(null), json!("text"), json!(7), json!({})] {
                tell(with(wrong));
            }
            return mutate(first, depth, keep, &mut |mutant| tell(with(mutant)));
        }
        _ => return,
    };
    for (name, field) in fields
        .iter()
        .filter(|(name, _)| !keep.contains(&name.as_str()))
    {
        let mut without = fields.clone();
        without.shift_remove(name);
        tell(Value::Object(without));
        let mut with = |mutant| {
            let mut fields = fields.clone();
            fields.insert(name.clone(), mutant);
            tell(Value::Object(fields));
        };
        with(Value::Null);
        for other in others(field) {
            with(other);
        }
        if depth > 1 {
            mutate(field, depth - 1, &[], &mut with);
        }
    }
}

/// Values of other types.
fn others(value: &Value) -> Vec<Value> {
    match value {
        Value::String(_) => vec![json!("not what it was"), json!(-1), json!({"a": [null]})],
        Value::Number(_) => vec![json!("x"), json!(1.5), json!([])],
        Value::Bool(_) => vec![json!("x"), json!(0)],
        Value::Array(_) => vec![json!({}), json!("x"), json!([[], null, 1])],
        Value::Object(_) => vec![json!([]), json!("x"), json!({})],
        Value::Null => vec![json!({}), json!("x"), json!([1])],
    }
}
