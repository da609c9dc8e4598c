//! The envelope of a gateway payload: its outer keys, found without reading the data.

use std::borrow::Cow;

/// The outer keys of a gateway payload, whatever their order.
///
/// Discord writes `t`, `s` and `op` before `d`, but JSON has no order, and `d` may hold keys of the same names.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Envelope<'a> {
    /// Opcode.
    pub op: Option<u8>,
    /// Sequence.
    pub sequence: Option<u64>,
    /// Event name.
    pub name: Option<Cow<'a, str>>,
    /// Data, as text. It is looked for only if something else has not been found before it.
    data: Option<&'a str>,
    text: &'a str,
}

impl<'a> Envelope<'a> {
    /// Reads the outer keys. What comes after a fault is not seen; a payload that is no JSON object has none.
    #[must_use]
    pub fn read(text: &'a str) -> Self {
        let mut envelope = Self {
            text,
            ..Self::default()
        };
        let mut scanner = Scanner { text, at: 0 };
        envelope.read_members(&mut scanner, |envelope| envelope.is_complete());
        envelope
    }

    /// The data as text, if it is whole as far as brackets and quotes tell; `null` where there is none.
    #[must_use]
    pub fn data(&self) -> &'a str {
        let found = self.data.or_else(|| {
            let mut again = Self::default();
            let text = self.text;
            again.read_members(&mut Scanner { text, at: 0 }, |again| again.data.is_some());
            again.data
        });
        found.unwrap_or("null")
    }

    fn is_complete(&self) -> bool {
        self.op.is_some() && self.sequence.is_some() && self.name.is_some()
    }

    fn read_members(&mut self, scanner: &mut Scanner<'a>, enough: impl Fn(&Self) -> bool) {
        if scanner.token() != Some(b'{') {
            return;
        }
        while let Some((key, value)) = scanner.member() {
            match &*key {
                "op" => self.op = value.parse().ok(),
                "s" => self.sequence = value.parse().ok(),
                "t" => self.name = string(value),
                "d" => self.data = Some(value),
                _ => {}
            }
            if enough(self) || scanner.token() != Some(b',') {
                return;
            }
        }
    }
}

/// The text of a JSON string; `None` if it is something else.
fn string(value: &str) -> Option<Cow<'_, str>> {
    let inner = value.strip_prefix('"')?.strip_suffix('"')?;
    if inner.contains('\\') {
        return serde_json::from_str(value).ok().map(Cow::Owned);
    }
    Some(Cow::Borrowed(inner))
}

struct Scanner<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Scanner<'a> {
    fn peek(&mut self) -> Option<u8> {
        let bytes = self.text.as_bytes();
        while bytes.get(self.at).is_some_and(u8::is_ascii_whitespace) {
            self.at += 1;
        }
        bytes.get(self.at).copied()
    }

    /// The next byte that is not white space.
    fn token(&mut self) -> Option<u8> {
        let byte = self.peek()?;
        self.at += 1;
        Some(byte)
    }

    /// The next key and the text of its value.
    fn member(&mut self) -> Option<(Cow<'a, str>, &'a str)> {
        if self.peek()? != b'"' {
            return None;
        }
        let key = string(self.value()?)?;
        if self.token()? != b':' {
            return None;
        }
        Some((key, self.value()?))
    }

    /// The text of the next value.
    fn value(&mut self) -> Option<&'a str> {
        self.peek()?;
        let bytes = self.text.as_bytes();
        let start = self.at;
        let mut depth = 0_usize;
        while let Some(byte) = bytes.get(self.at) {
            match byte {
                b'"' => {
                    self.skip_string()?;
                    if depth == 0 {
                        break;
                    }
                    continue;
                }
                b'{' | b'[' => depth += 1,
                b'}' | b']' | b',' if depth == 0 => break,
                b'}' | b']' => {
                    depth -= 1;
                    if depth == 0 {
                        self.at += 1;
                        break;
                    }
                }
                _ => {}
            }
            self.at += 1;
        }
        // All that ends a value is ASCII.
        let value = self.text.get(start..self.at)?.trim_end();
        (depth == 0 && !value.is_empty()).then_some(value)
    }

    /// Goes from a quote to behind the one that ends its string.
    fn skip_string(&mut self) -> Option<()> {
        let bytes = self.text.as_bytes();
        self.at += 1;
        loop {
            match bytes.get(self.at)? {
                b'"' => break,
                b'\\' => self.at += 2,
                _ => self.at += 1,
            }
        }
        self.at += 1;
        Some(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;

    fn outer(text: &str) -> (Option<u8>, Option<u64>, Option<String>) {
        let envelope = Envelope::read(text);
        (
            envelope.op,
            envelope.sequence,
            envelope.name.map(Cow::into_owned),
        )
    }

    #[test]
    fn inner_keys_are_not_taken_for_outer_ones() {
        let event = (Some(0), Some(5), Some("MESSAGE_CREATE".to_owned()));
        for text in [
            r#"{"t":"MESSAGE_CREATE","s":5,"op":0,"d":{"op":7,"s":1,"t":"X"}}"#,
            r#"{"d":{"op":7,"s":1,"t":"X"},"op":0,"s":5,"t":"MESSAGE_CREATE"}"#,
            r#"{"op":0,"d":{"a":[{"op":7}],"b":"}\",\"op\":7"},"t":"MESSAGE_CREATE","s":5}"#,
            " { \"d\" : [ { \"op\" : 7 } ] ,\n\"s\" : 5 , \"t\" : \"MESSAGE_CREATE\", \"op\" : 0 } ",
            r#"{"d":"\\","op":0,"s":5,"t":"MESSAGE\u005fCREATE"}"#,
            r#"{"d":null,"o\u0070":0,"s":5,"t":"MESSAGE_CREATE"}"#,
        ] {
            assert_eq!(outer(text), event, "{text}");
        }
        assert_eq!(
            outer(r#"{"t":null,"s":null,"op":7,"d":null}"#),
            (Some(7), None, None)
        );
        assert_eq!(outer(r#"{"d":{"op":7}}"#), (None, None, None));
    }

    #[test]
    fn what_comes_before_a_fault_is_read() {
        let place = (Some(0), Some(5), Some("X".to_owned()));
        assert_eq!(outer(r#"{"t":"X","s":5,"op":0,"d":{"#), place);
        assert_eq!(outer(r#"{"s":5,"d":{"#), (None, Some(5), None));
        for text in [
            "",
            "[]",
            "7",
            "{",
            "{\"",
            "{\"op",
            "{\"op\":",
            "{\"op\"}",
            "{\"op\":}",
            "{\\",
        ] {
            assert_eq!(outer(text), (None, None, None), "{text}");
        }
        assert_eq!(outer(r#"{"op":7"#), (Some(7), None, None));
        assert_eq!(outer(r#"{"op":300,"s":-1,"t":5}"#), (None, None, None));
    }

    #[test]
    fn data_is_found_on_either_side() {
        let data = |text| Envelope::read(text).data();
        assert_eq!(
            data(r#"{"d":{"a": 1},"op":0,"s":1,"t":"X"}"#),
            r#"{"a": 1}"#
        );
        assert_eq!(data(r#"{"op":0,"s":1,"t":"X","d": true }"#), "true");
        assert_eq!(data(r#"{"op":0,"s":1,"t":"X"}"#), "null");
        assert_eq!(data(r#"{"op":0,"s":1,"t":"X","d":{"#), "null");
    }

    fn value() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            r#"[a-z"\\{}\[\]:,é]{0,6}"#.prop_map(Value::from),
        ];
        leaf.prop_recursive(3, 24, 4, |inner| {
            let key = prop::sample::select(vec!["op", "s", "t", "d", "x\"y"]);
            let members =
                prop::collection::btree_map(key.prop_map(str::to_owned), inner.clone(), 0..4);
            prop_oneof![
                prop::collection::vec(inner, 0..4).prop_map(Value::from),
                members.prop_map(Value::from_iter),
            ]
        })
    }

    proptest! {
        #[test]
        fn any_order_and_any_data(
            op: u8,
            sequence: u64,
            name in r#"[A-Z_"\\]{1,9}"#,
            data in value(),
            spaces in prop::sample::select(vec!["", " ", "\n\t"]),
            order in Just([0, 1, 2, 3, 4]).prop_shuffle(),
        ) {
            let members = [
                ("op", json!(op)), ("s", json!(sequence)), ("t", json!(name)), ("d", data.clone()),
                ("other", data.clone()),
            ];
            let texts: Vec<String> = order.iter().map(|index| {
                let (key, value) = &members[*index];
                format!("{spaces}\"{key}\"{spaces}:{spaces}{value}{spaces}")
            }).collect();
            let text = format!("{{{}}}", texts.join(","));
            prop_assert_eq!(outer(&text), (Some(op), Some(sequence), Some(name)));
            let found: Value = serde_json::from_str(Envelope::read(&text).data()).unwrap();
            prop_assert_eq!(found, data);
        }

        #[test]
        fn no_text_panics(text in r#"[{}\[\]",:\\opstd0é ]{0,20}"#) {
            let _ = Envelope::read(&text).data();
        }
    }
}
