//! Bytes that a node holds for its peers: one number for all of them together, parts of it for what the
//! bytes are for, and a fair part for each connection and each address.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::admission::Source;
use super::weak_map::WeakMap;
use crate::sync::Mutex;

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

/// An address that uses no more than one of so many parts of a limit is modest: a newcomer, for instance.
const MODEST: u64 = 256;
/// One of so many parts of a limit is there for modest addresses besides, and once more however much others use.
const RESERVE: u64 = 8;

/// Counts of bytes that are compared with one limit, and each with a part of it.
///
/// A connection and all those of its address may together use up to four times what they leave free. So one
/// alone gets two thirds, and there is room for the next one while it does; an address gets four fifths, from
/// however many connections. A connection whose address does not count is as good as an address.
///
/// What others have that is counted and refused, as it is here already, may leave nothing free for a moment.
/// A modest address has a reserve for that; and where even that is full of what others have, another one, which
/// only the first bytes of each address count against.
pub(crate) struct Budget {
    limits: [u64; Part::ALL.len()],
    used: Counts,
    /// What all addresses together use, of each what it may use and is modest.
    modest: Counts,
    /// How much all parts together may use but for that of frames, which is set apart: however much there
    /// is of others, a connection can go on to the end of its frame.
    others_limit: u64,
    others: AtomicU64,
    sources: Mutex<WeakMap<Source, Counts>>,
}

/// Bytes, part by part.
type Counts = [AtomicU64; Part::ALL.len()];

/// What one connection uses of a budget.
#[derive(Default)]
pub(crate) struct Share {
    used: Counts,
    /// What all connections of its address use; `None` where that does not count.
    source: Option<Arc<Counts>>,
}

impl Share {
    pub(crate) fn used(&self, part: Part) -> u64 {
        self.used[part as usize].load(Ordering::Relaxed)
    }
}

impl Budget {
    pub(crate) fn new(limit: u64) -> Self {
        let limits = Part::ALL.map(|part| part.of(limit));
        let others_limit = limit - limits[Part::Frames as usize];
        Self {
            limits,
            used: Default::default(),
            modest: Default::default(),
            others_limit,
            others: AtomicU64::new(0),
            sources: Mutex::default(),
        }
    }

    /// What a new connection uses: nothing. Whatever is no address does not count as one.
    pub(crate) fn share(&self, source: Source) -> Share {
        if !source.is_known() {
            return Share::default();
        }
        let mut sources = self.sources.lock();
        let counts = sources.get(&source).unwrap_or_else(|| {
            let counts = Arc::default();
            sources.insert(source, &counts);
            counts
        });
        Share { used: Counts::default(), source: Some(counts) }
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
        let all_own = share.source.as_ref().map_or(own, |source| add(&source[part as usize]));
        let first = self.first(part, all_own) - self.first(part, all_own - bytes);
        if first > 0 {
            self.modest[part as usize].fetch_add(first, Ordering::Relaxed);
        }
        let fits = |limit: u64, used: u64| {
            let bound = bound(limit);
            let free = bound.saturating_sub(used);
            let has_part = used <= bound && own.saturating_add(all_own) <= free.saturating_mul(4);
            has_part || (all_own <= limit / MODEST && used <= bound + limit / RESERVE)
        };
        let mut has_room = fits(self.limits[part as usize], add(&self.used[part as usize]));
        if part != Part::Frames {
            has_room &= fits(self.others_limit, add(&self.others));
        }
        has_room || self.is_reserved(part, all_own)
    }

    /// How many of the bytes of an address count against the last reserve.
    fn first(&self, part: Part, bytes: u64) -> u64 {
        bytes.min(self.limits[part as usize] / MODEST)
    }

    /// Whether there is room in the last reserve for an address that uses so much.
    fn is_reserved(&self, part: Part, all_own: u64) -> bool {
        let modest = |part: Part| self.modest[part as usize].load(Ordering::Relaxed);
        let limit = self.limits[part as usize];
        let others = Part::ALL.into_iter().filter(|part| *part != Part::Frames).map(modest);
        all_own <= limit / MODEST
            && modest(part) <= limit / RESERVE
            && (part == Part::Frames || others.sum::<u64>() <= self.others_limit / RESERVE)
    }

    pub(crate) fn give_back(&self, share: &Share, part: Part, bytes: u64) {
        let own = share.used[part as usize].fetch_sub(bytes, Ordering::Relaxed);
        self.sub(share, part, (own, bytes));
    }

    /// Of a connection that used `own` bytes.
    fn sub(&self, share: &Share, part: Part, (own, bytes): (u64, u64)) {
        let sub = |count: &AtomicU64| count.fetch_sub(bytes, Ordering::Relaxed);
        let all_own = share.source.as_ref().map_or(own, |source| sub(&source[part as usize]));
        let first = self.first(part, all_own) - self.first(part, all_own - bytes);
        if first > 0 {
            self.modest[part as usize].fetch_sub(first, Ordering::Relaxed);
        }
        sub(&self.used[part as usize]);
        if part != Part::Frames {
            sub(&self.others);
        }
    }

    /// Gives back all that a connection uses for `part`.
    pub(crate) fn give_back_all(&self, share: &Share, part: Part) {
        let own = share.used[part as usize].swap(0, Ordering::Relaxed);
        self.sub(share, part, (own, own));
    }

    /// The connection is gone.
    pub(crate) fn close(&self, share: &Share) {
        Part::ALL.into_iter().for_each(|part| self.give_back_all(share, part));
    }

    /// Others that use a part until even a modest connection has only so many bytes `left`.
    #[cfg(test)]
    pub(crate) fn crowd(&self, part: Part, left: u64) -> Vec<Share> {
        let (limit, mut reserved) = (self.limit(part), self.limit(part) / RESERVE - left);
        let mut crowd = Vec::new();
        while reserved > 0 {
            let share = Share::default();
            let first = reserved.min(limit / MODEST);
            self.add(&share, part, first);
            crowd.push(share);
            reserved -= first;
        }
        self.add(&crowd[0], part, limit);
        crowd
    }

    /// They are gone.
    #[cfg(test)]
    pub(crate) fn disperse(&self, crowd: &[Share]) {
        crowd.iter().for_each(|share| self.close(share));
    }

    /// How much all use for `part`.
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
            budget.add(share, Messages, 50_000);
        }
        let newcomer = Share::default();
        assert!(budget.add(&newcomer, Messages, 1), "whatever is refused");
        let crowd = budget.crowd(Messages, 0);
        let late = Share::default();
        assert!(!budget.add(&late, Messages, 1), "the reserve has an end");
        budget.disperse(&crowd);
        assert!(budget.add(&late, Messages, 1));
    }

    fn source(n: u8) -> Source {
        Source::of(&format!("10.0.0.{n}:4000"))
    }

    #[test]
    fn an_address_has_one_part_however_many_connections_it_has() {
        let budget = Budget::new(200_000);
        let limit = budget.limit(Messages);
        let greedy: Vec<_> = (0..100).map(|_| budget.share(source(1))).collect();
        for share in greedy.iter().cycle().take(100_000) {
            if !budget.add(share, Messages, 100) {
                budget.give_back(share, Messages, 100);
            }
        }
        let used = budget.used(Messages);
        assert!((limit / 4 * 3..=limit / 5 * 4).contains(&used), "{used} of {limit}");
        let (own, other) = (budget.share(source(1)), budget.share(source(2)));
        assert!(!budget.add(&own, Messages, 500), "the connections of an address share its part");
        assert!(budget.add(&other, Messages, limit / 10), "another one has its own");
        greedy.iter().chain([&own, &other]).for_each(|share| budget.close(share));
        assert_eq!(budget.used(Messages), 0);
        assert_eq!(budget.modest[Messages as usize].load(Ordering::Relaxed), 0);
    }

    #[test]
    fn a_connection_leaves_room_for_another_of_its_address() {
        let budget = Budget::new(2000);
        let (greedy, modest) = (budget.share(source(1)), budget.share(source(1)));
        while budget.add(&greedy, Messages, 1) {}
        assert_eq!(greedy.used(Messages), 667, "two thirds, as without an address");
        assert!(budget.add(&modest, Messages, 100));
    }

    #[test]
    fn connections_of_an_address_have_one_reserve() {
        let budget = Budget::new(200_000);
        let refused = Share::default();
        budget.add(&refused, Messages, 500_000);
        let few = budget.limit(Messages) / MODEST;
        let [first, second, other] = [1, 1, 2].map(|n| budget.share(source(n)));
        assert!(budget.add(&first, Messages, few));
        assert!(!budget.add(&second, Messages, 1), "its address is modest no more");
        assert!(budget.add(&other, Messages, few));
        [first, second, other, refused].iter().for_each(|share| budget.close(share));
        assert_eq!(budget.modest[Messages as usize].load(Ordering::Relaxed), 0);
    }

    #[test]
    fn what_is_no_address_has_a_part_for_each_connection() {
        let budget = Budget::new(2000);
        let (one, other) = (budget.share(Source::of("memory")), budget.share(Source::of("memory")));
        while budget.add(&one, Messages, 1) {}
        assert!(budget.add(&other, Messages, 200));
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
