//! Every route of Discord's documentation: answered with the documented status and object, told on the gateway to the intents
//! that ask for it, and refused with Discord's codes.

mod world;

use discord_sim::SimConfig;
use serde_json::json;

use crate::{config, http::request, intents::Sessions, start};
use world::World;

const ROUTES: &str = include_str!("documented_routes.tsv");

/// Routes that a bot is refused, or that find nothing here, with the status and the reason.
const REFUSED: &[(&str, u16)] = &[
    // Discord has switched it off.
    (
        "PUT /applications/{application.id}/guilds/{guild.id}/commands/permissions",
        405,
    ),
    // Groups are not for bots.
    ("PUT /channels/{channel.id}/recipients/{user.id}", 400),
    ("DELETE /channels/{channel.id}/recipients/{user.id}", 400),
    // No activity runs, no guild has an integration, nobody has subscribed.
    (
        "GET /applications/{application.id}/activity-instances/{instance_id}",
        404,
    ),
    (
        "DELETE /guilds/{guild.id}/integrations/{integration.id}",
        404,
    ),
    ("GET /skus/{sku.id}/subscriptions/{subscription.id}", 404),
];

/// A route whose event does not follow: nobody here has been away for long enough to be pruned.
const UNTOLD: &str = "POST /guilds/{guild.id}/prune";

struct Route {
    method: &'static str,
    path: &'static str,
    status: &'static str,
    shape: &'static str,
    fields: Vec<&'static str>,
    events: Vec<&'static str>,
}

impl Route {
    fn name(&self) -> String {
        format!("{} {}", self.method, self.path)
    }
}

fn routes() -> Vec<Route> {
    let lines = ROUTES.lines().filter(|line| !line.starts_with('#'));
    let route = |line: &'static str| {
        let mut columns = line.split('\t');
        let mut column = || columns.next().unwrap();
        let list = |text: &'static str| match text {
            "-" => Vec::new(),
            text => text.split(',').collect(),
        };
        Route {
            method: column(),
            path: column(),
            status: column(),
            shape: column(),
            fields: list(column()),
            events: list(column()),
        }
    };
    lines.map(route).collect()
}

#[tokio::test]
async fn each_documented_route_does_what_is_documented() {
    let mut world = World::start().await;
    let sessions = Sessions::start(&world.sim).await;
    let mut wrong = Vec::new();
    for route in routes() {
        for fault in world.tried(&route).await {
            wrong.push(format!("{}: {fault}", route.name()));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    // What REST tells on the gateway, each is told as its intents say.
    sessions.check(&world.sim).await;
}

/// What is named first in a path, if it is unknown, is refused with its code; and nobody gets in without a token.
#[tokio::test]
async fn each_documented_route_refuses_what_is_unknown() {
    let world = World::start().await;
    let codes = [
        ("{guild.id}", "/guilds/", 10_004),
        ("{channel.id}", "/channels/", 10_003),
        ("{lobby.id}", "/lobbies/", 10_031),
        ("{invite.code}", "/invites/", 10_006),
        ("{webhook.id}", "/webhooks/", 10_015),
        ("{sticker.id}", "/stickers/", 10_060),
        ("{interaction.id}", "/interactions/", 10_062),
        ("{pack.id}", "/sticker-packs/", 10_061),
    ];
    let mut wrong = Vec::new();
    for route in routes() {
        let mut path = route.path.to_owned();
        while let Some((start, rest)) = path.split_once('{') {
            let (_, end) = rest.split_once('}').unwrap();
            path = format!("{start}1{end}");
        }
        let has_token = route.path.contains(".token}");
        let is_open = has_token || path == "/gateway" || path.contains("/widget.");
        let target = format!("/api/v10{path}");
        let url = world.sim.http_url();
        if !is_open {
            let (status, _) = request(&url, route.method, &target, None, None).await;
            if status != 401 {
                wrong.push(format!("{}: {status} without a token", route.name()));
            }
        }
        let first = codes.iter().find(|(parameter, at, _)| {
            route
                .path
                .strip_prefix(at)
                .is_some_and(|rest| rest.starts_with(parameter))
        });
        let Some((_, _, code)) = first else { continue };
        let body = json!({
            "name": "xyz", "content": "x", "type": 4, "data": {"content": "x"}, "messages": ["1", "2"],
            "user_ids": ["1"], "sound_id": "1", "target_users_file": "1", "webhook_channel_id": "1",
        });
        let body = if path.ends_with("/bulk") {
            json!([{"id": "1"}])
        } else {
            body
        };
        let (status, answer) = world.ask(route.method, &path, &body).await;
        // A lobby may be deleted twice.
        let is_deleted = route.name() == "DELETE /lobbies/{lobby.id}";
        if !is_deleted && (status, &answer["code"]) != (404, &json!(code)) {
            wrong.push(format!(
                "{}: {status} {answer} instead of {code}",
                route.name()
            ));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// What is no JSON is 50109 for whatever may have a body.
#[tokio::test]
async fn each_documented_route_refuses_what_is_no_json() {
    let config = SimConfig {
        rest_limits: false,
        ..config()
    };
    let sim = start(config).await;
    let mut wrong = Vec::new();
    for route in routes() {
        if matches!(route.method, "GET" | "DELETE") {
            continue;
        }
        let mut path = format!("/api/v10{}", route.path);
        while let Some((start, rest)) = path.split_once('{') {
            let (_, end) = rest.split_once('}').unwrap();
            path = format!("{start}1{end}");
        }
        for body in ["{", "{'content': 'x'}", "name=x", "{} {}"] {
            let token = Some("Bot sim-token");
            let url = sim.http_url();
            let (status, answer) = request(&url, route.method, &path, token, Some(body)).await;
            if (status, &answer["code"]) != (400, &json!(50_109)) {
                wrong.push(format!("{} {body}: {status} {answer}", route.name()));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}
