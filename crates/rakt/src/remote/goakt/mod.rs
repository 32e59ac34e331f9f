//! Nodes of GoAkt v3.14: served on the same listener as native ones, and dialed by `goakt://` addresses.
//!
//! - [`options`](GoAkt): what a user sets
//! - `serving`: connections from Go nodes

mod options;
mod serving;

pub use options::GoAkt;

pub(crate) use serving::{Serving, open};
