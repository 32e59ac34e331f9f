//! What members say to each other, as a message of actors.

use bytes::Bytes;

use crate::message::{Codec, CodecError};

/// An [`Envelope`](rakt_cluster::participant::Envelope), as it is written.
pub(super) struct Said(pub(super) Bytes);

crate::messages! { Said as "rakt.cluster.Said" with Raw }

/// Bytes as they are.
pub(super) enum Raw {}

impl Codec<Said> for Raw {
    fn encoded_len(said: &Said) -> Option<usize> {
        Some(said.0.len())
    }

    fn encode(said: &Said, out: &mut Vec<u8>) -> Result<(), CodecError> {
        out.extend_from_slice(&said.0);
        Ok(())
    }

    fn decode(bytes: Bytes) -> Result<Said, CodecError> {
        Ok(Said(bytes))
    }
}

impl Codec<()> for Raw {
    fn encoded_len((): &()) -> Option<usize> {
        Some(0)
    }

    fn encode((): &(), _: &mut Vec<u8>) -> Result<(), CodecError> {
        Ok(())
    }

    fn decode(bytes: Bytes) -> Result<(), CodecError> {
        match bytes.is_empty() {
            true => Ok(()),
            false => Err(CodecError::new("it is not empty")),
        }
    }
}
