//! The bounded queue of one actor, and whether the actor rests or works.
//!
//! Everything here happens under the cell's lock and is quick; whatever calls out (waking, dead
//! letters) is handed back to the caller to do after it lets go of the lock.

use std::collections::VecDeque;
use std::task::Waker;

use super::batch::Batch;
use super::hand::{InHand, Item};
use super::{Mailbox, Overflow};
use crate::actor::Actor;
use crate::error::Refusal;

/// How many local messages an actor takes out at a time.
const HANDFUL: usize = 32;

/// Whether messages are taken in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Intake {
    Open,
    /// Messages queue up while the actor waits to be restarted.
    Paused,
    Suspended,
    Closed,
}

pub(crate) struct Queue<A: Actor> {
    items: VecDeque<Item<A>>,
    /// Messages in `items`.
    len: usize,
    pub(crate) intake: Intake,
    crowd: Option<Box<Crowd>>,
}

/// What is there only when more came than there is room for.
#[derive(Default)]
struct Crowd {
    /// Remote messages beyond the capacity: bounded by the credit of their connections.
    batches: VecDeque<Box<Batch>>,
    /// Local senders that wait for room.
    waiters: Vec<(u64, Waker)>,
    next_ticket: u64,
}

/// What became of an item.
pub(crate) enum Offer<A: Actor> {
    Accepted,
    /// Room was made by dropping the oldest message.
    Replaced(Item<A>),
    /// The mailbox is full; the waker will be woken when there is room.
    Waiting(Item<A>),
    Refused(Item<A>, Refusal),
}

impl<A: Actor> Queue<A> {
    pub(crate) fn new() -> Self {
        Self { items: VecDeque::new(), len: 0, intake: Intake::Open, crowd: None }
    }

    /// Why nothing is taken in, if so.
    pub(crate) fn closed(&self) -> Option<Refusal> {
        match self.intake {
            Intake::Open | Intake::Paused => None,
            Intake::Suspended => Some(Refusal::Suspended),
            Intake::Closed => Some(Refusal::Stopped),
        }
    }

    /// Takes in a local message; a full mailbox that makes senders wait notes `waiter`.
    pub(crate) fn offer(
        &mut self,
        item: Item<A>,
        bounds: Mailbox,
        waiter: Option<(&mut Option<u64>, &Waker)>,
    ) -> Offer<A> {
        if let Some(refusal) = self.closed() {
            return Offer::Refused(item, refusal);
        }
        if self.len < bounds.capacity as usize {
            self.push(item);
            return Offer::Accepted;
        }
        match (bounds.overflow, waiter) {
            (Overflow::DropOldest, _) => {
                let oldest = self.pop_oldest();
                self.push(item);
                oldest.map_or(Offer::Accepted, Offer::Replaced)
            }
            (Overflow::Wait, Some((ticket, waker))) => {
                self.wait(ticket, waker);
                Offer::Waiting(item)
            }
            (Overflow::Wait, None) | (Overflow::Refuse, _) => {
                Offer::Refused(item, Refusal::MailboxFull { capacity: bounds.capacity.into() })
            }
        }
    }

    /// Takes in what a connection brought. Returns what is dropped: of these messages, or older ones.
    pub(crate) fn offer_batch(
        &mut self,
        mut batch: Box<Batch>,
        bounds: Mailbox,
    ) -> Vec<(Item<A>, Refusal)> {
        if let Some(refusal) = self.closed() {
            return vec![(Item::Remote(batch), refusal)];
        }
        let room = (bounds.capacity as usize).saturating_sub(self.len);
        let crowded = self.crowd.as_ref().is_some_and(|crowd| !crowd.batches.is_empty());
        if batch.messages.len() <= room && !crowded {
            batch.confirm_all();
            self.push(Item::Remote(batch));
            return Vec::new();
        }
        match bounds.overflow {
            Overflow::Wait => {
                self.crowd.get_or_insert_default().batches.push_back(batch);
                self.promote(bounds);
                Vec::new()
            }
            Overflow::Refuse => {
                let rest = batch.split_off(room);
                // An empty batch would hold on to its bytes, and nothing counts empty ones.
                if room > 0 {
                    batch.confirm_all();
                    self.push(Item::Remote(batch));
                }
                let refusal = Refusal::MailboxFull { capacity: bounds.capacity.into() };
                vec![(Item::Remote(Box::new(rest)), refusal)]
            }
            Overflow::DropOldest => {
                batch.confirm_all();
                self.push(Item::Remote(batch));
                let excess = self.len.saturating_sub(bounds.capacity as usize);
                let oldest = (0..excess).map_while(|_| self.pop_oldest());
                oldest.map(|item| (item, Refusal::Dropped)).collect()
            }
        }
    }

    /// Puts messages back at the front, in front of whatever came since.
    pub(crate) fn put_back(&mut self, hand: &mut InHand<A>) {
        while let Some(item) = hand.pop_back() {
            self.len += item.count();
            self.items.push_front(item);
        }
    }

    /// Moves the next messages into `hand`, and says whether any were there.
    pub(crate) fn take(&mut self, hand: &mut InHand<A>, bounds: Mailbox) -> Vec<Waker> {
        for _ in 0..HANDFUL {
            let Some(item) = self.items.pop_front() else { break };
            self.len -= item.count();
            let is_batch = matches!(item, Item::Remote(_));
            hand.push_back(item);
            if is_batch {
                break;
            }
        }
        self.promote(bounds);
        self.crowd.as_mut().map(|crowd| crowd.wake()).unwrap_or_default()
    }

    /// Takes out everything, for good.
    pub(crate) fn close(&mut self, hand: &mut InHand<A>) -> Vec<Waker> {
        self.intake = Intake::Closed;
        while let Some(item) = self.items.pop_front() {
            hand.push_back(item);
        }
        self.len = 0;
        let Some(mut crowd) = self.crowd.take() else { return Vec::new() };
        for batch in crowd.batches.drain(..) {
            hand.push_back(Item::Remote(batch));
        }
        crowd.wake()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    /// Messages that wait here.
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// Gives back the memory that a burst took.
    pub(crate) fn shrink(&mut self) {
        if self.items.is_empty() && self.items.capacity() > 2 * HANDFUL {
            self.items = VecDeque::new();
        }
        if self.crowd.as_ref().is_some_and(|c| c.batches.is_empty() && c.waiters.is_empty()) {
            self.crowd = None;
        }
    }

    /// Wakes all who wait, so that they see that the mailbox has closed or been suspended.
    pub(crate) fn wake_waiters(&mut self) -> Vec<Waker> {
        self.crowd.as_mut().map(|crowd| crowd.wake()).unwrap_or_default()
    }

    /// A waiter has gone away.
    pub(crate) fn forget(&mut self, ticket: u64) {
        if let Some(crowd) = &mut self.crowd {
            crowd.waiters.retain(|(other, _)| *other != ticket);
        }
    }

    fn push(&mut self, item: Item<A>) {
        self.len += item.count();
        self.items.push_back(item);
    }

    fn wait(&mut self, ticket: &mut Option<u64>, waker: &Waker) {
        let crowd = self.crowd.get_or_insert_default();
        if let Some(old) = *ticket {
            if let Some((_, known)) = crowd.waiters.iter_mut().find(|(other, _)| *other == old) {
                known.clone_from(waker);
                return;
            }
        }
        *ticket = Some(crowd.next_ticket);
        crowd.waiters.push((crowd.next_ticket, waker.clone()));
        crowd.next_ticket += 1;
    }

    fn pop_oldest(&mut self) -> Option<Item<A>> {
        loop {
            let one = match self.items.front_mut()? {
                Item::Local { .. } => None,
                Item::Remote(batch) if batch.messages.len() > 1 => batch.take_first().map(Box::new),
                Item::Remote(batch) if batch.messages.is_empty() => {
                    self.items.pop_front();
                    continue;
                }
                Item::Remote(_) => None,
            };
            self.len -= 1;
            return one.map(Item::Remote).or_else(|| self.items.pop_front());
        }
    }

    /// Moves remote messages that waited for room into the mailbox, as far as there is room.
    fn promote(&mut self, bounds: Mailbox) {
        let Some(crowd) = &mut self.crowd else { return };
        while let Some(batch) = crowd.batches.front_mut() {
            let room = (bounds.capacity as usize).saturating_sub(self.len);
            if room == 0 {
                return;
            }
            let mut whole = if batch.messages.len() > room {
                let rest = batch.split_off(room);
                std::mem::replace(batch, Box::new(rest))
            } else {
                match crowd.batches.pop_front() {
                    Some(batch) => batch,
                    None => return,
                }
            };
            whole.confirm_all();
            self.len += whole.messages.len();
            self.items.push_back(Item::Remote(whole));
        }
    }
}

impl Crowd {
    /// All wakers: each waiter tries again, and waits again if another was faster.
    fn wake(&mut self) -> Vec<Waker> {
        self.waiters.drain(..).map(|(_, waker)| waker).collect()
    }
}
