//! What is switched off is not stored and has no `old`; the rest is as exact as ever.

use discord_sim::Mix;
use testbed::collector::check::Expected;
use testbed::stack::Options;

use super::bench::{Bench, alone, options};
use super::expected::{Truth, parts};

#[tokio::test(flavor = "multi_thread")]
async fn families_that_are_switched_off_are_not_stored() {
    let _alone = alone().await;
    let off = [
        "STATE_MESSAGE",
        "STATE_PRESENCE",
        "STATE_EMOJI",
        "STATE_VOICE",
    ];
    let mut bench = Bench::start(&without(&off)).await;
    bench.load(1_500, Mix::realistic()).await;
    bench.assert_events(without_old_of_families).await;
    let truth = without_families(
        bench.stack.sim.truth(),
        &["message", "presence", "emoji", "sticker", "voice"],
    );
    bench.assert_cache(&truth).await;

    let mut bench = Bench::on(
        bench.renewed().await,
        &without(&["STATE_MEMBER", "STATE_OLD"]),
    )
    .await;
    bench.load(1_000, Mix::realistic()).await;
    bench.assert_events(|event| event.old = None).await;
    let mut truth = without_families(bench.stack.sim.truth(), &["member"]);
    take_member_counts(&bench, &mut truth).await;
    bench.assert_cache(&truth).await;

    let mut bench = Bench::on(bench.renewed().await, &without(&["STATE_ENABLED"])).await;
    bench.load(1_000, Mix::realistic()).await;
    bench.assert_events(|event| event.old = None).await;
    bench.assert_cache(&Truth::new()).await;
    bench.stack.stop().await.unwrap();
}

fn without(switches: &[&str]) -> Options {
    let mut options = options("both", 2, 10);
    let off = switches
        .iter()
        .map(|switch| ((*switch).to_owned(), "false".to_owned()));
    options.env.extend(off);
    options
}

fn without_old_of_families(event: &mut Expected) {
    let name = event.name.as_str();
    let families = [
        "MESSAGE_",
        "PRESENCE_",
        "GUILD_EMOJIS_",
        "GUILD_STICKERS_",
        "VOICE_STATE_",
    ];
    if families.iter().any(|family| name.starts_with(family)) {
        event.old = None;
    }
}

fn without_families(mut truth: Truth, families: &[&str]) -> Truth {
    truth.retain(|key, _| !families.contains(&parts(key).0));
    truth
}

/// Without a cache of members a repeated GUILD_MEMBER_ADD can't be told from a first one: `member_count` is what it is, but
/// not below the truth.
async fn take_member_counts(bench: &Bench, truth: &mut Truth) {
    let redis = &bench.stack.servers.redis;
    let mut redis = redis.connection().await.unwrap();
    for (key, guild) in truth
        .iter_mut()
        .filter(|(key, _)| key.starts_with("guild:"))
    {
        let text: Option<String> = redis::cmd("GET")
            .arg(key)
            .query_async(&mut redis)
            .await
            .unwrap();
        let Some(counted) = guild
            .get("member_count")
            .and_then(serde_json::Value::as_u64)
        else {
            continue;
        };
        let held: serde_json::Value = serde_json::from_str(&text.unwrap()).unwrap();
        let held = held["member_count"].as_u64().unwrap();
        assert!(held >= counted, "{key}: {held} members, {counted} at least");
        guild["member_count"] = held.into();
    }
}
