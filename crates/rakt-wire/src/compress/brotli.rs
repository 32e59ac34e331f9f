//! brotli, one stream a payload (RFC 7932). The library cannot reuse a context, so each use makes one.

use std::io::{self, Write};

use brotli::enc::{BrotliEncoderParams, StandardAlloc};
use brotli::{BrotliDecompressStream, BrotliResult, BrotliState};

use super::error::{CompressError, DecompressError, corrupt};
use super::step::{Decode, Pack, Step};
use crate::base::cause::Cause;

/// Of 0 to 11: one of the fast ones, for the same reason as zstd's level.
const QUALITY: i32 = 4;
/// Largest window written, as a power of two: 4 MiB.
const WINDOW_LOG: i32 = 22;

pub(super) struct Encoder;

impl Pack for Encoder {
    fn compress(
        &mut self,
        mut input: &[u8],
        out: &mut Vec<u8>,
        bound: usize,
    ) -> Result<bool, CompressError> {
        let params = BrotliEncoderParams {
            quality: QUALITY,
            lgwin: WINDOW_LOG,
            size_hint: input.len(),
            large_window: false,
            ..BrotliEncoderParams::default()
        };
        let mut bounded = Bounded { out, left: bound, is_full: false };
        match brotli::BrotliCompress(&mut input, &mut bounded, &params) {
            Ok(_) => Ok(true),
            Err(_) if bounded.is_full => Ok(false),
            Err(error) => Err(CompressError(Cause::new(error))),
        }
    }
}

/// Reads one stream.
pub(super) struct Decoder {
    state: BrotliState<StandardAlloc, StandardAlloc, StandardAlloc>,
    total: usize,
    is_done: bool,
}

impl Default for Decoder {
    fn default() -> Self {
        let alloc = StandardAlloc::default;
        // "Strict" leaves out the extension with windows of up to 1 GiB.
        let state = BrotliState::new_strict(alloc(), alloc(), alloc());
        Self { state, total: 0, is_done: false }
    }
}

impl Decode for Decoder {
    fn step(&mut self, input: &[u8], room: &mut [u8]) -> Result<Step, DecompressError> {
        if self.is_done {
            return match input.len() {
                0 => Ok(Step::default()),
                len => Err(DecompressError::Trailing { len }),
            };
        }
        let (mut in_left, mut read) = (input.len(), 0);
        let (mut out_left, mut written) = (room.len(), 0);
        let result = BrotliDecompressStream(
            &mut in_left,
            &mut read,
            input,
            &mut out_left,
            &mut written,
            room,
            &mut self.total,
            &mut self.state,
        );
        if let BrotliResult::ResultFailure = result {
            return Err(corrupt("not a brotli stream"));
        }
        self.is_done = matches!(result, BrotliResult::ResultSuccess);
        Ok(Step { read, written, done: self.is_done })
    }

    fn reset(&mut self) {
        *self = Self::default();
    }

    /// That of the window, which the peer chooses.
    fn memory(&self) -> usize {
        usize::try_from(self.state.ringbuffer_size).unwrap_or(0)
    }
}

/// Takes `left` bytes and fails then, so that compressing ends once it no longer pays.
struct Bounded<'a> {
    out: &'a mut Vec<u8>,
    left: usize,
    is_full: bool,
}

impl Write for Bounded<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self.left.checked_sub(bytes.len()) {
            Some(left) => {
                self.left = left;
                self.out.extend_from_slice(bytes);
                Ok(bytes.len())
            }
            None => {
                self.is_full = true;
                Err(io::Error::other("the output is not smaller than the input"))
            }
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
