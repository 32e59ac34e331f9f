//! gzip, one member a payload (RFC 1952).
//!
//! The library's own gzip reader and writer make a new context for each use. Here the raw deflate
//! contexts are kept, and the few bytes around them are read and written by hand.

use flate2::{Compress, Crc, Decompress, FlushCompress, FlushDecompress, Status};

use super::error::{CompressError, DecompressError};
use super::step::{Step, drive, expect_end};
use crate::base::varint::{DecodeError, Reader};

/// Magic, deflate, no flags, no time, "fastest", unknown system.
const HEADER: [u8; 10] = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 4, 255];
/// How every header starts: magic, deflate.
const MAGIC: [u8; 3] = [0x1f, 0x8b, 8];
const FLAG_HEADER_CRC: u8 = 0x02;
const FLAG_EXTRA: u8 = 0x04;
const FLAG_NAME: u8 = 0x08;
const FLAG_COMMENT: u8 = 0x10;
const FLAGS_RESERVED: u8 = 0xe0;
/// CRC-32 and raw length, four bytes each.
const TRAILER_LEN: usize = 8;

#[derive(Default)]
pub(super) struct Gzip {
    encoder: Option<Compress>,
    decoder: Option<Decompress>,
}

impl Gzip {
    pub(super) fn compress(
        &mut self,
        input: &[u8],
        out: &mut Vec<u8>,
        bound: usize,
    ) -> Result<bool, CompressError> {
        let encoder =
            self.encoder.get_or_insert_with(|| Compress::new(flate2::Compression::fast(), false));
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
            .map_err(|error| CompressError(error.to_string()))?;
        if status != Status::StreamEnd {
            return Ok(false);
        }
        let written = usize::try_from(encoder.total_out()).unwrap_or(room_len);
        out.truncate(start.saturating_add(written));
        let mut crc = Crc::new();
        crc.update(input);
        out.extend_from_slice(&crc.sum().to_le_bytes());
        out.extend_from_slice(&crc.amount().to_le_bytes());
        Ok(true)
    }

    pub(super) fn decompress(
        &mut self,
        input: &[u8],
        raw_len: usize,
        out: &mut Vec<u8>,
    ) -> Result<(), DecompressError> {
        let mut reader = Reader::new(input);
        skip_header(&mut reader)?;
        let decoder = self.decoder.get_or_insert_with(|| Decompress::new(false));
        decoder.reset(false);
        let start = out.len();
        let taken =
            drive(reader.rest(), raw_len, out, |input, room| inflate(decoder, input, room))?;
        let mut trailer = Reader::new(reader.rest().get(taken..).unwrap_or_default());
        let sum = trailer.array("crc").map(u32::from_le_bytes).map_err(corrupt)?;
        let len = trailer.array("length").map(u32::from_le_bytes).map_err(corrupt)?;
        let mut crc = Crc::new();
        crc.update(out.get(start..).unwrap_or_default());
        if (sum, len) != (crc.sum(), crc.amount()) {
            return Err(DecompressError::Corrupt("the checksum does not match".to_owned()));
        }
        expect_end(trailer.rest(), 0)
    }
}

/// One call of the library.
pub(crate) fn inflate(
    decoder: &mut Decompress,
    input: &[u8],
    room: &mut [u8],
) -> Result<Step, DecompressError> {
    let before = (decoder.total_in(), decoder.total_out());
    let status = decoder
        .decompress(input, room, FlushDecompress::None)
        .map_err(|error| DecompressError::Corrupt(error.to_string()))?;
    let moved =
        |now: u64, before: u64| usize::try_from(now.saturating_sub(before)).unwrap_or(usize::MAX);
    Ok(Step {
        read: moved(decoder.total_in(), before.0),
        written: moved(decoder.total_out(), before.1),
        done: status == Status::StreamEnd,
    })
}

fn corrupt(error: DecodeError) -> DecompressError {
    DecompressError::Corrupt(format!("gzip {error}"))
}

/// Reads over the header and the optional fields that other writers put there.
fn skip_header(reader: &mut Reader<'_>) -> Result<(), DecompressError> {
    let len = header_len(reader.rest())?
        .ok_or_else(|| DecompressError::Corrupt("the gzip header is cut short".to_owned()))?;
    *reader = Reader::new(reader.rest().get(len..).unwrap_or_default());
    Ok(())
}

/// How long the header at the start of `bytes` is; `None` while some of it is missing.
pub(crate) fn header_len(bytes: &[u8]) -> Result<Option<usize>, DecompressError> {
    let magic_len = bytes.len().min(MAGIC.len());
    let Some(&[.., flags, _, _, _, _, _, _]) = bytes.first_chunk::<10>() else {
        return match bytes.get(..magic_len) == MAGIC.get(..magic_len) {
            true => Ok(None),
            false => Err(not_gzip()),
        };
    };
    if !bytes.starts_with(&MAGIC) || flags & FLAGS_RESERVED != 0 {
        return Err(not_gzip());
    }
    let mut reader = Reader::new(bytes.get(10..).unwrap_or_default());
    match skip_optional(&mut reader, flags) {
        Ok(()) => Ok(Some(bytes.len().saturating_sub(reader.len()))),
        // Nothing else can be wrong with these fields.
        Err(_) => Ok(None),
    }
}

fn not_gzip() -> DecompressError {
    DecompressError::Corrupt("not a gzip header".to_owned())
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

    #[test]
    fn the_librarys_own_reader_understands_what_is_written() {
        let (input, mut bytes) = (b"rakt ".repeat(100), Vec::new());
        assert!(Gzip::default().compress(&input, &mut bytes, input.len()).unwrap());
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
        Gzip::default().decompress(&bytes, input.len(), &mut out).unwrap();
        assert_eq!(out, input);
    }

    #[test]
    fn a_flipped_checksum_is_noticed() {
        let (input, mut bytes) = (b"rakt ".repeat(100), Vec::new());
        assert!(Gzip::default().compress(&input, &mut bytes, input.len()).unwrap());
        let crc = bytes.len() - TRAILER_LEN;
        bytes[crc] ^= 1;
        let error = Gzip::default().decompress(&bytes, 500, &mut Vec::new()).unwrap_err();
        assert_eq!(error, DecompressError::Corrupt("the checksum does not match".into()));
    }
}
