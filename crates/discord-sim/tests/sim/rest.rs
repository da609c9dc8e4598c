//! REST: with twilight-http, and by hand for what a well-behaved client does not do.

use discord_sim::{Sim, SimConfig};
use serde_json::json;
use twilight_http::Client;
use twilight_model::id::Id;

use crate::{DEADLINE, client::RawClient, config, http::request, start, twilight::install_tls};

fn client(sim: &Sim, token: &str) -> Client {
    install_tls();
    let host = sim.http_url().trim_start_matches("http://").to_owned();
    Client::builder()
        .proxy(host, true)
        .ratelimiter(None)
        .token(token.to_owned())
        .build()
}

/// The first text channel of the first guild, from the truth.
fn a_text_channel(sim: &Sim) -> u64 {
    let truth = sim.truth();
    let channel = truth
        .iter()
        .find(|(key, value)| {
            key.starts_with("channel:") && value["type"] == 0 && value["name"] != "___hidden___"
        })
        .unwrap();
    channel.1["id"].as_str().unwrap().parse().unwrap()
}

#[tokio::test]
async fn a_bot_finds_what_it_needs_to_start() {
    let sim = start(SimConfig {
        recommended_shards: 3,
        max_concurrency: 2,
        ..config()
    })
    .await;
    let client = client(&sim, "sim-token");
    let gateway = client
        .gateway()
        .authed()
        .await
        .unwrap()
        .model()
        .await
        .unwrap();
    assert_eq!((gateway.url, gateway.shards), (sim.gateway_url(), 3));
    let limit = gateway.session_start_limit;
    assert_eq!(
        (limit.max_concurrency, limit.remaining, limit.total),
        (2, 1_000, 1_000)
    );
    let user = client.current_user().await.unwrap().model().await.unwrap();
    assert!(user.bot);
    let application = client
        .current_user_application()
        .await
        .unwrap()
        .model()
        .await
        .unwrap();
    assert_eq!(application.id.get(), user.id.get());
}

#[tokio::test]
async fn a_message_created_is_told_on_the_gateway() {
    let sim = start(config()).await;
    let (mut gateway, _) = RawClient::ready(&sim, 0, 1).await;
    assert!(sim.quiet(DEADLINE).await);
    let client = client(&sim, "sim-token");
    let channel = a_text_channel(&sim);
    let message = client
        .create_message(Id::new(channel))
        .content("hello")
        .await
        .unwrap()
        .model()
        .await
        .unwrap();
    assert_eq!(
        (message.content.as_str(), message.channel_id.get()),
        ("hello", channel)
    );
    let event = gateway.event("MESSAGE_CREATE").await;
    assert_eq!(event["d"]["id"], message.id.to_string());
    assert_eq!(event["d"]["content"], "hello");
    assert!(sim.quiet(DEADLINE).await);
    assert!(
        sim.truth_of(&format!("message:{channel}:{}", message.id))
            .is_some()
    );
}

#[tokio::test]
async fn a_wrong_token_is_401() {
    let sim = start(config()).await;
    let error = client(&sim, "wrong").current_user().await.unwrap_err();
    assert!(error.to_string().contains("401"), "{error}");
    for path in ["/api/v10/gateway/bot", "/users/@me", "/applications/@me"] {
        for token in [None, Some("sim-token"), Some("Bot nonsense")] {
            let (status, body) = request(&sim.http_url(), "GET", path, token, None).await;
            assert_eq!(status, 401, "{path}");
            assert_eq!(body, json!({"message": "401: Unauthorized", "code": 0}));
        }
    }
}

#[tokio::test]
async fn paths_work_with_any_version_and_bare() {
    let sim = start(config()).await;
    let base = sim.http_url();
    let (status, body) = request(&base, "GET", "/api/v10/gateway", None, None).await;
    assert_eq!(
        (status, body["url"].as_str()),
        (200, Some(sim.gateway_url().as_str()))
    );
    for path in [
        "/gateway/bot",
        "/api/gateway/bot",
        "/api/v9/oauth2/applications/@me",
    ] {
        let (status, _) = request(&base, "GET", path, Some("Bot sim-token"), None).await;
        assert_eq!(status, 200, "{path}");
    }
}

#[tokio::test]
async fn urls_name_what_is_advertised() {
    let advertise = Some("sim.example:80".to_owned());
    let listening = start(SimConfig {
        advertise: None,
        ..config()
    })
    .await;
    assert!(listening.gateway_url().starts_with("ws://127.0.0.1:"));
    let sim = start(SimConfig {
        advertise,
        ..config()
    })
    .await;
    assert_eq!(sim.http_url(), "http://sim.example:80");
    assert_eq!(sim.gateway_url(), "ws://sim.example:80");
}

#[tokio::test]
async fn refusals_are_discords() {
    let sim = start(config()).await;
    let (_gateway, _) = RawClient::ready(&sim, 0, 1).await;
    assert!(sim.quiet(DEADLINE).await);
    let messages = format!("/api/v10/channels/{}/messages", a_text_channel(&sim));
    let long = json!({"content": "x".repeat(2_001)}).to_string();
    for (method, path, body, status, code) in [
        ("GET", "/api/v10/nothing", "", 404, 0),
        ("DELETE", "/api/v10/gateway", "", 405, 0),
        (
            "POST",
            "/api/v10/channels/1/messages",
            r#"{"content":"x"}"#,
            404,
            10_003,
        ),
        (
            "POST",
            "/api/v10/channels/x/messages",
            r#"{"content":"x"}"#,
            400,
            50_035,
        ),
        ("POST", &messages, "{", 400, 50_109),
        ("POST", &messages, "{}", 400, 50_006),
        ("POST", &messages, r#"{"content":7}"#, 400, 50_035),
        ("POST", &messages, &long, 400, 50_035),
    ] {
        let token = Some("Bot sim-token");
        let answer = request(&sim.http_url(), method, path, token, Some(body)).await;
        assert_eq!(
            (answer.0, answer.1["code"].as_u64()),
            (status, Some(code)),
            "{path} {body}"
        );
    }
}
