//! Reading terms.

use thiserror::Error;

use super::{VERSION, tag};
use crate::codec::MAX_DEPTH;

/// Why a body can't be read as a term.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum EtfError {
    /// The body does not begin with the version byte.
    #[error("it does not begin with 131")]
    NotATerm,
    /// A compressed term. Nobody sends one to a gateway, and its size is not known before it is unpacked.
    #[error("compressed terms are not taken")]
    Compressed,
    /// The body ends before its term does.
    #[error("it is cut off")]
    CutOff,
    /// The body goes on after its term.
    #[error("{0} bytes follow the term")]
    Trailing(usize),
    /// Nested deeper than [`MAX_DEPTH`].
    #[error("it is nested more than {MAX_DEPTH} deep")]
    TooDeep,
    /// A term that JSON has no form for (a process, a reference, a function …).
    #[error("a term with tag {0} has no form in json")]
    Tag(u8),
    /// A map key that is neither text, an atom nor an integer.
    #[error("a term with tag {0} can't be a key")]
    Key(u8),
    /// A binary or atom that is not UTF-8.
    #[error("a binary is not utf-8")]
    NotText,
    /// A float that is not a finite number.
    #[error("a float is not a finite number")]
    Float,
    /// An integer of more than 128 bits.
    #[error("an integer has more than 128 bits")]
    Integer,
    /// A list that ends in something other than the empty list.
    #[error("a list has a tail")]
    ImproperList,
}

/// Reads a term as JSON text.
///
/// Beyond what is written here, read are: all forms of atoms (`nil` and `null` are null, `true` and `false` booleans,
/// others text), tuples as lists, the old textual float, lists of small integers in their short form (tag 107: in Erlang
/// that is a list of numbers, so it is one here), integers of up to 128 bits, and keys that are atoms or integers.
pub(crate) fn decode(body: &[u8]) -> Result<String, EtfError> {
    let rest = body.strip_prefix(&[VERSION]).ok_or(EtfError::NotATerm)?;
    let mut reader = Reader {
        rest,
        json: Vec::with_capacity(body.len() + body.len() / 4),
    };
    reader.term(0)?;
    match reader.rest.len() {
        0 => String::from_utf8(reader.json).map_err(|_| EtfError::NotText),
        trailing => Err(EtfError::Trailing(trailing)),
    }
}

struct Reader<'a> {
    rest: &'a [u8],
    json: Vec<u8>,
}

impl<'a> Reader<'a> {
    fn term(&mut self, depth: usize) -> Result<(), EtfError> {
        let tag = self.byte()?;
        match tag {
            tag::SMALL_INTEGER | tag::INTEGER | tag::SMALL_BIG | tag::LARGE_BIG => {
                let integer = self.integer(tag)?;
                self.json.extend_from_slice(integer.as_bytes());
                Ok(())
            }
            tag::NEW_FLOAT => {
                let float = f64::from_be_bytes(self.array()?);
                self.float(float)
            }
            tag::FLOAT => {
                let text = self.bytes(31)?;
                let text = str::from_utf8(text).map_err(|_| EtfError::Float)?;
                let float = text.trim_end_matches('\0').trim();
                let float = float.parse().map_err(|_| EtfError::Float)?;
                self.float(float)
            }
            tag::ATOM | tag::SMALL_ATOM | tag::ATOM_UTF8 | tag::SMALL_ATOM_UTF8 => {
                let name = self.atom(tag)?;
                match name.as_str() {
                    "nil" | "null" => self.json.extend_from_slice(b"null"),
                    "true" | "false" => self.json.extend_from_slice(name.as_bytes()),
                    _ => self.text(&name),
                }
                Ok(())
            }
            tag::BINARY => {
                let text = self.binary()?;
                self.text(text);
                Ok(())
            }
            tag::NIL => {
                self.json.extend_from_slice(b"[]");
                Ok(())
            }
            tag::STRING => {
                let len = u16::from_be_bytes(self.array()?);
                let numbers = self.bytes(usize::from(len))?;
                let numbers: Vec<_> = numbers.iter().map(u8::to_string).collect();
                self.json.push(b'[');
                self.json.extend_from_slice(numbers.join(",").as_bytes());
                self.json.push(b']');
                Ok(())
            }
            tag::LIST => {
                let count = u32::from_be_bytes(self.array()?);
                self.items(count, depth)?;
                match self.byte()? {
                    tag::NIL => Ok(()),
                    _ => Err(EtfError::ImproperList),
                }
            }
            tag::SMALL_TUPLE => {
                let count = self.byte()?;
                self.items(u32::from(count), depth)
            }
            tag::LARGE_TUPLE => {
                let count = u32::from_be_bytes(self.array()?);
                self.items(count, depth)
            }
            tag::MAP => {
                let count = u32::from_be_bytes(self.array()?);
                self.entries(count, depth)
            }
            tag::COMPRESSED => Err(EtfError::Compressed),
            other => Err(EtfError::Tag(other)),
        }
    }

    // Nothing is reserved for a count: one that lies runs into the body's end, as every element has at least a byte.
    fn items(&mut self, count: u32, depth: usize) -> Result<(), EtfError> {
        let depth = deeper(depth)?;
        self.json.push(b'[');
        for index in 0..count {
            if index > 0 {
                self.json.push(b',');
            }
            self.term(depth)?;
        }
        self.json.push(b']');
        Ok(())
    }

    fn entries(&mut self, count: u32, depth: usize) -> Result<(), EtfError> {
        let depth = deeper(depth)?;
        self.json.push(b'{');
        for index in 0..count {
            if index > 0 {
                self.json.push(b',');
            }
            self.key()?;
            self.json.push(b':');
            self.term(depth)?;
        }
        self.json.push(b'}');
        Ok(())
    }

    fn key(&mut self) -> Result<(), EtfError> {
        let tag = self.byte()?;
        match tag {
            tag::BINARY => {
                let text = self.binary()?;
                self.text(text);
            }
            tag::ATOM | tag::SMALL_ATOM | tag::ATOM_UTF8 | tag::SMALL_ATOM_UTF8 => {
                let name = self.atom(tag)?;
                self.text(&name);
            }
            tag::SMALL_INTEGER | tag::INTEGER | tag::SMALL_BIG | tag::LARGE_BIG => {
                let integer = self.integer(tag)?;
                self.text(&integer);
            }
            other => return Err(EtfError::Key(other)),
        }
        Ok(())
    }

    fn integer(&mut self, tag: u8) -> Result<String, EtfError> {
        let len = match tag {
            tag::SMALL_INTEGER => return Ok(self.byte()?.to_string()),
            tag::INTEGER => return Ok(i32::from_be_bytes(self.array()?).to_string()),
            tag::SMALL_BIG => usize::from(self.byte()?),
            _ => u32::from_be_bytes(self.array()?) as usize,
        };
        let negative = self.byte()? != 0;
        let bytes = self.bytes(len)?;
        let significant = bytes
            .iter()
            .rposition(|byte| *byte != 0)
            .map_or(0, |last| last + 1);
        let mut magnitude = [0; 16];
        magnitude
            .get_mut(..significant)
            .ok_or(EtfError::Integer)?
            .copy_from_slice(&bytes[..significant]);
        let magnitude = u128::from_le_bytes(magnitude);
        let sign = if negative && magnitude != 0 { "-" } else { "" };
        Ok(format!("{sign}{magnitude}"))
    }

    fn float(&mut self, float: f64) -> Result<(), EtfError> {
        if !float.is_finite() {
            return Err(EtfError::Float);
        }
        self.json
            .extend_from_slice(serde_json::Value::from(float).to_string().as_bytes());
        Ok(())
    }

    fn atom(&mut self, tag: u8) -> Result<String, EtfError> {
        let len = match tag {
            tag::ATOM | tag::ATOM_UTF8 => usize::from(u16::from_be_bytes(self.array()?)),
            _ => usize::from(self.byte()?),
        };
        let name = self.bytes(len)?;
        match tag {
            // The older forms are Latin-1, whose bytes are the first code points of Unicode.
            tag::ATOM | tag::SMALL_ATOM => Ok(name.iter().copied().map(char::from).collect()),
            _ => str::from_utf8(name)
                .map(str::to_owned)
                .map_err(|_| EtfError::NotText),
        }
    }

    fn binary(&mut self) -> Result<&'a str, EtfError> {
        let len = u32::from_be_bytes(self.array()?);
        str::from_utf8(self.bytes(len as usize)?).map_err(|_| EtfError::NotText)
    }

    fn text(&mut self, text: &str) {
        let text = serde_json::Value::from(text).to_string();
        self.json.extend_from_slice(text.as_bytes());
    }

    fn byte(&mut self) -> Result<u8, EtfError> {
        let [byte] = self.array()?;
        Ok(byte)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], EtfError> {
        let (head, tail) = self.rest.split_first_chunk().ok_or(EtfError::CutOff)?;
        self.rest = tail;
        Ok(*head)
    }

    fn bytes(&mut self, len: usize) -> Result<&'a [u8], EtfError> {
        let (head, tail) = self.rest.split_at_checked(len).ok_or(EtfError::CutOff)?;
        self.rest = tail;
        Ok(head)
    }
}

fn deeper(depth: usize) -> Result<usize, EtfError> {
    if depth < MAX_DEPTH {
        Ok(depth + 1)
    } else {
        Err(EtfError::TooDeep)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Forms that are read though never written; the bytes are Erlang/OTP 25's, or by hand where it has no such form.
    #[test]
    fn other_forms_are_read() {
        let table: &[(&[u8], &str)] = &[
            // [1, 2, 3]
            (&[131, 107, 0, 3, 1, 2, 3], "[1,2,3]"),
            // {a, 1}
            (&[131, 104, 2, 100, 0, 1, 97, 97, 1], r#"["a",1]"#),
            // 1 bsl 100
            (
                &[131, 110, 13, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 16],
                "1267650600228229401496703205376",
            ),
            // #{a => 1.5} with minor version 0
            (
                b"\x83t\0\0\0\x01d\0\x01ac1.50000000000000000000e+00\0\0\0\0\0",
                r#"{"a":1.5}"#,
            ),
            // nil in the form of Discord's codec for clients, true in both UTF-8 forms, an atom in Latin-1
            (&[131, 115, 3, b'n', b'i', b'l'], "null"),
            (&[131, 119, 4, b't', b'r', b'u', b'e'], "true"),
            (&[131, 118, 0, 4, b't', b'r', b'u', b'e'], "true"),
            (&[131, 115, 1, 0xe9], "\"\u{e9}\""),
            // #{1 => []}
            (&[131, 116, 0, 0, 0, 1, 97, 1, 106], r#"{"1":[]}"#),
            // A negative zero and a big with leading zeros, neither of which Erlang writes
            (&[131, 110, 1, 1, 0], "0"),
            (&[131, 111, 0, 0, 0, 3, 1, 5, 0, 0], "-5"),
            (&[131, 105, 0, 0, 0, 1, 97, 7], "[7]"),
        ];
        for (term, json) in table {
            assert_eq!(decode(term).unwrap(), *json);
        }
    }

    #[test]
    fn unusable_terms_say_why() {
        let mut huge = vec![131, 110, 17, 0];
        huge.extend([1; 17]);
        let nan = [&[131, tag::NEW_FLOAT], &f64::NAN.to_be_bytes()[..]].concat();
        let table: &[(&[u8], EtfError)] = &[
            (b"", EtfError::NotATerm),
            (b"{}", EtfError::NotATerm),
            (&[131], EtfError::CutOff),
            (&[131, 80, 0, 0, 1, 200], EtfError::Compressed),
            (&[131, 97, 1, 0], EtfError::Trailing(1)),
            (&[131, 103], EtfError::Tag(103)),
            (&[131, 116, 0, 0, 0, 1, 106, 106], EtfError::Key(106)),
            (&[131, 109, 0, 0, 0, 1, 0xff], EtfError::NotText),
            (&[131, 109, 0xff, 0xff, 0xff, 0xff, 1], EtfError::CutOff),
            (&[131, 108, 0xff, 0xff, 0xff, 0xff, 97, 1], EtfError::CutOff),
            (
                &[131, 108, 0, 0, 0, 1, 97, 1, 97, 2],
                EtfError::ImproperList,
            ),
            (&nan, EtfError::Float),
            (&huge, EtfError::Integer),
        ];
        for (term, error) in table {
            assert_eq!(decode(term).unwrap_err(), *error, "{term:?}");
        }
    }
}
