//! A message on its way to be accepted, by a mailbox or a connection.

use std::mem::ManuallyDrop;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::task::{Poll, Waker};
use std::time::Duration;

use rakt_wire::{Metadata, Wish};
use tokio::time::Instant;

use super::message_for::MessageFor;
use crate::answer::RemoteAnswer;
use crate::error::{BoxError, Cause, Refusal};
use crate::inside::is_inside;
use crate::mailbox::current::Exclusive;
use crate::mailbox::letter::{About, Asker, Letter};
use crate::message::allowance::Kept;
use crate::message::{Bare, Encoded, Message, claim_name};
use crate::peer::Peer;
use crate::propagate::Extensions;
use crate::reference::{ActorRef, Outgoing, Push, SendState, Target, Way};
use crate::slot::{Answer, Slot};
use crate::ticks::Ticks;

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

/// A message on its way to be accepted. Small, because callers move it: what is rare is boxed.
pub(super) struct Envelope<'a, T, M: Message> {
    /// A grain until one life of it is found, and then that.
    pub(super) target: Held<'a, T>,
    /// The grain that the target is a life of, where that was known and none was looked for.
    grain: Option<&'a ActorRef<T>>,
    /// Not there any more once it was accepted.
    message: Option<M>,
    pub(super) sender: Option<ActorRef>,
    /// Taken out where this is dropped: what drops it is long, and few messages have any.
    enclosed: ManuallyDrop<Option<Box<Enclosed>>>,
    /// The metadata is complete.
    is_injected: bool,
    /// One task polls this and nothing else for its outcome.
    pub(super) is_alone: bool,
    /// The message stays here when a connection has taken it, to be sent elsewhere if it is refused.
    keeps_message: bool,
    ticket: Option<u64>,
}

/// What the context propagator wrote for a handler that sends.
type Carried = Result<Metadata, Refusal>;

/// What few messages have with them.
#[derive(Default)]
struct Enclosed {
    metadata: Option<Metadata>,
    /// Is there until the message is handled, in this process.
    token: Option<Arc<()>>,
    /// What counts for the message as long as it is in this process.
    kept: Exclusive<Option<Kept>>,
    /// The peer that the message came from at first, for a receiver in this process.
    peer: Option<Peer>,
    /// What the context propagator wrote for the handler that sends.
    carried: Option<Carried>,
    /// What a connection keeps for it while it waits.
    state: Option<SendState>,
    /// Its way to a grain.
    way: Option<Box<dyn Way>>,
}

impl Enclosed {
    /// What a letter has with it.
    fn take_about<R: Send + 'static>(&mut self) -> Option<Box<About<R>>> {
        let (metadata, token) = (self.metadata.take(), self.token.take());
        let (kept, peer) = (self.kept.reach().take(), self.peer.take());
        let has_any = metadata.is_some() || token.is_some() || kept.is_some() || peer.is_some();
        has_any.then(|| Box::new(About { metadata, token, kept, peer, ..About::default() }))
    }
}

/// What the reply of a message goes through, once the message is accepted.
pub(super) enum Receipt<R> {
    /// Nothing more to wait for.
    Accepted,
    Local(Answer<Result<R, Refusal>>),
    Remote(RemoteAnswer),
}

/// What became of an offer; a message that was not accepted comes back.
pub(super) type Offered<M> = Poll<Result<Receipt<<M as Message>::Reply>, (Refusal, M)>>;

impl<'a, T, M: Message + MessageFor<T>> Envelope<'a, T, M> {
    pub(super) fn new(target: Held<'a, T>, message: M) -> Self {
        Self {
            target,
            grain: None,
            message: Some(message),
            sender: None,
            enclosed: ManuallyDrop::new(None),
            is_injected: false,
            is_alone: false,
            keeps_message: false,
            ticket: None,
        }
    }

    pub(super) fn ask_timeout(&self) -> Duration {
        self.target.target().call_options().ask_timeout
    }

    /// Sends metadata along, in place of what was given before.
    pub(super) fn enclose(&mut self, metadata: Metadata) {
        self.enclosed.get_or_insert_default().metadata = Some(metadata);
    }

    /// Sends something along that is there until the message is handled.
    pub(super) fn count_in(&mut self, token: Arc<()>) {
        self.enclosed.get_or_insert_default().token = Some(token);
    }

    /// Has what counts for the message count until it is handled.
    pub(super) fn keep(&mut self, kept: Kept) {
        self.enclosed.get_or_insert_default().kept = Exclusive::new(Some(kept));
    }

    /// Has the receiver know the peer that the message came from at first.
    pub(super) fn set_peer(&mut self, peer: Peer) {
        self.enclosed.get_or_insert_default().peer = Some(peer);
    }

    /// Lets the context propagator write down the context of the handler that sends.
    pub(super) fn carry(&mut self, current: &Extensions) {
        let Some(propagator) = &self.target.target().call_options().propagator else { return };
        let mut carrier = Metadata::new();
        let injected = propagator.inject(current, &mut carrier);
        let carried = injected.map(|()| carrier).map_err(not_propagated);
        self.enclosed.get_or_insert_default().carried = Some(carried);
    }

    /// Adds what the context propagator wrote to the metadata that the sender gave.
    #[inline]
    fn inject(&mut self) -> Result<(), Refusal> {
        if self.enclosed.is_none() && self.target.target().call_options().propagator.is_none() {
            return Ok(());
        }
        self.inject_enclosed()
    }

    fn inject_enclosed(&mut self) -> Result<(), Refusal> {
        let is_carried = self.enclosed.as_ref().is_some_and(|enclosed| enclosed.carried.is_some());
        if !is_carried && self.target.target().call_options().propagator.is_some() {
            self.carry(&Extensions::default());
        }
        let Some(enclosed) = &mut *self.enclosed else { return Ok(()) };
        if let Some(carried) = enclosed.carried.take().transpose()? {
            let metadata = enclosed.metadata.get_or_insert_default();
            for (key, value) in carried.iter() {
                metadata.insert(key, value).map_err(not_propagated)?;
            }
        }
        enclosed.metadata.take_if(|metadata| metadata.is_empty());
        Ok(())
    }

    /// Offers the message. `waker` is `None` where the caller does not want to wait, `deadline` is that
    /// of an ask.
    #[inline]
    pub(super) fn poll_accept(
        &mut self,
        wish: Wish,
        deadline: Option<Instant>,
        waker: Option<&Waker>,
    ) -> Offered<M> {
        let offered = self.poll_offer(wish, deadline, waker);
        match offered {
            Poll::Ready(Err(refused)) => self.poll_elsewhere(refused, wish, deadline, waker),
            offered => offered,
        }
    }

    /// One life of a grain has turned the message down: it goes to the next.
    #[cold]
    fn poll_elsewhere(
        &mut self,
        (mut refusal, mut message): (Refusal, M),
        wish: Wish,
        deadline: Option<Instant>,
        waker: Option<&Waker>,
    ) -> Offered<M> {
        while self.goes_on(&refusal) {
            self.message = Some(message);
            match self.poll_offer(wish, deadline, waker) {
                Poll::Ready(Err(refused)) => (refusal, message) = refused,
                offered => return offered,
            }
        }
        Poll::Ready(Err((refusal, message)))
    }

    /// Whether a message that was refused for this goes to another life of its grain.
    fn goes_on(&mut self, refusal: &Refusal) -> bool {
        if let Some(grain) = self.grain.take()
            && let Target::Grain(grain) = grain.target()
        {
            let way = grain.clone().way(Some(self.target.target()));
            self.enclosed.get_or_insert_default().way = Some(way);
        }
        let way = self.enclosed.as_mut().and_then(|enclosed| enclosed.way.as_mut());
        // What has not been sent anywhere cannot go on.
        let way = way.filter(|_| !matches!(self.target.target(), Target::Grain(_)));
        let Some(grain) = way.and_then(|way| way.go_on(refusal)) else { return false };
        self.target = Held::Owned(ActorRef::from_target(grain));
        true
    }

    /// The same after it was taken: a connection has kept none.
    pub(super) fn goes_on_after(&mut self, refusal: &Refusal) -> bool {
        self.keeps_message && self.message.is_some() && self.goes_on(refusal)
    }

    /// Has the message go to the life of a grain that is known, where it has not begun to look for one; false where none is.
    fn enter_known(&mut self) -> bool {
        let Held::Borrowed(grain) = self.target else { return false };
        let Target::Grain(any) = grain.target() else { return false };
        let Some(known) = any.known() else { return false };
        self.target = Held::Owned(ActorRef::from_target(known));
        (self.grain, self.keeps_message) = (Some(grain), true);
        true
    }

    /// Offers the message to the life of a grain that is to have it.
    fn poll_life(
        &mut self,
        wish: Wish,
        deadline: Option<Instant>,
        waker: Option<&Waker>,
    ) -> Offered<M> {
        let has_way = self.enclosed.as_ref().is_some_and(|enclosed| enclosed.way.is_some());
        if !has_way && self.enter_known() {
            return self.poll_offer(wish, deadline, waker);
        }
        match self.poll_way(waker) {
            Poll::Ready(Ok(())) => self.poll_offer(wish, deadline, waker),
            Poll::Ready(Err(refusal)) => match self.message.take() {
                Some(message) => Poll::Ready(Err((refusal, message))),
                None => Poll::Pending,
            },
            Poll::Pending => Poll::Pending,
        }
    }

    /// Finds the life of a grain that is to have the message.
    #[cold]
    fn poll_way(&mut self, waker: Option<&Waker>) -> Poll<Result<(), Refusal>> {
        let Target::Grain(grain) = self.target.target() else { return Poll::Ready(Ok(())) };
        let way = &mut self.enclosed.get_or_insert_default().way;
        let found = way.get_or_insert_with(|| grain.clone().way(None)).poll(waker);
        found.map_ok(|found| {
            self.target = Held::Owned(ActorRef::from_target(found));
            self.keeps_message = true;
        })
    }

    #[inline]
    fn poll_offer(
        &mut self,
        wish: Wish,
        deadline: Option<Instant>,
        waker: Option<&Waker>,
    ) -> Offered<M> {
        let Some(message) = self.message.take() else { return Poll::Pending };
        if !std::mem::replace(&mut self.is_injected, true)
            && let Err(refusal) = self.inject()
        {
            return Poll::Ready(Err((refusal, message)));
        }
        let cell = match self.target.target() {
            Target::Local(cell) => cell,
            Target::Remote(_) => return self.offer_to_connection(message, wish, deadline, waker),
            Target::Grain(_) => {
                self.message = Some(message);
                return self.poll_life(wish, deadline, waker);
            }
        };
        let (asker, receipt) = match wish {
            Wish::Ask => {
                let deadline = deadline.map(Instant::into_std);
                let (slot, answer) = Slot::expected(deadline, waker.filter(|_| self.is_alone));
                (Some(slot), Receipt::Local(answer))
            }
            Wish::Tell | Wish::Confirm => (None, Receipt::Accepted),
        };
        let about = self.enclosed.as_mut().and_then(|enclosed| enclosed.take_about());
        let sender = self.sender.take();
        let mut letter = Some(Letter { message, asker: Asker(asker), sender, about });
        let pushed = M::push(&**cell, &mut letter, waker.map(|waker| (&mut self.ticket, waker)));
        match letter {
            None => {
                self.ticket = None;
                Poll::Ready(Ok(receipt))
            }
            Some(letter) => {
                // Whoever awaits the answer goes first: else the end of this letter would wake the
                // sender, and so again on every try.
                drop(receipt);
                self.take_in(letter, pushed, (wish, deadline))
            }
        }
    }

    /// A letter was not accepted. The next try makes a new one.
    fn take_in(
        &mut self,
        letter: Letter<M>,
        pushed: Push,
        (wish, deadline): (Wish, Option<Instant>),
    ) -> Offered<M> {
        self.sender = letter.sender;
        if let (Some(enclosed), Some(about)) = (&mut *self.enclosed, letter.about) {
            (enclosed.metadata, enclosed.token) = (about.metadata, about.token);
            enclosed.peer = about.peer;
            enclosed.kept = Exclusive::new(about.kept);
        }
        match pushed {
            Push::Refused(refusal) => {
                self.ticket = None;
                Poll::Ready(Err((refusal, letter.message)))
            }
            Push::Waiting if self.is_to_oneself() => {
                // The code that would wait for room is what is to make room.
                self.leave();
                self.message = Some(letter.message);
                self.poll_accept(wish, deadline, None)
            }
            Push::Waiting | Push::Accepted => {
                self.message = Some(letter.message);
                Poll::Pending
            }
        }
    }

    /// Whether the code of the receiver sends this.
    fn is_to_oneself(&self) -> bool {
        matches!(self.target.target(), Target::Local(cell) if is_inside(&**cell))
    }

    /// Has a tell taken the short way: by a mailbox that has room, or by a [connection](crate::reference::RemoteActor::tell).
    /// False where it was not; the long way says why, or waits.
    #[inline(always)]
    pub(super) fn tell_shortly(&mut self) -> bool {
        if self.sender.is_some() || self.enclosed.is_some() {
            return false;
        }
        let Target::Remote(remote) = self.target.target() else { return self.tell_nearby() };
        let (Some(message), Some(wire)) = (&self.message, M::wire()) else { return false };
        if !wire.is_claimed() {
            return false;
        }
        // After a panic of the codec, which leaves nothing behind, the long way runs into it as well, and says so.
        let told =
            AssertUnwindSafe(|| remote.tell(wire.name(), message.wire_len(), &Bare(message)));
        let is_told = catch_unwind(told).unwrap_or(false);
        if is_told {
            self.message = None;
        }
        is_told
    }

    /// The same to an actor of this process, or a grain.
    #[inline(never)]
    fn tell_nearby(&mut self) -> bool {
        match self.target.target() {
            Target::Local(cell) => {
                if self.ticket.is_some() || cell.call_options().propagator.is_some() {
                    return false;
                }
                let mut letter = self.message.take().map(Letter::plain);
                let _ = M::push(&**cell, &mut letter, None);
                self.message = letter.map(|letter| letter.message);
                self.message.is_none()
            }
            // The long way goes on with that life where it has not taken the message.
            Target::Grain(_) => self.enter_known() && self.tell_shortly(),
            Target::Remote(_) => false,
        }
    }

    fn offer_to_connection(
        &mut self,
        message: M,
        wish: Wish,
        deadline: Option<Instant>,
        waker: Option<&Waker>,
    ) -> Offered<M> {
        let Target::Remote(remote) = self.target.target() else { return Poll::Pending };
        let Some(wire) = M::wire() else {
            let refusal = Refusal::NoCodec { message: std::any::type_name::<M>().to_owned() };
            return Poll::Ready(Err((refusal, message)));
        };
        if !wire.is_claimed()
            && let Err(source) = claim_name(wire)
        {
            let refusal = Refusal::InvalidArgument { source: Cause::new(source) };
            return Poll::Ready(Err((refusal, message)));
        }
        let remaining = deadline.map(|at| at.saturating_duration_since(Instant::now()));
        let mut state = self.enclosed.as_mut().and_then(|enclosed| enclosed.state.take());
        let outgoing = Outgoing {
            wish,
            type_name: wire.name(),
            reply_name: wire.reply_name(),
            payload: &Encoded { value: &message, functions: &wire.message },
            sender: self.sender.as_ref(),
            remaining,
            metadata: self.enclosed.as_ref().and_then(|enclosed| enclosed.metadata.as_ref()),
            is_alone: self.is_alone,
        };
        match remote.poll_send(&outgoing, &mut state, waker) {
            Poll::Ready(Ok(None)) => Poll::Ready(Ok(Receipt::Accepted)),
            Poll::Ready(Ok(Some(answer))) => {
                if self.keeps_message {
                    self.message = Some(message);
                }
                Poll::Ready(Ok(Receipt::Remote(answer)))
            }
            Poll::Ready(Err(refusal)) => Poll::Ready(Err((refusal, message))),
            Poll::Pending => {
                self.message = Some(message);
                if state.is_some() {
                    self.enclosed.get_or_insert_default().state = state;
                }
                Poll::Pending
            }
        }
    }

    /// Takes the message back, where it was not accepted.
    pub(super) fn take_back(&mut self) -> Option<M> {
        self.leave();
        self.message.take()
    }
}

impl<T, M: Message> Envelope<'_, T, M> {
    /// The coarse clock that spares most requests a timer.
    pub(super) fn ticks(&self) -> &Arc<Ticks> {
        &self.target.target().call_options().ticks
    }

    /// Why the message was not sent within its time.
    pub(super) fn late(&self) -> Refusal {
        let why = match self.target.target() {
            Target::Local(cell) => {
                let full = || Refusal::MailboxFull { capacity: cell.capacity() };
                self.ticket.is_some().then(full)
            }
            Target::Remote(remote) => {
                let enclosed = self.enclosed.as_ref();
                remote.why_waiting(enclosed.and_then(|enclosed| enclosed.state.as_ref()))
            }
            Target::Grain(_) => {
                let way = self.enclosed.as_ref().and_then(|enclosed| enclosed.way.as_ref());
                way.and_then(|way| way.why_waiting())
            }
        };
        why.unwrap_or(Refusal::DeadlineExceeded)
    }

    /// Lets go of what few messages have.
    #[cold]
    #[inline(never)]
    fn end(&mut self) {
        self.leave();
        drop(self.enclosed.take());
    }

    /// Waits for room no longer.
    #[inline]
    fn leave(&mut self) {
        if let Some(ticket) = self.ticket.take()
            && let Target::Local(cell) = self.target.target()
        {
            cell.forget_waiter(ticket);
        }
    }
}

impl<T, M: Message> Drop for Envelope<'_, T, M> {
    #[inline]
    fn drop(&mut self) {
        if self.ticket.is_some() || self.enclosed.is_some() {
            self.end();
        }
    }
}

fn not_propagated(error: impl Into<BoxError>) -> Refusal {
    Refusal::Propagation { source: Cause::new(error) }
}
