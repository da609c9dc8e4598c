//! What the index sets list (dispatch-proto's README, "Redis").

use std::collections::BTreeSet;

use anyhow::Result;
use dispatch_proto::namespace::Namespace;
use dispatch_service::clock::unix_millis;
use redis::aio::MultiplexedConnection;
use redis::{AsyncCommands, cmd};
use serde_json::Value;

/// What belongs to a guild: its name in keys, and in index keys.
pub(super) const CHILDREN: [(&str, &str); 10] = [
    ("channel", "channels"),
    ("role", "roles"),
    ("emoji", "emojis"),
    ("sticker", "stickers"),
    ("member", "members"),
    ("presence", "presences"),
    ("voice", "voices"),
    ("stage", "stages"),
    ("scheduled_event", "scheduled_events"),
    ("soundboard_sound", "soundboard_sounds"),
];
/// Ids or values in one answer of Redis.
const PAGE: usize = 1_000;

/// An index set: ids, and the keys that they stand for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Index {
    key: String,
    /// Sorted set that takes its place where the objects expire.
    sorted: Option<String>,
    title: &'static str,
    /// Name of the objects' family.
    name: &'static str,
    /// What stands before the id in an object's key.
    prefix: String,
}

/// What an index lists.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Listed {
    /// Number of all objects.
    pub(super) count: usize,
    /// The first of them: id and value. No value if the object went in the meantime.
    pub(super) objects: Vec<(u64, Option<Value>)>,
}

impl Index {
    /// All guilds.
    pub(super) fn guilds() -> Self {
        Self {
            key: "index:guilds".to_owned(),
            sorted: None,
            title: "guilds",
            name: "guild",
            prefix: "guild:".to_owned(),
        }
    }

    /// Children of a guild, as [`CHILDREN`] names them.
    pub(super) fn of_guild(name: &'static str, plural: &'static str, guild: u64) -> Self {
        Self {
            key: format!("index:{plural}:{guild}"),
            sorted: (name == "member").then(|| format!("index:expiring_members:{guild}")),
            title: plural,
            name,
            prefix: format!("{name}:{guild}:"),
        }
    }

    /// Messages of a channel.
    pub(super) fn messages(channel: u64) -> Self {
        let key = format!("index:messages:{channel}");
        Self {
            sorted: Some(key.clone()),
            key,
            title: "messages",
            name: "message",
            prefix: format!("message:{channel}:"),
        }
    }

    /// What it lists.
    pub(super) fn title(&self) -> &'static str {
        self.title
    }

    /// What a person calls an object.
    pub(super) fn label(&self, value: &Value) -> String {
        let fields: &[&str] = match self.name {
            "member" => &["/nick", "/user/global_name", "/user/username"],
            "presence" => &["/status"],
            "voice" => &["/channel_id"],
            "stage" => &["/topic"],
            "message" => &["/content"],
            _ => &["/name"],
        };
        let text = |pointer: &&str| value.pointer(pointer)?.as_str();
        let label = fields.iter().find_map(text).unwrap_or("(no name)");
        match value.pointer("/author/username").and_then(Value::as_str) {
            Some(author) => format!("{author}: {label}"),
            None => label.to_owned(),
        }
    }

    /// Reads it, and the objects: the lowest ids, or those that expire last; `limit` of them, or all.
    ///
    /// # Errors
    ///
    /// If Redis can't be read.
    pub(super) async fn read(
        &self,
        redis: &mut MultiplexedConnection,
        namespace: &Namespace,
        limit: Option<usize>,
    ) -> Result<Listed> {
        let sorted = self.sorted.as_ref().map(|key| namespace.name(key));
        let (count, ids) = match &sorted {
            Some(sorted) if redis.exists(sorted).await? => alive(redis, sorted, limit).await?,
            // Redis has no empty sets: a key that is not there can be asked for as either.
            _ => members(redis, &namespace.name(&self.key), limit).await?,
        };
        let mut objects = Vec::with_capacity(ids.len());
        for page in ids.chunks(PAGE) {
            let keys: Vec<String> = page
                .iter()
                .map(|id| namespace.name(format!("{}{id}", self.prefix)).into_owned())
                .collect();
            let values: Vec<Option<String>> = cmd("MGET").arg(keys).query_async(redis).await?;
            let values = values
                .into_iter()
                .map(|text| text.map(|text| serde_json::from_str(&text).unwrap_or_default()));
            objects.extend(page.iter().copied().zip(values));
        }
        Ok(Listed { count, objects })
    }
}

/// A set's size, and its lowest ids as far as a scan up to `limit` finds them: of a set of numbers, which Redis keeps
/// as a sorted array up to 512 of them, the lowest of all.
async fn members(
    redis: &mut MultiplexedConnection,
    key: &str,
    limit: Option<usize>,
) -> Result<(usize, Vec<u64>)> {
    let limit = limit.unwrap_or(usize::MAX);
    let count: usize = redis.scard(key).await?;
    let mut ids = BTreeSet::new();
    let mut cursor = 0_u64;
    loop {
        let mut scan = cmd("SSCAN");
        scan.arg(key).arg(cursor).arg("COUNT").arg(PAGE);
        let (next, page): (u64, Vec<u64>) = scan.query_async(redis).await?;
        ids.extend(page);
        cursor = next;
        if cursor == 0 || ids.len() >= limit {
            break;
        }
    }
    Ok((count, ids.into_iter().take(limit).collect()))
}

/// Of a sorted set, how many have not expired, and those that expire last.
async fn alive(
    redis: &mut MultiplexedConnection,
    key: &str,
    limit: Option<usize>,
) -> Result<(usize, Vec<u64>)> {
    let after = format!("({}", unix_millis());
    let count = cmd("ZCOUNT")
        .arg(key)
        .arg(&after)
        .arg("+inf")
        .query_async(redis)
        .await?;
    // A negative number: no limit.
    let limit = limit.map_or(Ok(-1), i64::try_from)?;
    let mut range = cmd("ZREVRANGEBYSCORE");
    range.arg(key).arg("+inf").arg(&after);
    range.arg("LIMIT").arg(0).arg(limit);
    Ok((count, range.query_async(redis).await?))
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use testbed::servers::{Persistence, Redis};

    use super::*;

    #[test]
    fn objects_are_called_what_people_call_them() {
        let member = Index::of_guild("member", "members", 1);
        let user = json!({"username": "u", "global_name": null});
        assert_eq!(member.label(&json!({"nick": null, "user": user})), "u");
        assert_eq!(member.label(&json!({"nick": "n", "user": user})), "n");
        let message = json!({"author": {"username": "u"}, "content": "hello"});
        assert_eq!(Index::messages(1).label(&message), "u: hello");
        assert_eq!(
            Index::guilds().label(&json!({"unavailable": true})),
            "(no name)"
        );
    }

    #[tokio::test]
    async fn sets_and_sorted_sets_are_read_up_to_the_limit() {
        let dir = tempfile::tempdir().unwrap();
        let server = Redis::start(dir.path(), Persistence::None).await.unwrap();
        let mut redis = server.connection().await.unwrap();
        let roles = Index::of_guild("role", "roles", 7);
        assert_eq!(
            roles
                .read(&mut redis, &Namespace::default(), None)
                .await
                .unwrap(),
            Listed::default()
        );

        let ids: Vec<u64> = (1..=30).rev().collect();
        let _: () = redis.sadd("index:roles:7", &ids).await.unwrap();
        let _: () = redis.set("role:7:2", r#"{"name":"b"}"#).await.unwrap();
        let listed = roles
            .read(&mut redis, &Namespace::default(), Some(2))
            .await
            .unwrap();
        assert_eq!(listed.count, 30);
        assert_eq!(listed.objects, [(1, None), (2, Some(json!({"name": "b"})))]);
        assert_eq!(
            roles
                .read(&mut redis, &Namespace::default(), None)
                .await
                .unwrap()
                .objects
                .len(),
            30
        );

        let scores = [("1", 3), ("+inf", 4), ("+inf", 5)];
        let _: () = redis
            .zadd_multiple("index:expiring_members:7", &scores)
            .await
            .unwrap();
        let members = Index::of_guild("member", "members", 7);
        let listed = members
            .read(&mut redis, &Namespace::default(), Some(1))
            .await
            .unwrap();
        assert_eq!((listed.count, listed.objects), (2, vec![(5, None)]));
    }
}
