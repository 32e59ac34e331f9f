//! A cell as those see it who know one message that its actor takes, and not the actor's type.

use std::any::{Any, TypeId};
use std::sync::Arc;
use std::task::Waker;

use rakt_wire::Address;

use super::Cell;
use crate::call_options::CallOptions;
use crate::error::Refusal;
use crate::events::WatchId;
use crate::mailbox::run::Loose;
use crate::reference::{AnyCell, Life, Push};
use crate::signal::{Signal, Signalled, Watcher};

/// The cell itself, but that it takes one more type of message than its list has.
pub(crate) struct Door<B, D> {
    cell: Arc<Cell<B, D>>,
    message: TypeId,
    dispatch: D,
}

impl<B, D> Door<B, D> {
    /// `dispatch` handles letters of the type `message`.
    pub(crate) fn new(cell: Arc<Cell<B, D>>, message: TypeId, dispatch: D) -> Self {
        Self { cell, message, dispatch }
    }
}

impl<B: Send + 'static, D: Copy + Send + Sync + 'static> Signalled for Door<B, D> {
    fn signal(&self, signal: Signal) {
        self.cell.signal(signal);
    }
}

impl<B: Send + 'static, D: Copy + Send + Sync + 'static> AnyCell for Door<B, D> {
    fn push_listed(
        &self,
        letter: &mut dyn Loose,
        message: TypeId,
        waiter: Option<(&mut Option<u64>, &Waker)>,
    ) -> Push {
        if message == self.message {
            return self.cell.push(letter, self.dispatch, waiter);
        }
        self.cell.push_listed(letter, message, waiter)
    }

    fn as_any(&self) -> &dyn Any {
        &*self.cell
    }

    fn path(&self) -> &str {
        self.cell.path()
    }

    fn uid(&self) -> u64 {
        self.cell.uid()
    }

    fn life(&self) -> Life {
        self.cell.life()
    }

    fn parent(&self) -> Option<Arc<dyn AnyCell>> {
        self.cell.parent()
    }

    fn address(&self) -> Address {
        self.cell.address()
    }

    fn call_options(&self) -> &CallOptions {
        self.cell.call_options()
    }

    fn watch(&self, watcher: Watcher) {
        self.cell.watch(watcher);
    }

    fn unwatch(&self, watch: WatchId) {
        self.cell.unwatch(watch);
    }

    fn kill(&self) {
        self.cell.kill();
    }

    fn evict(&self, refusal: &Refusal) {
        self.cell.evict(refusal);
    }

    fn has_ended(&self) -> bool {
        self.cell.has_ended()
    }

    fn queue_len(&self) -> usize {
        self.cell.queue_len()
    }

    fn capacity(&self) -> u64 {
        self.cell.capacity()
    }

    fn forget_waiter(&self, ticket: u64) {
        self.cell.forget_waiter(ticket);
    }
}
