//! A gateway client with no opinion: it sends what a test says and shows what comes.

use discord_sim::Sim;
use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::{net::TcpStream, time::timeout};
use tokio_websockets::{ClientBuilder, CloseCode, Limits, Message, WebSocketStream};
use zstd_safe::{DCtx, InBuffer, OutBuffer};

use crate::{ALL_INTENTS, DEADLINE};

pub(crate) struct RawClient {
    socket: WebSocketStream<TcpStream>,
    decoder: Decoder,
    pub(crate) session: String,
    /// The last sequence received.
    pub(crate) sequence: u64,
}

/// What came.
#[derive(Debug, PartialEq)]
pub(crate) enum Received {
    /// A payload: its text.
    Payload(String),
    /// A close frame.
    Closed(u16),
    /// The end of the connection without one.
    Gone,
}

enum Decoder {
    Plain,
    Zlib(flate2::Decompress),
    Zstd(DCtx<'static>),
}

impl RawClient {
    /// Connects with a query; does not wait for HELLO.
    pub(crate) async fn connect(sim: &Sim, query: &str) -> Self {
        Self::connect_to(&sim.gateway_url(), query).await
    }

    /// The same, with another address.
    pub(crate) async fn connect_to(url: &str, query: &str) -> Self {
        let decoder = match query {
            _ if query.contains("zlib-stream") => Decoder::Zlib(flate2::Decompress::new(true)),
            _ if query.contains("zstd-stream") => Decoder::Zstd(DCtx::create()),
            _ => Decoder::Plain,
        };
        let tcp = TcpStream::connect(url.trim_start_matches("ws://"))
            .await
            .unwrap();
        let uri = format!("{url}/?{query}");
        let builder = ClientBuilder::new()
            .uri(&uri)
            .unwrap()
            .limits(Limits::unlimited());
        let (socket, _) = builder.connect_on(tcp).await.unwrap();
        Self {
            socket,
            decoder,
            session: String::new(),
            sequence: 0,
        }
    }

    /// Connects plainly and takes HELLO.
    pub(crate) async fn hello(sim: &Sim) -> Self {
        let mut client = Self::connect(sim, "v=10&encoding=json").await;
        client.op(10).await;
        client
    }

    /// Connects, identifies with all intents, takes READY.
    pub(crate) async fn ready(sim: &Sim, shard: u32, total: u32) -> (Self, Value) {
        let mut client = Self::hello(sim).await;
        client.identify(shard, total).await;
        let ready = client.event("READY").await;
        client.session = ready["d"]["session_id"].as_str().unwrap().to_owned();
        (client, ready)
    }

    /// Connects and asks to resume.
    pub(crate) async fn resume(sim: &Sim, session: &str, sequence: u64) -> Self {
        let mut client = Self::hello(sim).await;
        let d = json!({"token": "sim-token", "session_id": session, "seq": sequence});
        client.send(&json!({"op": 6, "d": d})).await;
        client.session = session.to_owned();
        client.sequence = sequence;
        client
    }

    pub(crate) async fn identify(&mut self, shard: u32, total: u32) {
        self.send(&json!({"op": 2, "d": identify(shard, total)}))
            .await;
    }

    pub(crate) async fn send(&mut self, payload: &Value) {
        self.send_text(payload.to_string()).await;
    }

    pub(crate) async fn send_binary(&mut self, bytes: Vec<u8>) {
        self.socket.send(Message::binary(bytes)).await.unwrap();
    }

    /// The next message, which is no text, undecoded.
    pub(crate) async fn binary(&mut self) -> Vec<u8> {
        let message = timeout(DEADLINE, self.socket.next()).await;
        let message = message.expect("nothing came").unwrap().unwrap();
        assert!(message.is_binary());
        message.as_payload().to_vec()
    }

    pub(crate) async fn send_text(&mut self, text: String) {
        self.socket.send(Message::text(text)).await.unwrap();
    }

    pub(crate) async fn close(&mut self, code: u16) {
        let code = CloseCode::try_from(code).unwrap();
        self.socket
            .send(Message::close(Some(code), ""))
            .await
            .unwrap();
        while let Some(Ok(_)) = timeout(DEADLINE, self.socket.next()).await.unwrap() {}
    }

    pub(crate) async fn next(&mut self) -> Received {
        let message = match timeout(DEADLINE, self.socket.next())
            .await
            .expect("nothing came")
        {
            None | Some(Err(_)) => return Received::Gone,
            Some(Ok(message)) => message,
        };
        if let Some((code, _)) = message.as_close() {
            return Received::Closed(code.into());
        }
        let text = self.decoder.decode(message);
        if let Ok(payload) = serde_json::from_str::<Value>(&text)
            && let Some(sequence) = payload["s"].as_u64()
        {
            self.sequence = sequence;
        }
        Received::Payload(text)
    }

    pub(crate) async fn payload(&mut self) -> Value {
        match self.next().await {
            Received::Payload(text) => serde_json::from_str(&text).unwrap(),
            other => panic!("expected a payload, got {other:?}"),
        }
    }

    /// The next payload that is no dispatch; its opcode must be this.
    pub(crate) async fn op(&mut self, op: u64) -> Value {
        loop {
            let payload = self.payload().await;
            if payload["op"] != 0 {
                assert_eq!(payload["op"], op, "{payload}");
                return payload;
            }
        }
    }

    /// The next dispatch of this name; others are passed over.
    pub(crate) async fn event(&mut self, t: &str) -> Value {
        loop {
            let payload = self.payload().await;
            if payload["t"] == t {
                return payload;
            }
        }
    }

    /// Dispatches up to and with this sequence.
    pub(crate) async fn events_to(&mut self, sequence: u64) -> Vec<Value> {
        let mut events = Vec::new();
        while self.sequence < sequence {
            let payload = self.payload().await;
            if payload["op"] == 0 {
                events.push(payload);
            }
        }
        events
    }

    /// The code of the close frame; payloads before it are passed over.
    pub(crate) async fn closed(&mut self) -> u16 {
        loop {
            match self.next().await {
                Received::Payload(_) => {}
                Received::Closed(code) => return code,
                Received::Gone => panic!("gone without a close frame"),
            }
        }
    }

    /// All payloads until the connection ends, however long that takes.
    pub(crate) async fn until_it_ends(mut self) -> Vec<Value> {
        let mut payloads = Vec::new();
        while let Some(Ok(message)) = self.socket.next().await {
            if message.as_close().is_none() {
                let text = self.decoder.decode(message);
                payloads.push(serde_json::from_str(&text).unwrap());
            }
        }
        payloads
    }

    /// Waits for the connection to be cut without a close frame.
    pub(crate) async fn gone(&mut self) {
        loop {
            match self.next().await {
                Received::Payload(_) => {}
                Received::Closed(code) => panic!("closed with {code}"),
                Received::Gone => return,
            }
        }
    }
}

/// `d` of a good IDENTIFY with all intents.
pub(crate) fn identify(shard: u32, total: u32) -> Value {
    json!({
        "token": "sim-token",
        "intents": ALL_INTENTS,
        "properties": {"os": "linux", "browser": "x", "device": "x"},
        "shard": [shard, total],
    })
}

impl Decoder {
    fn decode(&mut self, message: Message) -> String {
        match self {
            Self::Plain => message.as_text().expect("a text message").to_owned(),
            Self::Zlib(context) => {
                assert!(message.is_binary());
                let bytes = message.into_payload();
                assert!(bytes.ends_with(&[0, 0, 0xff, 0xff]));
                let start = context.total_in();
                let mut text = Vec::with_capacity(64 * 1024);
                while ((context.total_in() - start) as usize) < bytes.len() {
                    let used = (context.total_in() - start) as usize;
                    text.reserve(64 * 1024);
                    let flush = flate2::FlushDecompress::Sync;
                    context
                        .decompress_vec(&bytes[used..], &mut text, flush)
                        .unwrap();
                }
                String::from_utf8(text).unwrap()
            }
            Self::Zstd(context) => {
                assert!(message.is_binary());
                let bytes = message.into_payload();
                let mut input = InBuffer::around(&bytes);
                let mut text = Vec::new();
                let mut block = vec![0; 128 * 1024];
                loop {
                    let mut room = OutBuffer::around(&mut block[..]);
                    context.decompress_stream(&mut room, &mut input).unwrap();
                    let full = room.pos() == 128 * 1024;
                    text.extend_from_slice(room.as_slice());
                    if input.pos == bytes.len() && !full {
                        return String::from_utf8(text).unwrap();
                    }
                }
            }
        }
    }
}
