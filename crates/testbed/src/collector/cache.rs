//! Reads the state cache (layout `dispatch`) and compares it with the truth.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::Result;
use dispatch_proto::namespace::Namespace;
use redis::aio::MultiplexedConnection;
use redis::cmd;
use serde_json::Value;

/// Keys that are no entities: index sets, the services' own state, and what describes the gateway.
const NO_ENTITIES: [&str; 3] = ["index:", "dispatch:", "gateway_"];
/// Keys of one step of the scan.
const PAGE: usize = 1_000;

/// Every entity in the cache: key and JSON text. A value that is no string is given as its type in angle brackets.
///
/// # Errors
///
/// If Redis can't be read.
pub async fn read(redis: &mut MultiplexedConnection) -> Result<BTreeMap<String, String>> {
    read_within(redis, &Namespace::default()).await
}

/// As [`read`], of a namespace; the keys are given without it.
///
/// # Errors
///
/// If Redis can't be read.
pub async fn read_within(
    redis: &mut MultiplexedConnection,
    namespace: &Namespace,
) -> Result<BTreeMap<String, String>> {
    let keys: Vec<String> = keys(redis, namespace).await?.into_iter().collect();
    values(redis, namespace, &keys).await
}

async fn keys(
    redis: &mut MultiplexedConnection,
    namespace: &Namespace,
) -> Result<BTreeSet<String>> {
    let mut keys = BTreeSet::new();
    let mut cursor = 0_u64;
    loop {
        let mut scan = cmd("SCAN");
        scan.arg(cursor).arg("COUNT").arg(PAGE);
        let (next, page): (u64, Vec<String>) = scan.query_async(redis).await?;
        let entity = |key: &String| {
            // The Spectacles layout beside this one has its names in capitals.
            let spectacles = key.starts_with(|first: char| first.is_ascii_uppercase());
            !spectacles && !NO_ENTITIES.iter().any(|prefix| key.starts_with(prefix))
        };
        let local = |key: &String| namespace.local(key).map(str::to_owned);
        keys.extend(page.iter().filter_map(local).filter(entity));
        cursor = next;
        if cursor == 0 {
            return Ok(keys);
        }
    }
}

/// As [`read_within`], of these keys: those that are there.
///
/// # Errors
///
/// If Redis can't be read.
pub async fn values(
    redis: &mut MultiplexedConnection,
    namespace: &Namespace,
    keys: &[String],
) -> Result<BTreeMap<String, String>> {
    let mut entries = BTreeMap::new();
    for page in keys.chunks(PAGE) {
        let named: Vec<_> = page.iter().map(|key| namespace.name(key)).collect();
        let values: Vec<Option<String>> = cmd("MGET").arg(named).query_async(redis).await?;
        for (key, value) in page.iter().zip(values) {
            let value = match value {
                Some(value) => value,
                None => match cmd("TYPE")
                    .arg(namespace.name(key))
                    .query_async::<String>(redis)
                    .await?
                    .as_str()
                {
                    // Expired between the scan and now.
                    "none" => continue,
                    other => format!("<{other}>"),
                },
            };
            entries.insert(key.clone(), value);
        }
    }
    Ok(entries)
}

/// What differs, one line for each key, in both directions.
#[must_use]
pub fn differences(
    truth: &BTreeMap<String, Value>,
    cached: &BTreeMap<String, String>,
) -> Vec<String> {
    let keys: BTreeSet<&String> = truth.keys().chain(cached.keys()).collect();
    keys.into_iter()
        .filter_map(|key| match (truth.get(key), cached.get(key)) {
            (Some(_), None) => Some(format!("{key} is missing")),
            (None, Some(text)) => Some(format!("{key} should not be there: {text}")),
            (Some(truth), Some(text)) => match serde_json::from_str::<Value>(text) {
                Ok(cached) if cached == *truth => None,
                Ok(cached) => Some(format!("{key} differs: {}", fields(truth, &cached))),
                Err(_) => Some(format!("{key} is not JSON: {text}")),
            },
            (None, None) => None,
        })
        .collect()
}

/// The top-level fields in which two values differ.
fn fields(truth: &Value, cached: &Value) -> String {
    let (Some(truth), Some(cached)) = (truth.as_object(), cached.as_object()) else {
        return format!("expected {truth}, cached {cached}");
    };
    let names: BTreeSet<&String> = truth.keys().chain(cached.keys()).collect();
    let show = |value: Option<&Value>| value.map_or("absent".to_owned(), Value::to_string);
    names
        .into_iter()
        .filter(|name| truth.get(*name) != cached.get(*name))
        .map(|name| {
            let (truth, cached) = (show(truth.get(name)), show(cached.get(name)));
            format!("{name}: expected {truth}, cached {cached}")
        })
        .collect::<Vec<_>>()
        .join("; ")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn differences_are_seen_in_both_directions() {
        let truth = [
            ("guild:1".to_owned(), json!({"id": "1", "name": "a"})),
            ("role:1:1".to_owned(), json!({"id": "1"})),
            ("same".to_owned(), json!({"a": 1, "b": 2})),
        ];
        let cached = [
            ("guild:1".to_owned(), r#"{"id":"1","name":"b"}"#.to_owned()),
            ("member:1:1".to_owned(), "{}".to_owned()),
            ("same".to_owned(), r#"{"b":2,"a":1}"#.to_owned()),
        ];
        assert_eq!(
            differences(&truth.into(), &cached.into()),
            [
                r#"guild:1 differs: name: expected "a", cached "b""#,
                "member:1:1 should not be there: {}",
                "role:1:1 is missing"
            ]
        );
    }
}
