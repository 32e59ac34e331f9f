//! Why bytes could not be compressed or decompressed.

use crate::base::cause::Cause;

/// Why a payload could not be compressed: the library could not get the memory it needs.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("compressing failed")]
pub struct CompressError(#[source] pub Cause);

/// Why a payload could not be decompressed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DecompressError {
    /// There is more than was declared.
    #[error("the payload is longer than the {raw_len} bytes it declares")]
    TooLong {
        /// The declared length in bytes.
        raw_len: usize,
    },
    /// The input ends early.
    #[error("the payload is {len} bytes long and declares {raw_len}")]
    TooShort {
        /// What there was, in bytes.
        len: usize,
        /// The declared length in bytes.
        raw_len: usize,
    },
    /// Bytes follow the end of the compressed unit.
    #[error("{len} bytes follow the compressed payload")]
    Trailing {
        /// How many.
        len: usize,
    },
    /// The input does not follow its format.
    #[error("the compressed payload is corrupt")]
    Corrupt(#[source] Cause),
    /// A compressed payload on a link that agreed on none.
    #[error("the payload is compressed, which was not agreed on")]
    NotNegotiated,
}

/// What a library or the format itself has to say against the input.
#[cfg(any(feature = "gzip", feature = "zstd", feature = "brotli"))]
pub(super) fn corrupt(
    error: impl Into<Box<dyn std::error::Error + Send + Sync>>,
) -> DecompressError {
    DecompressError::Corrupt(Cause::new(error))
}
