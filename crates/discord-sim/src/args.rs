//! The program's settings, by option or environment.

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    path::PathBuf,
    time::Duration,
};

use clap::{Parser, Subcommand};
use discord_sim::{ResumeUrl, SimConfig, WorldConfig};

/// Where it listens unless it is told.
const LISTEN: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 7080);

/// A simulated Discord for tests, demos and load: REST, gateway and a control API on one port.
///
/// Point a bot at it with the URLs and the token that it prints (`sim-token` will do, too). It makes a world of guilds
/// from a seed and moves it with a realistic mix of all of Discord's events at the given rate.
///
/// Control it over HTTP: GET /sim/status, /sim/truth?prefix=, /sim/truth/{key},
/// /sim/sent?shard=&after=&limit=, /sim/commands?shard=, /sim/connections, /sim/requests;
/// POST /sim/load {"events": 1000, "rate": 100, "duration_ms": 5000, "mix": ["MESSAGE_CREATE"]}, DELETE
/// /sim/load; POST /sim/act {"do": "command", "name": "ping", "options": {"n": 1}, "guild": "1", "channel": "2",
/// "user": "3"} (do: "command", "autocomplete", "component" or "modal" with "custom_id", "message" or "edit" with
/// "content", "delete", "react" or "unreact" with "emoji", "vote" or "unvote" with "answer": 1, "type", "join", "leave",
/// "ban"; "message": "4"; what is not named is chosen); POST /sim/inject {"shard": 0, "t": "NAME", "d": "text"} or {"raw": "text"}.
///
/// POST /sim/fault {"fault": …, "shard": 0} (no shard: all). At once: "drop", "black_hole", "reconnect",
/// "reconnect_then_silence", {"invalid_session": {"resumable": true}}, "request_heartbeat", {"close": 4000}. Lasting:
/// {"stall_acks": true}, {"refuse_connections": true}, {"slow_socket": {"bytes_per_second": 9000}}, "normal_socket",
/// {"split_messages": true}, {"answer": {"at": POINT, "with": ANSWER, "times": 3, "host": "main" or "resume"}} (times and host may be left out),
/// {"answer_normally": {"at": POINT}} (no point: everywhere).
/// POINT: "connect", "upgrade" (instead of HELLO), "hello" (after it), "identify", "resume", "session" (after READY or
/// RESUMED), {"command": 8}. ANSWER: "ignore", "silence", "reset", "end", {"http": 503}, {"close": 1011}, "reconnect",
/// "reconnect_then_silence", {"invalid_session": {"resumable": false}},
/// {"invalid_session_then_silence": {"resumable": true}}.
///
/// POST /sim/rest {"route": "/gateway/bot", "status": 429, "delay_ms": 0, "reset": false, "retry_after": "5",
/// "bucket_headers": false, "body": "json" or "html" or {"text": "…"}, "times": 1} (all may be left out), DELETE
/// /sim/rest.
#[derive(Debug, Parser)]
#[command(version, about)]
pub(crate) struct Args {
    #[command(subcommand)]
    pub(crate) command: Option<Command>,

    /// Address to listen on; port 0 = a free one. The control API has no authentication: keep it
    /// on loopback or in a private network. Left out: 127.0.0.1:7080, for `run` a free port.
    #[arg(long, env = "SIM_LISTEN")]
    listen: Option<SocketAddr>,

    /// HOST:PORT (or HOST, with the usual port) that URLs name, if clients reach this by another address than it listens on.
    #[arg(long, env = "SIM_ADVERTISE")]
    advertise: Option<String>,

    /// Speak TLS only, by a certificate authority of its own, whose certificate is written to DIR/ca.pem at each start.
    /// It signs for discord.com, gateway.discord.gg, the CDN's names, localhost and the host of --advertise.
    #[arg(long, env = "SIM_TLS", value_name = "DIR")]
    tls: Option<PathBuf>,

    /// A second address, which READY names for resuming; port 0 = a free one. Left out: the same address.
    #[arg(long, env = "SIM_RESUME_LISTEN")]
    resume_listen: Option<SocketAddr>,

    /// The bot's token that clients must send.
    #[arg(
        long,
        env = "SIM_TOKEN",
        default_value = "sim-token",
        hide_env_values = true
    )]
    token: String,

    /// Seed of the world: the same seed and sizes give the same events.
    #[arg(long, env = "SIM_SEED", default_value_t = 1)]
    seed: u64,

    /// Guilds that the bot is in.
    #[arg(long, env = "SIM_GUILDS", default_value_t = WorldConfig::default().guilds)]
    guilds: u32,

    /// Members of each guild.
    #[arg(long, env = "SIM_MEMBERS", default_value_t = WorldConfig::default().members_per_guild)]
    members: u32,

    /// Channels of each guild.
    #[arg(long, env = "SIM_CHANNELS", default_value_t = WorldConfig::default().channels_per_guild)]
    channels: u32,

    /// Events per second, over all shards, while a bot is connected; 0 = none until /sim/load asks.
    #[arg(long, env = "SIM_RATE", default_value_t = 20.0)]
    pub(crate) rate: f64,

    /// Number of shards that /gateway/bot recommends.
    #[arg(long, env = "SIM_SHARDS", default_value_t = 1)]
    shards: u32,

    /// IDENTIFYs allowed at once (session_start_limit.max_concurrency).
    #[arg(long, env = "SIM_MAX_CONCURRENCY", default_value_t = 1)]
    max_concurrency: u32,

    /// Milliseconds between two IDENTIFYs of one bucket.
    #[arg(long, env = "SIM_IDENTIFY_INTERVAL", default_value_t = 5_000)]
    identify_interval: u64,

    /// Sessions that may be started in 24 hours.
    #[arg(long, env = "SIM_SESSION_STARTS", default_value_t = 1_000)]
    session_starts: u32,

    /// Milliseconds between heartbeats.
    #[arg(long, env = "SIM_HEARTBEAT_INTERVAL", default_value_t = 41_250)]
    heartbeat_interval: u64,

    /// Events that a session keeps for RESUME.
    #[arg(long, env = "SIM_REPLAY_LIMIT", default_value_t = 50_000)]
    replay_limit: usize,

    /// Seconds that a disconnected session stays resumable.
    #[arg(long, env = "SIM_SESSION_LIFETIME", default_value_t = 180)]
    session_lifetime: u64,

    /// How much faster than at Discord time passes: heartbeats, limits and their windows, lifetimes, and the time to answer
    /// an interaction. Loads and faults are not affected.
    #[arg(long, env = "SIM_TIME_SCALE", default_value_t = 1.0)]
    time_scale: f64,

    /// HOST:PORT of the voice server that VOICE_SERVER_UPDATE names.
    #[arg(long, env = "SIM_VOICE_ENDPOINT", default_value_t = WorldConfig::default().voice_endpoint)]
    voice_endpoint: String,

    /// Keep every event that was sent, for /sim/sent. Memory then grows with the load.
    #[arg(long, env = "SIM_KEEP_EVENTS")]
    keep_events: bool,

    /// Messages that the truth of a shard keeps; the oldest is forgotten.
    #[arg(long, env = "SIM_TRUTH_MESSAGES", default_value_t = 50_000)]
    truth_messages: usize,

    /// Don't compute the truth: less work for each event, /sim/truth is empty.
    #[arg(long, env = "SIM_NO_TRUTH")]
    no_truth: bool,

    /// What to log, to standard error: a level, or tracing's directives. Left out: info, for `run` error.
    #[arg(long, env = "RUST_LOG")]
    log: Option<String>,
}

/// What to do instead of simulating.
#[derive(Clone, Debug, Subcommand)]
pub(crate) enum Command {
    /// Runs a bot through a scenario: exit code 0 if each step passed, 1 if one failed, 2 if the scenario can't be read,
    /// has no step, or the bot can't be started.
    ///
    /// The bot finds DISCORD_API_URL, DISCORD_GATEWAY_URL, DISCORD_TOKEN and DISCORD_APPLICATION_ID in its environment (with
    /// --tls also DISCORD_CA_FILE); in its arguments {api}, {gateway}, {token}, {application} and {ca} stand for them. What it
    /// prints goes to standard error. The options in front of `run` hold where the scenario says nothing else; the port is a
    /// free one unless --listen is given, and there is no load but the scenario's. The keys of a scenario are in the README.
    Run {
        /// The scenario's file.
        scenario: PathBuf,
        /// What starts the bot; left out: the scenario's `bot.command`.
        #[arg(last = true)]
        bot: Vec<String>,
    },
    /// Asks the simulator that listens on this address whether it answers; the exit code is 0 if it does.
    Healthcheck,
}

impl Args {
    /// Where the simulator is asked for its health: where it listens, or on loopback if that is every address.
    pub(crate) fn health_address(&self) -> SocketAddr {
        let mut address = self.listen.unwrap_or(LISTEN);
        if address.ip().is_unspecified() {
            address.set_ip(match address.ip() {
                IpAddr::V4(_) => Ipv4Addr::LOCALHOST.into(),
                IpAddr::V6(_) => Ipv6Addr::LOCALHOST.into(),
            });
        }
        address
    }

    /// The authority whom the simulator's certificate is by, where it speaks TLS.
    pub(crate) fn authority(&self) -> Option<PathBuf> {
        self.tls.as_ref().map(|folder| folder.join("ca.pem"))
    }

    /// What to log.
    pub(crate) fn log(&self) -> &str {
        let usual = match self.command {
            Some(Command::Run { .. }) => "error",
            _ => "info",
        };
        self.log.as_deref().unwrap_or(usual)
    }

    pub(crate) fn config(&self) -> SimConfig {
        SimConfig {
            token: self.token.clone(),
            listen: self.listen.unwrap_or(match self.command {
                Some(Command::Run { .. }) => SocketAddr::new(LISTEN.ip(), 0),
                _ => LISTEN,
            }),
            advertise: self.advertise.clone(),
            tls: self.tls.clone(),
            resume_url: self.resume_listen.map_or(ResumeUrl::Main, ResumeUrl::Own),
            world: WorldConfig {
                seed: self.seed,
                guilds: self.guilds,
                members_per_guild: self.members,
                channels_per_guild: self.channels,
                voice_endpoint: self.voice_endpoint.clone(),
                ..WorldConfig::default()
            },
            max_concurrency: self.max_concurrency,
            recommended_shards: self.shards,
            heartbeat_interval: Duration::from_millis(self.heartbeat_interval),
            replay_limit: self.replay_limit,
            identify_interval: Duration::from_millis(self.identify_interval),
            session_start_limit: self.session_starts,
            session_lifetime: Duration::from_secs(self.session_lifetime),
            time_scale: self.time_scale,
            keep_payloads: self.keep_events,
            keep_truth: !self.no_truth,
            truth_messages: self.truth_messages,
            ..SimConfig::default()
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::Args;

    #[test]
    fn the_arguments_are_sound() {
        Args::command().debug_assert();
    }
}
