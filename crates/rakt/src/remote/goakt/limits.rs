//! Bounds that connections to Go nodes and from them have in common.

use std::time::Duration;

use rakt_wire::Compression;

/// A time limit longer than this is as good as none, and can be added to any point in time. A year.
pub(super) const LONGEST: Duration = Duration::from_secs(365 * 24 * 60 * 60);

/// What counts against the node's budget of what a peer has a connection hold: all that is `buffered` but
/// for the `room` of one read, and what a decoder keeps beyond a little more than the streams of Go nodes
/// make necessary. All in bytes.
pub(super) fn counted_len(
    buffered: usize,
    room: usize,
    window: usize,
    compression: Compression,
) -> u64 {
    let free_window = match compression {
        Compression::Brotli => 4 * 1024 * 1024,
        _ => 1024 * 1024,
    };
    (buffered.saturating_sub(room) + window.saturating_sub(free_window)) as u64
}

/// Why a connection ends whose peer would have it hold too much.
pub(super) fn no_room(len: u64, of_what: &str, limit: u64) -> String {
    format!(
        "no room for {len} bytes of {of_what} and its compression: all peers together may have {limit} \
         bytes under way"
    )
}
