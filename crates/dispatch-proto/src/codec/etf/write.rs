//! Writing terms.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};

use super::{VERSION, tag};

/// Writes JSON text as a term.
pub(crate) fn encode(json: &str) -> Result<Vec<u8>, serde_json::Error> {
    let mut body = Vec::with_capacity(json.len() + json.len() / 4);
    body.push(VERSION);
    let mut from = serde_json::Deserializer::from_str(json);
    Term(&mut body).deserialize(&mut from)?;
    from.end()?;
    Ok(body)
}

/// Where the next term goes.
struct Term<'a>(&'a mut Vec<u8>);

impl<'de> DeserializeSeed<'de> for Term<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<(), D::Error> {
        from.deserialize_any(self)
    }
}

impl Term<'_> {
    fn atom(self, name: &str) {
        self.0.push(tag::ATOM);
        self.0.extend_from_slice(&(name.len() as u16).to_be_bytes());
        self.0.extend_from_slice(name.as_bytes());
    }

    /// An integer that fits none of the fixed forms: magnitude little-endian, without leading zeros.
    fn big(self, magnitude: u64, negative: bool) {
        let bytes = magnitude.to_le_bytes();
        let len = bytes.len() - magnitude.leading_zeros() as usize / 8;
        self.0
            .extend_from_slice(&[tag::SMALL_BIG, len as u8, u8::from(negative)]);
        self.0.extend_from_slice(&bytes[..len]);
    }

    /// Writes a tag and a count of 0, to be corrected by [`set_count`]; says where the count is.
    fn counted(&mut self, tag: u8) -> usize {
        self.0.push(tag);
        self.0.extend_from_slice(&[0; 4]);
        self.0.len() - 4
    }
}

fn set_count<E: Error>(body: &mut [u8], at: usize, count: usize) -> Result<(), E> {
    let count = u32::try_from(count).map_err(|_| E::custom("too many elements for a term"))?;
    body[at..at + 4].copy_from_slice(&count.to_be_bytes());
    Ok(())
}

impl<'de> Visitor<'de> for Term<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("json")
    }

    fn visit_unit<E: Error>(self) -> Result<(), E> {
        self.atom("nil");
        Ok(())
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<(), E> {
        self.atom(if value { "true" } else { "false" });
        Ok(())
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<(), E> {
        if let Ok(small) = u8::try_from(value) {
            self.0.extend_from_slice(&[tag::SMALL_INTEGER, small]);
            return Ok(());
        }
        match i32::try_from(value) {
            Ok(value) => self.visit_i32(value),
            Err(_) => {
                self.big(value, false);
                Ok(())
            }
        }
    }

    fn visit_i32<E: Error>(self, value: i32) -> Result<(), E> {
        self.0.push(tag::INTEGER);
        self.0.extend_from_slice(&value.to_be_bytes());
        Ok(())
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<(), E> {
        if let Ok(positive) = u64::try_from(value) {
            return self.visit_u64(positive);
        }
        match i32::try_from(value) {
            Ok(value) => self.visit_i32(value),
            Err(_) => {
                self.big(value.unsigned_abs(), true);
                Ok(())
            }
        }
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<(), E> {
        self.0.push(tag::NEW_FLOAT);
        self.0.extend_from_slice(&value.to_be_bytes());
        Ok(())
    }

    fn visit_str<E: Error>(mut self, value: &str) -> Result<(), E> {
        let count_at = self.counted(tag::BINARY);
        self.0.extend_from_slice(value.as_bytes());
        set_count(self.0, count_at, value.len())
    }

    fn visit_seq<A: SeqAccess<'de>>(mut self, mut items: A) -> Result<(), A::Error> {
        let count_at = self.counted(tag::LIST);
        let mut count = 0;
        while items.next_element_seed(Term(self.0))?.is_some() {
            count += 1;
        }
        if count == 0 {
            // The empty list is a term of its own.
            self.0.truncate(count_at - 1);
        } else {
            set_count(self.0, count_at, count)?;
        }
        self.0.push(tag::NIL);
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut entries: A) -> Result<(), A::Error> {
        let count_at = self.counted(tag::MAP);
        let mut count = 0;
        while entries.next_key_seed(Term(self.0))?.is_some() {
            entries.next_value_seed(Term(self.0))?;
            count += 1;
        }
        set_count(self.0, count_at, count)
    }
}
