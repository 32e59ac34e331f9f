//! What a message or reply carries, and why it may not be accepted for sending.

use std::fmt;

use bytes::Bytes;

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

/// Why a payload could not be encoded.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct EncodeError(pub String);

/// The payload of a message or reply.
#[derive(Clone)]
pub enum Payload<'a> {
    /// Still to be encoded, straight into the outbound buffer: for what is small.
    Encode(&'a dyn Encode),
    /// Encoded already.
    Ready {
        /// The bytes to send.
        bytes: Bytes,
        /// Set when they are compressed: the length they have when they are not.
        raw_len: Option<u32>,
    },
}

impl fmt::Debug for Payload<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Encode(payload) => {
                f.debug_struct("Encode").field("encoded_len", &payload.encoded_len()).finish()
            }
            Self::Ready { bytes, raw_len } => f
                .debug_struct("Ready")
                .field("len", &bytes.len())
                .field("raw_len", raw_len)
                .finish(),
        }
    }
}

impl Payload<'_> {
    pub(super) fn raw_len(&self) -> Option<u32> {
        match self {
            Self::Encode(_) => None,
            Self::Ready { raw_len, .. } => *raw_len,
        }
    }
}

/// Why something was not accepted for sending. Nothing of it was sent, so trying again is safe.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SendError {
    /// Larger than the connection allows.
    #[error("the message is {size} bytes long, the limit is {limit}")]
    TooLarge {
        /// Its length in bytes.
        size: u64,
        /// The limit in bytes.
        limit: u64,
    },
    /// The payload could not be encoded.
    #[error("the payload could not be encoded")]
    Encode(#[from] EncodeError),
    /// An alias that is not defined: the caller kept one of an earlier epoch.
    #[error("an alias is not defined in this epoch")]
    Undefined,
    /// A large message to the same receiver is not out yet, and this one must not overtake it.
    #[error("the receiver is busy with a large message")]
    Busy,
}
