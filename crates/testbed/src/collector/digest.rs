//! Digests, so that a long run needs no memory for bodies.

use std::hash::{DefaultHasher, Hash, Hasher};

use serde_json::Value;

/// Digest of bytes.
#[must_use]
pub fn bytes(bytes: &[u8]) -> u64 {
    let mut hasher = DefaultHasher::new();
    bytes.hash(&mut hasher);
    hasher.finish()
}

/// Digest of a JSON value: the same for the same value, whatever the order of its fields and its white space.
#[must_use]
pub fn value(value: &Value) -> u64 {
    let mut hasher = DefaultHasher::new();
    match value {
        Value::Array(items) => {
            b'['.hash(&mut hasher);
            items
                .iter()
                .map(self::value)
                .for_each(|item| item.hash(&mut hasher));
        }
        Value::Object(fields) => {
            b'{'.hash(&mut hasher);
            // A sum doesn't depend on the order.
            let fields = fields
                .iter()
                .map(|(name, field)| bytes_and(name, self::value(field)));
            fields.fold(0_u64, u64::wrapping_add).hash(&mut hasher);
        }
        // The type is in the text: `"1"` keeps its quotes.
        scalar => scalar.to_string().hash(&mut hasher),
    }
    hasher.finish()
}

fn bytes_and(name: &str, digest: u64) -> u64 {
    let mut hasher = DefaultHasher::new();
    (name, digest).hash(&mut hasher);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn only_what_json_calls_the_same_has_the_same_digest() {
        let one = json!({"a": 1, "b": [null, {"c": "x"}]});
        let other: Value = serde_json::from_str(r#"{"b":[null,{"c":"x"}], "a":1}"#).unwrap();
        assert_eq!(value(&one), value(&other));
        for different in [
            json!({"a": "1", "b": [null, {"c": "x"}]}),
            json!({"a": 1, "b": [{"c": "x"}, null]}),
            json!({"a": 1, "b": [null, {"c": null}]}),
            json!({"a": 1}),
        ] {
            assert_ne!(value(&one), value(&different), "{different}");
        }
        assert_ne!(value(&json!({})), value(&json!([])));
    }
}
