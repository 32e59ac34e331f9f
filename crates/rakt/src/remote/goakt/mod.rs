//! Nodes of GoAkt v3.14: served on the same listener as native ones, and dialed by `goakt://` addresses.
//!
//! - [`options`](GoAkt): what a user sets
//! - `calling`: connections to Go nodes
//! - `serving`: connections from Go nodes

mod calling;
mod options;
mod serving;

use rakt_wire::Compression;

pub use options::GoAkt;

pub(crate) use calling::{Endpoint, Place, Receiver};
pub(crate) use serving::{Serving, open};

/// What counts against the node's budget of what a peer has a connection hold: all that is `buffered` but
/// for the `room` of one read, and what a decoder keeps beyond a little more than the streams of Go nodes
/// make necessary. All in bytes.
fn counted_len(buffered: usize, room: usize, window: usize, compression: Compression) -> u64 {
    let free_window = match compression {
        Compression::Brotli => 4 * 1024 * 1024,
        _ => 1024 * 1024,
    };
    (buffered.saturating_sub(room) + window.saturating_sub(free_window)) as u64
}

/// Why a connection ends whose peer would have it hold too much.
fn no_room(len: u64, of_what: &str, limit: u64) -> String {
    format!(
        "no room for {len} bytes of {of_what} and its compression: all peers together may have {limit} \
         bytes under way"
    )
}
