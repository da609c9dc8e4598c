//! twilight-gateway as an independent client: it must get along with the simulator unaided.

use std::{sync::Once, time::Duration};

use discord_sim::{Fault, Load, Scope, Sim, SimConfig};
use futures_util::StreamExt;
use serde_json::Value;
use tokio::{sync::oneshot, time::timeout};
use twilight_gateway::{ConfigBuilder, Intents, Message, Shard, ShardId, queue::Queue};
use twilight_model::gateway::payload::outgoing::RequestGuildMembers;

use crate::{ALL_INTENTS, DEADLINE, config, start, until};

/// TLS is never used, but twilight wants a provider for it.
pub(crate) fn install_tls() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        rustls::crypto::ring::default_provider()
            .install_default()
            .unwrap();
    });
}

/// A queue that lets everybody in at once.
#[derive(Debug)]
struct OpenDoor;

impl Queue for OpenDoor {
    fn enqueue(&self, _: u32) -> oneshot::Receiver<()> {
        let (permit, permitted) = oneshot::channel();
        permit.send(()).unwrap();
        permitted
    }
}

struct Bot {
    shard: Shard<OpenDoor>,
    /// Sequence and event name of every dispatch.
    seen: Vec<(u64, String)>,
}

impl Bot {
    fn new(sim: &Sim) -> Self {
        install_tls();
        let intents = Intents::from_bits_truncate(ALL_INTENTS);
        let config = ConfigBuilder::new("sim-token".to_owned(), intents)
            .proxy_url(sim.gateway_url())
            .queue(OpenDoor)
            .build();
        Self {
            shard: Shard::with_config(ShardId::ONE, config),
            seen: Vec::new(),
        }
    }

    /// Polls until a dispatch of this name; returns its sequence.
    async fn event(&mut self, wanted: &str) -> u64 {
        loop {
            let message = timeout(DEADLINE, self.shard.next())
                .await
                .expect("nothing came");
            if let Some(Ok(Message::Text(text))) = message {
                let payload: Value = serde_json::from_str(&text).unwrap();
                if payload["op"] == 0 {
                    let (s, t) = (
                        payload["s"].as_u64().unwrap(),
                        payload["t"].as_str().unwrap(),
                    );
                    self.seen.push((s, t.to_owned()));
                    if t == wanted {
                        return s;
                    }
                }
            }
        }
    }

    /// Sequences seen since the last READY.
    fn sequences(&self) -> Vec<u64> {
        let start = self.seen.iter().rposition(|(_, t)| t == "READY").unwrap();
        self.seen[start..].iter().map(|(s, _)| *s).collect()
    }
}

#[tokio::test]
async fn it_identifies_and_gets_every_event_in_order() {
    let sim = start(config()).await;
    let mut bot = Bot::new(&sim);
    bot.event("READY").await;
    assert_eq!(
        sim.generate(Load {
            events: Some(500),
            ..Load::default()
        })
        .await,
        500
    );
    sim.inject(0, "THE_END", "{}");
    assert_eq!(bot.event("THE_END").await, 506);
    assert_eq!(bot.sequences(), (1..=506).collect::<Vec<_>>());
    assert!(sim.violations().is_empty());
}

#[tokio::test]
async fn it_resumes_after_drop_op_7_and_resumable_op_9() {
    let sim = start(config()).await;
    let mut bot = Bot::new(&sim);
    bot.event("READY").await;
    let faults = [
        Fault::Drop,
        Fault::Reconnect,
        Fault::InvalidSession { resumable: true },
        Fault::Close(4000),
        Fault::Close(4008),
    ];
    for (number, fault) in (1u64..).zip(faults) {
        sim.fault(fault, Scope::All);
        // Recorded in the replay buffer while the connection is gone.
        let load = Load {
            events: Some(20),
            rate: Some(5_000.0),
            ..Load::default()
        };
        assert_eq!(sim.generate(load).await, 20);
        bot.event("RESUMED").await;
        assert_eq!(sim.resumes(), number, "{fault:?}");
    }
    sim.inject(0, "THE_END", "{}");
    let last = bot.event("THE_END").await;
    assert_eq!(bot.sequences(), (1..=last).collect::<Vec<_>>());
    assert_eq!(sim.identifies(), 1);
    assert!(sim.violations().is_empty());
}

#[tokio::test]
async fn it_identifies_anew_when_the_session_is_lost() {
    let sim = start(config()).await;
    let mut bot = Bot::new(&sim);
    bot.event("READY").await;
    let losses = [
        Fault::InvalidSession { resumable: false },
        Fault::Close(4009),
    ];
    for (identifies, fault) in (2u64..).zip(losses) {
        sim.fault(fault, Scope::All);
        assert_eq!(bot.event("READY").await, 1, "{fault:?}");
        assert_eq!(sim.identifies(), identifies);
    }
}

#[tokio::test]
async fn a_zombied_connection_is_left_and_resumed() {
    let interval = Duration::from_millis(400);
    let sim = start(SimConfig {
        heartbeat_interval: interval,
        ..config()
    })
    .await;
    let mut bot = Bot::new(&sim);
    bot.event("READY").await;
    sim.fault(Fault::StallAcks(true), Scope::All);
    let resumed = async {
        until("the bot has come back", || sim.resumes() > 0).await;
        sim.fault(Fault::StallAcks(false), Scope::All);
    };
    tokio::join!(resumed, bot.event("RESUMED"));
    assert_eq!(sim.identifies(), 1);
}

#[tokio::test]
async fn its_commands_are_answered() {
    let sim = start(config()).await;
    let mut bot = Bot::new(&sim);
    bot.event("GUILD_CREATE").await;
    assert!(sim.quiet(DEADLINE).await);
    let truth = sim.truth();
    let (_, guild) = truth
        .iter()
        .find(|(key, _)| key.starts_with("guild:"))
        .unwrap();
    let id = guild["id"].as_str().unwrap().parse::<u64>().unwrap();
    let request = RequestGuildMembers::builder(id.try_into().unwrap()).query("", None);
    bot.shard.command(&request);
    bot.event("GUILD_MEMBERS_CHUNK").await;
    assert_eq!(sim.commands_received(0).len(), 1);
}

#[tokio::test]
async fn fatal_codes_end_it() {
    install_tls();
    let sim = start(config()).await;
    let config = ConfigBuilder::new("wrong".to_owned(), Intents::GUILDS)
        .proxy_url(sim.gateway_url())
        .queue(OpenDoor)
        .build();
    let mut shard = Shard::with_config(ShardId::ONE, config);
    let mut code = None;
    while let Some(message) = timeout(DEADLINE, shard.next()).await.unwrap() {
        if let Ok(Message::Close(frame)) = message {
            code = frame.map(|frame| frame.code);
        }
    }
    assert_eq!(code, Some(4004));
}
