//! An object of the cache and what belongs to it, readable.

use std::fmt::Write as _;
use std::io::{Write as _, stdout};
use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use dispatch_proto::namespace::Namespace;
use redis::AsyncCommands;
use redis::aio::MultiplexedConnection;
use serde_json::Value;
use testbed::servers::redis_connection;

use super::children::{CHILDREN, Index, Listed};
use crate::running::place;
use crate::terminal::cut;

/// Children shown of each kind, unless all are asked for.
const SHOWN: usize = 20;
/// Characters of a child's name.
const NAME: usize = 80;

/// Prints an object of the cache (layout `dispatch`); of a guild all that belongs to it, of a channel its messages.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The object's key: `guild:ID` or the bare id, `channel:GUILD:ID`, `member:GUILD:USER`, `message:CHANNEL:ID`,
    /// `bot_user` …; left out: lists the guilds.
    key: Option<String>,
    /// Everything that belongs to it, not only the first 20 of each kind.
    #[arg(long)]
    all: bool,
    /// Where Redis is; left out: that of the running `cargo xtask up`, else REDIS_URL.
    #[arg(long)]
    url: Option<String>,
}

pub(super) async fn run(args: Args) -> Result<ExitCode> {
    let key = args.key.as_deref().map(parse).transpose()?;
    let (url, namespace) = place(args.url, "REDIS_URL", |running| running.redis_url)?;
    let mut redis = redis_connection(&url)
        .await
        .context("can't connect to Redis")?;
    let limit = (!args.all).then_some(SHOWN);
    let text = match key {
        None => list(&mut redis, &namespace, &[Index::guilds()], limit).await?,
        Some(key) => object(&mut redis, &namespace, &key, limit).await?,
    };
    // A reader that has had enough (`| head`) is no failure.
    let _ = stdout().write_all(text.as_bytes());
    Ok(ExitCode::SUCCESS)
}

/// A key of the layout, as its parts.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Key {
    name: String,
    ids: Vec<u64>,
}

impl Key {
    fn text(&self) -> String {
        self.ids
            .iter()
            .fold(self.name.clone(), |key, id| format!("{key}:{id}"))
    }

    /// The indexes of what belongs to it.
    fn indexes(&self) -> Vec<Index> {
        match (self.name.as_str(), self.ids.as_slice()) {
            ("guild", [guild]) => CHILDREN
                .iter()
                .map(|(name, plural)| Index::of_guild(name, plural, *guild))
                .collect(),
            ("channel", [.., channel]) => vec![Index::messages(*channel)],
            _ => Vec::new(),
        }
    }
}

fn parse(text: &str) -> Result<Key> {
    let (name, rest) = match text.split_once(':') {
        None if text == "bot_user" => (text, None),
        None => ("guild", Some(text)),
        Some((name, rest)) => (name, Some(rest)),
    };
    let ids = rest.into_iter().flat_map(|rest| rest.split(':'));
    let ids: Option<Vec<u64>> = ids.map(|id| id.parse().ok()).collect();
    let counts: &[usize] = match name {
        "bot_user" => &[0],
        "guild" => &[1],
        "channel" => &[1, 2],
        "message" => &[2],
        name if CHILDREN.iter().any(|(child, _)| *child == name) => &[2],
        _ => &[],
    };
    match ids {
        Some(ids) if counts.contains(&ids.len()) => Ok(Key {
            name: name.to_owned(),
            ids,
        }),
        _ => bail!(
            "`{text}` is not the key of an object: expected guild:ID or the bare id, channel:GUILD:ID (channel:ID for a \
             private one), message:CHANNEL:ID, bot_user, or one of {} with :GUILD:ID",
            CHILDREN.map(|(name, _)| name).join(", ")
        ),
    }
}

async fn object(
    redis: &mut MultiplexedConnection,
    namespace: &Namespace,
    key: &Key,
    limit: Option<usize>,
) -> Result<String> {
    let value: Option<String> = redis.get(namespace.name(key.text())).await?;
    let value = value.with_context(|| format!("{} is not in the cache", key.text()))?;
    let mut text = format!("{}\n{}\n", key.text(), pretty(&value));
    text += &list(redis, namespace, &key.indexes(), limit).await?;
    Ok(text)
}

/// What the indexes list, by kind.
async fn list(
    redis: &mut MultiplexedConnection,
    namespace: &Namespace,
    indexes: &[Index],
    limit: Option<usize>,
) -> Result<String> {
    let mut text = String::new();
    for index in indexes {
        let Listed { count, objects } = index.read(redis, namespace, limit).await?;
        writeln!(text, "\n{} {count}", index.title())?;
        for (id, value) in &objects {
            let name = match value {
                Some(value) => index.label(value),
                None => "(not in the cache any more)".to_owned(),
            };
            writeln!(text, "  {id}  {}", cut(&name, NAME))?;
        }
        let more = count.saturating_sub(objects.len());
        if more > 0 {
            writeln!(text, "  … {more} more (--all)")?;
        }
    }
    Ok(text)
}

/// JSON on several lines; what isn't JSON as it is.
fn pretty(text: &str) -> String {
    let value = serde_json::from_str::<Value>(text);
    let pretty = value.and_then(|value| serde_json::to_string_pretty(&value));
    let pretty = pretty.unwrap_or_else(|_| text.to_owned());
    let lines: Vec<String> = pretty.lines().map(|line| cut(line, usize::MAX)).collect();
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_read() {
        for (text, key) in [
            ("7", "guild:7"),
            ("guild:7", "guild:7"),
            ("channel:7:8", "channel:7:8"),
            ("channel:8", "channel:8"),
            ("scheduled_event:7:8", "scheduled_event:7:8"),
            ("message:8:9", "message:8:9"),
            ("bot_user", "bot_user"),
        ] {
            assert_eq!(parse(text).unwrap().text(), key);
        }
        for wrong in [
            "",
            "x",
            "guild:",
            "guild:x",
            "guild:1:2",
            "member:1",
            "index:guilds",
            "dispatch:1",
            "bot_user:1",
        ] {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn guilds_and_channels_have_something_below_them() {
        assert_eq!(parse("7").unwrap().indexes().len(), CHILDREN.len());
        assert_eq!(parse("channel:7:8").unwrap().indexes().len(), 1);
        assert_eq!(parse("role:7:8").unwrap().indexes().len(), 0);
    }

    #[test]
    fn text_that_is_no_json_is_shown_without_its_control_characters() {
        assert_eq!(pretty("{\"a\":1}"), "{\n  \"a\": 1\n}");
        assert_eq!(pretty("\u{1b}[2J"), "\u{fffd}[2J");
    }
}
