//! Streaming from one serde format to another.

use std::{cell::Cell, fmt};

use serde::{
    Serialize, Serializer,
    de::{self, DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor},
    ser::{self, SerializeMap, SerializeSeq},
};

/// Writes what `from` reads to `to`, value by value.
pub(super) fn transcode<'de, D, S>(from: D, to: S) -> Result<S::Ok, S::Error>
where
    D: Deserializer<'de>,
    S: Serializer,
{
    from.deserialize_any(Sink(to)).map_err(ser::Error::custom)
}

/// A value still to be read, in the place where a value to be written is wanted. It can be read once, and is: a serializer
/// serializes an element once.
struct Pending<D>(Cell<Option<D>>);

impl<'de, D: Deserializer<'de>> Serialize for Pending<D> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        match self.0.take() {
            Some(from) => transcode(from, to),
            None => Err(ser::Error::custom("a value was read twice")),
        }
    }
}

fn pending<D>(from: D) -> Pending<D> {
    Pending(Cell::new(Some(from)))
}

struct Sink<S>(S);

macro_rules! pass_on {
    ($($visit:ident => $serialize:ident($type:ty);)*) => {
        $(fn $visit<E: de::Error>(self, value: $type) -> Result<S::Ok, E> {
            self.0.$serialize(value).map_err(E::custom)
        })*
    };
}

impl<'de, S: Serializer> Visitor<'de> for Sink<S> {
    type Value = S::Ok;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value that json can express")
    }

    pass_on! {
        visit_bool => serialize_bool(bool);
        visit_i64 => serialize_i64(i64);
        visit_u64 => serialize_u64(u64);
        visit_str => serialize_str(&str);
    }

    // A format that has NaN and the infinities meets one that has not.
    fn visit_f32<E: de::Error>(self, value: f32) -> Result<S::Ok, E> {
        if !value.is_finite() {
            return Err(E::custom("a number is not finite"));
        }
        self.0.serialize_f32(value).map_err(E::custom)
    }

    fn visit_f64<E: de::Error>(self, value: f64) -> Result<S::Ok, E> {
        if !value.is_finite() {
            return Err(E::custom("a number is not finite"));
        }
        self.0.serialize_f64(value).map_err(E::custom)
    }

    /// Bytes that are text count as text: some clients write strings so.
    fn visit_bytes<E: de::Error>(self, value: &[u8]) -> Result<S::Ok, E> {
        let text = str::from_utf8(value).map_err(|_| E::custom("bytes that are not utf-8"))?;
        self.0.serialize_str(text).map_err(E::custom)
    }

    fn visit_unit<E: de::Error>(self) -> Result<S::Ok, E> {
        self.0.serialize_unit().map_err(E::custom)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<S::Ok, A::Error> {
        let mut to = self
            .0
            .serialize_seq(items.size_hint())
            .map_err(de::Error::custom)?;
        while items.next_element_seed(Element(&mut to))?.is_some() {}
        to.end().map_err(de::Error::custom)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<S::Ok, A::Error> {
        let mut to = self
            .0
            .serialize_map(entries.size_hint())
            .map_err(de::Error::custom)?;
        while entries.next_key_seed(Key(&mut to))?.is_some() {
            entries.next_value_seed(Entry(&mut to))?;
        }
        to.end().map_err(de::Error::custom)
    }
}

struct Element<'a, S>(&'a mut S);

impl<'de, S: SerializeSeq> DeserializeSeed<'de> for Element<'_, S> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<(), D::Error> {
        self.0
            .serialize_element(&pending(from))
            .map_err(de::Error::custom)
    }
}

struct Key<'a, S>(&'a mut S);

impl<'de, S: SerializeMap> DeserializeSeed<'de> for Key<'_, S> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<(), D::Error> {
        self.0
            .serialize_key(&pending(from))
            .map_err(de::Error::custom)
    }
}

struct Entry<'a, S>(&'a mut S);

impl<'de, S: SerializeMap> DeserializeSeed<'de> for Entry<'_, S> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<(), D::Error> {
        self.0
            .serialize_value(&pending(from))
            .map_err(de::Error::custom)
    }
}
