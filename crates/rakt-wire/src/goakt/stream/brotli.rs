//! brotli (RFC 7932), as one stream that lasts.

use std::io::{self, Write};

use brotli::CompressorWriter;

use crate::compress::brotli as unit;
use crate::compress::step::Step;
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

#[derive(Default)]
pub(super) struct Decoder {
    stream: unit::Decoder,
    is_done: bool,
}

impl Decoder {
    pub(super) fn memory(&self) -> usize {
        self.stream.memory()
    }

    pub(super) fn step(&mut self, input: &[u8], room: &mut [u8]) -> Result<Step, DecompressError> {
        if self.is_done {
            return match input.len() {
                0 => Ok(Step::default()),
                len => Err(DecompressError::Trailing { len }),
            };
        }
        let step = self.stream.step(input, room)?;
        self.is_done = step.done;
        Ok(step)
    }
}
