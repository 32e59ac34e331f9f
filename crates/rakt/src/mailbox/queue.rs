//! The bounded queue of one actor, and whether the actor rests or works.
//!
//! Everything here happens under the cell's lock and is quick; whatever calls out (waking, dead
//! letters) is handed back to the caller to do after it lets go of the lock.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::Waker;

use super::batch::Batch;
use super::hand::{InHand, Item};
use super::{Mailbox, Overflow};
use crate::actor::Actor;
use crate::error::Refusal;

/// How many local messages an actor takes out at a time.
const HANDFUL: usize = 32;

/// An actor at rest keeps room for this many messages; more is given back.
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
        if self.len > 0 || self.intake != Intake::Open {
            batch.compact();
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
        if self.items.is_empty() && self.items.capacity() > KEPT_ROOM {
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
        if let Some(old) = *ticket
            && let Some((_, known)) = crowd.waiters.iter_mut().find(|(other, _)| *other == old)
        {
            known.clone_from(waker);
            return;
        }
        // Never given twice: a sender may come back with its ticket after the crowd has gone and
        // another has formed, and would take the place of somebody else in it.
        static TICKETS: AtomicU64 = AtomicU64::new(0);
        let new = TICKETS.fetch_add(1, Ordering::Relaxed);
        *ticket = Some(new);
        crowd.waiters.push((new, waker.clone()));
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

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::sync::{Arc, Mutex};
    use std::task::Poll;

    use bytes::Bytes;
    use proptest::prelude::*;

    use super::*;
    use crate::context::Context;
    use crate::mailbox::batch::{RawKind, RawMessage};
    use crate::mailbox::dispatch;
    use crate::mailbox::letter::{Alias, Letter, Origin, Reply};
    use crate::{Handler, Message};

    struct Nobody;
    impl Actor for Nobody {}

    struct Numbered(u32);
    impl Message for Numbered {
        type Reply = ();
    }
    impl Handler<Numbered> for Nobody {
        async fn handle(&mut self, _: Numbered, _: &mut Context<Self>) -> crate::Result {
            Ok(())
        }
    }

    fn local(n: u32) -> Item<Nobody> {
        let letter =
            Letter { message: Numbered(n), reply: Reply::nowhere(), sender: None, about: None };
        Item::Local { letter: Box::new(letter), dispatch: dispatch::<Nobody, Numbered> }
    }

    /// A connection that notes what was confirmed.
    #[derive(Default)]
    struct Confirmed(Mutex<Vec<u32>>);

    impl Origin for Confirmed {
        fn reply(&self, _: u64, _: &dyn rakt_wire::native::Encode) {}
        fn refuse(&self, _: u64, _: &Refusal) {}
        fn confirm(&self, corr: u64) {
            self.0.lock().expect("not poisoned").push(corr as u32);
        }
        fn nack(&self, _: Alias, _: Option<u32>, _: u32, _: &Refusal) {}
        fn consumed(&self, _: Alias, _: u64) {}
        fn release(&self, _: u64) {}
        fn decompress(&self, payload: &[u8], _: u32) -> Result<Bytes, Refusal> {
            Ok(Bytes::copy_from_slice(payload))
        }
        fn is_cancelled(&self, _: u64) -> bool {
            false
        }
        fn poll_cancelled(&self, _: u64, _: &mut std::task::Context<'_>) -> Poll<()> {
            Poll::Pending
        }
    }

    fn batch(origin: &Arc<Confirmed>, numbers: impl Iterator<Item = u32>) -> Box<Batch> {
        let message = |n| RawMessage {
            entry: 0,
            kind: RawKind::Confirm(u64::from(n)),
            sender: None,
            type_id: n,
            start: 0,
            len: 0,
            raw_len: None,
            about: None,
        };
        Box::new(Batch {
            origin: origin.clone(),
            from: Alias { id: 0, epoch: 0 },
            block: Bytes::new(),
            messages: numbers.map(message).collect(),
            has_confirms: true,
            senders: Vec::new(),
            unreturned: 0,
            return_at: u64::MAX,
        })
    }

    /// The numbers in an item; remote ones apart, because only they keep order among themselves.
    fn numbers(item: Item<Nobody>) -> (bool, Vec<u32>) {
        match item {
            Item::Local { letter, .. } => {
                let letter = letter.into_any().downcast::<Letter<Numbered>>();
                (false, letter.map(|letter| vec![letter.message.0]).expect("the only local type"))
            }
            Item::Remote(batch) => (true, batch.messages.iter().map(|m| m.type_id).collect()),
        }
    }

    #[derive(Clone, Copy, Debug)]
    enum Step {
        Offer {
            waits: bool,
        },
        Batch(u32),
        Take,
        /// The actor is suspended with messages in hand.
        PutBack,
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            4 => any::<bool>().prop_map(|waits| Step::Offer { waits }),
            2 => (1_u32..6).prop_map(Step::Batch),
            2 => Just(Step::Take),
            1 => Just(Step::PutBack),
        ]
    }

    fn overflow() -> impl Strategy<Value = Overflow> {
        prop_oneof![Just(Overflow::Wait), Just(Overflow::Refuse), Just(Overflow::DropOldest)]
    }

    proptest! {
        /// Whatever is offered and taken: the queue stays within its bound, each message comes out
        /// once or is turned down, in order, and is confirmed only once there is room for it.
        #[test]
        fn a_queue_keeps_its_bound_and_its_order(
            capacity in 1_u32..8,
            overflow in overflow(),
            steps in prop::collection::vec(step(), 0..120),
        ) {
            let bounds = Mailbox::bounded(capacity).overflow(overflow);
            let origin = Arc::new(Confirmed::default());
            let (mut queue, mut hand) = (Queue::<Nobody>::new(), InHand::default());
            let (mut offered, mut came_out) = (0, Vec::new());
            let mut turned_down = BTreeSet::new();
            // Messages that were put back are let in again beyond the bound.
            let mut excess = 0;
            for step in steps {
                match step {
                    Step::Offer { waits } => {
                        let mut ticket = None;
                        let waiter = waits.then_some((&mut ticket, Waker::noop()));
                        let item = match queue.offer(local(offered), bounds, waiter) {
                            Offer::Accepted => None,
                            Offer::Replaced(item) | Offer::Refused(item, _) => Some(item),
                            Offer::Waiting(item) => {
                                prop_assert!(waits && overflow == Overflow::Wait);
                                Some(item)
                            }
                        };
                        offered += 1;
                        turned_down.extend(item.map(numbers).into_iter().flat_map(|(_, n)| n));
                    }
                    Step::Batch(len) => {
                        let lost = queue.offer_batch(batch(&origin, offered..offered + len), bounds);
                        offered += len;
                        turned_down.extend(lost.into_iter().flat_map(|(item, _)| numbers(item).1));
                    }
                    Step::Take => {
                        queue.take(&mut hand, bounds);
                        while let Some(item) = hand.pop_front() {
                            came_out.push(numbers(item));
                        }
                    }
                    Step::PutBack => {
                        queue.take(&mut hand, bounds);
                        queue.put_back(&mut hand);
                        excess = queue.len().saturating_sub(capacity as usize);
                    }
                }
                excess = excess.min(queue.len().saturating_sub(capacity as usize));
                prop_assert!(queue.len() <= capacity as usize + excess);
                prop_assert!(queue.items.len() <= queue.len(), "nothing empty is kept");
            }
            queue.close(&mut hand);
            while let Some(item) = hand.pop_front() {
                came_out.push(numbers(item));
            }
            prop_assert_eq!(queue.len(), 0);

            for remote in [false, true] {
                let of_kind = came_out.iter().filter(|(other, _)| *other == remote);
                let in_order: Vec<_> = of_kind.flat_map(|(_, numbers)| numbers).collect();
                prop_assert!(in_order.is_sorted_by(|a, b| a < b), "{in_order:?}");
            }
            let came_out: BTreeSet<_> = came_out.into_iter().flat_map(|(_, n)| n).collect();
            prop_assert!(came_out.is_disjoint(&turned_down));
            prop_assert_eq!(came_out.len() + turned_down.len(), offered as usize);
        }
    }

    #[test]
    fn a_remote_message_is_confirmed_once_there_is_room_for_it() {
        let (origin, bounds) = (Arc::new(Confirmed::default()), Mailbox::bounded(2));
        let confirmed = || origin.0.lock().expect("not poisoned").clone();
        let (mut queue, mut hand) = (Queue::<Nobody>::new(), InHand::default());
        assert!(queue.offer_batch(batch(&origin, 0..5), bounds).is_empty());
        assert_eq!((queue.len(), confirmed()), (2, vec![0, 1]));
        queue.take(&mut hand, bounds);
        assert_eq!((queue.len(), confirmed()), (2, vec![0, 1, 2, 3]));
        queue.take(&mut hand, bounds);
        assert_eq!((queue.len(), confirmed()), (1, vec![0, 1, 2, 3, 4]));
    }

    #[test]
    fn refused_batches_leave_nothing_behind() {
        let origin = Arc::new(Confirmed::default());
        let bounds = Mailbox::bounded(1).overflow(Overflow::Refuse);
        let mut queue = Queue::<Nobody>::new();
        assert!(matches!(queue.offer(local(0), bounds, None), Offer::Accepted));
        for n in 1..100 {
            assert_eq!(queue.offer_batch(batch(&origin, n..n + 1), bounds).len(), 1);
        }
        assert_eq!((queue.len(), queue.items.len()), (1, 1));
        assert_eq!(Arc::strong_count(&origin), 1, "no batch is held");
    }

    /// Counts how often it is woken.
    #[derive(Default)]
    struct Woken(AtomicU64);

    impl std::task::Wake for Woken {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    #[test]
    fn a_sender_that_comes_back_late_takes_nobodys_place() {
        let (mut queue, mut hand) = (Queue::<Nobody>::new(), InHand::default());
        let bounds = Mailbox::bounded(1);
        let (early, late) = (Waker::noop(), Arc::new(Woken::default()));
        let (mut first, mut second) = (None, None);
        assert!(matches!(queue.offer(local(0), bounds, None), Offer::Accepted));
        let waiting = queue.offer(local(1), bounds, Some((&mut first, early)));
        assert!(matches!(waiting, Offer::Waiting(_)));
        // The first is woken, and while it takes its time the actor rests and the mailbox fills up.
        queue.take(&mut hand, bounds);
        queue.shrink();
        assert!(matches!(queue.offer(local(2), bounds, None), Offer::Accepted));
        let waker = late.clone().into();
        let waiting = queue.offer(local(3), bounds, Some((&mut second, &waker)));
        assert!(matches!(waiting, Offer::Waiting(_)));
        let waiting = queue.offer(local(1), bounds, Some((&mut first, early)));
        assert!(matches!(waiting, Offer::Waiting(_)));
        queue.take(&mut hand, bounds).into_iter().for_each(Waker::wake);
        assert_eq!(late.0.load(Ordering::Relaxed), 1);
    }

    #[test]
    fn a_suspended_queue_refuses_and_a_paused_one_does_not() {
        let bounds = Mailbox::default();
        let mut queue = Queue::<Nobody>::new();
        queue.intake = Intake::Paused;
        assert!(matches!(queue.offer(local(0), bounds, None), Offer::Accepted));
        queue.intake = Intake::Suspended;
        let refused = queue.offer(local(1), bounds, None);
        assert!(matches!(refused, Offer::Refused(_, Refusal::Suspended)));
        queue.close(&mut InHand::default());
        let refused = queue.offer(local(2), bounds, None);
        assert!(matches!(refused, Offer::Refused(_, Refusal::Stopped)));
    }
}
