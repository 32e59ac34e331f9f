//! What has been given back to the peer of the credit that its messages took.

use std::collections::{BTreeSet, VecDeque};

use crate::native::tables::Alias;

/// Cancelled requests that are remembered at most; the oldest are forgotten first.
const MAX_CANCELLED: usize = 65_536;

/// So many that have their answers may stay in the order.
const FEW: usize = 16;

/// Bytes of credit by receiver, in one epoch of the peer's numbers.
#[derive(Debug, Default)]
pub(super) struct Credit {
    epoch: u32,
    receivers: Vec<Account>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Account {
    /// Free again, and not told yet.
    owed: u64,
    /// Told.
    granted: u64,
}

impl Credit {
    /// `cost` is free again. Returns what is to be granted now: credit goes back `at_least` so much at a
    /// time, so that the sender never runs dry, and a lone message does not cost a frame.
    #[inline]
    pub(super) fn consumed(&mut self, from: Alias, cost: u64, at_least: u64) -> Option<u64> {
        if self.epoch > from.epoch {
            return None;
        }
        if self.epoch < from.epoch {
            self.epoch = from.epoch;
            self.receivers = Vec::new();
        }
        let at = from.id as usize;
        if self.receivers.len() <= at {
            self.receivers.resize(at.saturating_add(1), Account::default());
        }
        let account = self.receivers.get_mut(at)?;
        account.owed = account.owed.saturating_add(cost);
        if account.owed < at_least {
            return None;
        }
        account.granted = account.granted.saturating_add(account.owed);
        Some(std::mem::take(&mut account.owed))
    }

    /// All that a receiver has had back, whether told or not.
    pub(super) fn returned(&self, from: Alias) -> u64 {
        let account = self.receivers.get(from.id as usize).filter(|_| self.epoch == from.epoch);
        account.map_or(0, |account| account.owed.saturating_add(account.granted))
    }
}

/// Requests that the peer has given up on and that have no answer yet.
#[derive(Debug, Default)]
pub(super) struct Cancelled {
    set: BTreeSet<u64>,
    order: VecDeque<u64>,
}

impl Cancelled {
    pub(super) fn len(&self) -> usize {
        self.set.len()
    }

    #[inline]
    pub(super) fn is_empty(&self) -> bool {
        self.set.is_empty()
    }

    pub(super) fn contains(&self, corr: u64) -> bool {
        !self.set.is_empty() && self.set.contains(&corr)
    }

    /// Remembers one, where `open` requests have no answer. There can be no more than that: which of them
    /// were answered before, or never were, is not known, so the oldest are forgotten.
    pub(super) fn insert(&mut self, corr: u64, open: usize) {
        if self.set.insert(corr) {
            self.order.push_back(corr);
        }
        while self.set.len() > open.min(MAX_CANCELLED)
            && let Some(oldest) = self.order.pop_front()
        {
            self.set.remove(&oldest);
        }
        // What has its answer has left the set alone.
        if self.order.len() > self.set.len().saturating_mul(2).saturating_add(FEW) {
            let Self { set, order } = self;
            order.retain(|corr| set.contains(corr));
            order.shrink_to(set.len().saturating_add(FEW));
        }
    }

    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }

    #[inline]
    pub(super) fn remove(&mut self, corr: u64) {
        if !self.set.is_empty() {
            self.set.remove(&corr);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_has_its_answer_is_forgotten() {
        let mut cancelled = Cancelled::default();
        for corr in 0..100_000 {
            cancelled.insert(corr, 1000);
            cancelled.remove(corr);
            assert!(cancelled.order.len() <= FEW + 2, "{}", cancelled.order.len());
        }
        assert_eq!(cancelled.len(), 0);
    }

    #[test]
    fn no_more_are_cancelled_than_have_no_answer() {
        let mut cancelled = Cancelled::default();
        for corr in 0..10 {
            cancelled.insert(corr, 3);
        }
        assert_eq!(cancelled.len(), 3);
        assert!(cancelled.contains(9) && cancelled.contains(7) && !cancelled.contains(6));
        cancelled.insert(10, 0);
        assert!(cancelled.is_empty(), "none is open");
        let many = 2 * MAX_CANCELLED as u64;
        (0..many).for_each(|corr| cancelled.insert(corr, usize::MAX));
        assert_eq!(cancelled.len(), MAX_CANCELLED);
    }
}
