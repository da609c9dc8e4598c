//! Sessions: IDENTIFY, READY, the guilds, RESUME and its limits, several shards and totals.

use std::{collections::BTreeSet, time::Duration};

use discord_sim::{Load, Mix, SimConfig, WorldConfig};
use serde_json::json;

use crate::{DEADLINE, client::RawClient, config, start, until};

fn events(count: u64) -> Load {
    Load {
        events: Some(count),
        ..Load::default()
    }
}

#[tokio::test]
async fn ready_is_followed_by_the_guilds_it_lists() {
    let sim = start(config()).await;
    let (mut client, ready) = RawClient::ready(&sim, 0, 1).await;
    assert_eq!(ready["s"], 1);
    let d = &ready["d"];
    assert_eq!(d["v"], 10);
    assert_eq!(d["shard"], json!([0, 1]));
    assert_eq!(d["resume_gateway_url"], sim.gateway_url());
    assert!(d["user"]["id"].is_string() && d["application"]["id"].is_string());
    let listed: BTreeSet<_> = d["guilds"]
        .as_array()
        .unwrap()
        .iter()
        .map(|g| g["id"].to_string())
        .collect();
    assert_eq!(listed.len(), 4);
    let mut created = BTreeSet::new();
    for sequence in 2..6 {
        let create = client.event("GUILD_CREATE").await;
        assert_eq!(create["s"], sequence);
        created.insert(create["d"]["id"].to_string());
    }
    assert_eq!(created, listed);
}

#[tokio::test]
async fn events_come_in_order_as_the_log_has_them() {
    let sim = start(config()).await;
    let (mut client, _) = RawClient::ready(&sim, 0, 1).await;
    assert_eq!(sim.generate(events(500)).await, 500);
    let received = client.events_to(505).await;
    assert!(sim.quiet(DEADLINE).await);
    let sent = sim.sent(0);
    assert_eq!(sent.len(), 505);
    for (received, sent) in received.iter().zip(&sent[1..]) {
        assert_eq!(received["s"], sent.seq);
        assert_eq!(received["t"], sent.t.as_str());
        let d: serde_json::Value = serde_json::from_str(&sent.d).unwrap();
        assert_eq!(received["d"], d);
        assert!(sent.delivered && sent.session_live && sent.session == client.session);
    }
    assert!(sent.iter().any(|event| event.old.is_some()));
    assert!(!sim.truth().is_empty());
}

#[tokio::test]
async fn a_resume_replays_what_was_missed() {
    let sim = start(config()).await;
    let (mut client, _) = RawClient::ready(&sim, 0, 1).await;
    client.events_to(5).await;
    client.close(4000).await;
    until("the session is disconnected", || {
        !sim.sessions()[0].connected
    })
    .await;
    let load = Load {
        rate: Some(10_000.0),
        ..events(50)
    };
    assert_eq!(sim.generate(load).await, 50);
    assert!(!sim.quiet(Duration::ZERO).await);
    assert!(
        sim.sent(0)
            .iter()
            .skip(5)
            .all(|event| !event.delivered && event.old.is_none())
    );

    let mut client = RawClient::resume(&sim, &client.session, 3).await;
    let replayed = client.events_to(56).await;
    let sequences: Vec<_> = replayed.iter().map(|e| e["s"].as_u64().unwrap()).collect();
    assert_eq!(sequences, (4..=56).collect::<Vec<_>>());
    assert_eq!(replayed.last().unwrap()["t"], "RESUMED");
    assert!(sim.quiet(DEADLINE).await);
    assert!(sim.sent(0).iter().all(|event| event.delivered));
    assert_eq!((sim.identifies(), sim.resumes()), (1, 1));
}

#[tokio::test]
async fn a_resume_takes_the_session_from_the_connection_that_has_it() {
    let sim = start(config()).await;
    let (mut first, _) = RawClient::ready(&sim, 0, 1).await;
    first.events_to(5).await;
    let mut second = RawClient::resume(&sim, &first.session, 5).await;
    second.event("RESUMED").await;
    assert_eq!(first.closed().await, 4000);
    assert_eq!(sim.generate(events(20)).await, 20);
    assert_eq!(second.events_to(26).await.len(), 20);
}

#[tokio::test]
async fn a_session_that_is_owed_too_much_ends() {
    let sim = start(SimConfig {
        replay_limit: 10,
        ..config()
    })
    .await;
    let (mut client, _) = RawClient::ready(&sim, 0, 1).await;
    client.events_to(5).await;
    client.close(4000).await;
    until("the session is disconnected", || {
        !sim.sessions()[0].connected
    })
    .await;
    // The load runs out of sessions before it runs out of events.
    let load = Load {
        rate: Some(10_000.0),
        duration: Some(Duration::from_millis(300)),
        ..events(100)
    };
    assert!(sim.generate(load).await < 100);
    assert!(sim.sessions().is_empty());
    let owed = sim.sent(0);
    assert!(
        owed.iter()
            .any(|event| !event.delivered && !event.session_live)
    );
    let mut client = RawClient::resume(&sim, &client.session, 5).await;
    assert_eq!(client.op(9).await["d"], false);
    // The connection is still good for an IDENTIFY.
    client.identify(0, 1).await;
    client.event("READY").await;
    // What could not be delivered is not in the truth.
    assert!(sim.quiet(DEADLINE).await);
    let lost: Vec<_> = owed
        .iter()
        .filter(|event| !event.delivered && event.t == "MESSAGE_CREATE")
        .map(|event| serde_json::from_str::<serde_json::Value>(&event.d).unwrap())
        .collect();
    let truth = sim.truth();
    for message in lost {
        let channel = message["channel_id"].as_str().unwrap();
        let key = format!("message:{channel}:{}", message["id"].as_str().unwrap());
        assert!(!truth.contains_key(&key));
    }
}

#[tokio::test]
async fn a_disconnected_session_expires() {
    let lifetime = Duration::from_millis(50);
    let sim = start(SimConfig {
        session_lifetime: lifetime,
        ..config()
    })
    .await;
    let (mut client, _) = RawClient::ready(&sim, 0, 1).await;
    client.close(4000).await;
    until("the session is disconnected", || {
        sim.sessions()
            .first()
            .is_none_or(|session| !session.connected)
    })
    .await;
    tokio::time::sleep(lifetime).await;
    let mut client = RawClient::resume(&sim, &client.session, 1).await;
    assert_eq!(client.op(9).await["d"], false);
    assert_eq!(sim.invalid_sessions(), 1);
}

#[tokio::test]
async fn identify_too_soon_is_an_invalid_session() {
    let interval = Duration::from_secs(60);
    let sim = start(SimConfig {
        identify_interval: interval,
        max_concurrency: 2,
        ..config()
    })
    .await;
    let (_first, _) = RawClient::ready(&sim, 0, 4).await;
    let (_other_bucket, _) = RawClient::ready(&sim, 1, 4).await;
    let mut same_bucket = RawClient::hello(&sim).await;
    same_bucket.identify(2, 4).await;
    assert_eq!(same_bucket.op(9).await["d"], false);
    assert_eq!((sim.identifies(), sim.violations().len()), (2, 1));
}

#[tokio::test]
async fn used_up_session_starts_are_4004() {
    let sim = start(SimConfig {
        session_start_limit: 1,
        ..config()
    })
    .await;
    let (_client, _) = RawClient::ready(&sim, 0, 1).await;
    let mut client = RawClient::hello(&sim).await;
    client.identify(0, 1).await;
    assert_eq!(client.closed().await, 4004);
}

#[tokio::test]
async fn each_shard_gets_its_own_guilds() {
    let world = WorldConfig {
        guilds: 20,
        members_per_guild: 5,
        ..WorldConfig::default()
    };
    let sim = start(SimConfig { world, ..config() }).await;
    let (mut zero, _) = RawClient::ready(&sim, 0, 2).await;
    let (mut one, _) = RawClient::ready(&sim, 1, 2).await;
    let load = Load {
        mix: Mix::only(&["MESSAGE_CREATE"]),
        ..events(200)
    };
    assert_eq!(sim.generate(load).await, 200);
    assert!(sim.quiet(DEADLINE).await);
    for (shard, client) in [(0, &mut zero), (1, &mut one)] {
        let sent = sim.sent(shard);
        for event in client.events_to(sent.last().unwrap().seq).await {
            let guild = match event["t"].as_str().unwrap() {
                "GUILD_CREATE" => event["d"]["id"].as_str(),
                _ => event["d"]["guild_id"].as_str(),
            };
            let guild = guild.map_or(0, |id| id.parse::<u64>().unwrap());
            assert_eq!((guild >> 22) % 2, u64::from(shard), "{event}");
        }
    }
    assert!(sim.sent(0).len() + sim.sent(1).len() >= 222);
}

/// "Gateway events that do not contain a guild_id will only be sent to the first shard".
#[tokio::test]
async fn what_is_in_no_guild_comes_to_the_first_shard() {
    let sim = start(config()).await;
    let (mut zero, _) = RawClient::ready(&sim, 0, 2).await;
    let (mut one, _) = RawClient::ready(&sim, 1, 2).await;
    let mix = Mix::only(&[
        "USER_UPDATE",
        "SUBSCRIPTION_CREATE",
        "ENTITLEMENT_CREATE",
        "TYPING_START",
    ]);
    let load = Load { mix, ..events(400) };
    assert_eq!(sim.generate(load).await, 400);
    let load = Load {
        mix: Mix::only(&["MESSAGE_CREATE"]),
        ..events(200)
    };
    assert_eq!(sim.generate(load).await, 200);
    assert!(sim.quiet(DEADLINE).await);
    let mut without = BTreeSet::new();
    for (shard, client) in [(0, &mut zero), (1, &mut one)] {
        let last = sim.sent(shard).last().unwrap().seq;
        for event in client.events_to(last).await {
            if event["t"] != "GUILD_CREATE" && event["d"].get("guild_id").is_none() {
                assert_eq!(shard, 0, "{event}");
                without.insert(event["t"].as_str().unwrap().to_owned());
            }
        }
    }
    assert_eq!(without.len(), 5, "{without:?}");
}

#[tokio::test]
async fn a_newer_session_of_a_shard_takes_over_the_truth() {
    let sim = start(config()).await;
    let (mut old, _) = RawClient::ready(&sim, 0, 1).await;
    old.events_to(5).await;
    let (mut new, _) = RawClient::ready(&sim, 0, 1).await;
    let mix = Mix::only(&["MESSAGE_CREATE"]);
    assert_eq!(sim.generate(Load { mix, ..events(10) }).await, 10);
    // As at Discord, both are told.
    old.events_to(15).await;
    new.events_to(15).await;
    assert!(sim.quiet(DEADLINE).await);
    assert_eq!(sim.sent(0).len(), 30);
    assert_eq!(
        sim.truth()
            .keys()
            .filter(|key| key.starts_with("message:"))
            .count(),
        10
    );
    old.close(4000).await;
    until("the old session is gone", || sim.sessions().len() == 1).await;
    assert_eq!(sim.sessions()[0].id, new.session);
}

#[tokio::test]
async fn totals_may_coexist() {
    let sim = start(config()).await;
    let (mut old, _) = RawClient::ready(&sim, 0, 1).await;
    let (mut new, _) = RawClient::ready(&sim, 0, 2).await;
    let (_other, _) = RawClient::ready(&sim, 1, 2).await;
    assert_eq!(sim.generate(events(50)).await, 50);
    assert_eq!(old.events_to(55).await.len(), 54);
    let last = sim.sent(0).last().unwrap().seq;
    assert_eq!(new.events_to(last).await.len() as u64, last - 1);
}

#[tokio::test]
async fn intents_leave_events_out() {
    let sim = start(config()).await;
    let mut client = RawClient::hello(&sim).await;
    let mut d = crate::client::identify(0, 1);
    d["intents"] = json!(1 << 9);
    client.send(&json!({"op": 2, "d": d})).await;
    client.event("READY").await;
    let mix = Mix::only(&["MESSAGE_CREATE", "TYPING_START", "GUILD_ROLE_UPDATE"]);
    sim.generate(Load { mix, ..events(30) }).await;
    assert!(sim.quiet(DEADLINE).await);
    let events = sim.sent(0);
    assert!(events.iter().any(|event| event.t == "MESSAGE_CREATE"));
    assert!(
        !events
            .iter()
            .any(|e| e.t == "TYPING_START" || e.t == "GUILD_ROLE_UPDATE")
    );
}

#[tokio::test]
async fn a_new_session_is_consistent_with_the_world_under_load() {
    let sim = start(config()).await;
    let (_keep, _) = RawClient::ready(&sim, 1, 2).await;
    let load = sim.clone();
    let running = tokio::spawn(async move { load.generate(Load::default()).await });
    for _ in 0..5 {
        let (mut client, ready) = RawClient::ready(&sim, 0, 2).await;
        let listed: BTreeSet<_> = ready["d"]["guilds"]
            .as_array()
            .unwrap()
            .iter()
            .map(|g| g["id"].to_string())
            .collect();
        // The guilds come first, before anything else that happens.
        for _ in 0..listed.len() {
            let payload = client.payload().await;
            assert!(
                listed.contains(&payload["d"]["id"].to_string()),
                "{payload}"
            );
        }
        client.close(1000).await;
    }
    sim.stop_load();
    running.await.unwrap();
}

#[tokio::test]
async fn times_pass_faster_on_request() {
    let sim = start(SimConfig {
        time_scale: 100.0,
        ..config()
    })
    .await;
    let mut client = RawClient::connect(&sim, "v=10&encoding=json").await;
    let hello = client.op(10).await;
    assert_eq!(hello["d"]["heartbeat_interval"], 412);
    let command = json!({"do": "command", "name": "ping"});
    sim.act(&serde_json::from_value(command).unwrap()).unwrap();
    let begun = std::time::Instant::now();
    until("the interaction is overdue", || {
        sim.status().interactions.unanswered == 1
    })
    .await;
    assert!(begun.elapsed() < std::time::Duration::from_secs(2));
}
