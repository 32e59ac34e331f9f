//! A message on its way to be accepted, by a mailbox or a connection.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context as TaskContext, Poll, Waker};
use std::time::Duration;

use rakt_wire::metadata::Metadata;

use crate::cell::Push;
use crate::context::Extensions;
use crate::error::{BoxError, Refusal};
use crate::mailbox::letter::{About, AnyLetter, Letter, Reply};
use crate::message::Message;
use crate::reference::{ActorRef, Receives, Target};
use crate::slot::{Answer, Slot};
#[cfg(feature = "remote")]
use crate::timers;

#[cfg(feature = "remote")]
use crate::message::Encoded;
#[cfg(feature = "remote")]
use crate::remote::{How, Outgoing, Place, RemoteAnswer};

/// A target that is borrowed from the caller, or one's own.
pub(super) enum Held<'a, T> {
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
pub(super) struct Parcel<'a, T, M: Message> {
    pub(super) target: Held<'a, T>,
    stage: Stage<M>,
    pub(super) sender: Option<ActorRef>,
    pub(super) metadata: Option<Metadata>,
    /// What the context propagator wrote for the handler that sends.
    carried: Option<Result<Metadata, Refusal>>,
    /// The metadata is complete.
    is_injected: bool,
    pub(super) deadline: Option<std::time::Instant>,
    ticket: Option<u64>,
    #[cfg(feature = "remote")]
    place: Place,
}

pub(super) enum Stage<M> {
    /// Not offered yet, or offered to a connection that had no room.
    Here(M),
    /// Offered to a mailbox that had no room.
    Letter(Box<dyn AnyLetter>),
    Sent,
}

/// What the reply of a message goes through, once the message is accepted.
pub(super) enum Receipt<R> {
    /// Nothing more to wait for.
    Accepted,
    Local(Answer<Result<R, Refusal>>),
    #[cfg(feature = "remote")]
    Remote(RemoteAnswer),
}

/// What became of an offer; a message that was not accepted comes back.
pub(super) type Offered<M> = Poll<Result<Receipt<<M as Message>::Reply>, (Refusal, M)>>;

/// What the sender wants to hear of.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Wish {
    Tell,
    Confirm,
    Ask,
}

impl<'a, T: Receives<M>, M: Message> Parcel<'a, T, M> {
    pub(super) fn new(target: Held<'a, T>, message: M) -> Self {
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

    pub(super) fn ask_timeout(&self) -> Duration {
        match self.target.target() {
            Target::Local(cell) => cell.system().ask_timeout(),
            #[cfg(feature = "remote")]
            Target::Remote(remote) => remote.ask_timeout(),
        }
    }

    /// Lets the context propagator write down the context of the handler that sends.
    pub(super) fn carry(&mut self, current: &Extensions) {
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
    pub(super) fn poll_accept(&mut self, wish: Wish, waker: Option<&Waker>) -> Offered<M> {
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
    pub(super) fn take_back(&mut self) -> Option<M> {
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
pub(super) struct Limit {
    pub(super) limit: Duration,
    /// Where the time began before the first poll.
    pub(super) since: Option<tokio::time::Instant>,
    sleep: Option<Pin<Box<tokio::time::Sleep>>>,
}

impl Limit {
    pub(super) fn new(limit: Duration) -> Self {
        Self { limit, since: None, sleep: None }
    }

    pub(super) fn poll(&mut self, cx: &mut TaskContext<'_>) -> Poll<()> {
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
