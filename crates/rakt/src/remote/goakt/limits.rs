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

    /// The connection has ended. Its account lives on with its messages that wait in mailboxes.
    pub(super) fn release(&mut self, account: &Account) {
        account.release_unread(&mut self.unread);
        account.release(Part::Compression, std::mem::take(&mut self.compression));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::remote::resources::tests::resources;

    #[test]
    fn what_a_connection_held_is_given_back_at_its_end_although_its_account_lives_on() {
        let resources = resources();
        let (account, mut held) = (Account::new(resources.clone()), Held::default());
        held.hold(&account, 1024 * 1024, 1000).expect("there is room");
        let used = || {
            let parts = [Part::Frames, Part::Messages, Part::Compression];
            parts.map(|part| resources.budget.used(part))
        };
        assert!(used().iter().all(|used| *used > 0));
        held.release(&account);
        assert_eq!(used(), [0; 3]);
    }
}
