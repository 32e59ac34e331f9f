//! Bytes that a node holds for its peers: one number for all of them together, parts of it for what the
//! bytes are for, and a fair part for each connection.

use std::sync::atomic::{AtomicU64, Ordering};

/// What a node holds bytes for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    /// Messages and replies that have arrived and are not handled yet, whole or not.
    Messages,
    /// The beginnings of frames and of large bodies, with their buffers.
    Frames,
    /// Replies that the peer has not taken yet, and requests that have none yet.
    Replies,
    /// Names that peers have given numbers.
    Names,
    /// Watches, and what else is remembered of a peer's requests.
    Tables,
    /// What compressed connections take up besides their bytes.
    Compression,
    /// Operations that are being carried out.
    Operations,
}

impl Part {
    const ALL: [Self; 7] = [
        Self::Messages,
        Self::Frames,
        Self::Replies,
        Self::Names,
        Self::Tables,
        Self::Compression,
        Self::Operations,
    ];

    /// How much of `whole` it may use. Together that is more than the whole: what a node holds most of
    /// depends on what it is for.
    fn of(self, whole: u64) -> u64 {
        match self {
            // Most of what there is besides the frames, but not all: else messages had no room.
            Self::Compression => whole / 8 * 5,
            Self::Messages | Self::Replies => whole / 2,
            Self::Names | Self::Frames => whole / 4,
            Self::Tables | Self::Operations => whole / 8,
        }
    }
}

/// A connection that uses no more than one of so many parts of a limit is modest: a newcomer, for instance.
const MODEST: u64 = 256;
/// One of so many parts of a limit is there for modest connections besides, however much others use.
const RESERVE: u64 = 8;

/// Counts of bytes that are compared with one limit, and each with a part of it.
///
/// A connection may use up to twice what it leaves free. So one alone gets two thirds, and there is
/// room for the next one while it does. What others have that is counted and refused, as it is here
/// already, may leave nothing free for a moment; a modest connection has a reserve for that.
pub(crate) struct Budget {
    limits: [u64; Part::ALL.len()],
    used: [AtomicU64; Part::ALL.len()],
    /// How much all parts together may use but for that of frames, which is set apart: however much there
    /// is of others, a connection can go on to the end of its frame.
    others_limit: u64,
    others: AtomicU64,
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
        let limits = Part::ALL.map(|part| part.of(limit));
        let others_limit = limit - limits[Part::Frames as usize];
        Self { limits, used: Default::default(), others_limit, others: AtomicU64::new(0) }
    }

    /// How much all may use for `part`.
    pub(crate) fn limit(&self, part: Part) -> u64 {
        self.limits[part as usize]
    }

    /// Adds bytes that are here already; false if that is more than there is room for. Either way
    /// they count until they are [given back](Self::give_back).
    pub(crate) fn add(&self, share: &Share, part: Part, bytes: u64) -> bool {
        self.add_below(share, part, bytes, |limit| limit)
    }

    /// Adds bytes if they fit and leave a quarter of the budget free: for what may stay for as long as
    /// the peer likes, which must not shut the others out.
    pub(crate) fn try_add(&self, share: &Share, part: Part, bytes: u64) -> bool {
        let fits = self.add_below(share, part, bytes, |limit| limit - limit / 4);
        if !fits {
            self.give_back(share, part, bytes);
        }
        fits
    }

    /// Adds bytes; false if they do not fit below what `bound` makes of the limits.
    #[inline]
    fn add_below(&self, share: &Share, part: Part, bytes: u64, bound: fn(u64) -> u64) -> bool {
        let add =
            |count: &AtomicU64| count.fetch_add(bytes, Ordering::Relaxed).saturating_add(bytes);
        let own = add(&share.used[part as usize]);
        let fits = |limit: u64, used: u64| {
            let bound = bound(limit);
            let has_part = used <= bound && own <= (bound - used).saturating_mul(2);
            has_part || (own <= limit / MODEST && used <= bound + limit / RESERVE)
        };
        let is_below = fits(self.limits[part as usize], add(&self.used[part as usize]));
        match part {
            Part::Frames => is_below,
            _ => fits(self.others_limit, add(&self.others)) && is_below,
        }
    }

    pub(crate) fn give_back(&self, share: &Share, part: Part, bytes: u64) {
        share.used[part as usize].fetch_sub(bytes, Ordering::Relaxed);
        self.sub(part, bytes);
    }

    fn sub(&self, part: Part, bytes: u64) {
        self.used[part as usize].fetch_sub(bytes, Ordering::Relaxed);
        if part != Part::Frames {
            self.others.fetch_sub(bytes, Ordering::Relaxed);
        }
    }

    /// Gives back all that a connection uses for `part`.
    pub(crate) fn give_back_all(&self, share: &Share, part: Part) {
        self.sub(part, share.used[part as usize].swap(0, Ordering::Relaxed));
    }

    /// The connection is gone.
    pub(crate) fn close(&self, share: &Share) {
        Part::ALL.into_iter().for_each(|part| self.give_back_all(share, part));
    }

    /// Has `others` use a part until even a modest connection has only so many bytes `left`.
    #[cfg(test)]
    pub(crate) fn leave(&self, others: &Share, part: Part, left: u64) {
        self.add(others, part, self.limit(part) + self.limit(part) / RESERVE - left);
    }

    #[cfg(test)]
    pub(crate) fn used(&self, part: Part) -> u64 {
        self.used[part as usize].load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::Part::{Compression, Frames, Messages, Replies, Tables};
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
    fn a_newcomer_has_room_whatever_others_have_that_is_refused() {
        let (budget, newcomer) = (Budget::new(100_000), Share::default());
        let others: Vec<_> = (0..12).map(|_| Share::default()).collect();
        for share in &others {
            while budget.add(share, Messages, 400) {}
        }
        assert!(budget.used(Messages) > budget.limit(Messages));
        assert!(budget.add(&newcomer, Messages, 50_000 / MODEST));
        assert!(!budget.add(&newcomer, Messages, 1), "it is modest no more");
        for share in &others {
            budget.add(share, Messages, 400);
        }
        let late = Share::default();
        assert!(!budget.add(&late, Messages, 1), "the reserve has an end");
    }

    #[test]
    fn all_parts_together_stay_below_one_limit_and_each_below_its_part() {
        let (budget, mut shares) = (Budget::new(8000), Vec::new());
        let mut fill = |part| {
            let before = budget.others.load(Ordering::Relaxed);
            for _ in 0..1000 {
                let share = Share::default();
                while budget.add(&share, part, 1) {}
                budget.give_back(&share, part, 1);
                shares.push(share);
            }
            budget.others.load(Ordering::Relaxed) - before
        };
        assert!((1000..=1125).contains(&fill(Tables)), "an eighth, and the reserve");
        assert!((4000..=4500).contains(&fill(Messages)), "half");
        let left = fill(Replies) + fill(Compression);
        assert!((900..=1750).contains(&left), "what is left of the whole: {left}");
        let frames = Share::default();
        assert!(budget.add(&frames, Frames, 600), "they have a part of their own");
        budget.close(&frames);
        shares.iter().for_each(|share| budget.close(share));
        assert_eq!(budget.others.load(Ordering::Relaxed), 0);
        assert!(Part::ALL.into_iter().all(|part| budget.used(part) == 0));
    }
}
