//! What formats have in common: one call of a decoder, and as many as a payload takes.

use super::error::{CompressError, DecompressError};

/// Room is made for at most this many bytes of output before the decoder has to fill it.
pub(super) const DECOMPRESS_STEP: usize = 64 * 1024;

/// Compresses payloads in one format.
pub(super) trait Pack: Send {
    /// Appends the compressed `input`, as long as it takes less than `bound` bytes; false if it does not.
    /// What is appended then, and after an error, is of no use.
    fn compress(
        &mut self,
        input: &[u8],
        out: &mut Vec<u8>,
        bound: usize,
    ) -> Result<bool, CompressError>;
}

/// Writes the stream of one format. No memory is taken before the first byte.
#[cfg(feature = "goakt")]
pub(crate) trait Encode: Send {
    /// Appends `input` to the stream, and flushes it.
    fn encode(&mut self, input: &[u8], out: &mut Vec<u8>) -> Result<(), CompressError>;

    /// Ends the stream, if anything was written at all.
    fn finish(&mut self, out: &mut Vec<u8>) -> Result<(), CompressError>;
}

/// Reads one format. No memory is taken before the first byte.
pub(crate) trait Decode: Send {
    /// One call of the library.
    fn step(&mut self, input: &[u8], room: &mut [u8]) -> Result<Step, DecompressError>;

    /// Goes back to the start of a unit, whatever came before.
    fn reset(&mut self);

    /// Bytes that are held for what may have to be repeated.
    #[cfg_attr(not(feature = "goakt"), expect(dead_code, reason = "asked of streams only"))]
    fn memory(&self) -> usize;
}

/// What one call of a decoder did.
#[derive(Default)]
pub(crate) struct Step {
    pub(crate) read: usize,
    pub(crate) written: usize,
    /// The unit has ended.
    pub(crate) done: bool,
}

/// Runs a decoder over one unit, which is all of `input` and has to make exactly `raw_len` bytes.
///
/// Once everything declared has appeared the room is one spare byte, which a decoder that has more to say
/// gives itself away with.
pub(super) fn drive(
    decoder: &mut dyn Decode,
    mut input: &[u8],
    raw_len: usize,
    out: &mut Vec<u8>,
) -> Result<(), DecompressError> {
    let mut made = 0_usize;
    loop {
        let missing = raw_len.saturating_sub(made);
        let step = if missing == 0 {
            decoder.step(input, &mut [0])?
        } else {
            let filled = out.len();
            out.resize(filled.saturating_add(missing.min(DECOMPRESS_STEP)), 0);
            let step = decoder.step(input, out.get_mut(filled..).unwrap_or_default())?;
            out.truncate(filled.saturating_add(step.written));
            step
        };
        if step.written > missing {
            return Err(DecompressError::TooLong { raw_len });
        }
        input = input.get(step.read..).unwrap_or_default();
        made = made.saturating_add(step.written);
        if step.done || step.read == 0 && step.written == 0 {
            return match input.len() {
                _ if made != raw_len || !step.done => {
                    Err(DecompressError::TooShort { len: made, raw_len })
                }
                0 => Ok(()),
                len => Err(DecompressError::Trailing { len }),
            };
        }
    }
}
