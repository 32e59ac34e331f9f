//! gzip (RFC 1952), one member a payload.
//!
//! The library's own gzip reader and writer make a new context for each use. Here the raw deflate
//! contexts are kept, and the few bytes around them are read and written by hand.

use flate2::{Compress, Crc, Decompress, FlushCompress, FlushDecompress, Status};

use super::error::{CompressError, DecompressError, corrupt};
use super::step::{Decode, Pack, Step};
use crate::base::cause::Cause;
use crate::base::varint::{DecodeError, Reader};

/// Magic, deflate, no flags, no time, "fastest", unknown system.
const HEADER: [u8; 10] = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 4, 255];
/// How every header starts: magic, deflate.
const MAGIC: [u8; 3] = [0x1f, 0x8b, 8];
/// Longest header that is waited for, in bytes: a peer that sends long names and comments is not one of ours.
const MAX_HEADER_LEN: usize = 4096;
const FLAG_HEADER_CRC: u8 = 0x02;
const FLAG_EXTRA: u8 = 0x04;
const FLAG_NAME: u8 = 0x08;
const FLAG_COMMENT: u8 = 0x10;
const FLAGS_RESERVED: u8 = 0xe0;
/// CRC-32 and raw length, four bytes each.
const TRAILER_LEN: usize = 8;

#[derive(Default)]
pub(super) struct Encoder(Option<Compress>);

impl Pack for Encoder {
    fn compress(
        &mut self,
        input: &[u8],
        out: &mut Vec<u8>,
        bound: usize,
    ) -> Result<bool, CompressError> {
        let encoder =
            self.0.get_or_insert_with(|| Compress::new(flate2::Compression::fast(), false));
        encoder.reset();
        let Some(room_len) =
            bound.checked_sub(HEADER.len().saturating_add(TRAILER_LEN)).filter(|len| *len > 0)
        else {
            return Ok(false);
        };
        out.extend_from_slice(&HEADER);
        let start = out.len();
        out.resize(start.saturating_add(room_len), 0);
        let room = out.get_mut(start..).unwrap_or_default();
        let status = encoder
            .compress(input, room, FlushCompress::Finish)
            .map_err(|error| CompressError(Cause::new(error)))?;
        if status != Status::StreamEnd {
            return Ok(false);
        }
        let written = usize::try_from(encoder.total_out()).unwrap_or(room_len);
        out.truncate(start.saturating_add(written));
        let mut crc = Crc::new();
        crc.update(input);
        put_trailer(out, &crc);
        Ok(true)
    }
}

/// Writes what ends a member.
pub(crate) fn put_trailer(out: &mut Vec<u8>, crc: &Crc) {
    out.extend_from_slice(&crc.sum().to_le_bytes());
    out.extend_from_slice(&crc.amount().to_le_bytes());
}

#[derive(Default)]
pub(super) struct Decoder {
    inflate: Option<Decompress>,
    crc: Crc,
    phase: Phase,
}

#[derive(Clone, Copy, Default)]
enum Phase {
    #[default]
    Header,
    Body,
    Trailer,
}

impl Decode for Decoder {
    fn step(&mut self, input: &[u8], room: &mut [u8]) -> Result<Step, DecompressError> {
        match self.phase {
            Phase::Header => self.header(input, room),
            Phase::Body => self.body(input, room),
            Phase::Trailer => self.trailer(input),
        }
    }

    fn reset(&mut self) {
        self.phase = Phase::Header;
    }

    fn memory(&self) -> usize {
        64 * 1024
    }
}

impl Decoder {
    fn header(&mut self, input: &[u8], room: &mut [u8]) -> Result<Step, DecompressError> {
        let Some(len) = header_len(input)? else {
            return match input.len() {
                ..MAX_HEADER_LEN => Ok(Step::default()),
                _ => Err(corrupt("the gzip header is too long")),
            };
        };
        self.crc = Crc::new();
        if let Some(inflate) = &mut self.inflate {
            inflate.reset(false);
        }
        self.phase = Phase::Body;
        let step = self.body(input.get(len..).unwrap_or_default(), room)?;
        Ok(Step { read: step.read.saturating_add(len), ..step })
    }

    fn body(&mut self, input: &[u8], room: &mut [u8]) -> Result<Step, DecompressError> {
        let inflate = self.inflate.get_or_insert_with(|| Decompress::new(false));
        let before = (inflate.total_in(), inflate.total_out());
        let status = inflate.decompress(input, room, FlushDecompress::None).map_err(corrupt)?;
        let moved = |now: u64, before: u64| {
            usize::try_from(now.saturating_sub(before)).unwrap_or(usize::MAX)
        };
        let read = moved(inflate.total_in(), before.0);
        let written = moved(inflate.total_out(), before.1);
        self.crc.update(room.get(..written).unwrap_or_default());
        if status != Status::StreamEnd {
            return Ok(Step { read, written, done: false });
        }
        self.phase = Phase::Trailer;
        let trailer = self.trailer(input.get(read..).unwrap_or_default())?;
        Ok(Step { read: read.saturating_add(trailer.read), written, done: trailer.done })
    }

    fn trailer(&mut self, input: &[u8]) -> Result<Step, DecompressError> {
        let Some(trailer) = input.first_chunk::<TRAILER_LEN>() else { return Ok(Step::default()) };
        let mut expected = Vec::with_capacity(TRAILER_LEN);
        put_trailer(&mut expected, &self.crc);
        if trailer[..] != expected {
            return Err(corrupt("the checksum does not match"));
        }
        self.phase = Phase::Header;
        Ok(Step { read: TRAILER_LEN, written: 0, done: true })
    }
}

/// How long the header at the start of `bytes` is, with the optional fields that other writers put there;
/// `None` while some of it is missing.
fn header_len(bytes: &[u8]) -> Result<Option<usize>, DecompressError> {
    let not_gzip = || corrupt("not a gzip header");
    let magic_len = bytes.len().min(MAGIC.len());
    if bytes.get(..magic_len) != MAGIC.get(..magic_len) {
        return Err(not_gzip());
    }
    let Some(&[.., flags, _, _, _, _, _, _]) = bytes.first_chunk::<10>() else { return Ok(None) };
    if flags & FLAGS_RESERVED != 0 {
        return Err(not_gzip());
    }
    let mut reader = Reader::new(bytes.get(10..).unwrap_or_default());
    // Nothing but their end can be wrong with these fields.
    let is_whole = skip_optional(&mut reader, flags).is_ok();
    Ok(is_whole.then(|| bytes.len().saturating_sub(reader.len())))
}

fn skip_optional(reader: &mut Reader<'_>, flags: u8) -> Result<(), DecodeError> {
    if flags & FLAG_EXTRA != 0 {
        for _ in 0..reader.array("header").map(u16::from_le_bytes)? {
            reader.u8("header")?;
        }
    }
    for flag in [FLAG_NAME, FLAG_COMMENT] {
        while flags & flag != 0 && reader.u8("header")? != 0 {}
    }
    if flags & FLAG_HEADER_CRC != 0 {
        reader.array::<2>("header")?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};

    use super::*;
    use crate::compress::{Compression, Compressor};

    fn gzip() -> Compressor {
        Compressor::new(Compression::Gzip).unwrap()
    }

    #[test]
    fn the_librarys_own_reader_understands_what_is_written() {
        let (input, mut bytes) = (b"rakt ".repeat(100), Vec::new());
        assert!(gzip().compress(&input, &mut bytes).unwrap());
        let mut out = Vec::new();
        flate2::read::GzDecoder::new(&bytes[..]).read_to_end(&mut out).unwrap();
        assert_eq!(out, input);
    }

    #[test]
    fn optional_header_fields_are_skipped() {
        let input = b"rakt ".repeat(100);
        let mut writer = flate2::GzBuilder::new()
            .filename("name")
            .comment("comment")
            .extra(vec![1, 2, 3])
            .write(Vec::new(), flate2::Compression::fast());
        writer.write_all(&input).unwrap();
        let bytes = writer.finish().unwrap();
        let mut out = Vec::new();
        gzip().decompress(&bytes, input.len(), &mut out).unwrap();
        assert_eq!(out, input);
    }

    #[test]
    fn a_flipped_checksum_is_noticed() {
        let (input, mut bytes) = (b"rakt ".repeat(100), Vec::new());
        assert!(gzip().compress(&input, &mut bytes).unwrap());
        let crc = bytes.len() - TRAILER_LEN;
        bytes[crc] ^= 1;
        let error = gzip().decompress(&bytes, 500, &mut Vec::new()).unwrap_err();
        assert_eq!(error, DecompressError::Corrupt("the checksum does not match".into()));
    }
}
