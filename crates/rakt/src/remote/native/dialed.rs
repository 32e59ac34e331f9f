//! The side of a connection that dialed it: messages and requests on their way out.

use std::sync::Arc;
use std::task::{Poll, Waker};
use std::time::Duration;

use rakt_wire::native::{
    Alias, CloseCode, Dialing, Freed, HIGH_WATER, Limits, LinkError, Need, NotSent, Outgoing,
    Payload, Refused, Replies, Role, SendError, Session, Settled, Side, Staged, TRANSMIT_TARGET,
};
use rakt_wire::{Encode, Metadata, Operation, Wish};

use super::conn::{Conn, Half, Leftover, State, touch};
use super::later::wake_later;
use crate::answer::{Cancel, Fate, RemoteAnswer};
use crate::error::{Bound, Cause, Chain, Refusal};
use crate::events::DeadLetter;
use crate::line::Line;
use crate::remote::compressors::Prepared;
use crate::remote::ticket::{HasLine, Ticket};
#[cfg(feature = "_tls")]
use crate::remote::tls::Guarded;
use crate::slot::Slot;
use crate::system::core::MEMBER;

/// A session and the line of those that wait to send.
pub(crate) struct Dialed {
    session: Dialing<Arc<Slot<Fate>>>,
    line: Line<Need>,
    /// Who waits until another connection may take the place of this one.
    successors: Vec<Waker>,
    /// Sees to it that another one takes its place.
    #[cfg(feature = "_tls")]
    replace: Option<Replace>,
    /// Why another one is to take its place, where that is so.
    #[cfg(feature = "_tls")]
    retires: Option<Box<str>>,
}

/// Has another connection take the place of one, and says why.
#[cfg(feature = "_tls")]
type Replace = Arc<dyn Fn(&str) + Send + Sync>;

/// Where a sender stands in line, and its payload if that was encoded already.
#[derive(Default)]
pub(crate) struct SendState {
    ticket: Ticket<Conn<Dialed>>,
    /// For the connection of this number: the next one may compress in another way.
    prepared: Option<(u64, Prepared)>,
    /// What it waits for, where it has a place in the line.
    needs: Option<(Bound, u64)>,
}

impl SendState {
    /// Why it is not sent.
    pub(crate) fn why_waiting(&self) -> Option<Refusal> {
        let (bound, limit) = self.needs.clone()?;
        Some(Refusal::ResourceExhausted { bound, limit })
    }

    pub(crate) fn is_prepared_for(&self, conn: &Conn<Dialed>) -> bool {
        self.prepared.as_ref().is_some_and(|(known, _)| *known == conn.id)
    }

    /// Encodes a payload that is not to be encoded under a lock.
    pub(crate) fn prepare(
        &mut self,
        conn: &Conn<Dialed>,
        payload: &dyn Encode,
    ) -> Result<(), Refusal> {
        self.prepared = Some((conn.id, conn.prepare(payload)?));
        Ok(())
    }
}

impl HasLine for Conn<Dialed> {
    fn leave(&self, ticket: u64) {
        self.lock().half.line.leave(ticket);
    }
}

/// A message that a connection has taken.
pub(crate) struct Sent {
    /// The number that was used for the receiver.
    pub(crate) receiver: Alias,
    pub(crate) answer: Option<RemoteAnswer>,
    pub(crate) driver: ToWake,
}

/// A driver that has something to write now, to be woken once no lock is held.
#[must_use]
pub(crate) enum ToWake {
    /// Somebody has woken it already.
    Nobody,
    /// Nobody: whoever waits for the answer [writes](RemoteAnswer::write_now) it.
    Asker,
    Now(Waker),
    /// [Later](wake_later): nobody waits for a tell, and until then more of them may come, which one write then carries.
    Later(Waker),
}

impl ToWake {
    #[inline]
    pub(crate) fn wake(self) {
        if !matches!(self, Self::Nobody | Self::Asker) {
            self.wake_driver();
        }
    }

    #[inline(never)]
    fn wake_driver(self) {
        match self {
            Self::Nobody | Self::Asker => {}
            Self::Now(driver) => driver.wake(),
            Self::Later(driver) => wake_later(&driver),
        }
    }
}

/// Why a connection did not take a message.
pub(crate) enum NotTaken {
    /// It is of no use any more; another one may be.
    Gone,
    Refused(Refusal),
}

impl Dialed {
    pub(crate) fn new(session: &Session) -> Self {
        Self {
            session: Dialing::new(session),
            line: Line::default(),
            successors: Vec::new(),
            #[cfg(feature = "_tls")]
            replace: None,
            #[cfg(feature = "_tls")]
            retires: None,
        }
    }

    /// Settles what has arrived; see [`Dialing::settle`].
    pub(super) fn settle(
        &mut self,
        replies: &mut Replies,
        settled: impl FnMut(Settled<Arc<Slot<Fate>>>),
    ) -> Result<(), LinkError> {
        self.session.settle(replies, settled)
    }

    /// Who may go on by what has changed.
    #[inline]
    pub(super) fn wake_freed(&mut self) -> Vec<Waker> {
        match self.session.has_freed() {
            false => Vec::new(),
            true if self.line.is_empty() && self.successors.is_empty() => {
                self.session.forget_freed();
                Vec::new()
            }
            true => self.wake_met(),
        }
    }

    /// The line is walked once, however often the peer has given credit in what was read.
    fn wake_met(&mut self) -> Vec<Waker> {
        let (mut credits, mut others) = (Vec::new(), Vec::new());
        let mut successors = Vec::new();
        while let Some(freed) = self.session.poll_freed() {
            if freed == Freed::Gone {
                successors = std::mem::take(&mut self.successors);
            }
            match freed {
                _ if self.line.is_empty() => {}
                Freed::Credit(receiver) => credits.push(receiver),
                freed if !others.contains(&freed) => others.push(freed),
                _ => {}
            }
        }
        credits.sort_unstable();
        let mut woken = self.line.wake(|need| {
            let has_credit = |receiver| credits.binary_search(receiver).is_ok();
            others.iter().any(|freed| freed.meets(*need))
                || matches!(need, Need::Credit(receiver) if has_credit(receiver))
        });
        woken.append(&mut successors);
        woken
    }
}

impl Half for Dialed {
    const ROLE: Role = Role::Dialer;
    type Session = Dialing<Arc<Slot<Fate>>>;

    fn session(&mut self) -> &mut Self::Session {
        &mut self.session
    }

    fn take_used(&mut self) -> bool {
        self.session.take_used()
    }

    fn written(&mut self) -> Vec<Waker> {
        if self.line.is_empty() {
            return Vec::new();
        }
        self.session.handle_written();
        self.wake_freed()
    }

    #[inline]
    fn is_at_rest(&mut self) -> bool {
        self.line.is_empty() && self.session.is_at_rest()
    }

    fn is_idle(&mut self) -> bool {
        self.line.is_empty() && self.session.is_idle() && !self.session.writer().is_closed()
    }

    fn is_spent(&mut self) -> bool {
        self.session.is_spent()
    }

    fn leave(&mut self, code: CloseCode, reason: &str) -> Vec<Waker> {
        self.session.leave(code, reason);
        self.wake_freed()
    }

    fn close(&mut self) -> Leftover {
        let left = self.session.close();
        let wakers = self.wake_freed();
        Leftover {
            wakers,
            pending: left.pending,
            unsent_tells: left.unsent_tells,
            unconfirmed_tells: left.unconfirmed_tells,
        }
    }
}

impl State<Dialed> {
    /// The driver after a tell: it writes when there is nothing else to do, or once there is much to write, which
    /// another thread may do while this one goes on.
    #[inline(always)]
    fn driver_of_tell(&mut self) -> ToWake {
        let is_soon =
            !self.is_deferred() || self.half.session.writer().buffered() < TRANSMIT_TARGET;
        if self.is_woken() && is_soon { ToWake::Nobody } else { self.sleeping_driver_of_tell() }
    }

    #[inline(never)]
    fn sleeping_driver_of_tell(&mut self) -> ToWake {
        match self.defer_driver() {
            Some(driver) => ToWake::Later(driver),
            None => self.take_driver().map_or(ToWake::Nobody, ToWake::Now),
        }
    }
}

impl Conn<Dialed> {
    /// Takes a message, or notes the sender in the line of those that wait. A payload is small, or
    /// [prepared](SendState::prepare). Whoever sends it may be [alone](crate::reference::Outgoing::is_alone).
    pub(crate) fn poll_send(
        self: &Arc<Self>,
        message: &Outgoing<'_>,
        (payload, is_alone): (&dyn Encode, bool),
        send_state: &mut SendState,
        waker: Option<&Waker>,
    ) -> Poll<Result<Sent, NotTaken>> {
        let payload = match send_state.prepared.take() {
            Some((_, Prepared { bytes, raw_len })) => Payload::Ready { bytes, raw_len },
            None => Payload::Encode(payload),
        };
        let mut state = self.lock();
        let mut answer = None;
        let sent = state.half.session.send(message, payload, || {
            let (slot, waiting) = Slot::expected(None, waker.filter(|_| is_alone));
            answer = Some(waiting);
            slot
        });
        let woken = state.half.wake_freed();
        let result = match sent {
            Ok(sent) => {
                let answer = sent.corr.zip(answer);
                Poll::Ready(Ok(Sent {
                    receiver: sent.receiver,
                    answer: answer
                        .map(|(corr, answer)| RemoteAnswer::over(self.clone(), corr, answer)),
                    driver: match message.wish {
                        Wish::Tell => state.driver_of_tell(),
                        Wish::Confirm | Wish::Ask if is_alone && state.is_lone() => ToWake::Asker,
                        Wish::Confirm | Wish::Ask => match state.take_driver() {
                            Some(driver) => ToWake::Now(driver),
                            None => ToWake::Nobody,
                        },
                    },
                }))
            }
            Err(NotSent::Closed) => Poll::Ready(Err(NotTaken::Gone)),
            Err(NotSent::Failed(error)) => Poll::Ready(Err(NotTaken::Refused(not_sent(error)))),
            Err(NotSent::Wait(need, payload)) => match waker {
                None => Poll::Ready(Err(refused(need, &self.limits))),
                Some(waker) => {
                    if let Payload::Ready { bytes, raw_len } = payload {
                        send_state.prepared = Some((self.id, Prepared { bytes, raw_len }));
                    }
                    send_state.needs = Some(bound_of(need, &self.limits));
                    send_state.ticket.wait(self, &mut state.half.line, waker, need);
                    Poll::Pending
                }
            },
        };
        drop(state);
        if !woken.is_empty() {
            woken.into_iter().for_each(Waker::wake);
        }
        result
    }

    /// Takes tells that are written down, or notes the sender in the line of those that wait. Also returns the driver, if
    /// it took any.
    pub(crate) fn poll_staged(
        self: &Arc<Self>,
        message: &Outgoing<'_>,
        tells: &mut Staged,
        send_state: &mut SendState,
        waker: &Waker,
    ) -> (ToWake, Poll<Result<Alias, NotTaken>>) {
        let mut state = self.lock();
        let before = tells.count();
        let sent = state.half.session.tell_staged(message, tells);
        let woken = state.half.wake_freed();
        let has_told = tells.count() < before;
        let driver = if has_told { state.driver_of_tell() } else { ToWake::Nobody };
        let taken = match sent {
            Ok(receiver) => Poll::Ready(Ok(receiver)),
            Err(NotSent::Closed) => Poll::Ready(Err(NotTaken::Gone)),
            Err(NotSent::Failed(error)) => Poll::Ready(Err(NotTaken::Refused(not_sent(error)))),
            Err(NotSent::Wait(need, _)) => {
                send_state.needs = Some(bound_of(need, &self.limits));
                send_state.ticket.wait(self, &mut state.half.line, waker, need);
                Poll::Pending
            }
        };
        drop(state);
        woken.into_iter().for_each(Waker::wake);
        (driver, taken)
    }

    /// Takes a tell the [short way](Dialing::tell). Nothing where it was not taken.
    #[inline(always)]
    pub(crate) fn tell(
        &self,
        receiver: Alias,
        type_name: &'static str,
        payload: &dyn Encode,
    ) -> Option<ToWake> {
        let mut state = self.lock();
        let is_told = state.half.session.tell(receiver, type_name, payload);
        is_told.then(|| state.driver_of_tell())
    }

    /// Calls this when another connection is to take the place of this one.
    #[cfg(feature = "_tls")]
    pub(super) fn on_retire(&self, replace: impl Fn(&str) + Send + Sync + 'static) {
        self.lock().half.replace = Some(Arc::new(replace));
    }

    /// Has another connection take its place if it is to retire, and is in its place by now.
    #[cfg(feature = "_tls")]
    pub(super) fn see_to_successor(&self) {
        let state = self.lock();
        let both = state.half.retires.clone().zip(state.half.replace.clone());
        drop(state);
        if let Some((why, replace)) = both {
            replace(&why);
        }
    }

    /// Takes nothing new, and ends once all requests have their answers: another connection has its place.
    #[cfg(feature = "_tls")]
    pub(super) fn make_way(&self, why: &str) {
        let mut state = self.lock();
        state.half.session.retire(CloseCode::Normal, why);
        let wakers = state.half.wake_freed();
        touch(state);
        wakers.into_iter().for_each(Waker::wake);
    }

    /// Ready once nothing that is sent over another connection can overtake what was sent over this one: true, or it has
    /// ended before that was known.
    pub(super) fn poll_fenced(&self, waker: Option<&Waker>) -> Poll<bool> {
        let mut state = self.lock();
        let Dialed { session, successors, .. } = &mut state.half;
        if session.is_fenced() || session.writer().is_closed() {
            return Poll::Ready(session.is_fenced());
        }
        if let Some(waker) = waker
            && !successors.iter().any(|known| known.will_wake(waker))
        {
            successors.push(waker.clone());
        }
        Poll::Pending
    }

    /// Sends a request about actors.
    pub(crate) fn request(
        self: &Arc<Self>,
        operation: &Operation,
        remaining: Duration,
        metadata: Option<&Metadata>,
    ) -> Result<RemoteAnswer, NotTaken> {
        let mut state = self.lock();
        let (slot, answer) = Slot::new();
        match state.half.session.request(operation, remaining, metadata, || slot) {
            Ok(corr) => {
                touch(state);
                Ok(RemoteAnswer::over(self.clone(), corr, answer))
            }
            Err(NotSent::Closed) => Err(NotTaken::Gone),
            Err(NotSent::Wait(need, _)) => Err(refused(need, &self.limits)),
            Err(NotSent::Failed(error)) => Err(NotTaken::Refused(not_sent(error))),
        }
    }

    /// A peer refused tells: they become dead letters here, where they came from.
    pub(super) fn dead_letter(&self, refused: Refused) {
        let Refused { path, sender, type_name, count, failure } = refused;
        // What members of a cluster say is said again: nobody is to hear that it was not handled once.
        if path.as_deref() == Some(MEMBER) {
            return;
        }
        let refusal = Refusal::from_wire(failure);
        let target = self.peer.destination(path.as_deref());
        tracing::debug!(%target, count, refusal = %Chain(&refusal), "the peer refused messages");
        let letter = || DeadLetter {
            target,
            sender: sender.and_then(|sender| sender.parse().ok()),
            message: type_name.unwrap_or_else(|| "?".to_owned()),
            reason: refusal,
            count,
        };
        self.resources.outlet.dead_letters(count, letter);
    }
}

#[cfg(feature = "_tls")]
impl Guarded for Conn<Dialed> {
    fn forbid(&self, why: &str) {
        Self::forbid(self, why);
    }

    fn retire(&self, why: &str) {
        self.lock().half.retires.get_or_insert_with(|| why.into());
        self.see_to_successor();
    }
}

impl Cancel for Conn<Dialed> {
    fn write_now(&self) {
        Self::write_now(self);
    }

    fn cancel(&self, corr: u64) {
        let mut state = self.lock();
        if state.half.session.cancel(corr).is_some() {
            let wakers = state.half.wake_freed();
            touch(state);
            wakers.into_iter().for_each(Waker::wake);
        }
    }
}

fn not_sent(error: SendError) -> Refusal {
    match error {
        SendError::TooLarge { size, limit } => Refusal::TooLarge { size, limit },
        SendError::Encode(error) => Refusal::Unencodable { source: error.into_cause() },
        other => Refusal::Internal { source: Cause::new(other) },
    }
}

/// Of which bound a sender needs some.
fn bound_of(need: Need, limits: &Limits) -> (Bound, u64) {
    match need {
        Need::Room => (Bound::OutboundBuffer, HIGH_WATER as u64),
        Need::Credit(_) => (Bound::ReceiverWindow, limits.receiver_window.into()),
        Need::InFlight => (Bound::InFlight, limits.max_in_flight.into()),
    }
}

/// What a sender hears that does not want to wait.
fn refused(need: Need, limits: &Limits) -> NotTaken {
    let (bound, limit) = bound_of(need, limits);
    NotTaken::Refused(Refusal::ResourceExhausted { bound, limit })
}
