//! The bounded queue of one actor, and whether the actor rests or works.
//!
//! Everything here happens under the cell's lock and is quick; whatever calls out (waking, dead
//! letters) is handed back to the caller to do after it lets go of the lock.

use std::collections::VecDeque;
use std::task::Waker;

use crate::error::Refusal;
use crate::mailbox::arrivals::Arrivals;
use crate::mailbox::run::{AnyRun, Loose};
use crate::mailbox::waiters::Waiters;
use crate::mailbox::work_batch::{Item, WorkBatch};
use crate::mailbox::{Mailbox, Overflow};

/// An actor takes out messages until it has this many.
const BATCH: usize = 1024;

/// An actor that dozes keeps room for this many messages; more is given back.
const KEPT_ROOM: usize = 16;

/// Whether messages are taken in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Intake {
    Open,
    /// Messages queue up while the actor waits to be restarted.
    Paused,
    Suspended,
    Closed,
}

pub(crate) struct Queue<D> {
    /// None of them is empty.
    items: VecDeque<Item<D>>,
    /// Messages in `items`.
    len: usize,
    pub(crate) intake: Intake,
    /// An empty run, for its memory.
    spare: Option<Box<dyn AnyRun>>,
    waiters: Option<Box<Waiters>>,
}

/// What became of a letter.
pub(crate) enum Offer<D> {
    Accepted,
    /// Room was made by dropping the oldest message.
    Replaced(Item<D>),
    /// The mailbox is full; the waker will be woken when there is room.
    Waiting,
    Refused(Refusal),
}

impl<D: Copy> Queue<D> {
    pub(crate) fn new() -> Self {
        Self { items: VecDeque::new(), len: 0, intake: Intake::Open, spare: None, waiters: None }
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
    pub(crate) fn offer<L: Loose + ?Sized>(
        &mut self,
        letter: &mut L,
        dispatch: D,
        bounds: Mailbox,
        waiter: Option<(&mut Option<u64>, &Waker)>,
    ) -> Offer<D> {
        if let Some(refusal) = self.closed() {
            return Offer::Refused(refusal);
        }
        let ticket = waiter.as_ref().and_then(|(ticket, _)| **ticket);
        let oldest = if self.has_room_for(ticket, bounds) {
            None
        } else {
            match (bounds.overflow, waiter) {
                (Overflow::DropOldest, _) => self.pop_oldest(),
                (Overflow::Wait, Some((ticket, waker))) => {
                    self.waiters.get_or_insert_default().wait(ticket, waker);
                    return Offer::Waiting;
                }
                (Overflow::Wait, None) | (Overflow::Refuse, _) => {
                    let capacity = bounds.capacity.into();
                    return Offer::Refused(Refusal::MailboxFull { capacity });
                }
            }
        };
        self.push_letter(letter, dispatch);
        oldest.map_or(Offer::Accepted, Offer::Replaced)
    }

    /// Takes in what a connection brought. Returns what is dropped: of these messages, or older ones.
    pub(crate) fn offer_arrivals(
        &mut self,
        mut batch: Box<dyn Arrivals>,
        bounds: Mailbox,
    ) -> Vec<(Item<D>, Refusal)> {
        if let Some(refusal) = self.closed() {
            return vec![(Item::Remote(batch), refusal)];
        }
        if self.len > 0 || self.intake != Intake::Open {
            batch.compact();
        }
        let room = self.room(bounds);
        let is_behind = self.waiters.as_ref().is_some_and(|waiters| !waiters.batches.is_empty());
        if batch.len() <= room && !is_behind {
            batch.confirm_all();
            self.push(Item::Remote(batch));
            return Vec::new();
        }
        match bounds.overflow {
            Overflow::Wait => {
                self.waiters.get_or_insert_default().batches.push_back(batch);
                self.promote(room);
                Vec::new()
            }
            Overflow::Refuse => {
                // An empty batch would hold on to its bytes, and nothing counts empty ones.
                if room > 0 {
                    let mut accepted = batch.take_first(room);
                    accepted.confirm_all();
                    self.push(Item::Remote(accepted));
                }
                let refusal = Refusal::MailboxFull { capacity: bounds.capacity.into() };
                vec![(Item::Remote(batch), refusal)]
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
    pub(crate) fn put_back(&mut self, work: &mut WorkBatch<D>) {
        while let Some(item) = work.pop_back() {
            self.len += item.count();
            self.items.push_front(item);
        }
    }

    /// Moves the next messages into `work`. Returns whom to wake because there is room.
    pub(crate) fn take(&mut self, work: &mut WorkBatch<D>, bounds: Mailbox) -> Vec<Waker> {
        if work.is_empty() && self.len <= BATCH {
            std::mem::swap(work.items(), &mut self.items);
            self.len = 0;
        } else {
            self.take_some(work);
        }
        if self.spare.is_none() {
            self.spare = work.take_spare();
        }
        self.let_in(bounds)
    }

    fn take_some(&mut self, work: &mut WorkBatch<D>) {
        let mut taken = 0;
        while taken < BATCH {
            let Some(item) = self.items.pop_front() else { break };
            let count = item.count();
            taken += count;
            self.len -= count;
            work.push_back(item);
        }
    }

    /// Takes out everything, for good.
    pub(crate) fn close(&mut self, work: &mut WorkBatch<D>) -> Vec<Waker> {
        self.intake = Intake::Closed;
        while let Some(item) = self.items.pop_front() {
            work.push_back(item);
        }
        self.len = 0;
        let Some(mut waiters) = self.waiters.take() else { return Vec::new() };
        for batch in waiters.batches.drain(..) {
            work.push_back(Item::Remote(batch));
        }
        waiters.wake_all()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    /// Messages that wait here.
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// Gives back the memory that a burst took, of a queue that is empty.
    pub(crate) fn shrink(&mut self) {
        if self.items.capacity() > KEPT_ROOM {
            self.items = VecDeque::new();
        }
        if self.spare.as_ref().is_some_and(|spare| spare.room() > KEPT_ROOM) {
            self.spare = None;
        }
        if self.waiters.as_ref().is_some_and(|waiters| waiters.is_over()) {
            self.waiters = None;
        }
    }

    /// Gives back all memory that can be, of an actor that comes to rest.
    pub(crate) fn settle(&mut self) {
        self.spare = None;
        if self.items.is_empty() {
            if self.items.capacity() > 0 {
                self.items = VecDeque::new();
            }
            self.shrink();
        }
    }

    /// Wakes all senders that wait, so that they see that the mailbox has closed or been suspended.
    /// The room that was kept for them is for the peers: nobody else may come for it.
    pub(crate) fn wake_waiters(&mut self, bounds: Mailbox) -> Vec<Waker> {
        let Some(waiters) = &mut self.waiters else { return Vec::new() };
        let wakers = waiters.wake_all();
        self.promote(self.room(bounds));
        wakers
    }

    /// A waiter has gone away. Returns whom to wake in its place; messages of peers may have got in
    /// instead.
    pub(crate) fn forget(&mut self, ticket: u64, bounds: Mailbox) -> Vec<Waker> {
        let was_promised = self.waiters.as_mut().is_some_and(|waiters| waiters.redeem(ticket));
        if was_promised { self.let_in(bounds) } else { Vec::new() }
    }

    /// Whether the queue is to hear of the next tick. Says so once.
    pub(crate) fn wants_tick(&mut self) -> bool {
        self.waiters.as_mut().is_some_and(|waiters| waiters.wants_tick())
    }

    /// The clock has ticked: room that was kept long enough is for others. Returns whom to wake;
    /// messages of peers may have got in instead.
    pub(crate) fn tick(&mut self, bounds: Mailbox) -> Vec<Waker> {
        let Some(waiters) = &mut self.waiters else { return Vec::new() };
        waiters.tick();
        if waiters.is_over() {
            self.waiters = None;
        }
        self.let_in(bounds)
    }

    /// The room that nobody has been promised.
    fn room(&self, bounds: Mailbox) -> usize {
        let promised = self.waiters.as_ref().map_or(0, |waiters| waiters.promised());
        (bounds.capacity as usize).saturating_sub(self.len + promised)
    }

    /// Whether there is room for one more, or the holder of `ticket` was promised some.
    fn has_room_for(&mut self, ticket: Option<u64>, bounds: Mailbox) -> bool {
        let Some(waiters) = &mut self.waiters else { return self.len < bounds.capacity as usize };
        let was_promised = ticket.is_some_and(|ticket| waiters.redeem(ticket));
        match was_promised {
            true => self.len < bounds.capacity as usize,
            false => self.room(bounds) > 0,
        }
    }

    /// Shares the room between those who wait for it.
    fn let_in(&mut self, bounds: Mailbox) -> Vec<Waker> {
        if self.waiters.is_none() {
            return Vec::new();
        }
        let room = self.room(bounds);
        let Some(waiters) = &mut self.waiters else { return Vec::new() };
        let for_local = waiters.local_share(room);
        let wakers = waiters.admit(for_local);
        self.promote(room - for_local);
        wakers
    }

    fn push(&mut self, item: Item<D>) {
        self.len += item.count();
        self.items.push_back(item);
    }

    #[inline]
    fn push_letter<L: Loose + ?Sized>(&mut self, letter: &mut L, dispatch: D) {
        self.len += 1;
        if let Some(Item::Local { run, .. }) = self.items.back_mut()
            && letter.join(&mut **run)
        {
            return;
        }
        let joined = |mut run: Box<dyn AnyRun>| letter.join(&mut *run).then_some(run);
        let joined = self.spare.take().and_then(joined);
        let run = joined.unwrap_or_else(|| letter.begin());
        self.items.push_back(Item::Local { run, dispatch });
    }

    fn pop_oldest(&mut self) -> Option<Item<D>> {
        let one = match self.items.front_mut()? {
            Item::Local { run, dispatch } if run.len() > 1 => {
                run.take_first().map(|run| Item::Local { run, dispatch: *dispatch })
            }
            Item::Remote(batch) if batch.len() > 1 => Some(Item::Remote(batch.take_first(1))),
            Item::Local { .. } | Item::Remote(_) => None,
        };
        self.len -= 1;
        one.or_else(|| self.items.pop_front())
    }

    /// Moves remote messages that waited for room into the mailbox, at most `room`.
    fn promote(&mut self, mut room: usize) {
        let Some(waiters) = &mut self.waiters else { return };
        while room > 0 {
            let mut batch = match waiters.batches.front_mut() {
                None => return,
                Some(batch) if batch.len() > room => batch.take_first(room),
                Some(_) => waiters.batches.pop_front().expect("it is there"),
            };
            batch.confirm_all();
            room -= batch.len();
            self.len += batch.len();
            self.items.push_back(Item::Remote(batch));
        }
    }
}

#[cfg(test)]
mod tests;
