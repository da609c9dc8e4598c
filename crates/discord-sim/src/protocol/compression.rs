//! Transport compression: one streaming context for each connection, flushed after each message.
//!
//! <https://discord.com/developers/docs/events/gateway#transport-compression>

use std::fmt;

use flate2::{Compress, Compression as Level, FlushCompress, Status};
use thiserror::Error;
use zstd_safe::{CCtx, InBuffer, OutBuffer};

/// Fast rather than small: the simulator shares its machine with what it tests. Below 0 literals are not encoded, which most of a
/// small message's time goes into, at both ends.
const ZSTD_LEVEL: i32 = -3;

/// A compression context could not take or give data.
#[derive(Debug, Error)]
pub(crate) enum CompressionError {
    /// The zlib stream is broken.
    #[error("zlib stream failed")]
    Zlib(#[source] flate2::CompressError),
    /// The zstd stream is broken; holds zstd's own words.
    #[error("zstd stream failed: {0}")]
    Zstd(&'static str),
}

/// What a client may ask for with `compress=` in the gateway's query.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Transport {
    /// Text messages.
    Plain,
    /// `compress=zlib-stream`: each message ends with `00 00 FF FF`.
    Zlib,
    /// `compress=zstd-stream`: each message is a complete block.
    Zstd,
}

impl Transport {
    /// Reads the value of the query's `compress`; `None` for a name that Discord does not know.
    pub(crate) fn from_query(value: Option<&str>) -> Option<Self> {
        match value {
            None | Some("") => Some(Self::Plain),
            Some("zlib-stream") => Some(Self::Zlib),
            Some("zstd-stream") => Some(Self::Zstd),
            Some(_) => None,
        }
    }

    /// A fresh context for one connection; `None` where nothing is compressed.
    pub(crate) fn compressor(self) -> Option<Compressor> {
        match self {
            Self::Plain => None,
            Self::Zlib => Some(Compressor::Zlib(Compress::new(Level::fast(), true))),
            Self::Zstd => {
                let mut context = CCtx::create();
                // A level in range can't be refused; were it, zstd's default level serves as well.
                let _ = context.set_parameter(zstd_safe::CParameter::CompressionLevel(ZSTD_LEVEL));
                Some(Compressor::Zstd(context))
            }
        }
    }
}

/// What each payload of a zlib stream ends with.
const SUFFIX: [u8; 4] = [0, 0, 0xff, 0xff];

/// Cuts what a zlib stream says of one payload into pieces, of which only the last ends as a whole one does.
pub(crate) fn pieces(mut bytes: &[u8]) -> Vec<&[u8]> {
    let length = (bytes.len() / 3).max(SUFFIX.len());
    let mut pieces = Vec::new();
    // The suffix is whole, so that who looks at single messages sees it.
    while bytes.len() >= 2 * length {
        let ends = |at: &usize| !bytes[..*at].ends_with(&SUFFIX);
        let Some(at) = (length..=bytes.len() - SUFFIX.len()).find(ends) else {
            break;
        };
        let (piece, rest) = bytes.split_at(at);
        pieces.push(piece);
        bytes = rest;
    }
    pieces.push(bytes);
    pieces
}

/// Compresses one payload by itself, for clients that ask for it in IDENTIFY (`compress`).
pub(crate) fn whole(payload: &[u8]) -> Result<Vec<u8>, CompressionError> {
    let mut output = Vec::with_capacity(payload.len() / 2 + 128);
    let mut context = Compress::new(Level::fast(), true);
    loop {
        let consumed = usize::try_from(context.total_in()).unwrap_or(usize::MAX);
        let input = &payload[consumed.min(payload.len())..];
        let status = context.compress_vec(input, &mut output, FlushCompress::Finish);
        match status.map_err(CompressionError::Zlib)? {
            Status::StreamEnd => return Ok(output),
            _ => output.reserve(output.capacity().max(256)),
        }
    }
}

/// The compression context of one connection.
pub(crate) enum Compressor {
    /// zlib (RFC 1950).
    Zlib(Compress),
    /// Zstandard (RFC 8878).
    Zstd(CCtx<'static>),
}

impl fmt::Debug for Compressor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Zlib(_) => "Compressor::Zlib",
            Self::Zstd(_) => "Compressor::Zstd",
        })
    }
}

impl Compressor {
    /// Compresses one message so that the reader can decode all of it at once.
    ///
    /// # Errors
    ///
    /// If the context is broken; the connection is then of no more use.
    pub(crate) fn message(&mut self, text: &[u8]) -> Result<Vec<u8>, CompressionError> {
        let mut output = Vec::with_capacity(text.len() / 2 + 128);
        match self {
            Self::Zlib(context) => zlib_message(context, text, &mut output)?,
            Self::Zstd(context) => zstd_message(context, text, &mut output)?,
        }
        Ok(output)
    }
}

fn zlib_message(
    context: &mut Compress,
    text: &[u8],
    output: &mut Vec<u8>,
) -> Result<(), CompressionError> {
    let start = context.total_in();
    loop {
        let consumed = usize::try_from(context.total_in() - start).unwrap_or(usize::MAX);
        let status = context
            .compress_vec(
                &text[consumed.min(text.len())..],
                output,
                FlushCompress::Sync,
            )
            .map_err(CompressionError::Zlib)?;
        let consumed = usize::try_from(context.total_in() - start).unwrap_or(usize::MAX);
        // The flush is complete once the input is used up and room is left in the output.
        let done = consumed >= text.len() && output.len() < output.capacity();
        if done || status == Status::StreamEnd {
            return Ok(());
        }
        output.reserve(output.capacity().max(256));
    }
}

fn zstd_message(
    context: &mut CCtx<'static>,
    text: &[u8],
    output: &mut Vec<u8>,
) -> Result<(), CompressionError> {
    let failed = |code| CompressionError::Zstd(zstd_safe::get_error_name(code));
    let mut input = InBuffer::around(text);
    let mut block = [0; 16 * 1024];
    loop {
        let mut room = OutBuffer::around(&mut block[..]);
        if input.pos < text.len() {
            context
                .compress_stream(&mut room, &mut input)
                .map_err(failed)?;
        }
        let done = input.pos >= text.len() && context.flush_stream(&mut room).map_err(failed)? == 0;
        output.extend_from_slice(room.as_slice());
        if done {
            return Ok(());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts() -> Vec<String> {
        vec![
            "{}".to_owned(),
            "x".repeat(300_000),
            (0..40_000).map(|n| n.to_string()).collect(),
        ]
    }

    #[test]
    fn zlib_messages_decode_one_by_one() {
        let mut compressor = Transport::Zlib.compressor().unwrap();
        let mut decoder = flate2::Decompress::new(true);
        for text in texts() {
            let bytes = compressor.message(text.as_bytes()).unwrap();
            assert!(bytes.ends_with(&[0, 0, 0xff, 0xff]));
            let mut plain = Vec::with_capacity(text.len() + 64);
            decoder
                .decompress_vec(&bytes, &mut plain, flate2::FlushDecompress::Sync)
                .unwrap();
            assert!(plain == text.as_bytes());
        }
    }

    #[test]
    fn the_last_piece_alone_ends_as_a_payload_does() {
        let suffixes = SUFFIX.repeat(9);
        let mut compressor = Transport::Zlib.compressor().unwrap();
        let mut streams: Vec<Vec<u8>> = texts()
            .iter()
            .map(|text| compressor.message(text.as_bytes()).unwrap())
            .collect();
        streams.push(suffixes);
        for bytes in streams {
            let pieces = pieces(&bytes);
            let (last, before) = pieces.split_last().unwrap();
            assert!(last.ends_with(&SUFFIX));
            assert!(before.iter().all(|piece| !piece.ends_with(&SUFFIX)));
            assert!((2..=3).contains(&pieces.len()), "{}", pieces.len());
            assert_eq!(pieces.concat(), bytes);
        }
        assert_eq!(pieces(&SUFFIX), [SUFFIX]);
    }

    #[test]
    fn zstd_messages_decode_one_by_one() {
        let mut compressor = Transport::Zstd.compressor().unwrap();
        let mut decoder = zstd_safe::DCtx::create();
        for text in texts() {
            let bytes = compressor.message(text.as_bytes()).unwrap();
            let mut input = InBuffer::around(&bytes);
            let mut plain = Vec::new();
            loop {
                let mut block = [0; 4096];
                let mut room = OutBuffer::around(&mut block[..]);
                decoder.decompress_stream(&mut room, &mut input).unwrap();
                plain.extend_from_slice(room.as_slice());
                // A full block may have more behind it.
                if input.pos == bytes.len() && room.pos() < 4096 {
                    break;
                }
            }
            assert!(plain == text.as_bytes());
        }
    }

    #[test]
    fn a_whole_payload_decodes_by_itself() {
        for text in texts() {
            let bytes = whole(text.as_bytes()).unwrap();
            let mut plain = Vec::with_capacity(text.len() + 64);
            let mut decoder = flate2::Decompress::new(true);
            decoder
                .decompress_vec(&bytes, &mut plain, flate2::FlushDecompress::Finish)
                .unwrap();
            assert!(plain == text.as_bytes());
        }
    }

    #[test]
    fn unknown_names_are_refused() {
        assert_eq!(Transport::from_query(None), Some(Transport::Plain));
        assert_eq!(Transport::from_query(Some("brotli")), None);
    }
}
