//! Those who wait for room in a mailbox: senders in this process, and messages of peers.

use std::collections::{BTreeMap, VecDeque};
use std::task::Waker;

use super::arrivals::Arrivals;
use crate::line::Line;

/// Room is kept for a sender that was woken until the clock has ticked this often: a tick and a bit, far
/// more than it takes to come back. One that is held but not polled would else keep it for ever.
const PATIENCE: u64 = 2;

/// There only while more come than there is room for.
#[derive(Default)]
pub(crate) struct Waiters {
    /// Remote messages beyond the capacity: bounded by the credit of their connections.
    pub(crate) batches: VecDeque<Box<dyn Arrivals>>,
    /// Local senders that wait, each for room for one message.
    senders: Line<()>,
    /// Tickets of senders that have been woken, each with room for one message kept for it; and since
    /// which tick.
    admitted: BTreeMap<u64, u64>,
    /// Counts the ticks that were seen while somebody waited.
    ticks: u64,
    /// The next tick is going to be seen.
    is_timed: bool,
    /// Whose turn it is where room cannot be halved.
    is_turn_of_local: bool,
}

impl Waiters {
    /// Notes a sender, which keeps its place if it has one.
    pub(crate) fn wait(&mut self, ticket: &mut Option<u64>, waker: &Waker) {
        self.senders.wait(ticket, waker, ());
    }

    /// A sender is back, or has gone away. Says whether room was kept for it; it is not any more.
    pub(crate) fn redeem(&mut self, ticket: u64) -> bool {
        let was_admitted = self.admitted.remove(&ticket).is_some();
        if !was_admitted {
            self.senders.leave(ticket);
        }
        was_admitted
    }

    /// How much room is kept.
    pub(crate) fn promised(&self) -> usize {
        self.admitted.len()
    }

    /// How much of `room` is for senders here: half of it, and what the peers do not need.
    pub(crate) fn local_share(&mut self, room: usize) -> usize {
        if self.senders.is_empty() {
            return 0;
        }
        let messages_of_peers: usize = self.batches.iter().map(|batch| batch.len()).sum();
        let mut half = room / 2;
        if room % 2 == 1 && messages_of_peers > 0 {
            self.is_turn_of_local = !self.is_turn_of_local;
            half += usize::from(self.is_turn_of_local);
        }
        half.max(room.saturating_sub(messages_of_peers)).min(self.senders.len())
    }

    /// The wakers of the first `n` senders, each of which has room for one message now.
    pub(crate) fn admit(&mut self, n: usize) -> Vec<Waker> {
        let first = std::iter::from_fn(|| self.senders.pop_first()).take(n);
        first.map(|(ticket, waker)| (self.admitted.insert(ticket, self.ticks), waker).1).collect()
    }

    /// Whether somebody has to see to it that the next tick is seen, as room is kept. Says so once.
    pub(crate) fn wants_tick(&mut self) -> bool {
        !self.admitted.is_empty() && !std::mem::replace(&mut self.is_timed, true)
    }

    /// The clock has ticked: no room is kept any more for those that took too long. They are not in
    /// line either, until they come back; then it is at their old place.
    pub(crate) fn tick(&mut self) {
        self.is_timed = false;
        self.ticks += 1;
        self.admitted.retain(|_, since| self.ticks - *since < PATIENCE);
    }

    /// All wakers; no room is kept for anybody any more.
    pub(crate) fn wake_all(&mut self) -> Vec<Waker> {
        self.admitted.clear();
        self.senders.wake(|()| true)
    }

    pub(crate) fn is_over(&self) -> bool {
        let is_empty = self.batches.is_empty() && self.senders.is_empty();
        is_empty && self.admitted.is_empty() && !self.is_timed
    }
}
