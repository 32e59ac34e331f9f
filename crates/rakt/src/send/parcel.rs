//! A message on its way to be accepted, by a mailbox or a connection.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context as TaskContext, Poll, Waker};
use std::time::Duration;

use rakt_wire::metadata::Metadata;

use crate::cell::Push;
use crate::context::Extensions;
use crate::error::{BoxError, Refusal};
use crate::mailbox::letter::{About, Asker, Letter, Reply};
use crate::message::Message;
use crate::reference::{ActorRef, Receives, Target};
use crate::slot::{Answer, Slot};
use crate::ticks::{Call, TICK, Ticks};
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
    /// One task polls this and nothing else for its outcome.
    pub(super) is_alone: bool,
    #[cfg(feature = "remote")]
    place: Place,
}

pub(super) enum Stage<M> {
    /// Not offered yet, or there was no room.
    Here(M),
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
            is_alone: false,
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
            Stage::Sent => Poll::Pending,
        }
    }

    fn offer(&mut self, message: M, wish: Wish, waker: Option<&Waker>) -> Offered<M> {
        let cell = match self.target.target() {
            Target::Local(cell) => cell,
            #[cfg(feature = "remote")]
            Target::Remote(_) => return self.offer_to_connection(message, wish, waker),
        };
        let (asker, receipt) = match wish {
            Wish::Ask => {
                let (slot, answer) = Slot::expected(self.deadline, waker.filter(|_| self.is_alone));
                (Some(slot), Receipt::Local(answer))
            }
            Wish::Tell | Wish::Confirm => (None, Receipt::Accepted),
        };
        let about = self.metadata.take().map(|metadata| {
            Box::new(About { deadline: None, metadata: Some(metadata), reply: Reply::nowhere() })
        });
        let sender = self.sender.take();
        let mut letter = Some(Letter { message, asker: Asker(asker), sender, about });
        let pushed = T::push(&**cell, &mut letter, waker.map(|waker| (&mut self.ticket, waker)));
        let Some(letter) = letter else {
            self.ticket = None;
            return Poll::Ready(Ok(receipt));
        };
        // It was not accepted. The next try makes a new letter. Whoever awaits the answer goes first:
        // else the end of this letter would wake the sender, and so again on every try.
        drop(receipt);
        self.sender = letter.sender;
        self.metadata = letter.about.and_then(|about| about.metadata);
        match pushed {
            Push::Refused(refusal) => {
                self.ticket = None;
                Poll::Ready(Err((refusal, letter.message)))
            }
            Push::Waiting | Push::Accepted => {
                self.stage = Stage::Here(letter.message);
                Poll::Pending
            }
        }
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
            #[cfg(feature = "goakt")]
            reply_name: wire.reply_name(),
            payload: &Encoded { value: &message, functions: &wire.message },
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
        self.leave();
        match std::mem::replace(&mut self.stage, Stage::Sent) {
            Stage::Here(message) => Some(message),
            Stage::Sent => None,
        }
    }
}

impl<T, M: Message> Parcel<'_, T, M> {
    /// The coarse clock that spares most requests a timer.
    pub(super) fn ticks(&self) -> Option<&Arc<Ticks>> {
        match self.target.target() {
            Target::Local(cell) => Some(cell.system().ticks()),
            #[cfg(feature = "remote")]
            Target::Remote(remote) => remote.ticks(),
        }
    }

    /// Waits for room no longer.
    fn leave(&mut self) {
        if let (Some(ticket), Target::Local(cell)) = (self.ticket.take(), self.target.target()) {
            cell.forget_waiter(ticket);
        }
    }
}

impl<T, M: Message> Drop for Parcel<'_, T, M> {
    fn drop(&mut self) {
        self.leave();
    }
}

fn not_propagated(error: impl Into<BoxError>) -> Refusal {
    Refusal::Propagation { detail: error.into().to_string() }
}

/// A time limit that costs nothing until it is waited for, and little if that does not take long.
pub(super) struct Limit {
    pub(super) limit: Duration,
    /// When the time began.
    pub(super) since: Option<tokio::time::Instant>,
    call: Option<Call>,
    sleep: Option<Pin<Box<tokio::time::Sleep>>>,
}

impl Limit {
    pub(super) fn new(limit: Duration) -> Self {
        Self { limit, since: None, call: None, sleep: None }
    }

    /// With a coarse clock, a timer is set only when that has ticked. Not so where it may not tick in
    /// time, or for another: in another runtime, or in another task than before.
    pub(super) fn poll(
        &mut self,
        cx: &mut TaskContext<'_>,
        ticks: Option<&Arc<Ticks>>,
    ) -> Poll<()> {
        let since = *self.since.get_or_insert_with(tokio::time::Instant::now);
        if self.sleep.is_none()
            && self.limit > 2 * TICK
            && let Some(ticks) = ticks
        {
            match self.call {
                Some(call) if ticks.is_over(cx.waker(), call) => {}
                Some(_) => return Poll::Pending,
                None if ticks.is_of_this_runtime() => {
                    self.call = Some(ticks.call(cx.waker(), None));
                    return Poll::Pending;
                }
                None => {}
            }
        }
        let sleep = self.sleep.get_or_insert_with(|| {
            Box::pin(match since.checked_add(self.limit) {
                Some(until) => tokio::time::sleep_until(until),
                None => tokio::time::sleep(self.limit),
            })
        });
        sleep.as_mut().poll(cx)
    }
}
