//! An operation that another node is asked for, in either dialect, and how it fails.

use std::time::Duration;

use rakt_wire::{Address, Operation};

use crate::error::{Cause, Destination, OperationError, Refusal};
use crate::operation::operation_name;

/// What an operation concerns, as errors tell it.
pub(crate) trait Concern: Sync {
    fn destination(&self) -> Destination;
}

impl Concern for Address {
    fn destination(&self) -> Destination {
        self.clone().into()
    }
}

/// A request to another node.
#[derive(Clone, Copy)]
pub(crate) struct NodeRequest<'a> {
    pub(crate) operation: &'a Operation,
    pub(crate) target: &'a dyn Concern,
    /// How long it may take.
    pub(crate) limit: Duration,
}

impl NodeRequest<'_> {
    /// What errors call the operation.
    pub(crate) fn name(&self) -> &'static str {
        operation_name(self.operation)
    }

    pub(crate) fn not_sent(&self, refusal: Refusal) -> OperationError {
        OperationError::NotSent {
            operation: self.name(),
            target: self.target.destination(),
            refusal,
        }
    }

    pub(crate) fn refused(&self, refusal: Refusal) -> OperationError {
        OperationError::Refused {
            operation: self.name(),
            target: self.target.destination(),
            refusal,
        }
    }

    pub(crate) fn lost(&self, source: Cause) -> OperationError {
        let (operation, target) = (self.name(), self.target.destination());
        OperationError::ConnectionLost { operation, target, source }
    }

    pub(crate) fn timed_out(&self) -> OperationError {
        let (operation, target) = (self.name(), self.target.destination());
        OperationError::Timeout { operation, target, limit: self.limit }
    }
}
