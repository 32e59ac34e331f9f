//! What goes wrong with a Go node, in the terms of a caller here.

use rakt_wire::goakt::{EncodeError, GoError, Procedure};

use crate::error::{Cause, Refusal};

/// What a node answered.
pub(super) fn of_error(error: GoError, procedure: Procedure) -> Refusal {
    Refusal::from_wire(error.into_failure(procedure))
}

/// Why a request was not written.
pub(super) fn unencodable(error: EncodeError) -> Refusal {
    match error {
        EncodeError::TooLarge { size, limit } => {
            Refusal::TooLarge { size: size as u64, limit: limit as u64 }
        }
        error => Refusal::InvalidArgument { source: Cause::new(error) },
    }
}
