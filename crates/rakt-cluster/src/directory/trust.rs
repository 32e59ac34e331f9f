//! What can be true of what others say, by the view that is known.

use super::word::Entry;
use crate::epoch::{Epoch, Stamp};

impl Entry {
    /// Whether an owner can have known that, where this is the newest view.
    pub(super) fn could_be(&self, newest: Stamp) -> bool {
        self.host.joined <= newest.version && could_be(self.epoch, newest)
    }
}

/// Whether anybody can have granted that by now, where this is the newest view: versions rise also where the generation does. No
/// owner comes to use up its counter: so no floor is above the view.
pub(super) fn could_be(epoch: Epoch, newest: Stamp) -> bool {
    let Stamp { generation, version } = epoch.stamp;
    generation <= newest.generation && version <= newest.version && epoch.counter < u64::MAX
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_no_view_can_have_given_out_is_not_believed() {
        let newest = Stamp { generation: 5, version: 9 };
        let could = |generation, version, counter| {
            could_be(Epoch { stamp: Stamp { generation, version }, counter }, newest)
        };
        assert!(could(5, 9, 1) && could(4, 9, u64::MAX - 1) && could(1, 1, 0));
        assert!(!could(5, 10, 1) && !could(4, 10, 1) && !could(6, 1, 1) && !could(5, 9, u64::MAX));
    }
}
