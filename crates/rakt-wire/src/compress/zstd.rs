//! zstd, one frame a payload.

use std::io;

use zstd::bulk;
use zstd::stream::raw::{DParameter, Decoder, Operation};

use super::{CompressError, DecompressError, MAX_ZSTD_WINDOW_LOG, Step, drive, expect_end};

/// The fastest of the regular levels: messages are on their way while it runs.
const LEVEL: i32 = 1;
/// What the library says when the output does not fit, which here means that it does not pay.
const TOO_SMALL: &str = "Destination buffer is too small";

#[derive(Default)]
pub(super) struct Zstd {
    encoder: Option<bulk::Compressor<'static>>,
    decoder: Option<Decoder<'static>>,
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
        let corrupt = |error: io::Error| DecompressError::Corrupt(error.to_string());
        let decoder = match &mut self.decoder {
            Some(decoder) => decoder,
            empty => {
                let mut decoder = Decoder::new().map_err(corrupt)?;
                decoder
                    .set_parameter(DParameter::WindowLogMax(MAX_ZSTD_WINDOW_LOG))
                    .map_err(corrupt)?;
                empty.insert(decoder)
            }
        };
        decoder.reinit().map_err(corrupt)?;
        let taken = drive(input, raw_len, out, |input, room| {
            let status = decoder.run_on_buffers(input, room).map_err(corrupt)?;
            Ok(Step {
                read: status.bytes_read,
                written: status.bytes_written,
                done: status.remaining == 0,
            })
        })?;
        expect_end(input, taken)
    }
}

#[cfg(test)]
mod tests {
    use zstd::stream::raw::{CParameter, Encoder};

    use super::*;

    #[test]
    fn a_window_above_16_mib_is_refused() {
        for (window_log, fits) in [(MAX_ZSTD_WINDOW_LOG, true), (MAX_ZSTD_WINDOW_LOG + 1, false)] {
            let mut encoder = Encoder::new(1).unwrap();
            encoder.set_parameter(CParameter::ContentSizeFlag(false)).unwrap();
            encoder.set_parameter(CParameter::WindowLog(window_log)).unwrap();
            let mut frame = vec![0; 256];
            let written = encoder.run_on_buffers(b"abcabcabc", &mut frame).unwrap().bytes_written;
            let mut rest = zstd::zstd_safe::OutBuffer::around_pos(&mut frame[..], written);
            assert_eq!(encoder.finish(&mut rest, true).unwrap(), 0);
            let len = rest.pos();
            let result = Zstd::default().decompress(&frame[..len], 9, &mut Vec::new());
            assert_eq!(result.is_ok(), fits, "{window_log}: {result:?}");
        }
    }
}
