//! What a message or reply carries, and why it may not be accepted for sending.

use std::fmt;

use bytes::Bytes;

use crate::base::encode::{Encode, EncodeError};

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
    /// The tables of names are smaller than one message needs.
    #[error("the tables of the connection are too small")]
    Tables,
    /// A large message to the same receiver is not out yet, and this one must not overtake it.
    #[error("the receiver is busy with a large message")]
    Busy,
}
