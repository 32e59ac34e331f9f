//! Frames: a length, the full name of a message, sometimes metadata, and the message.
//!
//! ```text
//!   plain          totalLen u32 │ nameLen u32 │ name │ body
//!   with metadata  totalLen u32 │ nameLen u32 │ metaLen u32 │ name │ metadata │ body
//! ```
//!
//! All numbers are big-endian and `totalLen` counts itself (GoAkt v3.14.0,
//! `internal/net/proto_serializer.go`). Nothing tells the two forms apart but arithmetic: in the plain
//! form the third number is the start of a name, which is more than any frame may be long.

use bytes::{Bytes, BytesMut};

use super::fields::Out;
use super::metadata::{Deadline, SectionError, put_section};
use crate::metadata::Metadata;

/// Longest frame that is accepted and sent by default, in bytes before compression. It is also the most
/// that GoAkt takes. 16 MiB.
pub const DEFAULT_MAX_FRAME_LEN: usize = 16 * 1024 * 1024;
/// The highest limit that may be set: the two forms of a frame, and a frame and other protocols, are told
/// apart by the first byte of a length being 0 or 1. Just below 32 MiB.
pub const HIGHEST_MAX_FRAME_LEN: usize = 0x01ff_ffff;

/// Shortest frame.
const MIN_LEN: usize = 8;
/// The fields before the name of a frame with metadata.
const METADATA_HEAD_LEN: usize = 12;

/// One frame that has arrived whole. Its parts stay where they lie.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    whole: Bytes,
    name_at: usize,
    name_end: usize,
    body_at: usize,
}

impl Frame {
    /// Takes one frame off the front of `buf`; `Ok(None)` means "come back with more bytes".
    ///
    /// # Errors
    /// [`FrameError`] when the connection cannot go on.
    pub fn decode(buf: &mut BytesMut, max_len: usize) -> Result<Option<Self>, FrameError> {
        if missing(buf, max_len)? > 0 {
            return Ok(None);
        }
        let total = be_u32(buf, 0).unwrap_or(0) as usize;
        let whole = buf.split_to(total).freeze();
        let name_len = be_u32(&whole, 4).unwrap_or(0) as usize;
        let with_metadata = be_u32(&whole, 8).and_then(|meta_len| {
            let name_end = METADATA_HEAD_LEN.checked_add(name_len)?;
            let body_at = name_end.checked_add(meta_len as usize)?;
            (body_at <= total).then_some((METADATA_HEAD_LEN, name_end, body_at))
        });
        let plain_end = MIN_LEN.saturating_add(name_len);
        let (name_at, name_end, body_at) = with_metadata.unwrap_or((MIN_LEN, plain_end, plain_end));
        if name_end > total {
            return Err(FrameError::Name { len: name_len, total });
        }
        Ok(Some(Self { whole, name_at, name_end, body_at }))
    }

    /// The full name of the message; not checked to be text.
    pub fn name(&self) -> &[u8] {
        self.whole.get(self.name_at..self.name_end).unwrap_or_default()
    }

    /// The metadata section, when the frame has the form with one and it is not empty.
    pub fn metadata(&self) -> Option<&[u8]> {
        self.whole.get(self.name_end..self.body_at).filter(|section| !section.is_empty())
    }

    /// The message.
    pub fn into_body(mut self) -> Bytes {
        self.whole.split_off(self.body_at)
    }

    /// The whole frame, in bytes.
    pub fn total_len(&self) -> usize {
        self.whole.len()
    }
}

/// How many bytes of the first frame are not there yet, as far as that is known.
pub(super) fn missing(buf: &[u8], max_len: usize) -> Result<usize, FrameError> {
    let Some(total) = be_u32(buf, 0) else { return Ok(MIN_LEN.saturating_sub(buf.len())) };
    let total = total as usize;
    if total < MIN_LEN {
        return Err(FrameError::TooShort { len: total });
    }
    if total > max_len {
        return Err(FrameError::TooLong { len: total, limit: max_len });
    }
    Ok(total.saturating_sub(buf.len()))
}

fn be_u32(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..)?.first_chunk().copied().map(u32::from_be_bytes)
}

/// Why the bytes of a peer are not frames.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FrameError {
    /// Shorter than its own head.
    #[error("a frame claims {len} bytes, which is less than its head")]
    TooShort {
        /// The claim in bytes.
        len: usize,
    },
    /// Longer than allowed.
    #[error("a frame claims {len} bytes, the limit is {limit}")]
    TooLong {
        /// The claim in bytes.
        len: usize,
        /// The limit in bytes.
        limit: usize,
    },
    /// The name reaches beyond the frame.
    #[error("a frame of {total} bytes claims a name of {len}")]
    Name {
        /// The claimed length of the name in bytes.
        len: usize,
        /// The length of the frame in bytes.
        total: usize,
    },
}

/// Why something cannot be sent. Nothing of it was.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum EncodeError {
    /// The frame would be longer than the limit.
    #[error("the frame would be {size} bytes long, the limit is {limit}")]
    TooLarge {
        /// Its length in bytes.
        size: usize,
        /// The limit in bytes.
        limit: usize,
    },
    /// The headers cannot be written.
    #[error(transparent)]
    Metadata(#[from] SectionError),
}

/// Appends a frame to `out`. On error `out` is as it was.
pub(super) fn put_frame(
    out: &mut Vec<u8>,
    name: &str,
    metadata: Option<(&Metadata, Option<Deadline>)>,
    max_len: usize,
    body: impl Fn(&mut Out<'_>),
) -> Result<(), EncodeError> {
    let (start, body_len) = (out.len(), Out::count(&body));
    let result = put_head(out, name, metadata).and_then(|()| {
        let size = out.len().saturating_sub(start).saturating_add(body_len);
        let total = u32::try_from(size).ok().filter(|_| size <= max_len);
        let total = total.ok_or(EncodeError::TooLarge { size, limit: max_len })?;
        patch(out, start, total);
        Ok(())
    });
    if result.is_err() {
        out.truncate(start);
        return result;
    }
    out.reserve(body_len);
    let body_at = out.len();
    body(&mut Out::Write(out));
    debug_assert_eq!(out.len().saturating_sub(body_at), body_len, "{name}");
    Ok(())
}

fn put_head(
    out: &mut Vec<u8>,
    name: &str,
    metadata: Option<(&Metadata, Option<Deadline>)>,
) -> Result<(), EncodeError> {
    out.extend_from_slice(&[0; 4]);
    out.extend_from_slice(&(name.len() as u32).to_be_bytes());
    let Some((headers, deadline)) = metadata else {
        out.extend_from_slice(name.as_bytes());
        return Ok(());
    };
    let len_at = out.len();
    out.extend_from_slice(&[0; 4]);
    out.extend_from_slice(name.as_bytes());
    let section_at = out.len();
    put_section(out, headers.iter(), deadline)?;
    let len = out.len().saturating_sub(section_at);
    // A section is bounded far below this.
    patch(out, len_at, u32::try_from(len).unwrap_or(u32::MAX));
    Ok(())
}

fn patch(out: &mut [u8], at: usize, value: u32) {
    if let Some(place) = out.get_mut(at..).and_then(|rest| rest.first_chunk_mut()) {
        *place = value.to_be_bytes();
    }
}
