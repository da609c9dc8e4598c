//! What Redis holds, whatever it is.

use std::collections::{BTreeMap, BTreeSet};

use dispatch_service::clock::unix_millis;
use redis::aio::MultiplexedConnection;
use redis::{cmd, pipe};
use serde_json::Value;
use testbed::servers::Redis;

/// Keys of one step of the scan.
const PAGE: usize = 500;

/// The value of a key.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Stored {
    /// A string of JSON.
    Text(Value),
    /// A hash whose fields are JSON.
    Hash(BTreeMap<String, Value>),
    /// A set of ids.
    Set(BTreeSet<u64>),
    /// A sorted set of ids whose scores lie ahead.
    Sorted(BTreeSet<u64>),
}

/// A database: the value of each key.
pub(crate) type Database = BTreeMap<String, Stored>;

/// A database as it was read.
#[derive(Debug, Default)]
pub(crate) struct Contents {
    pub(crate) values: Database,
    /// `PTTL` of each key: milliseconds, −1 for ever.
    pub(crate) ttls: BTreeMap<String, i64>,
    /// The scores of each sorted set, in milliseconds from now.
    pub(crate) scores: BTreeMap<String, BTreeMap<u64, f64>>,
}

impl Contents {
    /// Every key but the services' own state, what describes the gateway, and the counts.
    pub(crate) async fn read(redis: &Redis, database: i64) -> Self {
        let mut connection = redis.connection().await.unwrap();
        let connection = &mut connection;
        let () = cmd("SELECT")
            .arg(database)
            .query_async(connection)
            .await
            .unwrap();
        let mut contents = Self::default();
        let keys: Vec<String> = keys(connection).await.into_iter().collect();
        for page in keys.chunks(PAGE) {
            contents.add(page, connection).await;
        }
        contents
    }

    async fn add(&mut self, keys: &[String], connection: &mut MultiplexedConnection) {
        let mut about = pipe();
        for key in keys {
            about.cmd("TYPE").arg(key).cmd("PTTL").arg(key);
        }
        let about: Vec<redis::Value> = about.query_async(connection).await.unwrap();
        let mut values = pipe();
        let mut kinds = Vec::new();
        let mut there = Vec::new();
        for (key, about) in keys.iter().zip(about.chunks(2)) {
            let kind: String = redis::from_redis_value(about[0].clone()).unwrap();
            let ttl: i64 = redis::from_redis_value(about[1].clone()).unwrap();
            match kind.as_str() {
                "string" => values.cmd("GET").arg(key),
                "hash" => values.cmd("HGETALL").arg(key),
                "set" => values.cmd("SMEMBERS").arg(key),
                "zset" => values
                    .cmd("ZRANGE")
                    .arg(key)
                    .arg("0")
                    .arg("-1")
                    .arg("WITHSCORES"),
                // Expired since the scan.
                "none" => continue,
                other => panic!("{key} is a {other}"),
            };
            self.ttls.insert(key.clone(), ttl);
            there.push(key);
            kinds.push(kind);
        }
        let values: Vec<redis::Value> = values.query_async(connection).await.unwrap();
        for ((key, kind), value) in there.into_iter().zip(kinds).zip(values) {
            match self.stored(key, &kind, value) {
                Some(stored) => self.values.insert(key.clone(), stored),
                None => self.values.remove(key),
            };
        }
    }

    /// None: it has expired since its type was asked.
    fn stored(&mut self, key: &str, kind: &str, value: redis::Value) -> Option<Stored> {
        let json = |text: &String| serde_json::from_str::<Value>(text).unwrap();
        let stored = match kind {
            "string" => {
                let text: Option<String> = redis::from_redis_value(value).unwrap();
                Stored::Text(json(&text?))
            }
            "hash" => {
                let fields: BTreeMap<String, String> = redis::from_redis_value(value).unwrap();
                Stored::Hash(
                    fields
                        .iter()
                        .map(|(field, text)| (field.clone(), json(text)))
                        .collect(),
                )
            }
            "set" => Stored::Set(redis::from_redis_value(value).unwrap()),
            _ => {
                let scored: Vec<(u64, f64)> = redis::from_redis_value(value).unwrap();
                let now = unix_millis() as f64;
                let scores: BTreeMap<u64, f64> = scored
                    .into_iter()
                    .map(|(id, score)| (id, score - now))
                    .collect();
                let ahead = scores.iter().filter(|(_, left)| **left > 0.0);
                let ahead = ahead.map(|(id, _)| *id).collect();
                self.scores.insert(key.to_owned(), scores);
                Stored::Sorted(ahead)
            }
        };
        Some(stored)
    }

    /// Keys, fields and ids in which `id` occurs as a whole.
    pub(crate) fn mentions(&self, id: u64) -> Vec<String> {
        let text = id.to_string();
        let names = |name: &str| name.split(':').any(|part| part == text);
        let mut found = Vec::new();
        for (key, stored) in &self.values {
            let inside = match stored {
                Stored::Text(_) => false,
                Stored::Hash(fields) => fields.contains_key(&text),
                Stored::Set(ids) | Stored::Sorted(ids) => ids.contains(&id),
            };
            if inside || names(key) {
                found.push(key.clone());
            }
        }
        found
    }
}

async fn keys(connection: &mut MultiplexedConnection) -> BTreeSet<String> {
    let own = |key: &String| {
        key == "index:counts" || key.starts_with("dispatch:") || key.starts_with("gateway_")
    };
    let (mut keys, mut cursor) = (BTreeSet::new(), 0_u64);
    loop {
        let mut scan = cmd("SCAN");
        scan.arg(cursor).arg("COUNT").arg(PAGE);
        let (next, page): (u64, Vec<String>) = scan.query_async(connection).await.unwrap();
        keys.extend(page.into_iter().filter(|key| !own(key)));
        cursor = next;
        if cursor == 0 {
            return keys;
        }
    }
}

/// What differs between two databases, one line for each key.
pub(crate) fn differences(expected: &Database, held: &Database) -> Vec<String> {
    let keys: BTreeSet<&String> = expected.keys().chain(held.keys()).collect();
    keys.into_iter()
        .filter_map(|key| match (expected.get(key), held.get(key)) {
            (Some(expected), Some(held)) if expected == held => None,
            (Some(Stored::Hash(expected)), Some(Stored::Hash(held))) => {
                let fields: BTreeSet<&String> = expected.keys().chain(held.keys()).collect();
                let wrong = fields
                    .into_iter()
                    .find(|field| expected.get(*field) != held.get(*field));
                let wrong = wrong?;
                let (expected, held) = (expected.get(wrong), held.get(wrong));
                Some(format!(
                    "{key} {wrong}: expected {expected:?}, holds {held:?}"
                ))
            }
            (expected, held) => Some(format!("{key}: expected {expected:?}, holds {held:?}")),
        })
        .collect()
}
