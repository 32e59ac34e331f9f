//! zstd, one frame a payload.

use zstd::bulk;
use zstd::zstd_safe::{DCtx, DParameter, InBuffer, OutBuffer, ResetDirective, get_error_name};

use super::error::{self, CompressError, DecompressError};
use super::step::{Decode, Pack, Step};
use crate::base::cause::Cause;

/// The fastest of the regular levels: messages are on their way while it runs.
const LEVEL: i32 = 1;
/// What the library says when the output does not fit, which here means that it does not pay.
const TOO_SMALL: &str = "Destination buffer is too small";

#[derive(Default)]
pub(super) struct Encoder(Option<bulk::Compressor<'static>>);

impl Pack for Encoder {
    fn compress(
        &mut self,
        input: &[u8],
        out: &mut Vec<u8>,
        bound: usize,
    ) -> Result<bool, CompressError> {
        let failed = |error| CompressError(Cause::new(error));
        let encoder = match &mut self.0 {
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
}

/// Takes no frame with a window of more than 2 to the power of `window_log` bytes.
pub(super) struct Decoder {
    context: Option<DCtx<'static>>,
    window_log: u32,
}

impl Decoder {
    pub(super) fn new(window_log: u32) -> Self {
        Self { context: None, window_log }
    }

    fn new_context(window_log: u32) -> Result<DCtx<'static>, DecompressError> {
        let mut context = DCtx::try_create().ok_or_else(|| error::corrupt("out of memory"))?;
        context.init().map_err(corrupt)?;
        context.set_parameter(DParameter::WindowLogMax(window_log)).map_err(corrupt)?;
        Ok(context)
    }
}

impl Decode for Decoder {
    fn step(&mut self, input: &[u8], room: &mut [u8]) -> Result<Step, DecompressError> {
        let context = match &mut self.context {
            Some(context) => context,
            empty => empty.insert(Self::new_context(self.window_log)?),
        };
        let (mut input, mut output) = (InBuffer::around(input), OutBuffer::around(room));
        let left = context.decompress_stream(&mut output, &mut input).map_err(corrupt)?;
        Ok(Step { read: input.pos(), written: output.pos(), done: left == 0 })
    }

    fn reset(&mut self) {
        self.context.take_if(|context| context.reset(ResetDirective::SessionOnly).is_err());
    }

    fn memory(&self) -> usize {
        self.context.as_ref().map_or(0, DCtx::sizeof)
    }
}

fn corrupt(code: usize) -> DecompressError {
    error::corrupt(get_error_name(code))
}

#[cfg(test)]
mod tests {
    use zstd::stream::raw::{CParameter, Encoder, Operation};

    use super::*;
    use crate::compress::{Compression, Compressor};

    #[test]
    fn a_window_above_16_mib_is_refused() {
        for (window_log, fits) in [(24, true), (25, false)] {
            let mut encoder = Encoder::new(1).unwrap();
            encoder.set_parameter(CParameter::ContentSizeFlag(false)).unwrap();
            encoder.set_parameter(CParameter::WindowLog(window_log)).unwrap();
            let mut frame = vec![0; 256];
            let written = encoder.run_on_buffers(b"abcabcabc", &mut frame).unwrap().bytes_written;
            let mut rest = OutBuffer::around_pos(&mut frame[..], written);
            assert_eq!(encoder.finish(&mut rest, true).unwrap(), 0);
            let len = rest.pos();
            let mut zstd = Compressor::new(Compression::Zstd).unwrap();
            let result = zstd.decompress(&frame[..len], 9, &mut Vec::new());
            assert_eq!(result.is_ok(), fits, "{window_log}: {result:?}");
        }
    }
}
