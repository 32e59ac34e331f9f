//! gzip (RFC 1952), as one member that lasts.
//!
//! A Go reader that has reached the end of a member waits for the next one before it hands out what it
//! has, so a member must not end between frames. Its inflater lets go of data only at an empty stored
//! block, which is what a sync flush writes.

use flate2::{Compress, Crc, Decompress, FlushCompress, Status};

use crate::compress::gzip::{header_len, inflate};
use crate::compress::step::Step;
use crate::compress::{CompressError, DecompressError};

/// Magic, deflate, no flags, no time, no hint, unknown system: what Go writes.
const HEADER: [u8; 10] = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255];
/// Longest header that is read, in bytes: a peer that sends long names and comments is not one of ours.
const MAX_HEADER_LEN: usize = 4096;
/// CRC-32 and raw length.
const TRAILER_LEN: usize = 8;
/// Room that is made at a time.
const ROOM: usize = 4 * 1024;

#[derive(Default)]
pub(super) struct Encoder {
    deflate: Option<Compress>,
    crc: Crc,
}

impl Encoder {
    pub(super) fn encode(&mut self, input: &[u8], out: &mut Vec<u8>) -> Result<(), CompressError> {
        if self.deflate.is_none() {
            out.extend_from_slice(&HEADER);
        }
        self.crc.update(input);
        self.run(input, out, FlushCompress::Sync).map(drop)
    }

    pub(super) fn finish(&mut self, out: &mut Vec<u8>) -> Result<(), CompressError> {
        if self.deflate.is_none() {
            return Ok(());
        }
        while self.run(&[], out, FlushCompress::Finish)? != Status::StreamEnd {}
        out.extend_from_slice(&self.crc.sum().to_le_bytes());
        out.extend_from_slice(&self.crc.amount().to_le_bytes());
        Ok(())
    }

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
                .map_err(|error| CompressError(error.to_string()))?;
            let taken = deflate.total_in().saturating_sub(before);
            rest = rest.get(usize::try_from(taken).unwrap_or(usize::MAX)..).unwrap_or_default();
            if rest.is_empty() && out.len() < out.capacity() {
                return Ok(status);
            }
        }
    }
}

#[derive(Default)]
pub(super) struct Decoder {
    inflate: Option<Decompress>,
    crc: Crc,
    phase: Phase,
}

#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum Phase {
    #[default]
    Header,
    Body,
    Trailer,
}

impl Decoder {
    pub(super) fn step(&mut self, input: &[u8], room: &mut [u8]) -> Result<Step, DecompressError> {
        match self.phase {
            Phase::Header => self.header(input),
            Phase::Body => self.body(input, room),
            Phase::Trailer => self.trailer(input),
        }
    }

    fn header(&mut self, input: &[u8]) -> Result<Step, DecompressError> {
        let Some(read) = header_len(input)? else {
            return match input.len() {
                ..MAX_HEADER_LEN => Ok(Step::default()),
                _ => Err(corrupt("the gzip header is too long")),
            };
        };
        self.crc = Crc::new();
        match &mut self.inflate {
            Some(decoder) => decoder.reset(false),
            empty => *empty = Some(Decompress::new(false)),
        }
        self.phase = Phase::Body;
        Ok(Step { read, ..Step::default() })
    }

    fn body(&mut self, input: &[u8], room: &mut [u8]) -> Result<Step, DecompressError> {
        let decoder = self.inflate.get_or_insert_with(|| Decompress::new(false));
        let step = inflate(decoder, input, room)?;
        self.crc.update(room.get(..step.written).unwrap_or_default());
        if step.done {
            self.phase = Phase::Trailer;
            if step.read == 0 && step.written == 0 {
                // Not a standstill: the trailer is next.
                return self.trailer(input);
            }
        }
        Ok(step)
    }

    fn trailer(&mut self, input: &[u8]) -> Result<Step, DecompressError> {
        let Some((sum, rest)) = input.split_first_chunk() else {
            return Ok(Step::default());
        };
        let Some(len) = rest.first_chunk() else {
            return Ok(Step::default());
        };
        let found = (u32::from_le_bytes(*sum), u32::from_le_bytes(*len));
        if found != (self.crc.sum(), self.crc.amount()) {
            return Err(corrupt("the checksum does not match"));
        }
        self.phase = Phase::Header;
        Ok(Step { read: TRAILER_LEN, ..Step::default() })
    }
}

fn corrupt(what: &str) -> DecompressError {
    DecompressError::Corrupt(what.to_owned())
}
