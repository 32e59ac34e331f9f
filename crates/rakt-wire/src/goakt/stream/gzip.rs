//! gzip (RFC 1952), as one member that lasts.
//!
//! A Go reader that has reached the end of a member waits for the next one before it hands out what it
//! has, so a member must not end between frames. Its inflater lets go of data only at an empty stored
//! block, which is what a sync flush writes.

use flate2::{Compress, Crc, FlushCompress, Status};

use crate::base::cause::Cause;
use crate::compress::CompressError;
use crate::compress::gzip::put_trailer;
use crate::compress::step::Encode;

/// Magic, deflate, no flags, no time, no hint, unknown system: what Go writes.
const HEADER: [u8; 10] = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255];
/// Room that is made at a time.
const ROOM: usize = 4 * 1024;

#[derive(Default)]
pub(super) struct Encoder {
    deflate: Option<Compress>,
    crc: Crc,
}

impl Encode for Encoder {
    fn encode(&mut self, input: &[u8], out: &mut Vec<u8>) -> Result<(), CompressError> {
        if self.deflate.is_none() {
            out.extend_from_slice(&HEADER);
        }
        self.crc.update(input);
        self.run(input, out, FlushCompress::Sync).map(drop)
    }

    fn finish(&mut self, out: &mut Vec<u8>) -> Result<(), CompressError> {
        if self.deflate.is_none() {
            return Ok(());
        }
        while self.run(&[], out, FlushCompress::Finish)? != Status::StreamEnd {}
        put_trailer(out, &self.crc);
        Ok(())
    }
}

impl Encoder {
    /// Compresses and flushes all of `input`. Room that is left shows that nothing is held back.
    fn run(
        &mut self,
        input: &[u8],
        out: &mut Vec<u8>,
        flush: FlushCompress,
    ) -> Result<Status, CompressError> {
        let deflate =
            self.deflate.get_or_insert_with(|| Compress::new(flate2::Compression::fast(), false));
        let mut rest = input;
        loop {
            out.reserve(rest.len().clamp(64, ROOM));
            let before = deflate.total_in();
            let status = deflate
                .compress_vec(rest, out, flush)
                .map_err(|error| CompressError(Cause::new(error)))?;
            let taken = deflate.total_in().saturating_sub(before);
            rest = rest.get(usize::try_from(taken).unwrap_or(usize::MAX)..).unwrap_or_default();
            if rest.is_empty() && out.len() < out.capacity() {
                return Ok(status);
            }
        }
    }
}
