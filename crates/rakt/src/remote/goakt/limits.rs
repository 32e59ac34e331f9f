//! Bounds that connections to Go nodes and from them have in common.

use std::time::Duration;

use crate::remote::account::{Account, Unread};
use crate::remote::budget::Part;

/// A time limit longer than this is as good as none, and can be added to any point in time. A year.
pub(super) const LONGEST: Duration = Duration::from_secs(365 * 24 * 60 * 60);

/// What a peer has a connection hold, as it counts against the node's budget.
#[derive(Default)]
pub(super) struct Held {
    unread: Unread,
    compression: u64,
}

impl Held {
    /// So much of a frame is here, and so much does its compression take up, both in bytes.
    ///
    /// # Errors
    /// Why the connection is to end.
    pub(super) fn hold(
        &mut self,
        account: &Account,
        buffered: usize,
        compression: usize,
    ) -> Result<(), String> {
        let no_room = |len: usize, of_what, limit| {
            Err(format!(
                "no room for {len} bytes of {of_what}: all peers together may have {limit} bytes"
            ))
        };
        if let Err(limit) = account.hold_unread(&mut self.unread, buffered) {
            return no_room(buffered, "a frame", limit);
        }
        let compression = compression as u64;
        if compression == self.compression {
            return Ok(());
        }
        let before = std::mem::replace(&mut self.compression, compression);
        match account.replace(Part::Compression, before, compression) {
            true => Ok(()),
            false => {
                let limit = account.limit(Part::Compression);
                no_room(compression as usize, "compression", limit)
            }
        }
    }
}
