//! The dialer's half of a connection: messages and requests on their way out.

use std::sync::{Arc, MutexGuard};
use std::task::{Poll, Waker};
use std::time::Duration;

use rakt_wire::native::{Alias as WireAlias, Head, Limits, MessageKind, Payload, SendError};
use rakt_wire::{Encode, Metadata, Operation, Wish};

use super::answer::{Fate, RemoteAnswer};
use super::{Conn, HIGH_WATER, LARGE_HIGH_WATER, Shared, touch};
use crate::error::Refusal;
use crate::events::DeadLetter;
use crate::reference::{ActorRef, Target};
use crate::remote::compressors::Prepared;
use crate::remote::target::RemoteTarget;
use crate::slot::Slot;
use crate::sync::Lock;

/// Senders whose numbers are remembered by actor; beyond that by address alone.
pub(super) const KNOWN_SENDERS: usize = 65_536;

/// A sender that waits for the connection.
pub(super) struct Waiter {
    pub(super) ticket: u64,
    pub(super) waker: Waker,
    pub(super) need: Need,
}

/// Senders that may go on. Declared before a lock is taken, they are woken once that is let go.
#[derive(Default)]
struct Woken(Vec<Waker>);

impl Drop for Woken {
    fn drop(&mut self) {
        self.0.drain(..).for_each(Waker::wake);
    }
}

/// What a sender waits for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Need {
    /// Room in the outbound buffer, or the end of a large message.
    Room,
    /// Credit of this receiver.
    Credit(u32),
    /// The end of a request that is in flight.
    InFlight,
}

/// A message on its way out.
pub(crate) struct Outgoing<'a> {
    pub(crate) wish: Wish,
    pub(crate) type_name: &'static str,
    #[cfg(feature = "goakt")]
    pub(crate) reply_name: Option<&'static str>,
    pub(crate) payload: &'a dyn Encode,
    pub(crate) sender: Option<&'a ActorRef>,
    pub(crate) remaining: Option<Duration>,
    pub(crate) metadata: Option<&'a Metadata>,
}

/// Where a sender stands in line, and its payload if that was encoded already.
#[derive(Default)]
pub(crate) struct Place {
    ticket: Option<(Arc<Conn>, u64)>,
    /// For the connection of this number: the next one may compress in another way.
    prepared: Option<(u64, Prepared)>,
    /// The same where the receiver's node is one of GoAkt.
    #[cfg(feature = "goakt")]
    pub(crate) goakt: Option<Box<crate::remote::goakt::Place>>,
}

impl Place {
    pub(crate) fn is_prepared_for(&self, conn: &Conn) -> bool {
        self.prepared.as_ref().is_some_and(|(known, _)| *known == conn.id)
    }

    /// Encodes a payload that is not to be encoded under a lock.
    pub(crate) fn prepare(&mut self, conn: &Conn, payload: &dyn Encode) -> Result<(), Refusal> {
        self.prepared = Some((conn.id, conn.prepare(payload)?));
        Ok(())
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if let Some((conn, ticket)) = self.ticket.take() {
            conn.shared.hold().waiters.retain(|waiter| waiter.ticket != ticket);
        }
    }
}

/// A message that a connection has taken.
pub(crate) struct Sent {
    /// The number that was used for the receiver.
    pub(crate) receiver: WireAlias,
    pub(crate) answer: Option<RemoteAnswer>,
    /// To be woken once no lock is held, if nobody has woken it yet.
    pub(crate) driver: Option<Waker>,
}

/// Why a connection did not take a message.
pub(crate) enum NotTaken {
    /// It is of no use any more; another one may be.
    Gone,
    Refused(Refusal),
}

impl Conn {
    /// Takes a message, or notes the sender in the line of those that wait. `known` is the number that
    /// this connection gave the receiver before. A payload is small, or [prepared](Place::prepare).
    pub(crate) fn poll_send(
        self: &Arc<Self>,
        target: &RemoteTarget,
        known: Option<WireAlias>,
        outgoing: &Outgoing<'_>,
        place: &mut Place,
        waker: Option<&Waker>,
    ) -> Poll<Result<Sent, NotTaken>> {
        let payload = match place.prepared.take() {
            Some((_, Prepared { bytes, raw_len })) => Payload::Ready { bytes, raw_len },
            None => Payload::Encode(outgoing.payload),
        };
        let mut woken = Woken::default();
        let mut shared = self.shared.hold();
        if shared.closed.is_some() || shared.is_draining || shared.closing.is_some() {
            return Poll::Ready(Err(NotTaken::Gone));
        }
        let epoch = shared.out.epoch();
        let resolved = shared.resolve(known, target, outgoing);
        if shared.out.epoch() != epoch {
            // The tables were emptied, and every receiver has a new window.
            woken.0 = shared.wake(|need| matches!(need, Need::Credit(_)));
        }
        let (receiver, sender, type_id) = match resolved {
            Some(aliases) => aliases,
            None => {
                let detail = "the tables of the connection are too small".to_owned();
                return Poll::Ready(Err(NotTaken::Refused(Refusal::Internal { detail })));
            }
        };
        let need = shared.need(receiver, outgoing.wish, &payload, &self.limits);
        if let Some(need) = need {
            return match waker {
                Some(waker) => {
                    if let Payload::Ready { bytes, raw_len } = payload {
                        place.prepared = Some((self.id, Prepared { bytes, raw_len }));
                    }
                    self.wait(&mut shared, place, waker, need);
                    Poll::Pending
                }
                None => Poll::Ready(Err(NotTaken::Refused(need.refusal(&self.limits)))),
            };
        }
        let (kind, answer) = match outgoing.wish {
            Wish::Tell => (MessageKind::Tell, None),
            wish @ (Wish::Confirm | Wish::Ask) => {
                let (slot, answer) = Slot::new();
                let corr = shared.pending.add(slot);
                let kind = match wish {
                    Wish::Confirm => MessageKind::Confirm { corr },
                    _ => MessageKind::Ask { corr },
                };
                let conn = self.clone();
                (kind, Some(RemoteAnswer::over(conn, corr, answer)))
            }
        };
        let head = Head {
            receiver: receiver.id,
            sender: sender.map(|alias| alias.id),
            type_id: type_id.id,
            remaining: outgoing.remaining,
            metadata: outgoing.metadata,
        };
        shared.is_used = true;
        let sent = shared.out.message(kind, &head, payload);
        match sent {
            Ok(()) => {
                shared.untaken_tells += u64::from(outgoing.wish == Wish::Tell);
                let driver = shared.driver.take();
                Poll::Ready(Ok(Sent { receiver, answer, driver }))
            }
            Err(error) => {
                if let Some(corr) = answer.and_then(RemoteAnswer::defuse) {
                    shared.pending.remove(corr);
                }
                Poll::Ready(Err(NotTaken::Refused(not_sent(error))))
            }
        }
    }

    pub(super) fn wait(
        self: &Arc<Self>,
        shared: &mut MutexGuard<'_, Shared>,
        place: &mut Place,
        waker: &Waker,
        need: Need,
    ) {
        if let Some((conn, ticket)) = &place.ticket {
            let known = shared.waiters.iter_mut().find(|waiter| waiter.ticket == *ticket);
            if let (true, Some(known)) = (Arc::ptr_eq(conn, self), known) {
                known.waker.clone_from(waker);
                known.need = need;
                return;
            }
        }
        let ticket = shared.next_ticket;
        shared.next_ticket += 1;
        shared.waiters.push(Waiter { ticket, waker: waker.clone(), need });
        // An older ticket belongs to a connection that has ended, or was used up by waking.
        place.ticket = Some((self.clone(), ticket));
    }

    /// Sends a request about actors.
    pub(crate) fn request(
        self: &Arc<Self>,
        operation: &Operation,
        remaining: Duration,
        metadata: Option<&Metadata>,
    ) -> Result<RemoteAnswer, NotTaken> {
        let mut shared = self.shared.hold();
        if shared.closed.is_some() || shared.is_draining || shared.closing.is_some() {
            return Err(NotTaken::Gone);
        }
        if shared.pending.len() >= self.limits.max_in_flight as usize {
            return Err(NotTaken::Refused(Need::InFlight.refusal(&self.limits)));
        }
        let (slot, answer) = Slot::new();
        let corr = shared.pending.add(slot);
        shared.is_used = true;
        if let Err(error) = shared.out.request(corr, Some(remaining), metadata, operation) {
            shared.pending.remove(corr);
            return Err(NotTaken::Refused(not_sent(error)));
        }
        touch(shared);
        Ok(RemoteAnswer::over(self.clone(), corr, answer))
    }

    /// Gives up on a request.
    pub(super) fn cancel(&self, corr: u64) {
        let mut shared = self.shared.hold();
        if shared.pending.remove(corr).is_some() && shared.closed.is_none() {
            shared.out.cancel(corr);
            // Also credit may have come back: that of a large message that is not sent to its end.
            let wakers = shared.wake(|need| need != Need::Room);
            touch(shared);
            wakers.into_iter().for_each(Waker::wake);
        }
    }

    /// Ends requests. For the answering side of the driver.
    pub(crate) fn complete(&self, fates: impl Iterator<Item = (u64, Fate)>) {
        let mut shared = self.shared.hold();
        let ended: Vec<_> = fates
            .filter_map(|(corr, fate)| shared.pending.remove(corr).map(|slot| (slot, fate)))
            .collect();
        let wakers = shared.wake(|need| need == Need::InFlight);
        drop(shared);
        for (slot, fate) in ended {
            crate::metrics::requests_ended(fate.outcome(), 1);
            // Nobody waits any more: the answer crossed with the cancellation.
            drop(slot.answer(fate));
        }
        wakers.into_iter().for_each(Waker::wake);
    }

    pub(crate) fn handle_credit(&self, receiver: u32, epoch: u32, bytes: u64) {
        let mut shared = self.shared.hold();
        shared.out.handle_credit(receiver, epoch, bytes);
        let wakers = shared.wake(|need| need == Need::Credit(receiver));
        drop(shared);
        wakers.into_iter().for_each(Waker::wake);
    }

    /// The peer takes nothing new: senders look for another connection.
    pub(crate) fn handle_goaway(&self) {
        let mut shared = self.shared.hold();
        shared.is_draining = true;
        let wakers = shared.wake(|_| true);
        drop(shared);
        wakers.into_iter().for_each(Waker::wake);
    }

    /// A peer refused tells: they become dead letters here, where they came from.
    pub(crate) fn dead_letter(
        &self,
        receiver: u32,
        sender: Option<u32>,
        type_id: u32,
        epoch: u32,
        count: u64,
        refusal: Refusal,
    ) {
        let shared = self.shared.hold();
        let is_known = shared.names_epoch == epoch && shared.out.epoch() == epoch;
        let name = |name: Option<String>| name.filter(|_| is_known);
        let path = name(shared.receivers.get(receiver as usize).map(ToString::to_string));
        let message = name(shared.types.get(type_id as usize).map(ToString::to_string));
        let sender = name(sender.and_then(|sender| shared.senders.get(sender as usize).cloned()));
        drop(shared);
        let target = format!("rakt://{}/{}", self.peer.name, path.as_deref().unwrap_or("?"));
        tracing::debug!(%target, count, %refusal, "the peer refused messages");
        let letter = || DeadLetter {
            target,
            sender,
            message: message.unwrap_or_else(|| "?".to_owned()),
            reason: refusal,
            count,
        };
        self.resources.outlet.dead_letters(count, letter);
    }
}

pub(super) fn not_sent(error: SendError) -> Refusal {
    match error {
        SendError::TooLarge { size, limit } => Refusal::TooLarge { size, limit },
        SendError::Encode(error) => Refusal::Unencodable { detail: error.0 },
        other => Refusal::Internal { detail: other.to_string() },
    }
}

impl Need {
    /// What a sender hears that does not want to wait.
    fn refusal(self, limits: &Limits) -> Refusal {
        let (bound, limit) = match self {
            Self::Room => ("outbound buffer (bytes)", HIGH_WATER as u64),
            Self::Credit(_) => ("receiver window (bytes)", limits.receiver_window.into()),
            Self::InFlight => ("requests in flight", limits.max_in_flight.into()),
        };
        Refusal::ResourceExhausted { bound: bound.to_owned(), limit }
    }
}

impl Shared {
    /// What a message has to wait for, if anything.
    pub(super) fn need(
        &self,
        receiver: WireAlias,
        wish: Wish,
        payload: &Payload<'_>,
        limits: &Limits,
    ) -> Option<Need> {
        if self.out.credit(receiver) <= 0 {
            return Some(Need::Credit(receiver.id));
        }
        let is_large = match payload {
            Payload::Encode(_) => false,
            Payload::Ready { bytes, .. } => bytes.len() > rakt_wire::native::CHUNK_LEN,
        };
        let large = self.out.buffered_large();
        let small = self.out.buffered() - large;
        if self.out.is_receiver_busy(receiver)
            || small >= HIGH_WATER
            || (is_large && large >= LARGE_HIGH_WATER)
        {
            return Some(Need::Room);
        }
        if wish != Wish::Tell && self.pending.len() >= limits.max_in_flight as usize {
            return Some(Need::InFlight);
        }
        None
    }

    /// The numbers of a message's receiver, sender and type; all of one epoch.
    fn resolve(
        &mut self,
        known: Option<WireAlias>,
        target: &RemoteTarget,
        outgoing: &Outgoing<'_>,
    ) -> Option<(WireAlias, Option<WireAlias>, WireAlias)> {
        let mut known = known;
        // A table that is full is emptied, which makes the other numbers invalid: then once more.
        for _ in 0..3 {
            let receiver = match known.take().filter(|alias| self.out.is_current(*alias)) {
                Some(alias) => alias,
                None => self.define_receiver(target),
            };
            let type_id = self.define_type(outgoing.type_name);
            let sender = outgoing.sender.map(|sender| self.define_sender(sender));
            let all_current = self.out.is_current(receiver)
                && self.out.is_current(type_id)
                && sender.is_none_or(|alias| self.out.is_current(alias));
            if all_current {
                return Some((receiver, sender, type_id));
            }
        }
        None
    }

    fn define_receiver(&mut self, target: &RemoteTarget) -> WireAlias {
        let alias = self.out.receiver(target.path(), target.uid());
        self.note_epoch();
        if alias.id as usize == self.receivers.len() {
            self.receivers.push(target.path_arc());
        }
        alias
    }

    fn define_type(&mut self, name: &'static str) -> WireAlias {
        // The address of a wire name, which lives in a static, is as good as the name.
        let key = name.as_ptr() as usize;
        if let Some(alias) = self.known_types.get(&key).filter(|alias| self.out.is_current(**alias))
        {
            return *alias;
        }
        let alias = self.out.message_type(name);
        self.note_epoch();
        if alias.id as usize == self.types.len() {
            self.types.push(name);
        }
        self.known_types.insert(key, alias);
        alias
    }

    pub(super) fn define_sender(&mut self, sender: &ActorRef) -> WireAlias {
        let key = match sender.target() {
            Target::Local(cell) => Some(cell.uid()),
            Target::Remote(_) => None,
        };
        let known = key.and_then(|key| self.known_senders.get(&key));
        if let Some(alias) = known.filter(|alias| self.out.is_current(**alias)) {
            return *alias;
        }
        let address = sender.to_string();
        let alias = self.out.sender(&address);
        self.note_epoch();
        if alias.id as usize == self.senders.len() {
            self.senders.push(address);
        }
        if let Some(key) = key {
            // Actors that are gone leave their numbers behind.
            if self.known_senders.len() >= KNOWN_SENDERS {
                self.known_senders.clear();
            }
            self.known_senders.insert(key, alias);
        }
        alias
    }

    /// Forgets the names of an epoch that is over.
    fn note_epoch(&mut self) {
        if self.names_epoch != self.out.epoch() {
            self.names_epoch = self.out.epoch();
            self.receivers.clear();
            self.types.clear();
            self.senders.clear();
            self.known_types.clear();
            self.known_senders.clear();
        }
    }
}
