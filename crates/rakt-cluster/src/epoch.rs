//! Epochs: the order of the lives of one grain, without consensus for each of them.
//!
//! A later owner of a slot knows a higher version of the view, and one owner counts up; so of two lives of a grain the later
//! has the higher epoch, and no two have the same.

use std::fmt;

use crate::bytes::{DecodeError, put_varint, varint};

/// When a view was the newest: views are ordered by this, first by generation.
///
/// The version also rises where the generation is raised, so that the view behind `(g, v)` always has the version `v + 1`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Stamp {
    /// Rises where an operator or a store says that higher numbers than the cluster's were in use.
    pub generation: u64,
    /// Rises by one with every change of the view.
    pub version: u64,
}

impl Stamp {
    /// The lowest epoch of an owner that knows this view. None is ever granted under it: owners count from 1.
    #[must_use]
    pub fn floor(self) -> Epoch {
        Epoch { stamp: self, counter: 0 }
    }

    /// Writes it: both numbers.
    pub fn encode(&self, out: &mut Vec<u8>) {
        put_varint(out, self.generation);
        put_varint(out, self.version);
    }

    /// Reads one off the front.
    ///
    /// # Errors
    /// Says what is wrong with the bytes.
    pub fn decode(from: &mut &[u8]) -> Result<Self, DecodeError> {
        let generation = varint(from, "a generation")?;
        Ok(Self { generation, version: varint(from, "a version")? })
    }
}

/// What one life of a grain was granted under: the view that its slot's owner knew, and the number of the grant.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Epoch {
    /// The view.
    pub stamp: Stamp,
    /// The number of the grant under that view, from 1.
    pub counter: u64,
}

impl Epoch {
    /// The next epoch of the same owner under the same view, or nothing if the counter is used up.
    #[must_use]
    pub fn next(self) -> Option<Self> {
        Some(Self { counter: self.counter.checked_add(1)?, ..self })
    }

    /// The lowest epoch above this one.
    #[must_use]
    pub fn above(self) -> Self {
        self.next().unwrap_or(Self {
            stamp: Stamp { version: self.stamp.version.saturating_add(1), ..self.stamp },
            counter: 0,
        })
    }
}

impl Epoch {
    /// Writes it: the view and the counter.
    pub fn encode(&self, out: &mut Vec<u8>) {
        self.stamp.encode(out);
        put_varint(out, self.counter);
    }

    /// Reads one off the front.
    ///
    /// # Errors
    /// Says what is wrong with the bytes.
    pub fn decode(from: &mut &[u8]) -> Result<Self, DecodeError> {
        let stamp = Stamp::decode(from)?;
        Ok(Self { stamp, counter: varint(from, "the counter of an epoch")? })
    }
}

impl fmt::Display for Stamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.generation, self.version)
    }
}

impl fmt::Display for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.stamp, self.counter)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn epoch(generation: u64, version: u64, counter: u64) -> Epoch {
        Epoch { stamp: Stamp { generation, version }, counter }
    }

    #[test]
    fn generation_comes_before_version_and_version_before_counter() {
        let rising =
            [epoch(1, 1, 9), epoch(1, 2, 1), epoch(1, 2, 2), epoch(1, 9, 0), epoch(2, 1, 0)];
        assert!(rising.is_sorted_by(|a, b| a < b));
        assert_eq!(epoch(3, 4, 5).to_string(), "3.4.5");
    }

    #[test]
    fn an_owner_that_has_used_up_its_counter_grants_nothing_more() {
        assert_eq!(epoch(1, 2, u64::MAX).next(), None);
        assert_eq!(epoch(1, 2, u64::MAX).above(), epoch(1, 3, 0));
    }

    proptest! {
        #[test]
        fn nothing_lies_between_an_epoch_and_what_is_above_it(
            a in (0..3_u64, 0..3_u64, 0..3_u64), b in (0..3_u64, 0..3_u64, 0..3_u64),
        ) {
            let (a, b) = (epoch(a.0, a.1, a.2), epoch(b.0, b.1, b.2));
            prop_assert_eq!(b > a, b >= a.above());
            prop_assert!(a.stamp.floor() <= a);
        }
    }
}
