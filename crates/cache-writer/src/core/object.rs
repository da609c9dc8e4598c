//! JSON objects scanned one level deep. Values are kept as they were sent: numbers, escapes and
//! spaces are never re-serialised.

use std::{borrow::Cow, fmt};

use serde::{
    Deserialize, Deserializer,
    de::{IgnoredAny, MapAccess, Visitor},
};
use serde_json::value::RawValue;

use super::unusable::Unusable;

/// The fields of a JSON object: their names, and the text of their values.
#[derive(Clone, Debug)]
pub(super) struct Object<'a> {
    /// The whole object as it was sent.
    pub(super) text: &'a str,
    /// In the order sent. Where a name repeats, the last one counts.
    fields: Vec<(Cow<'a, str>, &'a str)>,
}

impl<'a> Object<'a> {
    /// Scans an object; none if the text is no JSON object.
    pub(super) fn parse(text: &'a str) -> Option<Self> {
        let Fields(fields) = serde_json::from_str(text).ok()?;
        Some(Self { text, fields })
    }

    /// The text of a field's value.
    pub(super) fn raw(&self, name: &str) -> Option<&'a str> {
        self.fields
            .iter()
            .rfind(|(field, _)| field == name)
            .map(|(_, value)| *value)
    }

    /// The text of a field's value unless it is null.
    pub(super) fn value(&self, name: &str) -> Option<&'a str> {
        self.raw(name).filter(|value| *value != "null")
    }

    /// Whether all of these fields are there and not null.
    pub(super) fn has(&self, names: &[&str]) -> bool {
        names.iter().all(|name| self.value(name).is_some())
    }

    pub(super) fn is_true(&self, name: &str) -> bool {
        self.raw(name) == Some("true")
    }

    pub(super) fn id(&self, name: &'static str) -> Result<u64, Unusable> {
        self.optional_id(name)?.ok_or(Unusable::Missing(name))
    }

    /// An id that may be absent or null.
    pub(super) fn optional_id(&self, name: &'static str) -> Result<Option<u64>, Unusable> {
        self.value(name)
            .map(|text| id(text).ok_or(Unusable::WrongType(name)))
            .transpose()
    }

    pub(super) fn nested(&self, name: &'static str) -> Result<Object<'a>, Unusable> {
        let text = self.value(name).ok_or(Unusable::Missing(name))?;
        Object::parse(text).ok_or(Unusable::WrongType(name))
    }

    /// The texts of a list's elements.
    pub(super) fn list(&self, name: &'static str) -> Result<Vec<&'a str>, Unusable> {
        self.optional_list(name)?.ok_or(Unusable::Missing(name))
    }

    /// The texts of the elements of a list that may be absent or null.
    pub(super) fn optional_list(
        &self,
        name: &'static str,
    ) -> Result<Option<Vec<&'a str>>, Unusable> {
        self.value(name)
            .map(|text| elements(text).ok_or(Unusable::WrongType(name)))
            .transpose()
    }

    /// An unsigned integer, if that is what the field holds.
    pub(super) fn number(&self, name: &str) -> Option<u64> {
        self.raw(name)
            .filter(|text| digits(text))
            .and_then(|text| text.parse().ok())
    }

    /// Takes fields out; `text` stays what was sent.
    pub(super) fn strip(&mut self, names: &[&str]) {
        self.fields
            .retain(|(field, _)| !names.contains(&field.as_ref()));
    }

    /// The fields, in order.
    pub(super) fn fields(&self) -> impl Iterator<Item = (&str, &'a str)> {
        self.fields
            .iter()
            .map(|(name, value)| (name.as_ref(), *value))
    }

    /// The fields as JSON text.
    pub(super) fn render(&self) -> String {
        let mut writer = ObjectWriter::with_capacity(self.text.len());
        for (name, value) in self.fields() {
            writer.field(name, value);
        }
        writer.finish()
    }

    /// The object as sent, with `"guild_id"` added at its end if it has none.
    pub(super) fn with_guild(&self, guild: u64) -> Cow<'a, str> {
        if self.raw("guild_id").is_some() {
            return Cow::Borrowed(self.text);
        }
        let open = self.text.trim_end();
        let open = open.strip_suffix('}').unwrap_or(open);
        let comma = if self.fields.is_empty() { "" } else { "," };
        Cow::Owned(format!("{open}{comma}\"guild_id\":\"{guild}\"}}"))
    }

    /// The text with one field set, in its place if it is there, else at the end.
    pub(super) fn with_field(&self, name: &str, value: &str) -> String {
        let mut writer = ObjectWriter::with_capacity(self.text.len() + name.len() + value.len());
        for (field, current) in self.fields() {
            writer.field(field, if field == name { value } else { current });
        }
        if self.raw(name).is_none() {
            writer.field(name, value);
        }
        writer.finish()
    }

    /// The text without one field.
    pub(super) fn without_field(&self, name: &str) -> String {
        let mut writer = ObjectWriter::with_capacity(self.text.len());
        for (field, value) in self.fields().filter(|(field, _)| *field != name) {
            writer.field(field, value);
        }
        writer.finish()
    }

    /// This object with the fields of `patch` over its own: a field that is absent there keeps its
    /// value, null overwrites. The field named `deep`, if any, is merged in the same way where both
    /// are objects.
    pub(super) fn merged(&self, patch: &Object<'_>, deep: Option<&str>) -> String {
        let mut writer = ObjectWriter::with_capacity(self.text.len() + patch.text.len());
        for (name, value) in self.fields() {
            match patch.raw(name) {
                None => writer.field(name, value),
                Some(new) if deep == Some(name) => writer.field(name, &merged_text(value, new)),
                Some(new) => writer.field(name, new),
            }
        }
        for (name, value) in patch.fields().filter(|(name, _)| self.raw(name).is_none()) {
            writer.field(name, value);
        }
        writer.finish()
    }
}

fn merged_text<'t>(base: &str, patch: &'t str) -> Cow<'t, str> {
    match (Object::parse(base), Object::parse(patch)) {
        (Some(base), Some(patch)) => Cow::Owned(base.merged(&patch, None)),
        _ => Cow::Borrowed(patch),
    }
}

/// Whether the text is a JSON object.
pub(super) fn is_object(text: &str) -> bool {
    text.trim_start().starts_with('{') && serde_json::from_str::<IgnoredAny>(text).is_ok()
}

/// An id from the text of a string or number of digits only.
pub(super) fn id(text: &str) -> Option<u64> {
    let bare = text
        .strip_prefix('"')
        .and_then(|text| text.strip_suffix('"'))
        .unwrap_or(text);
    digits(bare).then(|| bare.parse().ok()).flatten()
}

/// The text of a JSON string, decoded.
pub(super) fn string(text: &str) -> Option<String> {
    serde_json::from_str(text).ok()
}

/// The texts of a JSON array's elements.
pub(super) fn elements(text: &str) -> Option<Vec<&str>> {
    let elements: Vec<&RawValue> = serde_json::from_str(text).ok()?;
    Some(elements.into_iter().map(RawValue::get).collect())
}

fn digits(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

/// Adds a JSON string to a text.
pub(super) fn push_string(text: &mut String, string: &str) {
    let is_plain = |byte: u8| byte >= b' ' && byte != b'"' && byte != b'\\';
    if string.bytes().all(is_plain) {
        text.push('"');
        text.push_str(string);
        text.push('"');
    } else {
        text.push_str(&serde_json::Value::from(string).to_string());
    }
}

/// Writes an object field by field.
pub(super) struct ObjectWriter(String);

impl ObjectWriter {
    pub(super) fn with_capacity(bytes: usize) -> Self {
        let mut text = String::with_capacity(bytes + 2);
        text.push('{');
        Self(text)
    }

    pub(super) fn field(&mut self, name: &str, value: &str) {
        if self.0.len() > 1 {
            self.0.push(',');
        }
        push_string(&mut self.0, name);
        self.0.push(':');
        self.0.push_str(value);
    }

    pub(super) fn finish(mut self) -> String {
        self.0.push('}');
        self.0
    }
}

struct Fields<'a>(Vec<(Cow<'a, str>, &'a str)>);

impl<'de> Deserialize<'de> for Fields<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(FieldsVisitor)
    }
}

struct FieldsVisitor;

impl<'de> Visitor<'de> for FieldsVisitor {
    type Value = Fields<'de>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        // Discord's usual objects have 10 to 30 fields.
        let mut fields = Vec::with_capacity(24);
        while let Some(Name(name)) = map.next_key()? {
            fields.push((name, map.next_value::<&RawValue>()?.get()));
        }
        Ok(Fields(fields))
    }
}

/// A field's name, borrowed unless it holds escapes.
struct Name<'a>(Cow<'a, str>);

impl<'de> Deserialize<'de> for Name<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_str(NameVisitor)
    }
}

struct NameVisitor;

impl<'de> Visitor<'de> for NameVisitor {
    type Value = Name<'de>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a field name")
    }

    fn visit_borrowed_str<E>(self, name: &'de str) -> Result<Self::Value, E> {
        Ok(Name(Cow::Borrowed(name)))
    }

    fn visit_str<E>(self, name: &str) -> Result<Self::Value, E> {
        Ok(Name(Cow::Owned(name.to_owned())))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn merging_keeps_order_number_text_and_escapes() {
        let base = Object::parse(r#"{"id":"1","n":1.50,"gone":[ 1 ],"t":"\u00e9"}"#).unwrap();
        let patch = Object::parse(r#"{"n":1e3,"new":null,"gone":null}"#).unwrap();
        assert_eq!(
            base.merged(&patch, None),
            r#"{"id":"1","n":1e3,"gone":null,"t":"\u00e9","new":null}"#
        );
    }

    #[test]
    fn deep_field_is_merged_where_both_are_objects() {
        let base = Object::parse(r#"{"user":{"id":"1","name":"a"}}"#).unwrap();
        let patch = Object::parse(r#"{"user":{"id":"1","bot":true}}"#).unwrap();
        let merged = base.merged(&patch, Some("user"));
        assert_eq!(merged, r#"{"user":{"id":"1","name":"a","bot":true}}"#);
        let odd = Object::parse(r#"{"user":7}"#).unwrap();
        assert_eq!(odd.merged(&patch, Some("user")), patch.text);
    }

    #[test]
    fn guild_id_is_added_once() {
        for (text, expected) in [
            (r#"{"id":"1"}"#, r#"{"id":"1","guild_id":"9"}"#),
            ("{} ", r#"{"guild_id":"9"}"#),
            (r#"{"guild_id":null}"#, r#"{"guild_id":null}"#),
        ] {
            assert_eq!(Object::parse(text).unwrap().with_guild(9), expected);
        }
    }

    #[test]
    fn ids_are_digits_only() {
        for (text, expected) in [
            ("\"12\"", Some(12)),
            ("12", Some(12)),
            ("\"+1\"", None),
            ("-1", None),
            ("1.0", None),
            ("\"\"", None),
            ("\"", None),
            ("99999999999999999999", None),
            ("null", None),
            ("[1]", None),
        ] {
            assert_eq!(id(text), expected, "{text}");
        }
    }

    #[test]
    fn a_repeated_name_counts_last() {
        let object = Object::parse(r#"{"id":"1","id":"2"}"#).unwrap();
        assert_eq!(object.id("id"), Ok(2));
    }

    #[test]
    fn names_with_escapes_survive() {
        let object = Object::parse(r#"{"a\"b":1}"#).unwrap();
        assert_eq!(object.render(), r#"{"a\"b":1}"#);
    }
}
