//! What concerns the application: interactions, entitlements, subscriptions, the bot's own user.

use serde_json::{Value, json};

use super::take_any;
use crate::{
    protocol::snowflake::timestamp,
    world::{Dispatch, World, id},
};

/// Entitlements or subscriptions that the world remembers.
const REMEMBERED: usize = 100;
const MONTH_MS: u64 = 2_592_000_000;

impl World {
    pub(super) fn interaction_create(&mut self) -> Option<Dispatch> {
        if self.once_in(10) {
            return self.dm_interaction();
        }
        let at = self.pick_guild()?;
        let (channel, kind) = self.pick_place(at)?;
        let mut d = self.typed();
        let guild = self.guilds.get(at)?;
        let user = guild.members.pick(&mut self.rng)?;
        let member = guild.members.get(user)?;
        let mut invoker = member.json(&self.users[member.user as usize]);
        invoker.permissions = Some("2248473465835073");
        d["member"] = json!(invoker);
        d["guild_locale"] = json!("en-US");
        d["guild_id"] = id(at);
        d["guild"] = json!({"locale": "en-US", "id": id(at), "features": ["COMMUNITY"]});
        d["context"] = json!(0);
        d["channel_id"] = id(channel);
        d["channel"] = json!({"id": id(channel), "type": kind, "guild_id": id(at), "flags": 0});
        d["authorizing_integration_owners"] = json!({"0": id(at)});
        Some(self.tell(Some(at), "INTERACTION_CREATE", 0, d))
    }

    fn dm_interaction(&mut self) -> Option<Dispatch> {
        let mut d = self.typed();
        let dm = self.dms.first()?;
        let user = &self.users[dm.user as usize];
        d["user"] = json!(user.json());
        d["context"] = json!(1);
        d["channel_id"] = id(dm.channel);
        d["channel"] = json!({"id": id(dm.channel), "type": 1, "flags": 0});
        d["authorizing_integration_owners"] = json!({"1": id(user.id)});
        Some(self.tell(None, "INTERACTION_CREATE", 0, d))
    }

    fn typed(&mut self) -> Value {
        let interaction = self.next_id();
        let data = json!({"type": 1, "name": "ping", "id": id(self.users[0].id + 1)});
        self.interaction_head(interaction, 2, data)
    }

    pub(super) fn application_command_permissions_update(&mut self) -> Option<Dispatch> {
        let at = self.pick_guild()?;
        let d = json!({
            "permissions": [{"type": 1, "permission": self.once_in(2), "id": id(at)}],
            "id": id(self.users[0].id + 1),
            "guild_id": id(at),
            "application_id": id(self.users[0].id),
        });
        Some(self.tell(Some(at), "APPLICATION_COMMAND_PERMISSIONS_UPDATE", 0, d))
    }

    pub(super) fn entitlement_create(&mut self) -> Option<Dispatch> {
        let entitlement = self.next_id();
        if self.entitlements.len() < REMEMBERED {
            self.entitlements.push(entitlement);
        }
        Some(self.tell_entitlement(entitlement, "ENTITLEMENT_CREATE"))
    }

    pub(super) fn entitlement_update(&mut self) -> Option<Dispatch> {
        let entitlement = take_any(&mut self.entitlements, &mut self.rng)?;
        self.entitlements.push(entitlement);
        Some(self.tell_entitlement(entitlement, "ENTITLEMENT_UPDATE"))
    }

    pub(super) fn entitlement_delete(&mut self) -> Option<Dispatch> {
        let entitlement = take_any(&mut self.entitlements, &mut self.rng)?;
        Some(self.tell_entitlement(entitlement, "ENTITLEMENT_DELETE"))
    }

    /// Entitlements of a user come without a guild, those of a guild with one.
    fn tell_entitlement(&mut self, entitlement: u64, event: &str) -> Dispatch {
        let guild = if entitlement.is_multiple_of(2) {
            self.pick_guild()
        } else {
            None
        };
        let mut d = json!({
            "user_id": id(self.users[1].id),
            "type": 8,
            "starts_at": timestamp(self.clock_ms),
            "sku_id": id(self.users[0].id + 2),
            "id": id(entitlement),
            "ends_at": timestamp(self.clock_ms + MONTH_MS),
            "deleted": event == "ENTITLEMENT_DELETE",
            "consumed": false,
            "application_id": id(self.users[0].id),
        });
        if let Some(guild) = guild {
            d["guild_id"] = id(guild);
        }
        self.tell(guild, event, 0, d)
    }

    pub(super) fn subscription_create(&mut self) -> Option<Dispatch> {
        let subscription = self.next_id();
        if self.subscriptions.len() < REMEMBERED {
            self.subscriptions.push(subscription);
        }
        Some(self.tell_subscription(subscription, "SUBSCRIPTION_CREATE"))
    }

    pub(super) fn subscription_update(&mut self) -> Option<Dispatch> {
        let subscription = take_any(&mut self.subscriptions, &mut self.rng)?;
        self.subscriptions.push(subscription);
        Some(self.tell_subscription(subscription, "SUBSCRIPTION_UPDATE"))
    }

    pub(super) fn subscription_delete(&mut self) -> Option<Dispatch> {
        let subscription = take_any(&mut self.subscriptions, &mut self.rng)?;
        Some(self.tell_subscription(subscription, "SUBSCRIPTION_DELETE"))
    }

    fn tell_subscription(&mut self, subscription: u64, event: &str) -> Dispatch {
        let ends = event == "SUBSCRIPTION_DELETE";
        let d = json!({
            "user_id": id(self.users[1].id),
            "status": if ends { 2 } else { 0 },
            "sku_ids": [id(self.users[0].id + 2)],
            "renewal_sku_ids": null,
            "id": id(subscription),
            "entitlement_ids": [id(subscription + 1)],
            "current_period_start": timestamp(self.clock_ms),
            "current_period_end": timestamp(self.clock_ms + MONTH_MS),
            "canceled_at": ends.then(|| timestamp(self.clock_ms)),
        });
        self.tell(None, event, 0, d)
    }

    /// The bot's own user changes.
    pub(super) fn user_update(&mut self) -> Option<Dispatch> {
        self.users[0].face += 1;
        let d = self.bot_user();
        Some(self.tell(None, "USER_UPDATE", 0, d))
    }
}
