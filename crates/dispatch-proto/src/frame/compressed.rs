//! Frames that are compressed because they are large.
//!
//! Version 3 is a frame of another version, compressed:
//!
//! ```text
//! "DPF" version:u8=3 size:u32 zstd
//! ```
//!
//! `size` is that of the frame in bytes.

use std::borrow::Cow;

use super::{FrameError, MAGIC, array};

const VERSION_3: u8 = 3;
/// zstd's fastest ordinary level: JSON shrinks to a sixth or less.
const LEVEL: i32 = 1;

/// Largest frame that is compressed, and that a compressed body may hold, in bytes: a bound for the reader's memory.
pub const MAX_INFLATED: usize = 128 * 1024 * 1024;

/// A frame compressed; none if it is larger than [`MAX_INFLATED`].
#[must_use]
pub fn compressed(frame: &[u8]) -> Option<Vec<u8>> {
    let size = u32::try_from(frame.len()).ok()?;
    if frame.len() > MAX_INFLATED {
        return None;
    }
    let mut body = MAGIC.to_vec();
    body.push(VERSION_3);
    body.extend_from_slice(&size.to_be_bytes());
    let head = body.len();
    body.resize(head + zstd_safe::compress_bound(frame.len()), 0);
    let len = zstd_safe::compress(&mut body[head..], frame, LEVEL).ok()?;
    body.truncate(head + len);
    body.shrink_to_fit();
    Some(body)
}

/// The frame in a body: the body itself unless it is compressed.
///
/// # Errors
///
/// If it is compressed and does not hold what it announces, or more than [`MAX_INFLATED`].
pub fn inflated(body: &[u8]) -> Result<Cow<'_, [u8]>, FrameError> {
    let Some(mut rest) = after_version(body) else {
        return Ok(Cow::Borrowed(body));
    };
    let size = u32::from_be_bytes(array(&mut rest)?) as usize;
    if size > MAX_INFLATED {
        return Err(FrameError::TooLarge(size));
    }
    let mut frame = vec![0; size];
    match zstd_safe::decompress(&mut frame[..], rest) {
        Ok(len) if len == size => Ok(Cow::Owned(frame)),
        _ => Err(FrameError::Compression),
    }
}

/// The size in bytes of what [`inflated`] returns, by what the body announces.
#[must_use]
pub fn inflated_size(body: &[u8]) -> usize {
    let announced = after_version(body).and_then(|mut rest| array(&mut rest).ok());
    announced.map_or(body.len(), |size| u32::from_be_bytes(size) as usize)
}

/// What follows the version, if that is the compressed one.
fn after_version(body: &[u8]) -> Option<&[u8]> {
    body.strip_prefix(MAGIC)?.strip_prefix(&[VERSION_3])
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn wire_format_is_fixed() {
        let frame = b"DPF\x02\0\0\0\0".repeat(100);
        let body = compressed(&frame).unwrap();
        assert_eq!(body[..8], *b"DPF\x03\0\0\x03\x20");
        assert_eq!(body[8..12], [0x28, 0xb5, 0x2f, 0xfd], "no zstd frame");
        assert!(body.len() < 100);
        assert_eq!(inflated_size(&body), frame.len());
        assert_eq!(inflated_size(&frame), frame.len());
    }

    #[test]
    fn a_body_that_lies_is_refused_without_its_memory() {
        let body = compressed(b"DPF\x02\0\0\0\0").unwrap();
        let with_size = |size: u32| {
            let mut body = body.clone();
            body[4..8].copy_from_slice(&size.to_be_bytes());
            inflated(&body).map(|frame| frame.len())
        };
        assert_eq!(with_size(8), Ok(8));
        assert_eq!(with_size(7), Err(FrameError::Compression));
        assert_eq!(with_size(9), Err(FrameError::Compression));
        let size = u32::MAX as usize;
        assert_eq!(with_size(u32::MAX), Err(FrameError::TooLarge(size)));
        assert_eq!(inflated(b"DPF\x03\0"), Err(FrameError::CutOff));
    }

    proptest! {
        #[test]
        fn inflating_inverts_compressing(frame in prop::collection::vec(any::<u8>(), 0..2_000)) {
            let body = compressed(&frame).unwrap();
            prop_assert_eq!(&inflated(&body).unwrap()[..], &frame[..]);
        }

        #[test]
        fn no_input_panics(rest in prop::collection::vec(any::<u8>(), 0..100), size in 0_u32..300) {
            let mut body = b"DPF\x03".to_vec();
            body.extend(size.to_be_bytes());
            body.extend(rest);
            let _ = inflated(&body);
        }
    }
}
