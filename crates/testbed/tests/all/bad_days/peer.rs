//! A simulated Discord and the one ingest that it has to do with.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use discord_sim::{
    Answer, Asked, ConnectionMade, Fault, Host, Point, RestFault, Scope, Sim, SimConfig,
};
use dispatch_proto::redis::STATUSES;
use redis::AsyncCommands;
use serde_json::Value;
use testbed::binaries::Service;
use testbed::process::Process;
use testbed::servers::{Servers, redis_connection};
use testbed::stack::settings;
use testbed::wait;

/// Longest time for a shard to be live, once Discord behaves.
pub(crate) const LIVE: Duration = Duration::from_secs(60);
/// Longest time for anything that takes no wait of its own.
pub(crate) const LIMIT: Duration = Duration::from_secs(30);

/// Servers of one's own, as far as a process can see.
#[derive(Clone, Debug)]
pub(crate) struct Place {
    pub(crate) rabbit_url: String,
    pub(crate) redis_url: String,
    dir: PathBuf,
    n: usize,
}

impl Place {
    pub(crate) async fn several(servers: &Servers, count: usize) -> Result<Vec<Self>> {
        let urls = servers.rabbitmq.places(count).await?;
        let place = |(n, rabbit_url)| Self {
            rabbit_url,
            // Redis has 16 databases.
            redis_url: format!("{}{n}", servers.redis.url()),
            dir: servers.dir().to_owned(),
            n,
        };
        Ok((0..).zip(urls).map(place).collect())
    }

    /// The settings of a service for one shard of `sim`.
    fn env(&self, sim: &Sim) -> BTreeMap<String, String> {
        let mut env = settings::links(&self.rabbit_url, &self.redis_url);
        env.extend(settings::discord(
            "sim-token",
            &sim.http_url(),
            &sim.gateway_url(),
        ));
        env.extend(settings::exact(1));
        env
    }

    /// Starts a service.
    pub(crate) fn start(&self, service: Service, sim: &Sim) -> Result<Process> {
        let name = format!("{}-{}", service.name(), self.n);
        Process::start(service, &name, &self.dir, &self.env(sim))
    }
}

/// See the module's documentation.
pub(crate) struct Peer {
    pub(crate) sim: Sim,
    pub(crate) ingest: Process,
    place: Place,
}

impl Peer {
    /// Starts both, the simulator with faults that it has from the beginning.
    pub(crate) async fn start(
        place: &Place,
        config: SimConfig,
        faults: impl FnOnce(&Sim),
    ) -> Result<Self> {
        let sim = Sim::start(config).await?;
        faults(&sim);
        let ingest = place.start(Service::GatewayIngest, &sim)?;
        Ok(Self {
            sim,
            ingest,
            place: place.clone(),
        })
    }

    /// The same, with a shard that is live.
    pub(crate) async fn live(place: &Place, config: SimConfig) -> Result<Self> {
        let peer = Self::start(place, config, |_| {}).await?;
        peer.is_live(LIMIT).await?;
        Ok(peer)
    }

    /// Waits until the shard has a session whose events all reach it.
    pub(crate) async fn is_live(&self, limit: Duration) -> Result<Duration> {
        let live = async || {
            let sessions = self.sim.sessions();
            sessions.iter().any(|s| s.connected && s.behind == 0)
        };
        let waited = wait::until("the shard to be live", limit, live).await;
        waited.with_context(|| self.story())
    }

    /// What happened, for the message of a failure.
    pub(crate) fn story(&self) -> String {
        let made = self.sim.connections_made();
        let begin = made.first().map(|made| made.at);
        let line = |made: &ConnectionMade| {
            let at = begin.map_or(0.0, |begin| (made.at - begin).as_secs_f64());
            format!("{at:.1} s {:?} {:?}", made.host, made.asked)
        };
        let last: Vec<_> = made.iter().rev().take(12).rev().map(line).collect();
        format!(
            "{} connections: {}\n{}",
            made.len(),
            last.join(", "),
            self.ingest.log_tail(8)
        )
    }

    /// What the connections made since `begin` asked for, and where.
    pub(crate) fn asked_since(&self, begin: Instant) -> Vec<(Host, Option<Asked>)> {
        let made = self.sim.connections_made();
        let since = made.into_iter().filter(|made| made.at >= begin);
        since.map(|made| (made.host, made.asked)).collect()
    }

    /// The status of the shard that Redis shows.
    pub(crate) async fn status(&self) -> Result<Option<String>> {
        let mut redis = redis_connection(&self.place.redis_url).await?;
        let text: Option<String> = redis.get(STATUSES).await?;
        let statuses: Value = serde_json::from_str(&text.unwrap_or_default()).unwrap_or_default();
        Ok(statuses[0]["status"].as_str().map(str::to_owned))
    }

    /// The sum of one of ingest's metrics.
    pub(crate) async fn metric(&self, name: &str) -> Result<f64> {
        Ok(self.ingest.metrics().await?.sum(name).unwrap_or(0.0))
    }
}

/// Times in which at most `most` may fall into any window of this length.
pub(crate) fn seldom(times: &[Instant], most: usize, window: Duration) -> Result<()> {
    for (n, begin) in times.iter().enumerate() {
        let within = times[n..].iter().take_while(|at| **at - *begin < window);
        let count = within.count();
        ensure!(
            count <= most,
            "{count} in {window:?}, expected at most {most}"
        );
    }
    Ok(())
}

/// A fault that lasts, for each shard and host.
pub(crate) fn always(at: Point, with: Answer) -> Fault {
    Fault::Answer {
        at,
        with,
        times: None,
        host: None,
    }
}

/// A fault of a single time.
pub(crate) fn once(at: Point, with: Answer) -> Fault {
    Fault::Answer {
        at,
        with,
        times: Some(1),
        host: None,
    }
}

/// What `/gateway/bot` answers.
pub(crate) fn gateway_bot(status: u16) -> RestFault {
    RestFault {
        route: Some("/gateway/bot".to_owned()),
        status: Some(status),
        ..RestFault::default()
    }
}

/// Ends the connections, so that the shards must come back.
pub(crate) fn drop_all(sim: &Sim) -> Instant {
    let begin = Instant::now();
    sim.fault(Fault::Drop, Scope::All);
    begin
}
