//! The running simulator and the handle to it.

mod listener;

use std::{
    collections::BTreeMap,
    io,
    path::PathBuf,
    sync::{Arc, MutexGuard},
    time::{Duration, Instant},
};

use serde_json::Value;
use tokio::{net::TcpListener, time::timeout};
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::{
    config::{ResumeUrl, SimConfig},
    control,
    dispatcher::SentEvent,
    faults::{Fault, RestFault, Scope},
    generator::Mix,
    load::{self, Load},
    rest,
    state::{ConnectionMade, Counts, Peer, RestRequest, SessionStatus, Shared, State, Status},
    tls,
    world::{Action, Done},
};

/// How long a shutdown waits for connections to close.
const SHUTDOWN: Duration = Duration::from_secs(3);

/// How often [`Sim::quiet`] looks again at the least.
const RECHECK: Duration = Duration::from_millis(20);

/// A running simulated Discord. Clones are handles to the same one; it stops when the last is
/// dropped or with [`Sim::shutdown`].
#[derive(Debug, Clone)]
pub struct Sim {
    shared: Arc<Shared>,
    _stop: Arc<DropGuard>,
}

impl Sim {
    /// Starts listening and serving.
    ///
    /// # Errors
    ///
    /// If the address can't be bound, or the certificate not be written.
    pub async fn start(config: SimConfig) -> io::Result<Self> {
        let advertised = config.advertise.as_deref();
        let host = advertised.map(|host| host.rsplit_once(':').map_or(host, |(host, _)| host));
        let tls = match &config.tls {
            Some(folder) => Some(tls::acceptor(folder, host)?),
            None => None,
        };
        let listener = TcpListener::bind(config.listen).await?;
        let address = listener.local_addr()?;
        let resume_listener = match config.resume_url {
            ResumeUrl::Own(address) => Some(TcpListener::bind(address).await?),
            ResumeUrl::Main | ResumeUrl::Absent => None,
        };
        let resume_address = resume_listener.as_ref().map(TcpListener::local_addr);
        let shared = Shared::new(config, address, resume_address.transpose()?);
        let shared = Arc::new(shared);
        let http = listener::listen(Arc::clone(&shared), listener, resume_listener, tls);
        let router = control::router()
            .fallback(rest::handle)
            .with_state(Arc::clone(&shared))
            .into_make_service_with_connect_info::<Peer>();
        let stop = shared.stop.clone();
        shared.tasks.spawn(async move {
            let served = axum::serve(http, router).with_graceful_shutdown(stop.cancelled_owned());
            if let Err(error) = served.await {
                tracing::error!(%error, "http server failed");
            }
        });
        let stop = Arc::new(shared.stop.clone().drop_guard());
        Ok(Self {
            shared,
            _stop: stop,
        })
    }

    /// `http://HOST:PORT`, with TLS `https://…`, for `DISCORD_API_URL`.
    pub fn http_url(&self) -> String {
        self.shared.http_url()
    }

    /// `ws://HOST:PORT`, with TLS `wss://…`, for `DISCORD_GATEWAY_URL`; also what `/gateway/bot` says.
    pub fn gateway_url(&self) -> String {
        self.shared.gateway_url()
    }

    /// The bot's token in Discord's form, with the bot's id in it: [`SimConfig::bot_token`].
    pub fn bot_token(&self) -> String {
        self.shared.config.bot_token()
    }

    /// The certificate of the authority that [`SimConfig::tls`] asks for.
    pub fn authority(&self) -> Option<PathBuf> {
        let folder = self.shared.config.tls.as_deref();
        folder.map(tls::authority_file)
    }

    /// Runs a load to its end; returns how many dispatches it made.
    pub async fn generate(&self, load: Load) -> u64 {
        load::run(&self.shared, load).await
    }

    /// Makes events at once, whoever reads them; returns the session and the sequence of each. Takes as long with many sessions as with
    /// few.
    pub fn make(&self, events: usize, mix: &Mix) -> Vec<(Arc<str>, u64)> {
        load::make_now(&self.shared, events, mix)
    }

    /// Ends every load that runs now.
    pub fn stop_load(&self) {
        let running = {
            let mut state = self.shared.lock();
            std::mem::replace(&mut state.loads, CancellationToken::new())
        };
        running.cancel();
    }

    /// Sends a dispatch with any text as its `d`, well-formed or not, to the sessions of a shard; the
    /// world does not change. Returns how many sessions there were.
    pub fn inject(&self, shard: u32, t: &str, d: &str) -> usize {
        self.shared.lock().dispatcher.inject(shard, t, d)
    }

    /// Lets a user do something, and tells the sessions of it.
    ///
    /// # Errors
    ///
    /// Why it can't be done.
    pub fn act(&self, action: &Action) -> Result<Done, String> {
        self.shared.lock().dispatcher.act(action)
    }

    /// Sends any text as a whole message to the sessions of a shard. With `$SEQ` in it, that is
    /// replaced by the session's next sequence, and the message is in the log and replayed like a
    /// dispatch; without, it is outside the sequence and not in the log. Returns how many
    /// sessions there were.
    pub fn inject_raw(&self, shard: u32, text: &str) -> usize {
        self.shared.lock().dispatcher.inject_raw(shard, text)
    }

    /// Causes a fault; returns how many connections it reached at once (0 for lasting faults).
    pub fn fault(&self, fault: Fault, scope: Scope) -> usize {
        self.shared.lock().fault(fault, scope)
    }

    /// Causes wrong answers of REST.
    pub fn rest_fault(&self, fault: RestFault) {
        self.shared.lock().rest_fault(fault);
    }

    /// Ends all wrong answers of REST.
    pub fn rest_normally(&self) {
        self.shared.lock().faults.rest.clear();
    }

    /// Everything that changes, behind its lock.
    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.shared.lock()
    }

    /// Gateway connections that clients made, served or not, oldest first; the last 20,000.
    pub fn connections_made(&self) -> Vec<ConnectionMade> {
        self.shared.lock().traffic.connections().copied().collect()
    }

    /// REST requests that clients made, oldest first; the last 20,000.
    pub fn rest_requests(&self) -> Vec<RestRequest> {
        self.shared.lock().traffic.requests().cloned().collect()
    }

    /// Everything that was sent on a shard (of the newest shard total), in order over all its
    /// sessions, with what was only put into a replay buffer.
    pub fn sent(&self, shard: u32) -> Vec<SentEvent> {
        self.sent_after(shard, 0, usize::MAX)
    }

    /// As [`Sim::sent`], from index `after` on and at most `limit`.
    pub fn sent_after(&self, shard: u32, after: usize, limit: usize) -> Vec<SentEvent> {
        self.shared.lock().dispatcher.sent(shard, after, limit)
    }

    /// What a perfect cache holds after everything that was written to the sockets: key of the
    /// `dispatch` layout → value. Take it when the simulator is [quiet](Sim::quiet).
    pub fn truth(&self) -> BTreeMap<String, Value> {
        let mut truth = BTreeMap::new();
        for (key, value) in self.shared.lock().dispatcher.truth() {
            // `bot_user` is on every shard, but only shard 0, the first, is told of its updates.
            truth.entry(key.to_owned()).or_insert_with(|| value.clone());
        }
        truth
    }

    /// One entry of the truth.
    pub fn truth_of(&self, key: &str) -> Option<Value> {
        self.shared.lock().dispatcher.truth_of(key).cloned()
    }

    /// Commands (whole payloads of op 3, 4, 8, 31, 43) of a shard's clients, in order; the last
    /// 100,000.
    pub fn commands_received(&self, shard: u32) -> Vec<(Instant, Value)> {
        self.shared.lock().dispatcher.commands(shard)
    }

    /// Where clients broke Discord's limits: too many or too large payloads, IDENTIFY too soon,
    /// member lists asked for too often. The first 10,000.
    pub fn violations(&self) -> Vec<String> {
        self.shared.lock().violations().to_vec()
    }

    /// Counters.
    pub fn counts(&self) -> Counts {
        self.shared.lock().counts
    }

    /// IDENTIFYs that started a session.
    pub fn identifies(&self) -> u64 {
        self.counts().identifies
    }

    /// RESUMEs that were granted.
    pub fn resumes(&self) -> u64 {
        self.counts().resumes
    }

    /// Op 9s sent, of both kinds.
    pub fn invalid_sessions(&self) -> u64 {
        self.counts().invalid_sessions
    }

    /// Gateway connections open now.
    pub fn connections(&self) -> usize {
        self.shared.lock().connections.len()
    }

    /// Live sessions, oldest first.
    pub fn sessions(&self) -> Vec<SessionStatus> {
        self.status().sessions
    }

    /// An overview.
    pub fn status(&self) -> Status {
        Status::of(&self.shared)
    }

    /// Waits until every live session's events are all written to its socket; false if that is not
    /// so within `deadline`. A disconnected session that is owed something is not quiet.
    pub async fn quiet(&self, deadline: Duration) -> bool {
        let start = Instant::now();
        loop {
            let progress = self.shared.progress.notified();
            tokio::pin!(progress);
            progress.as_mut().enable();
            {
                let mut state = self.shared.lock();
                state.dispatcher.expire(Instant::now());
                if state.dispatcher.is_quiet() {
                    return true;
                }
            }
            let Some(left) = deadline.checked_sub(start.elapsed()) else {
                return false;
            };
            // Either is fine: it is looked at again.
            let _ = timeout(left.min(RECHECK), progress).await;
        }
    }

    /// Closes the port and all connections (1001) and waits for them, 3 s at most.
    pub async fn shutdown(&self) {
        self.shared.stop.cancel();
        self.shared.tasks.close();
        if timeout(SHUTDOWN, self.shared.tasks.wait()).await.is_err() {
            tracing::warn!("connections still open at shutdown");
        }
    }
}
