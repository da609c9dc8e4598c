//! The gateway: one reader and one writer for each connection.
//!
//! The reader checks what the client sends and changes the shared state; the writer sends what the
//! session's log holds, from the session's position on. What the reader has to answer goes to the
//! writer as an [`Order`].

mod commands;
mod reader;
mod writer;

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use futures_util::{SinkExt, StreamExt};
use tokio::{io::AsyncWriteExt, sync::mpsc, time::timeout};
use tokio_websockets::{Config, Limits, Message, ServerBuilder, WebSocketStream};

use crate::{
    dispatcher::ConnectionId,
    faults::{Answer, Host, Point},
    protocol::{
        close::{CloseCode, client_close_ends_session, gateway_close_ends_session},
        handshake, payload,
    },
    state::{ConnectionNumber, Cut, Order, Peer, Shared},
    stream::PeekedStream,
};
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

/// How a connection comes to its end.
#[derive(Debug)]
enum Ending {
    /// The client sent a close frame with this code.
    ClientClosed(u16),
    /// The socket failed or ended.
    Gone,
    /// The gateway closes.
    Close { code: u16, reason: String },
    /// The connection is to be cut.
    Cut,
    /// The gateway resets the TCP connection.
    Reset,
    /// The gateway ends the TCP connection without a close frame.
    Dropped,
    /// The gateway leaves it open, and neither reads nor writes any more.
    Forgotten,
}

impl Ending {
    /// The end that an answer brings at once; `None` if the connection goes on with it.
    fn of(answer: Answer) -> Option<Self> {
        match answer {
            Answer::Silence => Some(Self::Forgotten),
            Answer::Reset | Answer::Http(_) => Some(Self::Reset),
            Answer::End => Some(Self::Dropped),
            Answer::Close(code) => Some(Self::Close {
                code,
                reason: String::new(),
            }),
            Answer::Ignore
            | Answer::Reconnect
            | Answer::ReconnectThenSilence
            | Answer::InvalidSession { .. }
            | Answer::InvalidSessionThenSilence { .. } => None,
        }
    }
}

impl From<CloseCode> for Ending {
    fn from(code: CloseCode) -> Self {
        Self::Close {
            code: code.code(),
            reason: code.reason().to_owned(),
        }
    }
}

/// Serves a connection whose first request asks for the gateway, until it ends.
pub(crate) async fn serve(shared: Arc<Shared>, mut stream: PeekedStream) {
    let Peer { cut, host } = stream.peer().clone();
    let number = match arrive(&shared, host) {
        Ok(number) => number,
        Err(Answer::Http(status)) => return refuse_upgrade(&mut stream, status).await,
        Err(Answer::End) => return,
        Err(Answer::Ignore | Answer::Silence) => return forget(&shared, &cut).await,
        Err(_) => return cut.reset(),
    };
    let (request, socket) = match timeout(HANDSHAKE, builder().accept(stream)).await {
        Ok(Ok(accepted)) => accepted,
        Ok(Err(error)) => return tracing::debug!(%error, "handshake failed"),
        Err(_) => return tracing::debug!("handshake timed out"),
    };
    let query = request.uri().query().unwrap_or_default();
    run(shared, (cut, host), number, socket, query).await;
}

/// Serves a connection that REST has upgraded, until it ends.
pub(crate) async fn serve_upgraded(
    shared: Arc<Shared>,
    stream: PeekedStream,
    number: ConnectionNumber,
    query: &str,
) {
    let Peer { cut, host } = stream.peer().clone();
    let socket = builder().serve(stream);
    run(shared, (cut, host), number, socket, query).await;
}

/// Notes that a client asks for the gateway.
///
/// # Errors
///
/// The fault that it is answered with.
pub(crate) fn arrive(shared: &Shared, host: Host) -> Result<ConnectionNumber, Answer> {
    let mut state = shared.lock();
    let number = state.traffic.connected(Instant::now(), host);
    if state.faults.refuses(None) {
        return Err(Answer::Reset);
    }
    let answer = state.faults.answers.take(Point::Connect, None, host);
    answer.map_or(Ok(number), Err)
}

fn builder() -> ServerBuilder {
    ServerBuilder::new()
        .config(
            Config::default()
                .frame_size(usize::MAX)
                .flush_threshold(FLUSH_THRESHOLD),
        )
        .limits(Limits::default().max_payload_len(Some(MAX_MESSAGE)))
}

async fn run(
    shared: Arc<Shared>,
    (cut, host): (Cut, Host),
    number: ConnectionNumber,
    socket: Socket,
    query: &str,
) {
    let (orders, received) = mpsc::channel(ORDERS);
    let id = shared
        .lock()
        .add_connection(orders.clone(), cut.clone(), number);
    let connection = GatewayConnection {
        shared,
        id,
        cut,
        host,
    };
    connection.run(socket, query, orders, received).await;
}

/// Answers the upgrade as a proxy does that has no gateway behind it.
async fn refuse_upgrade(stream: &mut PeekedStream, status: u16) {
    let head =
        format!("HTTP/1.1 {status} Refused\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
    stream.skip_head();
    let refusal = async {
        stream.write_all(head.as_bytes()).await?;
        stream.shutdown().await
    };
    // A client that has gone needs no answer.
    let _ = timeout(HANDSHAKE, refusal).await;
}

/// Holds a connection open without looking at it, until its session can no longer be resumed.
pub(crate) async fn forget(shared: &Shared, cut: &Cut) {
    let gone = timeout(shared.config.session_lifetime, cut.requested());
    let _ = shared.stop.run_until_cancelled(gone).await;
}

struct GatewayConnection {
    shared: Arc<Shared>,
    id: ConnectionId,
    cut: Cut,
    host: Host,
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
            Ok(dialect) => {
                let hello = self.hello(&orders);
                let mut reader = Reader::new(&self.shared, (self.id, self.host), dialect, orders);
                if hello.is_none() {
                    reader.expect_no_heartbeats();
                }
                let mut writer = Writer::new(&self.shared, self.id, dialect, received);
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
        match ending {
            Ending::Forgotten => return forget(&self.shared, &self.cut).await,
            Ending::Reset => return self.cut.reset(),
            Ending::Dropped => return,
            _ => {}
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

    /// What the gateway begins with, if it says HELLO. A fault of this moment is ordered from the writer.
    fn hello(&self, orders: &mpsc::Sender<Order>) -> Option<String> {
        let mut state = self.shared.lock();
        let instead = state.faults.answers.take(Point::Upgrade, None, self.host);
        let answer = match instead {
            None => state.faults.answers.take(Point::Hello, None, self.host),
            some => some,
        };
        if let Some(answer) = answer {
            // The queue is new: there is room.
            let _ = orders.try_send(Order::Answer(answer));
        }
        let interval = self.shared.config.heartbeat_interval;
        instead.is_none().then(|| payload::hello(interval))
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
                Ending::Gone
                | Ending::Cut
                | Ending::Reset
                | Ending::Dropped
                | Ending::Forgotten => false,
            };
            if ends && state.dispatcher.is_held_by(key, self.id) {
                state.dispatcher.end(key);
            }
            state.dispatcher.disconnect(key, self.id, Instant::now());
        }
        drop(state);
        self.shared.progress.notify_waiters();
    }
}
