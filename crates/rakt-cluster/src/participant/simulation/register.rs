//! A register: linearizable, and its answers may be late or lost, with or without effect.

use std::collections::BTreeMap;

use crate::register::{Attempt, Confirmed, Swapped, Version};

/// What it holds, and the operations under way.
#[derive(Debug, Default)]
pub(super) struct Register {
    pub(super) version: Version,
    pub(super) bytes: Vec<u8>,
    pub(super) open: BTreeMap<u64, Operation>,
    begun: u64,
    pub(super) swaps: u64,
    pub(super) conflicts: u64,
    pub(super) asked: u64,
    pub(super) reads: u64,
}

/// One that was begun by a node.
#[derive(Debug)]
pub(super) struct Operation {
    pub(super) node: usize,
    pub(super) asked: Asked,
    pub(super) answer: Option<Answered>,
}

#[derive(Clone, Debug)]
pub(super) enum Asked {
    Read,
    Confirm(Version),
    Swap(Attempt),
}

#[derive(Clone, Debug)]
pub(super) enum Answered {
    Read(Option<(Version, Vec<u8>)>),
    Confirm(Confirmed),
    Swap(Swapped),
}

impl Asked {
    /// What is told where no answer came.
    pub(super) fn unknown(&self) -> Answered {
        match self {
            Self::Read => Answered::Read(None),
            Self::Confirm(_) => Answered::Confirm(Confirmed::Unknown),
            Self::Swap(_) => Answered::Swap(Swapped::Unknown),
        }
    }
}

impl Register {
    pub(super) fn begin(&mut self, node: usize, asked: Asked) -> u64 {
        self.begun += 1;
        self.asked += 1;
        self.reads += u64::from(matches!(asked, Asked::Read));
        self.open.insert(self.begun, Operation { node, asked, answer: None });
        self.begun
    }

    /// The operation takes effect. True if what is held is new.
    pub(super) fn apply(&mut self, number: u64) -> bool {
        let Some(operation) = self.open.get_mut(&number) else { return false };
        let mut is_new = false;
        operation.answer = Some(match &operation.asked {
            Asked::Read => Answered::Read(Some((self.version, self.bytes.clone()))),
            Asked::Confirm(seen) if *seen == self.version => Answered::Confirm(Confirmed::Newest),
            Asked::Confirm(_) => Answered::Confirm(Confirmed::Older),
            Asked::Swap(attempt) if attempt.over == self.version => {
                self.version = Version(self.version.0 + 1);
                self.bytes.clone_from(&attempt.bytes);
                (is_new, self.swaps) = (true, self.swaps + 1);
                Answered::Swap(Swapped::Done(self.version))
            }
            Asked::Swap(_) => {
                self.conflicts += 1;
                Answered::Swap(Swapped::Conflict)
            }
        });
        is_new
    }
}
