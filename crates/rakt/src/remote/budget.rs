//! Bytes that a node holds for its peers: a bound for all of them together, and a fair part for each.

use std::sync::atomic::{AtomicU64, Ordering};

/// Bytes that the names take up which peers have given numbers, all peers together. 1 GiB.
const NAMES_BUDGET: u64 = 1024 * 1024 * 1024;
/// Bytes of replies that wait for peers to take them, all peers together. 1 GiB.
const REPLIES_BUDGET: u64 = 1024 * 1024 * 1024;

/// What a node holds for its peers, by what it is.
pub(crate) struct Budgets {
    /// Messages from peers.
    pub(crate) inbound: Budget,
    /// Names that peers have defined.
    pub(crate) names: Budget,
    /// Replies that peers have not taken yet.
    pub(crate) replies: Budget,
}

impl Budgets {
    /// `inbound` bytes of messages.
    pub(crate) fn new(inbound: u64) -> Self {
        let [inbound, names, replies] = [inbound, NAMES_BUDGET, REPLIES_BUDGET].map(Budget::new);
        Self { inbound, names, replies }
    }
}

/// A count of bytes that is compared with a limit.
///
/// A connection may use up to twice what it leaves free. So one alone gets two thirds, and there is
/// room for the next one while it does.
pub(crate) struct Budget {
    used: AtomicU64,
    limit: u64,
}

/// What one connection uses of a budget.
#[derive(Default)]
pub(crate) struct Share {
    used: AtomicU64,
}

impl Share {
    #[cfg(any(test, feature = "goakt"))]
    pub(crate) fn used(&self) -> u64 {
        self.used.load(Ordering::Relaxed)
    }
}

impl Budget {
    pub(crate) fn new(limit: u64) -> Self {
        Self { used: AtomicU64::new(0), limit }
    }

    pub(crate) fn limit(&self) -> u64 {
        self.limit
    }

    /// Adds bytes that are here already; false if that is more than there is room for. Either way
    /// they count until they are [given back](Self::give_back).
    pub(crate) fn add(&self, share: &Share, bytes: u64) -> bool {
        self.add_below(self.limit, share, bytes)
    }

    /// Adds bytes if they fit and leave a quarter of the budget free: for what may stay for as long as
    /// the peer likes, which must not shut the others out.
    pub(crate) fn try_add(&self, share: &Share, bytes: u64) -> bool {
        let fits = self.add_below(self.limit - self.limit / 4, share, bytes);
        if !fits {
            self.give_back(share, bytes);
        }
        fits
    }

    fn add_below(&self, limit: u64, share: &Share, bytes: u64) -> bool {
        let own = share.used.fetch_add(bytes, Ordering::Relaxed).saturating_add(bytes);
        let all = self.used.fetch_add(bytes, Ordering::Relaxed).saturating_add(bytes);
        all <= limit && own <= (limit - all).saturating_mul(2)
    }

    pub(crate) fn give_back(&self, share: &Share, bytes: u64) {
        share.used.fetch_sub(bytes, Ordering::Relaxed);
        self.used.fetch_sub(bytes, Ordering::Relaxed);
    }

    /// Gives back all that a connection uses.
    pub(crate) fn give_back_all(&self, share: &Share) {
        self.used.fetch_sub(share.used.swap(0, Ordering::Relaxed), Ordering::Relaxed);
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
        let (budget, share) = (Budget::new(100), Share::default());
        assert!(budget.try_add(&share, 50));
        assert!(!budget.try_add(&share, 1));
        assert_eq!(budget.used(), 50);
        budget.give_back(&share, 4);
        assert!(budget.try_add(&share, 4));
    }

    #[test]
    fn what_is_here_already_counts_in_any_case() {
        let (budget, share) = (Budget::new(90), Share::default());
        assert!(budget.add(&share, 60));
        assert!(!budget.add(&share, 1));
        assert_eq!(budget.used(), 61);
        budget.give_back_all(&share);
        assert_eq!(budget.used(), 0);
    }

    #[test]
    fn a_greedy_connection_leaves_room_for_another() {
        let (budget, greedy, modest) = (Budget::new(1000), Share::default(), Share::default());
        while budget.try_add(&greedy, 1) {}
        assert!(budget.try_add(&modest, 100));
        while budget.try_add(&modest, 1) {}
        assert!(budget.add(&modest, 10), "a quarter is left for what does not stay");
    }
}
