//! brotli (RFC 7932), as one stream that lasts.

use std::io::{self, Write};

use brotli::enc::StandardAlloc;
use brotli::{BrotliDecompressStream, BrotliResult, BrotliState, CompressorWriter};

use super::Step;
use crate::compress::{CompressError, DecompressError};

/// Of 0 to 11: one of the fast ones, since frames wait while it runs.
const QUALITY: u32 = 4;
/// Window that is written, as a power of two: 4 MiB, as in Go.
const WINDOW_LOG: u32 = 22;
/// Output that the library holds before it passes it on.
const BUFFER_LEN: usize = 4 * 1024;

#[derive(Default)]
pub(super) struct Encoder(Option<CompressorWriter<Vec<u8>>>);

impl Encoder {
    pub(super) fn encode(&mut self, input: &[u8], out: &mut Vec<u8>) -> Result<(), CompressError> {
        let writer = self.0.get_or_insert_with(|| {
            CompressorWriter::new(Vec::new(), BUFFER_LEN, QUALITY, WINDOW_LOG)
        });
        let failed = |error: io::Error| CompressError(error.to_string());
        writer.write_all(input).and_then(|()| writer.flush()).map_err(failed)?;
        out.append(writer.get_mut());
        Ok(())
    }

    pub(super) fn finish(&mut self, out: &mut Vec<u8>) -> Result<(), CompressError> {
        if let Some(writer) = self.0.take() {
            out.append(&mut writer.into_inner());
        }
        Ok(())
    }
}

pub(super) struct Decoder {
    state: BrotliState<StandardAlloc, StandardAlloc, StandardAlloc>,
    total: usize,
    is_done: bool,
}

impl Default for Decoder {
    fn default() -> Self {
        // "Strict" leaves out the extension with windows of up to 1 GiB.
        let state = BrotliState::new_strict(
            StandardAlloc::default(),
            StandardAlloc::default(),
            StandardAlloc::default(),
        );
        Self { state, total: 0, is_done: false }
    }
}

impl Decoder {
    pub(super) fn memory(&self) -> usize {
        usize::try_from(self.state.ringbuffer_size).unwrap_or(0)
    }

    pub(super) fn step(&mut self, input: &[u8], room: &mut [u8]) -> Result<Step, DecompressError> {
        if self.is_done {
            return match input.len() {
                0 => Ok(Step { read: 0, written: 0 }),
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
        match result {
            BrotliResult::ResultFailure => {
                Err(DecompressError::Corrupt("not a brotli stream".to_owned()))
            }
            result => {
                self.is_done = matches!(result, BrotliResult::ResultSuccess);
                Ok(Step { read, written })
            }
        }
    }
}
