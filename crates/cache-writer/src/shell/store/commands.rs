//! The core's commands as Redis commands, across the two databases.

use std::borrow::Cow;

use dispatch_proto::namespace::Namespace;
use redis::{Cmd, Pipeline, RedisResult, Value, cmd};

use super::parse;
use crate::{
    config::Config,
    core::layout::{Command, Database, Location, index, users},
};

/// The two databases, as seen from a connection to the main one: the other is reached with SELECT, within the same transaction. Here
/// the core's keys get their namespace.
pub(in crate::shell) struct Databases {
    main: i64,
    messages: i64,
    namespace: Namespace,
}

impl Databases {
    pub(in crate::shell) fn new(config: &Config) -> Self {
        Self {
            main: config.redis.database(),
            messages: config.messages.database(),
            namespace: config.namespace.clone(),
        }
    }

    /// A key of the core as it is named on Redis.
    pub(super) fn key<'a>(&self, key: impl Into<Cow<'a, str>>) -> Cow<'a, str> {
        self.namespace.name(key)
    }

    fn keys<'a>(
        &self,
        keys: impl IntoIterator<Item = impl Into<Cow<'a, str>>>,
    ) -> Vec<Cow<'a, str>> {
        keys.into_iter().map(|key| self.key(key)).collect()
    }

    /// Adds the reads of objects: one MGET for the keys of each database, one HGET for each field.
    pub(super) fn add_reads(&self, pipe: &mut Pipeline, locations: &[Location]) {
        for database in [Database::Main, Database::Messages] {
            let keys = self.keys(keys(locations, database));
            if !keys.is_empty() {
                self.within(pipe, database, |pipe| {
                    pipe.cmd("MGET").arg(keys);
                });
            }
        }
        for location in locations {
            if let Location::Field { key, field } = location {
                pipe.cmd("HGET").arg(self.key(key)).arg(field);
            }
        }
    }

    /// The values in the order of `locations`, from the replies to [`Self::add_reads`].
    pub(super) fn values(
        replies: &mut impl Iterator<Item = RedisResult<Value>>,
        locations: &[Location],
    ) -> Vec<Option<String>> {
        let mut mget = |database| {
            let asked = !keys(locations, database).is_empty();
            let values: Vec<Option<Vec<u8>>> = match asked {
                true => Self::reply_within(replies, database)
                    .and_then(parse)
                    .unwrap_or_default(),
                false => Vec::new(),
            };
            values.into_iter().map(text).collect::<Vec<_>>().into_iter()
        };
        let (mut main, mut messages) = (mget(Database::Main), mget(Database::Messages));
        let value = |location: &Location| match location {
            Location::Key {
                database: Database::Main,
                ..
            } => main.next().flatten(),
            Location::Key {
                database: Database::Messages,
                ..
            } => messages.next().flatten(),
            Location::Field { .. } => text(replies.next().and_then(parse).flatten()),
        };
        locations.iter().map(value).collect()
    }

    /// Adds writes to a transaction.
    pub(in crate::shell) fn add_writes(&self, pipe: &mut Pipeline, commands: Vec<Command<'_>>) {
        let (main, messages): (Vec<_>, Vec<_>) = commands
            .into_iter()
            .partition(|command| command.database() == Database::Main);
        for command in main {
            pipe.add_command(self.translate(command));
        }
        if !messages.is_empty() {
            self.within(pipe, Database::Messages, |pipe| {
                for command in messages {
                    pipe.add_command(self.translate(command));
                }
            });
        }
    }

    fn within(&self, pipe: &mut Pipeline, database: Database, add: impl FnOnce(&mut Pipeline)) {
        let selects = database == Database::Messages;
        if selects {
            pipe.cmd("SELECT").arg(self.messages);
        }
        add(pipe);
        if selects {
            pipe.cmd("SELECT").arg(self.main);
        }
    }

    fn translate(&self, command: Command<'_>) -> Cmd {
        match command {
            Command::Set {
                key,
                value,
                expire_ms,
                ..
            } => {
                let mut set = cmd("SET");
                set.arg(self.key(key)).arg(value.as_ref());
                if let Some(expire_ms) = expire_ms {
                    set.arg("PX").arg(expire_ms);
                }
                set
            }
            Command::Unlink { keys, .. } => cmd("UNLINK").arg(self.keys(keys)).take(),
            Command::HashSet { key, field, value } => cmd("HSET")
                .arg(self.key(key))
                .arg(field)
                .arg(value.as_ref())
                .take(),
            Command::HashDelete { key, fields } => {
                cmd("HDEL").arg(self.key(key)).arg(fields).take()
            }
            Command::SetAdd { key, ids } => cmd("SADD").arg(self.key(key)).arg(ids).take(),
            Command::SetRemove { key, ids } => cmd("SREM").arg(self.key(key)).arg(ids).take(),
            Command::Index(update) => script(
                index::SCRIPT,
                &self.keys(update.keys()),
                &update.arguments(),
            ),
            Command::Users(update) => script(
                users::SCRIPT,
                &self.keys(update.keys()),
                &update.arguments(),
            ),
        }
    }

    fn reply_within(
        replies: &mut impl Iterator<Item = RedisResult<Value>>,
        database: Database,
    ) -> Option<RedisResult<Value>> {
        let selects = database == Database::Messages;
        if selects {
            replies.next();
        }
        let reply = replies.next();
        if selects {
            replies.next();
        }
        reply
    }
}

fn keys(locations: &[Location], wanted: Database) -> Vec<&str> {
    let key = |location| match location {
        &Location::Key { database, ref key } if database == wanted => Some(key.as_str()),
        _ => None,
    };
    locations.iter().filter_map(key).collect()
}

/// A value that is not text can't be ours: it counts as not cached.
fn text(value: Option<Vec<u8>>) -> Option<String> {
    String::from_utf8(value?).ok()
}

fn script(text: &str, keys: &[Cow<'_, str>], arguments: &[String]) -> Cmd {
    let mut eval = cmd("EVAL");
    eval.arg(text).arg(keys.len()).arg(keys).arg(arguments);
    eval
}
