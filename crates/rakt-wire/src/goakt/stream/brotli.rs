//! brotli (RFC 7932), as one stream that lasts.

use std::io::{self, Write};

use brotli::CompressorWriter;

use crate::base::cause::Cause;
use crate::compress::CompressError;
use crate::compress::step::Encode;

/// Of 0 to 11: one of the fast ones, since frames wait while it runs.
const QUALITY: u32 = 4;
/// Window that is written, as a power of two: 512 KiB. In Go it is 4 MiB, for which the encoder here takes 10 MiB a
/// connection.
const WINDOW_LOG: u32 = 19;
/// Output that the library holds before it passes it on.
const BUFFER_LEN: usize = 4 * 1024;

#[derive(Default)]
pub(super) struct Encoder(Option<CompressorWriter<Vec<u8>>>);

impl Encode for Encoder {
    fn encode(&mut self, input: &[u8], out: &mut Vec<u8>) -> Result<(), CompressError> {
        let writer = self.0.get_or_insert_with(|| {
            CompressorWriter::new(Vec::new(), BUFFER_LEN, QUALITY, WINDOW_LOG)
        });
        let failed = |error: io::Error| CompressError(Cause::new(error));
        writer.write_all(input).and_then(|()| writer.flush()).map_err(failed)?;
        out.append(writer.get_mut());
        Ok(())
    }

    fn finish(&mut self, out: &mut Vec<u8>) -> Result<(), CompressError> {
        if let Some(writer) = self.0.take() {
            out.append(&mut writer.into_inner());
        }
        Ok(())
    }
}
