//! What is switched off is not stored and has no `old`; the rest is as exact as ever.

use discord_sim::Mix;
use testbed::collector::check::Expected;
use testbed::stack::Options;

use super::bench::{Bench, options};
use super::expected::{Truth, parts};
use crate::alone;

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
    bench.assert_events(without_old_but_of_guilds).await;
    let truth = with_own_members_alone(bench.stack.sim.truth());
    assert!(truth.keys().any(|key| key.starts_with("member:")));
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

/// A join is told by the absence of `old`, whatever `STATE_OLD` says.
fn without_old_but_of_guilds(event: &mut Expected) {
    if !["GUILD_CREATE", "GUILD_DELETE"].contains(&event.name.as_str()) {
        event.old = None;
    }
}

/// The bot's own member is cached whatever `STATE_MEMBER` says.
fn with_own_members_alone(mut truth: Truth) -> Truth {
    let bot: u64 = truth["bot_user"]["id"].as_str().unwrap().parse().unwrap();
    truth.retain(|key, _| {
        let (family, ids) = parts(key);
        family != "member" || ids.last() == Some(&bot)
    });
    truth
}
