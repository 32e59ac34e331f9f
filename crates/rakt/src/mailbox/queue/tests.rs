//! The queue against its bounds, its order, and senders that come back or do not.

use std::any::Any;
use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use proptest::prelude::*;

use super::*;
use crate::Message;
use crate::mailbox::arrivals::tests::Numbers;
use crate::mailbox::current::Current;
use crate::mailbox::letter::{Asker, Letter, Run};

/// Nothing is handled here.
type Nobody = ();

struct Numbered(u32);
impl Message for Numbered {
    type Reply = ();
}

fn offer(
    queue: &mut Queue<Nobody>,
    n: u32,
    bounds: Mailbox,
    waiter: Option<(&mut Option<u64>, &Waker)>,
) -> Offer<Nobody> {
    let letter = Letter { message: Numbered(n), asker: Asker(None), sender: None, about: None };
    queue.offer(&mut Some(letter), (), bounds, waiter)
}

/// The numbers in an item; remote ones apart, because only they keep order among themselves.
fn numbers(item: Item<Nobody>) -> (bool, Vec<u32>) {
    match item {
        Item::Local { mut run, .. } => {
            let run = (&mut *run as &mut dyn Any).downcast_mut::<Run<Numbered>>();
            let run = run.expect("the only local type");
            (false, std::iter::from_fn(|| run.next()).map(|letter| letter.message.0).collect())
        }
        Item::Remote(mut batch) => (true, std::iter::from_fn(|| number(&mut *batch)).collect()),
    }
}

fn number(batch: &mut dyn Arrivals) -> Option<u32> {
    batch.first()?;
    let payload = batch.payload().expect("it is there");
    batch.take(&mut Current::default());
    payload.first_chunk().copied().map(u32::from_be_bytes)
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
        let confirmed = Arc::<Mutex<Vec<u32>>>::default();
        let (mut queue, mut work) = (Queue::<Nobody>::new(), WorkBatch::default());
        let (mut offered, mut came_out) = (0, Vec::new());
        let mut turned_down = BTreeSet::new();
        // Messages that were put back are let in again beyond the bound.
        let mut excess = 0;
        for step in steps {
            match step {
                Step::Offer { waits } => {
                    let mut ticket = None;
                    let waiter = waits.then_some((&mut ticket, Waker::noop()));
                    match offer(&mut queue, offered, bounds, waiter) {
                        Offer::Accepted => {}
                        Offer::Replaced(item) => turned_down.extend(numbers(item).1),
                        Offer::Refused(_) => turned_down.extend([offered]),
                        Offer::Waiting => {
                            prop_assert!(waits && overflow == Overflow::Wait);
                            turned_down.extend([offered]);
                            // It gives up, or room would be kept for it.
                            if let Some(ticket) = ticket {
                                queue.forget(ticket, bounds);
                            }
                        }
                    }
                    offered += 1;
                }
                Step::Batch(len) => {
                    let lost = queue.offer_arrivals(Numbers::new(&confirmed, offered..offered + len), bounds);
                    offered += len;
                    turned_down.extend(lost.into_iter().flat_map(|(item, _)| numbers(item).1));
                }
                Step::Take => {
                    queue.take(&mut work, bounds);
                    while let Some(item) = work.pop_front() {
                        came_out.push(numbers(item));
                    }
                }
                Step::PutBack => {
                    queue.take(&mut work, bounds);
                    queue.put_back(&mut work);
                    excess = queue.len().saturating_sub(capacity as usize);
                }
            }
            excess = excess.min(queue.len().saturating_sub(capacity as usize));
            prop_assert!(queue.len() <= capacity as usize + excess);
            prop_assert!(queue.items.len() <= queue.len(), "nothing empty is kept");
        }
        queue.close(&mut work);
        while let Some(item) = work.pop_front() {
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
    let (told, bounds) = (Arc::<Mutex<Vec<u32>>>::default(), Mailbox::bounded(2));
    let confirmed = || told.lock().expect("not poisoned").clone();
    let (mut queue, mut work) = (Queue::<Nobody>::new(), WorkBatch::default());
    assert!(queue.offer_arrivals(Numbers::new(&told, 0..5), bounds).is_empty());
    assert_eq!((queue.len(), confirmed()), (2, vec![0, 1]));
    queue.take(&mut work, bounds);
    assert_eq!((queue.len(), confirmed()), (2, vec![0, 1, 2, 3]));
    queue.take(&mut work, bounds);
    assert_eq!((queue.len(), confirmed()), (1, vec![0, 1, 2, 3, 4]));
}

#[test]
fn refused_batches_leave_nothing_behind() {
    let confirmed = Arc::<Mutex<Vec<u32>>>::default();
    let bounds = Mailbox::bounded(1).overflow(Overflow::Refuse);
    let mut queue = Queue::<Nobody>::new();
    assert!(matches!(offer(&mut queue, 0, bounds, None), Offer::Accepted));
    for n in 1..100 {
        assert_eq!(queue.offer_arrivals(Numbers::new(&confirmed, n..n + 1), bounds).len(), 1);
    }
    assert_eq!((queue.len(), queue.items.len()), (1, 1));
    assert_eq!(Arc::strong_count(&confirmed), 1, "no batch is held");
}

/// Counts how often it is woken.
#[derive(Default)]
struct Woken(AtomicU64);

impl std::task::Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

/// Senders that wait for room in a full queue, and how often each was woken.
struct Senders(Vec<(Option<u64>, Arc<Woken>)>);

impl Senders {
    fn new(n: usize) -> Self {
        Self((0..n).map(|_| (None, Arc::default())).collect())
    }

    /// Sender `n` sends its number.
    fn send(&mut self, n: usize, queue: &mut Queue<Nobody>, bounds: Mailbox) -> bool {
        let (ticket, woken) = &mut self.0[n];
        let waker = woken.clone().into();
        let offer = offer(queue, n as u32, bounds, Some((ticket, &waker)));
        matches!(offer, Offer::Accepted)
    }

    fn woken(&self) -> u64 {
        self.0.iter().map(|(_, woken)| woken.0.load(Ordering::Relaxed)).sum()
    }
}

fn take(queue: &mut Queue<Nobody>, bounds: Mailbox) -> Vec<u32> {
    let mut work = WorkBatch::default();
    queue.take(&mut work, bounds).into_iter().for_each(Waker::wake);
    std::iter::from_fn(|| work.pop_front()).flat_map(|item| numbers(item).1).collect()
}

#[test]
fn a_hand_is_about_a_thousand_messages_in_runs_of_a_hundred() {
    let (mut queue, bounds) = (Queue::<Nobody>::new(), Mailbox::bounded(5000));
    for n in 0..5000 {
        assert!(matches!(offer(&mut queue, n, bounds, None), Offer::Accepted));
    }
    let mut work = WorkBatch::default();
    queue.take(&mut work, bounds);
    let runs: Vec<_> = std::iter::from_fn(|| work.pop_front()).map(|run| run.count()).collect();
    let taken: usize = runs.iter().sum();
    assert!(runs.iter().all(|count| (2..=128).contains(count)), "{runs:?}");
    assert!((1024..1024 + 128).contains(&taken), "{taken}");
    assert_eq!(queue.len(), 5000 - taken);
}

#[test]
fn a_burst_leaves_no_room_behind() {
    let (mut queue, bounds) = (Queue::<Nobody>::new(), Mailbox::bounded(5000));
    let confirmed = Arc::<Mutex<Vec<u32>>>::default();
    for n in 0..1000 {
        queue.offer_arrivals(Numbers::new(&confirmed, n..n + 1), bounds);
    }
    while !queue.is_empty() {
        take(&mut queue, bounds);
    }
    queue.shrink();
    assert!(queue.items.capacity() <= KEPT_ROOM, "{}", queue.items.capacity());

    // Nor does a long run that has been worked through.
    for n in 0..100 {
        offer(&mut queue, n, bounds, None);
    }
    let mut work = WorkBatch::default();
    queue.take(&mut work, bounds);
    let Some(Item::Local { mut run, .. }) = work.pop_front() else { panic!("a local run") };
    while run.take_first().is_some() {}
    assert!(run.room() > KEPT_ROOM);
    queue.spare = Some(run);
    queue.shrink();
    assert!(queue.spare.is_none());
}

#[test]
fn room_is_kept_for_a_sender_that_was_woken() {
    let (mut queue, bounds) = (Queue::<Nobody>::new(), Mailbox::bounded(1));
    let mut senders = Senders::new(3);
    assert!(senders.send(0, &mut queue, bounds));
    assert!(!senders.send(1, &mut queue, bounds));
    assert_eq!(take(&mut queue, bounds), [0]);
    queue.shrink();
    assert!(!senders.send(2, &mut queue, bounds), "the room is for another");
    assert!(senders.send(1, &mut queue, bounds));
    assert_eq!(take(&mut queue, bounds), [1]);
    assert!(senders.send(2, &mut queue, bounds));
    assert_eq!(senders.woken(), 2);
}

#[test]
fn room_is_kept_for_two_ticks_and_then_for_the_next() {
    let (mut queue, bounds) = (Queue::<Nobody>::new(), Mailbox::bounded(1));
    let mut senders = Senders::new(4);
    assert!(!queue.wants_tick());
    assert!(senders.send(0, &mut queue, bounds));
    assert!(!senders.send(1, &mut queue, bounds) && !senders.send(2, &mut queue, bounds));
    assert!(!queue.wants_tick(), "nobody has been woken");
    assert_eq!(take(&mut queue, bounds), [0]);
    assert!(queue.wants_tick() && !queue.wants_tick(), "once");
    assert!(queue.tick(bounds).is_empty());
    assert!(queue.wants_tick());
    queue.tick(bounds).into_iter().for_each(Waker::wake);
    assert_eq!(senders.woken(), 2, "now it is the turn of the second");
    assert!(!senders.send(3, &mut queue, bounds), "the room is for the second");
    assert!(!senders.send(1, &mut queue, bounds), "it is late, and waits in front of the last");
    assert!(senders.send(2, &mut queue, bounds));
    assert_eq!(take(&mut queue, bounds), [2]);
    assert!(!senders.send(3, &mut queue, bounds) && senders.send(1, &mut queue, bounds));
    assert_eq!(take(&mut queue, bounds), [1]);
    assert!(senders.send(3, &mut queue, bounds));
    while queue.wants_tick() {
        queue.tick(bounds);
    }
    queue.tick(bounds);
    assert!(queue.waiters.is_none(), "nothing is left of it");
}

proptest! {
    /// However many of the senders are never polled again, the others get in: in the order they
    /// came, within the bound, and after two ticks for each of those at most.
    #[test]
    fn senders_that_do_not_come_back_hold_up_nobody_for_ever(
        capacity in 1_u32..5,
        asleep in prop::collection::vec(any::<bool>(), 1..40),
    ) {
        let (mut queue, bounds) = (Queue::<Nobody>::new(), Mailbox::bounded(capacity));
        let mut senders = Senders::new(asleep.len());
        let mut waiting: Vec<usize> =
            (0..asleep.len()).filter(|n| !senders.send(*n, &mut queue, bounds)).collect();
        let mut came_out = Vec::new();
        let mut ticks = 0;
        loop {
            came_out.extend(take(&mut queue, bounds));
            let woken = |n: &usize| senders.0[*n].1.0.load(Ordering::Relaxed) > 0;
            let back: Vec<_> =
                waiting.iter().copied().filter(|n| woken(n) && !asleep[*n]).collect();
            for n in &back {
                prop_assert!(senders.send(*n, &mut queue, bounds), "{} was woken", n);
            }
            waiting.retain(|n| !back.contains(n));
            prop_assert!(queue.len() <= capacity as usize);
            if back.is_empty() && !queue.wants_tick() {
                break;
            }
            if back.is_empty() {
                ticks += 1;
                prop_assert!(ticks <= 2 * asleep.len(), "{} ticks", ticks);
                queue.tick(bounds).into_iter().for_each(Waker::wake);
            }
        }
        prop_assert!(waiting.iter().all(|n| asleep[*n]), "{:?} wait", waiting);
        prop_assert!(ticks <= 2 * waiting.len(), "{} ticks", ticks);
        prop_assert!(came_out.is_sorted(), "{:?}", came_out);
        prop_assert_eq!(came_out.len() + waiting.len(), asleep.len());
    }
}

#[test]
fn as_many_senders_are_woken_as_there_is_room_for() {
    const SENDERS: usize = 3000;
    let (mut queue, bounds) = (Queue::<Nobody>::new(), Mailbox::bounded(10));
    let mut senders = Senders::new(SENDERS);
    let mut waiting: VecDeque<_> =
        (0..SENDERS).filter(|n| !senders.send(*n, &mut queue, bounds)).collect();
    let mut came_out = Vec::new();
    while came_out.len() < SENDERS {
        came_out.extend(take(&mut queue, bounds));
        let room = waiting.len().min(10);
        for n in waiting.drain(..room) {
            assert!(senders.send(n, &mut queue, bounds), "{n} was woken");
        }
    }
    assert!(came_out.is_sorted(), "first come, first served");
    assert_eq!(senders.woken(), SENDERS as u64 - 10, "nobody is woken for nothing");
}

#[test]
fn a_sender_that_was_woken_and_goes_away_passes_its_room_on() {
    let (mut queue, bounds) = (Queue::<Nobody>::new(), Mailbox::bounded(1));
    let mut senders = Senders::new(4);
    assert!(senders.send(0, &mut queue, bounds));
    for n in 1..4 {
        assert!(!senders.send(n, &mut queue, bounds));
    }
    // One that was not woken leaves the line, and nobody else is woken for it.
    let unwoken = senders.0[2].0.expect("it waits");
    assert!(queue.forget(unwoken, bounds).is_empty());
    assert_eq!(take(&mut queue, bounds), [0]);
    assert_eq!(senders.0[1].1.0.load(Ordering::Relaxed), 1);
    let woken = senders.0[1].0.expect("it was given a place");
    queue.forget(woken, bounds).into_iter().for_each(Waker::wake);
    assert_eq!(senders.0[3].1.0.load(Ordering::Relaxed), 1);
    assert!(senders.send(3, &mut queue, bounds));
}

#[test]
fn peers_that_keep_a_mailbox_full_leave_room_for_senders_here() {
    for capacity in [1, 2, 7] {
        let (mut queue, bounds) = (Queue::<Nobody>::new(), Mailbox::bounded(capacity));
        let (confirmed, mut senders) = (Arc::<Mutex<Vec<u32>>>::default(), Senders::new(20));
        assert!(queue.offer_arrivals(Numbers::new(&confirmed, 1000..2000), bounds).is_empty());
        let mut waiting: VecDeque<_> =
            (0..20).filter(|n| !senders.send(*n, &mut queue, bounds)).collect();
        assert_eq!(waiting.len(), 20);
        let mut rounds = 0;
        while let Some(first) = waiting.front().copied() {
            take(&mut queue, bounds);
            rounds += 1;
            if senders.0[first].1.0.load(Ordering::Relaxed) == 1 {
                assert!(senders.send(first, &mut queue, bounds));
                waiting.pop_front();
            }
        }
        assert!(rounds <= 2 * 20 + 2, "every other place, so {rounds} is too many");
        assert!(!queue.waiters.expect("the peers still wait").batches.is_empty());
    }
}

#[test]
fn a_suspended_queue_refuses_and_a_paused_one_does_not() {
    let bounds = Mailbox::default();
    let mut queue = Queue::<Nobody>::new();
    queue.intake = Intake::Paused;
    assert!(matches!(offer(&mut queue, 0, bounds, None), Offer::Accepted));
    queue.intake = Intake::Suspended;
    let refused = offer(&mut queue, 1, bounds, None);
    assert!(matches!(refused, Offer::Refused(Refusal::Suspended)));
    queue.close(&mut WorkBatch::default());
    let refused = offer(&mut queue, 2, bounds, None);
    assert!(matches!(refused, Offer::Refused(Refusal::Stopped)));
}
