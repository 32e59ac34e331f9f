//! What can go wrong, one type for each operation.
//!
//! [`Refusal`] says why a message or request was turned down, whoever turned it down. The error of an
//! operation adds what the caller needs to go on: the message where it was never sent, and whether
//! trying again is safe.
//!
//! The text of an error says what happened and to whom. What caused it is its `source`, which has a source
//! in turn, across nodes as well; [`Chain`] shows all of them in one line.
//!
//! - `refusal`: why something was turned down, and how that crosses the wire
//! - `outcome`: the error of each operation

mod outcome;
mod refusal;

pub use outcome::{AskError, OperationError, Recipient, SpawnError, TellError};
pub use rakt_wire::{Bound, Cause, Chain, OtherBound};
pub use refusal::Refusal;

/// Any error, as handlers and hooks return it.
pub type BoxError = Box<dyn std::error::Error + Send + Sync + 'static>;

/// What handlers and hooks return: an `Err` meets the actor's [supervision](crate::supervision).
pub type Result<T = (), E = BoxError> = std::result::Result<T, E>;
