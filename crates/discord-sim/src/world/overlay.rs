//! What a client has set through REST, over what the world has invented.

use serde_json::{Map, Value};

/// The fields of a JSON object.
pub(crate) type Fields = Map<String, Value>;

/// Fields that stand in the place of the invented ones. Most objects have none: they then cost one word.
#[derive(Debug, Clone, Default)]
pub(crate) struct Overlay(Option<Box<Fields>>);

impl Overlay {
    /// Takes over the fields of `body` that are named.
    pub(crate) fn set(&mut self, body: &Fields, named: &[&str]) {
        for name in named {
            if let Some(value) = body.get(*name) {
                let fields = self.0.get_or_insert_default();
                fields.insert((*name).to_owned(), value.clone());
            }
        }
    }

    /// Writes the fields into an object.
    pub(crate) fn apply(&self, object: &mut Value) {
        if let (Some(fields), Value::Object(object)) = (&self.0, object) {
            for (name, value) in &**fields {
                object.insert(name.clone(), value.clone());
            }
        }
    }
}
