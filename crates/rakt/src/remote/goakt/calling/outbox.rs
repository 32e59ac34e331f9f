//! Tells on their way to a Go node: what senders and the driver of one connection share.
//!
//! The receivers of an endpoint are spread over its outboxes, so that what is told to one keeps its order.
//! An outbox has one connection after another.

use std::sync::{Arc, Weak};
use std::task::{Poll, Waker};

use super::node::GoNode;
use super::queue::Queue;
use crate::error::{Bound, Refusal};
use crate::line::Line;
use crate::reference::AnyCell;
use crate::remote::redial::BriefConns;
use crate::remote::ticket::{HasLine, Ticket};
use crate::sync::{Mutex, MutexGuard};

/// Bytes that wait in an outbox beyond which senders do. 1 MiB. One message may exceed it.
pub(super) const HIGH_WATER: usize = 1024 * 1024;

#[derive(Default)]
pub(super) struct Outbox {
    shared: Mutex<Shared>,
}

#[derive(Default)]
pub(super) struct Shared {
    pub(super) stage: Stage,
    pub(super) queue: Queue,
    /// Requests that were queued, and those whose end is known; the first come first.
    pub(super) queued: u64,
    pub(super) settled: u64,
    pub(super) line: Line<Need>,
    /// To be woken when there is something to do.
    driver: Option<Waker>,
    /// The last sender that is an actor here, and its address as Go nodes read it. It is not held on to:
    /// nothing of a user's is dropped under the lock.
    pub(super) sender: Option<(Weak<dyn AnyCell>, Arc<str>)>,
    /// Connections in a row that ended without an answer.
    pub(super) brief: BriefConns,
}

#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum Stage {
    #[default]
    Down,
    Dialing,
    Up,
}

/// What a sender waits for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Need {
    /// A connection.
    Conn,
    /// Room in the queue.
    Room,
    /// The end of this request.
    Settled(u64),
    /// The end of the connection.
    Down,
}

impl Outbox {
    pub(super) fn lock(&self) -> MutexGuard<'_, Shared> {
        self.shared.lock()
    }

    /// Completes when there is no connection.
    pub(super) fn poll_down(
        self: &Arc<Self>,
        ticket: &mut Ticket<Self>,
        waker: &Waker,
    ) -> Poll<()> {
        let mut shared = self.lock();
        if shared.stage == Stage::Down {
            return Poll::Ready(());
        }
        ticket.wait(self, &mut shared.line, waker, Need::Down);
        Poll::Pending
    }

    /// Has the driver look at what there is to do.
    pub(super) fn wake_driver(&self) {
        let driver = self.lock().take_driver();
        driver.into_iter().for_each(Waker::wake);
    }

    /// For the driver: how it is woken.
    pub(super) fn set_driver(&self, waker: &Waker) {
        match &mut self.lock().driver {
            Some(known) => known.clone_from(waker),
            unset => *unset = Some(waker.clone()),
        }
    }

    /// Whether the driver was woken since it last said how.
    pub(super) fn is_woken(&self) -> bool {
        self.lock().driver.is_none()
    }

    /// For the driver: a connection is open.
    pub(super) fn up(&self) {
        let mut shared = self.lock();
        shared.stage = Stage::Up;
        let wakers = shared.line.wake(|need| *need == Need::Conn);
        drop(shared);
        wakers.into_iter().for_each(Waker::wake);
    }

    /// For the driver: takes all that waits, in exchange for an empty queue.
    pub(super) fn take(&self, queue: &mut Queue) {
        let mut shared = self.lock();
        std::mem::swap(&mut shared.queue, queue);
        let wakers = shared.line.wake(|need| *need == Need::Room);
        drop(shared);
        wakers.into_iter().for_each(Waker::wake);
    }

    /// For the driver: the next so many requests have come to their ends.
    pub(super) fn settle(&self, requests: u64) {
        let mut shared = self.lock();
        shared.settled += requests;
        let settled = shared.settled;
        let wakers = shared.line.wake(|need| matches!(need, Need::Settled(at) if *at <= settled));
        drop(shared);
        wakers.into_iter().for_each(Waker::wake);
    }

    /// For the driver: there is no connection any more, unless something waits and `if_idle` says that
    /// then it should go on. Returns what waits.
    pub(super) fn down(&self, if_idle: bool, is_brief: bool) -> Option<Queue> {
        let mut shared = self.lock();
        if if_idle && !shared.queue.is_empty() {
            return None;
        }
        shared.stage = Stage::Down;
        shared.settled = shared.queued;
        shared.brief.ended(is_brief);
        shared.sender = None;
        let driver = shared.take_driver();
        let queue = std::mem::take(&mut shared.queue);
        let wakers = shared.line.wake(|_| true);
        drop(shared);
        drop(driver);
        wakers.into_iter().for_each(Waker::wake);
        Some(queue)
    }
}

impl HasLine for Outbox {
    fn leave(&self, ticket: u64) {
        self.lock().line.leave(ticket);
    }
}

impl Shared {
    /// To be woken once the lock is let go, if nobody has woken it yet.
    pub(super) fn take_driver(&mut self) -> Option<Waker> {
        self.driver.take()
    }
}

impl Need {
    /// What a sender hears that does not want to wait.
    pub(super) fn refusal(self, node: &GoNode) -> Refusal {
        match self {
            Self::Room => Refusal::ResourceExhausted {
                bound: Bound::OutboundBuffer,
                limit: HIGH_WATER as u64,
            },
            _ => node.unreachable("not connected yet"),
        }
    }
}
