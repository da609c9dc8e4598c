//! Settings: read once at start from the environment, `.env` and an optional TOML file; all problems reported at once.
//!
//! The environment wins over `.env`, which wins over the file. A setting that is set but empty counts as not set, because
//! that is how compose files and twilight-dispatch's `.env` leave a setting out.

pub mod catalogue;
mod source;

use std::{fmt, ops::RangeBounds, path::Path, str::FromStr};

use thiserror::Error;

pub use catalogue::Setting;
use source::Source;

/// Settings that could not be read.
#[derive(Debug, Error)]
pub enum SettingsError {
    /// The settings file can't be read or is not TOML.
    #[error("settings file: {0}")]
    File(#[from] config::ConfigError),
    /// The `.env` file can't be read.
    #[error(".env: {0}")]
    DotEnv(#[from] dotenvy::Error),
    /// One line for each wrong setting.
    #[error("{} wrong setting(s):{}", .0.len(), list(.0))]
    Wrong(Vec<Problem>),
}

fn list(problems: &[Problem]) -> String {
    problems
        .iter()
        .map(|problem| format!("\n  {problem}"))
        .collect()
}

/// One wrong setting: its name, its value (a secret masked) and what was expected.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Name of the setting.
    pub name: &'static str,
    /// Its value, `None` if it is not set.
    pub value: Option<String>,
    /// What a right value looks like.
    pub expected: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.value {
            Some(value) => write!(f, "{}={value:?}: expected {}", self.name, self.expected),
            None => write!(f, "{} is not set: expected {}", self.name, self.expected),
        }
    }
}

/// Reads settings and gathers what is wrong with them.
#[derive(Debug)]
pub struct Reader {
    source: Source,
    problems: Vec<Problem>,
}

impl Reader {
    /// Reads the environment, `.env` in the working directory or above, and `file`.
    ///
    /// # Errors
    ///
    /// If the file or `.env` exists and can't be read.
    pub fn load(file: Option<&Path>) -> Result<Self, SettingsError> {
        Ok(Self {
            source: Source::load(file)?,
            problems: Vec::new(),
        })
    }

    /// A reader of the given settings alone, for tests.
    #[must_use]
    pub fn of<'a>(settings: impl IntoIterator<Item = (&'a str, &'a str)>) -> Self {
        Self {
            source: Source::of(settings),
            problems: Vec::new(),
        }
    }

    /// The value, or the default if it is not set. Empty if neither is there.
    pub fn text(&mut self, setting: &Setting) -> String {
        self.value(setting)
            .unwrap_or_else(|| setting.default.to_owned())
    }

    /// The value if it is set or has a default.
    pub fn optional(&mut self, setting: &Setting) -> Option<String> {
        Some(self.text(setting)).filter(|text| !text.is_empty())
    }

    /// The value of a setting that has no default.
    pub fn required(&mut self, setting: &Setting) -> String {
        let text = self.text(setting);
        if text.is_empty() {
            self.problem(setting, setting.expected.to_owned());
        }
        text
    }

    /// A value of any type that can be parsed; the default of the type stands in for a wrong one until [`Self::finish`]
    /// reports it.
    pub fn parsed<T: FromStr + Default>(&mut self, setting: &Setting) -> T {
        self.checked(setting, |text| text.parse().ok())
            .unwrap_or_default()
    }

    /// A number within a range.
    pub fn number<T>(&mut self, setting: &Setting, range: impl RangeBounds<T>) -> T
    where
        T: FromStr + PartialOrd + Default,
    {
        let parse = |text: &str| text.parse().ok().filter(|number| range.contains(number));
        self.checked(setting, parse).unwrap_or_default()
    }

    /// A value that may be missing: `None` if it is empty.
    pub fn optional_parsed<T: FromStr>(&mut self, setting: &Setting) -> Option<T> {
        self.optional(setting)?;
        self.checked(setting, |text| text.parse().ok())
    }

    /// `true` or `false`, also `1`, `0`, `yes`, `no`, `on`, `off`.
    pub fn flag(&mut self, setting: &Setting) -> bool {
        self.checked(setting, |text| match text.to_ascii_lowercase().as_str() {
            "true" | "1" | "yes" | "on" => Some(true),
            "false" | "0" | "no" | "off" => Some(false),
            _ => None,
        })
        .unwrap_or_default()
    }

    /// A value that `parse` understands; `None` is reported as a problem.
    pub fn checked<T>(
        &mut self,
        setting: &Setting,
        parse: impl FnOnce(&str) -> Option<T>,
    ) -> Option<T> {
        let text = self.text(setting);
        let value = parse(text.trim());
        if value.is_none() {
            self.problem(setting, setting.expected.to_owned());
        }
        value
    }

    /// Reports a setting that is wrong in a way that only the caller can see.
    pub fn problem(&mut self, setting: &Setting, expected: String) {
        let value = self.value(setting).map(|value| {
            if setting.secret {
                "***".to_owned()
            } else {
                value
            }
        });
        self.problems.push(Problem {
            name: setting.name,
            value,
            expected,
        });
    }

    /// Ends the reading.
    ///
    /// # Errors
    ///
    /// All problems that were met.
    pub fn finish(self) -> Result<(), SettingsError> {
        if self.problems.is_empty() {
            Ok(())
        } else {
            Err(SettingsError::Wrong(self.problems))
        }
    }

    fn value(&self, setting: &Setting) -> Option<String> {
        self.source.value(setting.name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use catalogue::{BOT_TOKEN, LOG_CHANNEL, PARTITIONS, RABBIT_PASSWORD, RESUME};

    #[test]
    fn empty_counts_as_not_set() {
        let mut reader = Reader::of([("PARTITIONS", ""), ("LOG_CHANNEL", "")]);
        assert_eq!(reader.number(&PARTITIONS, 1..=1024_u32), 16);
        assert_eq!(reader.optional_parsed::<u64>(&LOG_CHANNEL), None);
        reader.finish().unwrap();
    }

    #[test]
    fn all_problems_are_reported_at_once_and_secrets_masked() {
        let mut reader = Reader::of([
            ("PARTITIONS", "0"),
            ("RESUME", "maybe"),
            ("RABBIT_PASSWORD", "hunter2"),
        ]);
        reader.number(&PARTITIONS, 1..=1024_u32);
        reader.flag(&RESUME);
        reader.required(&BOT_TOKEN);
        reader.problem(&RABBIT_PASSWORD, "something else".to_owned());
        let message = reader.finish().unwrap_err().to_string();
        assert!(message.starts_with("4 wrong setting(s):"), "{message}");
        for part in [
            "PARTITIONS=\"0\": expected",
            "RESUME=\"maybe\"",
            "BOT_TOKEN is not set",
            "RABBIT_PASSWORD=\"***\"",
        ] {
            assert!(message.contains(part), "{part} is not in {message}");
        }
        assert!(!message.contains("hunter2"));
    }
}
