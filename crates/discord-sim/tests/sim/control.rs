//! The control API.

use serde_json::json;

use crate::{
    DEADLINE,
    client::RawClient,
    config,
    http::{get, post, request},
    start, until,
};

#[tokio::test]
async fn a_load_can_be_started_watched_and_stopped() {
    let sim = start(config()).await;
    let base = sim.http_url();
    let (_client, _) = RawClient::ready(&sim, 0, 1).await;
    let body = json!({"rate": 2_000.0, "mix": ["MESSAGE_CREATE"]});
    assert_eq!(post(&base, "/sim/load", &body).await.0, 202);
    until("events are made", || sim.counts().produced > 20).await;
    assert_eq!(
        request(&base, "DELETE", "/sim/load", None, None).await.0,
        204
    );
    assert!(sim.quiet(DEADLINE).await);
    let (_, status) = get(&base, "/sim/status").await;
    assert_eq!(status["counts"]["identifies"], 1);
    assert_eq!(status["sessions"][0]["connected"], true);
    assert_eq!(status["gateway_url"], sim.gateway_url());

    let (_, events) = get(&base, "/sim/sent?shard=0&after=5&limit=3").await;
    assert_eq!(events.as_array().unwrap().len(), 3);
    assert_eq!(events[0]["seq"], 6);
    assert_eq!(events[0]["t"], "MESSAGE_CREATE");
    assert_eq!(events[0]["delivered"], true);
    let (_, truth) = get(&base, "/sim/truth?prefix=guild:").await;
    let (key, guild) = truth.as_object().unwrap().iter().next().unwrap();
    assert_eq!(truth.as_object().unwrap().len(), 4);
    assert_eq!(
        get(&base, &format!("/sim/truth/{key}")).await,
        (200, guild.clone())
    );
    assert_eq!(get(&base, "/sim/truth/guild:7").await.0, 404);
}

#[tokio::test]
async fn faults_poison_and_commands_go_over_http_too() {
    let sim = start(config()).await;
    let base = sim.http_url();
    let (mut client, _) = RawClient::ready(&sim, 0, 1).await;
    let (_, told) = post(&base, "/sim/inject", &json!({"t": "ODD", "d": "[1,2]"})).await;
    assert_eq!(told, json!({"sessions": 1}));
    assert_eq!(client.event("ODD").await["d"], json!([1, 2]));
    assert_eq!(
        post(&base, "/sim/inject", &json!({"t": "ODD"})).await.0,
        400
    );
    client
        .send(&json!({"op": 31, "d": {"guild_ids": []}}))
        .await;
    client.send(&json!({"op": 1, "d": null})).await;
    client.op(11).await;
    let (_, commands) = get(&base, "/sim/commands?shard=0").await;
    assert_eq!(commands[0]["payload"]["op"], 31);
    for (path, body) in [
        ("/sim/fault", json!({"fault": "drop", "shard": 9})),
        (
            "/sim/fault",
            json!({"fault": {"stall_acks": true}, "shard": 1}),
        ),
        ("/sim/inject", json!({"t": "ODD", "d": "1", "shard": 1})),
    ] {
        let (status, refused) = post(&base, path, &body).await;
        assert_eq!(status, 400, "{body}");
        assert!(
            refused["error"].as_str().unwrap().contains("of 1"),
            "{refused}"
        );
    }
    let (_, reached) = post(&base, "/sim/fault", &json!({"fault": "drop", "shard": 0})).await;
    assert_eq!(reached, json!({"reached": 1}));
    client.gone().await;
    assert_eq!(
        post(&base, "/sim/fault", &json!({"fault": "earthquake"}))
            .await
            .0,
        422
    );
}
