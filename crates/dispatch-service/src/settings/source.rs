//! Where settings come from.

use std::{
    collections::{HashMap, HashSet},
    io,
    path::{Path, PathBuf},
};

use toml::{Table, Value};

use super::{MASK, Problem, SettingsError, catalogue::ALL, dotenv};

/// Settings by upper-case name, the stronger source already applied over the weaker.
#[derive(Default)]
pub(super) struct Source {
    values: HashMap<String, String>,
    /// Names whose value comes from a file.
    shared: HashSet<String>,
}

/// Values may be secrets.
impl std::fmt::Debug for Source {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_set().entries(self.values.keys()).finish()
    }
}

impl Source {
    pub(super) fn load(file: Option<&Path>) -> Result<(Self, Vec<Problem>), SettingsError> {
        let mut source = Self::default();
        let mut problems = Vec::new();
        if let Some(path) = file {
            let table = read_toml(path).map_err(|reason| SettingsError::File {
                file: path.display().to_string(),
                reason,
            })?;
            source.add_table("", Value::Table(table));
        }
        if let Some((path, text)) = nearest(".env") {
            let file = path.display().to_string();
            match text {
                Ok(text) => match dotenv::parse(&text, |name| std::env::var(name).ok()) {
                    Ok(entries) => {
                        for (name, value) in entries {
                            source.add(&name, value);
                        }
                    }
                    Err(lines) => problems.extend(lines.into_iter().map(|broken| {
                        let known = ALL.iter().find(|setting| setting.name == broken.name);
                        Problem::Line {
                            file: file.clone(),
                            line: broken.line,
                            name: known.map(|setting| setting.name),
                            reason: broken.reason,
                        }
                    })),
                },
                Err(error) => {
                    return Err(SettingsError::File {
                        file,
                        reason: error.to_string(),
                    });
                }
            }
        }
        source.shared = source.values.keys().cloned().collect();
        for (name, value) in std::env::vars_os() {
            let Ok(name) = name.into_string() else {
                continue;
            };
            match value.into_string() {
                Ok(value) if !value.trim().is_empty() => {
                    source.shared.remove(&name.to_ascii_uppercase());
                    source.add(&name, value);
                }
                Ok(_) => {}
                // Its default must not stand in for it.
                Err(_) => problems.extend(
                    ALL.iter()
                        .filter(|setting| setting.name.eq_ignore_ascii_case(&name))
                        .map(|setting| Problem::Setting {
                            name: setting.name,
                            value: Some(MASK.to_owned()),
                            expected: "text in UTF-8".to_owned(),
                        }),
                ),
            }
        }
        Ok((source, problems))
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

    pub(super) fn is_shared(&self, name: &str) -> bool {
        self.shared.contains(name)
    }

    pub(super) fn set(&mut self, name: &str, value: String) {
        self.values.insert(name.to_owned(), value);
    }

    /// A stronger source's empty value leaves the weaker one's in place.
    fn add(&mut self, name: &str, value: String) {
        if !value.trim().is_empty() {
            self.values.insert(name.to_ascii_uppercase(), value);
        }
    }

    /// A table's keys are joined with `_`: `[state] member_ttl = 0` is `STATE_MEMBER_TTL`.
    fn add_table(&mut self, prefix: &str, value: Value) {
        match value {
            Value::Table(table) => {
                for (key, value) in table {
                    let name = if prefix.is_empty() {
                        key
                    } else {
                        format!("{prefix}_{key}")
                    };
                    self.add_table(&name, value);
                }
            }
            Value::Array(items) => {
                let items: Vec<_> = items.iter().map(text_of).collect();
                self.add(prefix, items.join(","));
            }
            value => self.add(prefix, text_of(&value)),
        }
    }
}

/// The file of this name in the working directory, or in the nearest folder above that has one.
fn nearest(name: &str) -> Option<(PathBuf, io::Result<String>)> {
    let start = std::env::current_dir().ok()?;
    let path = start
        .ancestors()
        .map(|folder| folder.join(name))
        .find(|path| path.is_file())?;
    let text = std::fs::read(&path).and_then(|bytes| {
        String::from_utf8(bytes).map_err(|_| io::Error::other("it is not UTF-8"))
    });
    Some((path, text))
}

/// A value as it would stand in the environment. No setting is a list of lists, or of tables.
fn text_of(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Integer(number) => number.to_string(),
        Value::Float(number) => number.to_string(),
        Value::Boolean(flag) => flag.to_string(),
        Value::Datetime(time) => time.to_string(),
        Value::Array(_) | Value::Table(_) => String::new(),
    }
}

fn read_toml(path: &Path) -> Result<Table, String> {
    let text = std::fs::read_to_string(path).map_err(|error| error.to_string())?;
    // The parser quotes the line, in which a secret may stand; the first line of its message says where.
    text.parse().map_err(|error: toml::de::Error| {
        let message = error.to_string();
        let place = message.lines().next().unwrap_or_default();
        match place.starts_with("TOML parse error at ") {
            true => place.to_owned(),
            false => "it is not TOML".to_owned(),
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_and_lists_of_a_file_become_names() {
        let text = "bot_token = 'x'\nevents = ['A', 'B']\n[state]\nmember_ttl = 5\nold = false\n";
        let mut source = Source::default();
        source.add_table("", Value::Table(text.parse().unwrap()));
        assert_eq!(source.value("BOT_TOKEN").as_deref(), Some("x"));
        assert_eq!(source.value("EVENTS").as_deref(), Some("A,B"));
        assert_eq!(source.value("STATE_MEMBER_TTL").as_deref(), Some("5"));
        assert_eq!(source.value("STATE_OLD").as_deref(), Some("false"));
    }
}
