//! One open connection, as everybody but its driver sees it.
//!
//! Whoever has something to send writes it straight into the connection's outbound buffer, under a
//! short lock, and wakes the driver if nobody has yet. The driver takes all that has piled up and
//! writes it at once.

use std::collections::{HashMap, HashSet, VecDeque};
use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::Bytes;
use rakt_wire::compress::Compression;
use rakt_wire::metadata::Metadata;
use rakt_wire::native::{
    Alias as WireAlias, CloseCode, Encode, Head, Limits, MessageKind, Outbound, Payload, Role,
    SendError, Session,
};
use rakt_wire::operation::{Operation, Outcome};

use super::budget::Share;
use super::net::Net;
use super::target::RemoteTarget;
use crate::error::Refusal;
use crate::events::{DeadLetter, StopReason};
use crate::mailbox::letter::{Alias, Origin};
use crate::reference::{ActorRef, Target};
use crate::slot::{Answer, Slot};
use crate::sync::Lock;

/// Small outbound frames beyond this many bytes make senders wait. 1 MiB.
const HIGH_WATER: usize = 1024 * 1024;
/// Large outbound messages beyond this many bytes make senders of further large ones wait. 64 MiB.
const LARGE_HIGH_WATER: usize = 64 * 1024 * 1024;
/// Replies beyond this many buffered bytes are replaced by a refusal. 128 MiB.
const MAX_BUFFERED_REPLIES: usize = 128 * 1024 * 1024;
/// Cancelled requests that are remembered; the oldest are forgotten first.
const MAX_CANCELLED: usize = 4096;

/// Who is at the other end.
#[derive(Clone, Debug)]
pub(crate) struct Peer {
    pub(crate) incarnation: [u8; 16],
    /// `system@host:port`, or `system` for a peer without an address.
    pub(crate) name: Arc<str>,
}

impl Peer {
    /// The name of its actor system.
    pub(crate) fn system(&self) -> &str {
        self.name.split('@').next().unwrap_or(&self.name)
    }
}

pub(crate) struct Conn {
    pub(crate) id: u64,
    pub(crate) net: Arc<Net>,
    pub(crate) peer: Peer,
    pub(crate) limits: Limits,
    pub(crate) compression: Compression,
    shared: Mutex<Shared>,
    /// Whether any request was ever cancelled: spares the others a look.
    any_cancelled: AtomicBool,
    over: AtomicBool,
    role: Role,
    /// Of the node's budgets for messages, names and replies.
    inbound: Share,
    names: Share,
    replies: Share,
    /// A newer connection has taken the place of this one.
    superseded: AtomicBool,
    /// The driver has let go of the stream.
    gone: (AtomicBool, tokio::sync::Notify),
}

pub(crate) struct Shared {
    pub(crate) out: Outbound,
    driver: Option<Waker>,
    closed: Option<Arc<str>>,
    /// The peer takes nothing new.
    pub(crate) is_draining: bool,
    /// The driver is to end the connection once everything is written, and to say so last.
    pub(crate) closing: Option<(CloseCode, String)>,
    waiters: Vec<Waiter>,
    next_ticket: u64,
    /// Something was sent since the driver last looked; heartbeats do not count.
    is_used: bool,
    /// Tells that the driver has not taken yet: they have certainly not left.
    untaken_tells: u64,

    // What a dialer keeps.
    pending: Pending,
    receivers: Vec<Arc<str>>,
    types: Vec<&'static str>,
    senders: Vec<String>,
    known_types: HashMap<usize, WireAlias>,
    known_senders: HashMap<u64, WireAlias>,
    names_epoch: u32,

    // What an acceptor keeps.
    /// Requests that are not answered yet. Those of the read at hand are counted at its end, and some
    /// are answered by then.
    in_flight: i64,
    /// Bytes that the driver is writing.
    writing: usize,
    /// How much of the node's budget for replies is used here.
    noted: u64,
    owed: Vec<u64>,
    granted: Vec<u64>,
    granted_epoch: u32,
    cancelled: HashSet<u64>,
    cancelled_order: VecDeque<u64>,
    cancel_wakers: Vec<(u64, Waker)>,
}

/// A sender that waits for the connection.
struct Waiter {
    ticket: u64,
    waker: Waker,
    need: Need,
}

/// What a sender waits for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Need {
    /// Room in the outbound buffer, or the end of a large message.
    Room,
    /// Credit of this receiver.
    Credit(u32),
    /// The end of a request that is in flight.
    InFlight,
}

/// What a sender wants to hear of its message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum How {
    Tell,
    Confirm,
    Ask,
}

/// A message on its way out.
pub(crate) struct Outgoing<'a> {
    pub(crate) how: How,
    pub(crate) type_name: &'static str,
    pub(crate) payload: &'a dyn Encode,
    pub(crate) sender: Option<&'a ActorRef>,
    pub(crate) remaining: Option<Duration>,
    pub(crate) metadata: Option<&'a Metadata>,
}

/// Where a sender stands in line, and its payload if that was encoded already.
#[derive(Default)]
pub(crate) struct Place {
    ticket: Option<(Arc<Conn>, u64)>,
    prepared: Option<(u64, Bytes, Option<u32>)>,
}

impl Drop for Place {
    fn drop(&mut self) {
        if let Some((conn, ticket)) = self.ticket.take() {
            conn.shared.hold().waiters.retain(|waiter| waiter.ticket != ticket);
        }
    }
}

/// How a request ended.
pub(crate) enum Fate {
    Reply(Reply),
    /// The outcome of an operation.
    Outcome(Outcome),
    Refused(Refusal),
    /// The connection ended first.
    Lost(String),
}

impl Fate {
    /// Its label in the metrics.
    fn outcome(&self) -> &'static str {
        match self {
            Self::Reply(_) | Self::Outcome(_) => "reply",
            Self::Refused(_) => "refused",
            Self::Lost(_) => "lost",
        }
    }
}

/// A reply as it came.
pub(crate) struct Reply {
    pub(crate) bytes: Bytes,
    pub(crate) raw_len: Option<u32>,
    pub(crate) conn: Arc<Conn>,
}

impl Reply {
    /// The payload, without compression.
    pub(crate) fn open(self) -> Result<Bytes, Refusal> {
        match self.raw_len {
            None => Ok(self.bytes),
            Some(raw_len) => self.conn.decompress(&self.bytes, raw_len),
        }
    }
}

/// The future of a request's end. Dropped before that, it cancels the request.
pub(crate) struct RemoteAnswer {
    answer: Answer<Fate>,
    conn: Arc<Conn>,
    corr: u64,
    is_done: bool,
}

impl Future for RemoteAnswer {
    type Output = Fate;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Fate> {
        let polled = Pin::new(&mut self.answer).poll(cx);
        self.is_done |= polled.is_ready();
        polled
    }
}

impl Drop for RemoteAnswer {
    fn drop(&mut self) {
        if !self.is_done {
            self.conn.cancel(self.corr);
        }
    }
}

/// Why a connection did not take a message.
pub(crate) enum NotTaken {
    /// It is of no use any more; another one may be.
    Gone,
    Refused(Refusal),
}

/// The requests that have no answer yet, by number.
#[derive(Default)]
struct Pending {
    slots: Vec<(u32, Option<Arc<Slot<Fate>>>)>,
    free: Vec<u32>,
}

impl Pending {
    fn len(&self) -> usize {
        self.slots.len() - self.free.len()
    }

    /// A number is a place and how often the place was used, so that a late answer finds nobody.
    fn add(&mut self, slot: Arc<Slot<Fate>>) -> u64 {
        let index = self.free.pop().unwrap_or_else(|| {
            self.slots.push((0, None));
            u32::try_from(self.slots.len() - 1).expect("bounded by max_in_flight")
        });
        let (generation, place) = &mut self.slots[index as usize];
        *place = Some(slot);
        (u64::from(*generation) << 16) | u64::from(index)
    }

    fn remove(&mut self, corr: u64) -> Option<Arc<Slot<Fate>>> {
        let index = (corr & 0xffff) as u32;
        let (generation, place) = self.slots.get_mut(index as usize)?;
        if u64::from(*generation) != corr >> 16 {
            return None;
        }
        let slot = place.take()?;
        // The number stays short for a connection that is asked one thing after another.
        *generation = (*generation + 1) & 0xffff;
        self.free.push(index);
        Some(slot)
    }

    fn take_all(&mut self) -> Vec<Arc<Slot<Fate>>> {
        let Self { slots, .. } = std::mem::take(self);
        slots.into_iter().filter_map(|(_, slot)| slot).collect()
    }
}

impl Conn {
    pub(crate) fn new(net: Arc<Net>, role: Role, session: &Session, from: &str) -> Arc<Self> {
        let hello = &session.peer;
        let name = match &hello.advertised {
            Some((host, port)) => format!("{}@{host}:{port}", hello.system),
            None => format!("{}@{from}", hello.system),
        };
        let peer = Peer { incarnation: hello.incarnation, name: name.into() };
        let shared = Mutex::new(Shared {
            out: Outbound::new(role, session.limits),
            driver: None,
            closed: None,
            is_draining: false,
            closing: None,
            waiters: Vec::new(),
            next_ticket: 0,
            is_used: false,
            untaken_tells: 0,
            pending: Pending::default(),
            receivers: Vec::new(),
            types: Vec::new(),
            senders: Vec::new(),
            known_types: HashMap::new(),
            known_senders: HashMap::new(),
            names_epoch: 0,
            in_flight: 0,
            writing: 0,
            noted: 0,
            owed: Vec::new(),
            granted: Vec::new(),
            granted_epoch: 0,
            cancelled: HashSet::new(),
            cancelled_order: VecDeque::new(),
            cancel_wakers: Vec::new(),
        });
        Arc::new(Self {
            id: net.next_conn_id(),
            net,
            peer,
            limits: session.limits,
            compression: session.compression,
            shared,
            any_cancelled: AtomicBool::new(false),
            over: AtomicBool::new(false),
            role,
            inbound: Share::default(),
            names: Share::default(),
            replies: Share::default(),
            superseded: AtomicBool::new(false),
            gone: Default::default(),
        })
    }

    /// Whether new messages may be given to it.
    pub(crate) fn is_usable(&self) -> bool {
        let shared = self.shared.hold();
        shared.closed.is_none() && !shared.is_draining && shared.closing.is_none()
    }

    pub(crate) fn is_over(&self) -> bool {
        self.over.load(Ordering::Acquire)
    }

    /// Does something with the outbound half, and has the driver write it.
    pub(crate) fn write(&self, f: impl FnOnce(&mut Outbound)) {
        let mut shared = self.shared.hold();
        if shared.closed.is_none() {
            f(&mut shared.out);
            touch(shared);
        }
    }

    /// For the driver: the shared half.
    pub(crate) fn lock(&self) -> MutexGuard<'_, Shared> {
        self.shared.hold()
    }

    /// Encodes and compresses a payload, if it is one that should not be encoded under the lock.
    fn prepare<'a>(&self, payload: &'a dyn Encode) -> Result<Payload<'a>, Refusal> {
        self.net.prepare(payload, self.compression, self.limits.max_message_len)
    }

    /// Takes a message, or notes the sender in the line of those that wait. `known` is the number that
    /// this connection gave the receiver before; the one that was used comes back.
    pub(crate) fn poll_send(
        self: &Arc<Self>,
        target: &RemoteTarget,
        known: Option<WireAlias>,
        outgoing: &Outgoing<'_>,
        place: &mut Place,
        waker: Option<&Waker>,
    ) -> Poll<Result<(WireAlias, Option<RemoteAnswer>), NotTaken>> {
        let payload = match place.prepared.take() {
            Some((conn, bytes, raw_len)) if conn == self.id => Payload::Ready { bytes, raw_len },
            _ => match self.prepare(outgoing.payload) {
                Ok(payload) => payload,
                Err(refusal) => return Poll::Ready(Err(NotTaken::Refused(refusal))),
            },
        };
        let mut shared = self.shared.hold();
        if shared.closed.is_some() || shared.is_draining || shared.closing.is_some() {
            return Poll::Ready(Err(NotTaken::Gone));
        }
        let (receiver, sender, type_id) = match shared.resolve(known, target, outgoing) {
            Some(aliases) => aliases,
            None => {
                let detail = "the tables of the connection are too small".to_owned();
                return Poll::Ready(Err(NotTaken::Refused(Refusal::Internal { detail })));
            }
        };
        let need = shared.need(receiver, outgoing.how, &payload, &self.limits);
        if let Some(need) = need {
            return match waker {
                Some(waker) => {
                    if let Payload::Ready { bytes, raw_len } = payload {
                        place.prepared = Some((self.id, bytes, raw_len));
                    }
                    self.wait(&mut shared, place, waker, need);
                    Poll::Pending
                }
                None => Poll::Ready(Err(NotTaken::Refused(need.refusal(&self.limits)))),
            };
        }
        let (kind, answer) = match outgoing.how {
            How::Tell => (MessageKind::Tell, None),
            how @ (How::Confirm | How::Ask) => {
                let (slot, answer) = Slot::new();
                let corr = shared.pending.add(slot);
                let kind = match how {
                    How::Confirm => MessageKind::Confirm { corr },
                    _ => MessageKind::Ask { corr },
                };
                let conn = self.clone();
                (kind, Some(RemoteAnswer { answer, conn, corr, is_done: false }))
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
                shared.untaken_tells += u64::from(outgoing.how == How::Tell);
                touch(shared);
                Poll::Ready(Ok((receiver, answer)))
            }
            Err(error) => {
                if let Some(mut answer) = answer {
                    shared.pending.remove(answer.corr);
                    answer.is_done = true;
                }
                drop(shared);
                Poll::Ready(Err(NotTaken::Refused(not_sent(error))))
            }
        }
    }

    fn wait(
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
        Ok(RemoteAnswer { answer, conn: self.clone(), corr, is_done: false })
    }

    /// Gives up on a request.
    fn cancel(&self, corr: u64) {
        let mut shared = self.shared.hold();
        if shared.pending.remove(corr).is_some() && shared.closed.is_none() {
            shared.out.cancel(corr);
            let wakers = shared.wake(|need| need == Need::InFlight);
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
        let letter = || DeadLetter {
            target,
            sender,
            message: message.unwrap_or_else(|| "?".to_owned()),
            reason: refusal,
            count,
        };
        self.net.dead_letters(count, letter);
    }

    /// Ends the connection for everybody who uses it.
    pub(crate) fn close(&self, reason: &str) {
        let mut shared = self.shared.hold();
        if shared.closed.is_some() {
            return;
        }
        shared.closed = Some(reason.into());
        let pending = shared.pending.take_all();
        let untaken = std::mem::take(&mut shared.untaken_tells);
        // Messages in mailboxes may keep the rest of the connection for long.
        shared.forget(self.role, self.limits);
        self.net.replies.give_back_all(&self.replies);
        let mut wakers = shared.wake(|_| true);
        wakers.extend(shared.cancel_wakers.drain(..).map(|(_, waker)| waker));
        wakers.extend(shared.driver.take());
        drop(shared);
        self.over.store(true, Ordering::Release);
        if untaken > 0 {
            self.net.dead_letters(untaken, || DeadLetter {
                target: format!("rakt://{}/?", self.peer.name),
                sender: None,
                message: "?".to_owned(),
                reason: Refusal::Unreachable { detail: reason.to_owned() },
                count: untaken,
            });
        }
        crate::metrics::requests_ended("lost", pending.len() as u64);
        for slot in pending {
            drop(slot.answer(Fate::Lost(reason.to_owned())));
        }
        wakers.into_iter().for_each(Waker::wake);
    }

    /// For the driver: the stream is closed.
    pub(crate) fn set_gone(&self) {
        self.gone.0.store(true, Ordering::Release);
        self.gone.1.notify_waiters();
    }

    /// Completes when the stream is closed.
    pub(crate) async fn gone(&self) {
        let mut told = std::pin::pin!(self.gone.1.notified());
        told.as_mut().enable();
        if !self.gone.0.load(Ordering::Acquire) {
            told.await;
        }
    }

    /// Has the driver end the connection once what is buffered is written.
    pub(crate) fn finish(&self, code: CloseCode, reason: &str) {
        let mut shared = self.shared.hold();
        if shared.closed.is_none() && shared.closing.is_none() {
            shared.closing = Some((code, reason.to_owned()));
            touch(shared);
        }
    }

    /// Ends the connection if nobody uses it; says whether it does.
    pub(crate) fn finish_if_idle(&self, reason: &str) -> bool {
        let shared = self.shared.hold();
        let is_idle = shared.pending.len() == 0 && shared.waiters.is_empty();
        let is_idle = is_idle && shared.out.is_empty() && shared.closing.is_none();
        drop(shared);
        if is_idle {
            self.finish(CloseCode::Normal, reason);
        }
        is_idle
    }

    /// Has the driver end the connection after what has arrived of it by now.
    pub(crate) fn supersede(&self) {
        self.superseded.store(true, Ordering::Release);
        touch(self.shared.hold());
    }

    pub(crate) fn is_superseded(&self) -> bool {
        self.superseded.load(Ordering::Acquire)
    }

    /// The reason why the connection ended, if it has.
    pub(crate) fn closed(&self) -> Option<Arc<str>> {
        self.shared.hold().closed.clone()
    }

    // What an acceptor's receiving side does.

    /// Counts requests that came in; false if that makes too many of them.
    pub(crate) fn count_requests(&self, new: u32) -> bool {
        let mut shared = self.shared.hold();
        shared.in_flight += i64::from(new);
        shared.in_flight <= i64::from(self.limits.max_in_flight)
    }

    /// Counts bytes that the peer may leave here for as long as it likes; false if there is no room.
    pub(crate) fn admit(&self, bytes: u64) -> bool {
        self.net.budget.try_add(&self.inbound, bytes)
    }

    /// Counts bytes that are here already; false if that is more than there is room for.
    pub(crate) fn charge(&self, bytes: u64) -> bool {
        self.net.budget.add(&self.inbound, bytes)
    }

    pub(crate) fn release(&self, bytes: u64) {
        self.net.budget.give_back(&self.inbound, bytes);
    }

    /// Counts bytes of names that the peer has defined; false if that is more than there is room for.
    pub(crate) fn charge_names(&self, bytes: u64) -> bool {
        self.net.names.add(&self.names, bytes)
    }

    pub(crate) fn release_names(&self) {
        self.net.names.give_back_all(&self.names);
    }

    /// Tells the node how much is buffered here, where that is much; false if there is no room for more.
    pub(crate) fn note_buffered(&self, shared: &mut Shared) -> bool {
        let buffered = shared.buffered();
        if shared.noted == 0 && buffered <= HIGH_WATER {
            return true;
        }
        let before = std::mem::replace(&mut shared.noted, buffered as u64);
        self.net.replies.give_back(&self.replies, before);
        self.net.replies.add(&self.replies, shared.noted) && buffered <= MAX_BUFFERED_REPLIES
    }

    /// Bytes of credit given back so far to a receiver of this epoch.
    pub(crate) fn granted(&self, from: Alias) -> u64 {
        let shared = self.shared.hold();
        if shared.granted_epoch != from.epoch {
            return 0;
        }
        let at = from.id as usize;
        let sum = |list: &Vec<u64>| list.get(at).copied().unwrap_or(0);
        sum(&shared.granted) + sum(&shared.owed)
    }

    pub(crate) fn handle_cancel(&self, corr: u64) {
        let mut shared = self.shared.hold();
        if shared.cancelled.insert(corr) {
            shared.cancelled_order.push_back(corr);
        }
        if shared.cancelled_order.len() > MAX_CANCELLED
            && let Some(oldest) = shared.cancelled_order.pop_front()
        {
            shared.cancelled.remove(&oldest);
        }
        // A large reply may be half out.
        shared.out.cancel(corr);
        self.any_cancelled.store(true, Ordering::Release);
        let wakers: Vec<_> =
            shared.cancel_wakers.extract_if(.., |(other, _)| *other == corr).collect();
        drop(shared);
        wakers.into_iter().for_each(|(_, waker)| waker.wake());
    }

    /// Answers a request about actors.
    pub(crate) fn respond(&self, corr: u64, result: Result<Outcome, Refusal>) {
        let mut shared = self.shared.hold();
        if shared.closed.is_none() {
            shared.settle(corr);
            match result {
                Ok(_) if !self.note_buffered(&mut shared) => {
                    shared.out.fail(corr, &buffered_replies().to_wire());
                }
                Ok(outcome) => shared.out.respond(corr, &outcome),
                Err(refusal) => shared.out.fail(corr, &refusal.to_wire()),
            }
            touch(shared);
        }
    }

    pub(crate) fn terminated(&self, watch_id: u64, reason: &StopReason) {
        let reason = super::watch::to_wire(reason);
        self.write(|out| out.terminated(watch_id, &reason));
    }
}

/// Wakes the driver, unless somebody has already.
fn touch(mut shared: MutexGuard<'_, Shared>) {
    let driver = shared.driver.take();
    drop(shared);
    if let Some(driver) = driver {
        driver.wake();
    }
}

fn buffered_replies() -> Refusal {
    let bound = "buffered replies (bytes)".to_owned();
    Refusal::ResourceExhausted { bound, limit: MAX_BUFFERED_REPLIES as u64 }
}

fn not_sent(error: SendError) -> Refusal {
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
    fn need(
        &self,
        receiver: WireAlias,
        how: How,
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
        if how != How::Tell && self.pending.len() >= limits.max_in_flight as usize {
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

    fn define_sender(&mut self, sender: &ActorRef) -> WireAlias {
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

    /// A request of the peer has been answered.
    fn settle(&mut self, corr: u64) {
        self.in_flight -= 1;
        if !self.cancel_wakers.is_empty() {
            self.cancel_wakers.retain(|(other, _)| *other != corr);
        }
    }

    fn wake(&mut self, whom: impl Fn(Need) -> bool) -> Vec<Waker> {
        if self.waiters.is_empty() {
            return Vec::new();
        }
        let woken = self.waiters.extract_if(.., |waiter| whom(waiter.need));
        woken.map(|waiter| waiter.waker).collect()
    }

    /// For the driver: what to write next, and who may go on because of it.
    pub(crate) fn take_output(&mut self, out: &mut Vec<u8>) -> Vec<Waker> {
        self.out.poll_transmit(out);
        self.untaken_tells = 0;
        self.writing = out.len();
        self.wake(|need| need == Need::Room)
    }

    /// For the driver: how it is woken when there is something to write.
    pub(crate) fn set_driver(&mut self, waker: &Waker) {
        match &mut self.driver {
            Some(known) => known.clone_from(waker),
            None => self.driver = Some(waker.clone()),
        }
    }

    /// For the driver: a little is buffered, and other requests are in flight on either side, so that
    /// more is likely to be buffered in a moment.
    pub(crate) fn expects_more(&self) -> bool {
        let others = self.in_flight > 0 || self.pending.len() > 1;
        others && !self.out.is_empty() && self.out.buffered() < rakt_wire::native::CHUNK_LEN
    }

    /// For the driver: whether something was sent since it last asked.
    pub(crate) fn take_used(&mut self) -> bool {
        std::mem::take(&mut self.is_used)
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.closed.is_some()
    }

    /// For the driver: so much is buffered that the peer must read before it may send more.
    ///
    /// What a dialer reads makes it write nothing. Were it to wait as well, both could wait for ever.
    pub(crate) fn is_backed_up(&self, role: Role) -> bool {
        role == Role::Acceptor && self.buffered() > LARGE_HIGH_WATER
    }

    /// For the driver: whether the node counts what is buffered here.
    pub(crate) fn is_noted(&self) -> bool {
        self.noted > 0
    }

    /// Bytes that the peer has not taken yet.
    fn buffered(&self) -> usize {
        self.out.buffered() + self.writing
    }

    /// The connection has ended: gives back what took up memory.
    fn forget(&mut self, role: Role, limits: Limits) {
        self.out = Outbound::new(role, limits);
        self.noted = 0;
        self.receivers = Vec::new();
        self.types = Vec::new();
        self.senders = Vec::new();
        self.known_types = HashMap::new();
        self.known_senders = HashMap::new();
        self.owed = Vec::new();
        self.granted = Vec::new();
        self.cancelled = HashSet::new();
        self.cancelled_order = VecDeque::new();
    }
}

/// The actor side's view of a connection that messages came from.
impl Origin for Conn {
    fn reply(&self, corr: u64, payload: &dyn Encode) {
        let prepared = self.prepare(payload);
        let mut shared = self.shared.hold();
        if shared.closed.is_some() {
            return;
        }
        shared.settle(corr);
        let result = match prepared {
            _ if !self.note_buffered(&mut shared) => Err(buffered_replies()),
            Ok(payload) => shared.out.reply(corr, payload).map_err(not_sent),
            Err(refusal) => Err(refusal),
        };
        if let Err(refusal) = result {
            shared.out.fail(corr, &refusal.to_wire());
        }
        touch(shared);
    }

    fn refuse(&self, corr: u64, refusal: &Refusal) {
        let mut shared = self.shared.hold();
        if shared.closed.is_none() {
            shared.settle(corr);
            shared.out.fail(corr, &refusal.to_wire());
            touch(shared);
        }
    }

    fn confirm(&self, corr: u64) {
        self.reply(corr, &[].as_slice());
    }

    fn nack(&self, from: Alias, sender: Option<u32>, type_id: u32, refusal: &Refusal) {
        self.write(|out| out.nack(from.id, sender, type_id, from.epoch, &refusal.to_wire()));
    }

    fn consumed(&self, from: Alias, cost: u64) {
        self.release(cost);
        let mut shared = self.shared.hold();
        if shared.closed.is_some() || shared.granted_epoch > from.epoch {
            return;
        }
        if shared.granted_epoch < from.epoch {
            shared.granted_epoch = from.epoch;
            shared.granted.clear();
            shared.owed.clear();
        }
        let at = from.id as usize;
        if shared.owed.len() <= at {
            shared.owed.resize(at + 1, 0);
            shared.granted.resize(at + 1, 0);
        }
        shared.owed[at] += cost;
        // Credit goes back in quarters of a window: the sender never runs dry, and a lone message
        // does not cost a frame.
        if shared.owed[at] >= u64::from(self.limits.receiver_window / 4) {
            let owed = std::mem::take(&mut shared.owed[at]);
            shared.granted[at] += owed;
            shared.out.grant(from.id, from.epoch, owed);
            touch(shared);
        }
    }

    fn release(&self, bytes: u64) {
        Self::release(self, bytes);
    }

    fn decompress(&self, payload: &[u8], raw_len: u32) -> Result<Bytes, Refusal> {
        self.net.decompress(self.compression, payload, raw_len)
    }

    fn is_cancelled(&self, corr: u64) -> bool {
        if self.is_over() {
            return true;
        }
        self.any_cancelled.load(Ordering::Acquire) && self.shared.hold().cancelled.contains(&corr)
    }

    fn poll_cancelled(&self, corr: u64, cx: &mut Context<'_>) -> Poll<()> {
        let mut shared = self.shared.hold();
        if shared.closed.is_some() || shared.cancelled.contains(&corr) {
            return Poll::Ready(());
        }
        match shared.cancel_wakers.iter_mut().find(|(other, _)| *other == corr) {
            Some((_, waker)) => waker.clone_from(cx.waker()),
            None => shared.cancel_wakers.push((corr, cx.waker().clone())),
        }
        Poll::Pending
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_late_answer_finds_nobody() {
        let mut pending = Pending::default();
        let first = pending.add(Slot::new().0);
        assert!(pending.remove(first).is_some());
        let second = pending.add(Slot::new().0);
        assert_ne!(first, second);
        assert!(pending.remove(first).is_none(), "the place is another request's now");
        assert!(pending.remove(second).is_some());
        assert_eq!(pending.len(), 0);
    }
}
