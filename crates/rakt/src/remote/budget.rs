//! Bytes that a node holds for its peers: one number for all of them together, parts of it for what the
//! bytes are for, and a fair part for each connection.

use std::sync::atomic::{AtomicU64, Ordering};

/// What a node holds bytes for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    /// Messages and replies that have arrived and are not handled yet, whole or not.
    Messages,
    /// Replies that the peer has not taken yet, and requests that have none yet.
    Replies,
    /// Names that peers have given numbers.
    Names,
    /// Watches, and what else is remembered of a peer's requests.
    Tables,
    /// Windows of decoders.
    Decoders,
    /// Operations that are being carried out.
    Operations,
}

impl Part {
    const ALL: [Self; 6] = [
        Self::Messages,
        Self::Replies,
        Self::Names,
        Self::Tables,
        Self::Decoders,
        Self::Operations,
    ];

    /// How much of the whole it may use, as one of so many parts. Together that is more than the whole:
    /// what a node holds most of depends on what it is for.
    fn divisor(self) -> u64 {
        match self {
            Self::Messages | Self::Replies | Self::Decoders => 2,
            Self::Names => 4,
            Self::Tables | Self::Operations => 8,
        }
    }
}

/// Counts of bytes that are compared with one limit, and each with a part of it.
///
/// A connection may use up to twice what it leaves free. So one alone gets two thirds, and there is
/// room for the next one while it does.
pub(crate) struct Budget {
    limit: u64,
    all: AtomicU64,
    used: [AtomicU64; Part::ALL.len()],
}

/// What one connection uses of a budget.
#[derive(Default)]
pub(crate) struct Share {
    used: [AtomicU64; Part::ALL.len()],
}

impl Share {
    #[cfg(any(test, feature = "goakt"))]
    pub(crate) fn used(&self, part: Part) -> u64 {
        self.used[part as usize].load(Ordering::Relaxed)
    }
}

impl Budget {
    pub(crate) fn new(limit: u64) -> Self {
        Self { limit, all: AtomicU64::new(0), used: Default::default() }
    }

    /// How much all may use for `part`.
    pub(crate) fn limit(&self, part: Part) -> u64 {
        self.limit / part.divisor()
    }

    /// Adds bytes that are here already; false if that is more than there is room for. Either way
    /// they count until they are [given back](Self::give_back).
    pub(crate) fn add(&self, share: &Share, part: Part, bytes: u64) -> bool {
        self.add_below(0, share, part, bytes)
    }

    /// Adds bytes if they fit and leave a quarter of the budget free: for what may stay for as long as
    /// the peer likes, which must not shut the others out.
    pub(crate) fn try_add(&self, share: &Share, part: Part, bytes: u64) -> bool {
        let fits = self.add_below(4, share, part, bytes);
        if !fits {
            self.give_back(share, part, bytes);
        }
        fits
    }

    /// Adds bytes; false if they do not fit, or leave less free than one of `spared` parts, where that is
    /// not 0.
    fn add_below(&self, spared: u64, share: &Share, part: Part, bytes: u64) -> bool {
        let add =
            |count: &AtomicU64| count.fetch_add(bytes, Ordering::Relaxed).saturating_add(bytes);
        let own = add(&share.used[part as usize]);
        let fits = |limit: u64, used: u64| {
            let below = limit - limit.checked_div(spared).unwrap_or(0);
            below.checked_sub(used).is_some_and(|free| own <= free.saturating_mul(2))
        };
        let of_part = fits(self.limit(part), add(&self.used[part as usize]));
        fits(self.limit, add(&self.all)) && of_part
    }

    pub(crate) fn give_back(&self, share: &Share, part: Part, bytes: u64) {
        for count in [&share.used[part as usize], &self.used[part as usize], &self.all] {
            count.fetch_sub(bytes, Ordering::Relaxed);
        }
    }

    /// Gives back all that a connection uses for `part`.
    pub(crate) fn give_back_all(&self, share: &Share, part: Part) {
        let bytes = share.used[part as usize].swap(0, Ordering::Relaxed);
        for count in [&self.used[part as usize], &self.all] {
            count.fetch_sub(bytes, Ordering::Relaxed);
        }
    }

    /// The connection is gone.
    pub(crate) fn close(&self, share: &Share) {
        Part::ALL.into_iter().for_each(|part| self.give_back_all(share, part));
    }

    #[cfg(test)]
    pub(crate) fn used(&self, part: Part) -> u64 {
        self.used[part as usize].load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::Part::{Decoders, Messages, Replies, Tables};
    use super::*;

    #[test]
    fn what_does_not_fit_is_not_counted() {
        let (budget, share) = (Budget::new(200), Share::default());
        assert!(budget.try_add(&share, Messages, 50));
        assert!(!budget.try_add(&share, Messages, 1));
        assert_eq!((budget.used(Messages), share.used(Messages)), (50, 50));
        budget.give_back(&share, Messages, 4);
        assert!(budget.try_add(&share, Messages, 4));
    }

    #[test]
    fn what_is_here_already_counts_in_any_case() {
        let (budget, share) = (Budget::new(180), Share::default());
        assert!(budget.add(&share, Messages, 60));
        assert!(!budget.add(&share, Messages, 1));
        assert_eq!(budget.used(Messages), 61);
        budget.give_back_all(&share, Messages);
        assert_eq!(budget.used(Messages), 0);
    }

    #[test]
    fn a_greedy_connection_leaves_room_for_another() {
        let (budget, greedy, modest) = (Budget::new(2000), Share::default(), Share::default());
        while budget.try_add(&greedy, Messages, 1) {}
        assert!(budget.try_add(&modest, Messages, 100));
        while budget.try_add(&modest, Messages, 1) {}
        assert!(budget.add(&modest, Messages, 10), "a quarter is left for what does not stay");
    }

    #[test]
    fn all_parts_together_stay_below_one_limit_and_each_below_its_part() {
        let (budget, mut shares) = (Budget::new(8000), Vec::new());
        let mut fill = |part| {
            let before = budget.all.load(Ordering::Relaxed);
            for _ in 0..1000 {
                let share = Share::default();
                while budget.add(&share, part, 1) {}
                budget.give_back(&share, part, 1);
                shares.push(share);
            }
            budget.all.load(Ordering::Relaxed) - before
        };
        assert!((900..=1000).contains(&fill(Tables)), "an eighth");
        assert!((3900..=4000).contains(&fill(Messages)), "half");
        let left = fill(Replies) + fill(Decoders);
        assert!((2900..=3100).contains(&left), "what is left of the whole: {left}");
        shares.iter().for_each(|share| budget.close(share));
        assert_eq!(budget.all.load(Ordering::Relaxed), 0);
        assert!(Part::ALL.into_iter().all(|part| budget.used(part) == 0));
    }
}
