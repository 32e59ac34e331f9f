//! zstd (RFC 8878).

use std::io;

use zstd::stream::raw::{self, CParameter, DParameter, Operation};
use zstd::zstd_safe::{DCtx, InBuffer, OutBuffer, get_error_name};

use super::{MAX_ZSTD_WINDOW_LOG, Step};
use crate::compress::{CompressError, DecompressError};

/// The fastest of the regular levels: frames wait while it runs.
const LEVEL: i32 = 1;
/// Window that is written, as a power of two: 512 KiB, as in Go.
const WINDOW_LOG: u32 = 19;
/// Room that is made at a time.
const ROOM: usize = 4 * 1024;

#[derive(Default)]
pub(super) struct Encoder(Option<raw::Encoder<'static>>);

impl Encoder {
    pub(super) fn encode(&mut self, input: &[u8], out: &mut Vec<u8>) -> Result<(), CompressError> {
        let encoder = match &mut self.0 {
            Some(encoder) => encoder,
            empty => empty.insert(new_encoder().map_err(failed)?),
        };
        let mut input = InBuffer::around(input);
        while input.pos() < input.src.len() {
            into_vec(out, input.src.len(), |out| encoder.run(&mut input, out).map(|_| 0))?;
        }
        while into_vec(out, ROOM, |out| encoder.flush(out))? > 0 {}
        Ok(())
    }

    pub(super) fn finish(&mut self, out: &mut Vec<u8>) -> Result<(), CompressError> {
        let Some(encoder) = &mut self.0 else { return Ok(()) };
        while into_vec(out, ROOM, |out| encoder.finish(out, true))? > 0 {}
        Ok(())
    }
}

/// Appends to `out` what `run` writes, with room for at least `room` bytes or [`ROOM`].
fn into_vec(
    out: &mut Vec<u8>,
    room: usize,
    run: impl FnOnce(&mut OutBuffer<'_, Vec<u8>>) -> io::Result<usize>,
) -> Result<usize, CompressError> {
    out.reserve(room.clamp(64, ROOM));
    let filled = out.len();
    run(&mut OutBuffer::around_pos(out, filled)).map_err(failed)
}

fn new_encoder() -> io::Result<raw::Encoder<'static>> {
    let mut encoder = raw::Encoder::new(LEVEL)?;
    encoder.set_parameter(CParameter::WindowLog(WINDOW_LOG))?;
    // As in Go. It stands at the end of the stream, and is missing when that is cut off.
    encoder.set_parameter(CParameter::ChecksumFlag(true))?;
    Ok(encoder)
}

fn failed(error: io::Error) -> CompressError {
    CompressError(error.to_string())
}

#[derive(Default)]
pub(super) struct Decoder(Option<DCtx<'static>>);

impl Decoder {
    pub(super) fn step(&mut self, input: &[u8], room: &mut [u8]) -> Result<Step, DecompressError> {
        let corrupt = |error: &str| DecompressError::Corrupt(error.to_owned());
        let context = match &mut self.0 {
            Some(context) => context,
            empty => empty.insert(new_context().map_err(corrupt)?),
        };
        let (mut input, mut output) = (InBuffer::around(input), OutBuffer::around(room));
        let result = context.decompress_stream(&mut output, &mut input);
        result.map_err(|code| corrupt(get_error_name(code)))?;
        Ok(Step { read: input.pos(), written: output.pos() })
    }

    pub(super) fn memory(&self) -> usize {
        self.0.as_ref().map_or(0, DCtx::sizeof)
    }
}

fn new_context() -> Result<DCtx<'static>, &'static str> {
    let mut context = DCtx::try_create().ok_or("out of memory")?;
    context.init().map_err(get_error_name)?;
    let limit = DParameter::WindowLogMax(MAX_ZSTD_WINDOW_LOG);
    context.set_parameter(limit).map_err(get_error_name)?;
    Ok(context)
}
