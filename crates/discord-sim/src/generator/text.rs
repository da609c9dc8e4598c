//! JSON text in the ways a sender may write it.

use std::io::{self, Write};

use serde::Serialize;
use serde_json::{
    Serializer, Value, json,
    ser::{Formatter, PrettyFormatter},
};

use crate::world::compact;

/// The text of a payload: mostly compact, once in 64 times indented, once in 64 times in ASCII only.
pub(super) fn render(value: &impl Serialize, whim: u32) -> String {
    let mut bytes = Vec::with_capacity(1_024);
    let written = match whim % 64 {
        0 => value.serialize(&mut Serializer::with_formatter(
            &mut bytes,
            PrettyFormatter::new(),
        )),
        1 => value.serialize(&mut Serializer::with_formatter(&mut bytes, Ascii)),
        _ => value.serialize(&mut Serializer::new(&mut bytes)),
    };
    match written.map(|()| String::from_utf8(bytes)) {
        Ok(Ok(text)) => text,
        _ => compact(value),
    }
}

/// The object with a field that no library knows.
pub(super) fn with_future(object: &impl Serialize, whim: u32) -> Value {
    let mut object = json!(object);
    if let Some(fields) = object.as_object_mut() {
        fields.insert("x_future".to_owned(), future(whim));
    }
    object
}

/// A value that no library has a type for.
fn future(whim: u32) -> Value {
    match whim % 5 {
        0 => Value::Null,
        1 => json!({"level": 3, "tags": ["ä", "b"], "nested": {"id": "41771983423143937"}}),
        2 => json!(0.25),
        3 => json!(u64::MAX),
        _ => json!([1.0, -7, "seven", null, {"x_future": true}]),
    }
}

/// Escapes all that is not ASCII, as many encoders do.
struct Ascii;

impl Formatter for Ascii {
    fn write_string_fragment<W>(&mut self, writer: &mut W, fragment: &str) -> io::Result<()>
    where
        W: ?Sized + Write,
    {
        for character in fragment.chars() {
            if character.is_ascii() {
                writer.write_all(&[character as u8])?;
                continue;
            }
            let mut units = [0; 2];
            for unit in character.encode_utf16(&mut units) {
                write!(writer, "\\u{unit:04x}")?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn every_style_means_the_same() {
        let value = json!({"name": "café 👩‍💻 \"x\"", "n": [1.0, u64::MAX, null], "f": future(1)});
        let texts: Vec<String> = (0..3).map(|whim| render(&value, whim)).collect();
        assert_ne!(texts[0], texts[1]);
        assert!(texts[1].is_ascii());
        for text in texts {
            assert_eq!(serde_json::from_str::<Value>(&text).unwrap(), value);
        }
    }
}
