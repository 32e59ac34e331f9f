//! zstd, one frame a payload.

use std::io;

use zstd::bulk;
use zstd::zstd_safe::{DCtx, DParameter, InBuffer, OutBuffer, ResetDirective, get_error_name};

use super::error::{CompressError, DecompressError};
use super::step::{Step, drive, expect_end};

/// The fastest of the regular levels: messages are on their way while it runs.
const LEVEL: i32 = 1;
/// Largest window of a frame that is accepted, as a power of two: 16 MiB.
const MAX_WINDOW_LOG: u32 = 24;
/// What the library says when the output does not fit, which here means that it does not pay.
const TOO_SMALL: &str = "Destination buffer is too small";

#[derive(Default)]
pub(super) struct Zstd {
    encoder: Option<bulk::Compressor<'static>>,
    decoder: Option<DCtx<'static>>,
}

impl Zstd {
    pub(super) fn compress(
        &mut self,
        input: &[u8],
        out: &mut Vec<u8>,
        bound: usize,
    ) -> Result<bool, CompressError> {
        let failed = |error: io::Error| CompressError(error.to_string());
        let encoder = match &mut self.encoder {
            Some(encoder) => encoder,
            empty => empty.insert(bulk::Compressor::new(LEVEL).map_err(failed)?),
        };
        let start = out.len();
        out.resize(start.saturating_add(bound), 0);
        let room = out.get_mut(start..).unwrap_or_default();
        match encoder.compress_to_buffer(input, room) {
            Ok(len) => {
                out.truncate(start.saturating_add(len));
                Ok(true)
            }
            Err(error) if error.to_string() == TOO_SMALL => Ok(false),
            Err(error) => Err(failed(error)),
        }
    }

    pub(super) fn decompress(
        &mut self,
        input: &[u8],
        raw_len: usize,
        out: &mut Vec<u8>,
    ) -> Result<(), DecompressError> {
        let context = match &mut self.decoder {
            Some(context) => context,
            empty => empty.insert(new_context(MAX_WINDOW_LOG)?),
        };
        context.reset(ResetDirective::SessionOnly).map_err(corrupt)?;
        let taken = drive(input, raw_len, out, |input, room| step(context, input, room))?;
        expect_end(input, taken)
    }
}

/// A decoder that takes no frame with a larger window than 2 to the power of `window_log` bytes.
pub(crate) fn new_context(window_log: u32) -> Result<DCtx<'static>, DecompressError> {
    let memory = || DecompressError::Corrupt("out of memory".to_owned());
    let mut context = DCtx::try_create().ok_or_else(memory)?;
    context.init().map_err(corrupt)?;
    context.set_parameter(DParameter::WindowLogMax(window_log)).map_err(corrupt)?;
    Ok(context)
}

/// One call of the library.
pub(crate) fn step(
    context: &mut DCtx<'_>,
    input: &[u8],
    room: &mut [u8],
) -> Result<Step, DecompressError> {
    let (mut input, mut output) = (InBuffer::around(input), OutBuffer::around(room));
    let left = context.decompress_stream(&mut output, &mut input).map_err(corrupt)?;
    Ok(Step { read: input.pos(), written: output.pos(), done: left == 0 })
}

fn corrupt(code: usize) -> DecompressError {
    DecompressError::Corrupt(get_error_name(code).to_owned())
}

#[cfg(test)]
mod tests {
    use zstd::stream::raw::{CParameter, Encoder, Operation};

    use super::*;

    #[test]
    fn a_window_above_16_mib_is_refused() {
        for (window_log, fits) in [(MAX_WINDOW_LOG, true), (MAX_WINDOW_LOG + 1, false)] {
            let mut encoder = Encoder::new(1).unwrap();
            encoder.set_parameter(CParameter::ContentSizeFlag(false)).unwrap();
            encoder.set_parameter(CParameter::WindowLog(window_log)).unwrap();
            let mut frame = vec![0; 256];
            let written = encoder.run_on_buffers(b"abcabcabc", &mut frame).unwrap().bytes_written;
            let mut rest = OutBuffer::around_pos(&mut frame[..], written);
            assert_eq!(encoder.finish(&mut rest, true).unwrap(), 0);
            let len = rest.pos();
            let result = Zstd::default().decompress(&frame[..len], 9, &mut Vec::new());
            assert_eq!(result.is_ok(), fits, "{window_log}: {result:?}");
        }
    }
}
