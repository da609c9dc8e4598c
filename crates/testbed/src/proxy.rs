//! A TCP proxy on loopback that can swallow what passes through it and deliver it later, as a network does that fails
//! for a while.

use std::time::Duration;

use anyhow::Result;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};

/// How long a connection attempt to the server may take.
const CONNECT_LIMIT: Duration = Duration::from_secs(5);

/// A running proxy. It ends when dropped.
#[derive(Debug)]
pub struct Proxy {
    port: u16,
    state: watch::Sender<State>,
    task: JoinHandle<()>,
}

/// What passes. Connections are numbered as they are accepted.
#[derive(Clone, Copy, Debug, Default)]
struct State {
    accepted: u64,
    /// Nothing passes.
    swallows: bool,
    /// Connections up to this one are held, whatever others do.
    held: u64,
    /// What a client says before nothing passes any more, that included.
    last_word: Option<&'static str>,
}

impl State {
    fn passes(self, connection: u64) -> bool {
        !self.swallows && connection > self.held
    }

    /// Takes in what a client says; whether that changes anything.
    fn hear(&mut self, bytes: &[u8]) -> bool {
        let said = |word: &'static str| bytes.windows(word.len()).any(|at| at == word.as_bytes());
        let ends = self.last_word.is_some_and(said);
        if ends {
            self.last_word = None;
            self.swallows = true;
        }
        ends
    }
}

impl Proxy {
    /// Listens on a port of its own for connections to `port`.
    ///
    /// # Errors
    ///
    /// If there is no port.
    pub async fn start(port: u16) -> Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let own = listener.local_addr()?.port();
        let state = watch::Sender::new(State::default());
        let task = tokio::spawn(accept(listener, port, state.clone()));
        Ok(Self {
            port: own,
            state,
            task,
        })
    }

    /// The URL of the Redis behind it.
    #[must_use]
    pub fn redis_url(&self) -> String {
        format!("redis://127.0.0.1:{}/", self.port)
    }

    /// As soon as a client says `word`, that and what comes after it is kept and not passed on, on all connections.
    pub fn swallow_from(&self, word: &'static str) {
        self.state.send_modify(|state| state.last_word = Some(word));
    }

    /// Whether it keeps what comes.
    #[must_use]
    pub fn swallows(&self) -> bool {
        self.state.borrow().swallows
    }

    /// New connections pass; what was swallowed of those before is still kept.
    pub fn heal(&self) {
        self.state.send_modify(|state| {
            state.held = state.accepted;
            state.swallows = false;
        });
    }

    /// Delivers what was swallowed.
    pub fn deliver(&self) {
        self.state.send_modify(|state| state.held = 0);
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn accept(listener: TcpListener, port: u16, state: watch::Sender<State>) {
    let mut connections = JoinSet::new();
    while let Ok((client, _)) = listener.accept().await {
        state.send_modify(|state| state.accepted += 1);
        let (number, state) = (state.borrow().accepted, state.clone());
        connections.spawn(async move {
            let server = TcpStream::connect(("127.0.0.1", port));
            let Ok(Ok(server)) = tokio::time::timeout(CONNECT_LIMIT, server).await else {
                return;
            };
            let (from_client, to_client) = client.into_split();
            let (from_server, to_server) = server.into_split();
            let hear = |bytes: &[u8]| {
                state.send_if_modified(|state| state.hear(bytes));
            };
            tokio::join!(
                pass(from_client, to_server, number, state.subscribe(), hear),
                pass(from_server, to_client, number, state.subscribe(), |_| ()),
            );
        });
    }
}

async fn pass(
    mut from: impl AsyncReadExt + Unpin,
    mut to: impl AsyncWriteExt + Unpin,
    connection: u64,
    mut state: watch::Receiver<State>,
    hear: impl Fn(&[u8]),
) {
    let mut bytes = vec![0; 64 * 1024];
    while let Ok(count @ 1..) = from.read(&mut bytes).await {
        hear(&bytes[..count]);
        let passes = state
            .wait_for(|state| state.passes(connection))
            .await
            .is_ok();
        if !passes || to.write_all(&bytes[..count]).await.is_err() {
            return;
        }
    }
    // The end is part of what is kept.
    let passes = state
        .wait_for(|state| state.passes(connection))
        .await
        .is_ok();
    if passes {
        let _ = to.shutdown().await;
    }
}
