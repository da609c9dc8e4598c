//! The gateway, version 10, JSON: one reader and one writer for each connection.
//!
//! The reader checks what the client sends and changes the shared state; the writer sends what the
//! session's log holds, from the session's position on. What the reader has to answer goes to the
//! writer as an [`Order`].

mod close;
mod commands;
mod handshake;
mod limits;
mod payload;
mod reader;
mod writer;

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use futures_util::{SinkExt, StreamExt};
use tokio::{
    sync::{Notify, mpsc},
    time::timeout,
};
use tokio_websockets::{Config, Limits, Message, ServerBuilder, WebSocketStream};

pub(crate) use close::CloseCode;
pub(crate) use handshake::{Identify, Rules};
pub(crate) use limits::{IdentifyBuckets, MemberRequests, SessionStarts};

use crate::{
    books::{ConnectionId, SessionKey},
    server::{Cut, PeekedStream, Shared},
};
use close::{client_close_ends_session, gateway_close_ends_session};
use reader::Reader;
use writer::Writer;

/// How long a client may stay after op 7 before it is closed with 4000.
pub(crate) const RECONNECT_GRACE: Duration = Duration::from_secs(5);

/// How long the WebSocket handshake and the closing one may take.
const HANDSHAKE: Duration = Duration::from_secs(5);

/// Answers and faults that may wait for a connection's writer. A client that provokes more without
/// reading them is cut off.
const ORDERS: usize = 256;

/// Longest message read from a client, so that one above Discord's limit can be answered with 4002.
const MAX_MESSAGE: usize = 1 << 20;

/// Bytes that are gathered before the socket is written to.
const FLUSH_THRESHOLD: usize = 64 * 1024;

type Socket = WebSocketStream<PeekedStream>;

/// What a connection's writer is told to do, in order.
#[derive(Debug, Clone)]
pub(crate) enum Order {
    /// Send this text.
    Text(String),
    /// From now on send this session's log.
    Attach {
        key: SessionKey,
        shard: u32,
        wake: Arc<Notify>,
    },
    /// Send op 7.
    Reconnect,
    /// Send op 9 and let go of the session.
    InvalidSession { resumable: bool },
    /// Send op 1.
    RequestHeartbeat,
    /// Close with this code.
    Close { code: u16, reason: String },
}

/// How a connection comes to its end.
#[derive(Debug)]
enum Ending {
    /// The client sent a close frame with this code.
    ClientClosed(u16),
    /// The socket failed or ended.
    Gone,
    /// The gateway closes.
    Close { code: u16, reason: String },
    /// The gateway cuts the TCP connection.
    Cut,
    /// The gateway leaves it open, and neither reads nor writes any more.
    Forgotten,
}

impl From<CloseCode> for Ending {
    fn from(code: CloseCode) -> Self {
        Self::Close {
            code: code.code(),
            reason: code.reason().to_owned(),
        }
    }
}

/// Serves one gateway connection until it ends.
pub(crate) async fn serve(shared: Arc<Shared>, stream: PeekedStream, cut: Cut) {
    if shared.lock().faults.refuses(None) {
        cut.reset();
        return;
    }
    let builder = ServerBuilder::new()
        .config(
            Config::default()
                .frame_size(usize::MAX)
                .flush_threshold(FLUSH_THRESHOLD),
        )
        .limits(Limits::default().max_payload_len(Some(MAX_MESSAGE)));
    let (request, socket) = match timeout(HANDSHAKE, builder.accept(stream)).await {
        Ok(Ok(accepted)) => accepted,
        Ok(Err(error)) => return tracing::debug!(%error, "handshake failed"),
        Err(_) => return tracing::debug!("handshake timed out"),
    };
    let query = request.uri().query().unwrap_or_default();
    let (orders, received) = mpsc::channel(ORDERS);
    let id = shared.lock().add_connection(orders.clone(), cut.clone());
    let connection = GatewayConnection { shared, id, cut };
    connection.run(socket, query, orders, received).await;
}

struct GatewayConnection {
    shared: Arc<Shared>,
    id: ConnectionId,
    cut: Cut,
}

impl GatewayConnection {
    async fn run(
        &self,
        socket: Socket,
        query: &str,
        orders: mpsc::Sender<Order>,
        received: mpsc::Receiver<Order>,
    ) {
        let (mut sink, mut messages) = socket.split();
        let ending = match handshake::read_query(query) {
            Err(code) => code.into(),
            Ok(transport) => {
                let hello = payload::hello(self.shared.config.heartbeat_interval);
                let mut reader = Reader::new(&self.shared, self.id, orders);
                let mut writer = Writer::new(&self.shared, self.id, transport, received);
                tokio::select! {
                    ending = reader.run(&mut messages) => ending,
                    ending = writer.run(&mut sink, hello) => ending,
                    () = self.cut.requested() => Ending::Cut,
                    () = self.cut.forgotten() => Ending::Forgotten,
                    () = self.shared.stop.cancelled() => {
                        Ending::Close { code: 1001, reason: "Going away.".to_owned() }
                    }
                }
            }
        };
        tracing::debug!(connection = self.id.0, ?ending, "gateway connection ended");
        // The session first: once the client sees the end, it may come back at once.
        self.release(&ending);
        if matches!(ending, Ending::Forgotten) {
            // Nobody resumes the session after that, so the client has surely gone.
            let gone = timeout(self.shared.config.session_lifetime, self.cut.requested());
            let _ = self.shared.stop.run_until_cancelled(gone).await;
            return;
        }
        let farewell = async {
            if let Ending::Close { code, reason } = ending {
                let code = tokio_websockets::CloseCode::try_from(code).ok();
                sink.send(Message::close(code, &reason)).await?;
            }
            // Until the client has answered the close frame, or has our answer to its own.
            while messages.next().await.transpose()?.is_some() {}
            Ok::<(), tokio_websockets::Error>(())
        };
        if !self.cut.is_reset() {
            // A client that neither reads nor answers is simply dropped.
            let _ = timeout(HANDSHAKE, farewell).await;
        }
    }

    /// Takes the connection out of the state and leaves its session as the ending demands.
    fn release(&self, ending: &Ending) {
        let mut state = self.shared.lock();
        let Some(connection) = state.connections.remove(&self.id) else {
            return;
        };
        if let Some(key) = connection.session {
            let ends = match ending {
                Ending::ClientClosed(code) => client_close_ends_session(*code),
                Ending::Close { code, .. } => gateway_close_ends_session(*code),
                Ending::Gone | Ending::Cut | Ending::Forgotten => false,
            };
            if ends && state.books.is_held_by(key, self.id) {
                state.books.end(key);
            }
            state.books.disconnect(key, self.id, Instant::now());
        }
        drop(state);
        self.shared.progress.notify_waiters();
    }
}
