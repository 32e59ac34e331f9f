//! Payloads that write themselves, and what a message costs whoever holds it.

use super::cause::Cause;

/// What a message costs in credit besides its payload, in bytes: about what it costs in memory.
pub const MESSAGE_OVERHEAD: u64 = 256;

/// What a message costs in credit, for a raw payload of that many bytes.
pub fn cost(raw_len: usize) -> u64 {
    (raw_len as u64).saturating_add(MESSAGE_OVERHEAD)
}

/// A payload that knows how to write itself.
pub trait Encode {
    /// How many bytes [`Encode::encode`] will append; `None` when that is not cheap to know. A hint
    /// for whoever decides where to encode it.
    fn encoded_len(&self) -> Option<usize>;

    /// Appends the encoded payload to `out`, and leaves what is there alone.
    ///
    /// # Errors
    /// [`EncodeError`]; whatever was appended is taken back.
    fn encode(&self, out: &mut Vec<u8>) -> Result<(), EncodeError>;
}

impl Encode for [u8] {
    fn encoded_len(&self) -> Option<usize> {
        Some(self.len())
    }

    fn encode(&self, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        out.extend_from_slice(self);
        Ok(())
    }
}

impl Encode for &[u8] {
    fn encoded_len(&self) -> Option<usize> {
        Some(self.len())
    }

    fn encode(&self, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        out.extend_from_slice(self);
        Ok(())
    }
}

/// Why a payload could not be encoded: what its codec said.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(transparent)]
pub struct EncodeError(#[from] Cause);

impl EncodeError {
    /// What the codec said.
    pub fn into_cause(self) -> Cause {
        self.0
    }
}
