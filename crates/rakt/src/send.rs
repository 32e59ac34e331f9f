//! Sending: the futures behind `tell`, `ask`, and their batches.
//!
//! Each is a plain struct that sends when it is first polled, so that the common case costs neither a
//! task nor a boxed future.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context as TaskContext, Poll, Waker};
use std::time::Duration;

use rakt_wire::metadata::Metadata;

use crate::actor::AnyActor;
use crate::cell::Push;
use crate::context::Extensions;
use crate::error::{AskError, BoxError, Refusal, TellError};
use crate::mailbox::letter::{About, AnyLetter, Letter, Reply};
use crate::message::Message;
use crate::reference::{ActorRef, Receives, Target};
use crate::slot::{Answer, Slot};
use crate::timers;

#[cfg(feature = "remote")]
use crate::message::Encoded;
#[cfg(feature = "remote")]
use crate::remote::{Fate, How, Outgoing, Place, RemoteAnswer};

/// A target that is borrowed from the caller, or one's own.
enum Held<'a, T> {
    Borrowed(&'a ActorRef<T>),
    Owned(ActorRef<T>),
}

impl<T> std::ops::Deref for Held<'_, T> {
    type Target = ActorRef<T>;

    fn deref(&self) -> &ActorRef<T> {
        match self {
            Self::Borrowed(target) => target,
            Self::Owned(target) => target,
        }
    }
}

/// A message on its way to be accepted.
struct Parcel<'a, T, M: Message> {
    target: Held<'a, T>,
    stage: Stage<M>,
    sender: Option<ActorRef>,
    metadata: Option<Metadata>,
    /// What the context propagator wrote for the handler that sends.
    carried: Option<Result<Metadata, Refusal>>,
    /// The metadata is complete.
    is_injected: bool,
    deadline: Option<std::time::Instant>,
    ticket: Option<u64>,
    #[cfg(feature = "remote")]
    place: Place,
}

enum Stage<M> {
    /// Not offered yet, or offered to a connection that had no room.
    Here(M),
    /// Offered to a mailbox that had no room.
    Letter(Box<dyn AnyLetter>),
    Sent,
}

/// What the reply of a message goes through, once the message is accepted.
enum Receipt<R> {
    /// Nothing more to wait for.
    Accepted,
    Local(Answer<Result<R, Refusal>>),
    #[cfg(feature = "remote")]
    Remote(RemoteAnswer),
}

/// What became of an offer; a message that was not accepted comes back.
type Offered<M> = Poll<Result<Receipt<<M as Message>::Reply>, (Refusal, M)>>;

/// What the sender wants to hear of.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Wish {
    Tell,
    Confirm,
    Ask,
}

impl<'a, T: Receives<M>, M: Message> Parcel<'a, T, M> {
    fn new(target: Held<'a, T>, message: M) -> Self {
        Self {
            target,
            stage: Stage::Here(message),
            sender: None,
            metadata: None,
            carried: None,
            is_injected: false,
            deadline: None,
            ticket: None,
            #[cfg(feature = "remote")]
            place: Place::default(),
        }
    }

    fn ask_timeout(&self) -> Duration {
        match self.target.target() {
            Target::Local(cell) => cell.system().ask_timeout(),
            #[cfg(feature = "remote")]
            Target::Remote(remote) => remote.ask_timeout(),
        }
    }

    /// Lets the context propagator write down the context of the handler that sends.
    fn carry(&mut self, current: &Extensions) {
        let propagator = match self.target.target() {
            Target::Local(cell) => cell.system().propagator(),
            #[cfg(feature = "remote")]
            Target::Remote(remote) => remote.propagator(),
        };
        let Some(propagator) = propagator else { return };
        let mut carrier = Metadata::new();
        let injected = propagator.inject(current, &mut carrier);
        self.carried = Some(injected.map(|()| carrier).map_err(not_propagated));
    }

    /// Adds what the context propagator wrote to the metadata that the sender gave.
    fn inject(&mut self) -> Result<(), Refusal> {
        if self.carried.is_none() {
            self.carry(&Extensions::default());
        }
        if let Some(carried) = self.carried.take().transpose()? {
            let metadata = self.metadata.get_or_insert_default();
            for (key, value) in carried.iter() {
                metadata.insert(key, value).map_err(not_propagated)?;
            }
        }
        self.metadata = self.metadata.take().filter(|metadata| !metadata.is_empty());
        Ok(())
    }

    /// Offers the message. `waker` is `None` where the caller does not want to wait.
    fn poll_accept(&mut self, wish: Wish, waker: Option<&Waker>) -> Offered<M> {
        match std::mem::replace(&mut self.stage, Stage::Sent) {
            Stage::Here(message) => {
                if !std::mem::replace(&mut self.is_injected, true)
                    && let Err(refusal) = self.inject()
                {
                    return Poll::Ready(Err((refusal, message)));
                }
                self.offer(message, wish, waker)
            }
            Stage::Letter(letter) => self.offer_letter(letter, None, waker),
            Stage::Sent => Poll::Pending,
        }
    }

    fn offer(&mut self, message: M, wish: Wish, waker: Option<&Waker>) -> Offered<M> {
        match self.target.target() {
            Target::Local(_) => {
                let (reply, answer) = match wish {
                    Wish::Ask => {
                        let (slot, answer) = Slot::new();
                        (Reply::local(slot), Some(answer))
                    }
                    Wish::Tell | Wish::Confirm => (Reply::nowhere(), None),
                };
                let about = (self.deadline.is_some() || self.metadata.is_some()).then(|| {
                    Box::new(About { deadline: self.deadline, metadata: self.metadata.take() })
                });
                let sender = self.sender.take();
                let letter = Box::new(Letter { message, reply, sender, about });
                self.offer_letter(letter, answer, waker)
            }
            #[cfg(feature = "remote")]
            Target::Remote(_) => self.offer_to_connection(message, wish, waker),
        }
    }

    fn offer_letter(
        &mut self,
        letter: Box<dyn AnyLetter>,
        answer: Option<Answer<Result<M::Reply, Refusal>>>,
        waker: Option<&Waker>,
    ) -> Offered<M> {
        let receipt = answer.map_or(Receipt::Accepted, Receipt::Local);
        let cell = match self.target.target() {
            Target::Local(cell) => cell,
            #[cfg(feature = "remote")]
            Target::Remote(_) => return Poll::Pending,
        };
        let waiter = waker.map(|waker| (&mut self.ticket, waker));
        match T::push(&**cell, letter, waiter) {
            Push::Accepted => {
                self.ticket = None;
                Poll::Ready(Ok(receipt))
            }
            Push::Waiting(letter) => {
                self.stage = match receipt {
                    // The letter holds the other end of the answer: take the message out again, and
                    // make a new letter on the next try.
                    Receipt::Local(_) => self.take_apart(letter),
                    _ => Stage::Letter(letter),
                };
                Poll::Pending
            }
            Push::Refused(letter, refusal) => {
                self.ticket = None;
                match self.take_apart(letter) {
                    Stage::Here(message) => Poll::Ready(Err((refusal, message))),
                    _ => Poll::Pending,
                }
            }
        }
    }

    fn take_apart(&mut self, letter: Box<dyn AnyLetter>) -> Stage<M> {
        let Ok(letter) = letter.into_any().downcast::<Letter<M>>() else { return Stage::Sent };
        self.sender = letter.sender;
        self.metadata = letter.about.and_then(|about| about.metadata);
        Stage::Here(letter.message)
    }

    #[cfg(feature = "remote")]
    fn offer_to_connection(&mut self, message: M, wish: Wish, waker: Option<&Waker>) -> Offered<M> {
        let Target::Remote(remote) = self.target.target() else { return Poll::Pending };
        let Some(wire) = M::wire() else {
            let refusal = Refusal::NoCodec { message: std::any::type_name::<M>().to_owned() };
            return Poll::Ready(Err((refusal, message)));
        };
        let how = match wish {
            Wish::Tell => How::Tell,
            Wish::Confirm => How::Confirm,
            Wish::Ask => How::Ask,
        };
        let remaining = self.deadline.map(|at| at.saturating_duration_since(timers::now()));
        let outgoing = Outgoing {
            how,
            type_name: wire.name(),
            payload: &Encoded { value: &message, functions: wire.message },
            sender: self.sender.as_ref(),
            remaining,
            metadata: self.metadata.as_ref(),
        };
        match remote.poll_send(&outgoing, &mut self.place, waker) {
            Poll::Ready(Ok(None)) => Poll::Ready(Ok(Receipt::Accepted)),
            Poll::Ready(Ok(Some(answer))) => Poll::Ready(Ok(Receipt::Remote(answer))),
            Poll::Ready(Err(refusal)) => Poll::Ready(Err((refusal, message))),
            Poll::Pending => {
                self.stage = Stage::Here(message);
                Poll::Pending
            }
        }
    }

    /// Takes the message back, where it was not accepted.
    fn take_back(&mut self) -> Option<M> {
        let stage = std::mem::replace(&mut self.stage, Stage::Sent);
        let stage = match stage {
            Stage::Letter(letter) => self.take_apart(letter),
            stage => stage,
        };
        match stage {
            Stage::Here(message) => Some(message),
            _ => None,
        }
    }
}

impl<T, M: Message> Drop for Parcel<'_, T, M> {
    fn drop(&mut self) {
        if let (Some(ticket), Target::Local(cell)) = (self.ticket.take(), self.target.target()) {
            cell.forget_waiter(ticket);
        }
    }
}

fn not_propagated(error: impl Into<BoxError>) -> Refusal {
    Refusal::Propagation { detail: error.into().to_string() }
}

/// A time limit that costs nothing until it is waited for.
struct Limit {
    limit: Duration,
    /// Where the time began before the first poll.
    since: Option<tokio::time::Instant>,
    sleep: Option<Pin<Box<tokio::time::Sleep>>>,
}

impl Limit {
    fn new(limit: Duration) -> Self {
        Self { limit, since: None, sleep: None }
    }

    fn poll(&mut self, cx: &mut TaskContext<'_>) -> Poll<()> {
        let (limit, since) = (self.limit, self.since);
        let sleep = self.sleep.get_or_insert_with(|| {
            let until = since.and_then(|since| since.checked_add(limit));
            Box::pin(match until {
                Some(until) => tokio::time::sleep_until(until),
                None => tokio::time::sleep(limit),
            })
        });
        sleep.as_mut().poll(cx)
    }
}

/// How long a `tell` waits for room unless told otherwise: 30 s.
pub const DEFAULT_TELL_TIMEOUT: Duration = Duration::from_secs(30);

/// How long an `ask` waits for its reply unless told or configured otherwise: 5 s.
pub const DEFAULT_ASK_TIMEOUT: Duration = Duration::from_secs(5);

/// The result of [`ActorRef::try_tell`].
pub type TryTell<M> = Result<(), TellError<M>>;

macro_rules! common_options {
    () => {
        /// Names the sender, whom the receiver can answer.
        pub fn from<S>(mut self, sender: &ActorRef<S>) -> Self {
            self.parcel.sender = Some(sender.untyped());
            self
        }

        /// Sends metadata along. Replaces what was given before.
        ///
        /// At most 64 pairs and 16 KiB cross the wire.
        pub fn metadata(mut self, metadata: Metadata) -> Self {
            self.parcel.metadata = Some(metadata);
            self
        }

        pub(crate) fn carrying(mut self, current: &Extensions) -> Self {
            self.parcel.carry(current);
            self
        }
    };
}

/// The future of [`ActorRef::tell`].
#[must_use = "a message is sent when this is awaited"]
pub struct Tell<'a, T: Receives<M>, M: Message> {
    parcel: Parcel<'a, T, M>,
    limit: Option<Limit>,
}

impl<'a, T: Receives<M>, M: Message> Tell<'a, T, M> {
    pub(crate) fn borrowed(target: &'a ActorRef<T>, message: M) -> Self {
        Self::new(Held::Borrowed(target), message)
    }

    pub(crate) fn owned(target: ActorRef<T>, message: M) -> Self {
        Self::new(Held::Owned(target), message)
    }

    fn new(target: Held<'a, T>, message: M) -> Self {
        Self { parcel: Parcel::new(target, message), limit: None }
    }

    common_options!();

    /// How long to wait for room. Default: [`DEFAULT_TELL_TIMEOUT`].
    pub fn timeout(mut self, limit: Duration) -> Self {
        self.limit = Some(Limit::new(limit));
        self
    }

    /// Waits until the message is in the receiver's mailbox, also on another node, or for the reason
    /// why not. Takes as long as an [`ask`](ActorRef::ask) may, unless a timeout is given.
    ///
    /// # Errors
    /// [`AskError`]: why it is not in the mailbox, or that this is not known.
    ///
    /// # Cancel safety
    /// If the future is dropped, the message may have been sent.
    pub fn confirmed(self) -> Confirmed<'a, T, M> {
        let limit = self.limit.map_or_else(|| self.parcel.ask_timeout(), |limit| limit.limit);
        let request = Request::new(self.parcel, limit, Wish::Confirm);
        Confirmed { request }
    }

    pub(crate) fn now(mut self) -> TryTell<M> {
        match self.parcel.poll_accept(Wish::Tell, None) {
            Poll::Ready(Ok(_)) => Ok(()),
            Poll::Ready(Err((refusal, message))) => Err(self.error(refusal, message)),
            Poll::Pending => unreachable!("nothing waits without a waker"),
        }
    }

    fn error(&self, refusal: Refusal, message: M) -> TellError<M> {
        TellError { target: self.parcel.target.to_string(), refusal, message }
    }
}

impl<T: Receives<M>, M: Message> Unpin for Tell<'_, T, M> {}

impl<T: Receives<M>, M: Message> Future for Tell<'_, T, M> {
    type Output = Result<(), TellError<M>>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut TaskContext<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        match this.parcel.poll_accept(Wish::Tell, Some(cx.waker())) {
            Poll::Ready(Ok(_)) => return Poll::Ready(Ok(())),
            Poll::Ready(Err((refusal, message))) => {
                return Poll::Ready(Err(this.error(refusal, message)));
            }
            Poll::Pending => {}
        }
        let limit = this.limit.get_or_insert_with(|| Limit::new(DEFAULT_TELL_TIMEOUT));
        if limit.poll(cx).is_pending() {
            return Poll::Pending;
        }
        match this.parcel.take_back() {
            Some(message) => Poll::Ready(Err(this.error(Refusal::DeadlineExceeded, message))),
            None => Poll::Pending,
        }
    }
}

/// A message whose outcome is awaited.
struct Request<'a, T: Receives<M>, M: Message> {
    parcel: Parcel<'a, T, M>,
    receipt: Option<Receipt<M::Reply>>,
    limit: Limit,
    wish: Wish,
}

/// How a request ended: with a reply, or, where none was asked for, without.
type Ended<M> = Result<Option<<M as Message>::Reply>, AskError<M>>;

impl<'a, T: Receives<M>, M: Message> Request<'a, T, M> {
    fn new(parcel: Parcel<'a, T, M>, limit: Duration, wish: Wish) -> Self {
        Self { parcel, receipt: None, limit: Limit::new(limit), wish }
    }

    fn target(&self) -> String {
        self.parcel.target.to_string()
    }

    /// Has the message accepted, and no more: what came of it is for [`poll`](Self::poll).
    fn poll_send(&mut self, cx: &mut TaskContext<'_>) -> Poll<Result<(), AskError<M>>> {
        if self.receipt.is_some() {
            return Poll::Ready(Ok(()));
        }
        if self.wish == Wish::Ask && self.parcel.deadline.is_none() {
            self.parcel.deadline = timers::now().checked_add(self.limit.limit);
        }
        match self.parcel.poll_accept(self.wish, Some(cx.waker())) {
            Poll::Ready(Ok(receipt)) => {
                self.receipt = Some(receipt);
                Poll::Ready(Ok(()))
            }
            Poll::Ready(Err((refusal, message))) => {
                let target = self.target();
                Poll::Ready(Err(AskError::NotSent { target, refusal, message }))
            }
            Poll::Pending if self.limit.poll(cx).is_ready() => match self.parcel.take_back() {
                Some(message) => {
                    let (target, refusal) = (self.target(), Refusal::DeadlineExceeded);
                    Poll::Ready(Err(AskError::NotSent { target, refusal, message }))
                }
                None => Poll::Pending,
            },
            Poll::Pending => Poll::Pending,
        }
    }

    fn poll(&mut self, cx: &mut TaskContext<'_>) -> Poll<Ended<M>> {
        std::task::ready!(self.poll_send(cx))?;
        let ended = match self.receipt.as_mut() {
            None => return Poll::Pending,
            Some(Receipt::Accepted) => return Poll::Ready(Ok(None)),
            Some(Receipt::Local(answer)) => Pin::new(answer).poll(cx).map(|answer| match answer {
                Ok(reply) => Ok(Some(reply)),
                Err(refusal) => Err(AskError::Refused { target: self.target(), refusal }),
            }),
            #[cfg(feature = "remote")]
            Some(Receipt::Remote(answer)) => Pin::new(answer).poll(cx).map(|fate| self.read(fate)),
        };
        if ended.is_ready() {
            return ended;
        }
        if self.limit.poll(cx).is_ready() {
            let (target, limit) = (self.target(), self.limit.limit);
            return Poll::Ready(Err(AskError::Timeout { target, limit }));
        }
        Poll::Pending
    }

    #[cfg(feature = "remote")]
    fn read(&self, fate: Fate) -> Ended<M> {
        let payload = match fate {
            Fate::Reply(_) if self.wish == Wish::Confirm => return Ok(None),
            Fate::Reply(payload) => payload,
            Fate::Outcome(_) => {
                let detail = "an outcome where a reply belongs".to_owned();
                return Err(AskError::BadReply { target: self.target(), detail });
            }
            Fate::Refused(refusal) => {
                return Err(AskError::Refused { target: self.target(), refusal });
            }
            Fate::Lost(detail) => {
                return Err(AskError::ConnectionLost { target: self.target(), detail });
            }
        };
        let decode = |payload| match M::wire() {
            Some(wire) => (wire.reply.decode)(payload).map_err(|error| error.0),
            None => Err("the type has no codec".to_owned()),
        };
        match payload.open().map_err(|refusal| refusal.to_string()).and_then(decode) {
            Ok(reply) => Ok(Some(reply)),
            Err(detail) => Err(AskError::BadReply { target: self.target(), detail }),
        }
    }
}

/// The future of [`Tell::confirmed`].
#[must_use = "a message is sent when this is awaited"]
pub struct Confirmed<'a, T: Receives<M>, M: Message> {
    request: Request<'a, T, M>,
}

impl<T: Receives<M>, M: Message> Unpin for Confirmed<'_, T, M> {}

impl<T: Receives<M>, M: Message> Future for Confirmed<'_, T, M> {
    type Output = Result<(), AskError<M>>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut TaskContext<'_>) -> Poll<Self::Output> {
        self.request.poll(cx).map_ok(drop)
    }
}

impl<T: Receives<M>, M: Message> Confirmed<'_, T, M> {
    /// How long to wait for the confirmation. Default: as for an [`ask`](ActorRef::ask).
    pub fn timeout(mut self, limit: Duration) -> Self {
        self.request.limit = Limit::new(limit);
        self
    }
}

/// The future of [`ActorRef::ask`].
#[must_use = "a message is sent when this is awaited"]
pub struct Ask<'a, T: Receives<M>, M: Message> {
    request: Request<'a, T, M>,
}

impl<'a, T: Receives<M>, M: Message> Ask<'a, T, M> {
    pub(crate) fn borrowed(target: &'a ActorRef<T>, message: M) -> Self {
        Self::new(Held::Borrowed(target), message)
    }

    pub(crate) fn owned(target: ActorRef<T>, message: M) -> Self {
        Self::new(Held::Owned(target), message)
    }

    fn new(target: Held<'a, T>, message: M) -> Self {
        let parcel = Parcel::new(target, message);
        let limit = parcel.ask_timeout();
        Self { request: Request::new(parcel, limit, Wish::Ask) }
    }

    /// How long to wait for the reply. Default: that of the system, 5 s if it has none.
    ///
    /// The time that remains travels with the message, as a duration: clocks need not agree.
    pub fn timeout(mut self, limit: Duration) -> Self {
        self.request.limit = Limit::new(limit);
        self
    }

    /// Names the sender, whom the receiver can answer.
    pub fn from<S>(mut self, sender: &ActorRef<S>) -> Self {
        self.request.parcel.sender = Some(sender.untyped());
        self
    }

    /// Sends metadata along. Replaces what was given before.
    ///
    /// At most 64 pairs and 16 KiB cross the wire.
    pub fn metadata(mut self, metadata: Metadata) -> Self {
        self.request.parcel.metadata = Some(metadata);
        self
    }

    pub(crate) fn carrying(mut self, current: &Extensions) -> Self {
        self.request.parcel.carry(current);
        self
    }
}

impl<T: Receives<M>, M: Message> Unpin for Ask<'_, T, M> {}

impl<T: Receives<M>, M: Message> Future for Ask<'_, T, M> {
    type Output = Result<M::Reply, AskError<M>>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut TaskContext<'_>) -> Poll<Self::Output> {
        self.request.poll(cx).map_ok(|reply| reply.expect("an ask ends with a reply or an error"))
    }
}

/// Several requests to one actor, sent in order and under way together.
struct Together<'a, T: Receives<M>, M: Message> {
    requests: Vec<Part<'a, T, M>>,
    since: Option<tokio::time::Instant>,
    /// Requests before this one have been sent.
    sent: usize,
    /// Requests before this one have ended.
    ended: usize,
}

enum Part<'a, T: Receives<M>, M: Message> {
    UnderWay(Box<Request<'a, T, M>>),
    Ended(Ended<M>),
    Taken,
}

impl<'a, T: Receives<M>, M: Message> Together<'a, T, M> {
    fn new(target: &'a ActorRef<T>, messages: impl IntoIterator<Item = M>, wish: Wish) -> Self {
        let request = |message| {
            let parcel = Parcel::new(Held::Borrowed(target), message);
            let limit = parcel.ask_timeout();
            Part::UnderWay(Box::new(Request::new(parcel, limit, wish)))
        };
        Self {
            requests: messages.into_iter().map(request).collect(),
            since: None,
            sent: 0,
            ended: 0,
        }
    }

    fn set_limit(&mut self, limit: Duration) {
        for request in &mut self.requests {
            if let Part::UnderWay(request) = request {
                request.limit = Limit::new(limit);
            }
        }
    }

    fn set_sender(&mut self, sender: &ActorRef) {
        for request in &mut self.requests {
            if let Part::UnderWay(request) = request {
                request.parcel.sender = Some(sender.clone());
            }
        }
    }

    fn carry(&mut self, current: &Extensions) {
        for request in &mut self.requests {
            if let Part::UnderWay(request) = request {
                request.parcel.carry(current);
            }
        }
    }

    fn poll(&mut self, cx: &mut TaskContext<'_>) -> Poll<Vec<Ended<M>>> {
        let now = *self.since.get_or_insert_with(tokio::time::Instant::now);
        while let Some(one) = self.requests.get_mut(self.sent) {
            let Part::UnderWay(request) = one else { break };
            request.limit.since = Some(now);
            match request.poll_send(cx) {
                Poll::Ready(Ok(())) => {}
                Poll::Ready(Err(error)) => *one = Part::Ended(Err(error)),
                Poll::Pending => break,
            }
            self.sent += 1;
        }
        // Looking at the first that has not ended is enough: all must end, in any order.
        while self.ended < self.sent {
            let one = &mut self.requests[self.ended];
            if let Part::UnderWay(request) = one {
                match request.poll(cx) {
                    Poll::Ready(ended) => *one = Part::Ended(ended),
                    Poll::Pending => return Poll::Pending,
                }
            }
            self.ended += 1;
        }
        if self.ended < self.requests.len() {
            return Poll::Pending;
        }
        let take = |one: &mut Part<'a, T, M>| match std::mem::replace(one, Part::Taken) {
            Part::Ended(ended) => Some(ended),
            Part::UnderWay(_) | Part::Taken => None,
        };
        Poll::Ready(self.requests.iter_mut().filter_map(take).collect())
    }
}

/// The future of [`ActorRef::tell_all`]: one outcome a message, in the order given.
#[must_use = "messages are sent when this is awaited"]
pub struct TellAll<'a, T: Receives<M>, M: Message>(Together<'a, T, M>);

impl<'a, T: Receives<M>, M: Message> TellAll<'a, T, M> {
    pub(crate) fn new(target: &'a ActorRef<T>, messages: impl IntoIterator<Item = M>) -> Self {
        Self(Together::new(target, messages, Wish::Confirm))
    }

    /// How long to wait for each confirmation. Default: as for an [`ask`](ActorRef::ask).
    pub fn timeout(mut self, limit: Duration) -> Self {
        self.0.set_limit(limit);
        self
    }

    /// Names the sender, whom the receiver can answer.
    pub fn from<S>(mut self, sender: &ActorRef<S>) -> Self {
        self.0.set_sender(&sender.untyped());
        self
    }

    pub(crate) fn carrying(mut self, current: &Extensions) -> Self {
        self.0.carry(current);
        self
    }
}

impl<T: Receives<M>, M: Message> Unpin for TellAll<'_, T, M> {}

impl<T: Receives<M>, M: Message> Future for TellAll<'_, T, M> {
    type Output = Vec<Result<(), AskError<M>>>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut TaskContext<'_>) -> Poll<Self::Output> {
        self.0.poll(cx).map(|all| all.into_iter().map(|one| one.map(drop)).collect())
    }
}

/// The future of [`ActorRef::ask_all`]: one outcome a message, in the order given.
#[must_use = "messages are sent when this is awaited"]
pub struct AskAll<'a, T: Receives<M>, M: Message>(Together<'a, T, M>);

impl<'a, T: Receives<M>, M: Message> AskAll<'a, T, M> {
    pub(crate) fn new(target: &'a ActorRef<T>, messages: impl IntoIterator<Item = M>) -> Self {
        Self(Together::new(target, messages, Wish::Ask))
    }

    /// How long to wait for each reply. Default: as for an [`ask`](ActorRef::ask).
    pub fn timeout(mut self, limit: Duration) -> Self {
        self.0.set_limit(limit);
        self
    }

    /// Names the sender, whom the receiver can answer.
    pub fn from<S>(mut self, sender: &ActorRef<S>) -> Self {
        self.0.set_sender(&sender.untyped());
        self
    }

    pub(crate) fn carrying(mut self, current: &Extensions) -> Self {
        self.0.carry(current);
        self
    }
}

impl<T: Receives<M>, M: Message> Unpin for AskAll<'_, T, M> {}

impl<T: Receives<M>, M: Message> Future for AskAll<'_, T, M> {
    type Output = Vec<Result<M::Reply, AskError<M>>>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut TaskContext<'_>) -> Poll<Self::Output> {
        let reply = |ended: Ended<M>| ended.map(|reply| reply.expect("an ask ends with a reply"));
        self.0.poll(cx).map(|all| all.into_iter().map(reply).collect())
    }
}

/// An untyped request, as made from an address.
pub type AskAny<M> = Ask<'static, AnyActor, M>;
