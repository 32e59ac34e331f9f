//! What an actor has taken out of its mailbox.

use std::collections::VecDeque;

use super::arrivals::Arrivals;
use super::run::AnyRun;

/// Messages in the queue: of one type from this process, with what handles them (`D`), or those that a
/// connection brought together.
pub(crate) enum Item<D> {
    Local { run: Box<dyn AnyRun>, dispatch: D },
    Remote(Box<dyn Arrivals>),
}

impl<D> Item<D> {
    /// How many messages this is.
    pub(crate) fn count(&self) -> usize {
        match self {
            Self::Local { run, .. } => run.len(),
            Self::Remote(arrivals) => arrivals.len(),
        }
    }
}

/// The messages that an actor works through.
pub(crate) struct WorkBatch<D> {
    /// None of them is empty of letters.
    items: VecDeque<Item<D>>,
    /// A run that has been worked through, for its memory.
    spare: Option<Box<dyn AnyRun>>,
}

impl<D> Default for WorkBatch<D> {
    fn default() -> Self {
        Self { items: VecDeque::new(), spare: None }
    }
}

impl<D> WorkBatch<D> {
    pub(crate) fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    /// What is in hand, to be exchanged for more or to be worked on.
    pub(crate) fn items(&mut self) -> &mut VecDeque<Item<D>> {
        &mut self.items
    }

    pub(crate) fn push_back(&mut self, item: Item<D>) {
        self.items.push_back(item);
    }

    pub(crate) fn push_front(&mut self, item: Item<D>) {
        self.items.push_front(item);
    }

    pub(crate) fn pop_back(&mut self) -> Option<Item<D>> {
        self.items.pop_back()
    }

    pub(crate) fn pop_front(&mut self) -> Option<Item<D>> {
        self.items.pop_front()
    }

    /// The run at the front is empty: keeps it for its memory.
    pub(crate) fn end_run(&mut self) {
        if let Some(Item::Local { run, .. }) = self.items.pop_front() {
            self.spare = Some(run);
        }
    }

    /// An empty run, if there is one.
    pub(super) fn take_spare(&mut self) -> Option<Box<dyn AnyRun>> {
        self.spare.take()
    }
}
