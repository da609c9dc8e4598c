//! Settings: read once at start from the environment, `.env` and an optional TOML file; all problems reported at once.
//!
//! The environment wins over `.env`, which wins over the file. A setting that is set but empty counts as not set, because
//! that is how compose files and twilight-dispatch's `.env` leave a setting out.

pub mod address;
pub mod catalogue;
pub mod dotenv;
mod source;

use std::{fmt, fs, num::NonZeroU64, ops::RangeBounds, path::Path, str::FromStr};

use dispatch_proto::namespace::Namespace;
use thiserror::Error;

pub use catalogue::Setting;
use source::Source;

/// Settings that could not be read.
#[derive(Debug, Error)]
pub enum SettingsError {
    /// The settings file can't be read or is not TOML.
    #[error("settings file {file}: {reason}")]
    File {
        /// Its path.
        file: String,
        /// Why, without a line of it.
        reason: String,
    },
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

/// One thing that is wrong with the settings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Problem {
    /// A setting's name, its value (a secret masked) and what was expected.
    Setting {
        /// Name of the setting.
        name: &'static str,
        /// Its value, `None` if it is not set.
        value: Option<String>,
        /// What a right value looks like.
        expected: String,
    },
    /// A line of `.env`.
    Line {
        /// Path of the file.
        file: String,
        /// Number of the line.
        line: usize,
        /// The setting that it was to set, if it can be told.
        name: Option<&'static str>,
        /// What is wrong with it.
        reason: &'static str,
    },
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Setting {
                name,
                value: Some(value),
                expected,
            } => write!(f, "{name}={value:?}: expected {expected}"),
            Self::Setting {
                name,
                value: None,
                expected,
            } => write!(f, "{name} is not set: expected {expected}"),
            Self::Line {
                file,
                line,
                name,
                reason,
            } => {
                write!(f, "{file}, line {line}")?;
                if let Some(name) = name {
                    write!(f, " ({name})")?;
                }
                write!(f, ": {reason}")
            }
        }
    }
}

/// Shorter ones are found in other values by chance.
const SHORTEST_SECRET: usize = 6;
/// Discord's are 59 and longer.
const SHORTEST_TOKEN: usize = 50;
/// 317 years: more than any wait or expiry needs.
const MOST_MILLIS: u64 = 10_000_000_000_000;
/// What stands in the place of a secret.
const MASK: &str = "***";

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
    /// If the file can't be read.
    pub fn load(file: Option<&Path>) -> Result<Self, SettingsError> {
        let (source, problems) = Source::load(file)?;
        Ok(Self::new(source, problems))
    }

    /// A reader of the given settings alone, for tests.
    #[must_use]
    pub fn of<'a>(settings: impl IntoIterator<Item = (&'a str, &'a str)>) -> Self {
        Self::new(Source::of(settings), Vec::new())
    }

    fn new(source: Source, problems: Vec<Problem>) -> Self {
        let mut reader = Self { source, problems };
        for setting in catalogue::ALL.iter().filter(|setting| setting.secret) {
            reader.take_from_file(setting);
        }
        reader
    }

    /// Takes a secret from the file that `…_FILE` names.
    fn take_from_file(&mut self, setting: &Setting) {
        let named = |other: &&Setting| other.name.strip_suffix("_FILE") == Some(setting.name);
        let Some(file) = catalogue::ALL.iter().find(named) else {
            return;
        };
        let Some(path) = self.value(file) else {
            return;
        };
        if self.value(setting).is_some() {
            self.problem(
                file,
                format!("only one of {} and {}", setting.name, file.name),
            );
            return;
        }
        match fs::read_to_string(path.trim()) {
            Ok(secret) if secret.trim().is_empty() => {
                self.problem(file, format!("{}, but it is empty", file.expected));
            }
            Ok(secret) => {
                let secret = secret.trim_end_matches(['\n', '\r']).to_owned();
                self.source.set(setting.name, secret);
            }
            Err(error) => self.problem(file, format!("{}, but: {error}", file.expected)),
        }
    }

    /// The value, or the default if it is not set, without spaces around it. Empty if neither is there.
    pub fn text(&mut self, setting: &Setting) -> String {
        self.whole_text(setting).trim().to_owned()
    }

    /// Like [`Self::text`], with the spaces around it: they may be part of a password.
    pub fn whole_text(&mut self, setting: &Setting) -> String {
        self.value(setting)
            .unwrap_or_else(|| setting.default.to_owned())
    }

    /// A host name or address. `None` if it can't be one (then it is reported).
    pub fn host(&mut self, setting: &Setting) -> Option<String> {
        self.checked(setting, address::host)
    }

    /// The id of something on Discord; `None` if it is empty, or 0, as twilight-dispatch spelt it.
    pub fn optional_id(&mut self, setting: &Setting) -> Option<NonZeroU64> {
        let id: Option<u64> = self.optional_parsed(setting);
        id.and_then(NonZeroU64::new)
    }

    /// Whether the value comes from a file, which other services may read too, rather than from this process's environment.
    #[must_use]
    pub fn is_shared(&self, setting: &Setting) -> bool {
        self.source.is_shared(setting.name)
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

    /// A number of milliseconds from `least` on; one that no clock or server can add to the time is wrong.
    pub fn millis(&mut self, setting: &Setting, least: u64) -> u64 {
        let millis = self.number(setting, ..);
        if !(least..=MOST_MILLIS).contains(&millis) {
            self.problem(
                setting,
                format!("{}, up to {MOST_MILLIS}", setting.expected),
            );
        }
        millis
    }

    /// A value that may be missing: `None` if it is empty.
    pub fn optional_parsed<T: FromStr>(&mut self, setting: &Setting) -> Option<T> {
        self.optional(setting)?;
        self.checked(setting, |text| text.parse().ok())
    }

    /// `true` or `false`, also `1`, `0`, `yes`, `no`, `on`, `off`.
    pub fn flag(&mut self, setting: &Setting) -> bool {
        self.word(setting, |text| match text {
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
        let value = parse(&text);
        if value.is_none() {
            self.problem(setting, setting.expected.to_owned());
        }
        value
    }

    /// The prefix of every name on both servers.
    pub fn namespace(&mut self) -> Namespace {
        self.parsed(&catalogue::NAMESPACE)
    }

    /// A word of a fixed set, in any case; in double quotes too, as `docker run --env-file` leaves them and twilight-dispatch took
    /// them.
    pub fn word<T>(
        &mut self,
        setting: &Setting,
        parse: impl FnOnce(&str) -> Option<T>,
    ) -> Option<T> {
        self.checked(setting, |text| {
            let quoted = text
                .strip_prefix('"')
                .and_then(|text| text.strip_suffix('"'));
            parse(&quoted.unwrap_or(text).trim().to_ascii_lowercase())
        })
    }

    /// Reports a setting that is wrong in a way that only the caller can see. A setting is reported once.
    pub fn problem(&mut self, setting: &Setting, expected: String) {
        let reported = |problem: &Problem| matches!(problem, Problem::Setting { name, .. } if *name == setting.name);
        if self.problems.iter().any(reported) {
            return;
        }
        let value = self
            .value(setting)
            .map(|value| self.masked(setting, &value));
        self.problems.push(Problem::Setting {
            name: setting.name,
            value,
            expected,
        });
    }

    /// What may be shown of a value. Secrets stray: a token pasted into the wrong line, a URL with its password where a host belongs.
    fn masked(&self, setting: &Setting, value: &str) -> String {
        let strayed = catalogue::ALL
            .iter()
            .filter(|other| other.secret)
            .filter_map(|other| self.value(other))
            .any(|secret| secret.len() >= SHORTEST_SECRET && value.contains(secret.trim()));
        if setting.secret || strayed || looks_like_token(value) {
            return MASK.to_owned();
        }
        match value.rsplit_once('@') {
            Some((_, host)) => format!("{MASK}@{host}"),
            None => value.to_owned(),
        }
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

/// Whether it has the form of a bot's token (three base64 words with dots between), maybe one that stands in the wrong place alone.
fn looks_like_token(value: &str) -> bool {
    let token = value.trim().trim_start_matches("Bot ");
    let is_word = |word: &str| {
        !word.is_empty()
            && word
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
    };
    token.len() >= SHORTEST_TOKEN && token.split('.').count() == 3 && token.split('.').all(is_word)
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

    #[test]
    fn a_token_in_a_wrong_place_is_not_shown() {
        let token = "MTAyMjUxMTQ4MzQ0NTQxMjM0NQ.GhunTr.2-9Jk_abcdefghijklmnopqrstuvwxyz0123";
        for value in [token.to_owned(), format!(" Bot {token}\n")] {
            let mut reader = Reader::of([("RESUME", value.as_str())]);
            reader.flag(&RESUME);
            let message = reader.finish().unwrap_err().to_string();
            assert!(message.contains("RESUME=\"***\": expected"), "{message}");
        }
        let mut reader = Reader::of([("RESUME", "a.long.host.that-is-none.example.com")]);
        reader.flag(&RESUME);
        let message = reader.finish().unwrap_err().to_string();
        assert!(message.contains("that-is-none"), "{message}");
    }
}
