//! The shared half of an actor: its identity and mailbox, reached through every reference to it.
//!
//! The other half, the [`Body`], belongs to whoever runs the actor. An actor with nothing to do dozes a
//! tick or two: its task keeps the body, and the next message wakes it. Then the body rests in here and
//! there is no task; the message that finds it resting starts one.
//!
//! - `signal`: what concerns its life rather than its work

mod signal;

use std::any::{Any, TypeId};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, Weak};
use std::task::{Context as TaskContext, Poll, Wake, Waker};
use std::time::{Duration, Instant};

use tokio::sync::oneshot;

use crate::actor::{Accepts, Actor};
use crate::context::{Doze, Extra};
use crate::error::Refusal;
use crate::events::{StopReason, Terminated};
use crate::life;
use crate::mailbox::Mailbox;
use crate::mailbox::arrivals::Arrivals;
use crate::mailbox::hand::{InHand, Item};
use crate::mailbox::letter::Loose;
use crate::mailbox::queue::{Intake, Offer, Queue};
use crate::supervision::Supervision;
use crate::sync::Lock;
use crate::system::ActorSystem;

use signal::Rare;
pub(crate) use signal::{Signal, WatchKey, Watcher, refuse_signal};

/// What the spawner decided about an actor.
pub(crate) struct Setup<A: Actor> {
    pub(crate) factory: Box<dyn Fn() -> A + Send + Sync>,
    pub(crate) mailbox: Mailbox,
    pub(crate) options: Option<Box<Options>>,
}

/// What most spawners do not decide.
#[derive(Default)]
pub(crate) struct Options {
    pub(crate) supervision: Option<Supervision>,
    pub(crate) passivate_after: Option<Duration>,
    pub(crate) kind: Option<Arc<str>>,
}

impl<A: Actor> Setup<A> {
    pub(crate) fn supervision(&self) -> Option<&Supervision> {
        self.options.as_ref()?.supervision.as_ref()
    }

    pub(crate) fn passivate_after(&self) -> Option<Duration> {
        self.options.as_ref()?.passivate_after
    }
}

/// The state of an actor, which only its runner touches.
pub(crate) struct Body<A: Actor> {
    pub(crate) actor: A,
    pub(crate) extra: Option<Box<Extra<A>>>,
    /// Its `stopped` hook has run, and no new actor is in its place yet.
    pub(crate) has_stopped: bool,
    /// How often the actor has been made to wait for its restart.
    pub(crate) pauses: u32,
}

pub(crate) struct Cell<A: Actor> {
    me: Weak<Cell<A>>,
    pub(crate) system: ActorSystem,
    pub(crate) path: Box<str>,
    /// Tells this life of the name from others.
    pub(crate) uid: u64,
    pub(crate) accepts: Arc<Accepts<A>>,
    pub(crate) setup: Setup<A>,
    pub(crate) parent: Option<Arc<dyn AnyCell>>,
    /// Signals wait: the runner looks here between two messages.
    pub(crate) interrupted: AtomicBool,
    /// The waker that a dozing runner left here has been taken since.
    is_roused: AtomicBool,
    state: Mutex<State<A>>,
}

struct State<A: Actor> {
    queue: Queue<A>,
    runner: Runner<A>,
    rare: Option<Box<Rare>>,
}

/// Who runs the actor.
enum Runner<A: Actor> {
    /// A task that does so, or is about to.
    Working,
    /// A task that has nothing to do, and stays a while in case something comes; or one that is going
    /// to have nothing to do after the message in its hand.
    Dozing(Waker),
    /// Nobody.
    Resting(Box<Body<A>>),
}

/// A cell whose actor type only its own functions know.
pub(crate) trait AnyCell: Any + Send + Sync {
    fn path(&self) -> &str;
    fn uid(&self) -> u64;
    fn system(&self) -> &ActorSystem;
    fn kind(&self) -> Option<&Arc<str>>;
    fn as_any(&self) -> &dyn Any;
    fn signal(&self, signal: Signal);
    /// Adds a watcher, who hears at once if the actor has ended already.
    fn watch(&self, watcher: Watcher);
    /// Removes watchers for whom this holds.
    fn unwatch(&self, gone: &dyn Fn(&Watcher) -> bool);
    /// Removes the watcher that is called.
    fn unwatch_call(&self, key: WatchKey);
    fn has_ended(&self) -> bool;
    fn queue_len(&self) -> usize;
    fn forget_waiter(&self, ticket: u64);
    /// Closes the mailbox for good and turns down what is queued.
    fn abandon(&self, refusal: &Refusal);
    /// Whether peers may send the message of that name, and its place in the actor's list.
    fn accepted(&self, wire_name: &str) -> Option<u16>;
    /// Whether the payload of a message can be decoded.
    fn check(&self, entry: u16, payload: bytes::Bytes) -> Result<(), Refusal>;
    fn push_arrivals(&self, arrivals: Box<dyn Arrivals>);
    /// Puts a letter in the mailbox, if the actor's list has its type.
    fn push_listed(
        &self,
        letter: &mut dyn Loose,
        message: TypeId,
        waiter: Option<(&mut Option<u64>, &Waker)>,
    ) -> Push;
}

/// What became of a letter. It was taken only if it was accepted.
pub(crate) enum Push {
    Accepted,
    Waiting,
    Refused(Refusal),
}

impl<A: Actor> Cell<A> {
    /// A cell whose actor is being started by the caller.
    pub(crate) fn new(
        system: ActorSystem,
        path: Box<str>,
        uid: u64,
        accepts: Arc<Accepts<A>>,
        setup: Setup<A>,
        parent: Option<Arc<dyn AnyCell>>,
    ) -> Arc<Self> {
        Arc::new_cyclic(|me| Self {
            me: me.clone(),
            system,
            path,
            uid,
            accepts,
            setup,
            parent,
            interrupted: AtomicBool::new(false),
            is_roused: AtomicBool::new(false),
            state: Mutex::new(State { queue: Queue::new(), runner: Runner::Working, rare: None }),
        })
    }

    pub(crate) fn me(&self) -> Arc<Self> {
        self.me.upgrade().expect("whoever calls this holds a reference")
    }

    /// Sees to it that the actor runs, if it rests or dozes.
    fn rouse(&self, mut state: MutexGuard<'_, State<A>>) {
        let runner = std::mem::replace(&mut state.runner, Runner::Working);
        drop(state);
        match runner {
            Runner::Working => {}
            Runner::Dozing(waker) => {
                self.is_roused.store(true, Ordering::Relaxed);
                waker.wake();
            }
            Runner::Resting(body) => {
                self.system.runtime().spawn(life::run(self.me(), body));
            }
        }
    }

    /// Wakes senders that have room kept for them now, and sees to it that this does not last for ever.
    /// What peers have sent may have got in as well, and the actor has to see to it.
    #[cold]
    fn let_in(&self, mut state: MutexGuard<'_, State<A>>, wakers: Vec<Waker>) {
        let wants_tick = state.queue.wants_tick();
        if state.queue.intake == Intake::Open && !state.queue.is_empty() {
            self.rouse(state);
        } else {
            drop(state);
        }
        wakers.into_iter().for_each(Waker::wake);
        if wants_tick {
            self.system.ticks().call(&Waker::from(self.me()), None);
        }
    }

    /// Puts a letter of known type in the mailbox.
    pub(crate) fn push<L: Loose + ?Sized>(
        &self,
        letter: &mut L,
        dispatch: crate::mailbox::Dispatch<A>,
        waiter: Option<(&mut Option<u64>, &Waker)>,
    ) -> Push {
        let mut state = self.state.hold();
        let offer = state.queue.offer(letter, dispatch, self.setup.mailbox, waiter);
        let oldest = match offer {
            Offer::Accepted => None,
            Offer::Replaced(oldest) => Some(oldest),
            Offer::Waiting => return Push::Waiting,
            Offer::Refused(refusal) => return Push::Refused(refusal),
        };
        if state.queue.intake == Intake::Open {
            self.rouse(state);
        } else {
            drop(state);
        }
        if let Some(oldest) = oldest {
            self.discard(oldest, &Refusal::Dropped);
        }
        Push::Accepted
    }

    /// Tells whoever cares that a message is not going to be handled.
    pub(crate) fn discard(&self, item: Item<A>, refusal: &Refusal) {
        match item {
            Item::Local { run, .. } => run.refuse_all(refusal, &|message, sender| {
                self.system.dead_letter(|| crate::events::DeadLetter {
                    target: self.system.address_of(&self.path).into(),
                    sender: sender.map(crate::ActorRef::address),
                    message: message.to_owned(),
                    reason: refusal.clone(),
                    count: 1,
                });
            }),
            // The peer hears of it, and makes a dead letter of it where the sender is.
            Item::Remote(batch) => batch.refuse_all(refusal),
        }
    }

    /// Takes the next messages; if there is nothing to do, lays the body to rest instead.
    pub(crate) fn take_or_rest(&self, body: Box<Body<A>>, hand: &mut InHand<A>) -> Next<A> {
        let mut state = self.state.hold();
        if self.interrupted.load(Ordering::Relaxed) {
            return Next::Signals(body);
        }
        match state.queue.intake {
            Intake::Suspended | Intake::Paused => {}
            Intake::Open | Intake::Closed if !state.queue.is_empty() => {
                self.note_work(&mut state);
                let wakers = state.queue.take(hand, self.setup.mailbox);
                if !wakers.is_empty() {
                    self.let_in(state, wakers);
                }
                return Next::Messages(body);
            }
            Intake::Open => {}
            Intake::Closed => return Next::Drained(body),
        }
        state.queue.settle();
        self.note_rest(&mut state);
        state.runner = Runner::Resting(body);
        Next::Resting
    }

    /// Takes the next messages; says false if there is something else to do. With nothing to do it
    /// notes the task, and says so by `Pending`; if its `doze` is over it says false then as well.
    pub(crate) fn poll_take(
        &self,
        cx: &mut TaskContext<'_>,
        doze: &mut Doze,
        hand: &mut InHand<A>,
    ) -> Poll<bool> {
        let mut state = self.state.hold();
        state.runner = Runner::Working;
        self.is_roused.store(false, Ordering::Relaxed);
        if self.interrupted.load(Ordering::Relaxed) || state.queue.intake != Intake::Open {
            return Poll::Ready(false);
        }
        if !state.queue.is_empty() {
            doze.is_lone = doze.is_lone && state.queue.len() == 1;
            self.note_work(&mut state);
            let wakers = state.queue.take(hand, self.setup.mailbox);
            if doze.is_lone && state.queue.is_empty() && self.setup.passivate_after().is_none() {
                state.runner = Runner::Dozing(cx.waker().clone());
                doze.is_noted = true;
            }
            if !wakers.is_empty() {
                self.let_in(state, wakers);
            }
            return Poll::Ready(true);
        }
        if doze.is_due(self.system.ticks(), cx.waker()) {
            if !doze.has_worked {
                return Poll::Ready(false);
            }
            state.queue.shrink();
        }
        self.note_rest(&mut state);
        state.runner = Runner::Dozing(cx.waker().clone());
        Poll::Pending
    }

    /// Whether the waker that a runner left here was taken since. While this says no, whatever comes
    /// wakes the runner: who takes the waker says so before it is woken.
    pub(crate) fn is_roused(&self) -> bool {
        self.is_roused.load(Ordering::Relaxed)
    }

    fn note_rest(&self, state: &mut State<A>) {
        if self.setup.passivate_after().is_some() {
            let rare = state.rare.get_or_insert_default();
            rare.rested.get_or_insert_with(crate::timers::now);
        }
    }

    fn note_work(&self, state: &mut State<A>) {
        if let Some(rare) = &mut state.rare {
            rare.rested = None;
        }
    }

    /// The signals that wait.
    pub(crate) fn take_signals(&self) -> Vec<Signal> {
        let mut state = self.state.hold();
        self.interrupted.store(false, Ordering::Relaxed);
        let Some(rare) = &mut state.rare else { return Vec::new() };
        rare.will_finish = false;
        rare.rested = None;
        std::mem::take(&mut rare.signals)
    }

    pub(crate) fn set_intake(&self, intake: Intake) {
        let mut state = self.state.hold();
        state.queue.intake = intake;
        let wakers = state.queue.wake_waiters(self.setup.mailbox);
        drop(state);
        wakers.into_iter().for_each(Waker::wake);
    }

    /// Puts what is in hand back into the mailbox of an actor that is not to handle messages now.
    pub(crate) fn keep_back(&self, hand: &mut InHand<A>) {
        let mut state = self.state.hold();
        if matches!(state.queue.intake, Intake::Suspended | Intake::Paused) {
            state.queue.put_back(hand);
        }
    }

    pub(crate) fn intake(&self) -> Intake {
        self.state.hold().queue.intake
    }

    /// How long the actor has rested, where passivation keeps count.
    pub(crate) fn rested_for(&self, now: Instant) -> Option<Duration> {
        let state = self.state.hold();
        if matches!(state.runner, Runner::Working) {
            return None;
        }
        let rested = state.rare.as_ref()?.rested?;
        Some(now.saturating_duration_since(rested))
    }

    /// Whether nothing has come in since the passivation signal was sent.
    pub(crate) fn is_quiet(&self) -> bool {
        self.state.hold().queue.is_empty()
    }

    /// Closes the mailbox for good; everything queued is handed over.
    pub(crate) fn close(&self, hand: &mut InHand<A>) {
        let wakers = self.state.hold().queue.close(hand);
        wakers.into_iter().for_each(Waker::wake);
    }

    /// Marks the actor as ended and tells its watchers.
    pub(crate) fn end(&self, reason: &StopReason) {
        let mut state = self.state.hold();
        let rare = state.rare.get_or_insert_default();
        rare.ended = Some(reason.clone());
        let watchers = std::mem::take(&mut rare.watchers);
        let calls = std::mem::take(&mut rare.calls);
        let signals = std::mem::take(&mut rare.signals);
        // It may have left its waker here, which would keep the memory of its task.
        let runner = std::mem::replace(&mut state.runner, Runner::Working);
        drop(state);
        drop(runner);
        for signal in signals {
            refuse_signal(signal);
        }
        for watcher in watchers {
            self.notify(watcher, reason);
        }
        for notify in calls.into_values() {
            notify(reason);
        }
    }

    fn notify(&self, watcher: Watcher, reason: &StopReason) {
        match watcher {
            Watcher::Once(sender) => drop(sender.send(reason.clone())),
            Watcher::Call { notify, .. } => notify(reason),
            Watcher::Actor { watcher, watch } => {
                if let Some(watcher) = watcher.upgrade() {
                    let address = self.system.address_of(&self.path);
                    let terminated = Terminated { address, reason: reason.clone() };
                    watcher.signal(Signal::Terminated { watch, terminated });
                }
            }
        }
    }
}

/// The clock has ticked, and room is kept for senders.
impl<A: Actor> Wake for Cell<A> {
    fn wake(self: Arc<Self>) {
        let mut state = self.state.hold();
        let wakers = state.queue.tick(self.setup.mailbox);
        self.let_in(state, wakers);
    }
}

/// What a runner does next.
pub(crate) enum Next<A: Actor> {
    Messages(Box<Body<A>>),
    Signals(Box<Body<A>>),
    /// The mailbox is closed and empty.
    Drained(Box<Body<A>>),
    /// The body was laid to rest; the runner is done.
    Resting,
}

impl<A: Actor> AnyCell for Cell<A> {
    fn path(&self) -> &str {
        &self.path
    }

    fn uid(&self) -> u64 {
        self.uid
    }

    fn system(&self) -> &ActorSystem {
        &self.system
    }

    fn kind(&self) -> Option<&Arc<str>> {
        self.setup.options.as_ref()?.kind.as_ref()
    }

    fn as_any(&self) -> &dyn Any {
        self
    }

    fn signal(&self, signal: Signal) {
        let mut state = self.state.hold();
        let rare = state.rare.get_or_insert_default();
        if rare.ended.is_some() {
            drop(state);
            return refuse_signal(signal);
        }
        rare.add_signal(signal);
        self.interrupted.store(true, Ordering::Relaxed);
        self.rouse(state);
    }

    fn watch(&self, watcher: Watcher) {
        let mut state = self.state.hold();
        let rare = state.rare.get_or_insert_default();
        match rare.ended.clone() {
            None => rare.add_watcher(watcher),
            Some(reason) => {
                drop(state);
                self.notify(watcher, &reason);
            }
        }
    }

    fn unwatch(&self, gone: &dyn Fn(&Watcher) -> bool) {
        if let Some(rare) = &mut self.state.hold().rare {
            rare.watchers.retain(|watcher| !gone(watcher));
        }
    }

    fn unwatch_call(&self, key: WatchKey) {
        let mut state = self.state.hold();
        let call = state.rare.as_mut().and_then(|rare| rare.calls.remove(&key));
        drop(state);
        drop(call);
    }

    fn has_ended(&self) -> bool {
        self.state.hold().rare.as_ref().is_some_and(|rare| rare.ended.is_some())
    }

    fn queue_len(&self) -> usize {
        self.state.hold().queue.len()
    }

    fn forget_waiter(&self, ticket: u64) {
        let mut state = self.state.hold();
        let wakers = state.queue.forget(ticket, self.setup.mailbox);
        self.let_in(state, wakers);
    }

    fn abandon(&self, refusal: &Refusal) {
        let mut hand = InHand::default();
        self.close(&mut hand);
        while let Some(item) = hand.pop_front() {
            self.discard(item, refusal);
        }
    }

    fn accepted(&self, wire_name: &str) -> Option<u16> {
        self.accepts.find(wire_name)
    }

    fn check(&self, entry: u16, payload: bytes::Bytes) -> Result<(), Refusal> {
        let entry = self.accepts.entries.get(entry as usize).ok_or(Refusal::NotFound)?;
        (entry.check)(payload).map_err(|error| Refusal::Undecodable { source: error.into() })
    }

    fn push_arrivals(&self, arrivals: Box<dyn Arrivals>) {
        let mut state = self.state.hold();
        let dropped = state.queue.offer_arrivals(arrivals, self.setup.mailbox);
        if state.queue.intake == Intake::Open {
            self.rouse(state);
        } else {
            drop(state);
        }
        for (item, refusal) in dropped {
            self.discard(item, &refusal);
        }
    }

    fn push_listed(
        &self,
        letter: &mut dyn Loose,
        message: TypeId,
        waiter: Option<(&mut Option<u64>, &Waker)>,
    ) -> Push {
        match self.accepts.entries.iter().find(|entry| entry.type_id == message) {
            Some(entry) => self.push(letter, entry.dispatch, waiter),
            None => {
                let message = letter.message_name().to_owned();
                Push::Refused(Refusal::NotAccepted { message })
            }
        }
    }
}

/// Completes when the actor has ended.
pub(crate) async fn ended(cell: &dyn AnyCell) -> StopReason {
    let (sender, receiver) = oneshot::channel();
    cell.watch(Watcher::Once(sender));
    receiver.await.unwrap_or(StopReason::Gone)
}

#[cfg(test)]
mod tests {
    use std::future::Future;

    use bytes::Bytes;

    use super::signal::MANY;
    use super::*;
    use crate::mailbox::arrivals::tests::Numbers;
    use crate::message::{Codec, CodecError};
    use crate::reference::{ActorRef, Target};
    use crate::{Accepts, Context, Handler};

    /// A message that peers may send; `true` is handled only once the test says so.
    #[derive(Debug)]
    struct Knock(bool);

    enum Byte {}

    impl Codec<Knock> for Byte {
        fn encoded_len(_: &Knock) -> Option<usize> {
            Some(1)
        }
        fn encode(Knock(waits): &Knock, out: &mut Vec<u8>) -> Result<(), CodecError> {
            out.push((*waits).into());
            Ok(())
        }
        fn decode(bytes: Bytes) -> Result<Knock, CodecError> {
            Ok(Knock(bytes.first() == Some(&1)))
        }
    }

    impl Codec<()> for Byte {
        fn encoded_len((): &()) -> Option<usize> {
            Some(0)
        }
        fn encode((): &(), _: &mut Vec<u8>) -> Result<(), CodecError> {
            Ok(())
        }
        fn decode(_: Bytes) -> Result<(), CodecError> {
            Ok(())
        }
    }

    crate::messages! { Knock as "rakt.cell.tests.Knock" with Byte }

    struct Door(Arc<tokio::sync::Semaphore>, tokio::sync::mpsc::UnboundedSender<()>);

    impl Actor for Door {
        fn accepts(accepts: &mut Accepts<Self>) {
            accepts.remote::<Knock>();
        }
    }

    impl Handler<Knock> for Door {
        async fn handle(&mut self, Knock(waits): Knock, _: &mut Context<Self>) -> crate::Result {
            self.1.send(())?;
            if waits {
                self.0.acquire().await?.forget();
            }
            Ok(())
        }
    }

    fn from_peer() -> Box<dyn Arrivals> {
        Numbers::new(&Arc::default(), [0])
    }

    fn cell<A>(actor: &ActorRef<A>) -> &dyn AnyCell {
        match actor.target() {
            Target::Local(cell) => &**cell,
            #[cfg(feature = "remote")]
            Target::Remote(_) => unreachable!("it lives here"),
        }
    }

    /// Room that was kept for a sender here passes to a peer, whose message has to wake the actor.
    #[test]
    fn what_nobody_waits_for_any_more_does_not_pile_up() {
        let mut rare = Rare::default();
        for _ in 0..10_000 {
            rare.add_signal(Signal::Respawn(oneshot::channel().0));
            rare.add_signal(Signal::Reinstate(oneshot::channel().0));
            rare.add_signal(Signal::Stop { finish: true, reason: StopReason::Stopped });
            rare.add_watcher(Watcher::Once(oneshot::channel().0));
            assert!(rare.signals.len() <= MANY, "{} signals", rare.signals.len());
            assert!(rare.watchers.len() <= MANY, "{} watchers", rare.watchers.len());
        }
    }

    #[tokio::test(start_paused = true)]
    async fn what_gets_in_for_a_sender_that_went_away_is_handled() -> crate::Result {
        let system = ActorSystem::builder("tests").start().await?;
        let gate = Arc::new(tokio::sync::Semaphore::new(0));
        let (sender, mut seen) = tokio::sync::mpsc::unbounded_channel();
        let of_door = gate.clone();
        let door = system
            .spawn("door", move || Door(of_door.clone(), sender.clone()))
            .mailbox(Mailbox::bounded(1))
            .await?;
        door.tell(Knock(true)).await?;
        seen.recv().await;
        door.tell(Knock(false)).await?;
        let mut waiting: Vec<_> = (0..8).map(|_| Box::pin(door.tell(Knock(false)))).collect();
        for one in &mut waiting {
            let polled = std::future::poll_fn(|cx| Poll::Ready(one.as_mut().poll(cx)));
            assert!(polled.await.is_pending());
        }
        cell(&door).push_arrivals(from_peer());
        gate.add_permits(1);
        // After this one the actor has nothing to do: the room is for the first that waits.
        seen.recv().await;
        tokio::time::sleep(Duration::from_secs(1)).await;
        let resting = cell(&door).as_any().downcast_ref::<Cell<Door>>().expect("a door");
        assert!(matches!(resting.state.hold().runner, Runner::Resting(_)));
        drop(waiting);
        let limit = Duration::from_secs(10);
        let seen = tokio::time::timeout(limit, seen.recv()).await;
        seen.expect("the peer's message is handled").expect("the door is there");
        Ok(())
    }

    /// The same where the sender is still there, but is not polled any more.
    #[tokio::test(start_paused = true)]
    async fn what_gets_in_for_a_sender_that_does_not_come_back_is_handled() -> crate::Result {
        let system = ActorSystem::builder("tests").start().await?;
        let (sender, mut seen) = tokio::sync::mpsc::unbounded_channel();
        let gate = Arc::new(tokio::sync::Semaphore::new(1));
        let door = system
            .spawn("door", move || Door(gate.clone(), sender.clone()))
            .mailbox(Mailbox::bounded(1))
            .await?;
        door.tell(Knock(false)).await?;
        let mut waiting = Box::pin(door.tell(Knock(false)));
        let polled = std::future::poll_fn(|cx| Poll::Ready(waiting.as_mut().poll(cx)));
        assert!(polled.await.is_pending());
        cell(&door).push_arrivals(from_peer());
        for _ in 0..2 {
            let seen = tokio::time::timeout(Duration::from_secs(10), seen.recv()).await;
            seen.expect("the first, and the peer's").expect("the door is there");
        }
        Ok(())
    }

    /// The same where all that wait are told to try again, as after a restart.
    #[test]
    fn what_gets_in_for_senders_that_were_sent_away_is_handled() {
        let mut queue = Queue::<Door>::new();
        let bounds = Mailbox::bounded(1);
        assert!(queue.offer_arrivals(from_peer(), bounds).is_empty());
        let mut ticket = None;
        let offer = |queue: &mut Queue<Door>, ticket: &mut Option<u64>| {
            let letter = crate::mailbox::letter::Letter {
                message: Knock(false),
                asker: crate::mailbox::letter::Asker(None),
                sender: None,
                about: None,
            };
            let dispatch = crate::mailbox::dispatch::<Door, Knock>;
            queue.offer(&mut Some(letter), dispatch, bounds, Some((ticket, Waker::noop())))
        };
        assert!(matches!(offer(&mut queue, &mut ticket), Offer::Waiting));
        assert!(queue.offer_arrivals(from_peer(), bounds).is_empty());
        assert_eq!(queue.take(&mut InHand::default(), bounds).len(), 1, "its turn");
        assert!(queue.is_empty());
        assert_eq!(queue.wake_waiters(bounds).len(), 0, "it was woken");
        assert!(!queue.is_empty(), "nobody else would see to it");
    }
}
