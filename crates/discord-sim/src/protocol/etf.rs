//! Erlang's external term format, as far as the gateway speaks it: `encoding=etf`.
//!
//! <https://www.erlang.org/doc/apps/erts/erl_ext_dist.html>

use serde_json::{Map, Number, Value};

const VERSION: u8 = 131;
const NEW_FLOAT: u8 = 70;
const SMALL_INTEGER: u8 = 97;
const INTEGER: u8 = 98;
const ATOM: u8 = 100;
const SMALL_TUPLE: u8 = 104;
const LARGE_TUPLE: u8 = 105;
const NIL: u8 = 106;
const STRING: u8 = 107;
const LIST: u8 = 108;
const BINARY: u8 = 109;
const SMALL_BIG: u8 = 110;
const SMALL_ATOM: u8 = 115;
const MAP: u8 = 116;
const ATOM_UTF8: u8 = 118;
const SMALL_ATOM_UTF8: u8 = 119;

/// How deep a client's terms may be nested.
const DEEPEST: usize = 64;

/// Writes a payload as Discord does: what JSON has as names are atoms, and snowflakes are numbers.
pub(crate) fn encode(payload: &Value) -> Vec<u8> {
    let mut bytes = vec![VERSION];
    write(payload, false, &mut bytes);
    bytes
}

fn write(value: &Value, is_id: bool, bytes: &mut Vec<u8>) {
    match value {
        Value::Null => write_atom("nil", bytes),
        Value::Bool(true) => write_atom("true", bytes),
        Value::Bool(false) => write_atom("false", bytes),
        Value::Number(number) => write_number(number, bytes),
        Value::String(text) => match text.parse::<u64>() {
            Ok(id) if is_id => write_unsigned(id, bytes),
            _ => write_binary(text, bytes),
        },
        Value::Array(list) if list.is_empty() => bytes.push(NIL),
        Value::Array(list) => {
            bytes.push(LIST);
            write_length(list.len(), bytes);
            for element in list {
                write(element, is_id, bytes);
            }
            bytes.push(NIL);
        }
        Value::Object(fields) => {
            bytes.push(MAP);
            write_length(fields.len(), bytes);
            for (name, value) in fields {
                if is_name(name) {
                    write_atom(name, bytes);
                } else {
                    write_binary(name, bytes);
                }
                match value {
                    Value::String(event) if name == "t" => write_atom(event, bytes),
                    value => write(value, names_ids(name), bytes),
                }
            }
        }
    }
}

/// Whether it is a name that the protocol gives, and no id or text of a user.
fn is_name(name: &str) -> bool {
    let is_right = |byte: u8| byte.is_ascii_lowercase() || byte == b'_';
    !name.is_empty() && name.len() < 256 && name.bytes().all(is_right)
}

/// Whether a field of this name holds snowflakes. A session's or an activity's id is none, but then no number either.
fn names_ids(name: &str) -> bool {
    let known = [
        "id",
        "ids",
        "roles",
        "mention_roles",
        "applied_tags",
        "exempt_roles",
        "exempt_channels",
    ];
    known.contains(&name) || name.ends_with("_id") || name.ends_with("_ids")
}

fn write_atom(name: &str, bytes: &mut Vec<u8>) {
    bytes.push(ATOM);
    bytes.extend(u16::try_from(name.len()).unwrap_or(0).to_be_bytes());
    bytes.extend(name.as_bytes());
}

fn write_binary(text: &str, bytes: &mut Vec<u8>) {
    bytes.push(BINARY);
    write_length(text.len(), bytes);
    bytes.extend(text.as_bytes());
}

fn write_length(length: usize, bytes: &mut Vec<u8>) {
    bytes.extend(u32::try_from(length).unwrap_or(u32::MAX).to_be_bytes());
}

fn write_number(number: &Number, bytes: &mut Vec<u8>) {
    if let Some(unsigned) = number.as_u64() {
        write_unsigned(unsigned, bytes);
    } else if let Some(signed) = number.as_i64() {
        match i32::try_from(signed) {
            Ok(small) => {
                bytes.push(INTEGER);
                bytes.extend(small.to_be_bytes());
            }
            Err(_) => write_big(signed.unsigned_abs(), true, bytes),
        }
    } else {
        bytes.push(NEW_FLOAT);
        bytes.extend(number.as_f64().unwrap_or_default().to_be_bytes());
    }
}

fn write_unsigned(number: u64, bytes: &mut Vec<u8>) {
    if let Ok(small) = u8::try_from(number) {
        bytes.extend([SMALL_INTEGER, small]);
    } else if let Ok(medium) = i32::try_from(number) {
        bytes.push(INTEGER);
        bytes.extend(medium.to_be_bytes());
    } else {
        write_big(number, false, bytes);
    }
}

fn write_big(magnitude: u64, is_negative: bool, bytes: &mut Vec<u8>) {
    bytes.extend([SMALL_BIG, 8, u8::from(is_negative)]);
    bytes.extend(magnitude.to_le_bytes());
}

/// Reads a client's payload; `None` for what is no term, or none that JSON could say.
pub(crate) fn decode(bytes: &[u8]) -> Option<Value> {
    let mut rest = bytes.strip_prefix(&[VERSION])?;
    read(&mut rest, 0)
}

fn read(rest: &mut &[u8], depth: usize) -> Option<Value> {
    if depth > DEEPEST {
        return None;
    }
    match take::<1>(rest)?[0] {
        SMALL_INTEGER => Some(take::<1>(rest)?[0].into()),
        INTEGER => Some(i32::from_be_bytes(take(rest)?).into()),
        NEW_FLOAT => Number::from_f64(f64::from_be_bytes(take(rest)?)).map(Value::Number),
        SMALL_BIG => read_big(rest),
        ATOM | ATOM_UTF8 => {
            let length = u16::from_be_bytes(take(rest)?);
            Some(atom(text(rest, length.into())?))
        }
        SMALL_ATOM | SMALL_ATOM_UTF8 => {
            let length = take::<1>(rest)?[0];
            Some(atom(text(rest, length.into())?))
        }
        BINARY => {
            let length = read_length(rest)?;
            text(rest, length).map(Value::String)
        }
        NIL => Some(Value::Array(Vec::new())),
        // A list of small numbers.
        STRING => {
            let length = u16::from_be_bytes(take(rest)?);
            let bytes = rest.split_off(..usize::from(length))?;
            Some(bytes.iter().map(|byte| Value::from(*byte)).collect())
        }
        LIST => {
            let length = read_length(rest)?;
            let list = read_all(rest, length, depth)?;
            (take::<1>(rest)?[0] == NIL).then_some(list)
        }
        SMALL_TUPLE => {
            let length = take::<1>(rest)?[0];
            read_all(rest, length.into(), depth)
        }
        LARGE_TUPLE => {
            let length = read_length(rest)?;
            read_all(rest, length, depth)
        }
        MAP => {
            let length = read_length(rest)?;
            let mut fields = Map::new();
            for _ in 0..length {
                // Discord takes no atoms for keys.
                if take::<1>(rest)?[0] != BINARY {
                    return None;
                }
                let length = read_length(rest)?;
                let name = text(rest, length)?;
                fields.insert(name, read(rest, depth + 1)?);
            }
            Some(Value::Object(fields))
        }
        _ => None,
    }
}

fn read_all(rest: &mut &[u8], length: usize, depth: usize) -> Option<Value> {
    (0..length).map(|_| read(rest, depth + 1)).collect()
}

fn read_big(rest: &mut &[u8]) -> Option<Value> {
    let [length, sign] = take(rest)?;
    let digits = rest.split_off(..usize::from(length))?;
    let mut magnitude = 0u64;
    for (place, digit) in digits.iter().enumerate().filter(|(_, digit)| **digit != 0) {
        let shift = u32::try_from(place * 8).ok().filter(|shift| *shift < 64)?;
        magnitude |= u64::from(*digit) << shift;
    }
    match sign {
        0 => Some(magnitude.into()),
        _ => Some(i64::try_from(magnitude).ok()?.checked_neg()?.into()),
    }
}

fn read_length(rest: &mut &[u8]) -> Option<usize> {
    usize::try_from(u32::from_be_bytes(take(rest)?)).ok()
}

fn take<const N: usize>(rest: &mut &[u8]) -> Option<[u8; N]> {
    rest.split_off(..N)?.try_into().ok()
}

fn text(rest: &mut &[u8], length: usize) -> Option<String> {
    String::from_utf8(rest.split_off(..length)?.to_vec()).ok()
}

fn atom(name: String) -> Value {
    match name.as_str() {
        "nil" | "null" | "undefined" => Value::Null,
        "true" => Value::Bool(true),
        "false" => Value::Bool(false),
        _ => Value::String(name),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_was_written_is_read_but_that_ids_are_numbers() {
        let payload = json!({
            "t": "READY", "s": 1, "op": 0,
            "d": {
                "id": "132271575138435072", "name": "12", "role_ids": ["5", "300"], "nothing": null,
                "numbers": [0, 255, 256, -1, 4_000_000_000u64, -4_000_000_000i64, 1.5], "yes": true,
                "resolved": {"132271575138435072": {}}, "empty": [], "text": "naïve",
            },
        });
        // Discord writes atoms for keys, and takes none.
        assert_eq!(decode(&encode(&payload)), None);
        let mut bytes = vec![VERSION];
        write_with_text_keys(&payload, false, &mut bytes);
        let mut read = decode(&bytes).unwrap();
        assert_eq!(read["d"]["id"].take(), json!(132_271_575_138_435_072u64));
        assert_eq!(read["d"]["role_ids"].take(), json!([5, 300]));
        let mut expected = payload.clone();
        (expected["d"]["id"], expected["d"]["role_ids"]) = (Value::Null, Value::Null);
        assert_eq!(read, expected);
    }

    /// Writes a payload as a client has to.
    fn write_with_text_keys(value: &Value, is_id: bool, bytes: &mut Vec<u8>) {
        match value {
            Value::Object(fields) => {
                bytes.push(MAP);
                write_length(fields.len(), bytes);
                for (name, value) in fields {
                    write_binary(name, bytes);
                    write_with_text_keys(value, names_ids(name), bytes);
                }
            }
            other => write(other, is_id, bytes),
        }
    }

    #[test]
    fn a_term_of_erlangs_own_documentation() {
        let bytes = [131, 116, 0, 0, 0, 1, 109, 0, 0, 0, 2, 111, 112, 97, 1];
        assert_eq!(decode(&bytes), Some(json!({"op": 1})));
        assert_eq!(
            encode(&json!({"op": 1})),
            [131, 116, 0, 0, 0, 1, 100, 0, 2, 111, 112, 97, 1]
        );
    }

    #[test]
    fn nonsense_is_no_term() {
        for bytes in [
            &[][..],
            &[131],
            &[131, 108, 255, 255, 255, 255],
            &[130, 97, 1],
            &[131, 116, 0, 0, 0, 1, 97, 1, 97, 1],
        ] {
            assert_eq!(decode(bytes), None, "{bytes:?}");
        }
        let mut deep = vec![131];
        deep.extend([104, 1].repeat(1_000));
        assert_eq!(decode(&deep), None);
    }
}
