//! Interactions: what the bot is sent when somebody uses a command, a component or a modal.

use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::{Map, Value, json};

use super::{Action, Deed, Scene};
use crate::{
    protocol::snowflake::snowflake,
    world::{Family, Fields, World, id, scramble, snowflake_of, with_guild},
};

impl World {
    pub(super) fn interaction_data(&self, action: &Action) -> Result<(u8, Value), String> {
        let custom_id = || action.custom_id.clone().ok_or("custom_id is required");
        match action.what {
            Deed::Component => {
                let mut data = json!({"custom_id": custom_id()?, "component_type": 2, "id": 1});
                if !action.values.is_empty() {
                    data["component_type"] = json!(3);
                    data["values"] = json!(action.values);
                }
                Ok((3, data))
            }
            Deed::Modal => {
                let field = |(name, value): (&String, &Value)| json!({"type": 1, "id": 1, "components": [{"type": 4, "id": 2, "custom_id": name, "value": value}]});
                let fields: Vec<Value> = action.options.iter().map(field).collect();
                Ok((5, json!({"custom_id": custom_id()?, "components": fields})))
            }
            what => {
                let name = action.name.as_deref().ok_or("name is required")?;
                let data = self.command_data(name, &action.options, what == Deed::Autocomplete);
                Ok((if what == Deed::Autocomplete { 4 } else { 2 }, data))
            }
        }
    }

    fn command_data(&self, name: &str, options: &Fields, unfinished: bool) -> Value {
        let named = |command: &Value| command["name"] == name;
        let known = self
            .documents
            .search(Family::Command, named)
            .map(|(_, command)| command.clone());
        let known = known.unwrap_or_default();
        let kind_of = |option: &str| {
            let declared = known["options"].as_array().into_iter().flatten();
            let mut declared = declared.filter(|declared| declared["name"] == option);
            declared
                .next()
                .and_then(|declared| declared["type"].as_u64())
        };
        let guess = |value: &Value| match value {
            Value::Bool(_) => 5,
            Value::Number(number) if number.is_f64() => 10,
            Value::Number(_) => 4,
            _ => 3,
        };
        let mut written: Vec<Value> = Vec::new();
        for (option, value) in options {
            let kind = kind_of(option).unwrap_or_else(|| guess(value));
            written.push(json!({"name": option, "type": kind, "value": value}));
        }
        if let Some(last) = written.last_mut().filter(|_| unfinished) {
            last["focused"] = json!(true);
        }
        let mut data = json!({
            "id": if known.is_null() { id(self.users[0].id + 1) } else { known["id"].clone() },
            "name": name,
            "type": known["type"].as_u64().unwrap_or(1),
        });
        if !written.is_empty() {
            data["options"] = json!(written);
            data["resolved"] = self.resolved(&written);
        }
        data
    }

    /// The users that options name.
    fn resolved(&self, options: &[Value]) -> Value {
        let mut users = Map::new();
        for option in options
            .iter()
            .filter(|option| matches!(option["type"].as_u64(), Some(6 | 9)))
        {
            if let Some(user) = snowflake_of(&option["value"]).and_then(|user| self.user(user)) {
                let user = &self.users[user];
                users.insert(user.id.to_string(), json!(user.json()));
            }
        }
        json!({"users": users})
    }

    /// INTERACTION_CREATE. Its id is of the real time: libraries reckon from it how long they may answer.
    pub(super) fn interaction(&mut self, scene: &Scene, kind: u8, data: Value) -> Value {
        let now = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        let fresh = self.next_id();
        let interaction = snowflake(
            u64::try_from(now.as_millis()).unwrap_or(0),
            (fresh & 0xFFF) as u16,
        );
        let mut d = self.interaction_head(interaction, kind, data);
        let channel = self.channel_of_interaction(scene);
        d["channel_id"] = id(scene.channel);
        d["channel"] = channel;
        match scene.guild {
            Some(guild) => {
                if let Some(member) = self.member_object(scene) {
                    d["member"] = member;
                    d["member"]["permissions"] = json!("2248473465835073");
                }
                d["guild_locale"] = json!("en-US");
                d["guild_id"] = id(guild);
                d["guild"] = json!({"locale": "en-US", "id": id(guild), "features": ["COMMUNITY"]});
                d["context"] = json!(0);
                d["authorizing_integration_owners"] = json!({"0": id(guild)});
            }
            None => {
                let user = &self.users[scene.user];
                d["user"] = json!(user.json());
                d["context"] = json!(1);
                d["authorizing_integration_owners"] = json!({"1": id(user.id)});
            }
        }
        d
    }

    /// What every interaction has, wherever it comes from.
    pub(crate) fn interaction_head(&self, interaction: u64, kind: u8, data: Value) -> Value {
        json!({
            "version": 1,
            "type": kind,
            "token": format!("aW50ZXJhY3Rpb246{:x}", scramble(interaction)),
            "locale": "fr",
            "id": id(interaction),
            "entitlements": [],
            "entitlement_sku_ids": [],
            "data": data,
            "attachment_size_limit": 10_485_760,
            "application_id": id(self.users[0].id),
            "app_permissions": "562949953601536",
        })
    }

    fn channel_of_interaction(&self, scene: &Scene) -> Value {
        let home = scene.guild.and_then(|guild| self.guilds.get(guild));
        let Some(home) = home else {
            return json!({"id": id(scene.channel), "type": 1, "flags": 0});
        };
        let object = match home.threads.get(scene.channel) {
            Some(thread) => thread.json(),
            None => home
                .channels
                .get(scene.channel)
                .map(|channel| channel.json(home.id))
                .unwrap_or_default(),
        };
        let mut object = with_guild(object, home.id);
        object["permissions"] = json!("2248473465835073");
        object
    }
}
