//! What a session begins with: its id and its READY.

use serde_json::{Value, json};

use super::Dispatcher;
use crate::protocol::handshake::Identify;

impl Dispatcher {
    /// `d` of READY: <https://discord.com/developers/docs/events/gateway-events#ready>
    pub(super) fn ready(&self, identify: &Identify, id: &str, resume_url: Option<&str>) -> Value {
        let application = self.world.application();
        let mut ready = json!({
            "v": identify.version,
            "user_settings": {},
            "user": self.world.bot_user(),
            "session_type": "normal",
            "session_id": id,
            "relationships": [],
            "private_channels": [],
            "presences": [],
            "guilds": self.world.ready_guilds(identify.shard, identify.total),
            "guild_join_requests": [],
            "geo_ordered_rtc_regions": ["rotterdam"],
            "shard": [identify.shard, identify.total],
            "application": {"id": application["id"], "flags": application["flags"]},
            "_trace": ["[\"discord-sim\"]"],
        });
        if let Some(url) = resume_url {
            ready["resume_gateway_url"] = url.into();
        }
        ready
    }
}

/// A session id like Discord's, 32 hexadecimal digits. It does not follow from the seed: Discord never uses one twice, and a simulator
/// that started again with the same would make every event of the new session look like a repeat.
pub(super) fn session_id() -> String {
    format!("{:032x}", rand::random::<u128>())
}
