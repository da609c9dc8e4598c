//! Where settings come from.

use std::{collections::HashMap, path::Path};

use config::{Config, File, FileFormat, Value, ValueKind};

use super::SettingsError;

/// Settings by upper-case name, the stronger source already applied over the weaker.
#[derive(Debug, Default)]
pub(super) struct Source {
    values: HashMap<String, String>,
}

impl Source {
    pub(super) fn load(file: Option<&Path>) -> Result<Self, SettingsError> {
        let mut source = Self::default();
        if let Some(path) = file {
            let file = Config::builder()
                .add_source(File::from(path).format(FileFormat::Toml))
                .build()?;
            source.add_table("", file.cache);
        }
        match dotenvy::dotenv_iter() {
            Ok(entries) => {
                for entry in entries {
                    let (name, value) = entry?;
                    source.add(&name, value);
                }
            }
            Err(error) if error.not_found() => {}
            Err(error) => return Err(error.into()),
        }
        // Variables that are not UTF-8 can't be any of ours.
        for (name, value) in std::env::vars_os() {
            if let (Ok(name), Ok(value)) = (name.into_string(), value.into_string()) {
                source.add(&name, value);
            }
        }
        Ok(source)
    }

    pub(super) fn of<'a>(settings: impl IntoIterator<Item = (&'a str, &'a str)>) -> Self {
        let mut source = Self::default();
        for (name, value) in settings {
            source.add(name, value.to_owned());
        }
        source
    }

    pub(super) fn value(&self, name: &str) -> Option<String> {
        self.values.get(name).cloned()
    }

    /// A stronger source's empty value leaves the weaker one's in place.
    fn add(&mut self, name: &str, value: String) {
        if !value.trim().is_empty() {
            self.values.insert(name.to_ascii_uppercase(), value);
        }
    }

    /// A table's keys are joined with `_`: `[state] member_ttl = 0` is `STATE_MEMBER_TTL`.
    fn add_table(&mut self, prefix: &str, value: Value) {
        match value.kind {
            ValueKind::Table(table) => {
                for (key, value) in table {
                    let name = if prefix.is_empty() {
                        key
                    } else {
                        format!("{prefix}_{key}")
                    };
                    self.add_table(&name, value);
                }
            }
            ValueKind::Array(items) => {
                let items: Vec<_> = items.into_iter().map(|item| item.to_string()).collect();
                self.add(prefix, items.join(","));
            }
            _ => self.add(prefix, value.to_string()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_and_lists_of_a_file_become_names() {
        let text = "bot_token = 'x'\nevents = ['A', 'B']\n[state]\nmember_ttl = 5\nold = false\n";
        let file = Config::builder()
            .add_source(File::from_str(text, FileFormat::Toml))
            .build()
            .unwrap();
        let mut source = Source::default();
        source.add_table("", file.cache);
        assert_eq!(source.value("BOT_TOKEN").as_deref(), Some("x"));
        assert_eq!(source.value("EVENTS").as_deref(), Some("A,B"));
        assert_eq!(source.value("STATE_MEMBER_TTL").as_deref(), Some("5"));
        assert_eq!(source.value("STATE_OLD").as_deref(), Some("false"));
    }
}
