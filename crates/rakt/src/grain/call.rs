//! Messages to grains on their way: the futures of `tell` and `ask`.
//!
//! Each sends to the activation that takes in messages, as to any actor. If that has closed meanwhile the message comes
//! back, and goes to the one after it. In a cluster that may be on another node: what is asked there is kept until it is
//! answered, since a refusal does not bring it back.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context as TaskContext, Poll, ready};
use std::time::Duration;

use rakt_wire::Metadata;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::Instant;

use super::Grain;
use super::reference::GrainRef;
use super::room::{make_room, room};
use crate::actor::{Actor, Handler};
use crate::context::{ActorCell, Context};
use crate::error::{AskError, Bound, Refusal, TellError};
use crate::hosting::May;
use crate::limit::Limit;
use crate::message::{Message, message_name};
use crate::reference::{ActorRef, Life, Target};
use crate::send::envelope::Carried;
use crate::send::{Ask, DEFAULT_TELL_TIMEOUT, Tell, TryTell};
use crate::system::core::{Clustering, Finding, Refused, Whereabouts};

/// A message, and what it takes to send it to an activation of a grain.
struct Call<'a, G: Grain, M> {
    grain: &'a GrainRef<G>,
    /// Not there while it is being sent.
    message: Option<M>,
    limit: Limit,
    sender: Option<ActorRef>,
    metadata: Option<Metadata>,
    /// The context of the handler that sends it.
    carried: Option<Carried>,
    /// The number of the activation that it was sent to last.
    last: Option<u64>,
    room: Option<Pin<Box<dyn Future<Output = OwnedSemaphorePermit> + Send>>>,
    /// Where it is looked for, in a cluster, and whether that was waited for.
    finding: Option<Finding>,
    has_waited: bool,
    /// The life that it was sent to last, and that which has refused it.
    sent_to: Option<Life>,
    refused_by: Option<Refused>,
}

/// An activation, and what to send to it for how long.
type Found<G, M> = Result<(ActorRef<G>, M, Duration), (Refusal, M)>;

impl<'a, G: Grain, M> Call<'a, G, M> {
    fn new(grain: &'a GrainRef<G>, message: M, limit: Duration) -> Self {
        Self {
            grain,
            message: Some(message),
            limit: Limit::new(limit),
            sender: None,
            metadata: None,
            carried: None,
            last: None,
            room: None,
            finding: None,
            has_waited: false,
            sent_to: None,
            refused_by: None,
        }
    }

    /// Where the message is to be sent next, and how long that may take; or why it cannot be.
    fn poll_target(&mut self, cx: &mut TaskContext<'_>) -> Poll<Found<G, M>> {
        let (found, left) = match self.grain.system.cluster() {
            None => {
                // Before it has gone to a first one.
                let left = self.left();
                let entered = ready!(self.poll_enter(cx));
                (entered.map(|cell| ActorRef::from_target(Target::Local(cell))), left)
            }
            Some(cluster) => {
                let found = ready!(self.poll_find(cluster, cx));
                (found, self.left())
            }
        };
        let Some(message) = self.message.take() else { return Poll::Pending };
        Poll::Ready(match found {
            Ok(found) => Ok((found, message, left)),
            Err(refusal) => Err((refusal, message)),
        })
    }

    /// Where it lives in the cluster, as far as is known.
    fn poll_find(
        &mut self,
        cluster: &Arc<dyn Clustering>,
        cx: &mut TaskContext<'_>,
    ) -> Poll<Result<ActorRef<G>, Refusal>> {
        let place = self.grain.place()?;
        loop {
            if let Some(known) = place.known(self.refused_by.map(|refused| refused.life)) {
                if known.is_local() && cluster.may() != May::Run {
                    return Poll::Ready(Err(Refusal::Fenced));
                }
                (self.finding, self.sent_to) = (None, known.life());
                return Poll::Ready(Ok(known));
            }
            let refused = self.refused_by;
            let find = || cluster.clone().find(&place.id, refused);
            let finding = self.finding.get_or_insert_with(find);
            let Poll::Ready(found) = finding.as_mut().poll(cx) else {
                self.has_waited = true;
                ready!(self.limit.poll(cx, self.grain.system.ticks()));
                return Poll::Ready(Err(Refusal::DeadlineExceeded));
            };
            self.finding = None;
            match found? {
                // It is in there now, unless it has ended already.
                Whereabouts::Here => {
                    if place.known(refused.map(|refused| refused.life)).is_none() {
                        cx.waker().wake_by_ref();
                        return Poll::Pending;
                    }
                }
                Whereabouts::There(found) => {
                    place.note_elsewhere(ActorRef::from_target(found.target().clone()));
                    // Whoever has refused is asked again, if it is known to live since.
                    self.refused_by = None;
                }
            }
        }
    }

    /// Whether a message that was refused for this is to be sent to wherever the grain is now. In a cluster the refusal of one
    /// life says nothing of the next.
    fn is_to_be_sent_again(&mut self, refusal: &Refusal) -> bool {
        let again = match refusal {
            Refusal::Stopped => true,
            Refusal::NotFound
            | Refusal::StaleIncarnation
            | Refusal::ShuttingDown
            | Refusal::Fenced
            | Refusal::Unreachable { .. } => self.sent_to.is_some(),
            _ => false,
        };
        if again {
            let ended = !matches!(refusal, Refusal::Unreachable { .. } | Refusal::Fenced);
            self.refused_by = self.sent_to.take().map(|life| Refused { life, ended });
        }
        again
    }

    /// An activation that takes in messages, as far as is known.
    fn poll_enter(&mut self, cx: &mut TaskContext<'_>) -> Poll<Result<Arc<ActorCell<G>>, Refusal>> {
        let mut permit = None;
        loop {
            if let Some(cell) = self.grain.enter(self.last, &mut permit)? {
                (self.room, self.last) = (None, Some(cell.uid));
                return Poll::Ready(Ok(cell));
            }
            let Some(kind) = self.grain.kind() else { return Poll::Pending };
            let room = self
                .room
                .get_or_insert_with(|| Box::pin(room(kind.clone(), self.grain.system.clone())));
            match room.as_mut().poll(cx) {
                Poll::Ready(free) => permit = Some(free),
                Poll::Pending => {
                    ready!(self.limit.poll(cx, self.grain.system.ticks()));
                    return Poll::Ready(Err(self.no_room()));
                }
            }
        }
    }

    fn no_room(&self) -> Refusal {
        let limit = self.grain.kind().map_or(0, |kind| kind.limit as u64);
        Refusal::ResourceExhausted { bound: Bound::Grains, limit }
    }

    /// The time that is left.
    fn left(&mut self) -> Duration {
        let has_waited = self.room.is_some() || self.has_waited;
        let is_first = self.last.is_none() && self.refused_by.is_none();
        if is_first && !has_waited && !self.limit.is_cut() {
            return self.limit.limit;
        }
        let until = self.limit.deadline();
        until.map_or(self.limit.limit, |until| until.saturating_duration_since(Instant::now()))
    }
}

impl<G: Grain> GrainRef<G> {
    /// Sends a message, which brings the grain to life where it is not. Await the result for it to be sent.
    ///
    /// The future completes when the message is in the mailbox. As [`ActorRef::tell`](crate::ActorRef::tell) it waits
    /// while that is full, and also while so many grains live that there is [no room](super::GrainKind::limit) for one
    /// more; at most as long as [`GrainTell::timeout`] says.
    ///
    /// Messages from one sender to one grain arrive in the order sent, and each at most once. What is in the mailbox of a
    /// grain that ends is handled by its next activation; what is in that of one that does not come to life becomes a
    /// dead letter.
    ///
    /// # Errors
    /// [`TellError`](crate::TellError) says why the message was not accepted, and holds it.
    ///
    /// # Cancel safety
    /// If the future is dropped before it completes, the message was not sent.
    pub fn tell<M: Message>(&self, message: M) -> GrainTell<'_, G, M>
    where
        G: Handler<M>,
    {
        GrainTell::new(self, message)
    }

    /// Sends a message as [`tell`](Self::tell), and waits for nothing.
    ///
    /// # Errors
    /// As [`tell`](Self::tell), and where that would wait.
    pub fn try_tell<M: Message>(&self, message: M) -> TryTell<M>
    where
        G: Handler<M>,
    {
        GrainTell::new(self, message).now()
    }

    /// Sends a message as [`tell`](Self::tell), and waits for the reply. See [`ActorRef::ask`](crate::ActorRef::ask).
    ///
    /// # Errors
    /// [`AskError`](crate::AskError): [`Refusal::ActivationFailed`] where the grain did not come to life.
    ///
    /// # Cancel safety
    /// If the future is dropped, the grain may have handled the message.
    pub fn ask<M: Message>(&self, message: M) -> GrainAsk<'_, G, M>
    where
        G: Handler<M>,
    {
        GrainAsk::new(self, message)
    }
}

/// The options that a tell and an ask share.
macro_rules! call_options {
    () => {
        /// Names the sender, whom the grain can answer.
        pub fn sender<S>(mut self, sender: &ActorRef<S>) -> Self {
            self.call.sender = Some(sender.untyped());
            self
        }

        /// Sends metadata along. Replaces what was given before.
        pub fn metadata(mut self, metadata: Metadata) -> Self {
            self.call.metadata = Some(metadata);
            self
        }

        /// How long to wait.
        pub fn timeout(mut self, limit: Duration) -> Self {
            self.call.limit = Limit::new(limit);
            self
        }

        /// Sends it as a part of the work on the message at hand: the actor is the sender, waits no longer than the asker of
        /// that message does, and the [context](crate::propagate) of that message goes along.
        pub fn within<A: Actor>(mut self, ctx: &Context<A>) -> Self {
            self.call.sender = Some(ctx.me().untyped());
            self.call.carried = ctx.written_context();
            if let Some(deadline) = ctx.deadline() {
                self.call.limit = Limit::new(self.call.limit.limit).until(deadline);
            }
            self
        }
    };
}

macro_rules! show_call {
    ($future:ident) => {
        impl<G: Grain, M: Message> fmt::Debug for $future<'_, G, M> {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.debug_struct(stringify!($future))
                    .field("target", self.call.grain)
                    .field("message", &format_args!("{}", message_name::<M>()))
                    .finish_non_exhaustive()
            }
        }
    };
}

show_call!(GrainTell);
show_call!(GrainAsk);

/// The future of [`GrainRef::tell`].
#[must_use = "a message is sent when this is awaited"]
pub struct GrainTell<'a, G: Grain, M: Message> {
    call: Call<'a, G, M>,
    sending: Option<Tell<'static, G, M>>,
}

impl<'a, G: Handler<M> + Grain, M: Message> GrainTell<'a, G, M> {
    pub(super) fn new(grain: &'a GrainRef<G>, message: M) -> Self {
        Self { call: Call::new(grain, message, DEFAULT_TELL_TIMEOUT), sending: None }
    }

    call_options!();

    pub(super) fn now(mut self) -> TryTell<M> {
        let mut message = self.call.message.take().expect("nothing was sent yet");
        if let Some(cluster) = self.call.grain.system.cluster() {
            return self.now_in(cluster.clone(), message);
        }
        let mut last = None;
        loop {
            let refusal = match self.call.grain.enter(last, &mut None) {
                Ok(Some(cell)) => {
                    let uid = cell.uid;
                    let target = ActorRef::<G>::from_target(Target::Local(cell));
                    match target.try_tell(message) {
                        Err(error) if error.refusal == Refusal::Stopped => {
                            (message, last) = (error.message, Some(uid));
                            continue;
                        }
                        told => return told,
                    }
                }
                Ok(None) => {
                    if let Some(kind) = self.call.grain.kind() {
                        make_room(kind, 1);
                    }
                    self.call.no_room()
                }
                Err(refusal) => refusal,
            };
            return Err(TellError { target: self.call.grain.address(), refusal, message });
        }
    }
}

impl<'a, G: Handler<M> + Grain, M: Message> GrainTell<'a, G, M> {
    /// The same in a cluster: where it is not known where the grain is, that is looked for, and it is too early to tell it.
    fn now_in(self, cluster: Arc<dyn Clustering>, message: M) -> TryTell<M> {
        let grain = self.call.grain;
        let refused = |refusal, message| TellError { target: grain.address(), refusal, message };
        let place = match grain.place() {
            Ok(place) => place,
            Err(refusal) => return Err(refused(refusal, message)),
        };
        let (refusal, message, life) = match place.known(None) {
            Some(known) if known.is_local() && cluster.may() != May::Run => {
                return Err(refused(Refusal::Fenced, message));
            }
            Some(known) => match known.try_tell(message) {
                Err(error) if error.refusal.is_gone() => {
                    (error.refusal, error.message, known.life())
                }
                told => return told,
            },
            None => {
                let source = "where it lives is not known yet".into();
                let peer = place.id.to_string().into();
                (Refusal::Unreachable { peer, source }, message, None)
            }
        };
        let (place, limit) = (place.clone(), grain.system.ask_timeout());
        grain.system.runtime().spawn(async move {
            let refused = life.map(|life| Refused { life, ended: true });
            let finding = cluster.find(&place.id, refused);
            if let Ok(Ok(Whereabouts::There(found))) = tokio::time::timeout(limit, finding).await {
                place.note_elsewhere(ActorRef::from_target(found.target().clone()));
            }
        });
        Err(refused(refusal, message))
    }
}

impl<G: Grain, M: Message> Unpin for GrainTell<'_, G, M> {}

impl<G: Handler<M> + Grain, M: Message> Future for GrainTell<'_, G, M> {
    type Output = Result<(), TellError<M>>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut TaskContext<'_>) -> Poll<Self::Output> {
        let Self { call, sending } = &mut *self;
        loop {
            if let Some(tell) = sending {
                match ready!(Pin::new(tell).poll(cx)) {
                    Err(error) if call.is_to_be_sent_again(&error.refusal) => {
                        (*sending, call.message) = (None, Some(error.message));
                    }
                    told => return Poll::Ready(told),
                }
            }
            let (target, message, left) = match ready!(call.poll_target(cx)) {
                Ok(found) => found,
                Err((refusal, message)) => {
                    let target = call.grain.address();
                    return Poll::Ready(Err(TellError { target, refusal, message }));
                }
            };
            let mut tell = Tell::owned(target, message).timeout(left);
            if let Some(sender) = &call.sender {
                tell = tell.sender(sender);
            }
            if let Some(metadata) = &call.metadata {
                tell = tell.metadata(metadata.clone());
            }
            if let Some(carried) = &call.carried {
                tell = tell.carrying_written(carried.clone());
            }
            *sending = Some(tell);
        }
    }
}

/// The future of [`GrainRef::ask`].
#[must_use = "a message is sent when this is awaited"]
pub struct GrainAsk<'a, G: Grain, M: Message> {
    call: Call<'a, G, M>,
    sending: Option<Ask<'static, G, M>>,
}

impl<'a, G: Handler<M> + Grain, M: Message> GrainAsk<'a, G, M> {
    pub(super) fn new(grain: &'a GrainRef<G>, message: M) -> Self {
        Self { call: Call::new(grain, message, grain.system.ask_timeout()), sending: None }
    }

    call_options!();
}

impl<G: Grain, M: Message> Unpin for GrainAsk<'_, G, M> {}

impl<G: Handler<M> + Grain, M: Message> Future for GrainAsk<'_, G, M> {
    type Output = Result<M::Reply, AskError<M>>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut TaskContext<'_>) -> Poll<Self::Output> {
        let Self { call, sending } = &mut *self;
        loop {
            if let Some(ask) = sending {
                match ready!(Pin::new(&mut *ask).poll(cx)) {
                    Err(AskError::NotSent { refusal, message, target }) => {
                        if !call.is_to_be_sent_again(&refusal) {
                            let error = AskError::NotSent { refusal, message, target };
                            return Poll::Ready(Err(error));
                        }
                        (*sending, call.message) = (None, Some(message));
                    }
                    Err(AskError::Refused { refusal, target }) => {
                        // Who refuses it on another node does not send it back.
                        let message = ask.take_message();
                        if message.is_none() || !call.is_to_be_sent_again(&refusal) {
                            return Poll::Ready(Err(AskError::Refused { refusal, target }));
                        }
                        (*sending, call.message) = (None, message);
                    }
                    answered => return Poll::Ready(answered),
                }
            }
            let (target, message, left) = match ready!(call.poll_target(cx)) {
                Ok(found) => found,
                Err((refusal, message)) => {
                    let target = call.grain.address();
                    return Poll::Ready(Err(AskError::NotSent { target, refusal, message }));
                }
            };
            let mut ask = Ask::owned(target, message).timeout(left).keeping_message();
            if let Some(sender) = &call.sender {
                ask = ask.sender(sender);
            }
            if let Some(metadata) = &call.metadata {
                ask = ask.metadata(metadata.clone());
            }
            if let Some(carried) = &call.carried {
                ask = ask.carrying_written(carried.clone());
            }
            *sending = Some(ask);
        }
    }
}
