//! The settings that are given to `up`: the environment, and what `.env` adds to it.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Result, bail};
use dispatch_service::settings::dotenv;

/// Settings that lead to a bot and its servers. Those of a developer's `.env` may be the live ones.
const LIVE: [&str; 11] = [
    "BOT_TOKEN",
    "RABBIT_URL",
    "RABBIT_HOST",
    "RABBIT_PORT",
    "RABBIT_USERNAME",
    "RABBIT_PASSWORD",
    "REDIS_URL",
    "REDIS_HOST",
    "REDIS_PORT",
    "REDIS_MESSAGES_URL",
    "DISCORD_API_URL",
];

/// What was given.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Given {
    /// By name. Set but empty counts as not set, as for the services.
    pub(super) settings: BTreeMap<String, String>,
    /// Names in `.env` that are left alone, because they lead to the live bot.
    pub(super) ignored: Vec<String>,
}

impl Given {
    /// Reads both; the environment wins.
    pub(super) fn read(discord: bool) -> Result<Self> {
        let environment = std::env::vars_os()
            .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
            .collect();
        let file = file(&testbed::binaries::workspace().join(".env"))?;
        Ok(Self::of(file, environment, discord))
    }

    fn of(
        file: Vec<(String, String)>,
        environment: BTreeMap<String, String>,
        discord: bool,
    ) -> Self {
        let (mut settings, mut ignored) = (BTreeMap::new(), Vec::new());
        for (name, value) in file.into_iter().filter(|(_, value)| !value.is_empty()) {
            if is_live(&name) && !discord {
                ignored.push(name);
            } else {
                settings.insert(name, value);
            }
        }
        let environment = environment.into_iter();
        settings.extend(environment.filter(|(_, value)| !value.is_empty()));
        if !discord {
            // Wherever it comes from: the simulated Discord has a token of its own.
            settings.retain(|name, _| base(name) != "BOT_TOKEN");
        }
        Self { settings, ignored }
    }

    /// Whether there is a token to connect to Discord with.
    pub(super) fn has_token(&self) -> bool {
        self.settings.keys().any(|name| base(name) == "BOT_TOKEN")
    }
}

fn is_live(name: &str) -> bool {
    LIVE.contains(&base(name))
}

/// The setting, whether it stands for itself or names a file (`BOT_TOKEN_FILE`).
fn base(name: &str) -> &str {
    name.strip_suffix("_FILE").unwrap_or(name)
}

/// What `.env` holds, as the services read it. It need not exist.
fn file(path: &Path) -> Result<Vec<(String, String)>> {
    let Ok(text) = std::fs::read_to_string(path) else {
        return Ok(Vec::new());
    };
    match dotenv::parse(&text, |name| std::env::var(name).ok()) {
        Ok(entries) => Ok(entries),
        Err(lines) => {
            let lines: Vec<_> = lines
                .iter()
                .map(|line| format!("line {}: {}", line.line, line.reason))
                .collect();
            bail!("{} can't be read: {}", path.display(), lines.join("; "));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pairs<T: FromIterator<(String, String)>>(pairs: &[(&str, &str)]) -> T {
        pairs
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect()
    }

    #[test]
    fn a_live_bot_is_left_alone_unless_discord_is_asked_for() {
        let file: Vec<_> = pairs(&[
            ("BOT_TOKEN_FILE", "/run/token"),
            ("RABBIT_URL", "amqp://live"),
            ("REDIS_PASSWORD", ""),
            ("ACTIVITY_NAME", "with fire"),
        ]);
        let environment: BTreeMap<_, _> = pairs(&[("BOT_TOKEN", "live"), ("EVENTS", "A")]);
        let given = Given::of(file.clone(), environment.clone(), false);
        let expected = pairs(&[("ACTIVITY_NAME", "with fire"), ("EVENTS", "A")]);
        assert_eq!(given.settings, expected);
        assert_eq!(given.ignored, ["BOT_TOKEN_FILE", "RABBIT_URL"]);
        assert!(!given.has_token());
        let given = Given::of(file, environment, true);
        assert_eq!(given.settings.len(), 5);
        assert!(given.ignored.is_empty() && given.has_token());
    }

    #[test]
    fn the_environment_wins_and_leads_to_servers_of_ones_own() {
        let file = pairs(&[("EVENTS", "A"), ("REDIS_URL", "redis://live")]);
        let environment = pairs(&[("EVENTS", "B"), ("REDIS_URL", "redis://test")]);
        let given = Given::of(file, environment, false);
        let expected = pairs(&[("EVENTS", "B"), ("REDIS_URL", "redis://test")]);
        assert_eq!(given.settings, expected);
    }

    #[test]
    fn a_broken_file_is_told_by_line_and_without_its_text() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(".env");
        assert!(file(&path).unwrap().is_empty());
        std::fs::write(&path, "A=1\nBOT TOKEN=secret\n").unwrap();
        let error = file(&path).unwrap_err().to_string();
        assert!(
            error.contains("line 2") && !error.contains("secret"),
            "{error}"
        );
    }
}
