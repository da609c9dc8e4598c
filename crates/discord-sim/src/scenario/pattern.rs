//! What a request, a message or a command must look like.

use serde_json::Value;

/// Whether a text is as a pattern says: `*` stands for any text, also for none.
pub(super) fn matches_text(pattern: &str, text: &str) -> bool {
    let mut parts = pattern.split('*');
    let Some(rest) = text.strip_prefix(parts.next().unwrap_or_default()) else {
        return false;
    };
    let mut parts: Vec<&str> = parts.collect();
    let Some(last) = parts.pop() else {
        return rest.is_empty();
    };
    let mut rest = rest;
    for part in parts {
        let Some(place) = rest.find(part) else {
            return false;
        };
        rest = &rest[place + part.len()..];
    }
    rest.ends_with(last)
}

/// Whether a path is as a pattern says: `*` stands for any one segment, or within one for any text; `**` at the end for any
/// number of them.
pub(super) fn matches_path(pattern: &str, path: &str) -> bool {
    let (pattern, open) = match pattern.strip_suffix("/**") {
        Some(start) => (start, true),
        None => (pattern, false),
    };
    let segments = |path: &str| -> Vec<String> {
        path.trim_matches('/')
            .split('/')
            .map(str::to_owned)
            .collect()
    };
    let (meant, there) = (segments(pattern), segments(path));
    let fits = if open {
        there.len() >= meant.len()
    } else {
        there.len() == meant.len()
    };
    fits && meant
        .iter()
        .zip(&there)
        .all(|(meant, there)| matches_text(meant, there))
}

/// Whether a value has all that a pattern has: of an object each field named, of a list each element, texts with `*`.
pub(super) fn matches(pattern: &Value, value: &Value) -> bool {
    match (pattern, value) {
        (Value::Object(pattern), Value::Object(value)) => pattern
            .iter()
            .all(|(name, pattern)| value.get(name).is_some_and(|value| matches(pattern, value))),
        (Value::Array(pattern), Value::Array(value)) => {
            pattern.len() == value.len()
                && pattern
                    .iter()
                    .zip(value)
                    .all(|(pattern, value)| matches(pattern, value))
        }
        (Value::String(pattern), Value::String(text)) => matches_text(pattern, text),
        (Value::Number(pattern), Value::Number(number)) => {
            pattern == number || pattern.as_f64() == number.as_f64()
        }
        _ => pattern == value,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_star_is_any_text() {
        for (pattern, text) in [
            ("pong", "pong"),
            ("*", ""),
            ("po*", "pong"),
            ("*ng", "pong"),
            ("p*n*", "pong"),
            ("*on*", "pong"),
            ("a*a", "aa"),
            ("a*b*b", "abb"),
        ] {
            assert!(matches_text(pattern, text), "{pattern} {text}");
        }
        for (pattern, text) in [("pong", "pongs"), ("a*a", "a"), ("a*b*b", "ab"), ("", "a")] {
            assert!(!matches_text(pattern, text), "{pattern} {text}");
        }
    }

    #[test]
    fn a_star_is_one_segment_of_a_path() {
        assert!(matches_path("/channels/*/messages", "/channels/1/messages"));
        assert!(!matches_path(
            "/channels/*/messages",
            "/channels/1/messages/2"
        ));
        assert!(!matches_path("/channels/*", "/channels"));
        assert!(matches_path("/channels/**", "/channels/1/messages/2"));
        assert!(matches_path(
            "/webhooks/*/*/messages/@original",
            "/webhooks/1/t/messages/@original"
        ));
        assert!(matches_path("/users/@*", "/users/@me"));
        assert!(!matches_path("/guilds/**", "/channels/1"));
    }

    #[test]
    fn a_value_may_have_more_fields_but_no_more_elements() {
        let value = json!({"a": 1, "b": {"c": "text", "d": null}, "e": [{"f": 1, "g": 2}]});
        for pattern in [
            json!({}),
            json!({"a": 1.0}),
            json!({"b": {"c": "t*"}}),
            json!({"e": [{"g": 2}]}),
        ] {
            assert!(matches(&pattern, &value), "{pattern}");
        }
        for pattern in [
            json!({"x": null}),
            json!({"a": "1"}),
            json!({"b": {"d": 0}}),
            json!({"e": []}),
            json!([]),
        ] {
            assert!(!matches(&pattern, &value), "{pattern}");
        }
    }
}
