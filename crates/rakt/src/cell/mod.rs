//! The shared half of an actor: its identity and mailbox, reached through every reference to it.
//!
//! The other half, the body (`B`), belongs to whoever runs the actor. An actor with nothing to do dozes a
//! tick or two: its task keeps the body, and the next message wakes it. Then the body rests in here and
//! there is no task; the message that finds it resting starts one.
//!
//! - `door`: a cell as those see it who know one message that it takes
//! - `setup`: what holds for all actors of a type, and what the spawner decides
//! - `rare`: signals that wait, and watchers
//! - `doze`: how long an actor with nothing to do waits for more
//! - `eviction`: how one ends whose node may not run it any more

mod door;
mod doze;
mod eviction;
mod rare;
mod setup;

use std::any::{Any, TypeId};
use std::sync::{Arc, Weak};
use std::task::{Context as TaskContext, Poll, Wake, Waker};
use std::time::{Duration, Instant};

use bytes::Bytes;
use rakt_wire::Address;

use crate::call_options::CallOptions;
use crate::error::Refusal;
use crate::events::{StopReason, Terminated, WatchId};
use crate::grain::id::GrainId;
use crate::mailbox::arrivals::{Arrivals, Reachable};
use crate::mailbox::queue::{Intake, Offer, Queue};
use crate::mailbox::run::Loose;
use crate::mailbox::work_batch::{Item, WorkBatch};
use crate::message::allowance::Room;
use crate::message::reader::reading;
use crate::reference::{AnyCell, Life, Push};
use crate::signal::{Signal, Signalled, WatchKey, Watcher, refuse_signal};
use crate::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use crate::sync::{Mutex, MutexGuard};
use crate::system::core::ActorSystem;
use crate::timers::Due;

pub(crate) use door::Door;
pub(crate) use doze::Doze;
pub(crate) use setup::{Entry, Setup};

use rare::Rare;

/// What all actors of a type have in common.
pub(crate) type Class<B, D> = setup::Class<D, fn(Arc<Cell<B, D>>, Box<B>)>;

pub(crate) struct Cell<B, D> {
    me: Weak<Cell<B, D>>,
    pub(crate) system: ActorSystem,
    pub(crate) path: Box<str>,
    /// Tells this life of the name from others.
    pub(crate) uid: u64,
    pub(crate) class: Arc<Class<B, D>>,
    pub(crate) setup: Setup,
    pub(crate) parent: Option<Arc<dyn AnyCell>>,
    /// Signals wait: the runner looks here between two messages.
    pub(crate) interrupted: AtomicBool,
    /// The waker that a dozing runner left here has been taken since.
    is_roused: AtomicBool,
    /// When its task last asked to be woken because its handler waits; 0 if it has not. See `stuck.rs`.
    pub(crate) looked: AtomicU32,
    state: Mutex<State<B, D>>,
}

struct State<B, D> {
    queue: Queue<D>,
    phase: Phase<B>,
    rare: Option<Box<Rare>>,
}

/// Who runs the actor.
enum Phase<B> {
    /// A task that does so, or is about to.
    Working,
    /// A task that has nothing to do, and stays a while in case something comes; or one that is going
    /// to have nothing to do after the message in hand.
    Dozing(Waker),
    /// A task whose handler waits for something.
    Held(Waker),
    /// Nobody.
    Resting(Box<B>),
}

impl<B: Send + 'static, D: Copy + Send + Sync + 'static> Cell<B, D> {
    /// A cell whose actor is being started by the caller.
    pub(crate) fn new(
        system: ActorSystem,
        path: Box<str>,
        uid: u64,
        class: Arc<Class<B, D>>,
        setup: Setup,
        parent: Option<Arc<dyn AnyCell>>,
    ) -> Arc<Self> {
        Arc::new_cyclic(|me| Self {
            me: me.clone(),
            system,
            path,
            uid,
            class,
            setup,
            parent,
            interrupted: AtomicBool::new(false),
            is_roused: AtomicBool::new(false),
            looked: AtomicU32::new(0),
            state: Mutex::new(State { queue: Queue::new(), phase: Phase::Working, rare: None }),
        })
    }

    pub(crate) fn me(&self) -> Arc<Self> {
        self.me.upgrade().expect("whoever calls this holds a reference")
    }

    /// Sees to it that the actor runs, if it rests or dozes.
    #[inline]
    fn rouse(&self, state: MutexGuard<'_, State<B, D>>) {
        // One that is held looks up when its handler is done.
        if !matches!(state.phase, Phase::Working | Phase::Held(_)) {
            self.rouse_from_rest(state);
        }
    }

    fn rouse_from_rest(&self, mut state: MutexGuard<'_, State<B, D>>) {
        let phase = std::mem::replace(&mut state.phase, Phase::Working);
        drop(state);
        match phase {
            Phase::Working | Phase::Held(_) => {}
            Phase::Dozing(waker) => {
                self.is_roused.store(true, Ordering::Relaxed);
                waker.wake();
            }
            Phase::Resting(body) => {
                (self.class.run)(self.me(), body);
            }
        }
    }

    /// Wakes senders that have room kept for them now, and sees to it that this does not last for ever.
    /// What peers have sent may have got in as well, and the actor has to see to it.
    #[cold]
    fn let_in(&self, mut state: MutexGuard<'_, State<B, D>>, wakers: Vec<Waker>) {
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
        dispatch: D,
        waiter: Option<(&mut Option<u64>, &Waker)>,
    ) -> Push {
        let mut state = self.state.lock();
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
    pub(crate) fn discard(&self, item: Item<D>, refusal: &Refusal) {
        match item {
            Item::Local { run, .. } => run.refuse_all(refusal, &|message, sender| {
                self.system.dead_letter(|| crate::events::DeadLetter {
                    target: self.system.address_of(&self.path).into(),
                    sender: sender(),
                    message: message.to_owned(),
                    reason: refusal.clone(),
                    count: 1,
                });
            }),
            // The peer hears of it, and makes a dead letter of it where the sender is. But a grain has another life.
            Item::Remote(batch) => match self.relay().filter(|_| *refusal == Refusal::Stopped) {
                Some(relay) => relay.push_arrivals(batch),
                None => batch.refuse_all(refusal),
            },
        }
    }

    /// What passes messages of peers on to wherever a grain lives next, in a cluster.
    fn relay(&self) -> Option<Arc<dyn Reachable>> {
        self.setup.grain()?;
        self.system.cluster()?;
        let id = GrainId::of_path(&self.path)?;
        self.system.0.grains.get(id.kind())?.clone().relay(&self.system, id.key())
    }

    /// The same of all that is left.
    pub(crate) fn discard_all(&self, left: &mut WorkBatch<D>, refusal: &Refusal) {
        while let Some(item) = left.pop_front() {
            self.discard(item, refusal);
        }
    }

    /// Takes the next messages; if there is nothing to do, lays the body to rest instead.
    pub(crate) fn take_or_rest(&self, body: Box<B>, work: &mut WorkBatch<D>) -> Next<B> {
        let mut state = self.state.lock();
        if self.interrupted.load(Ordering::Relaxed) {
            return Next::Signals(body);
        }
        match state.queue.intake {
            Intake::Suspended | Intake::Paused => {}
            Intake::Open | Intake::Closed if !state.queue.is_empty() => {
                self.note_work(&mut state);
                let wakers = state.queue.take(work, self.setup.mailbox);
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
        state.phase = Phase::Resting(body);
        Next::Resting
    }

    /// Takes the next messages; says false if there is something else to do. With nothing to do it
    /// notes the task, and says so by `Pending`; if its `doze` is over it says false then as well.
    pub(crate) fn poll_take(
        &self,
        cx: &mut TaskContext<'_>,
        doze: &mut Doze,
        work: &mut WorkBatch<D>,
    ) -> Poll<bool> {
        let mut state = self.state.lock();
        state.phase = Phase::Working;
        self.is_roused.store(false, Ordering::Relaxed);
        if self.interrupted.load(Ordering::Relaxed) || state.queue.intake != Intake::Open {
            return Poll::Ready(false);
        }
        if !state.queue.is_empty() {
            doze.is_lone = doze.is_lone && state.queue.len() == 1;
            self.note_work(&mut state);
            let wakers = state.queue.take(work, self.setup.mailbox);
            if doze.is_lone && state.queue.is_empty() && self.setup.passivate_after().is_none() {
                state.phase = Phase::Dozing(cx.waker().clone());
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
        state.phase = Phase::Dozing(cx.waker().clone());
        Poll::Pending
    }

    /// Whether the waker that a runner left here was taken since. While this says no, whatever comes
    /// wakes the runner: who takes the waker says so before it is woken.
    pub(crate) fn is_roused(&self) -> bool {
        self.is_roused.load(Ordering::Relaxed)
    }

    /// The actor's handler waits, and is to be woken if the actor is killed; says whether it has been.
    pub(crate) fn hold(&self, waker: &Waker) -> bool {
        let mut state = self.state.lock();
        match &mut state.phase {
            Phase::Working => state.phase = Phase::Held(waker.clone()),
            Phase::Held(known) => known.clone_from(waker),
            // Whatever comes wakes it.
            Phase::Dozing(_) | Phase::Resting(_) => {}
        }
        state.rare.as_ref().is_some_and(|rare| rare.is_killed)
    }

    fn note_rest(&self, state: &mut State<B, D>) {
        if self.setup.passivate_after().is_some() {
            let rare = state.rare.get_or_insert_default();
            rare.rested.get_or_insert_with(crate::timers::now);
        }
    }

    fn note_work(&self, state: &mut State<B, D>) {
        if let Some(rare) = &mut state.rare {
            rare.rested = None;
        }
    }

    /// The signals that wait.
    pub(crate) fn take_signals(&self) -> Vec<Signal> {
        let mut state = self.state.lock();
        self.interrupted.store(false, Ordering::Relaxed);
        let Some(rare) = &mut state.rare else { return Vec::new() };
        rare.will_finish = false;
        rare.rested = None;
        std::mem::take(&mut rare.signals)
    }

    pub(crate) fn set_intake(&self, intake: Intake) {
        let mut state = self.state.lock();
        state.queue.intake = intake;
        let wakers = state.queue.wake_waiters(self.setup.mailbox);
        drop(state);
        wakers.into_iter().for_each(Waker::wake);
    }

    /// Puts the work back into the mailbox of an actor that is not to handle messages now.
    pub(crate) fn keep_back(&self, work: &mut WorkBatch<D>) {
        let mut state = self.state.lock();
        if matches!(state.queue.intake, Intake::Suspended | Intake::Paused) {
            state.queue.put_back(work);
        }
    }

    /// Puts what another life of the actor has left in front of what has come since.
    pub(crate) fn take_over(&self, left: &mut WorkBatch<D>) {
        self.state.lock().queue.put_back(left);
    }

    pub(crate) fn intake(&self) -> Intake {
        self.state.lock().queue.intake
    }

    /// Has this look after how long the actor rests, until the actor ends.
    pub(crate) fn keep_passivation(&self, passivation: Due) {
        self.state.lock().rare.get_or_insert_default().passivation = Some(passivation);
    }

    /// Has this end the pause before a restart, in place of what was to end one before.
    pub(crate) fn keep_pause(&self, pause: Due) {
        let before = self.state.lock().rare.get_or_insert_default().pause.replace(pause);
        drop(before);
    }

    /// How long the actor has rested, where passivation keeps count. One that takes no messages for now
    /// does not rest: it waits for somebody, or for its restart.
    pub(crate) fn rested_for(&self, now: Instant) -> Option<Duration> {
        let state = self.state.lock();
        if matches!(state.phase, Phase::Working | Phase::Held(_))
            || state.queue.intake != Intake::Open
        {
            return None;
        }
        let rested = state.rare.as_ref()?.rested?;
        Some(now.saturating_duration_since(rested))
    }

    /// Whether the actor is neither about to end nor has ended.
    pub(crate) fn takes_messages(&self) -> bool {
        let state = self.state.lock();
        let is_to_end = state.rare.as_ref().is_some_and(|rare| rare.is_to_end());
        state.queue.intake != Intake::Closed && !is_to_end
    }

    /// Whether nothing has come in since the passivation signal was sent.
    pub(crate) fn is_quiet(&self) -> bool {
        self.state.lock().queue.is_empty()
    }

    /// Closes the mailbox for good; everything queued is handed over.
    pub(crate) fn close(&self, work: &mut WorkBatch<D>) {
        let wakers = self.state.lock().queue.close(work);
        wakers.into_iter().for_each(Waker::wake);
    }

    /// Marks the actor as ended and tells its watchers.
    pub(crate) fn end(&self, reason: &StopReason) {
        let mut state = self.state.lock();
        let rare = state.rare.get_or_insert_default();
        rare.ended = Some(reason.clone());
        let watchers = std::mem::take(&mut rare.watchers);
        let waiting = std::mem::take(&mut rare.waiting);
        let calls = std::mem::take(&mut rare.calls);
        let signals = std::mem::take(&mut rare.signals);
        let timers = (rare.passivation.take(), rare.pause.take());
        // It may have left its waker here, which would keep the memory of its task.
        let phase = std::mem::replace(&mut state.phase, Phase::Working);
        drop(state);
        drop((phase, timers));
        // Before anybody hears of the end, and spawns another.
        if let Some(lease) = self.setup.lease() {
            lease.give_back();
        }
        for signal in signals {
            refuse_signal(signal);
        }
        // Peers first: whoever waits here for the end may close the connections next, as a shutdown does.
        for notify in calls.into_iter().flat_map(|calls| calls.into_values()) {
            notify(reason);
        }
        for (watch, watcher) in watchers {
            self.notify(Watcher::Actor { watcher, watch }, reason);
        }
        for sender in waiting {
            self.notify(Watcher::Once(sender), reason);
        }
    }

    fn notify(&self, watcher: Watcher, reason: &StopReason) {
        match watcher {
            Watcher::Once(sender) => drop(sender.send(reason.clone())),
            Watcher::Call { notify, .. } => notify(reason),
            Watcher::Actor { watcher, watch } => {
                if let Some(watcher) = watcher.upgrade() {
                    let address = self.system.address_of(&self.path);
                    let terminated = Terminated { address, reason: reason.clone(), watch };
                    watcher.signal(Signal::Terminated(terminated));
                }
            }
        }
    }
}

/// The clock has ticked, and room is kept for senders.
impl<B: Send + 'static, D: Copy + Send + Sync + 'static> Wake for Cell<B, D> {
    fn wake(self: Arc<Self>) {
        let mut state = self.state.lock();
        let wakers = state.queue.tick(self.setup.mailbox);
        self.let_in(state, wakers);
    }
}

/// What a runner does next.
pub(crate) enum Next<B> {
    Messages(Box<B>),
    Signals(Box<B>),
    /// The mailbox is closed and empty.
    Drained(Box<B>),
    /// The body was laid to rest; the runner is done.
    Resting,
}

impl<B: Send + 'static, D: Copy + Send + Sync + 'static> Signalled for Cell<B, D> {
    fn signal(&self, signal: Signal) {
        let mut state = self.state.lock();
        let rare = state.rare.get_or_insert_default();
        if rare.ended.is_some() {
            drop(state);
            return refuse_signal(signal);
        }
        rare.add_signal(signal);
        self.interrupted.store(true, Ordering::Relaxed);
        self.rouse(state);
    }
}

impl<B: Send + 'static, D: Copy + Send + Sync + 'static> AnyCell for Cell<B, D> {
    fn path(&self) -> &str {
        &self.path
    }

    fn uid(&self) -> u64 {
        self.uid
    }

    fn life(&self) -> Life {
        Life { uid: self.uid, incarnation: self.system.incarnation() }
    }

    fn parent(&self) -> Option<Arc<dyn AnyCell>> {
        self.parent.clone()
    }

    fn address(&self) -> Address {
        self.system.address_of(&self.path)
    }

    fn call_options(&self) -> &CallOptions {
        self.system.call_options()
    }

    fn as_any(&self) -> &dyn Any {
        self
    }

    fn watch(&self, watcher: Watcher) {
        let mut state = self.state.lock();
        let rare = state.rare.get_or_insert_default();
        match rare.ended.clone() {
            None => rare.add_watcher(watcher),
            Some(reason) => {
                drop(state);
                self.notify(watcher, &reason);
            }
        }
    }

    fn evict(&self, refusal: &Refusal) {
        self.end_without_code(refusal);
    }

    fn kill(&self) {
        let mut state = self.state.lock();
        let rare = state.rare.get_or_insert_default();
        if rare.ended.is_some() || std::mem::replace(&mut rare.is_killed, true) {
            return;
        }
        let reason = StopReason::Failed("it was killed".into());
        rare.signals.push(Signal::Stop { finish: false, reason });
        self.interrupted.store(true, Ordering::Relaxed);
        match std::mem::replace(&mut state.phase, Phase::Working) {
            Phase::Held(waker) => {
                drop(state);
                waker.wake();
            }
            phase => {
                state.phase = phase;
                self.rouse(state);
            }
        }
    }

    fn unwatch(&self, watch: WatchId) {
        if let Some(rare) = &mut self.state.lock().rare {
            rare.watchers.remove(&watch);
        }
    }

    fn has_ended(&self) -> bool {
        self.state.lock().rare.as_ref().is_some_and(|rare| rare.ended.is_some())
    }

    fn queue_len(&self) -> usize {
        self.state.lock().queue.len()
    }

    fn capacity(&self) -> u64 {
        self.setup.mailbox.capacity.into()
    }

    fn forget_waiter(&self, ticket: u64) {
        let mut state = self.state.lock();
        let wakers = state.queue.forget(ticket, self.setup.mailbox);
        self.let_in(state, wakers);
    }

    fn push_listed(
        &self,
        letter: &mut dyn Loose,
        message: TypeId,
        waiter: Option<(&mut Option<u64>, &Waker)>,
    ) -> Push {
        match self.class.entries.iter().find(|entry| entry.type_id == message) {
            Some(entry) => self.push(letter, entry.dispatch, waiter),
            None => {
                let message = letter.message_name().to_owned();
                Push::Refused(Refusal::NotAccepted { message })
            }
        }
    }
}

impl<B: Send + 'static, D: Copy + Send + Sync + 'static> Reachable for Cell<B, D> {
    fn kind(&self) -> Option<&Arc<str>> {
        self.setup.kind()
    }

    fn spawner(&self) -> Option<&crate::Peer> {
        self.setup.lease()?.spawner()
    }

    fn accepted(&self, wire_name: &str) -> Option<u16> {
        self.class.accepted(wire_name)
    }

    fn wire_names(&self) -> Vec<&'static str> {
        self.class.entries.iter().filter_map(|entry| entry.wire_name).collect()
    }

    fn check(&self, entry: u16, payload: Bytes, room: &dyn Room) -> Result<(), Refusal> {
        let entry = self.class.entries.get(entry as usize).ok_or(Refusal::NotFound)?;
        reading(self.call_options().reader, || (entry.check)(payload, room))
    }

    fn push_arrivals(&self, arrivals: Box<dyn Arrivals>) {
        let mut state = self.state.lock();
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

    fn unwatch_call(&self, key: WatchKey) {
        let mut state = self.state.lock();
        let call = state.rare.as_mut().and_then(|rare| rare.calls.as_mut()?.remove(&key));
        drop(state);
        drop(call);
    }

    fn abandon(&self, refusal: &Refusal) {
        let mut work = WorkBatch::default();
        self.close(&mut work);
        self.discard_all(&mut work, refusal);
    }
}

#[cfg(test)]
mod tests;
