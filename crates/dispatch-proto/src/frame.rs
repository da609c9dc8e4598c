//! Frames of raw events: what gateway-ingest publishes to `gateway.raw`.
//!
//! One frame is one AMQP message with consecutive events of one session of one shard. The broker's cost is per message, so
//! events that arrive while another frame is under way travel together. Payloads are Discord's own bytes.
//!
//! Layout, integers big-endian:
//!
//! ```text
//! "DPF" version:u8=1 shard:u32 total:u32 session_len:u16 session count:u32
//! then for each event: sequence:u64 received_us:u64 payload_len:u32 payload
//! ```

use thiserror::Error;

const MAGIC: &[u8; 3] = b"DPF";
const VERSION: u8 = 1;
const EVENT_HEADER: usize = 8 + 8 + 4;

/// Content type of a frame.
pub const CONTENT_TYPE: &str = "application/x-dispatch-frame";

/// Why a body is not a frame.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum FrameError {
    /// The body does not begin with a frame's first bytes.
    #[error("not a frame")]
    NotAFrame,
    /// A frame of a version that this build does not know.
    #[error("unknown frame version {0}")]
    UnknownVersion(u8),
    /// The body ends before what it announces.
    #[error("frame is cut off")]
    CutOff,
    /// The body goes on after its last event.
    #[error("{0} bytes after the last event")]
    Trailing(usize),
    /// The session's id is not UTF-8.
    #[error("session id is not text")]
    Session,
}

/// A frame that is being filled.
#[derive(Clone, Debug)]
pub struct FrameBuilder {
    body: Vec<u8>,
    count_at: usize,
    count: u32,
    last_sequence: u64,
}

impl FrameBuilder {
    /// An empty frame for a session of `shard` of `total`.
    #[must_use]
    pub fn new(shard: u32, total: u32, session: &str) -> Self {
        // A longer id can't come from Discord (32 characters); cutting it keeps the frame well formed all the same.
        let session = &session.as_bytes()[..session.len().min(usize::from(u16::MAX))];
        let mut body = Vec::with_capacity(256);
        body.extend_from_slice(MAGIC);
        body.push(VERSION);
        body.extend_from_slice(&shard.to_be_bytes());
        body.extend_from_slice(&total.to_be_bytes());
        body.extend_from_slice(&(session.len() as u16).to_be_bytes());
        body.extend_from_slice(session);
        let count_at = body.len();
        body.extend_from_slice(&0_u32.to_be_bytes());
        Self {
            body,
            count_at,
            count: 0,
            last_sequence: 0,
        }
    }

    /// Adds an event. `received_us` is when it was read from the socket, in microseconds of Unix time.
    pub fn push(&mut self, sequence: u64, received_us: u64, payload: &[u8]) {
        self.body.extend_from_slice(&sequence.to_be_bytes());
        self.body.extend_from_slice(&received_us.to_be_bytes());
        self.body
            .extend_from_slice(&(payload.len() as u32).to_be_bytes());
        self.body.extend_from_slice(payload);
        self.count += 1;
        self.last_sequence = sequence;
    }

    /// Number of events.
    #[must_use]
    pub fn events(&self) -> u32 {
        self.count
    }

    /// Size of the body in bytes.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.body.len()
    }

    /// Sequence of the newest event, 0 if there is none.
    #[must_use]
    pub fn last_sequence(&self) -> u64 {
        self.last_sequence
    }

    /// The finished body.
    #[must_use]
    pub fn finish(mut self) -> Vec<u8> {
        self.body[self.count_at..self.count_at + 4].copy_from_slice(&self.count.to_be_bytes());
        self.body
    }
}

/// A frame as read from a body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame<'a> {
    /// The shard's number.
    pub shard: u32,
    /// The shard total that the session was identified with.
    pub total: u32,
    /// Discord's id of the session.
    pub session: &'a str,
    /// The events, in Discord's order.
    pub events: Vec<RawEvent<'a>>,
}

/// One event of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RawEvent<'a> {
    /// Discord's sequence (`s`).
    pub sequence: u64,
    /// When it was read from the socket, in microseconds of Unix time.
    pub received_us: u64,
    /// The gateway payload, Discord's own bytes.
    pub payload: &'a [u8],
}

impl<'a> Frame<'a> {
    /// Reads a frame.
    ///
    /// # Errors
    ///
    /// If the body is not exactly one frame of a known version.
    pub fn decode(body: &'a [u8]) -> Result<Self, FrameError> {
        let mut rest = body.strip_prefix(MAGIC).ok_or(FrameError::NotAFrame)?;
        let [version] = array(&mut rest)?;
        if version != VERSION {
            return Err(FrameError::UnknownVersion(version));
        }
        let shard = u32::from_be_bytes(array(&mut rest)?);
        let total = u32::from_be_bytes(array(&mut rest)?);
        let session_len = u16::from_be_bytes(array(&mut rest)?);
        let session = bytes(&mut rest, usize::from(session_len))?;
        let session = str::from_utf8(session).map_err(|_| FrameError::Session)?;
        let count = u32::from_be_bytes(array(&mut rest)?);
        // A count that lies must not make us reserve memory: no more events than could fit.
        let mut events = Vec::with_capacity((count as usize).min(rest.len() / EVENT_HEADER));
        for _ in 0..count {
            let sequence = u64::from_be_bytes(array(&mut rest)?);
            let received_us = u64::from_be_bytes(array(&mut rest)?);
            let len = u32::from_be_bytes(array(&mut rest)?);
            let payload = bytes(&mut rest, len as usize)?;
            events.push(RawEvent {
                sequence,
                received_us,
                payload,
            });
        }
        match rest.len() {
            0 => Ok(Self {
                shard,
                total,
                session,
                events,
            }),
            trailing => Err(FrameError::Trailing(trailing)),
        }
    }
}

fn bytes<'a>(rest: &mut &'a [u8], len: usize) -> Result<&'a [u8], FrameError> {
    let (head, tail) = rest.split_at_checked(len).ok_or(FrameError::CutOff)?;
    *rest = tail;
    Ok(head)
}

fn array<const N: usize>(rest: &mut &[u8]) -> Result<[u8; N], FrameError> {
    let (head, tail) = rest.split_first_chunk().ok_or(FrameError::CutOff)?;
    *rest = tail;
    Ok(*head)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn wire_format_is_fixed() {
        let mut frame = FrameBuilder::new(3, 16, "ab");
        frame.push(7, 9, b"{}");
        assert_eq!(
            frame.finish(),
            b"DPF\x01\0\0\0\x03\0\0\0\x10\0\x02ab\0\0\0\x01\0\0\0\0\0\0\0\x07\0\0\0\0\0\0\0\x09\0\0\0\x02{}"
        );
    }

    #[test]
    fn a_foreign_body_is_refused() {
        assert_eq!(Frame::decode(b"{}"), Err(FrameError::NotAFrame));
        assert_eq!(
            Frame::decode(b"DPF\x02"),
            Err(FrameError::UnknownVersion(2))
        );
        let mut body = FrameBuilder::new(0, 1, "s").finish();
        body.push(0);
        assert_eq!(Frame::decode(&body), Err(FrameError::Trailing(1)));
    }

    proptest! {
        #[test]
        fn decode_inverts_encode(
            shard: u32,
            total: u32,
            session in "[a-f0-9]{0,40}",
            events in prop::collection::vec((any::<u64>(), any::<u64>(), prop::collection::vec(any::<u8>(), 0..50)), 0..20),
        ) {
            let mut builder = FrameBuilder::new(shard, total, &session);
            for (sequence, received, payload) in &events {
                builder.push(*sequence, *received, payload);
            }
            let size = builder.bytes();
            let body = builder.finish();
            prop_assert_eq!(size, body.len());
            let frame = Frame::decode(&body).unwrap();
            prop_assert_eq!((frame.shard, frame.total, frame.session), (shard, total, session.as_str()));
            let read: Vec<_> = frame.events.iter().map(|e| (e.sequence, e.received_us, e.payload.to_vec())).collect();
            prop_assert_eq!(read, events);
        }

        #[test]
        fn no_input_panics(mut body in prop::collection::vec(any::<u8>(), 0..200), prefix: bool) {
            if prefix {
                body.splice(0..0, *b"DPF\x01");
            }
            let _ = Frame::decode(&body);
        }

        #[test]
        fn a_cut_frame_is_refused(cut in 0_usize..60) {
            let mut builder = FrameBuilder::new(1, 2, "session");
            builder.push(1, 2, b"payload of an event");
            let body = builder.finish();
            prop_assert!(Frame::decode(&body[..cut.min(body.len() - 1)]).is_err());
        }
    }
}
