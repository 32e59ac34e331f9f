//! The bytes of messages from peers that a node holds, all peers together.

use std::sync::atomic::{AtomicU64, Ordering};

/// A count of bytes that is compared with a limit.
pub(crate) struct Budget {
    used: AtomicU64,
    limit: u64,
}

impl Budget {
    pub(crate) fn new(limit: u64) -> Self {
        Self { used: AtomicU64::new(0), limit }
    }

    pub(crate) fn limit(&self) -> u64 {
        self.limit
    }

    /// Adds bytes that are here already; false if that is more than the limit. Either way they count
    /// until they are [given back](Self::give_back).
    pub(crate) fn add(&self, bytes: u64) -> bool {
        self.used.fetch_add(bytes, Ordering::Relaxed).saturating_add(bytes) <= self.limit
    }

    /// Adds bytes if they fit.
    pub(crate) fn try_add(&self, bytes: u64) -> bool {
        let fits = self.add(bytes);
        if !fits {
            self.give_back(bytes);
        }
        fits
    }

    pub(crate) fn give_back(&self, bytes: u64) {
        self.used.fetch_sub(bytes, Ordering::Relaxed);
    }

    #[cfg(test)]
    pub(crate) fn used(&self) -> u64 {
        self.used.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_does_not_fit_is_not_counted() {
        let budget = Budget::new(10);
        assert!(budget.try_add(10));
        assert!(!budget.try_add(1));
        budget.give_back(4);
        assert!(budget.try_add(4));
        assert_eq!(budget.used(), 10);
    }
}
