//! What a session begins with: its id and its READY.

use serde_json::{Value, json};

use super::{Books, session::SessionKey};
use crate::gateway::Identify;

impl Books {
    /// `d` of READY: <https://discord.com/developers/docs/events/gateway-events#ready>
    pub(super) fn ready(&self, identify: &Identify, id: &str, resume_url: Option<&str>) -> Value {
        let application = self.world.application();
        let mut ready = json!({
            "v": 10,
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

/// A session id like Discord's: 32 hexadecimal digits, the same for the same seed.
pub(super) fn session_id(seed: u64, key: SessionKey) -> String {
    let mut state = seed ^ key.0.rotate_left(32);
    let mut next = || {
        // SplitMix64.
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    };
    format!("{:016x}{:016x}", next(), next())
}
