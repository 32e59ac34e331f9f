//! zstd (RFC 8878).

use std::io;

use zstd::stream::raw::{self, CParameter, Operation};
use zstd::zstd_safe::{InBuffer, OutBuffer};

use crate::base::cause::Cause;
use crate::compress::CompressError;
use crate::compress::step::Encode;

/// The fastest of the regular levels: frames wait while it runs.
const LEVEL: i32 = 1;
/// Window that is written, as a power of two: 512 KiB, as in Go.
const WINDOW_LOG: u32 = 19;
/// Room that is made at a time.
const ROOM: usize = 4 * 1024;

/// Up to this many bytes at a time are written as they are, in bytes: fewer than the heads of the packet
/// they travel in. Acknowledgements of tells are like that, and a peer waits for each.
const SMALL: usize = 64;
/// The head of a frame without a checksum and with that window (RFC 8878, 3.1.1).
const PLAIN_HEAD: [u8; 6] = [0x28, 0xb5, 0x2f, 0xfd, 0x00, 0x48];
/// The last block of a frame, which is empty.
const LAST_BLOCK: [u8; 3] = [0x01, 0, 0];

/// Nothing is compressed, and no memory taken for it, before there is something that is worth it. From
/// then on everything is: what is small repeats what came before.
#[derive(Default)]
pub(super) enum Encoder {
    #[default]
    Fresh,
    /// In a frame whose blocks are not compressed.
    Plain,
    Compressing(raw::Encoder<'static>),
}

impl Encode for Encoder {
    fn encode(&mut self, input: &[u8], out: &mut Vec<u8>) -> Result<(), CompressError> {
        if let Self::Compressing(encoder) = self {
            return compress(encoder, input, out);
        }
        if input.len() <= SMALL {
            if matches!(self, Self::Fresh) {
                out.extend_from_slice(&PLAIN_HEAD);
                *self = Self::Plain;
            }
            // A block that is neither the last one nor compressed.
            let [head @ .., _] = ((input.len() as u32) << 3).to_le_bytes();
            out.extend_from_slice(&head);
            out.extend_from_slice(input);
            return Ok(());
        }
        if matches!(self, Self::Plain) {
            out.extend_from_slice(&LAST_BLOCK);
        }
        let mut encoder = new_encoder().map_err(failed)?;
        let result = compress(&mut encoder, input, out);
        *self = Self::Compressing(encoder);
        result
    }

    fn finish(&mut self, out: &mut Vec<u8>) -> Result<(), CompressError> {
        match self {
            Self::Fresh => {}
            Self::Plain => out.extend_from_slice(&LAST_BLOCK),
            Self::Compressing(encoder) => {
                while into_vec(out, ROOM, |out| encoder.finish(out, true))? > 0 {}
            }
        }
        Ok(())
    }
}

fn compress(
    encoder: &mut raw::Encoder<'static>,
    input: &[u8],
    out: &mut Vec<u8>,
) -> Result<(), CompressError> {
    let mut input = InBuffer::around(input);
    while input.pos() < input.src.len() {
        into_vec(out, input.src.len(), |out| encoder.run(&mut input, out).map(|_| 0))?;
    }
    while into_vec(out, ROOM, |out| encoder.flush(out))? > 0 {}
    Ok(())
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
    CompressError(Cause::new(error))
}

#[cfg(test)]
mod tests {
    use bytes::BytesMut;

    use super::super::{StreamDecoder, StreamEncoder};
    use crate::compress::Compression;

    fn streams() -> (StreamEncoder, StreamDecoder) {
        let zstd = Compression::Zstd;
        (StreamEncoder::new(zstd).unwrap(), StreamDecoder::new(zstd).unwrap())
    }

    /// Writes `input`, checks that it can be read before anything follows, and returns what was written.
    fn pass(encoder: &mut StreamEncoder, decoder: &mut StreamDecoder, input: &[u8]) -> Vec<u8> {
        let mut written = Vec::new();
        encoder.encode(input, &mut written).unwrap();
        let (mut unread, mut read) = (BytesMut::from(&written[..]), BytesMut::new());
        while decoder.decode(&mut unread, &mut read, 1 << 20).unwrap() {}
        assert_eq!(read, input);
        written
    }

    #[test]
    fn small_writes_go_out_as_they_are_until_a_large_one() {
        let (mut encoder, mut decoder) = streams();
        let small = [7; 64];
        let first = pass(&mut encoder, &mut decoder, &small);
        assert_eq!(first[..9], [0x28, 0xb5, 0x2f, 0xfd, 0, 0x48, 0, 2, 0]);
        assert_eq!(first[9..], small);
        let second = pass(&mut encoder, &mut decoder, &small[..5]);
        assert_eq!(second, [5 << 3, 0, 0, 7, 7, 7, 7, 7]);
        assert!(decoder.memory() < 1 << 20);

        let large = pass(&mut encoder, &mut decoder, &[7; 65]);
        assert_eq!(large[..7], [1, 0, 0, 0x28, 0xb5, 0x2f, 0xfd]);
        assert!(large.len() < 40, "{large:?}");
        let again = pass(&mut encoder, &mut decoder, &small);
        assert!(again.len() < 20, "it repeats what came before: {again:?}");
    }

    #[test]
    fn a_stream_of_small_writes_has_an_end() {
        let (mut encoder, mut decoder) = streams();
        let mut written = pass(&mut encoder, &mut decoder, b"ack");
        encoder.finish(&mut written).unwrap();
        let mut read = Vec::new();
        let mut reader = zstd::Decoder::new(&written[..]).unwrap();
        std::io::Read::read_to_end(&mut reader, &mut read).unwrap();
        assert_eq!(read, b"ack");
        let mut nothing = Vec::new();
        streams().0.finish(&mut nothing).unwrap();
        assert!(nothing.is_empty());
    }
}
