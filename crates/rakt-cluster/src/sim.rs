//! A simulated register for tests: linearizable, and as unreliable as a real one may be.
//!
//! An operation is begun, takes effect at a moment of the test's choice or never, and its answer arrives later or never. A swap
//! may take effect after its caller was told that the outcome is unknown.

use std::collections::BTreeMap;

use crate::register::{Attempt, Confirmed, Swapped, Version};

/// A register with a history, and the operations that are under way.
#[derive(Clone, Debug)]
pub struct Sim {
    newest: (Version, Vec<u8>),
    open: BTreeMap<Ticket, (Operation, Option<Answer>)>,
    begun: u64,
}

/// An operation that was begun.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ticket(u64);

/// What can be asked of a register.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Operation {
    /// The newest view.
    Read,
    /// Whether this is the newest.
    Confirm(Version),
    /// Replace the one with the other.
    Swap(Attempt),
}

/// What a register answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// To a read; nothing if its outcome is unknown.
    Read(Option<(Version, Vec<u8>)>),
    /// To a confirmation.
    Confirm(Confirmed),
    /// To a swap.
    Swap(Swapped),
}

impl Sim {
    /// A register that holds this.
    #[must_use]
    pub fn new(bytes: Vec<u8>) -> Self {
        Self { newest: (Version(1), bytes), open: BTreeMap::new(), begun: 0 }
    }

    /// What it holds now, by the test's own eyes.
    #[must_use]
    pub fn newest(&self) -> (Version, &[u8]) {
        (self.newest.0, &self.newest.1)
    }

    /// Begins an operation.
    pub fn begin(&mut self, operation: Operation) -> Ticket {
        self.begun = self.begun.saturating_add(1);
        let ticket = Ticket(self.begun);
        self.open.insert(ticket, (operation, None));
        ticket
    }

    /// Has an operation take effect now. One that has, or is over, is left alone.
    pub fn apply(&mut self, ticket: Ticket) {
        let Some((operation, answer @ None)) = self.open.get_mut(&ticket) else { return };
        *answer = Some(match operation {
            Operation::Read => Answer::Read(Some(self.newest.clone())),
            Operation::Confirm(seen) if *seen == self.newest.0 => {
                Answer::Confirm(Confirmed::Newest)
            }
            Operation::Confirm(_) => Answer::Confirm(Confirmed::Older),
            Operation::Swap(attempt) if attempt.over == self.newest.0 => {
                self.newest = (Version(self.newest.0.0.saturating_add(1)), attempt.bytes.clone());
                Answer::Swap(Swapped::Done(self.newest.0))
            }
            Operation::Swap(_) => Answer::Swap(Swapped::Conflict),
        });
    }

    /// The answer of an operation that has taken effect, once.
    pub fn answer(&mut self, ticket: Ticket) -> Option<Answer> {
        self.open.get(&ticket)?.1.as_ref()?;
        self.open.remove(&ticket)?.1
    }

    /// What the caller is told when it waits no longer. The operation may still take effect, or never.
    #[must_use]
    pub fn give_up(&self, ticket: Ticket) -> Option<Answer> {
        Some(match self.open.get(&ticket)?.0 {
            Operation::Read => Answer::Read(None),
            Operation::Confirm(_) => Answer::Confirm(Confirmed::Unknown),
            Operation::Swap(_) => Answer::Swap(Swapped::Unknown),
        })
    }

    /// What has not taken effect yet.
    pub fn waiting(&self) -> impl Iterator<Item = Ticket> {
        self.open.iter().filter(|(_, (_, answer))| answer.is_none()).map(|(ticket, _)| *ticket)
    }

    /// Loses all that is under way, before it takes effect or after: an outage, or a new leader.
    pub fn lose(&mut self) {
        self.open.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::register::Settled;

    fn swap(over: u64, bytes: u8) -> Operation {
        Operation::Swap(Attempt { over: Version(over), bytes: vec![bytes] })
    }

    #[test]
    fn a_swap_of_unknown_outcome_may_happen_later_and_happens_once() {
        let mut sim = Sim::new(vec![0]);
        let attempt = Attempt { over: Version(1), bytes: vec![1] };
        let first = sim.begin(Operation::Swap(attempt.clone()));
        assert_eq!(sim.give_up(first), Some(Answer::Swap(Swapped::Unknown)));
        let (version, bytes) = sim.newest();
        assert_eq!(attempt.settle(version, bytes), Settled::Open);
        let again = sim.begin(Operation::Swap(attempt.clone()));
        sim.apply(first);
        sim.apply(again);
        assert_eq!(sim.answer(again), Some(Answer::Swap(Swapped::Conflict)));
        let (version, bytes) = sim.newest();
        assert_eq!(attempt.settle(version, bytes), Settled::Won);
        let third = sim.begin(swap(2, 3));
        sim.apply(third);
        assert_eq!(sim.answer(third), Some(Answer::Swap(Swapped::Done(Version(3)))));
        assert_eq!(sim.answer(third), None);
        let (version, bytes) = sim.newest();
        assert_eq!(attempt.settle(version, bytes), Settled::Superseded);
    }

    #[test]
    fn a_confirmation_is_of_the_moment_in_which_it_takes_effect() {
        let mut sim = Sim::new(vec![0]);
        let (before, after) = (Operation::Confirm(Version(1)), Operation::Confirm(Version(1)));
        let (before, after) = (sim.begin(before), sim.begin(after));
        sim.apply(before);
        let change = sim.begin(swap(1, 1));
        sim.apply(change);
        sim.apply(after);
        assert_eq!(sim.answer(before), Some(Answer::Confirm(Confirmed::Newest)));
        assert_eq!(sim.answer(after), Some(Answer::Confirm(Confirmed::Older)));
        let read = sim.begin(Operation::Read);
        assert_eq!(sim.waiting().count(), 1);
        assert_eq!(sim.answer(read), None);
        sim.lose();
        assert_eq!((sim.waiting().count(), sim.give_up(read)), (0, None));
    }
}
