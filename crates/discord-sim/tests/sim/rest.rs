//! REST: with twilight-http, and by hand for what a well-behaved client does not do.

use discord_sim::{Sim, SimConfig};
use serde_json::{Value, json};
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
        ("PUT", "/api/v10/guilds/1", "{}", 405, 0),
        ("DELETE", "/api/v10/users/@me", "", 405, 0),
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

/// "Embed Limits": each as large as it may be, and one larger; white space around a text does not count.
#[tokio::test]
async fn embeds_are_limited_as_documented() {
    let config = SimConfig {
        rest_limits: false,
        ..config()
    };
    let sim = start(config).await;
    let (_gateway, _) = RawClient::ready(&sim, 0, 1).await;
    assert!(sim.quiet(DEADLINE).await);
    let path = format!("/api/v10/channels/{}/messages", a_text_channel(&sim));
    let ask = async |embeds: &Value| {
        let (token, body) = (Some("Bot sim-token"), json!({"embeds": embeds}).to_string());
        request(&sim.http_url(), "POST", &path, token, Some(&body)).await
    };
    let x = |count: usize| "x".repeat(count);
    let fields =
        |count: usize| json!([{"fields": vec![json!({"name": "n", "value": "v"}); count]}]);
    let field = |name: usize, value: usize| {
        let second = json!({"name": x(name), "value": x(value)});
        json!([{"fields": [{"name": "n", "value": "v"}, second]}])
    };
    let sum = |more: usize| {
        let footer = json!({"text": x(1_800 + more)});
        json!([{"description": x(4_000)}, {"title": x(200), "footer": footer}])
    };
    for (good, bad, at) in [
        (
            json!([{"title": x(256)}]),
            json!([{"title": x(257)}]),
            "/0/title",
        ),
        (
            json!([{"title": format!("  {}\n", x(256))}]),
            json!([{"title": "t"}, {"title": x(257)}]),
            "/1/title",
        ),
        (
            json!([{"description": x(4_096)}]),
            json!([{"description": x(4_097)}]),
            "/0/description",
        ),
        (
            json!([{"footer": {"text": x(2_048)}}]),
            json!([{"footer": {"text": x(2_049)}}]),
            "/0/footer/text",
        ),
        (
            json!([{"author": {"name": x(256)}}]),
            json!([{"author": {"name": x(257)}}]),
            "/0/author/name",
        ),
        (fields(25), fields(26), "/0/fields"),
        (field(256, 1), field(257, 1), "/0/fields/1/name"),
        (field(1, 1_024), field(1, 1_025), "/0/fields/1/value"),
        (field(1, 1), field(1, 0), "/0/fields/1/value"),
        (sum(0), sum(1), ""),
        (
            Value::Array(vec![json!({"title": "t"}); 10]),
            Value::Array(vec![json!({"title": "t"}); 11]),
            "",
        ),
    ] {
        let (status, answer) = ask(&good).await;
        assert_eq!(status, 200, "{at}: {answer}");
        let (status, answer) = ask(&bad).await;
        assert_eq!((status, &answer["code"]), (400, &json!(50_035)), "{at}");
        let errors = answer.pointer(&format!("/errors/embeds{at}/_errors"));
        assert!(errors.is_some_and(Value::is_array), "{at}: {answer}");
    }
}

#[tokio::test]
async fn a_timeout_and_a_bans_reason_are_kept_as_they_were_sent() {
    let sim = start(config()).await;
    let (mut gateway, ready) = RawClient::ready(&sim, 0, 1).await;
    let guild = ready["d"]["guilds"][0]["id"].as_str().unwrap();
    let at = format!("/api/v10/guilds/{guild}");
    let base = sim.http_url();
    let ask = async |method: &str, path: String, body: Value| {
        let (token, body) = (Some("Bot sim-token"), body.to_string());
        request(&base, method, &path, token, Some(&body)).await
    };
    let all = format!("{at}/members?limit=10");
    let (_, members) = ask("GET", all, Value::Null).await;
    let is_user = |member: &&Value| member["user"].get("bot").is_none();
    let member = members.as_array().unwrap().iter().rfind(is_user).unwrap();
    let user = member["user"]["id"].as_str().unwrap();
    let member = format!("{at}/members/{user}");
    for (sent, kept) in [
        (
            json!("2030-01-02T03:04:05.678901+00:00"),
            json!("2030-01-02T03:04:05.678901+00:00"),
        ),
        (
            json!("2030-01-02T03:04:05Z"),
            json!("2030-01-02T03:04:05.000000+00:00"),
        ),
        (
            json!("2030-01-02T03:04:05.5+02:00"),
            json!("2030-01-02T01:04:05.500000+00:00"),
        ),
        (Value::Null, Value::Null),
    ] {
        let body = json!({"communication_disabled_until": sent});
        let (status, answer) = ask("PATCH", member.clone(), body).await;
        assert_eq!(
            (status, &answer["communication_disabled_until"]),
            (200, &kept)
        );
        let told = gateway.event("GUILD_MEMBER_UPDATE").await;
        assert_eq!(told["d"]["communication_disabled_until"], kept);
    }
    for wrong in [json!("soon"), json!(1_900_000_000)] {
        let body = json!({"communication_disabled_until": wrong});
        let (status, answer) = ask("PATCH", member.clone(), body).await;
        assert_eq!((status, &answer["code"]), (400, &json!(50_035)));
    }

    let ban = format!("{at}/bans/{user}");
    for (reason, kept) in [
        ("sp%C3%A4m%2C+again", json!("späm,+again")),
        ("", Value::Null),
    ] {
        let token = format!("Bot sim-token\r\nX-Audit-Log-Reason: {reason}");
        let (status, _) = request(&base, "PUT", &ban, Some(&token), Some("{}")).await;
        assert_eq!(status, 204);
        let (_, one) = ask("GET", ban.clone(), Value::Null).await;
        assert_eq!((&one["reason"], &one["user"]["id"]), (&kept, &json!(user)));
        let (_, all) = ask("GET", format!("{at}/bans"), Value::Null).await;
        assert_eq!(all, json!([one]));
        assert_eq!(ask("DELETE", ban.clone(), Value::Null).await.0, 204);
    }
}
