//! `LOG_CHANNEL` and `LOG_GUILD_CHANNEL`: the channels on Discord that are told of shards and of guilds.

use std::time::Duration;

use discord_sim::{Load, Mix};
use serde_json::Value;
use testbed::servers::{Persistence, Servers};
use testbed::stack::{Options, Stack};
use testbed::wait;

const LIMIT: Duration = Duration::from_secs(30);

#[tokio::test(flavor = "multi_thread")]
async fn shards_and_guilds_are_told_of_on_discord() {
    let servers = Servers::start(Persistence::None).await.unwrap();
    let mut options = Options::new(1, 3);
    let mut stack = Stack::start(servers, &options).await.unwrap();
    stack.ready().await.unwrap();
    assert!(stack.sim.quiet(LIMIT).await);
    // The same seed makes the same world again.
    let channel = text_channel(&stack).expect("a channel for messages");
    let mut servers = stack.stop().await.unwrap();
    servers.renew().await.unwrap();

    for setting in ["LOG_CHANNEL", "LOG_GUILD_CHANNEL"] {
        options.env.insert(setting.into(), channel.clone());
    }
    let mut stack = Stack::start(servers, &options).await.unwrap();
    stack.ready().await.unwrap();
    let load = Load {
        events: Some(1),
        rate: Some(10.0),
        mix: Mix::only(&["GUILD_CREATE"]),
        duration: None,
    };
    stack.sim.generate(load).await;
    // What comes before the session is told to nobody.
    let expected = [
        ("[Shard 0] Ready", None),
        ("Guild Join", joined_guild(&stack)),
    ];
    let told = wait::until("the messages on Discord", LIMIT, async || {
        let told = told(&stack, &channel);
        expected.iter().all(|(title, text)| {
            let fits = |(told, said): &(String, Option<String>)| {
                told == title && text.as_ref().is_none_or(|text| said.as_ref() == Some(text))
            };
            told.iter().any(fits)
        })
    });
    let told_in_time = told.await;
    told_in_time.unwrap_or_else(|error| panic!("{error}: {:?}", self::told(&stack, &channel)));
    // What the bot itself says comes back as events like any other.
    let report = stack.check(LIMIT).await.unwrap();
    assert_eq!(
        report.faults(Default::default()),
        Vec::<String>::new(),
        "{report}"
    );
    stack.stop().await.unwrap();
}

fn text_channel(stack: &Stack) -> Option<String> {
    let truth = stack.sim.truth();
    let text = truth
        .iter()
        .find(|(key, channel)| key.starts_with("channel:") && channel["type"] == 0)?;
    Some(text.1["id"].as_str()?.to_owned())
}

/// `name (id)` of the guild that was joined last.
fn joined_guild(stack: &Stack) -> Option<String> {
    let sent = &stack.sent()[&0];
    let guild = sent.iter().rfind(|event| event.name == "GUILD_CREATE")?;
    let guild: Value = serde_json::from_str(&guild.data).ok()?;
    let (name, id) = (guild["name"].as_str()?, guild["id"].as_str()?);
    Some(format!("{name} ({id})"))
}

/// Title and text of each embed in the channel.
fn told(stack: &Stack, channel: &str) -> Vec<(String, Option<String>)> {
    let mut told = Vec::new();
    for event in &stack.sent()[&0] {
        let message: Value = serde_json::from_str(&event.data).unwrap();
        if event.name == "MESSAGE_CREATE" && message["channel_id"] == channel {
            let embed = &message["embeds"][0];
            let text = |field: &str| embed[field].as_str().map(str::to_owned);
            told.extend(text("title").map(|title| (title, text("description"))));
        }
    }
    told
}
