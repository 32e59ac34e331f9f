//! Nodes of GoAkt v3.14: served on the same listener as native ones, and dialed by `goakt://` addresses.
//!
//! - [`options`](GoAkt): what a user sets

mod options;

pub use options::GoAkt;
