//! Guilds that go: left, in an outage, gone while the session was.

use discord_sim::{Fault, Scope};
use serde_json::{Value, json};
use testbed::wait;

use super::bench::{Bench, LIMIT};
use super::expected::{Truth, parts};

/// A guild that is left leaves no key, no field, no id in an index; nor do its channels' messages.
pub(crate) async fn left(bench: &mut Bench) {
    let truth = bench.assert_exact().await;
    let guild = with_messages(&truth);
    let channels = channels(&truth, guild);
    bench.tell(guild, "GUILD_DELETE", &json!({"id": guild.to_string()}));
    bench.assert_exact().await;
    for id in channels.into_iter().chain([guild]) {
        let found = bench.mentions(id).await;
        assert!(found.is_empty(), "{id} is still in {found:?}");
    }
}

/// A guild in an outage says so and loses nothing; when it returns, what it has lost meanwhile is lost here, too.
pub(crate) async fn away_and_back(bench: &mut Bench) {
    let truth = bench.assert_exact().await;
    let guild = with_messages(&truth);
    let stub = json!({"id": guild.to_string(), "unavailable": true});
    let before = children(&truth, guild);
    for name in ["GUILD_DELETE", "GUILD_CREATE"] {
        bench.tell(guild, name, &stub);
        let truth = bench.assert_exact().await;
        assert_eq!(children(&truth, guild), before);
        assert_eq!(truth[&format!("guild:{guild}")]["unavailable"], true);
    }

    let whole = last_create(bench, guild);
    let mut less = whole.clone();
    for list in less.as_object_mut().unwrap().values_mut() {
        if let Some(list) = list.as_array_mut() {
            list.truncate(list.len() / 2);
        }
    }
    bench.tell(guild, "GUILD_CREATE", &less);
    let truth = bench.assert_exact().await;
    let half = children(&truth, guild);
    assert!(half > 0 && half < before);

    // Without an outage in between: grown, and shrunk again.
    bench.tell(guild, "GUILD_CREATE", &whole);
    let truth = bench.assert_exact().await;
    let all = children(&truth, guild);
    assert!(all > half);
    bench.tell(guild, "GUILD_CREATE", &less);
    let truth = bench.assert_exact().await;
    assert!(children(&truth, guild) < all);
}

/// READY of a new session removes the guilds of its shard that it doesn't list.
pub(crate) async fn gone_with_the_session(bench: &mut Bench) {
    let truth = bench.assert_exact().await;
    let some = with_messages(&truth);
    // The simulated world doesn't know of it, so it is in no READY. The same shard, and no other guild's id.
    let guild = some + (u64::from(bench.stack.shards) << 40);
    let channel = guild + 1;
    let create = json!({
        "id": guild.to_string(), "name": "gone", "member_count": 2,
        "channels": [{"id": channel.to_string(), "type": 0, "name": "talk", "topic": null}],
        "members": [{"user": {"id": "77"}, "roles": []}, {"user": {"id": "78"}, "roles": []}],
        "roles": [{"id": guild.to_string(), "name": "@everyone"}],
    });
    bench.tell(guild, "GUILD_CREATE", &create);
    let message = json!({
        "id": (guild + 2).to_string(), "channel_id": channel.to_string(), "guild_id": guild.to_string(),
        "content": "", "author": {"id": "77"}, "timestamp": "2026-11-20T08:00:00Z",
    });
    bench.tell(guild, "MESSAGE_CREATE", &message);
    bench.assert_exact().await;
    assert!(!bench.mentions(guild).await.is_empty());

    let shards = u64::from(bench.stack.shards);
    let identifies = bench.stack.sim.identifies();
    let lost = Fault::InvalidSession { resumable: false };
    bench.stack.sim.fault(lost, Scope::All);
    let begun = async || bench.stack.sim.identifies() == identifies + shards;
    wait::until("new sessions", LIMIT, begun).await.unwrap();
    bench.assert_exact().await;
    for id in [guild, channel] {
        let found = bench.mentions(id).await;
        assert!(found.is_empty(), "{id} is still in {found:?}");
    }
}

/// A guild that is there, and has messages.
fn with_messages(truth: &Truth) -> u64 {
    let mut guilds = truth
        .iter()
        .filter(|(_, value)| value["unavailable"] != true);
    let guild = guilds.find_map(|(key, _)| {
        let ("guild", ids) = parts(key) else {
            return None;
        };
        let talked = |channel: &u64| {
            let prefix = format!("message:{channel}:");
            truth.keys().any(|key| key.starts_with(&prefix))
        };
        channels(truth, ids[0]).iter().any(talked).then_some(ids[0])
    });
    guild.unwrap()
}

fn channels(truth: &Truth, guild: u64) -> Vec<u64> {
    let prefix = format!("channel:{guild}:");
    let channels = truth.keys().filter(|key| key.starts_with(&prefix));
    channels.map(|key| parts(key).1[1]).collect()
}

/// How many objects of the guild there are beside itself.
fn children(truth: &Truth, guild: u64) -> usize {
    let of_guild = |key: &&String| {
        let (family, ids) = parts(key);
        ids.len() == 2 && family != "message" && ids[0] == guild
    };
    truth.keys().filter(of_guild).count()
}

/// The last GUILD_CREATE with the whole guild.
fn last_create(bench: &Bench, guild: u64) -> Value {
    let sent = bench.stack.sent();
    let creates = sent
        .values()
        .flatten()
        .filter(|event| event.name == "GUILD_CREATE");
    let mut creates = creates.filter_map(|event| serde_json::from_str::<Value>(&event.data).ok());
    let id = guild.to_string();
    let whole = |d: &Value| d["id"] == id.as_str() && d["channels"].is_array();
    creates.rfind(whole).unwrap()
}
