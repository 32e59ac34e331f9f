//! What the directories of two nodes say to each other, and what one asks of its node.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use crate::epoch::{Epoch, Stamp};
use crate::node::Seat;
use crate::slots::{Slot, SlotRule};

/// A grain: a kind and a key. Cheap to copy.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Grain {
    /// What it is.
    pub kind: Arc<str>,
    /// Which one of them.
    pub key: Arc<str>,
}

/// What the owner of a slot knows of a grain.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Entry {
    /// Who hosts it, or was told to.
    pub host: Seat,
    /// What that was granted under.
    pub epoch: Epoch,
    /// The number of its life at its host. Nothing while it is a claim: the host has not said that it lives.
    pub uid: Option<u64>,
}

/// What a host says of a grain that it has: activating, active or ending.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Living {
    /// The grain.
    pub grain: Grain,
    /// What it was granted under.
    pub epoch: Epoch,
    /// The number of its life. Nothing while it is activating.
    pub uid: Option<u64>,
}

/// What an owner knows of all grains of a slot.
pub type Entries = BTreeMap<Grain, Entry>;

/// What one directory says to another. Each may be lost, come late or come twice.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Word {
    /// Owner to host: activate it, if this is you. Answered by `Lives` or `Ended`.
    Activate {
        /// The grain.
        grain: Grain,
        /// What it is granted under.
        epoch: Epoch,
        /// Who is meant.
        host: Seat,
    },
    /// Owner to host: does it live under this epoch? Answered by `Lives` or `Ended`.
    Question {
        /// The grain.
        grain: Grain,
        /// The epoch.
        epoch: Epoch,
        /// The view of who asks.
        at: Stamp,
    },
    /// Host to owner: it lives.
    Lives(Living),
    /// Host to owner: under this epoch it does not live, and never will.
    Ended {
        /// The grain.
        grain: Grain,
        /// The epoch.
        epoch: Epoch,
    },
    /// New owner to the one before: hand over what you hold.
    Pull {
        /// The view that makes it the owner.
        at: Stamp,
        /// What it wants, ascending.
        slots: Vec<Slot>,
    },
    /// The answer: all of a slot, or that it is not to be had.
    Given {
        /// The view of the pull.
        at: Stamp,
        /// Each slot of it that is the puller's, ascending.
        slots: Vec<(Slot, Option<Entries>)>,
    },
    /// New owner to all: what do you have?
    Ask {
        /// The view that makes it the owner.
        at: Stamp,
        /// In which slots, ascending.
        slots: Vec<Slot>,
    },
    /// The answer.
    Report {
        /// The view of the question.
        at: Stamp,
        /// Each slot of it that is the asker's, ascending, with all that lives here in it, by ascending grain.
        slots: Vec<(Slot, Vec<Living>)>,
    },
    /// To one that speaks by an older view: catch up.
    Newer {
        /// The view that is known here.
        at: Stamp,
    },
}

/// What a directory asks of its node.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Command {
    /// Say this to that node.
    Send {
        /// To whom.
        to: Seat,
        /// What.
        word: Word,
    },
    /// Activate this grain; then tell `started` or `ended`.
    Start {
        /// The grain.
        grain: Grain,
        /// What its store is to be claimed with.
        epoch: Epoch,
    },
    /// This node is no member any more: end all lives, without a word to anyone.
    EndAll,
    /// Another owner grants what lives here already: one of the two rests on a mistake. Nothing was done.
    Duplicate {
        /// The grain.
        grain: Grain,
        /// What was granted.
        granted: Epoch,
        /// What lives here.
        living: Epoch,
    },
}

/// A word was said by a view that is not known here yet: go on to that one first, then hand the word in again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("view {0} is not known here yet")]
pub struct Behind(pub Stamp);

impl Grain {
    /// A grain of this kind and key.
    #[must_use]
    pub fn new(kind: &str, key: &str) -> Self {
        Self { kind: kind.into(), key: key.into() }
    }

    /// Its slot.
    #[must_use]
    pub fn slot(&self, rule: SlotRule) -> Slot {
        rule.slot(&self.kind, &self.key)
    }
}

impl fmt::Debug for Grain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.kind, self.key)
    }
}
