//! Frames of raw events: what gateway-ingest publishes to `gateway.raw`.
//!
//! One frame is one AMQP message with events of one partition: of each shard that has some, consecutive ones of one session. The
//! broker's cost is per message, so events that arrive while another frame is under way travel together. Payloads are
//! Discord's own bytes.
//!
//! Layout of version 2, integers big-endian:
//!
//! ```text
//! "DPF" version:u8=2 sections:u32
//! for each section: shard:u32 total:u32 session_len:u16 session events:u32
//! for each event of it: sequence:u64 received_us:u64 payload_len:u32
//!     name_at:u32 name_len:u8 data_at:u32 data_len:u32 payload
//! ```
//!
//! `name` and `data` are where the event's name and its data stand in the payload, so that the reader need not look for
//! them; a name of no length says that they were not found, and data of no length that there are none.
//!
//! Version 1 is one section without these places, and is read too: frames of both may lie in a queue after an update.
//!
//! ```text
//! "DPF" version:u8=1 shard:u32 total:u32 session_len:u16 session events:u32
//! for each event: sequence:u64 received_us:u64 payload_len:u32 payload
//! ```

//!
//! A large frame is [`compressed`].

mod compressed;

use std::{borrow::Cow, ops::Range};

use thiserror::Error;

use crate::event::{Dispatch, PayloadError};

pub use compressed::{MAX_INFLATED, compressed, inflated, inflated_size};

const MAGIC: &[u8; 3] = b"DPF";
/// What is written.
const VERSION: u8 = 2;
/// One section, without places.
const VERSION_1: u8 = 1;
/// Where the number of sections stands.
const SECTIONS_AT: usize = MAGIC.len() + 1;
/// Size of an event of version 1 without its payload.
const EVENT_HEADER: usize = 8 + 8 + 4;
/// What version 2 adds to it.
const PLACES: usize = 4 + 1 + 4 + 4;

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
    /// What a compressed body announces is larger than [`MAX_INFLATED`].
    #[error("compressed frame of {0} bytes is too large")]
    TooLarge(usize),
    /// A compressed body does not hold what it announces.
    #[error("frame can't be decompressed")]
    Compression,
    /// The session's id is not UTF-8.
    #[error("session id is not text")]
    Session,
}

/// A frame that is being filled.
#[derive(Clone, Debug)]
pub struct FrameBuilder {
    body: Vec<u8>,
    sections: u32,
    /// Where the number of the last section's events stands.
    events_at: usize,
    /// Events of the last section.
    events: u32,
}

impl FrameBuilder {
    /// A frame whose first section is a session of `shard` of `total`.
    #[must_use]
    pub fn new(shard: u32, total: u32, session: &str) -> Self {
        let mut frame = Self::with_capacity(256);
        frame.section(shard, total, session);
        frame
    }

    /// A frame without a section, with room for a body of this size in bytes.
    #[must_use]
    pub fn with_capacity(bytes: usize) -> Self {
        let mut body = Vec::with_capacity(bytes);
        body.extend_from_slice(MAGIC);
        body.push(VERSION);
        body.extend_from_slice(&0_u32.to_be_bytes());
        Self {
            body,
            sections: 0,
            events_at: 0,
            events: 0,
        }
    }

    /// Begins another section: a session of `shard` of `total`.
    pub fn section(&mut self, shard: u32, total: u32, session: &str) {
        self.end_section();
        // A longer id can't come from Discord (32 characters); cutting it keeps the frame well formed all the same.
        let session = &session[..session.floor_char_boundary(usize::from(u16::MAX))];
        self.body.extend_from_slice(&shard.to_be_bytes());
        self.body.extend_from_slice(&total.to_be_bytes());
        let len = session.len() as u16;
        self.body.extend_from_slice(&len.to_be_bytes());
        self.body.extend_from_slice(session.as_bytes());
        self.events_at = self.body.len();
        self.body.extend_from_slice(&0_u32.to_be_bytes());
        self.sections += 1;
    }

    /// Adds an event to the last section, which there must be. `received_us` is when it was read from the socket, in microseconds of Unix time.
    pub fn push(&mut self, sequence: u64, received_us: u64, payload: &[u8]) {
        let places = Places::of(payload).unwrap_or_default();
        self.body.extend_from_slice(&sequence.to_be_bytes());
        self.body.extend_from_slice(&received_us.to_be_bytes());
        let len = payload.len() as u32;
        self.body.extend_from_slice(&len.to_be_bytes());
        self.body.extend_from_slice(&places.to_bytes());
        self.body.extend_from_slice(payload);
        self.events += 1;
    }

    /// Size of the body in bytes.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.body.len()
    }

    /// The finished body.
    #[must_use]
    pub fn finish(mut self) -> Vec<u8> {
        self.end_section();
        self.body[SECTIONS_AT..][..4].copy_from_slice(&self.sections.to_be_bytes());
        self.body
    }

    fn end_section(&mut self) {
        if self.sections > 0 {
            self.body[self.events_at..][..4].copy_from_slice(&self.events.to_be_bytes());
        }
        self.events = 0;
    }
}

/// Where name and data stand in a payload.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Places {
    name_at: u32,
    name_len: u8,
    data_at: u32,
    data_len: u32,
}

impl Places {
    /// `None` if the payload is no dispatch, or its name is not written out in it.
    fn of(payload: &[u8]) -> Option<Self> {
        let dispatch = Dispatch::parse(payload).ok()?;
        let Cow::Borrowed(name) = dispatch.name else {
            return None;
        };
        let within = |part: &str| {
            let at = (part.as_ptr() as usize).checked_sub(payload.as_ptr() as usize)?;
            let fits = at + part.len() <= payload.len();
            u32::try_from(at).ok().filter(|_| fits)
        };
        // Data that are not there are `null` for who asks, and no part of the payload.
        let (data_at, data_len) = match within(dispatch.data) {
            Some(at) => (at, u32::try_from(dispatch.data.len()).ok()?),
            None => (0, 0),
        };
        Some(Self {
            name_at: within(name)?,
            name_len: u8::try_from(name.len()).ok()?,
            data_at,
            data_len,
        })
    }

    fn to_bytes(self) -> [u8; PLACES] {
        let mut bytes = [0; PLACES];
        bytes[..4].copy_from_slice(&self.name_at.to_be_bytes());
        bytes[4] = self.name_len;
        bytes[5..9].copy_from_slice(&self.data_at.to_be_bytes());
        bytes[9..].copy_from_slice(&self.data_len.to_be_bytes());
        bytes
    }

    fn take(rest: &mut &[u8]) -> Result<Self, FrameError> {
        Ok(Self {
            name_at: u32::from_be_bytes(array(rest)?),
            name_len: u8::from_be_bytes(array(rest)?),
            data_at: u32::from_be_bytes(array(rest)?),
            data_len: u32::from_be_bytes(array(rest)?),
        })
    }

    /// What stands there; `None` if that can't be.
    fn dispatch(self, payload: &[u8]) -> Option<Dispatch<'_>> {
        let at = |at: u32, len: u32| -> Option<&str> {
            let range = Range {
                start: at as usize,
                end: (at as usize).checked_add(len as usize)?,
            };
            str::from_utf8(payload.get(range)?).ok()
        };
        if self.name_len == 0 {
            return None;
        }
        let name = at(self.name_at, self.name_len.into())?;
        let data = match self.data_len {
            0 => "null",
            len => at(self.data_at, len)?,
        };
        Some(Dispatch {
            name: name.into(),
            data,
        })
    }
}

/// A frame as read from a body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame<'a> {
    /// In the order in which they were written. A shard may have several, of one session after another.
    pub sections: Vec<Section<'a>>,
}

/// Consecutive events of one session of one shard.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Section<'a> {
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
    places: Places,
}

impl<'a> RawEvent<'a> {
    /// The payload's name and data: where the frame says that they stand, else as [`Dispatch::parse`] finds them.
    ///
    /// # Errors
    ///
    /// As [`Dispatch::parse`].
    pub fn dispatch(&self) -> Result<Dispatch<'a>, PayloadError> {
        let told = self.places.dispatch(self.payload);
        told.map_or_else(|| Dispatch::parse(self.payload), Ok)
    }

    fn take(rest: &mut &'a [u8], version: u8) -> Result<Self, FrameError> {
        let sequence = u64::from_be_bytes(array(rest)?);
        let received_us = u64::from_be_bytes(array(rest)?);
        let len = u32::from_be_bytes(array(rest)?);
        let places = match version {
            VERSION_1 => Places::default(),
            _ => Places::take(rest)?,
        };
        Ok(Self {
            sequence,
            received_us,
            payload: bytes(rest, len as usize)?,
            places,
        })
    }
}

impl<'a> Section<'a> {
    fn take(rest: &mut &'a [u8], version: u8) -> Result<Self, FrameError> {
        let shard = u32::from_be_bytes(array(rest)?);
        let total = u32::from_be_bytes(array(rest)?);
        let session_len = u16::from_be_bytes(array(rest)?);
        let session = bytes(rest, usize::from(session_len))?;
        let session = str::from_utf8(session).map_err(|_| FrameError::Session)?;
        let count = u32::from_be_bytes(array(rest)?);
        // A count that lies must not make us reserve memory: no more events than could fit.
        let mut events = Vec::with_capacity((count as usize).min(rest.len() / EVENT_HEADER));
        for _ in 0..count {
            events.push(RawEvent::take(rest, version)?);
        }
        Ok(Self {
            shard,
            total,
            session,
            events,
        })
    }
}

impl<'a> Frame<'a> {
    /// Reads a frame; of a body that may be compressed, from what [`inflated`] returns.
    ///
    /// # Errors
    ///
    /// If the body is not exactly one frame of a known version.
    pub fn decode(body: &'a [u8]) -> Result<Self, FrameError> {
        let mut rest = body.strip_prefix(MAGIC).ok_or(FrameError::NotAFrame)?;
        let [version] = array(&mut rest)?;
        let count = match version {
            VERSION_1 => 1,
            VERSION => u32::from_be_bytes(array(&mut rest)?),
            unknown => return Err(FrameError::UnknownVersion(unknown)),
        };
        let mut sections = Vec::new();
        for _ in 0..count {
            sections.push(Section::take(&mut rest, version)?);
        }
        match rest.len() {
            0 => Ok(Self { sections }),
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
mod tests;
