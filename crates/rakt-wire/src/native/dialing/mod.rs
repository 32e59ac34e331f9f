//! The side of a connection that dialed it: it sends messages and requests, and hears how they end.
//!
//! ```text
//!   send, request, cancel ──► Dialing ──poll_transmit──► bytes out
//!                                ▲
//!   bytes in ──► Replies ──settle┘──► how each request ended, refused tells, watched actors
//! ```
//!
//! [`Dialing`] is what all senders share, and its methods are quick; [`Replies`] reads what arrives, and
//! needs no lock for that. Every rule of this side is in these two: numbers for names and what is redone
//! after a reset, credit, room and requests in flight, one outcome for each request, the end.
//!
//! A message that cannot go now has a [`Need`]; what may have been met is told by [`Dialing::poll_freed`].
//!
//! | file | holds |
//! | --- | --- |
//! | `pending.rs` | requests without an answer: a generational slab |
//! | `staged.rs` | tells that are written down before a connection takes them |
//! | `replies.rs` | what arrives, and how it is settled |

mod pending;
mod replies;
mod staged;

use std::fmt;
use std::time::Duration;

use self::pending::{MAX_PENDING, Pending};
pub use self::replies::{Refused, Replies, Settled};
pub use self::staged::Staged;
use super::error::CloseCode;
use super::hello::{Limits, Session};
use super::message::{Head, MessageKind};
use super::payload::{Payload, SendError};
use super::plain::no;
use super::tables::Alias;
pub use super::tables::Sender;
use super::transmit::Transmit;
use super::writer::{HIGH_WATER, LARGE_HIGH_WATER, Side, Writer};
use super::{CHUNK_LEN, Role};
use crate::base::encode::Encode;
use crate::metadata::Metadata;
use crate::operation::{Operation, Wish};

/// The dialing side of a connection. `P` is what the host keeps for a request until its end.
pub struct Dialing<P> {
    writer: Writer,
    limits: Limits,
    pending: Pending<P>,
    freed: Vec<Freed>,
    /// Something was sent since the host last looked; heartbeats do not count.
    is_used: bool,
    /// Cancellations that were not given out yet. An operation may overtake them, and the peer would see
    /// more requests than agreed.
    unsent_cancels: usize,
    /// The last request that ended did so with others: those who asked are about to ask again.
    has_company: bool,
    is_retired: bool,
}

/// A message on its way out, by its names.
#[derive(Clone, Copy, Debug)]
pub struct Outgoing<'a> {
    /// What its sender wants to hear.
    pub wish: Wish,
    /// Path of the receiver, and the life of it that is meant.
    pub path: &'a str,
    /// The life of the receiver that is meant; `None` for whoever has the path.
    pub uid: Option<u64>,
    /// The number that this connection gave the receiver before: spares the look at its path.
    pub known: Option<Alias>,
    /// Wire name of the message.
    pub type_name: &'static str,
    /// Who sends it.
    pub sender: Option<Sender<'a>>,
    /// Time left until the sender no longer waits.
    pub remaining: Option<Duration>,
    /// What travels with it.
    pub metadata: Option<&'a Metadata>,
}

/// A message that was accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sent {
    /// The number of its receiver, for the next message to it.
    pub receiver: Alias,
    /// The number by which it can be cancelled; none for a tell.
    pub corr: Option<u64>,
}

/// Why a message was not accepted. Nothing of it was sent.
#[derive(Debug)]
pub enum NotSent<'a> {
    /// The connection takes nothing new; another one may.
    Closed,
    /// It has to wait, and the payload comes back.
    Wait(Need, Payload<'a>),
    /// It can never be sent.
    Failed(SendError),
}

/// What a message or request waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Need {
    /// Room in the outbound buffer, or the end of a large message to the same receiver.
    Room,
    /// Credit of this receiver.
    Credit(u32),
    /// The end of a request that is in flight.
    InFlight,
}

/// What may have been met.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Freed {
    /// There is room.
    Room,
    /// This receiver has credit.
    Credit(u32),
    /// The numbers of receivers have changed, and each has all its credit.
    AllCredit,
    /// A request has ended.
    InFlight,
    /// Nothing is sent here any more: look for another connection.
    Gone,
}

impl Freed {
    /// Whether whoever has this need may go on.
    pub fn meets(self, need: Need) -> bool {
        match self {
            Self::Room => need == Need::Room,
            Self::Credit(receiver) => need == Need::Credit(receiver),
            Self::AllCredit => matches!(need, Need::Credit(_)),
            Self::InFlight => need == Need::InFlight,
            Self::Gone => true,
        }
    }
}

/// What is left of a connection that has ended.
#[derive(Debug)]
pub struct Left<P> {
    /// Requests of which nobody will hear any more.
    pub pending: Vec<Unanswered<P>>,
    /// Tells that were not given out to their end. The peer cannot have acted on them.
    pub unsent_tells: u64,
    /// Tells that were given out, without a proof that the peer has taken or refused them. It may have: this is
    /// the most that can be lost.
    pub unconfirmed_tells: u64,
}

/// A request that has no answer and gets none.
#[derive(Debug)]
pub struct Unanswered<P> {
    /// What the host kept for it.
    pub kept: P,
    /// It was given out to its end. The peer cannot have acted on one that was not.
    pub was_sent: bool,
}

impl<P> Dialing<P> {
    /// The dialing side, after the handshake.
    pub fn new(session: &Session) -> Self {
        let limits = session.limits;
        Self {
            writer: Writer::new(Role::Dialer, limits),
            limits,
            pending: Pending::new(),
            freed: Vec::new(),
            is_retired: false,
            is_used: false,
            unsent_cancels: 0,
            has_company: false,
        }
    }

    /// Requests without an answer.
    pub fn in_flight(&self) -> usize {
        self.pending.len()
    }

    /// Accepts a message, or says what it has to wait for. `keep` is called for one with an answer.
    ///
    /// # Errors
    /// [`NotSent`]; nothing of it was sent.
    #[inline]
    pub fn send<'a>(
        &mut self,
        message: &Outgoing<'_>,
        payload: Payload<'a>,
        keep: impl FnOnce() -> P,
    ) -> Result<Sent, NotSent<'a>> {
        if !self.writer.is_open() {
            return Err(NotSent::Closed);
        }
        let resolved = self.resolve(message).ok_or(NotSent::Failed(SendError::Tables))?;
        let (receiver, (type_id, sender)) = resolved;
        if let Some(need) = self.need(receiver, message.wish, &payload) {
            return Err(NotSent::Wait(need, payload));
        }
        let head = Head {
            receiver: receiver.id,
            sender,
            type_id,
            remaining: message.remaining,
            metadata: message.metadata,
        };
        let (kind, corr) = match message.wish {
            Wish::Tell => (MessageKind::Tell, None),
            Wish::Confirm => {
                let corr = self.pending.add(keep());
                (MessageKind::Confirm { corr }, Some(corr))
            }
            Wish::Ask => {
                let corr = self.pending.add(keep());
                (MessageKind::Ask { corr }, Some(corr))
            }
        };
        self.is_used = true;
        if let Err(error) = self.writer.out.message(kind, &head, payload) {
            corr.and_then(|corr| self.pending.remove(corr));
            return Err(NotSent::Failed(error));
        }
        if corr.is_none() {
            self.writer.out.tells.accept(1);
        }
        Ok(Sent { receiver, corr })
    }

    /// Accepts what most messages are: a small tell without a sender, to a receiver with a number, of the same type as
    /// the message before. As [`send`](Self::send) in everything but that it does nothing, and returns false, where
    /// that has to do more than write a frame, or would not accept it.
    #[inline(always)]
    pub fn tell(&mut self, receiver: Alias, type_name: &'static str, payload: &dyn Encode) -> bool {
        if !self.writer.is_open() {
            return no();
        }
        let is_told = self.writer.out.tell(receiver, type_name, payload);
        self.is_used |= is_told;
        is_told
    }

    /// Accepts an operation, and returns the number by which it can be cancelled. See
    /// [`Outbound::request`](super::Outbound::request) for what overtakes what.
    ///
    /// # Errors
    /// [`NotSent`]; nothing of it was sent.
    pub fn request(
        &mut self,
        operation: &Operation,
        remaining: Duration,
        metadata: Option<&Metadata>,
        keep: impl FnOnce() -> P,
    ) -> Result<u64, NotSent<'static>> {
        if !self.writer.is_open() {
            return Err(NotSent::Closed);
        }
        if self.is_full(self.unsent_cancels) {
            let nothing = Payload::Ready { bytes: bytes::Bytes::new(), raw_len: None };
            return Err(NotSent::Wait(Need::InFlight, nothing));
        }
        let corr = self.pending.add(keep());
        self.is_used = true;
        match self.writer.out.request(corr, Some(remaining), metadata, operation) {
            Ok(()) => Ok(corr),
            Err(error) => {
                self.pending.remove(corr);
                Err(NotSent::Failed(error))
            }
        }
    }

    /// Gives up on a request. `None` if it has ended before.
    pub fn cancel(&mut self, corr: u64) -> Option<P> {
        let kept = self.pending.remove(corr)?;
        if !self.writer.is_closed() {
            self.writer.out.cancel(corr);
            self.unsent_cancels = self.unsent_cancels.saturating_add(1);
            // Also credit may have come back: that of a large message that is not sent to its end.
            self.freed.extend([Freed::InFlight, Freed::AllCredit]);
        }
        Some(kept)
    }

    /// Whether [`Dialing::poll_freed`] has something to tell.
    #[inline]
    pub fn has_freed(&self) -> bool {
        !self.freed.is_empty()
    }

    /// Nobody waits for any of that.
    #[inline]
    pub fn forget_freed(&mut self) {
        self.freed.clear();
    }

    /// Whose need may have been met since the last call; `None` when all is told.
    #[inline]
    pub fn poll_freed(&mut self) -> Option<Freed> {
        self.freed.pop()
    }

    /// What was given out is written: those that wait for room may go on.
    pub fn handle_written(&mut self) {
        self.freed.push(Freed::Room);
    }

    /// Whether something was sent since the last call. Heartbeats do not count.
    pub fn take_used(&mut self) -> bool {
        std::mem::take(&mut self.is_used)
    }

    /// Whether nobody waits for anything of it, but for those that wait to send.
    pub fn is_idle(&self) -> bool {
        self.pending.len() == 0 && self.writer.is_empty() && self.writer.is_undecided()
    }

    /// Whether all that keeps it from its end is that the peer has not proven that it has taken the tells.
    pub fn is_spent(&self) -> bool {
        self.pending.len() == 0 && self.writer.is_empty() && self.writer.is_leaving()
    }

    /// Takes nothing new, and ends once all requests have their answers, and the peer has proven that it has
    /// taken the tells.
    pub fn leave(&mut self, code: CloseCode, reason: &str) {
        self.writer.leave(code, reason);
        self.writer.out.prove_all();
        self.freed.push(Freed::Gone);
    }

    /// The same for a connection that another takes the place of. That one may be used, and nothing overtakes what
    /// was sent over this one, once it [is fenced](Self::is_fenced), of which [`Freed::Gone`] tells.
    pub fn retire(&mut self, code: CloseCode, reason: &str) {
        if self.writer.is_open() {
            self.leave(code, reason);
            self.writer.out.fence();
            self.is_retired = true;
        }
    }

    /// Whether another connection is to take the place of this one.
    pub fn is_retired(&self) -> bool {
        self.is_retired
    }

    /// Whether the peer has taken, or refused, all that was sent before this side [retired](Self::retire).
    pub fn is_fenced(&self) -> bool {
        self.writer.out.tells.is_fenced()
    }

    /// The connection has ended.
    pub fn close(&mut self) -> Left<P> {
        let unsent = self.writer.out.unsent_requests();
        let unsent = unsent.into_iter().filter_map(|corr| self.pending.remove(corr));
        let unsent: Vec<_> = unsent.map(|kept| Unanswered { kept, was_sent: false }).collect();
        let sent = self.pending.take_all().into_iter();
        let sent = sent.map(|kept| Unanswered { kept, was_sent: true });
        let unsent_tells = self.writer.out.tells.unsent();
        let unconfirmed_tells = self.writer.out.tells.unproven();
        self.writer.close(Role::Dialer, self.limits);
        self.freed.push(Freed::Gone);
        Left { pending: sent.chain(unsent).collect(), unsent_tells, unconfirmed_tells }
    }

    #[inline]
    fn is_full(&self, others: usize) -> bool {
        self.pending.len().saturating_add(others)
            >= self.limits.max_in_flight.min(MAX_PENDING) as usize
    }

    /// What a message has to wait for, if anything.
    #[inline]
    fn need(&self, receiver: Alias, wish: Wish, payload: &Payload<'_>) -> Option<Need> {
        let out = &self.writer.out;
        if out.credit(receiver) <= 0 {
            return Some(Need::Credit(receiver.id));
        }
        let is_large = match payload {
            Payload::Encode(_) => false,
            Payload::Ready { bytes, .. } => bytes.len() > CHUNK_LEN,
        };
        let large = out.buffered_large();
        let small = out.buffered_small();
        if out.is_receiver_busy(receiver)
            || small >= HIGH_WATER
            || (is_large && large >= LARGE_HIGH_WATER)
        {
            return Some(Need::Room);
        }
        (wish != Wish::Tell && self.is_full(0)).then_some(Need::InFlight)
    }

    /// The numbers of a message's receiver, type and sender; all of one epoch.
    #[inline]
    fn resolve(&mut self, message: &Outgoing<'_>) -> Option<(Alias, (u32, Option<u32>))> {
        let out = &self.writer.out;
        if let Some(receiver) = message.known.filter(|alias| out.is_current(*alias))
            && let Some(others) = out.tables().last(message.type_name, message.sender)
        {
            return Some((receiver, others));
        }
        self.look_up(message)
    }

    /// [Resolves](Self::resolve) names that differ from those of the message before.
    fn look_up(&mut self, message: &Outgoing<'_>) -> Option<(Alias, (u32, Option<u32>))> {
        let epoch = self.writer.out.epoch();
        let mut known = message.known;
        // A table that is full is emptied, which makes the other numbers invalid: then once more.
        for _ in 0..3 {
            let out = &mut self.writer.out;
            let receiver = match known.take().filter(|alias| out.is_current(*alias)) {
                Some(alias) => alias,
                None => out.receiver(message.path, message.uid),
            };
            let type_id = out.static_type(message.type_name);
            let sender = message.sender.map(|Sender { key, address }| match key {
                Some(key) => out.sender_by(key, address),
                None => out.sender(&address.to_string()),
            });
            if out.is_current(receiver)
                && sender.is_none_or(|alias| out.is_current(alias))
                && out.is_current(type_id)
            {
                if out.epoch() != epoch {
                    self.freed.push(Freed::AllCredit);
                }
                return Some((receiver, (type_id.id, sender.map(|alias| alias.id))));
            }
        }
        self.freed.push(Freed::AllCredit);
        None
    }
}

impl<P> Side for Dialing<P> {
    fn writer(&self) -> &Writer {
        &self.writer
    }

    fn writer_mut(&mut self) -> &mut Writer {
        &mut self.writer
    }

    fn poll_transmit(&mut self, out: &mut impl Transmit) {
        self.writer.poll_transmit(out);
        self.unsent_cancels = 0;
    }

    fn ending(&self) -> Option<(CloseCode, &str)> {
        self.writer.ending(|| self.pending.len() == 0 && self.writer.out.tells.unproven() == 0)
    }

    #[inline]
    fn is_at_rest(&mut self) -> bool {
        self.writer.is_at_rest()
    }

    #[inline]
    fn is_lone(&self) -> bool {
        self.pending.len() == 1 && !self.has_company && self.writer.is_little()
    }

    fn expects_more(&self) -> bool {
        self.pending.len() > 1 && self.writer.is_small()
    }
}

impl<P> fmt::Debug for Dialing<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Dialing")
            .field("writer", &self.writer)
            .field("in_flight", &self.pending.len())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
