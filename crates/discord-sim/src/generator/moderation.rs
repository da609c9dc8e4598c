//! Auto moderation, the audit log and integrations.

use rand::Rng;
use serde_json::{Value, json};

use super::take_any;
use crate::world::{Dispatch, World, id, intents, name, sentence};

/// Rules or integrations that a guild remembers.
const REMEMBERED: usize = 20;

impl World {
    pub(super) fn auto_moderation_rule_create(&mut self) -> Option<Dispatch> {
        let (at, rule) = (self.pick_guild()?, self.next_id());
        let guild = self.guilds.get_mut(at)?;
        if guild.automod_rules.len() < REMEMBERED {
            guild.automod_rules.push(rule);
        }
        self.tell_rule(at, rule, "AUTO_MODERATION_RULE_CREATE")
    }

    pub(super) fn auto_moderation_rule_update(&mut self) -> Option<Dispatch> {
        let (at, rule) = self.pick_rule()?;
        self.tell_rule(at, rule, "AUTO_MODERATION_RULE_UPDATE")
    }

    pub(super) fn auto_moderation_rule_delete(&mut self) -> Option<Dispatch> {
        let (at, rule) = self.pick_rule()?;
        self.guilds
            .get_mut(at)?
            .automod_rules
            .retain(|other| *other != rule);
        self.tell_rule(at, rule, "AUTO_MODERATION_RULE_DELETE")
    }

    pub(super) fn auto_moderation_action_execution(&mut self) -> Option<Dispatch> {
        let (at, rule) = self.pick_rule()?;
        let (channel, _) = self.pick_place(at)?;
        let user = self.guilds.get(at)?.members.pick(&mut self.rng)?;
        let d = json!({
            "user_id": id(user),
            "rule_trigger_type": 1,
            "rule_id": id(rule),
            "matched_keyword": "badword*",
            "matched_content": "badwords",
            "guild_id": id(at),
            "content": sentence(self.clock_ms),
            "channel_id": id(channel),
            "action": {"type": 3, "metadata": {"duration_seconds": 60}},
        });
        let intent = intents::AUTO_MODERATION_EXECUTION;
        Some(self.tell(Some(at), "AUTO_MODERATION_ACTION_EXECUTION", intent, d))
    }

    fn tell_rule(&mut self, at: u64, rule: u64, event: &str) -> Option<Dispatch> {
        let creator = self.guilds.get(at)?.owner;
        let d = json!({
            "trigger_type": 1,
            "trigger_metadata": {
                "regex_patterns": ["b[ae]d\\d+"], "keyword_filter": ["badword*"], "allow_list": [],
            },
            "name": name(self.clock_ms, " "),
            "id": id(rule),
            "guild_id": id(at),
            "exempt_roles": [],
            "exempt_channels": [],
            "event_type": 1,
            "enabled": self.once_in(2),
            "creator_id": id(creator),
            "actions": [{"type": 1, "metadata": {"custom_message": "please don't"}}],
        });
        Some(self.tell(Some(at), event, intents::AUTO_MODERATION_CONFIGURATION, d))
    }

    fn pick_rule(&mut self) -> Option<(u64, u64)> {
        let at = self.guilds.pick_where(&mut self.rng, |guild| {
            !guild.unavailable && !guild.automod_rules.is_empty()
        })?;
        let rules = &self.guilds.get(at)?.automod_rules;
        Some((at, rules[self.rng.random_range(0..rules.len())]))
    }

    pub(super) fn guild_audit_log_entry_create(&mut self) -> Option<Dispatch> {
        let (at, entry) = (self.pick_guild()?, self.next_id());
        let guild = self.guilds.get(at)?;
        let (user, target) = (
            guild.members.pick(&mut self.rng)?,
            guild.members.pick(&mut self.rng)?,
        );
        let d = json!({
            "user_id": id(user),
            "target_id": id(target),
            "options": {},
            "id": id(entry),
            "guild_id": id(at),
            "changes": [{"key": "nick", "old_value": name(entry, " "), "new_value": name(user, " ")}],
            "action_type": 24,
        });
        let intent = intents::GUILD_MODERATION;
        Some(self.tell(Some(at), "GUILD_AUDIT_LOG_ENTRY_CREATE", intent, d))
    }

    pub(super) fn guild_integrations_update(&mut self) -> Option<Dispatch> {
        let at = self.pick_guild()?;
        let d = json!({"guild_id": id(at)});
        Some(self.tell(
            Some(at),
            "GUILD_INTEGRATIONS_UPDATE",
            intents::GUILD_INTEGRATIONS,
            d,
        ))
    }

    pub(super) fn integration_create(&mut self) -> Option<Dispatch> {
        let (at, integration) = (self.pick_guild()?, self.next_id());
        let guild = self.guilds.get_mut(at)?;
        if guild.integrations.len() < REMEMBERED {
            guild.integrations.push(integration);
        }
        let d = self.integration(at, integration);
        Some(self.tell(
            Some(at),
            "INTEGRATION_CREATE",
            intents::GUILD_INTEGRATIONS,
            d,
        ))
    }

    pub(super) fn integration_update(&mut self) -> Option<Dispatch> {
        let (at, integration) = self.take_integration()?;
        self.guilds.get_mut(at)?.integrations.push(integration);
        let d = self.integration(at, integration);
        Some(self.tell(
            Some(at),
            "INTEGRATION_UPDATE",
            intents::GUILD_INTEGRATIONS,
            d,
        ))
    }

    pub(super) fn integration_delete(&mut self) -> Option<Dispatch> {
        let (at, integration) = self.take_integration()?;
        let d = json!({
            "id": id(integration), "guild_id": id(at), "application_id": id(integration + 1),
        });
        Some(self.tell(
            Some(at),
            "INTEGRATION_DELETE",
            intents::GUILD_INTEGRATIONS,
            d,
        ))
    }

    fn integration(&self, at: u64, integration: u64) -> Value {
        json!({
            "type": "discord",
            "scopes": ["applications.commands", "bot"],
            "name": name(integration, " "),
            "id": id(integration),
            "guild_id": id(at),
            "enabled": true,
            "application": {
                "summary": "",
                "name": name(integration, " "),
                "id": id(integration + 1),
                "icon": null,
                "description": sentence(integration),
                "bot": self.users[0].json(),
            },
            "account": {"name": name(integration, " "), "id": id(integration + 1)},
        })
    }

    fn take_integration(&mut self) -> Option<(u64, u64)> {
        let at = self.guilds.pick_where(&mut self.rng, |guild| {
            !guild.unavailable && !guild.integrations.is_empty()
        })?;
        Some((
            at,
            take_any(&mut self.guilds.get_mut(at)?.integrations, &mut self.rng)?,
        ))
    }
}
