//! What a handler can see and do besides its message.
//!
//! - `beside`: futures and streams whose output comes back as messages
//! - `later`: replies that a task gives
//! - `state`: a context, and the state that only the runner of an actor touches
//! - `runner`: what the runner does with a context
//! - `timers`: messages to an actor's own self

mod beside;
mod later;
mod runner;
mod state;
mod timers;

use std::sync::Arc;
use std::task::Poll;
use std::time::{Duration, Instant};

use rakt_wire::Metadata;

use crate::error::{AskError, Bound, Cause, Declined, Refusal, Result};
use crate::events::{RestartReason, StopReason, WatchId};
use crate::mailbox::letter::{About, Asker, Letter};
use crate::mailbox::reply::Cancellation;
use crate::message::Message;
use crate::message::allowance::Kept;
use crate::peer::Peer;
use crate::propagate::Extensions;
use crate::reference::{ActorRef, Target};
use crate::send::message_for::MessageFor;
use crate::send::{Ask, AskAll, Tell, TellAll};
use crate::system::core::ActorSystem;
use crate::timers::{Timer, now};

pub(crate) use later::Deferred;
use later::Handoff;
pub use later::ReplyLater;
pub use state::Context;
pub(crate) use state::{
    ActorCell, ActorClass, Body, Children, Dispatch, Dispatched, GrainHook, GrainLife, Origin, Work,
};

impl<A> std::fmt::Debug for Context<A> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Context").field("path", &self.cell.path).finish_non_exhaustive()
    }
}

impl<A: Send + 'static> Context<A> {
    /// Messages that an actor may stash: 8192.
    pub const STASH_CAPACITY: usize = 8192;

    /// A reference to this actor.
    pub fn me(&self) -> ActorRef<A> {
        ActorRef::from_target(Target::Local(self.cell.clone()))
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

    /// Why this actor was last built anew; `None` if it never was, so that [`started`](crate::Actor::started) knows
    /// a first start from a restart.
    ///
    /// ```
    /// # use rakt::prelude::*;
    /// # struct Reader;
    /// impl Actor for Reader {
    ///     async fn started(&mut self, ctx: &mut Context<Self>) -> Result {
    ///         match ctx.restart_reason() {
    ///             None => println!("begins at the beginning"),
    ///             Some(reason) => println!("begins again: {reason}"),
    ///         }
    ///         Ok(())
    ///     }
    ///
    ///     async fn stopped(&mut self, ctx: &mut Context<Self>) -> Result {
    ///         if let Some(reason) = ctx.stop_reason() {
    ///             println!("ends for good: {reason}");
    ///         }
    ///         Ok(())
    ///     }
    /// }
    /// ```
    pub fn restart_reason(&self) -> Option<&RestartReason> {
        self.extra.as_ref()?.restart_reason.as_ref()
    }

    /// Why this actor ends, in [`stopped`](crate::Actor::stopped) at its end; `None` before. Where `stopped` runs
    /// before a restart this is `None`, and [`restart_reason`](Self::restart_reason) says why.
    pub fn stop_reason(&self) -> Option<&StopReason> {
        self.stop_reason.as_ref()
    }

    /// Who sent the message at hand, if an actor did. It may live on another node.
    ///
    /// It is an address for answers and no identity: a peer writes whatever sender it likes. Who may be believed is
    /// the [`peer`](Self::peer); see also `remote::Role::own_senders_only`.
    pub fn sender(&self) -> Option<&ActorRef> {
        self.current.sender.as_ref()
    }

    /// The peer over whose connection the message at hand came into this process; `None` if it was sent here.
    ///
    /// It stays with the message where that is stashed, [forwarded](Self::forward) in this process, or passed on by a
    /// router or a topic. It does not come along with what a handler sends: that is a message of this actor. In hooks
    /// and tasks it is that of no message.
    ///
    /// ```
    /// # use rakt::prelude::*;
    /// # struct Till; struct Refund; impl Message for Refund { type Reply = (); }
    /// impl Handler<Refund> for Till {
    ///     async fn handle(&mut self, _: Refund, ctx: &mut Context<Self>) -> Result {
    ///         match ctx.peer() {
    ///             None => println!("a refund for somebody in this process"),
    ///             Some(peer) if peer.identity().is_proven() => println!("for {}", peer.identity()),
    ///             Some(peer) => println!("for whoever is at {}", peer.from()),
    ///         }
    ///         Ok(())
    ///     }
    /// }
    /// # impl Actor for Till {}
    /// ```
    pub fn peer(&self) -> Option<&Peer> {
        self.current.peer()
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
    ///
    /// While the receiver's mailbox is full, or its node does not take what is sent, the handler waits, and with it
    /// everybody who asked this actor: 30 s at most, and no longer than the asker of the message at hand, unless
    /// [`timeout`](Tell::timeout) says otherwise. [`try_tell`](ActorRef::try_tell) does not wait.
    pub fn tell<'a, T, M>(&self, target: &'a ActorRef<T>, message: M) -> Tell<'a, T, M>
    where
        M: Message + MessageFor<T>,
    {
        let tell = target.tell(message).sender(&self.me()).carrying(self.current.extensions());
        tell.until(self.current.deadline)
    }

    /// Asks with this actor as the sender. See [`ActorRef::ask`]. It waits no longer than the asker of the message
    /// at hand, unless [`timeout`](Ask::timeout) says otherwise.
    ///
    /// The actor handles nothing else while its handler awaits the reply: two actors that ask each
    /// other wait until one times out. See [`forward`](Self::forward) and [`defer`](Self::defer).
    pub fn ask<'a, T, M>(&self, target: &'a ActorRef<T>, message: M) -> Ask<'a, T, M>
    where
        M: Message + MessageFor<T>,
    {
        let ask = target.ask(message).sender(&self.me()).carrying(self.current.extensions());
        ask.until(self.current.deadline)
    }

    /// Sends messages in order, with this actor as the sender. See [`ActorRef::tell_all`].
    pub fn tell_all<'a, T, M>(
        &self,
        target: &'a ActorRef<T>,
        messages: impl IntoIterator<Item = M>,
    ) -> TellAll<'a, T, M>
    where
        M: Message + MessageFor<T>,
    {
        let tell = target.tell_all(messages).sender(&self.me());
        tell.carrying(self.current.extensions()).until(self.current.deadline)
    }

    /// Asks with several messages at once, with this actor as the sender. See [`ActorRef::ask_all`].
    pub fn ask_all<'a, T, M>(
        &self,
        target: &'a ActorRef<T>,
        messages: impl IntoIterator<Item = M>,
    ) -> AskAll<'a, T, M>
    where
        M: Message + MessageFor<T>,
    {
        let ask = target.ask_all(messages).sender(&self.me());
        ask.carrying(self.current.extensions()).until(self.current.deadline)
    }

    /// The children that have not ended.
    pub fn children_refs(&self) -> impl Iterator<Item = ActorRef> + '_ {
        self.children().cloned().map(|cell| ActorRef::from_target(Target::Local(cell)))
    }

    /// Stops this actor after the message at hand. Queued messages become dead letters.
    pub fn stop(&mut self) {
        self.stop_requested = true;
    }

    /// Asks to hear of the end of `target`: [`Actor::terminated`](crate::Actor::terminated) is called exactly once for each
    /// call of this, with the reason, also where the target has ended already or its node is lost.
    ///
    /// What it returns is for [`unwatch`](Self::unwatch), and stands in the [`Terminated`](crate::Terminated).
    pub fn watch<T>(&mut self, target: &ActorRef<T>) -> WatchId {
        let watch = WatchId::next();
        self.extra.get_or_insert_default().watch(target.target().clone(), &self.cell, watch);
        watch
    }

    /// Takes a [`watch`](Self::watch) back; nothing more is heard of it, even if it is under way.
    pub fn unwatch(&mut self, watch: WatchId) {
        if let Some(extra) = &mut self.extra {
            extra.unwatch(watch);
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
    /// If [`STASH_CAPACITY`](Self::STASH_CAPACITY) messages are stashed already, the value [turns](Declined)
    /// this one down; the actor goes on.
    pub fn stash<M: Message + MessageFor<A>>(&mut self, message: M) -> Result<M::Reply> {
        let stashed = self.extra.as_mut().map_or(0, |extra| extra.stash.reach().len());
        if stashed >= Self::STASH_CAPACITY {
            return Err(Box::new(Declined(Refusal::ResourceExhausted {
                bound: Bound::Stash,
                limit: Self::STASH_CAPACITY as u64,
            })));
        }
        let kept = self.take_kept()?;
        let about = About {
            deadline: self.current.deadline,
            metadata: self.current.metadata().cloned(),
            peer: self.current.peer().cloned(),
            token: self.current.attached().token.take(),
            kept,
            ..About::default()
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
    /// Waits until the message is accepted, as a [`tell`](ActorRef::tell) does, so that what is forwarded
    /// keeps its order; the asker's deadline ends that. It does not wait for the reply.
    ///
    /// # Errors
    /// If the message was not accepted, the value [turns](Declined) the message at hand down for the same
    /// reason; the actor goes on.
    pub async fn forward<T, M>(&mut self, target: &ActorRef<T>, message: M) -> Result<M::Reply>
    where
        T: 'static,
        M: Message + MessageFor<T>,
    {
        self.forward_counted(target, message, None).await
    }

    /// The same, and `token` is shared with the message until it is handled.
    pub(crate) async fn forward_counted<T, M>(
        &mut self,
        target: &ActorRef<T>,
        message: M,
        token: Option<&Arc<()>>,
    ) -> Result<M::Reply>
    where
        T: 'static,
        M: Message + MessageFor<T>,
    {
        let (sender, peer) = (self.current.sender.clone(), self.current.peer().cloned());
        let kept = self.take_kept()?;
        if matches!(self.current.cancellation, Cancellation::Never) {
            let mut tell = target.tell(message).counted(token).keeping(kept).of_peer(peer);
            tell = tell.carrying(self.current.extensions());
            if let Some(sender) = sender {
                tell = tell.sender(&sender);
            }
            tell.await.map_err(|error| Declined(error.refusal))?;
            return Err(Box::new(Deferred));
        }
        let left = self.deadline().map(|at| at.saturating_duration_since(now()));
        let ask = Ask::owned(target.clone(), message).counted(token).keeping(kept);
        let mut ask = ask.of_peer(peer);
        ask = ask.carrying(self.current.extensions());
        if let Some(sender) = sender {
            ask = ask.sender(&sender);
        }
        if let Some(left) = left {
            ask = ask.timeout(left);
        }
        let sent = std::future::poll_fn(|cx| ask.poll_sent(cx));
        let gone = self.cancelled();
        tokio::select! {
            biased;
            sent = sent => sent.map_err(|error| Declined(forwarded(error)))?,
            () = gone => return Err(Box::new(Declined(Refusal::Cancelled))),
        }
        let (later, deferred) = self.defer();
        let gone = self.cancelled();
        let mut answering = Box::pin(async move {
            tokio::select! {
                biased;
                answer = ask => later.finish(answer.map_err(forwarded)),
                () = gone => {}
            }
        });
        // The answer is awaited by this task first, and by another from then on.
        let first = std::future::poll_fn(|cx| Poll::Ready(answering.as_mut().poll(cx)));
        if first.await.is_pending() {
            self.cell.system.runtime().spawn(answering);
        }
        deferred
    }

    /// What counts for the message at hand, all of it, where that stays when its handler is done.
    ///
    /// # Errors
    /// There is no room for a message of a peer.
    pub(crate) fn take_kept(&mut self) -> Result<Option<Kept>, Declined> {
        let attached = self.current.attached_mut();
        let mut kept = attached.and_then(|attached| attached.kept.reach().take());
        if let Some(kept) = &mut kept {
            kept.count_all().map_err(Declined)?;
        }
        Ok(kept)
    }

    /// Sends `message` to this actor after `delay`, as a [`tell`](ActorRef::tell) does: one that is not
    /// accepted then becomes a dead letter. Dropping the timer does not cancel it; a restart or the end
    /// of the actor does.
    pub fn send_after<M: Message + MessageFor<A>>(&mut self, delay: Duration, message: M) -> Timer {
        let timer = timers::once(&self.cell, delay, message);
        self.keep(timer)
    }

    /// Sends what `make` makes to this actor every `interval` (at least 1 ms), the first after one
    /// interval. A turn is left out while the one before has not been handled, or the mailbox is full: turns do
    /// not pile up behind a slow handler.
    ///
    /// What it sends are messages like others: they keep the actor from being
    /// [passivated](crate::Spawn::passivate_after).
    pub fn send_every<M: Message + MessageFor<A>>(
        &mut self,
        interval: Duration,
        make: impl FnMut() -> M + Send + 'static,
    ) -> Timer {
        let timer = timers::periodic(&self.cell, interval, make);
        self.keep(timer)
    }

    fn keep(&mut self, timer: Timer) -> Timer {
        self.extra.get_or_insert_default().timers.keep(timer.clone());
        timer
    }
}

fn forwarded<M>(error: AskError<M>) -> Refusal {
    match error {
        AskError::NotSent { refusal, .. } | AskError::Refused { refusal, .. } => refusal,
        AskError::Timeout { .. } => Refusal::DeadlineExceeded,
        // Not a refusal that says that nothing has happened: the target may have acted on the message.
        AskError::ConnectionLost { target, source } => {
            let lost = Lost { peer: format!("{}:{}", target.host(), target.port()), source };
            Refusal::Internal { source: Cause::new(lost) }
        }
        AskError::BadReply { source, .. } => Refusal::Internal { source },
    }
}

/// Why the answer to a forwarded message does not come.
#[derive(Debug, thiserror::Error)]
#[error("the connection to {peer} was lost after the message was passed on")]
struct Lost {
    peer: String,
    source: Cause,
}
