//! What a codec says that cannot write or read a value.

use crate::error::{BoxError, Cause};

/// Why a value could not be written or read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(transparent)]
pub struct CodecError(Cause);

impl CodecError {
    /// What the format's own error says, or a text.
    pub fn new(error: impl Into<BoxError>) -> Self {
        Self(Cause::new(error))
    }
}

impl From<CodecError> for Cause {
    fn from(error: CodecError) -> Self {
        error.0
    }
}
