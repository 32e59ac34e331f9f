//! Nodes of GoAkt v3.14: served on the same listener as native ones, and dialed by `goakt://` addresses.
//!
//! - [`options`](GoAkt): what a user sets
//! - `calling`: connections to Go nodes
//! - `serving`: connections from Go nodes

mod calling;
mod options;
mod serving;

use rakt_wire::compress::Compression;

pub use options::GoAkt;

pub(crate) use calling::{Endpoint, Place, Receiver};
pub(crate) use serving::{Serving, open};

/// What a decoder may hold without being counted, in bytes: a little more than the streams of Go nodes
/// make necessary.
fn free_window(compression: Compression) -> usize {
    match compression {
        Compression::Brotli => 4 * 1024 * 1024,
        _ => 1024 * 1024,
    }
}
