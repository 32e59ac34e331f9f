//! An operation that another node is asked for, in either dialect, and how it fails.

use std::fmt::Display;
use std::time::Duration;

use rakt_wire::Operation;

use crate::error::{OperationError, Refusal};

/// A request to another node.
#[derive(Clone, Copy)]
pub(crate) struct NodeRequest<'a> {
    pub(crate) operation: &'a Operation,
    /// What it concerns, as errors call it.
    pub(crate) target: &'a (dyn Display + Sync),
    /// How long it may take.
    pub(crate) limit: Duration,
}

impl NodeRequest<'_> {
    /// What errors call the operation.
    pub(crate) fn name(&self) -> &'static str {
        match self.operation {
            Operation::Lookup { .. } => "lookup",
            Operation::Spawn { .. } => "spawn",
            Operation::Stop { .. } => "stop",
            Operation::Respawn { .. } => "respawn",
            Operation::Reinstate { .. } => "reinstate",
            Operation::Watch { .. } => "watch",
            Operation::Unwatch { .. } => "unwatch",
            Operation::Ping => "ping",
            Operation::Kinds => "kinds",
            _ => "operation",
        }
    }

    pub(crate) fn not_sent(&self, refusal: Refusal) -> OperationError {
        OperationError::NotSent { operation: self.name(), target: self.target.to_string(), refusal }
    }

    pub(crate) fn refused(&self, refusal: Refusal) -> OperationError {
        OperationError::Refused { operation: self.name(), target: self.target.to_string(), refusal }
    }

    pub(crate) fn lost(&self, detail: String) -> OperationError {
        let (operation, target) = (self.name(), self.target.to_string());
        OperationError::ConnectionLost { operation, target, detail }
    }

    pub(crate) fn timed_out(&self) -> OperationError {
        let (operation, target) = (self.name(), self.target.to_string());
        OperationError::Timeout { operation, target, limit: self.limit }
    }
}

/// The end of a `stop`: an actor that is gone, alone or with its node, has stopped.
pub(crate) fn stopped<T>(result: Result<T, OperationError>) -> Result<(), OperationError> {
    match result {
        Err(
            OperationError::Refused {
                refusal: Refusal::NotFound | Refusal::Stopped | Refusal::StaleIncarnation,
                ..
            }
            | OperationError::NotSent { refusal: Refusal::StaleIncarnation, .. },
        ) => Ok(()),
        result => result.map(drop),
    }
}
