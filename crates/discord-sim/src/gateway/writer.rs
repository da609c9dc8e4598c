//! The writing half of a connection: orders first, then the session's log from its position on.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use futures_util::{SinkExt, stream::SplitSink};
use tokio::{
    sync::{Notify, mpsc},
    time::{sleep, sleep_until},
};
use tokio_websockets::Message;

use super::{Ending, RECONNECT_GRACE, Socket};
use crate::{
    dispatcher::{ConnectionId, Sent, SessionKey},
    faults::Answer,
    protocol::{
        close::CloseCode,
        compression::{self, Compressor},
        etf,
        handshake::{Dialect, Encoding},
        payload,
    },
    state::{Order, Shared},
};

/// Events written between two flushes.
const BATCH_EVENTS: usize = 128;

/// Bytes of events written between two flushes, unless a single event is longer.
const BATCH_BYTES: usize = 128 * 1024;

/// A payload of this many bytes is compressed, if the client has asked for that.
const LARGE: usize = 1_024;

/// See the module's documentation.
pub(super) struct Writer<'a> {
    shared: &'a Arc<Shared>,
    id: ConnectionId,
    encoding: Encoding,
    compressor: Option<Compressor>,
    /// Whether large payloads are compressed one by one.
    compresses_payloads: bool,
    orders: mpsc::Receiver<Order>,
    session: Option<Attachment>,
    /// When a client that was sent op 7 is closed.
    leave_at: Option<Instant>,
}

struct Attachment {
    key: SessionKey,
    shard: u32,
    wake: Arc<Notify>,
    /// The answer that follows this sequence.
    then: Option<(u64, Answer)>,
}

type Sink = SplitSink<Socket, Message>;

impl<'a> Writer<'a> {
    pub(super) fn new(
        shared: &'a Arc<Shared>,
        id: ConnectionId,
        dialect: Dialect,
        orders: mpsc::Receiver<Order>,
    ) -> Self {
        let compressor = dialect.transport.compressor();
        Self {
            shared,
            id,
            encoding: dialect.encoding,
            compressor,
            compresses_payloads: false,
            orders,
            session: None,
            leave_at: None,
        }
    }

    pub(super) async fn run(&mut self, sink: &mut Sink, hello: Option<String>) -> Ending {
        match self.write(sink, hello).await {
            Ok(never) => match never {},
            Err(ending) => ending,
        }
    }

    async fn write(
        &mut self,
        sink: &mut Sink,
        hello: Option<String>,
    ) -> Result<std::convert::Infallible, Ending> {
        if let Some(hello) = hello {
            self.send(sink, hello).await?;
        }
        loop {
            while let Ok(order) = self.orders.try_recv() {
                self.obey(sink, order).await?;
            }
            if self.leave_at.is_some_and(|at| Instant::now() >= at) {
                return Err(CloseCode::UnknownError.into());
            }
            if !self.write_batch(sink).await? {
                self.wait(sink).await?;
            }
        }
    }

    /// Waits for an order, for an event, or for the time to leave.
    async fn wait(&mut self, sink: &mut Sink) -> Result<(), Ending> {
        let wake = self
            .session
            .as_ref()
            .map(|session| Arc::clone(&session.wake));
        let leave_at = self.leave_at;
        let woken = async {
            match &wake {
                Some(wake) => wake.notified().await,
                None => std::future::pending().await,
            }
        };
        let leave = async {
            match leave_at {
                Some(at) => sleep_until(at.into()).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            order = self.orders.recv() => match order {
                Some(order) => self.obey(sink, order).await,
                // The reader holds a sender: it is gone only when the connection is.
                None => Err(Ending::Gone),
            },
            () = woken => Ok(()),
            () = leave => Ok(()),
        }
    }

    async fn obey(&mut self, sink: &mut Sink, order: Order) -> Result<(), Ending> {
        match order {
            Order::Text(text) => self.send(sink, text).await,
            Order::Compress => {
                // Discord compresses no terms one by one.
                self.compresses_payloads = self.encoding == Encoding::Json;
                Ok(())
            }
            Order::Attach {
                key,
                shard,
                wake,
                then,
            } => {
                self.session = Some(Attachment {
                    key,
                    shard,
                    wake,
                    then,
                });
                Ok(())
            }
            Order::Answer(answer) => self.answer(sink, answer).await,
            Order::RequestHeartbeat => self.send(sink, payload::heartbeat_request()).await,
            Order::Close { code, reason } => Err(Ending::Close { code, reason }),
        }
    }

    async fn answer(&mut self, sink: &mut Sink, answer: Answer) -> Result<(), Ending> {
        if let Some(ending) = Ending::of(answer) {
            return Err(ending);
        }
        match answer {
            Answer::Reconnect | Answer::ReconnectThenSilence => {
                self.leave_at = Some(Instant::now() + self.shared.config.scaled(RECONNECT_GRACE));
                self.send(sink, payload::reconnect()).await?;
            }
            Answer::InvalidSession { resumable }
            | Answer::InvalidSessionThenSilence { resumable } => {
                self.let_go(resumable);
                self.send(sink, payload::invalid_session(resumable)).await?;
            }
            _ => {}
        }
        match answer {
            Answer::ReconnectThenSilence | Answer::InvalidSessionThenSilence { .. } => {
                Err(Ending::Forgotten)
            }
            _ => Ok(()),
        }
    }

    /// Leaves the session, which can then be resumed or not. The client may identify or resume on
    /// this same connection.
    fn let_go(&mut self, resumable: bool) {
        let mut state = self.shared.lock();
        state.counts.invalid_sessions += 1;
        if let Some(connection) = state.connections.get_mut(&self.id) {
            connection.session = None;
        }
        if let Some(session) = self.session.take() {
            if resumable {
                state
                    .dispatcher
                    .disconnect(session.key, self.id, Instant::now());
            } else if state.dispatcher.is_held_by(session.key, self.id) {
                state.dispatcher.end(session.key);
            }
        }
        drop(state);
        self.shared.progress.notify_waiters();
    }

    /// Writes the next events of the session's log; false if there were none.
    async fn write_batch(&mut self, sink: &mut Sink) -> Result<bool, Ending> {
        let Some(session) = &self.session else {
            return Ok(false);
        };
        let key = session.key;
        let (taken, speed, splits) = {
            let mut state = self.shared.lock();
            let speed = state.faults.speed(Some(session.shard));
            let splits = state.faults.splits(Some(session.shard));
            let bytes = speed.map_or(BATCH_BYTES, |speed| {
                usize::try_from(speed / 10)
                    .unwrap_or(BATCH_BYTES)
                    .min(BATCH_BYTES)
            });
            (
                state.dispatcher.take(key, self.id, BATCH_EVENTS, bytes),
                speed,
                splits,
            )
        };
        let Some((batch, position)) = taken else {
            // Resumed by another connection, or ended.
            self.session = None;
            return Ok(false);
        };
        let Some(last) = batch.last().map(|sent| sent.sequence) else {
            return Ok(false);
        };

        let bytes = self.feed(sink, &batch, splits).await?;
        sink.flush().await.map_err(|_| Ending::Gone)?;
        self.shared
            .lock()
            .dispatcher
            .mark_written(key, self.id, position, last);
        self.shared.progress.notify_waiters();
        if let Some(speed) = speed {
            sleep(Duration::from_secs_f64(bytes as f64 / speed as f64)).await;
        }
        let then = self.session.as_mut().and_then(|session| {
            let reached = |(sequence, _): &mut (u64, Answer)| last >= *sequence;
            session.then.take_if(reached)
        });
        if let Some((_, answer)) = then {
            self.answer(sink, answer).await?;
        }
        Ok(true)
    }

    async fn feed(
        &mut self,
        sink: &mut Sink,
        batch: &[Arc<Sent>],
        splits: bool,
    ) -> Result<usize, Ending> {
        let mut bytes = 0;
        for sent in batch {
            bytes += self.feed_one(sink, sent.frame(), splits).await?;
        }
        Ok(bytes)
    }

    async fn send(&mut self, sink: &mut Sink, text: String) -> Result<(), Ending> {
        let shard = self.session.as_ref().map(|session| session.shard);
        let splits = self.shared.lock().faults.splits(shard);
        self.feed_one(sink, text, splits).await?;
        sink.flush().await.map_err(|_| Ending::Gone)
    }

    /// Hands the sink one payload, in several messages if `splits`; how many bytes that were.
    async fn feed_one(
        &mut self,
        sink: &mut Sink,
        text: String,
        splits: bool,
    ) -> Result<usize, Ending> {
        let message = self.encode(text)?;
        let bytes = message.as_payload().len();
        if splits && matches!(self.compressor, Some(Compressor::Zlib(_))) {
            for piece in compression::pieces(message.as_payload()) {
                let piece = Message::binary(piece.to_vec());
                sink.feed(piece).await.map_err(|_| Ending::Gone)?;
            }
        } else {
            sink.feed(message).await.map_err(|_| Ending::Gone)?;
        }
        Ok(bytes)
    }

    fn encode(&mut self, text: String) -> Result<Message, Ending> {
        let term = match self.encoding {
            Encoding::Json => None,
            // A text that a test wants is sent as it is, whatever it is.
            Encoding::Etf => serde_json::from_str(&text)
                .ok()
                .map(|payload| etf::encode(&payload)),
        };
        let bytes = term.as_deref().unwrap_or(text.as_bytes());
        let compressed = match &mut self.compressor {
            Some(compressor) => compressor.message(bytes),
            None if self.compresses_payloads && bytes.len() >= LARGE => compression::whole(bytes),
            None => {
                return Ok(match term {
                    Some(term) => Message::binary(term),
                    None => Message::text(text),
                });
            }
        };
        match compressed {
            Ok(bytes) => Ok(Message::binary(bytes)),
            Err(error) => {
                tracing::error!(%error, connection = self.id.0, "compression failed");
                Err(CloseCode::UnknownError.into())
            }
        }
    }
}
