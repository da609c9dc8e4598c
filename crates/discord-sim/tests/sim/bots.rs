//! What a bot does through REST, and what the gateway tells of it.

use discord_sim::{Action, Sim, SimConfig};
use serde_json::{Value, json};

use crate::{DEADLINE, client::RawClient, config, http::request, start};

const TOKEN: Option<&str> = Some("Bot sim-token");

async fn ask(sim: &Sim, method: &str, path: &str, body: &Value) -> (u16, Value) {
    let text = if body.is_null() {
        String::new()
    } else {
        body.to_string()
    };
    let path = format!("/api/v10{path}");
    request(&sim.http_url(), method, &path, TOKEN, Some(&text)).await
}

fn act(sim: &Sim, action: Value) -> discord_sim::Done {
    let action: Action = serde_json::from_value(action).unwrap();
    sim.act(&action).unwrap()
}

async fn ready(config: SimConfig) -> (Sim, RawClient, String, String) {
    let sim = start(config).await;
    let (mut gateway, _) = RawClient::ready(&sim, 0, 1).await;
    assert!(sim.quiet(DEADLINE).await);
    let done = act(&sim, json!({"do": "message", "content": "hello"}));
    gateway.event("MESSAGE_CREATE").await;
    (sim, gateway, done.guild.unwrap(), done.channel.unwrap())
}

#[tokio::test]
async fn a_command_is_registered_typed_and_answered() {
    let (sim, mut gateway, _, channel) = ready(config()).await;
    let bot = ask(&sim, "GET", "/users/@me", &Value::Null).await.1;
    let commands = format!("/applications/{}/commands", bot["id"].as_str().unwrap());
    let body = json!([{"name": "ping", "description": "d"}]);
    let (status, made) = ask(&sim, "PUT", &commands, &body).await;
    assert_eq!((status, made[0]["name"].as_str()), (200, Some("ping")));
    let body = json!([{"name": "Ping!", "description": "d"}]);
    assert_eq!(ask(&sim, "PUT", &commands, &body).await.1["code"], 50_035);

    act(&sim, json!({"do": "command", "name": "ping"}));
    let told = gateway.event("INTERACTION_CREATE").await;
    let (id, token) = (
        told["d"]["id"].as_str().unwrap(),
        told["d"]["token"].as_str().unwrap(),
    );
    assert_eq!(told["d"]["data"]["id"], made[0]["id"]);
    let callback = format!("/interactions/{id}/{token}/callback?with_response=True");
    let (status, answer) = ask(&sim, "POST", &callback, &json!({"type": 5})).await;
    assert_eq!(status, 200);
    assert_eq!(answer["interaction"]["response_message_loading"], true);
    assert_eq!(gateway.event("MESSAGE_CREATE").await["d"]["flags"], 128);
    let again = ask(&sim, "POST", &callback, &json!({"type": 5})).await;
    assert_eq!((again.0, &again.1["code"]), (400, &json!(40_060)));

    let hook = format!("/webhooks/{}/{token}", bot["id"].as_str().unwrap());
    let original = format!("{hook}/messages/@original");
    let (_, edited) = ask(&sim, "PATCH", &original, &json!({"content": "pong"})).await;
    assert_eq!(
        (&edited["content"], &edited["flags"]),
        (&json!("pong"), &json!(0))
    );
    let told = gateway.event("MESSAGE_UPDATE").await;
    assert_eq!(told["d"]["content"], "pong");
    assert_eq!(told["d"]["channel_id"], channel.as_str());
    let whisper = json!({"content": "only you", "flags": 64});
    let (status, message) = ask(&sim, "POST", &hook, &whisper).await;
    assert_eq!((status, &message["flags"]), (200, &json!(64)));
    let (status, _) = ask(&sim, "DELETE", &original, &Value::Null).await;
    assert_eq!(status, 204);
    // The whisper was not told: the next is the deletion.
    assert_eq!(gateway.payload().await["t"], "MESSAGE_DELETE");
    assert_eq!(sim.status().interactions.answered, 1);
    let stranger = ask(
        &sim,
        "POST",
        "/interactions/1/x/callback",
        &json!({"type": 1}),
    )
    .await;
    assert_eq!((stranger.0, &stranger.1["code"]), (404, &json!(10_062)));
}

/// Each change through REST is told, and the truth has it.
#[tokio::test]
async fn what_rest_changes_is_told_and_true() {
    let (sim, mut gateway, guild, channel) = ready(SimConfig {
        rest_limits: false,
        ..config()
    })
    .await;
    let at = format!("/guilds/{guild}");
    let message = {
        let path = format!("/channels/{channel}/messages");
        let (_, message) = ask(&sim, "POST", &path, &json!({"content": "x"})).await;
        format!("{path}/{}", message["id"].as_str().unwrap())
    };
    let user = {
        let (_, members) = ask(&sim, "GET", &format!("{at}/members?limit=20"), &Value::Null).await;
        let bot = |member: &&Value| member["user"].get("bot").is_none();
        let member = members.as_array().unwrap().iter().rfind(bot).unwrap();
        member["user"]["id"].as_str().unwrap().to_owned()
    };
    let (_, role) = ask(&sim, "POST", &format!("{at}/roles"), &json!({"name": "r"})).await;
    let role = role["id"].as_str().unwrap().to_owned();
    gateway.event("GUILD_ROLE_CREATE").await;
    let (status, made) = ask(
        &sim,
        "POST",
        &format!("{at}/channels"),
        &json!({"name": "c"}),
    )
    .await;
    assert_eq!(status, 201);
    let made = format!("/channels/{}", made["id"].as_str().unwrap());
    gateway.event("CHANNEL_CREATE").await;
    for (method, path, body, event) in [
        (
            "PATCH",
            message.clone(),
            json!({"content": "y"}),
            "MESSAGE_UPDATE",
        ),
        (
            "PUT",
            format!("{message}/reactions/%F0%9F%91%8D/@me"),
            Value::Null,
            "MESSAGE_REACTION_ADD",
        ),
        (
            "DELETE",
            format!("{message}/reactions/%F0%9F%91%8D/@me"),
            Value::Null,
            "MESSAGE_REACTION_REMOVE",
        ),
        (
            "PUT",
            message.replace("/messages/", "/messages/pins/"),
            Value::Null,
            "CHANNEL_PINS_UPDATE",
        ),
        (
            "POST",
            format!("{message}/threads"),
            json!({"name": "t"}),
            "THREAD_CREATE",
        ),
        ("DELETE", message.clone(), Value::Null, "MESSAGE_DELETE"),
        (
            "POST",
            format!("/channels/{channel}/typing"),
            Value::Null,
            "TYPING_START",
        ),
        (
            "PATCH",
            made.clone(),
            json!({"topic": "t"}),
            "CHANNEL_UPDATE",
        ),
        ("DELETE", made, Value::Null, "CHANNEL_DELETE"),
        ("PATCH", at.clone(), json!({"name": "g"}), "GUILD_UPDATE"),
        (
            "PATCH",
            format!("{at}/members/{user}"),
            json!({"nick": "n"}),
            "GUILD_MEMBER_UPDATE",
        ),
        (
            "PUT",
            format!("{at}/members/{user}/roles/{role}"),
            Value::Null,
            "GUILD_MEMBER_UPDATE",
        ),
        (
            "PATCH",
            format!("{at}/roles/{role}"),
            json!({"color": 255}),
            "GUILD_ROLE_UPDATE",
        ),
        (
            "DELETE",
            format!("{at}/roles/{role}"),
            Value::Null,
            "GUILD_ROLE_DELETE",
        ),
        (
            "PUT",
            format!("{at}/bans/{user}"),
            Value::Null,
            "GUILD_BAN_ADD",
        ),
        (
            "DELETE",
            format!("{at}/bans/{user}"),
            Value::Null,
            "GUILD_BAN_REMOVE",
        ),
        (
            "POST",
            format!("{at}/emojis"),
            json!({"name": "em", "image": "data:"}),
            "GUILD_EMOJIS_UPDATE",
        ),
        (
            "POST",
            format!("/channels/{channel}/webhooks"),
            json!({"name": "w"}),
            "WEBHOOKS_UPDATE",
        ),
        (
            "POST",
            format!("/channels/{channel}/invites"),
            json!({}),
            "INVITE_CREATE",
        ),
    ] {
        let (status, answer) = ask(&sim, method, &path, &body).await;
        assert!(
            (200..300).contains(&status),
            "{method} {path}: {status} {answer}"
        );
        gateway.event(event).await;
    }
    assert!(sim.quiet(DEADLINE).await);
    assert_eq!(
        sim.truth_of(&format!("guild:{guild}")).unwrap()["name"],
        "g"
    );
    assert!(sim.truth_of(&format!("member:{guild}:{user}")).is_none());
    assert!(sim.truth_of(&format!("role:{guild}:{role}")).is_none());
}

#[tokio::test]
async fn no_bot_dies_of_a_route_that_is_not_listed() {
    let sim = start(config()).await;
    let body = json!({"a": 1});
    let (status, answer) = ask(&sim, "POST", "/guilds/1/something-new", &body).await;
    assert_eq!((status, &answer["a"]), (200, &json!(1)));
    let requests = sim.rest_requests();
    let last = requests.last().unwrap();
    assert_eq!(last.route, "POST /guilds/1/something-new");
    assert_eq!(last.body, r#"{"a":1}"#);
}

#[tokio::test]
async fn buckets_run_empty_and_say_so() {
    let (sim, _gateway, _, channel) = ready(config()).await;
    let path = format!("/channels/{channel}/messages");
    let body = json!({"content": "x"});
    for _ in 0..5 {
        assert_eq!(ask(&sim, "POST", &path, &body).await.0, 200);
    }
    let (status, answer) = ask(&sim, "POST", &path, &body).await;
    assert_eq!((status, &answer["global"]), (429, &json!(false)));
    assert!(answer["retry_after"].as_f64().unwrap() > 1.0);
    let other = ask(&sim, "GET", &path, &Value::Null).await;
    assert_eq!(other.0, 200);
}

#[tokio::test]
async fn a_token_in_discords_form_is_the_bots_too() {
    let sim = start(config()).await;
    let token = format!("Bot {}", sim.bot_token());
    let (status, _) = request(&sim.http_url(), "GET", "/users/@me", Some(&token), None).await;
    assert_eq!(status, 200);
    assert_eq!(sim.bot_token().split('.').count(), 3);
}
