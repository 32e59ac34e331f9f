//! The document, its version, and what becomes of a swap: the same on every voter, by the log alone.

use std::collections::VecDeque;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::blob::Blob;
use crate::delta::{Delta, Foreign, sum};

/// Of how many of the newest versions it is known by which swap they came about. A swap that is asked about again by then is
/// told what became of it; older ones get to know that it is not known.
pub(crate) const REMEMBERED: usize = 1_024;

/// Tells a swap from all others, however often it is sent: 128 random bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct SwapId(pub(crate) [u8; 16]);

/// A swap as it is in the log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Swap {
    pub(crate) id: SwapId,
    pub(crate) over: u64,
    delta: Delta,
    /// Of the new document.
    sum: u64,
}

/// An entry of the log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Change {
    Swap(Swap),
    /// What a log begins with that was recovered from a copy of another one.
    Restore {
        version: u64,
        view: Blob,
    },
}

/// What became of a swap.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Swapped {
    /// It made this version, now or when it was first sent.
    Done(u64),
    /// Another one was there before: it never was, and never will be.
    Conflict,
    /// It is too long ago.
    Forgotten,
}

/// The newest version of the document, and how the last ones came about.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Document {
    version: u64,
    bytes: Blob,
    /// Of the versions up to this one, in their order.
    made_by: VecDeque<SwapId>,
}

impl Document {
    /// One that begins with a version other than 0.
    pub(crate) fn restored(version: u64, bytes: Blob) -> Self {
        Self { version, bytes, made_by: VecDeque::new() }
    }

    pub(crate) fn version(&self) -> u64 {
        self.version
    }

    pub(crate) fn bytes(&self) -> &Bytes {
        &self.bytes.0
    }

    /// The swap of this version for new bytes. What is proposed is always one of these: so no swap over a version that
    /// never was is ever in the log, where it could come true later.
    pub(crate) fn swap_for(&self, id: SwapId, new: &[u8]) -> Swap {
        let delta = Delta::between(&self.bytes, new);
        Swap { id, over: self.version, delta, sum: sum(new) }
    }

    /// What is known of a swap without carrying it out. Of a version that is newer than this one nothing is.
    pub(crate) fn judge(&self, id: SwapId, over: u64) -> Option<Swapped> {
        // How many versions ago the one came about that would be its.
        let ago = self.version.checked_sub(over)?.checked_sub(1)?;
        let ago = usize::try_from(ago).unwrap_or(usize::MAX);
        Some(match self.made_by.iter().nth_back(ago) {
            Some(made_by) if *made_by == id => Swapped::Done(over + 1),
            Some(_) => Swapped::Conflict,
            None => Swapped::Forgotten,
        })
    }

    /// Carries out an entry of the log.
    ///
    /// # Errors
    /// It is a swap over this version, and was made for another document.
    pub(crate) fn apply(&mut self, change: Change) -> Result<Swapped, Foreign> {
        match change {
            Change::Swap(swap) => self.swap(&swap),
            Change::Restore { version, view } => {
                *self = Self::restored(version, view);
                Ok(Swapped::Done(version))
            }
        }
    }

    fn swap(&mut self, swap: &Swap) -> Result<Swapped, Foreign> {
        if swap.over != self.version {
            return Ok(self.judge(swap.id, swap.over).unwrap_or(Swapped::Conflict));
        }
        let new = swap.delta.apply(&self.bytes)?;
        if sum(&new) != swap.sum {
            return Err(Foreign);
        }
        self.bytes = new.into();
        self.version += 1;
        self.made_by.push_back(swap.id);
        if self.made_by.len() > REMEMBERED {
            self.made_by.pop_front();
        }
        Ok(Swapped::Done(self.version))
    }
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    fn id(n: u8) -> SwapId {
        SwapId([n; 16])
    }

    #[test]
    fn a_swap_that_is_sent_again_is_told_what_became_of_it() {
        let mut document = Document::default();
        let won = document.swap_for(id(1), b"one");
        let lost = document.swap_for(id(2), b"two");
        assert_eq!(document.swap(&won), Ok(Swapped::Done(1)));
        assert_eq!(document.swap(&won), Ok(Swapped::Done(1)));
        assert_eq!(document.swap(&lost), Ok(Swapped::Conflict));
        let next = document.swap_for(id(3), b"three");
        assert_eq!(document.swap(&next), Ok(Swapped::Done(2)));
        assert_eq!(document.swap(&won), Ok(Swapped::Done(1)));
        assert_eq!(document.judge(id(2), 0), Some(Swapped::Conflict));
        assert_eq!(document.judge(id(4), 2), None);
        assert_eq!(document.judge(id(4), 3), None);
        assert_eq!((document.version(), &document.bytes()[..]), (2, &b"three"[..]));
    }

    #[test]
    fn what_is_long_ago_is_not_known() {
        let mut document = Document::default();
        let first = document.swap_for(id(1), b"one");
        assert_eq!(document.swap(&first), Ok(Swapped::Done(1)));
        for n in 1..=REMEMBERED as u64 {
            let expected =
                if n < REMEMBERED as u64 { Swapped::Done(1) } else { Swapped::Forgotten };
            let next = document.swap_for(id(2), &n.to_le_bytes());
            assert_eq!(document.swap(&next), Ok(Swapped::Done(n + 1)));
            assert_eq!(document.judge(id(1), 0), Some(expected), "after {n}");
        }
        assert_eq!(document.judge(id(2), u64::MAX), None);
        assert_eq!(
            Document::restored(9, Blob::default()).judge(id(1), 3),
            Some(Swapped::Forgotten)
        );
    }

    #[test]
    fn a_swap_for_another_document_is_found_out() {
        let foreign = Document::restored(0, vec![1; 64].into()).swap_for(id(1), &[1; 65]);
        let mut document = Document::restored(0, vec![2; 64].into());
        assert_eq!(document.swap(&foreign), Err(Foreign));
        assert_eq!(document, Document::restored(0, vec![2; 64].into()));
    }

    proptest! {
        /// Swaps that several make of what they saw last, some sent twice and all in any order.
        #[test]
        fn each_version_is_made_by_one_swap(orders in vec((0..4_usize, any::<bool>(), vec(any::<u8>(), 0..40)), 1..60)) {
            let mut document = Document::default();
            let mut seen: Vec<Document> = vec![Document::default(); 4];
            let mut sent: Vec<(Swap, Option<Swapped>)> = Vec::new();
            for (n, (who, again, bytes)) in orders.into_iter().enumerate() {
                let at = if again && !sent.is_empty() { n % sent.len() } else {
                    sent.push((seen[who].swap_for(id(n as u8), &bytes), None));
                    sent.len() - 1
                };
                let outcome = document.swap(&sent[at].0).expect("it is one of its own");
                if let Some(before) = sent[at].1 {
                    prop_assert_eq!(outcome, before);
                }
                sent[at].1 = Some(outcome);
                seen[who] = document.clone();
            }
            let mut made: Vec<u64> = sent.iter().filter_map(|(swap, outcome)| match outcome {
                Some(Swapped::Done(version)) => Some((*version, swap.over)),
                _ => None,
            }).map(|(version, over)| { assert_eq!(version, over + 1); version }).collect();
            made.sort_unstable();
            prop_assert_eq!(made, (1..=document.version()).collect::<Vec<_>>());
        }
    }
}
