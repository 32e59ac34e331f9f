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
//! - `declined`: errors that are the asker's business alone
//! - `outcome`: the error of each operation
//! - `returned`: what handlers and hooks return
//! - `policy`, `tls`: what is wrong with files

pub(crate) mod declined;
pub(crate) mod outcome;
#[cfg(feature = "remote")]
pub(crate) mod policy;
pub(crate) mod refusal;
pub(crate) mod returned;
#[cfg(feature = "_tls")]
pub(crate) mod tls;

pub(crate) use declined::Declined;
pub use outcome::Destination;
pub(crate) use outcome::{AskError, OperationError, SpawnError, TellError};
pub use rakt_wire::{AddressError, Bound, Cause, Chain, MetadataError, OtherBound};
pub(crate) use refusal::Refusal;
pub(crate) use returned::{BoxError, Result};
