//! What can be true of what others say, by the view that is known.

use super::word::Entry;
use crate::epoch::{Epoch, Stamp};

impl Entry {
    /// Whether an owner can have known that, where this is the newest view.
    pub(super) fn could_be(&self, newest: Stamp) -> bool {
        self.host.joined <= newest.version && could_be(self.epoch, newest)
    }
}

/// Whether anybody can have granted that by now, where this is the newest view. No owner comes to use up its counter: so no floor
/// is above the view.
pub(super) fn could_be(epoch: Epoch, newest: Stamp) -> bool {
    epoch.stamp <= newest && epoch.counter < u64::MAX
}
