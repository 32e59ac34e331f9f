//! One call of a decoder, and as many as a payload takes.

use super::error::DecompressError;

/// Room is made for at most this many bytes of output before the decoder has to fill it.
pub(super) const DECOMPRESS_STEP: usize = 64 * 1024;

/// What one call of a decoder did.
#[derive(Default)]
pub(crate) struct Step {
    pub(crate) read: usize,
    pub(crate) written: usize,
    /// The unit has ended.
    pub(crate) done: bool,
}

/// Runs a decoder until it is done and has made exactly `raw_len` bytes; returns how much input it took.
///
/// `run` reads from the input it is given and writes to the room it is given. Once everything declared
/// has appeared the room is one spare byte, which a decoder that has more to say gives itself away with.
pub(super) fn drive(
    input: &[u8],
    raw_len: usize,
    out: &mut Vec<u8>,
    mut run: impl FnMut(&[u8], &mut [u8]) -> Result<Step, DecompressError>,
) -> Result<usize, DecompressError> {
    let (mut taken, mut made) = (0_usize, 0_usize);
    loop {
        let rest = input.get(taken..).unwrap_or_default();
        let missing = raw_len.saturating_sub(made);
        let mut spare = [0];
        let step = if missing == 0 {
            let step = run(rest, &mut spare)?;
            if step.written > 0 {
                return Err(DecompressError::TooLong { raw_len });
            }
            step
        } else {
            let filled = out.len();
            out.resize(filled.saturating_add(missing.min(DECOMPRESS_STEP)), 0);
            let step = run(rest, out.get_mut(filled..).unwrap_or_default())?;
            out.truncate(filled.saturating_add(step.written));
            step
        };
        taken = taken.saturating_add(step.read);
        made = made.saturating_add(step.written);
        if step.done {
            return if made == raw_len {
                Ok(taken)
            } else {
                Err(DecompressError::TooShort { len: made, raw_len })
            };
        }
        if step.read == 0 && step.written == 0 {
            return Err(DecompressError::TooShort { len: made, raw_len });
        }
    }
}

/// Fails when the unit ended before its input did.
pub(super) fn expect_end(input: &[u8], taken: usize) -> Result<(), DecompressError> {
    match input.len().saturating_sub(taken) {
        0 => Ok(()),
        len => Err(DecompressError::Trailing { len }),
    }
}
