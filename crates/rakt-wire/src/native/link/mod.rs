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
//!
//! | file | holds |
//! | --- | --- |
//! | `event.rs` | what goes into a link and comes out of it |
//! | `arrivals.rs` | what arrivals change |

mod arrivals;
mod event;

use std::collections::{BTreeSet, VecDeque};
use std::fmt;
use std::time::{Duration, Instant};

use bytes::{Buf, BytesMut};

use self::arrivals::{Arrivals, Budget, State};
pub use self::event::{ClosedReason, Envelope, LinkEvent};
use super::{
    CloseCode, Handshake, Head, Hello, Inbound, Liveness, LivenessAction, Outbound, Role,
    SendError, Session,
};

/// Bytes of unfinished large bodies that a link holds; what goes beyond is refused. 64 MiB.
pub const PARTIAL_BUDGET: usize = 64 * 1024 * 1024;

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
            open.state.outbound.close_now(code, text);
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
                        outbound.close_now(error.close_code(), &error.close_text());
                    }
                    ClosedReason::Payload(_) | ClosedReason::Credit { .. } => {
                        outbound.close_now(CloseCode::Protocol, &reason.to_string());
                    }
                    ClosedReason::Dead => {
                        outbound.close_now(CloseCode::Timeout, &reason.to_string())
                    }
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

impl Open {
    fn new(role: Role, session: &Session) -> Self {
        Self {
            inbound: Inbound::new(role, session.limits),
            state: State::new(role, session),
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
