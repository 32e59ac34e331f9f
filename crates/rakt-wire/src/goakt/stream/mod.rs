//! Compression of a whole connection, one stream in each direction.
//!
//! GoAkt wraps the bytes of a connection in one stream of its format for each direction, which lasts as
//! long as the connection and is flushed after each frame (GoAkt v3.14.0, `internal/net/compress*.go`).
//! Whether it ends in an orderly way or is cut off makes no difference.
//!
//! | file | format | what is written | what is accepted |
//! | --- | --- | --- | --- |
//! | `zstd.rs` | zstd | one frame, window 512 KiB; before that one of small blocks as they are | frames one after another, windows of up to 64 MiB |
//! | `gzip.rs` | gzip | one member, sync flush | members one after another |
//! | `brotli.rs` | brotli | one stream, window 512 KiB | one stream, windows of up to 16 MiB |
//!
//! What a decoder makes is bounded by whoever asks it: it never holds more than its window besides.

#[cfg(feature = "brotli")]
mod brotli;
#[cfg(feature = "gzip")]
mod gzip;
#[cfg(feature = "zstd")]
mod zstd;

use std::fmt;

use bytes::{Buf, BytesMut};

use super::frame::{Frame, FrameError, missing};
use crate::compress::step::{Decode, Encode};
use crate::compress::{CompressError, Compression, DecompressError, Unavailable, decoder};

/// Most output that one step of a decoder makes room for, in bytes.
pub const MAX_STEP: usize = 64 * 1024;
/// Least output that one step makes room for, so that a small frame takes one step.
const MIN_STEP: usize = 512;
/// Largest window of a zstd frame that is accepted, as a power of two: 64 MiB, as in Go.
const MAX_ZSTD_WINDOW_LOG: u32 = 26;

/// Compresses one direction of a connection.
pub struct StreamEncoder {
    compression: Compression,
    /// None without compression.
    encoder: Option<Box<dyn Encode>>,
    /// Bytes that it was given.
    encoded: usize,
}

impl StreamEncoder {
    /// An encoder at the start of its stream. It takes no memory before its first byte.
    ///
    /// # Errors
    /// [`Unavailable`] when this build does not contain the format.
    pub fn new(compression: Compression) -> Result<Self, Unavailable> {
        let encoder: Option<Box<dyn Encode>> = match compression {
            Compression::None => None,
            #[cfg(feature = "zstd")]
            Compression::Zstd => Some(Box::<zstd::Encoder>::default()),
            #[cfg(feature = "gzip")]
            Compression::Gzip => Some(Box::<gzip::Encoder>::default()),
            #[cfg(feature = "brotli")]
            Compression::Brotli => Some(Box::<brotli::Encoder>::default()),
            #[cfg(not(all(feature = "gzip", feature = "zstd", feature = "brotli")))]
            other => return Err(Unavailable(other)),
        };
        Ok(Self { compression, encoder, encoded: 0 })
    }

    /// The format.
    pub fn compression(&self) -> Compression {
        self.compression
    }

    /// Appends `input` to the stream, and flushes it: the peer can read all of it.
    ///
    /// # Errors
    /// [`CompressError`] when the library fails, after which the stream is of no use.
    pub fn encode(&mut self, input: &[u8], out: &mut Vec<u8>) -> Result<(), CompressError> {
        if let Some(encoder) = &mut self.encoder {
            self.encoded = self.encoded.saturating_add(input.len());
            return encoder.encode(input, out);
        }
        out.extend_from_slice(input);
        Ok(())
    }

    /// About how many bytes of memory the encoder holds, as measured: it grows with what it was given, up to
    /// 800 KiB with zstd and 2.8 MiB with brotli, and is 288 KiB with gzip.
    pub fn memory(&self) -> usize {
        let (least, growth, most) = match self.compression {
            _ if self.encoded == 0 => return 0,
            Compression::None => return 0,
            Compression::Gzip => (288, 0, 288),
            Compression::Zstd => (128, 2, 800),
            Compression::Brotli => (544, 13, 2800),
        };
        let grown = self.encoded.saturating_mul(growth).saturating_add(least << 10);
        grown.min(most << 10)
    }

    /// Ends the stream in an orderly way, if anything was written at all. Nothing may follow.
    ///
    /// # Errors
    /// [`CompressError`] when the library fails.
    pub fn finish(&mut self, out: &mut Vec<u8>) -> Result<(), CompressError> {
        self.encoder.as_mut().map_or(Ok(()), |encoder| encoder.finish(out))
    }
}

impl fmt::Debug for StreamEncoder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("StreamEncoder").field(&self.compression).finish()
    }
}

/// A decoder of up to so many bytes takes up memory as its window is filled. That of a larger one is counted at
/// once: it is more than Go nodes make necessary. 4.25 MiB.
const USUAL_MEMORY: usize = (4 << 20) + (256 << 10);
/// About what a decoder takes up before anything is in its window, in bytes.
const EMPTY_MEMORY: usize = 160 * 1024;

/// Decompresses one direction of a connection.
pub struct StreamDecoder {
    compression: Compression,
    /// None without compression.
    decoder: Option<Box<dyn Decode>>,
    /// Bytes that it has made.
    decoded: usize,
}

impl StreamDecoder {
    /// A decoder at the start of its stream. It takes no memory before its first byte.
    ///
    /// # Errors
    /// [`Unavailable`] when this build does not contain the format.
    pub fn new(compression: Compression) -> Result<Self, Unavailable> {
        Ok(Self { compression, decoder: decoder(compression, MAX_ZSTD_WINDOW_LOG)?, decoded: 0 })
    }

    /// The format.
    pub fn compression(&self) -> Compression {
        self.compression
    }

    /// Bytes of memory that the decoder holds for what it may have to repeat. The peer chooses how much:
    /// up to 64 MiB with zstd, 16 MiB with brotli, always little with gzip. A window of a usual size counts as
    /// it is filled.
    pub fn memory(&self) -> usize {
        let memory = self.decoder.as_ref().map_or(0, |decoder| decoder.memory());
        match memory <= USUAL_MEMORY {
            true => memory.min(self.decoded.saturating_add(EMPTY_MEMORY)),
            false => memory,
        }
    }

    /// Takes from the front of `input` and appends at most `room` bytes to `out`, of which at most
    /// [`MAX_STEP`] at a time. False when it can do nothing before more input arrives.
    ///
    /// # Errors
    /// [`DecompressError`], after which the stream is of no use.
    pub fn decode(
        &mut self,
        input: &mut BytesMut,
        out: &mut BytesMut,
        room: usize,
    ) -> Result<bool, DecompressError> {
        let room = room.min(MAX_STEP);
        let Some(decoder) = &mut self.decoder else {
            let taken = input.split_to(input.len().min(room));
            out.extend_from_slice(&taken);
            return Ok(!taken.is_empty());
        };
        let filled = out.len();
        out.resize(filled.saturating_add(room), 0);
        let result = decoder.step(input, out.get_mut(filled..).unwrap_or_default());
        let written = result.as_ref().map_or(0, |step| step.written);
        out.truncate(filled.saturating_add(written));
        self.decoded = self.decoded.saturating_add(written);
        let read = result?.read;
        input.advance(read);
        Ok(read > 0 || written > 0)
    }
}

impl fmt::Debug for StreamDecoder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("StreamDecoder").field(&self.compression).finish()
    }
}

/// Why no further frame can be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ReadError {
    /// The bytes are not frames.
    #[error(transparent)]
    Frame(#[from] FrameError),
    /// The bytes are not a stream of the agreed format.
    #[error("the compressed stream")]
    Stream(#[from] DecompressError),
}

/// What a step towards the next frame came to.
#[derive(Debug)]
pub(super) enum Next {
    Frame(Frame),
    /// More bytes have to arrive first.
    Missing,
    /// There is more to decompress.
    Pause,
}

/// Takes frames out of a stream, with no more output of the decoder held than the next frame needs.
#[derive(Debug)]
pub(super) struct FrameReader {
    decoder: StreamDecoder,
    plain: BytesMut,
    max_frame_len: usize,
    decompressed: u64,
}

impl FrameReader {
    pub(super) fn new(compression: Compression, max_frame_len: usize) -> Result<Self, Unavailable> {
        let decoder = StreamDecoder::new(compression)?;
        Ok(Self { decoder, plain: BytesMut::new(), max_frame_len, decompressed: 0 })
    }

    pub(super) fn compression(&self) -> Compression {
        self.decoder.compression()
    }

    /// The next frame, taken off the front of `unread`. Without compression it is not copied.
    pub(super) fn next(&mut self, unread: &mut BytesMut) -> Result<Option<Frame>, ReadError> {
        loop {
            match self.step(unread)? {
                Next::Frame(frame) => return Ok(Some(frame)),
                Next::Missing => return Ok(None),
                Next::Pause => {}
            }
        }
    }

    /// The next frame, as [`FrameReader::next`] has it, or a step towards it: a few bytes may stand for
    /// a large one, and nobody is to wait until all of it is decompressed.
    pub(super) fn step(&mut self, unread: &mut BytesMut) -> Result<Next, ReadError> {
        if self.compression() == Compression::None {
            let frame = Frame::decode(unread, self.max_frame_len)?;
            return Ok(frame.map_or(Next::Missing, Next::Frame));
        }
        let until = self.decompressed.saturating_add(MAX_STEP as u64);
        loop {
            match missing(&self.plain, self.max_frame_len)? {
                0 => {
                    let frame = Frame::decode(&mut self.plain, self.max_frame_len)?;
                    if frame.as_ref().is_some_and(|frame| frame.total_len() > KEPT_CAPACITY) {
                        // What is left, a step at most, would keep the memory of the frame.
                        self.plain = BytesMut::from(&self.plain[..]);
                    }
                    return Ok(frame.map_or(Next::Missing, Next::Frame));
                }
                _ if self.decompressed >= until => return Ok(Next::Pause),
                missing => {
                    let before = self.plain.len();
                    let room = missing.max(MIN_STEP);
                    if !self.decoder.decode(unread, &mut self.plain, room)? {
                        return Ok(Next::Missing);
                    }
                    let more = self.plain.len().saturating_sub(before);
                    self.decompressed = self.decompressed.saturating_add(more as u64);
                }
            }
        }
    }

    /// Bytes that have been decompressed so far.
    pub(super) fn decompressed(&self) -> u64 {
        self.decompressed
    }

    /// Bytes of a frame that has begun and not ended, and of the decoder's own memory.
    pub(super) fn held_len(&self) -> (usize, usize) {
        (self.plain.len(), self.decoder.memory())
    }

    /// Whether a frame has begun and not ended, as far as it has been read.
    pub(super) fn is_inside(&self) -> bool {
        !self.plain.is_empty()
    }
}

/// Frames that wait to be written, and the stream they go into.
#[derive(Debug)]
pub(super) struct FrameWriter {
    encoder: StreamEncoder,
    plain: Vec<u8>,
    /// How much of it is compressed.
    taken: usize,
}

/// Most bytes that are compressed at a time where others wait for the thread meanwhile. 256 KiB.
const PIECE_LEN: usize = 256 * 1024;
/// Memory that is kept for the next frames once a large one has gone.
const KEPT_CAPACITY: usize = 64 * 1024;

impl FrameWriter {
    pub(super) fn new(compression: Compression) -> Result<Self, Unavailable> {
        Ok(Self { encoder: StreamEncoder::new(compression)?, plain: Vec::new(), taken: 0 })
    }

    /// Where frames are appended.
    pub(super) fn plain(&mut self) -> &mut Vec<u8> {
        self.plain.drain(..self.taken);
        self.taken = 0;
        &mut self.plain
    }

    /// Bytes of the encoder's own memory.
    pub(super) fn encoder_memory(&self) -> usize {
        self.encoder.memory()
    }

    /// Bytes that wait, before compression.
    pub(super) fn len(&self) -> usize {
        self.plain.len().saturating_sub(self.taken)
    }

    /// Appends all that waits to `out`, in a form that can be read up to its end.
    pub(super) fn transmit(&mut self, out: &mut Vec<u8>) -> Result<bool, CompressError> {
        let is_any = self.len() > 0;
        while self.transmit_piece(out)? {}
        Ok(is_any)
    }

    /// The same with no more of it than takes a moment.
    pub(super) fn transmit_piece(&mut self, out: &mut Vec<u8>) -> Result<bool, CompressError> {
        if self.plain.is_empty() {
            return Ok(false);
        }
        if self.encoder.compression() == Compression::None {
            // Without a copy where nothing is in the way.
            if out.is_empty() {
                std::mem::swap(out, &mut self.plain);
            } else {
                out.append(&mut self.plain);
            }
        } else {
            let rest = self.plain.get(self.taken..).unwrap_or_default();
            let piece = rest.get(..PIECE_LEN).unwrap_or(rest);
            self.encoder.encode(piece, out)?;
            self.taken = self.taken.saturating_add(piece.len());
            if self.len() > 0 {
                return Ok(true);
            }
        }
        self.plain.clear();
        self.plain.shrink_to(KEPT_CAPACITY);
        self.taken = 0;
        Ok(true)
    }

    pub(super) fn finish(&mut self, out: &mut Vec<u8>) -> Result<(), CompressError> {
        self.encoder.finish(out)
    }
}

#[cfg(all(test, feature = "zstd"))]
mod tests {
    use super::*;

    #[test]
    fn a_large_frame_leaves_no_memory_behind_on_either_side() {
        let len = 1024 * 1024;
        let mut writer = FrameWriter::new(Compression::Zstd).unwrap();
        let mut reader = FrameReader::new(Compression::Zstd, len).unwrap();
        // Its length, that of its name, and nothing but zeros.
        let mut frame = (len as u32).to_be_bytes().to_vec();
        frame.resize(len, 0);
        writer.plain().extend_from_slice(&frame);
        let mut out = Vec::new();
        assert_eq!(writer.transmit(&mut out), Ok(true));
        assert!(writer.plain.capacity() <= KEPT_CAPACITY, "{}", writer.plain.capacity());

        let mut unread = BytesMut::from(&out[..]);
        assert_eq!(reader.next(&mut unread).unwrap().unwrap().total_len(), len);
        assert_eq!(reader.plain.capacity(), 0, "a rest would keep all of it");
    }
}
