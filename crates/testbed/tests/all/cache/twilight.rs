//! A Redis as twilight-dispatch leaves it, written as its `src/cache.rs` writes it: the first cache-writer takes the state
//! over, through kills, and gateway-ingest resumes the sessions.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use discord_sim::Mix;
use redis::aio::MultiplexedConnection;
use redis::{AsyncCommands, cmd, pipe};
use serde_json::{Map, Value, json};
use testbed::wait;

use super::bench::{Bench, LIMIT, options};
use super::contents::Contents;
use super::expected::{Truth, parts};
use crate::alone;

/// What twilight-dispatch keeps as `STATE_MESSAGE_TTL` here; the services are told another one.
const TTL: Duration = Duration::from_secs(300);
/// A guild that takes some time.
const LARGE: u64 = 42;
const MEMBERS: u64 = 20_000;

#[tokio::test(flavor = "multi_thread")]
async fn the_state_is_taken_over_and_the_sessions_are_resumed() {
    let _alone = alone().await;
    let mut bench = Bench::start(&options("dispatch", 2, 6)).await;
    // twilight-dispatch ran until here.
    bench.load(1_000, mix()).await;
    bench.settle().await;
    let sessions = leave(&mut bench).await;
    let mut redis = bench.stack.servers.redis.connection().await.unwrap();
    let () = cmd("FLUSHALL").query_async(&mut redis).await.unwrap();
    let mut state = Twilight(redis.clone());
    let truth = what_twilight_knows(bench.stack.sim.truth());
    let expected = state.write(&truth, sessions).await;

    // Two writers begin; both are killed in the middle, twice.
    let second = options("dispatch", 2, 6);
    let env = second.connected_to(&bench.stack.servers, &bench.stack.sim);
    let mut other = testbed::process::Process::start(
        testbed::binaries::Service::CacheWriter,
        "second-writer",
        bench.stack.servers.dir(),
        &env.into_iter().chain(second.env).collect(),
    )
    .unwrap();
    for left in [MEMBERS * 3 / 4, MEMBERS / 2] {
        bench.stack.writers[0].restart().unwrap();
        let begun = wait::until("members to be taken over", LIMIT, async || {
            let members: u64 = redis.scard("member_keys").await.unwrap();
            members < left
        });
        begun.await.unwrap();
        bench.stack.writers[0].kill9();
        other.kill9();
        let members: u64 = redis.scard("member_keys").await.unwrap();
        assert!(members > 0, "all was done before the kill");
        other.restart().unwrap();
    }
    bench.stack.writers[0].restart().unwrap();
    bench.stack.writers[0].ready(LIMIT).await.unwrap();
    other.ready(LIMIT).await.unwrap();
    bench.assert_cache(&expected).await;
    // Their own time to live, not a new one.
    let contents = Contents::read(&bench.stack.servers.redis, 0).await;
    let messages = contents
        .ttls
        .iter()
        .filter(|(key, _)| key.starts_with("message:"));
    let longest = messages.map(|(_, ttl)| *ttl).max();
    assert!(longest <= Some(TTL.as_millis() as i64), "{longest:?}");
    other.stop(LIMIT).await.unwrap();

    bench.stack.ingest.restart().unwrap();
    bench.stack.ready().await.unwrap();
    bench.load(800, mix()).await;
    bench.assert_events(|_| {}).await;
    assert_eq!(bench.stack.sim.identifies(), 2, "sessions were not resumed");
    let mut now = what_twilight_knows(bench.stack.sim.truth());
    now.extend(expected.into_iter().filter(|(key, _)| is_extra(key)));
    bench.assert_cache(&now).await;

    // The indexes know what a guild has.
    let shard = ((LARGE >> 22) % 2) as u32;
    let gone = json!({"id": LARGE.to_string()}).to_string();
    bench.stack.sim.inject(shard, "GUILD_DELETE", &gone);
    let purged = wait::until("the large guild to be gone", LIMIT, async || {
        let there: bool = redis.exists(format!("guild:{LARGE}")).await.unwrap();
        !there
    });
    purged.await.unwrap();
    let found = bench.mentions(LARGE).await;
    assert!(found.is_empty(), "{LARGE} is still in {found:?}");
    bench.stack.stop().await.unwrap();
}

/// A writer with switches off takes nothing over that it would not keep; a foreign key stays.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_switched_off_is_removed() {
    let _alone = alone().await;
    let mut options = options("both", 1, 2);
    for name in ["STATE_MEMBER", "STATE_MESSAGE", "STATE_EMOJI"] {
        options.env.insert(name.into(), "false".into());
    }
    let mut bench = Bench::start(&options).await;
    let sessions = leave(&mut bench).await;
    let mut redis = bench.stack.servers.redis.connection().await.unwrap();
    let () = cmd("FLUSHALL").query_async(&mut redis).await.unwrap();
    let truth = what_twilight_knows(bench.stack.sim.truth());
    let bot = truth["bot_user"]["id"].as_str().unwrap().to_owned();
    let mut expected = Twilight(redis.clone()).write(&truth, sessions).await;
    bench.stack.writers[0].restart().unwrap();
    bench.stack.writers[0].ready(LIMIT).await.unwrap();
    let own = format!(":{bot}");
    expected.retain(|key, _| match parts(key).0 {
        "member" => key.ends_with(&own),
        "message" | "emoji" => false,
        _ => true,
    });
    bench.assert_cache(&expected).await;
    // Nothing is left to be done at the next start.
    bench.stack.writers[0].restart().unwrap();
    bench.stack.writers[0].ready(LIMIT).await.unwrap();
    let objects = bench.metric("writer_twilight_objects_total").await;
    assert_eq!(objects, 0.0);
    bench.stack.router.stop(LIMIT).await.unwrap();
    bench.stack.writers[0].stop(LIMIT).await.unwrap();
}

/// Events that need nothing but what twilight-dispatch caches.
fn mix() -> Mix {
    Mix::only(&[
        "MESSAGE_CREATE",
        "MESSAGE_UPDATE",
        "MESSAGE_DELETE",
        "GUILD_MEMBER_ADD",
        "GUILD_MEMBER_UPDATE",
        "GUILD_MEMBER_REMOVE",
        "PRESENCE_UPDATE",
        "VOICE_STATE_UPDATE",
        "CHANNEL_CREATE",
        "CHANNEL_UPDATE",
        "GUILD_UPDATE",
        "GUILD_ROLE_CREATE",
        "GUILD_ROLE_UPDATE",
        "GUILD_ROLE_DELETE",
        "GUILD_EMOJIS_UPDATE",
        "USER_UPDATE",
    ])
}

/// Ends the services as twilight-dispatch's end: with sessions that can be resumed.
async fn leave(bench: &mut Bench) -> Value {
    bench.stack.ingest.stop(LIMIT).await.unwrap();
    for writer in &mut bench.stack.writers {
        writer.stop(LIMIT).await.unwrap();
    }
    let mut redis = bench.stack.servers.redis.connection().await.unwrap();
    let sessions: String = redis.get("gateway_sessions").await.unwrap();
    let sessions: Vec<Value> = serde_json::from_str(&sessions).unwrap();
    let record = |session: &Value| {
        let record = json!({
            "session_id": session["session_id"],
            "sequence": session["sequence"],
        });
        (session["shard"].to_string(), record)
    };
    sessions.iter().map(record).collect::<Map<_, _>>().into()
}

/// Without the families that it does not cache, and without threads.
fn what_twilight_knows(mut truth: Truth) -> Truth {
    truth.retain(|key, value| match parts(key).0 {
        "channel" => !matches!(value["type"].as_u64(), Some(10..=12)),
        "sticker" | "stage" | "scheduled_event" | "soundboard_sound" => false,
        _ => true,
    });
    truth
}

fn is_extra(key: &str) -> bool {
    let (_, ids) = parts(key);
    ids.first() == Some(&LARGE) || key == "channel:77"
}

/// twilight-dispatch's `cache::set_all` and `cache::expire_all`.
struct Twilight(MultiplexedConnection);

impl Twilight {
    /// Writes the truth, a large guild, a private channel, and what can't be taken over; returns what the cache is to hold then.
    async fn write(&mut self, truth: &Truth, sessions: Value) -> Truth {
        let mut kept = truth.clone();
        let large = json!({"id": LARGE.to_string(), "name": "large"});
        kept.insert(format!("guild:{LARGE}"), large);
        for user in 1..=MEMBERS {
            let member = json!({
                "guild_id": LARGE.to_string(),
                "user": {"id": user.to_string(), "username": "somebody"},
                "roles": [],
            });
            kept.insert(format!("member:{LARGE}:{user}"), member);
        }
        let private = json!({"id": "77", "type": 1, "recipients": []});
        kept.insert("channel:77".into(), private);
        let mut written: Vec<(String, Value)> = kept
            .iter()
            .map(|(key, value)| (key.clone(), as_twilight_writes(key, value.clone())))
            .collect();
        // Of no guild that it names; over; not what its key says.
        written.push(("channel:78".into(), json!({"id": "78", "type": 0})));
        written.push((
            "message:77:80".into(),
            json!({"id": "80", "channel_id": "77"}),
        ));
        written.push((format!("role:{LARGE}:81"), json!({"id": "82"})));
        for page in written.chunks(2_000) {
            self.set_all(page).await;
        }
        self.expire("message:77:80", Duration::ZERO).await;
        let expiring = written.iter().filter(|(key, _)| {
            ["member:", "message:"]
                .iter()
                .any(|kind| key.starts_with(kind))
                && *key != "message:77:80"
        });
        let mut expiries = pipe();
        for (key, _) in expiring {
            expiries.hset("expiry_keys", key, timestamp(TTL)).ignore();
        }
        let () = expiries.query_async(&mut self.0).await.unwrap();
        // Left by a crash between its commands.
        let () = self.0.sadd("role_keys", "role:1:2").await.unwrap();
        let total = sessions.as_object().unwrap().len();
        let gateway = [
            ("gateway_sessions", sessions.to_string()),
            ("gateway_shards", total.to_string()),
            ("gateway_started", timestamp(Duration::ZERO)),
            ("gateway_statuses", "[]".to_owned()),
        ];
        let () = self.0.mset(&gateway).await.unwrap();
        kept
    }

    async fn set_all(&mut self, objects: &[(String, Value)]) {
        let mut lists: BTreeMap<String, Vec<String>> = BTreeMap::new();
        let mut values = Vec::new();
        for (key, value) in objects {
            let parts: Vec<&str> = key.split(':').collect();
            let new_key = if parts.len() > 2 && parts[0] == "channel" {
                format!("{}:{}", parts[0], parts[2])
            } else {
                key.clone()
            };
            let mut list = |set: String| lists.entry(set).or_default().push(new_key.clone());
            if parts.len() > 1 {
                list(format!("{}_keys", parts[0]));
            }
            if parts.len() > 2 {
                let parent = if parts[0] == "message" {
                    "channel"
                } else {
                    "guild"
                };
                list(format!("{parent}_keys:{}", parts[1]));
            }
            values.push((new_key, value.to_string()));
        }
        let () = self.0.mset(&values).await.unwrap();
        for (set, keys) in lists {
            let () = self.0.sadd(set, keys).await.unwrap();
        }
    }

    async fn expire(&mut self, key: &str, after: Duration) {
        let () = self
            .0
            .hset("expiry_keys", key, timestamp(after))
            .await
            .unwrap();
    }
}

/// Guilds with their lists emptied, objects of a guild without its id but for those that have it as a field of their own.
fn as_twilight_writes(key: &str, mut value: Value) -> Value {
    let fields = value.as_object_mut().unwrap();
    match parts(key).0 {
        "guild" => {
            for list in [
                "channels",
                "roles",
                "emojis",
                "members",
                "presences",
                "voice_states",
            ] {
                fields.insert(list.into(), json!([]));
            }
        }
        "role" | "emoji" => drop(fields.shift_remove("guild_id")),
        _ => {}
    }
    value
}

/// As its `FormattedDateTime` writes it.
fn timestamp(from_now: Duration) -> String {
    let at = SystemTime::now().duration_since(UNIX_EPOCH).unwrap() + from_now;
    let (seconds, subsecond) = (at.as_secs(), at.subsec_micros());
    let (mut days, mut year) = (seconds / 86_400, 1970);
    // Until 2100.
    let leap = |year: u64| year.is_multiple_of(4);
    let length = |year| if leap(year) { 366 } else { 365 };
    while days >= length(year) {
        days -= length(year);
        year += 1;
    }
    let february = if leap(year) { 29 } else { 28 };
    let mut month = 1;
    for length in [31, february, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31] {
        if days < length {
            break;
        }
        days -= length;
        month += 1;
    }
    let (hour, minute, second) = (seconds / 3_600 % 24, seconds / 60 % 60, seconds % 60);
    let day = days + 1;
    format!("\"{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{subsecond:06}\"")
}
