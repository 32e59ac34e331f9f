//! One whole connection, without a socket: handshake, both halves and liveness put together.
//!
//! ```text
//!   Greeting ──hello, hello──► Open ──close, error, silence──► Closed
//! ```
//!
//! A node splits this over threads and shares [`Outbound`] among senders. This model keeps it in one
//! place, in the form `handle_bytes`, `handle_timeout`, `poll_transmit`, `poll_event`, `poll_timeout`.
//! Tests and fuzz targets drive two of them against each other, and it shows how the parts are used:
//! aliases are resolved and redone after a reset, messages wait for credit and for a large one before
//! them, credit goes back once a message is taken.

use std::collections::{BTreeSet, VecDeque};
use std::fmt;
use std::time::{Duration, Instant};

use bytes::{Buf, Bytes, BytesMut};

use super::Role;
use super::error::{CloseCode, LinkError};
use super::handshake::{Handshake, HandshakeError};
use super::hello::{Hello, Limits, Session};
use super::inbound::{Event, Inbound, Sink};
use super::liveness::{Liveness, LivenessAction};
use super::message::{Body, Head, Message, MessageKind, cost};
use super::outbound::{Alias, Outbound, Payload, SendError};
use crate::compress::{Compressor, DecompressError};
use crate::failure::{Code, Failure, Terminated};
use crate::metadata::Metadata;
use crate::operation::{Operation, Outcome};

/// Bytes of unfinished large bodies that a link holds; what goes beyond is refused. 64 MiB.
pub const PARTIAL_BUDGET: usize = 64 * 1024 * 1024;

/// A message with all its names, before or after the wire.
///
/// `Debug` shows the length of the payload, not its bytes.
#[derive(Clone, PartialEq, Eq)]
pub struct Envelope {
    /// What the sender wants to hear.
    pub kind: MessageKind,
    /// Path of the receiver.
    pub path: String,
    /// The life of the receiver that is meant.
    pub uid: Option<u64>,
    /// Address of the sender.
    pub sender: Option<String>,
    /// Wire name of the message type.
    pub type_name: String,
    /// Time left until the sender no longer waits.
    pub remaining: Option<Duration>,
    /// What travels with it; empty and absent are the same.
    pub metadata: Metadata,
    /// The raw payload.
    pub payload: Bytes,
}

/// Something a link tells its owner.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum LinkEvent {
    /// The link is open.
    Opened(Box<Session>),
    /// A message. Taking this event gives the peer its credit back.
    Message(Box<Envelope>),
    /// The reply to an ask or confirm.
    Reply {
        /// What it answers.
        corr: u64,
        /// The raw payload, always a [`Body::Whole`].
        payload: Body,
    },
    /// A confirm, ask or request has failed.
    Failed {
        /// Which.
        corr: u64,
        /// Why.
        failure: Failure,
    },
    /// Tells have failed.
    Nack {
        /// How many.
        count: u64,
        /// Why.
        failure: Failure,
    },
    /// The asker has given up.
    Cancelled {
        /// On what.
        corr: u64,
    },
    /// An operation.
    Request {
        /// The number by which it is answered.
        corr: u64,
        /// What to do.
        operation: Operation,
    },
    /// The outcome of an operation.
    Response {
        /// Which.
        corr: u64,
        /// How it ended.
        outcome: Outcome,
    },
    /// A watched actor has ended.
    Terminated {
        /// The number given to the watch.
        watch_id: u64,
        /// How.
        reason: Terminated,
    },
    /// The peer wants nothing new.
    GoAway {
        /// Why.
        code: CloseCode,
        /// For the log.
        text: String,
    },
    /// The link is closed; the last event.
    Closed(ClosedReason),
}

/// Why a link is closed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ClosedReason {
    /// It never opened.
    #[error("the handshake failed")]
    Handshake(#[from] HandshakeError),
    /// The peer broke the protocol.
    #[error("the peer broke the protocol")]
    Protocol(#[from] LinkError),
    /// The peer sent a payload that does not unpack.
    #[error("the peer sent a payload that does not unpack")]
    Payload(#[from] DecompressError),
    /// The peer sent more than it had credit for.
    #[error("the peer sent to receiver {receiver} without credit")]
    Credit {
        /// The alias of the receiver.
        receiver: u32,
    },
    /// The peer fell silent.
    #[error("nothing was heard from the peer for too long")]
    Dead,
    /// The peer said goodbye.
    #[error("the peer closed the connection: {code}: {text}")]
    ByPeer {
        /// Why.
        code: CloseCode,
        /// For the log.
        text: String,
    },
    /// The owner closed it.
    #[error("closed on this side")]
    ByUs,
}

/// One connection.
pub struct Link {
    phase: Phase,
    unread: BytesMut,
    liveness: Liveness,
    /// Bytes that must still go out, also when the link is closed.
    unsent: Vec<u8>,
    events: VecDeque<LinkEvent>,
    /// The cost of each message in `events`, in order: its receiver gets it back.
    costs: VecDeque<(u32, u32, u64)>,
}

enum Phase {
    Greeting(Box<Handshake>),
    Open(Box<Open>),
    Closed,
}

struct Open {
    inbound: Inbound,
    state: State,
    /// Messages that wait for credit, or for a large one before them.
    waiting: VecDeque<Envelope>,
    next_nonce: u64,
}

/// What the events of a link change.
struct State {
    limits: Limits,
    outbound: Outbound,
    compressor: Compressor,
    receivers: Vec<Known>,
    senders: Vec<String>,
    types: Vec<String>,
    epoch: u32,
    budget: usize,
    closed: Option<ClosedReason>,
}

/// A receiver that the peer has given a number.
struct Known {
    path: String,
    uid: Option<u64>,
    /// Cost of its messages that have arrived and not been taken.
    outstanding: u64,
}

impl Link {
    /// The side that opened the connection.
    pub fn dial(now: Instant, hello: Hello, read_idle_timeout: Duration) -> Self {
        Self::new(now, Handshake::dial(hello), read_idle_timeout)
    }

    /// The side that took the connection.
    pub fn accept(now: Instant, hello: Hello, read_idle_timeout: Duration) -> Self {
        Self::new(now, Handshake::accept(hello), read_idle_timeout)
    }

    fn new(now: Instant, handshake: Handshake, read_idle_timeout: Duration) -> Self {
        Self {
            phase: Phase::Greeting(Box::new(handshake)),
            unread: BytesMut::new(),
            liveness: Liveness::new(now, read_idle_timeout),
            unsent: Vec::new(),
            events: VecDeque::new(),
            costs: VecDeque::new(),
        }
    }

    /// The sending half, once the link is open: replies, requests, cancels and goodbyes go there.
    pub fn outbound(&mut self) -> Option<&mut Outbound> {
        match &mut self.phase {
            Phase::Open(open) => Some(&mut open.state.outbound),
            _ => None,
        }
    }

    /// Whether the link is closed.
    pub fn is_closed(&self) -> bool {
        matches!(self.phase, Phase::Closed)
    }

    /// Messages that have not been accepted by the sending half yet.
    pub fn waiting(&self) -> usize {
        match &self.phase {
            Phase::Open(open) => open.waiting.len(),
            _ => 0,
        }
    }

    /// Bytes have arrived.
    pub fn handle_bytes(&mut self, now: Instant, bytes: &[u8]) {
        if self.is_closed() {
            return;
        }
        self.liveness.handle_read(now);
        self.unread.extend_from_slice(bytes);
        if let Err(reason) = self.greet().and_then(|()| self.read()) {
            self.finish(reason);
        }
    }

    /// Time has passed.
    pub fn handle_timeout(&mut self, now: Instant) {
        if self.is_closed() {
            return;
        }
        match (self.liveness.handle_timeout(now), &mut self.phase) {
            (LivenessAction::Ping, Phase::Open(open)) => {
                open.next_nonce = open.next_nonce.wrapping_add(1);
                open.state.outbound.ping(open.next_nonce);
            }
            (LivenessAction::Dead, _) => self.finish(ClosedReason::Dead),
            _ => {}
        }
    }

    /// When [`Link::handle_timeout`] wants to be called.
    pub fn poll_timeout(&self) -> Option<Instant> {
        (!self.is_closed()).then(|| self.liveness.poll_timeout())
    }

    /// Sends a message, or keeps it until its receiver has credit. An unopened link keeps nothing.
    ///
    /// # Errors
    /// [`SendError`] for a message that can never be sent.
    pub fn send(&mut self, envelope: Envelope) -> Result<(), SendError> {
        let Phase::Open(open) = &mut self.phase else { return Err(SendError::Undefined) };
        let (size, limit) =
            (envelope.payload.len() as u64, open.state.limits.max_message_len.into());
        if size > limit {
            return Err(SendError::TooLarge { size, limit });
        }
        open.waiting.push_back(envelope);
        open.send_waiting()
    }

    /// Closes the link and tells the peer why.
    pub fn close(&mut self, code: CloseCode, text: &str) {
        if let Phase::Open(open) = &mut self.phase {
            open.state.outbound.close(code, text);
        }
        self.finish(ClosedReason::ByUs);
    }

    /// Appends what to write next to `out`; false when there is nothing.
    pub fn poll_transmit(&mut self, out: &mut Vec<u8>) -> bool {
        let before = out.len();
        match &mut self.phase {
            Phase::Greeting(handshake) => {
                self.unsent.extend_from_slice(&handshake.poll_transmit().unwrap_or_default());
                out.append(&mut self.unsent);
            }
            Phase::Open(open) => {
                out.append(&mut self.unsent);
                open.state.outbound.poll_transmit(out);
                // What cannot be sent was refused when it came in.
                drop(open.send_waiting());
            }
            Phase::Closed => out.append(&mut self.unsent),
        }
        out.len() > before
    }

    /// What has happened.
    pub fn poll_event(&mut self) -> Option<LinkEvent> {
        let event = self.events.pop_front()?;
        if let LinkEvent::Message(_) = event
            && let Some((receiver, epoch, cost)) = self.costs.pop_front()
            && let Phase::Open(open) = &mut self.phase
        {
            open.state.give_back(receiver, epoch, cost);
        }
        Some(event)
    }

    fn greet(&mut self) -> Result<(), ClosedReason> {
        let Phase::Greeting(handshake) = &mut self.phase else { return Ok(()) };
        let Some(session) = handshake.handle_bytes(&mut self.unread)? else { return Ok(()) };
        self.unsent.extend_from_slice(&handshake.poll_transmit().unwrap_or_default());
        let role = handshake.role();
        self.phase = Phase::Open(Box::new(Open::new(role, &session)));
        self.events.push_back(LinkEvent::Opened(Box::new(session)));
        Ok(())
    }

    fn read(&mut self) -> Result<(), ClosedReason> {
        let Phase::Open(open) = &mut self.phase else { return Ok(()) };
        let mut arrivals = Arrivals {
            buf: &self.unread,
            state: &mut open.state,
            events: &mut self.events,
            costs: &mut self.costs,
        };
        let result = open.inbound.handle_bytes(&self.unread, &mut arrivals);
        // The peer's own goodbye says more than what it broke after that.
        if let Some(reason) = open.state.closed.take() {
            return Err(reason);
        }
        self.unread.advance(result?);
        drop(open.send_waiting());
        Ok(())
    }

    /// Keeps the last words for the peer, and drops everything else.
    fn finish(&mut self, reason: ClosedReason) {
        match &mut self.phase {
            Phase::Greeting(handshake) => {
                self.unsent.extend_from_slice(&handshake.poll_transmit().unwrap_or_default());
            }
            Phase::Open(open) => {
                let outbound = &mut open.state.outbound;
                match &reason {
                    ClosedReason::Protocol(error) => {
                        outbound.close(error.close_code(), &error.close_text());
                    }
                    ClosedReason::Payload(_) | ClosedReason::Credit { .. } => {
                        outbound.close(CloseCode::Protocol, &reason.to_string());
                    }
                    ClosedReason::Dead => outbound.close(CloseCode::Timeout, &reason.to_string()),
                    _ => {}
                }
                outbound.poll_transmit(&mut self.unsent);
                open.inbound.clear(&mut Budget(&mut open.state.budget));
                debug_assert_eq!(
                    open.state.budget, PARTIAL_BUDGET,
                    "all that was held is released"
                );
            }
            Phase::Closed => return,
        }
        self.phase = Phase::Closed;
        self.events.push_back(LinkEvent::Closed(reason));
    }
}

impl fmt::Debug for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let phase = match &self.phase {
            Phase::Greeting(_) => "greeting",
            Phase::Open(_) => "open",
            Phase::Closed => "closed",
        };
        f.debug_struct("Link")
            .field("phase", &phase)
            .field("liveness", &self.liveness)
            .field("waiting", &self.waiting())
            .field("events", &self.events.len())
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for Envelope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Envelope")
            .field("kind", &self.kind)
            .field("path", &self.path)
            .field("uid", &self.uid)
            .field("sender", &self.sender)
            .field("type_name", &self.type_name)
            .field("remaining", &self.remaining)
            .field("metadata", &self.metadata)
            .field("payload_len", &self.payload.len())
            .finish()
    }
}

impl Open {
    fn new(role: Role, session: &Session) -> Self {
        let limits = session.limits;
        Self {
            inbound: Inbound::new(role, limits),
            state: State {
                limits,
                outbound: Outbound::new(role, limits),
                compressor: Compressor::new(session.compression)
                    .expect("only available compressions are negotiated"),
                receivers: Vec::new(),
                senders: Vec::new(),
                types: Vec::new(),
                epoch: 0,
                budget: PARTIAL_BUDGET,
                closed: None,
            },
            waiting: VecDeque::new(),
            next_nonce: 0,
        }
    }

    /// Sends what may go now. One receiver's wait is not another's, but its own messages stay in order.
    fn send_waiting(&mut self) -> Result<(), SendError> {
        let mut blocked = BTreeSet::new();
        let mut result = Ok(());
        for envelope in std::mem::take(&mut self.waiting) {
            let key = (envelope.path.clone(), envelope.uid);
            if blocked.contains(&key) {
                self.waiting.push_back(envelope);
                continue;
            }
            let [receiver, sender, type_id] = self.state.resolve(&envelope);
            let outbound = &self.state.outbound;
            if outbound.credit(receiver) <= 0 || outbound.is_receiver_busy(receiver) {
                blocked.insert(key);
                self.waiting.push_back(envelope);
                continue;
            }
            let sender = envelope.sender.as_ref().map(|_| sender.id);
            let head = Head {
                receiver: receiver.id,
                sender,
                type_id: type_id.id,
                remaining: envelope.remaining,
                metadata: Some(&envelope.metadata),
            };
            result = result.and(self.state.send(&envelope, &head));
        }
        result
    }
}

impl State {
    /// A reset in the middle outdates what was resolved before it, so that is redone.
    fn resolve(&mut self, envelope: &Envelope) -> [Alias; 3] {
        loop {
            let out = &mut self.outbound;
            let receiver = out.receiver(&envelope.path, envelope.uid);
            let sender = envelope.sender.as_ref().map(|sender| out.sender(sender));
            let type_id = out.message_type(&envelope.type_name);
            let aliases = [receiver, sender.unwrap_or(receiver), type_id];
            if aliases.into_iter().all(|alias| out.is_current(alias)) {
                return aliases;
            }
        }
    }

    fn send(&mut self, envelope: &Envelope, head: &Head<'_>) -> Result<(), SendError> {
        const COMPRESS_FROM: usize = 512;
        let payload = &envelope.payload;
        let mut packed = Vec::new();
        let is_packed = payload.len() >= COMPRESS_FROM
            && self.compressor.compress(payload, &mut packed).unwrap_or(false);
        let payload = if is_packed {
            Payload::Ready { bytes: packed.into(), raw_len: u32::try_from(payload.len()).ok() }
        } else {
            Payload::Ready { bytes: payload.clone(), raw_len: None }
        };
        self.outbound.message(envelope.kind, head, payload)
    }

    fn give_back(&mut self, receiver: u32, epoch: u32, cost: u64) {
        if epoch != self.epoch {
            return;
        }
        if let Some(known) = self.receivers.get_mut(receiver as usize) {
            known.outstanding = known.outstanding.saturating_sub(cost);
            self.outbound.grant(receiver, epoch, cost);
        }
    }

    fn unpack(&mut self, raw_len: Option<u32>, bytes: &[u8]) -> Result<Bytes, ClosedReason> {
        let Some(raw_len) = raw_len else { return Ok(Bytes::copy_from_slice(bytes)) };
        let mut out = Vec::new();
        self.compressor.decompress(bytes, raw_len as usize, &mut out)?;
        Ok(out.into())
    }

    /// Names the parts of a message and takes its cost. Inbound has checked the aliases.
    fn take(&mut self, message: &Message, payload: Bytes) -> Result<(Envelope, u64), ClosedReason> {
        let receiver = message.receiver;
        let known = self
            .receivers
            .get_mut(receiver as usize)
            .expect("inbound accepts only defined receivers");
        if known.outstanding >= u64::from(self.limits.receiver_window) {
            return Err(ClosedReason::Credit { receiver });
        }
        let cost = cost(payload.len());
        known.outstanding = known.outstanding.saturating_add(cost);
        let name = |names: &[String], id: u32| names.get(id as usize).cloned().unwrap_or_default();
        let envelope = Envelope {
            kind: message.kind,
            path: known.path.clone(),
            uid: known.uid,
            sender: message.sender.map(|sender| name(&self.senders, sender)),
            type_name: name(&self.types, message.type_id),
            remaining: message.remaining,
            metadata: message.metadata.as_deref().cloned().unwrap_or_default(),
            payload,
        };
        Ok((envelope, cost))
    }

    /// A large message for which there was no room: the sender hears of it and has its credit back.
    fn refuse(&mut self, message: &Message) {
        let failure = Failure::with_detail(Code::ResourceExhausted, "no room for a large message");
        let cost = cost(message.raw_len.unwrap_or(0) as usize);
        match message.kind.corr() {
            Some(corr) => self.outbound.fail(corr, &failure),
            None => {
                let Message { receiver, sender, type_id, .. } = *message;
                self.outbound.nack(receiver, sender, type_id, self.epoch, &failure);
            }
        }
        self.outbound.grant(message.receiver, self.epoch, cost);
    }
}

/// Turns what [`Inbound`] finds into events.
struct Arrivals<'a> {
    buf: &'a [u8],
    state: &'a mut State,
    events: &'a mut VecDeque<LinkEvent>,
    costs: &'a mut VecDeque<(u32, u32, u64)>,
}

impl Arrivals<'_> {
    fn message(&mut self, message: &Message) -> Result<(), ClosedReason> {
        let payload = self.state.unpack(message.raw_len, message.body.bytes(self.buf))?;
        let (envelope, cost) = self.state.take(message, payload)?;
        self.costs.push_back((message.receiver, self.state.epoch, cost));
        self.events.push_back(LinkEvent::Message(Box::new(envelope)));
        Ok(())
    }

    fn reply(&mut self, corr: u64, raw_len: Option<u32>, body: &Body) -> Result<(), ClosedReason> {
        let payload = Body::Whole(self.state.unpack(raw_len, body.bytes(self.buf))?);
        self.events.push_back(LinkEvent::Reply { corr, payload });
        Ok(())
    }

    fn handle(&mut self, event: Event<'_>) -> Result<(), ClosedReason> {
        let state = &mut *self.state;
        let event = match event {
            Event::Receiver { uid, path, .. } => {
                state.receivers.push(Known { path: path.to_owned(), uid, outstanding: 0 });
                return Ok(());
            }
            Event::Sender { address, .. } => {
                state.senders.push(address.to_owned());
                return Ok(());
            }
            Event::Type { name, .. } => {
                state.types.push(name.to_owned());
                return Ok(());
            }
            Event::Reset => {
                state.receivers.clear();
                state.senders.clear();
                state.types.clear();
                state.epoch = state.epoch.wrapping_add(1);
                return Ok(());
            }
            Event::Message(message) => return self.message(&message),
            Event::Reply { corr, raw_len, body } => return self.reply(corr, raw_len, &body),
            Event::Refused(message) => {
                state.refuse(&message);
                return Ok(());
            }
            Event::RefusedRequest { corr } => {
                state.outbound.fail(corr, &Failure::new(Code::ResourceExhausted));
                return Ok(());
            }
            Event::Unsupported { corr, code } => {
                let detail = format!("operation {code}");
                state.outbound.fail(corr, &Failure::with_detail(Code::Unsupported, detail));
                return Ok(());
            }
            Event::Credit { receiver, epoch, bytes } => {
                state.outbound.handle_credit(receiver, epoch, bytes);
                return Ok(());
            }
            Event::Ping { nonce } => {
                state.outbound.pong(nonce);
                return Ok(());
            }
            Event::Pong { .. } => return Ok(()),
            Event::Close { code, text } => {
                return Err(ClosedReason::ByPeer { code, text: text.to_owned() });
            }
            Event::RefusedReply { corr } => {
                LinkEvent::Failed { corr, failure: Failure::new(Code::ResourceExhausted) }
            }
            Event::Fail { corr, failure } => LinkEvent::Failed { corr, failure },
            Event::Nack { count, failure, .. } => LinkEvent::Nack { count, failure },
            Event::Cancel { corr } => LinkEvent::Cancelled { corr },
            Event::Request { corr, operation, .. } => LinkEvent::Request { corr, operation },
            Event::Response { corr, outcome } => LinkEvent::Response { corr, outcome },
            Event::Terminated { watch_id, reason } => LinkEvent::Terminated { watch_id, reason },
            Event::GoAway { code, text } => LinkEvent::GoAway { code, text: text.to_owned() },
        };
        self.events.push_back(event);
        Ok(())
    }
}

impl Sink for Arrivals<'_> {
    fn event(&mut self, event: Event<'_>) {
        if self.state.closed.is_none()
            && let Err(reason) = self.handle(event)
        {
            self.state.closed = Some(reason);
        }
    }

    fn admit(&mut self, bytes: usize) -> bool {
        Budget(&mut self.state.budget).admit(bytes)
    }

    fn release(&mut self, bytes: usize) {
        Budget(&mut self.state.budget).release(bytes);
    }
}

/// Counts what may still be held.
struct Budget<'a>(&'a mut usize);

impl Sink for Budget<'_> {
    fn event(&mut self, _: Event<'_>) {}

    fn admit(&mut self, bytes: usize) -> bool {
        match self.0.checked_sub(bytes) {
            Some(left) => {
                *self.0 = left;
                true
            }
            None => false,
        }
    }

    fn release(&mut self, bytes: usize) {
        *self.0 = self.0.saturating_add(bytes);
    }
}
