//! What routes are tried with, and what is wrong with their answers.

use std::collections::HashMap;

use discord_sim::{Action, Sim, SimConfig};
use serde_json::{Value, json};

use super::{REFUSED, Route, UNTOLD};
use crate::{DEADLINE, client::RawClient, config, http::request, start};

const THUMB: &str = "%F0%9F%91%8D";

/// The simulator, its bot's gateway session, and what routes are tried with.
pub(super) struct World {
    pub(super) sim: Sim,
    gateway: RawClient,
    bot: String,
    guild: String,
    text: String,
    stage: String,
    member: String,
}

impl World {
    pub(super) async fn start() -> Self {
        let mut config = SimConfig {
            rest_limits: false,
            ..config()
        };
        config.world.members_per_guild = 40;
        let sim = start(config).await;
        let (mut gateway, ready) = RawClient::ready(&sim, 0, 1).await;
        assert!(sim.quiet(DEADLINE).await);
        let action: Action =
            serde_json::from_value(json!({"do": "message", "content": "hello"})).unwrap();
        let done = sim.act(&action).unwrap();
        gateway.event("MESSAGE_CREATE").await;
        let mut world = Self {
            sim,
            gateway,
            bot: ready["d"]["user"]["id"].as_str().unwrap().to_owned(),
            guild: done.guild.unwrap(),
            text: done.channel.unwrap(),
            stage: String::new(),
            member: String::new(),
        };
        let at = format!("/guilds/{}", world.guild);
        world.stage = world
            .made(&format!("{at}/channels"), json!({"name": "s", "type": 13}))
            .await;
        let d = json!({"guild_id": world.guild, "channel_id": world.stage});
        world.gateway.send(&json!({"op": 4, "d": d})).await;
        world.gateway.event("VOICE_STATE_UPDATE").await;
        world
    }

    pub(super) async fn ask(&self, method: &str, path: &str, body: &Value) -> (u16, Value) {
        let text = if body.is_null() {
            String::new()
        } else {
            body.to_string()
        };
        let path = format!("/api/v10{path}");
        let token = Some("Bot sim-token");
        request(&self.sim.http_url(), method, &path, token, Some(&text)).await
    }

    /// Makes something; returns its id, or its code.
    async fn made(&self, path: &str, body: Value) -> String {
        let (status, made) = self.ask("POST", path, &body).await;
        assert!(
            (200..300).contains(&status),
            "{path} {body}: {status} {made}"
        );
        let id = ["id", "code", "sound_id"].map(|name| made[name].as_str());
        let id = id.into_iter().flatten().next();
        id.unwrap_or_else(|| panic!("{path}: {made}")).to_owned()
    }

    /// A member that nobody has kicked yet.
    async fn fresh_member(&mut self) -> String {
        let path = format!("/guilds/{}/members?limit=1000", self.guild);
        let (_, members) = self.ask("GET", &path, &Value::Null).await;
        let is_user = |member: &&Value| member["user"].get("bot").is_none();
        let member = members.as_array().unwrap().iter().rfind(is_user).unwrap();
        self.member = member["user"]["id"].as_str().unwrap().to_owned();
        self.member.clone()
    }

    async fn interaction(&mut self) -> (String, String) {
        let command = json!({"do": "command", "name": "x"});
        let action: Action = serde_json::from_value(command).unwrap();
        self.sim.act(&action).unwrap();
        let told = self.gateway.event("INTERACTION_CREATE").await;
        let text = |name: &str| told["d"][name].as_str().unwrap().to_owned();
        (text("id"), text("token"))
    }

    /// Values for the parameters of a route, which all exist.
    async fn values(&mut self, route: &Route) -> HashMap<&'static str, String> {
        let path = route.path;
        let (bot, guild, text) = (self.bot.clone(), self.guild.clone(), self.text.clone());
        let at = format!("/guilds/{guild}");
        let mut values = HashMap::from([
            ("application.id", bot.clone()),
            ("guild.id", guild.clone()),
            ("instance_id", "i-1".to_owned()),
            ("integration.id", "175928847299117063".to_owned()),
            ("sku.id", "175928847299117063".to_owned()),
            ("subscription.id", "175928847299117063".to_owned()),
            ("pack.id", "847199849233514549".to_owned()),
            ("answer_id", "1".to_owned()),
            ("emoji.id", THUMB.to_owned()),
        ]);
        if path == "/users/@me/guilds/{guild.id}" {
            let (_, all) = self.ask("GET", "/users/@me/guilds", &Value::Null).await;
            let last = all.as_array().unwrap().last().unwrap()["id"].as_str();
            values.insert("guild.id", last.unwrap().to_owned());
        }
        if path.contains("{interaction.id}") || path.contains("{interaction.token}") {
            let (id, token) = self.interaction().await;
            if !path.contains("callback") {
                let callback = format!("/interactions/{id}/{token}/callback");
                let body = json!({"type": 4, "data": {"content": "x"}});
                assert_eq!(self.ask("POST", &callback, &body).await.0, 204);
            }
            if path.contains("{message.id}") {
                let hook = format!("/webhooks/{bot}/{token}");
                let message = self.made(&hook, json!({"content": "x"})).await;
                values.insert("message.id", message);
            }
            values.insert("interaction.id", id);
            values.insert("interaction.token", token);
            return values;
        }
        if path.contains("{command.id}") {
            let commands = path.split("/{command.id}").next().unwrap();
            let commands = filled(commands, &values);
            let body = json!({"name": "ping", "description": "d"});
            let command = self.made(&commands, body).await;
            let own = format!("{commands}/{command}/permissions");
            if path.contains("guild.id") {
                self.ask("PUT", &own, &json!({"permissions": []})).await;
            }
            values.insert("command.id", command);
        }
        if path.contains("{webhook.id}") {
            let body = json!({"name": "w"});
            let (_, hook) = self
                .ask("POST", &format!("/channels/{text}/webhooks"), &body)
                .await;
            let value = |name: &str| hook[name].as_str().unwrap().to_owned();
            let (id, token) = (value("id"), value("token"));
            if path.contains("{message.id}") {
                let hook = format!("/webhooks/{id}/{token}?wait=true");
                let message = self.made(&hook, json!({"content": "x"})).await;
                values.insert("message.id", message);
            }
            values.insert("webhook.id", id);
            values.insert("webhook.token", token);
            return values;
        }
        if path.contains("{lobby.id}") {
            let lobby = self
                .made("/lobbies", json!({"members": [{"id": bot}]}))
                .await;
            if path.contains("invites") {
                let link = format!("/lobbies/{lobby}/channel-linking");
                self.ask("PATCH", &link, &json!({"channel_id": text})).await;
            }
            if path.contains("{message.id}") {
                let messages = format!("/lobbies/{lobby}/messages");
                let message = self.made(&messages, json!({"content": "x"})).await;
                values.insert("message.id", message);
            }
            values.insert("lobby.id", lobby);
            values.insert("user.id", bot);
            return values;
        }
        if path.contains("{channel.id}") {
            let channel = self.channel(route).await;
            if path.contains("{message.id}") {
                let mut body = json!({"content": "x"});
                if path.contains("/polls/") {
                    body["poll"] = poll();
                }
                let messages = format!("/channels/{channel}/messages");
                let message = self.made(&messages, body).await;
                if path.contains("reactions") && route.method != "PUT" {
                    let own = format!("{messages}/{message}/reactions/{THUMB}/@me");
                    self.ask("PUT", &own, &Value::Null).await;
                }
                if path.contains("pins") && route.method == "DELETE" {
                    let pin = format!("/channels/{channel}/pins/{message}");
                    self.ask("PUT", &pin, &Value::Null).await;
                }
                values.insert("message.id", message);
            }
            values.insert("channel.id", channel);
        }
        for (parameter, made_at, body) in [
            ("role.id", format!("{at}/roles"), json!({"name": "r"})),
            ("overwrite.id", format!("{at}/roles"), json!({"name": "o"})),
            (
                "auto_moderation_rule.id",
                format!("{at}/auto-moderation/rules"),
                rule(),
            ),
            (
                "guild_scheduled_event.id",
                format!("{at}/scheduled-events"),
                event(),
            ),
            (
                "sound.id",
                format!("{at}/soundboard-sounds"),
                json!({"name": "so", "sound": ""}),
            ),
            (
                "sticker.id",
                format!("{at}/stickers"),
                json!({"name": "st", "tags": "t"}),
            ),
            (
                "template.code",
                format!("{at}/templates"),
                json!({"name": "t"}),
            ),
            (
                "invite.code",
                format!("/channels/{text}/invites"),
                json!({}),
            ),
            (
                "entitlement.id",
                format!("/applications/{bot}/entitlements"),
                entitlement(&guild),
            ),
        ] {
            if path.contains(&format!("{{{parameter}}}")) {
                let made = self.made(&made_at, body).await;
                values.insert(parameter, made);
            }
        }
        if path.ends_with("/emojis/{emoji.id}") {
            let emojis = filled(path.split("/{emoji.id}").next().unwrap(), &values);
            let emoji = self.made(&emojis, json!({"name": "em", "image": ""})).await;
            values.insert("emoji.id", emoji);
        }
        if path.contains("{user.id}") {
            let mut user = self.fresh_member().await;
            if path.contains("/bans/") && route.method != "PUT" {
                let ban = format!("{at}/bans/{user}");
                self.ask("PUT", &ban, &Value::Null).await;
            } else if route.method == "PUT" && path.ends_with("/members/{user.id}") {
                self.ask("DELETE", &format!("{at}/members/{user}"), &Value::Null)
                    .await;
            } else if ["reactions", "voice-states", "thread-members"]
                .iter()
                .any(|own| path.contains(own))
            {
                user = bot;
            }
            values.insert("user.id", user);
        }
        if path.contains("target-users") && route.method == "GET" {
            let own = format!("/invites/{}/target-users", values["invite.code"]);
            let csv = json!({"target_users_file": format!("user_id\n{}\n", self.bot)});
            assert_eq!(self.ask("PUT", &own, &csv).await.0, 204);
        }
        values
    }

    /// A channel that the route can work on.
    async fn channel(&mut self, route: &Route) -> String {
        let channels = format!("/guilds/{}/channels", self.guild);
        let (path, stage) = (route.path, self.stage.clone());
        if path.starts_with("/stage-instances") {
            let body = json!({"channel_id": stage, "topic": "t"});
            self.ask("POST", "/stage-instances", &body).await;
            stage
        } else if path.ends_with("voice-status") || path.ends_with("sound") {
            stage
        } else if path.contains("crosspost") || path.contains("followers") {
            self.made(&channels, json!({"name": "n", "type": 5})).await
        } else if path.contains("thread-members") {
            let threads = format!("/channels/{}/threads", self.text);
            let thread = self.made(&threads, json!({"name": "t", "type": 11})).await;
            if route.method == "PUT" {
                let own = format!("/channels/{thread}/thread-members/@me");
                self.ask("DELETE", &own, &Value::Null).await;
            }
            thread
        } else if path == "/channels/{channel.id}" || path.contains("permissions") {
            self.made(&channels, json!({"name": "c"})).await
        } else {
            self.text.clone()
        }
    }

    /// A body that the route takes.
    async fn body(&mut self, route: &Route) -> Value {
        let (guild, text, bot) = (self.guild.clone(), self.text.clone(), self.bot.clone());
        let at = format!("/guilds/{guild}");
        match route.name().as_str() {
            name if name.starts_with("GET") || name.starts_with("DELETE") => Value::Null,
            "PUT /applications/{application.id}/commands"
            | "PUT /applications/{application.id}/guilds/{guild.id}/commands" => {
                json!([{"name": "ping", "description": "d"}])
            }
            name if name.contains("/commands/{command.id}/permissions") => {
                json!({"permissions": [{"id": guild, "type": 1, "permission": true}]})
            }
            name if name.contains("/commands") => {
                json!({"name": format!("c{}", name.len()), "description": "d"})
            }
            name if name.ends_with("/callback") => json!({"type": 4, "data": {"content": "x"}}),
            name if name.ends_with("role-connections/metadata") => {
                json!([{"type": 1, "key": "k", "name": "n", "description": "d"}])
            }
            name if name.ends_with("role-connection") => json!({"platform_name": "p"}),
            name if name.contains("auto-moderation") => rule(),
            name if name.ends_with("scheduled-events") => event(),
            "POST /stage-instances" => {
                let own = format!("/stage-instances/{}", self.stage);
                self.ask("DELETE", &own, &Value::Null).await;
                json!({"channel_id": self.stage, "topic": "t"})
            }
            "POST /applications/{application.id}/entitlements" => entitlement(&guild),
            "PUT /channels/{channel.id}/permissions/{overwrite.id}" => {
                json!({"type": 0, "allow": "1024"})
            }
            "POST /channels/{channel.id}/followers" => json!({"webhook_channel_id": text}),
            "POST /channels/{channel.id}/messages/bulk-delete" => {
                let messages = format!("/channels/{text}/messages");
                let one = self.made(&messages, json!({"content": "1"})).await;
                json!({"messages": [one, self.made(&messages, json!({"content": "2"})).await]})
            }
            "POST /channels/{channel.id}/send-soundboard-sound" => {
                let sounds = format!("{at}/soundboard-sounds");
                json!({"sound_id": self.made(&sounds, json!({"name": "so"})).await})
            }
            "PATCH /guilds/{guild.id}/channels" => json!([{"id": text, "position": 1}]),
            "PATCH /guilds/{guild.id}/roles" => {
                let role = self
                    .made(&format!("{at}/roles"), json!({"name": "r"}))
                    .await;
                json!([{"id": role, "position": 1}])
            }
            "POST /guilds/{guild.id}/bulk-ban" => json!({"user_ids": [self.fresh_member().await]}),
            "PUT /lobbies" => json!({"secret": "s"}),
            "POST /lobbies" => json!({}),
            "POST /lobbies/{lobby.id}/members/bulk" => json!([{"id": bot}]),
            "PATCH /lobbies/{lobby.id}/channel-linking" => json!({"channel_id": text}),
            "POST /users/@me/channels" => json!({"recipient_id": self.fresh_member().await}),
            "PUT /invites/{invite.code}/target-users" => json!({"target_users_file": bot}),
            name if name.contains("voice-states") => json!({"suppress": false}),
            "PATCH /guilds/{guild.id}/widget" => json!({"enabled": true}),
            name if name.ends_with("/messages") || name.contains("webhook.token}/messages") => {
                json!({"content": "x"})
            }
            name if name.contains("interaction.token") => json!({"content": "x"}),
            name if name.ends_with("/slack") => json!({"text": "x"}),
            name if name.ends_with("{webhook.token}") && name.starts_with("POST") => {
                json!({"content": "x"})
            }
            "PUT /channels/{channel.id}/voice-status" => json!({"status": "s"}),
            "POST /guilds/{guild.id}/prune" => json!({"days": 7}),
            _ => json!({"name": "xyz", "nick": "n", "content": "x"}),
        }
    }

    /// What is wrong about what the route does.
    pub(super) async fn tried(&mut self, route: &Route) -> Vec<String> {
        let values = self.values(route).await;
        let body = self.body(route).await;
        let mut path = filled(route.path, &values);
        if path.ends_with("/members/search") {
            path.push_str("?query=a");
        }
        let refused = REFUSED.iter().find(|(name, _)| *name == route.name());
        // From here on the events are the route's.
        self.ask(
            "POST",
            &format!("/channels/{}/typing", self.text),
            &Value::Null,
        )
        .await;
        self.gateway.event("TYPING_START").await;
        let (status, answer) = self.ask(route.method, &path, &body).await;
        let mut wrong = Vec::new();
        if let Some((_, expected)) = refused {
            if status != *expected {
                wrong.push(format!("{status} instead of {expected}: {answer}"));
            }
            return wrong;
        }
        let is_right = match route.status {
            "2xx" => (200..300).contains(&status),
            expected => expected == status.to_string(),
        };
        if !is_right {
            wrong.push(format!("{status} instead of {}: {answer}", route.status));
            return wrong;
        }
        let objects: &[Value] = match (route.shape, &answer) {
            ("array", Value::Array(objects)) => objects,
            ("object", Value::Object(_)) => std::slice::from_ref(&answer),
            ("-", _) => &[],
            (shape, _) => {
                wrong.push(format!("not an {shape}: {answer}"));
                &[]
            }
        };
        for object in objects.iter().take(1) {
            let lacks = |name: &&&str| object.get(**name).is_none();
            let lacking: Vec<_> = route.fields.iter().filter(lacks).collect();
            if !lacking.is_empty() {
                wrong.push(format!("lacks {lacking:?}"));
            }
        }
        if !route.events.is_empty() && route.name() != UNTOLD {
            wrong.extend(self.untold(route).await);
        }
        wrong
    }

    /// Whether none of the route's events is told, before the next that is asked for.
    async fn untold(&mut self, route: &Route) -> Option<String> {
        self.ask("PATCH", "/users/@me", &json!({"username": "end"}))
            .await;
        let mut told = Vec::new();
        loop {
            let payload = self.gateway.payload().await;
            let t = payload["t"].as_str().unwrap_or_default().to_owned();
            if route.events.contains(&t.as_str()) {
                return None;
            }
            if t == "USER_UPDATE" {
                return Some(format!("told {told:?} instead of {:?}", route.events));
            }
            told.push(t);
        }
    }
}

fn filled(path: &str, values: &HashMap<&'static str, String>) -> String {
    let mut path = path.to_owned();
    for (name, value) in values {
        path = path.replace(&format!("{{{name}}}"), value);
    }
    assert!(!path.contains('{'), "{path}");
    path
}

fn poll() -> Value {
    let answers = json!([{"poll_media": {"text": "a"}}, {"poll_media": {"text": "b"}}]);
    json!({"question": {"text": "q"}, "answers": answers, "duration": 1})
}

fn rule() -> Value {
    json!({
        "name": "r", "event_type": 1, "trigger_type": 1, "trigger_metadata": {"keyword_filter": ["x"]},
        "actions": [{"type": 1, "metadata": {}}], "enabled": true,
    })
}

fn event() -> Value {
    json!({
        "name": "e", "privacy_level": 2, "entity_type": 3, "entity_metadata": {"location": "here"},
        "scheduled_start_time": "2030-01-01T00:00:00+00:00", "scheduled_end_time": "2030-01-02T00:00:00+00:00",
    })
}

fn entitlement(guild: &str) -> Value {
    json!({"sku_id": "175928847299117063", "owner_id": guild, "owner_type": 1})
}
