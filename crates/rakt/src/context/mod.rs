//! What a handler can see and do besides its message.
//!
//! - `current`: what is known of the message at hand
//! - `later`: replies that a task gives

mod current;
mod later;

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Poll, Waker};
use std::time::{Duration, Instant};

use rakt_wire::Metadata;

use crate::actor::{Actor, Entry, Handler};
use crate::cell::{AnyCell, Cell, Signal, Watcher};
use crate::error::{AskError, Bound, Cause, Refusal, Result};
use crate::events::{DeadLetter, StopReason};
use crate::mailbox::dispatch;
use crate::mailbox::hand::{Deferred, InHand, Item};
use crate::mailbox::letter::{About, Asker, Cancellation, Letter, Reply, Run};
use crate::message::Message;
use crate::reference::{ActorRef, Receives, Target};
use crate::send::{Ask, AskAll, Tell, TellAll};
use crate::spawn::Spawn;
use crate::supervision::Decider;
use crate::system::ActorSystem;
use crate::ticks::{Call, Ticks};
use crate::timers::{self, Timer};

pub(crate) use current::Current;
use current::Exclusive;
pub use current::Extensions;
use later::Handoff;
pub use later::ReplyLater;

/// The actor's view of itself, its system, and the message at hand.
pub struct Context<A: Actor> {
    cell: Arc<Cell<A>>,
    pub(crate) current: Current,
    extra: Option<Box<Extra<A>>>,
    stop_requested: bool,
    unstash_requested: bool,
    /// Messages handled since other tasks had a turn.
    handled: u32,
    doze: Doze,
}

/// An actor that has worked off its mailbox waits for more until the next but one tick.
#[derive(Default)]
pub(crate) struct Doze {
    call: Option<Call>,
    /// Something was taken out of the mailbox since the call.
    pub(crate) has_worked: bool,
    /// The message at hand came alone, and found the actor dozing.
    pub(crate) is_lone: bool,
    /// The cell has the task's waker already, for when the message at hand is done.
    pub(crate) is_noted: bool,
}

impl Doze {
    /// Whether there was a tick since the call.
    #[inline]
    pub(crate) fn is_due(&self, ticks: &Ticks, waker: &Waker) -> bool {
        self.call.is_some_and(|call| ticks.is_over(waker, call))
    }

    fn go_on(&mut self, ticks: &Arc<Ticks>, waker: &Waker) {
        let call = ticks.call(waker, self.call);
        if self.call.replace(call) != Some(call) {
            self.has_worked = false;
        }
    }
}

/// What most actors do without.
pub(crate) struct Extra<A: Actor> {
    children: Vec<Arc<dyn AnyCell>>,
    stash: Exclusive<Vec<Item<A>>>,
    watching: HashMap<u64, Watched>,
    timers: Vec<Timer>,
    decider: Decider,
}

enum Watched {
    Local(Arc<dyn AnyCell>),
    #[cfg(feature = "remote")]
    Remote(Arc<crate::remote::RemoteTarget>),
}

impl Watched {
    fn unwatch(self, watch: u64) {
        match self {
            Self::Local(cell) => cell.unwatch(
                &|watcher| matches!(watcher, Watcher::Actor { watch: other, .. } if *other == watch),
            ),
            #[cfg(feature = "remote")]
            Self::Remote(remote) => remote.unwatch(watch),
        }
    }
}

impl<A: Actor> Extra<A> {
    /// Ends timers and watches.
    fn let_go(&mut self) {
        self.timers.drain(..).for_each(|timer| timer.cancel());
        self.watching.drain().for_each(|(watch, watched)| watched.unwatch(watch));
    }
}

/// Most actors have let go of everything by now. One that was dropped while it started has not, and
/// nobody else knows of its children.
impl<A: Actor> Drop for Extra<A> {
    fn drop(&mut self) {
        self.let_go();
        for child in self.children.drain(..) {
            child.signal(Signal::Stop { finish: false, reason: StopReason::Stopped });
        }
    }
}

impl<A: Actor> Default for Extra<A> {
    fn default() -> Self {
        Self {
            children: Vec::new(),
            stash: Exclusive::default(),
            watching: HashMap::new(),
            timers: Vec::new(),
            decider: Decider::default(),
        }
    }
}

/// An actor handles this many messages before other tasks get a turn.
const TURN: u32 = 256;

/// Messages that an actor may stash: 8192.
pub const STASH_CAPACITY: usize = 8192;

impl<A: Actor> std::fmt::Debug for Context<A> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Context").field("path", &self.cell.path).finish_non_exhaustive()
    }
}

impl<A: Actor> Context<A> {
    /// A reference to this actor.
    pub fn me(&self) -> ActorRef<A> {
        ActorRef::local(self.cell.clone())
    }

    /// The actor's path: its name, after those of its parents.
    pub fn path(&self) -> &str {
        &self.cell.path
    }

    /// The system that the actor lives in.
    pub fn system(&self) -> &ActorSystem {
        &self.cell.system
    }

    /// The parent, if the actor was spawned by another.
    pub fn parent(&self) -> Option<ActorRef> {
        self.cell.parent.clone().map(|cell| ActorRef::from_target(Target::Local(cell)))
    }

    /// Who sent the message at hand, if an actor did. It may live on another node.
    pub fn sender(&self) -> Option<&ActorRef> {
        self.current.sender.as_ref()
    }

    /// When the asker of the message at hand stops waiting.
    pub fn deadline(&self) -> Option<Instant> {
        self.current.deadline
    }

    /// The metadata that came with the message at hand.
    pub fn metadata(&self) -> Option<&Metadata> {
        self.current.metadata()
    }

    /// What the context propagator made of the metadata of the message at hand.
    pub fn extensions(&mut self) -> &mut Extensions {
        &mut self.current.attached().extensions
    }

    /// Whether the asker of the message at hand has given up, so that the reply is of no use.
    pub fn is_cancelled(&self) -> bool {
        self.current.cancellation.is_cancelled()
    }

    /// Completes when the asker of the message at hand gives up; never for a `tell`.
    ///
    /// # Cancel safety
    /// Nothing is lost when the future is dropped.
    pub fn cancelled(&self) -> impl Future<Output = ()> + Send + 'static {
        let cancellation = self.current.cancellation.clone();
        std::future::poll_fn(move |cx| cancellation.poll_cancelled(cx))
    }

    /// Sends a message with this actor as its sender, so that the receiver can answer.
    /// See [`ActorRef::tell`].
    pub fn tell<'a, T, M>(&self, target: &'a ActorRef<T>, message: M) -> Tell<'a, T, M>
    where
        T: Receives<M>,
        M: Message,
    {
        target.tell(message).from(&self.me()).carrying(self.current.extensions())
    }

    /// Asks with this actor as the sender. See [`ActorRef::ask`].
    ///
    /// The actor handles nothing else while its handler awaits the reply: two actors that ask each
    /// other wait until one times out. See [`forward`](Self::forward) and [`defer`](Self::defer).
    pub fn ask<'a, T, M>(&self, target: &'a ActorRef<T>, message: M) -> Ask<'a, T, M>
    where
        T: Receives<M>,
        M: Message,
    {
        target.ask(message).from(&self.me()).carrying(self.current.extensions())
    }

    /// Sends messages in order, with this actor as the sender. See [`ActorRef::tell_all`].
    pub fn tell_all<'a, T, M>(
        &self,
        target: &'a ActorRef<T>,
        messages: impl IntoIterator<Item = M>,
    ) -> TellAll<'a, T, M>
    where
        T: Receives<M>,
        M: Message,
    {
        target.tell_all(messages).from(&self.me()).carrying(self.current.extensions())
    }

    /// Asks with several messages at once, with this actor as the sender. See [`ActorRef::ask_all`].
    pub fn ask_all<'a, T, M>(
        &self,
        target: &'a ActorRef<T>,
        messages: impl IntoIterator<Item = M>,
    ) -> AskAll<'a, T, M>
    where
        T: Receives<M>,
        M: Message,
    {
        target.ask_all(messages).from(&self.me()).carrying(self.current.extensions())
    }

    /// Starts a child. It is stopped when this actor stops or is restarted. See
    /// [`ActorSystem::spawn`].
    pub fn spawn<C: Actor>(
        &mut self,
        name: impl Into<String>,
        factory: impl Fn() -> C + Send + Sync + 'static,
    ) -> Spawn<'_, C> {
        let path = format!("{}/{}", self.cell.path, name.into());
        let system = self.cell.system.clone();
        let parent: Arc<dyn AnyCell> = self.cell.clone();
        let children = &mut self.extra.get_or_insert_default().children;
        Spawn::new(system, path, factory, Some((parent, children)))
    }

    /// The children that have not ended.
    pub fn children_refs(&self) -> impl Iterator<Item = ActorRef> + '_ {
        self.children().iter().cloned().map(|cell| ActorRef::from_target(Target::Local(cell)))
    }

    /// Stops this actor after the message at hand. Queued messages become dead letters.
    pub fn stop(&mut self) {
        self.stop_requested = true;
    }

    /// Asks to hear of the end of `target`: [`Actor::terminated`] is called exactly once for each
    /// call of this, with the reason, also where the target has ended already or its node is lost.
    ///
    /// Returns a number for [`unwatch`](Self::unwatch).
    pub fn watch<T>(&mut self, target: &ActorRef<T>) -> u64 {
        static WATCHES: AtomicU64 = AtomicU64::new(1);
        let watch = WATCHES.fetch_add(1, Ordering::Relaxed);
        let me = Arc::downgrade(&self.cell);
        let watched = match target.target() {
            Target::Local(cell) => Watched::Local(cell.clone()),
            #[cfg(feature = "remote")]
            Target::Remote(remote) => Watched::Remote(remote.clone()),
        };
        let extra = self.extra.get_or_insert_default();
        match extra.watching.entry(watch).insert_entry(watched).get() {
            Watched::Local(cell) => cell.watch(Watcher::Actor { watcher: me, watch }),
            #[cfg(feature = "remote")]
            Watched::Remote(remote) => remote.watch(me, watch),
        }
        watch
    }

    /// Takes a [`watch`](Self::watch) back; nothing more is heard of it, even if it is under way.
    pub fn unwatch(&mut self, watch: u64) {
        if let Some(watched) = self.extra.as_mut().and_then(|extra| extra.watching.remove(&watch)) {
            watched.unwatch(watch);
        }
    }

    /// Takes the reply of the message at hand into your own hands, for a task to give later.
    ///
    /// The second value is what the handler returns instead of a reply:
    /// ```
    /// # use rakt::prelude::*;
    /// # struct Slow; impl Actor for Slow {}
    /// # struct Work; impl Message for Work { type Reply = u64; }
    /// impl Handler<Work> for Slow {
    ///     async fn handle(&mut self, _: Work, ctx: &mut Context<Self>) -> Result<u64> {
    ///         let (later, deferred) = ctx.defer();
    ///         tokio::spawn(async move { later.send(42) });
    ///         deferred
    ///     }
    /// }
    /// ```
    pub fn defer<R: Send + 'static>(&mut self) -> (ReplyLater<R>, Result<R>) {
        let handoff = Handoff::<R>::default();
        *self.current.attached().deferred.reach() = Some(Box::new(handoff.clone()));
        (ReplyLater(handoff), Err(Box::new(Deferred)))
    }

    /// Puts the message at hand aside, with the place for its reply, until
    /// [`unstash_all`](Self::unstash_all). Return what this returns.
    ///
    /// # Errors
    /// The inner value is an error if [`STASH_CAPACITY`] messages are stashed already; returning it
    /// fails the handler.
    pub fn stash<M: Message>(&mut self, message: M) -> Result<M::Reply>
    where
        A: Handler<M>,
    {
        let stashed = self.extra.as_mut().map_or(0, |extra| extra.stash.reach().len());
        if stashed >= STASH_CAPACITY {
            return Err(Box::new(Refusal::ResourceExhausted {
                bound: Bound::Stash,
                limit: STASH_CAPACITY as u64,
            }));
        }
        let about = About {
            deadline: self.current.deadline,
            metadata: self.current.metadata().cloned(),
            reply: Reply::nowhere(),
        };
        *self.current.attached().deferred.reach() = Some(Box::new(Letter {
            message,
            asker: Asker(None),
            sender: self.current.sender.clone(),
            about: Some(Box::new(about)),
        }));
        Err(Box::new(Deferred))
    }

    /// Puts all stashed messages back, in the order they were stashed and in front of those that wait.
    pub fn unstash_all(&mut self) {
        self.unstash_requested = true;
    }

    /// Passes a message on with the sender, deadline and reply of the message at hand: `target`
    /// answers the asker. Return what this returns.
    ///
    /// # Errors
    /// The inner value is an error if the message was not accepted; returning it fails the handler.
    pub async fn forward<T, M>(&mut self, target: &ActorRef<T>, message: M) -> Result<M::Reply>
    where
        T: Receives<M> + 'static,
        M: Message,
    {
        let sender = self.current.sender.clone();
        if matches!(self.current.cancellation, Cancellation::Never) {
            let mut tell = target.tell(message).carrying(self.current.extensions());
            if let Some(sender) = sender {
                tell = tell.from(&sender);
            }
            tell.await.map_err(|error| Box::new(error.refusal))?;
            return Err(Box::new(Deferred));
        }
        let (later, deferred) = self.defer();
        let left = self.deadline().map(|at| at.saturating_duration_since(timers::now()));
        let mut ask = Ask::owned(target.clone(), message).carrying(self.current.extensions());
        if let Some(sender) = sender {
            ask = ask.from(&sender);
        }
        if let Some(left) = left {
            ask = ask.timeout(left);
        }
        let gone = self.cancelled();
        // Polled once here, so that what is forwarded keeps its order; the rest is a task.
        let mut answering = Box::pin(async move {
            let mut ask = std::pin::pin!(ask);
            let mut gone = std::pin::pin!(gone);
            tokio::select! {
                biased;
                answer = &mut ask => later.finish(answer.map_err(forwarded)),
                () = &mut gone => {}
            }
        });
        let first = std::future::poll_fn(|cx| Poll::Ready(answering.as_mut().poll(cx)));
        if first.await.is_pending() {
            tokio::spawn(answering);
        }
        deferred
    }

    /// Sends `message` to this actor after `delay`, as a [`tell`](ActorRef::tell) does: one that is not
    /// accepted then becomes a dead letter. Dropping the timer does not cancel it; a restart or the end
    /// of the actor does.
    pub fn send_after<M: Message>(&mut self, delay: Duration, message: M) -> Timer
    where
        A: Handler<M>,
    {
        let timer = timers::once(&self.cell, delay, message);
        self.keep(timer)
    }

    /// Sends what `make` makes to this actor every `interval` (at least 1 ms), the first after one
    /// interval. A turn is left out while the mailbox is full.
    pub fn send_every<M: Message>(
        &mut self,
        interval: Duration,
        make: impl FnMut() -> M + Send + 'static,
    ) -> Timer
    where
        A: Handler<M>,
    {
        let timer = timers::periodic(&self.cell, interval, make);
        self.keep(timer)
    }

    fn keep(&mut self, timer: Timer) -> Timer {
        let timers = &mut self.extra.get_or_insert_default().timers;
        timers.retain(|timer| !timer.is_done());
        timers.push(timer.clone());
        timer
    }
}

/// What the runner does with a context.
impl<A: Actor> Context<A> {
    pub(crate) fn new(cell: Arc<Cell<A>>, extra: Option<Box<Extra<A>>>) -> Self {
        let current = Current::default();
        Self {
            cell,
            current,
            extra,
            stop_requested: false,
            unstash_requested: false,
            handled: 0,
            doze: Doze::default(),
        }
    }

    pub(crate) fn cell(&self) -> &Arc<Cell<A>> {
        &self.cell
    }

    pub(crate) fn entry(&self, index: u16) -> &Entry<A> {
        &self.cell.accepts.entries[usize::from(index)]
    }

    pub(crate) fn take_extra(&mut self) -> Option<Box<Extra<A>>> {
        self.extra.take()
    }

    pub(crate) fn set_extra(&mut self, extra: Option<Box<Extra<A>>>) {
        self.extra = extra;
    }

    pub(crate) fn is_interrupted(&self) -> bool {
        self.stop_requested
            || self.unstash_requested
            || self.cell.interrupted.load(Ordering::Relaxed)
    }

    pub(crate) fn after_message(&mut self) {
        self.current = Current::default();
    }

    /// Takes more messages into the empty hand, waiting a little if there are none; says false if there
    /// is something else to do, or nothing at all.
    pub(crate) async fn more(&mut self, hand: &mut InHand<A>) -> bool {
        self.after_message();
        let (cell, doze) = (&self.cell, &mut self.doze);
        let handled = &mut self.handled;
        doze.is_lone = false;
        let is_there = std::future::poll_fn(|cx| {
            let is_noted = std::mem::take(&mut doze.is_noted) && !cell.is_roused();
            let taken = if is_noted { Poll::Pending } else { cell.poll_take(cx, doze, hand) };
            if taken.is_pending() {
                doze.go_on(cell.system.ticks(), cx.waker());
                doze.is_lone = true;
                *handled = 0;
            }
            taken
        });
        let is_there = is_there.await;
        self.doze.has_worked = true;
        is_there
    }

    /// What happened before the next messages are handled may have changed the mailbox: it has to be
    /// looked at again before the actor dozes.
    pub(crate) fn look_up(&mut self) {
        (self.doze.is_noted, self.doze.is_lone) = (false, false);
    }

    /// Counts a message, and says whether the runner is to look up.
    pub(crate) fn count_message(&mut self) -> bool {
        self.handled += 1;
        self.is_to_look_up()
    }

    /// Whether there is something else to do than to handle the next message.
    pub(crate) fn is_to_look_up(&self) -> bool {
        self.handled >= TURN || self.is_interrupted()
    }

    /// Why the message at hand is not to be handled any more, if somebody waits for its reply.
    pub(crate) fn why_unwanted(&self) -> Option<Refusal> {
        if self.is_cancelled() {
            return Some(Refusal::Cancelled);
        }
        // What found the actor with nothing to do has waited for a moment at most, unless all tasks are
        // held up, that of the asker with them: not worth reading the clock.
        let may_be_late = !self.doze.is_lone;
        let is_over = |deadline| may_be_late && deadline <= timers::now();
        self.deadline().is_some_and(is_over).then_some(Refusal::DeadlineExceeded)
    }

    /// Whether it is the turn of other tasks.
    pub(crate) fn take_turn_end(&mut self) -> bool {
        let over = self.handled >= TURN;
        if over {
            self.handled = 0;
        }
        over
    }

    pub(crate) fn take_stop_request(&mut self) -> bool {
        std::mem::take(&mut self.stop_requested)
    }

    /// Notes that an `M` that nobody awaits an answer for is not handled.
    pub(crate) fn lose<M: Message>(&self, reason: &Refusal) {
        self.cell.system.dead_letter(|| DeadLetter {
            target: self.cell.system.address_of(&self.cell.path).into(),
            sender: self.sender().map(ActorRef::address),
            message: crate::actor::message_name::<M>().to_owned(),
            reason: reason.clone(),
            count: 1,
        });
    }

    /// Makes the metadata of the message at hand into extensions.
    #[inline]
    pub(crate) fn extract(&mut self) -> Result<(), Refusal> {
        let Some(attached) = &mut self.current.attached else { return Ok(()) };
        let Some(metadata) = &attached.metadata else { return Ok(()) };
        let Some(propagator) = self.cell.system.propagator() else { return Ok(()) };
        propagator
            .extract(metadata, &mut attached.extensions)
            .map_err(|error| Refusal::Propagation { source: Cause::new(error) })
    }

    pub(crate) fn decider(&mut self) -> &mut Decider {
        &mut self.extra.get_or_insert_default().decider
    }

    pub(crate) fn children(&self) -> &[Arc<dyn AnyCell>] {
        self.extra.as_ref().map_or(&[], |extra| &extra.children)
    }

    pub(crate) fn take_children(&mut self) -> Vec<Arc<dyn AnyCell>> {
        self.extra.as_mut().map(|extra| std::mem::take(&mut extra.children)).unwrap_or_default()
    }

    pub(crate) fn forget_child(&mut self, uid: u64) {
        if let Some(extra) = &mut self.extra {
            extra.children.retain(|child| child.uid() != uid);
        }
    }

    /// Ends a watch, and says whether it was still wanted.
    pub(crate) fn end_watch(&mut self, watch: u64) -> bool {
        self.extra.as_mut().is_some_and(|extra| extra.watching.remove(&watch).is_some())
    }

    /// Gives a deferred reply its destination.
    pub(crate) fn settle<M: Message>(&mut self, reply: Reply<M::Reply>)
    where
        A: Handler<M>,
    {
        let Some(attached) = &mut self.current.attached else { return };
        let Some(deferred) = attached.deferred.reach().take() else { return };
        let deferred = match deferred.downcast::<Handoff<M::Reply>>() {
            Ok(handoff) => return handoff.settle(reply),
            Err(deferred) => deferred,
        };
        if let Ok(mut letter) = deferred.downcast::<Letter<M>>() {
            if let Some(about) = &mut letter.about {
                about.reply = reply;
            }
            let item = Item::Local { run: Run::of(*letter), dispatch: dispatch::<A, M> };
            self.extra.get_or_insert_default().stash.reach().push(item);
        }
    }

    pub(crate) fn unstash_into(&mut self, hand: &mut InHand<A>) {
        if std::mem::take(&mut self.unstash_requested) {
            self.give_back_stash(hand);
        }
    }

    fn give_back_stash(&mut self, hand: &mut InHand<A>) {
        if let Some(extra) = &mut self.extra {
            extra.stash.reach().drain(..).rev().for_each(|item| hand.push_front(item));
        }
    }

    /// Drops what belonged to an actor that is gone: timers, watches; the stash goes back.
    pub(crate) fn forget_the_past(&mut self, hand: &mut InHand<A>) {
        self.give_back_stash(hand);
        if let Some(extra) = &mut self.extra {
            extra.let_go();
        }
        (self.stop_requested, self.unstash_requested) = (false, false);
    }
}

fn forwarded<M>(error: AskError<M>) -> Refusal {
    match error {
        AskError::NotSent { refusal, .. } | AskError::Refused { refusal, .. } => refusal,
        AskError::Timeout { .. } => Refusal::DeadlineExceeded,
        AskError::ConnectionLost { target, source } => Refusal::Unreachable {
            peer: format!("{}:{}", target.host(), target.port()).into(),
            source,
        },
        AskError::BadReply { source, .. } => Refusal::Internal { source },
    }
}
