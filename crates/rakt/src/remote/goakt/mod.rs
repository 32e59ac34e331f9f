//! Nodes of GoAkt v3.14: served on the same listener as native ones, and dialed by `goakt://` addresses.
//!
//! - [`options`](GoAkt): what a user sets
//! - `calling`: connections to Go nodes
//! - `serving`: connections from Go nodes
//! - `limits`: bounds that both have

mod calling;
mod limits;
mod options;
mod serving;

pub use options::GoAkt;

pub(crate) use calling::{Endpoint, Receiver};
pub(crate) use serving::{Serving, open};
