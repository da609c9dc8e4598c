//! The simulator's settings.

use std::{
    net::{Ipv4Addr, SocketAddr},
    path::PathBuf,
    time::Duration,
};

use base64::{
    Engine as _,
    engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD},
};

use crate::{
    protocol::handshake::Rules,
    world::{BOT_ID, WorldConfig},
};

/// What READY names as `resume_gateway_url`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ResumeUrl {
    /// The address of everything else.
    Main,
    /// Another one, listened on besides (port 0 = a free one), so that it can have faults of its own. Where
    /// [`SimConfig::advertise`] is given, it is named by that host.
    Own(SocketAddr),
    /// Nothing.
    Absent,
}

/// How a [`Sim`](crate::Sim) behaves. The defaults are Discord's, but for a free port on loopback.
#[derive(Debug, Clone)]
pub struct SimConfig {
    /// The bot's token (default `sim-token`); clients may put `Bot ` in front.
    pub token: String,
    /// Where to listen, REST and gateway on one port (default `127.0.0.1`, a free port).
    pub listen: SocketAddr,
    /// `HOST:PORT` that URLs name, or `HOST` where the port is the usual one, in answers too; `None` = the address that is listened on. Needed
    /// where that is `0.0.0.0`, or clients reach it by another name.
    pub advertise: Option<String>,
    /// A folder that `ca.pem` is written to: with it the port speaks TLS only, by a certificate authority that is made at the
    /// start, for Discord's names, `localhost`, and the host that is advertised (default `None`).
    pub tls: Option<PathBuf>,
    /// What READY names as the address for resuming (default: the same address).
    pub resume_url: ResumeUrl,
    /// The world.
    pub world: WorldConfig,
    /// `session_start_limit.max_concurrency`: IDENTIFYs allowed in one interval (default 1).
    pub max_concurrency: u32,
    /// What `/gateway/bot` recommends (default 1).
    pub recommended_shards: u32,
    /// An IDENTIFY with fewer shards is closed with 4011 (default 1: never).
    pub required_shards: u32,
    /// An IDENTIFY with one of these intent bits is closed with 4014 (default none).
    pub disallowed_intents: u64,
    /// HELLO's heartbeat interval (default 41.25 s). After two without a heartbeat the connection
    /// is closed with 4009.
    pub heartbeat_interval: Duration,
    /// Events that a session keeps for RESUME, beyond its READY and first GUILD_CREATEs (default
    /// 50,000). A disconnected session that is owed more than that ends.
    pub replay_limit: usize,
    /// Time between two IDENTIFYs of one `shard % max_concurrency` (default 5 s).
    pub identify_interval: Duration,
    /// Payloads that a client may send in any window of this length (default 120 in 60 s).
    pub send_limit: (u32, Duration),
    /// Sessions that may be started in 24 h (default 1,000); beyond that: 4004.
    pub session_start_limit: u32,
    /// Whether REST has rate limits as Discord's (default true).
    pub rest_limits: bool,
    /// So many answers with 401, 403 or 429 in 10 minutes ban a bot from REST (default 10,000).
    pub invalid_requests: usize,
    /// How long a disconnected session stays resumable (default 180 s).
    pub session_lifetime: Duration,
    /// Time between two requests for all members of one guild (default 30 s); sooner gets
    /// RATE_LIMITED.
    pub member_request_interval: Duration,
    /// How much faster than at Discord time passes (default 1): heartbeat interval, limits and their windows, lifetimes, and
    /// the time to answer an interaction are so much shorter. Loads, faults and what is in the events are not.
    pub time_scale: f64,
    /// Whether the log keeps every event that was sent (default true: [`Sim::sent`] has them all).
    /// Memory grows with the load then; without, only what is not yet settled is kept.
    ///
    /// [`Sim::sent`]: crate::Sim::sent
    pub keep_payloads: bool,
    /// Whether the truth is computed (default true). Without, less work is done for each event, and
    /// neither the truth nor `old` is known.
    pub keep_truth: bool,
    /// Messages that the truth of a shard keeps (default 1,000,000); the oldest is forgotten.
    pub truth_messages: usize,
}

impl Default for SimConfig {
    fn default() -> Self {
        Self {
            token: "sim-token".to_owned(),
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
            advertise: None,
            tls: None,
            resume_url: ResumeUrl::Main,
            world: WorldConfig::default(),
            max_concurrency: 1,
            recommended_shards: 1,
            required_shards: 1,
            disallowed_intents: 0,
            heartbeat_interval: Duration::from_millis(41_250),
            replay_limit: 50_000,
            identify_interval: Duration::from_secs(5),
            send_limit: (120, Duration::from_secs(60)),
            session_start_limit: 1_000,
            rest_limits: true,
            invalid_requests: 10_000,
            session_lifetime: Duration::from_secs(180),
            member_request_interval: Duration::from_secs(30),
            time_scale: 1.0,
            keep_payloads: true,
            keep_truth: true,
            truth_messages: 1_000_000,
        }
    }
}

impl SimConfig {
    /// A token for libraries that read the bot's id out of it, as Discord's tokens hold it: both are accepted.
    pub fn bot_token(&self) -> String {
        let id = STANDARD_NO_PAD.encode(BOT_ID.to_string());
        let secret = URL_SAFE_NO_PAD.encode(&self.token);
        format!("{id}.GsImUl.{secret}")
    }

    /// A time of Discord's as it passes here.
    pub(crate) fn scaled(&self, time: Duration) -> Duration {
        if !(self.time_scale.is_finite() && self.time_scale > 0.0) {
            return time;
        }
        Duration::try_from_secs_f64(time.as_secs_f64() / self.time_scale).unwrap_or(Duration::MAX)
    }

    /// With all its times as they pass here.
    pub(crate) fn with_scaled_times(self) -> Self {
        let (count, window) = self.send_limit;
        Self {
            heartbeat_interval: self.scaled(self.heartbeat_interval),
            identify_interval: self.scaled(self.identify_interval),
            send_limit: (count, self.scaled(window)),
            session_lifetime: self.scaled(self.session_lifetime),
            member_request_interval: self.scaled(self.member_request_interval),
            ..self
        }
    }

    pub(crate) fn rules(&self) -> Rules {
        Rules {
            tokens: [self.token.clone(), self.bot_token()],
            disallowed_intents: self.disallowed_intents,
            required_shards: self.required_shards,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_pass_faster_by_the_scale() {
        let config = |time_scale| SimConfig {
            time_scale,
            ..SimConfig::default()
        };
        let fast = config(10.0).with_scaled_times();
        assert_eq!(fast.heartbeat_interval, Duration::from_millis(4_125));
        assert_eq!(fast.send_limit, (120, Duration::from_secs(6)));
        assert_eq!(fast.identify_interval, Duration::from_millis(500));
        let slow = config(0.5).with_scaled_times();
        assert_eq!(slow.session_lifetime, Duration::from_secs(360));
        for without_sense in [0.0, -1.0, f64::NAN, f64::INFINITY] {
            let config = config(without_sense).with_scaled_times();
            assert_eq!(config.identify_interval, Duration::from_secs(5));
        }
    }
}
