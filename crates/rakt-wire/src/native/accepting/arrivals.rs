//! What arrives at the side that accepted: messages by receiver, operations, cancellations.
//!
//! Messages are handed to the [`Host`] one by one while a block of bytes is read, and each receiver that
//! got some is told once at the end: so it can have them as one batch, which shares the block.

use std::fmt;
use std::time::Duration;

use bytes::Bytes;

use super::{Accepting, ReplyBudget};
use crate::base::encode::cost;
use crate::failure::{Bound, Code, Failure};
use crate::native::Role;
use crate::native::error::{CloseCode, LinkError};
use crate::native::event::{Budget, Event, Sink};
use crate::native::hello::{Limits, Session};
use crate::native::inbound::Inbound;
use crate::native::message::{Message, MessageKind};
use crate::native::tables::Alias;
use crate::operation::Operation;

/// What a name takes up besides its text and what the host keeps for it, in bytes.
const NAME_OVERHEAD: usize = 128;

/// Receivers and requests of one read that there stays room for.
const KEPT_ROOM: usize = 256;

/// What a node does with what arrives for its actors.
pub trait Host: Budget + Sized {
    /// What it keeps for a receiver that the peer has named.
    type Receiver: Default;
    /// What it keeps for a sender that the peer has named.
    type Sender: Default;
    /// How it counts answers that the peer does not take.
    type Replies: ReplyBudget;

    /// The other half of the connection, for as long as `f` takes; what that wrote is to be sent.
    fn accepting<T>(&mut self, f: impl FnOnce(&mut Accepting<Self::Replies>) -> T) -> T;

    /// The peer has given up on a request, as [`Accepting::is_cancelled`] tells from now on.
    fn cancelled(&mut self, corr: u64);

    /// Counts `bytes` of a name, until [`Host::forget_names`].
    ///
    /// # Errors
    /// How much all peers may use, if that is too much.
    fn count_name(&mut self, bytes: usize) -> Result<(), u64>;

    /// All names are forgotten.
    fn forget_names(&mut self);

    /// Takes a message that costs its sender `cost`. Its receiver hears of it with [`Host::deliver`].
    ///
    /// # Errors
    /// Why it is refused. Its sender is told, and has its credit back.
    fn take(
        &mut self,
        receiver: &mut NamedReceiver<Self::Receiver>,
        names: &mut Names<Self::Sender>,
        message: Message,
        cost: u64,
    ) -> Result<(), Failure>;

    /// All messages of the read at hand for a receiver were taken; their spans are of `block`. With an
    /// overrun they are to be refused: the peer had no credit for them, and the connection ends.
    fn deliver(
        &mut self,
        from: Alias,
        receiver: &mut NamedReceiver<Self::Receiver>,
        block: Bytes,
        overrun: Option<Failure>,
    );

    /// Carries out an operation, which goes after the messages of the same read.
    fn operate(&mut self, request: Request);

    /// Why a large message or request has no room.
    fn no_room(&self) -> Failure;
}

/// An operation that a peer asks for.
#[derive(Debug)]
pub struct Request {
    /// The number by which it is answered.
    pub corr: u64,
    /// Time left until the asker no longer waits, as of its sending.
    pub remaining: Option<Duration>,
    /// What to do.
    pub operation: Operation,
}

/// A receiver that the peer has named.
#[derive(Debug)]
pub struct NamedReceiver<R> {
    /// Its path; valid, but possibly reserved.
    pub path: Box<str>,
    /// The life of the actor that is meant; `None` for whoever has the path.
    pub uid: Option<u64>,
    /// What the host keeps for it.
    pub kept: R,
    /// Cost of all messages that ever came, to compare with the credit that went back.
    received: u64,
    /// What had gone back when that was last looked up.
    returned: u64,
    /// The most that a message of the read at hand costs; 0 if there is none.
    largest: u64,
}

/// A sender that the peer has named.
#[derive(Debug)]
pub struct NamedSender<S> {
    /// Its address as text, as the peer wrote it.
    pub address: Box<str>,
    /// What the host keeps for it.
    pub kept: S,
}

/// What else the peer has named. Messages name only what is there.
#[derive(Debug)]
pub struct Names<S> {
    /// Senders by number.
    pub senders: Vec<NamedSender<S>>,
    /// Wire names of messages by number.
    pub types: Vec<Box<str>>,
}

/// The reading half of the accepting side.
pub struct Arrivals<H: Host> {
    inbound: Inbound,
    tables: Tables<H>,
}

struct Tables<H: Host> {
    limits: Limits,
    epoch: u32,
    receivers: Vec<NamedReceiver<H::Receiver>>,
    names: Names<H::Sender>,
    /// Receivers with messages of the read at hand.
    touched: Vec<u32>,
    /// The same of an epoch that ended within the read, and whether the peer had no credit for them.
    retired: Vec<(Alias, NamedReceiver<H::Receiver>, bool)>,
    /// Requests of the read at hand.
    requests: u32,
    /// What came that is cheap to send, since it was last asked for.
    cheap: u32,
    operations: Vec<Request>,
    /// The nonce of the last ping.
    ping: Option<u64>,
    /// The peer has said that it is drained.
    is_drained: bool,
    goodbye: Option<(CloseCode, String)>,
    error: Option<LinkError>,
}

impl<H: Host> Arrivals<H> {
    /// The reading half for a session.
    pub fn new(session: &Session) -> Self {
        let limits = session.limits;
        let tables = Tables {
            limits,
            epoch: 0,
            receivers: Vec::new(),
            names: Names { senders: Vec::new(), types: Vec::new() },
            touched: Vec::new(),
            retired: Vec::new(),
            requests: 0,
            cheap: 0,
            operations: Vec::new(),
            ping: None,
            is_drained: false,
            goodbye: None,
            error: None,
        };
        Self { inbound: Inbound::new(Role::Acceptor, limits), tables }
    }

    /// The parser, for where to read to.
    pub fn inbound(&mut self) -> &mut Inbound {
        &mut self.inbound
    }

    /// The receivers that the peer has named, to change what is kept for them.
    pub fn receivers(&mut self) -> impl Iterator<Item = &mut NamedReceiver<H::Receiver>> {
        self.tables.receivers.iter_mut()
    }

    /// The senders that the peer has named, to change what is kept for them.
    pub fn senders(&mut self) -> impl Iterator<Item = &mut NamedSender<H::Sender>> {
        self.tables.names.senders.iter_mut()
    }

    /// Takes what has arrived; see [`Inbound::handle_bytes`]. To be [finished](Arrivals::finish) also after
    /// an error.
    ///
    /// # Errors
    /// As [`Inbound::handle_bytes`].
    pub fn handle_bytes(&mut self, buf: &[u8], host: &mut H) -> Result<usize, LinkError> {
        let Self { inbound, tables } = self;
        inbound.handle_bytes(buf, &mut Taking { tables, host })
    }

    /// Takes what was put into [`Inbound::room`].
    ///
    /// # Errors
    /// As [`Inbound::handle_bytes`].
    pub fn handle_filled(&mut self, host: &mut H) -> Result<(), LinkError> {
        let Self { inbound, tables } = self;
        inbound.handle_filled(&mut Taking { tables, host })
    }

    /// Hands on what one read has brought. What was noted of it is of `block`.
    ///
    /// # Errors
    /// The peer went beyond a limit; the connection is to end.
    pub fn finish(&mut self, block: Bytes, host: &mut H) -> Result<(), LinkError> {
        self.tables.finish(block, host)
    }

    /// How many frames have come since the last call that are cheap to send and make work here: pings,
    /// cancellations, operations, and messages that were refused as they came.
    pub fn take_cheap(&mut self) -> u32 {
        std::mem::take(&mut self.tables.cheap)
    }

    /// The goodbye of the peer, once.
    pub fn take_goodbye(&mut self) -> Option<(CloseCode, String)> {
        self.tables.goodbye.take()
    }

    /// Drops what is unfinished and all names, and releases their bytes. For the end of the connection.
    pub fn clear(&mut self, host: &mut H) {
        self.inbound.clear(host);
        host.forget_names();
    }
}

impl<H: Host> Tables<H> {
    /// Inlined where messages are read: what is known of one there, such as that it has no sender, is not looked at again.
    #[inline(always)]
    fn message(&mut self, message: Message, host: &mut H) {
        let Message { kind, receiver: alias, sender, type_id, .. } = message;
        let raw_len = message.raw_len.map_or(message.body.len(), |len| len as usize);
        let cost = cost(raw_len);
        self.requests = self.requests.saturating_add(u32::from(is_request(kind)));
        let Some(receiver) = self.receivers.get_mut(alias as usize) else { return };
        // Nobody sends that many.
        receiver.received = receiver.received.wrapping_add(cost);
        match host.take(receiver, &mut self.names, message, cost) {
            Ok(()) => {
                if receiver.largest == 0 {
                    self.touched.push(alias);
                }
                receiver.largest = receiver.largest.max(cost);
            }
            Err(failure) => {
                self.count_cheap();
                self.refuse((kind, alias), sender, type_id, &failure, host);
                self.give_back(alias, cost, host);
            }
        }
    }

    /// A large message that the budget had no room for. Its credit goes back once all of it has come: if
    /// its sender gives up before, he takes it back himself, and it would come back twice.
    fn without_room(&mut self, message: &Message, host: &mut H) {
        let Message { kind, receiver, sender, type_id, .. } = *message;
        self.requests = self.requests.saturating_add(u32::from(is_request(kind)));
        let failure = host.no_room();
        self.refuse((kind, receiver), sender, type_id, &failure, host);
    }

    /// All of a message without room has come.
    fn skipped(&mut self, receiver: u32, raw_len: u32, host: &mut H) {
        let cost = cost(raw_len as usize);
        if let Some(receiver) = self.receivers.get_mut(receiver as usize) {
            receiver.received = receiver.received.saturating_add(cost);
        }
        self.give_back(receiver, cost, host);
    }

    fn refuse(
        &self,
        (kind, receiver): (MessageKind, u32),
        sender: Option<u32>,
        type_id: u32,
        failure: &Failure,
        host: &mut H,
    ) {
        let from = Alias { id: receiver, epoch: self.epoch };
        host.accepting(|accepting| match kind.corr() {
            None => accepting.nack(from, sender, type_id, failure),
            Some(corr) => accepting.fail(corr, failure),
        });
    }

    fn give_back(&self, receiver: u32, cost: u64, host: &mut H) {
        let from = Alias { id: receiver, epoch: self.epoch };
        host.accepting(|accepting| accepting.consumed(from, cost));
    }

    fn fail(&mut self, corr: u64, failure: &Failure, host: &mut H) {
        self.requests = self.requests.saturating_add(1);
        host.accepting(|accepting| accepting.fail(corr, failure));
    }

    fn count_cheap(&mut self) {
        self.cheap = self.cheap.saturating_add(1);
    }

    /// Counts a name with what is kept for it.
    fn count_name<T>(&mut self, name: &str, host: &mut H) {
        let bytes = name.len().saturating_add(size_of::<T>()).saturating_add(NAME_OVERHEAD);
        if let Err(limit) = host.count_name(bytes) {
            self.error.get_or_insert(LinkError::Names { limit });
        }
    }

    /// All numbers are forgotten. What was taken goes by them still, and is kept until it is delivered.
    fn reset(&mut self, host: &mut H) {
        let mut receivers = std::mem::take(&mut self.receivers);
        for alias in self.touched.drain(..) {
            let from = Alias { id: alias, epoch: self.epoch };
            if let Some(receiver) = receivers.get_mut(alias as usize) {
                let mut receiver = std::mem::replace(receiver, NamedReceiver::new("", None));
                // Now, as credit that goes back in the next epoch ends the accounts of this one.
                let is_overrun = receiver.is_overrun(from, self.limits, host);
                self.retired.push((from, receiver, is_overrun));
            }
        }
        // With their room, which may be that of many.
        self.names = Names { senders: Vec::new(), types: Vec::new() };
        host.forget_names();
        self.epoch = self.epoch.wrapping_add(1);
    }

    /// An idle connection keeps no room of a burst.
    #[cold]
    fn give_back_room(&mut self) {
        self.touched.shrink_to(KEPT_ROOM);
        self.operations.shrink_to(KEPT_ROOM);
    }

    fn finish(&mut self, mut block: Bytes, host: &mut H) -> Result<(), LinkError> {
        let mut result = self.error.take().map_or(Ok(()), Err);
        let (requests, ping) = (std::mem::take(&mut self.requests), self.ping.take());
        if requests > 0 || ping.is_some() {
            let counted = host.accepting(|accepting| {
                if let Some(nonce) = ping
                    && !accepting.writer.is_closed()
                {
                    accepting.writer.out.pong(nonce);
                }
                accepting.count_requests(requests)
            });
            result = result.and(counted);
        }
        let limits = self.limits;
        for (from, mut receiver, is_overrun) in std::mem::take(&mut self.retired) {
            result = result.and(receiver.deliver(from, limits, is_overrun, block.clone(), host));
        }
        let mut left = self.touched.len();
        for alias in self.touched.drain(..) {
            left = left.saturating_sub(1);
            // The last has it to itself: mostly it is the only one.
            let block = if left == 0 { std::mem::take(&mut block) } else { block.clone() };
            let from = Alias { id: alias, epoch: self.epoch };
            if let Some(receiver) = self.receivers.get_mut(alias as usize) {
                let is_overrun = receiver.is_overrun(from, limits, host);
                result = result.and(receiver.deliver(from, limits, is_overrun, block, host));
            }
        }
        self.operations.drain(..).for_each(|request| host.operate(request));
        if std::mem::take(&mut self.is_drained) {
            // Not before all that came with it is counted and handed on.
            host.accepting(|accepting| accepting.is_peer_drained = true);
        }
        if self.touched.capacity().max(self.operations.capacity()) > KEPT_ROOM {
            self.give_back_room();
        }
        result
    }
}

impl<R: Default> NamedReceiver<R> {
    /// A receiver of which nothing has come yet.
    pub fn new(path: &str, uid: Option<u64>) -> Self {
        let kept = R::default();
        Self { path: path.into(), uid, kept, received: 0, returned: 0, largest: 0 }
    }

    /// Whether the messages of the read at hand are more than the peer had credit for.
    fn is_overrun<H: Host<Receiver = R>>(
        &mut self,
        from: Alias,
        limits: Limits,
        host: &mut H,
    ) -> bool {
        let window = u64::from(limits.receiver_window);
        if self.received.saturating_sub(self.returned) > window {
            self.returned = host.accepting(|accepting| accepting.credit.returned(from));
        }
        // One message may exceed the window, whatever its size.
        let most = window.saturating_add(std::mem::take(&mut self.largest));
        self.received.saturating_sub(self.returned) > most
    }

    fn deliver<H: Host<Receiver = R>>(
        &mut self,
        from: Alias,
        limits: Limits,
        is_overrun: bool,
        block: Bytes,
        host: &mut H,
    ) -> Result<(), LinkError> {
        if !is_overrun {
            host.deliver(from, self, block, None);
            return Ok(());
        }
        let limit = limits.receiver_window;
        let overrun = Failure::exhausted(&Bound::ReceiverWindow, limit.into());
        host.deliver(from, self, block, Some(overrun));
        Err(LinkError::Window { limit })
    }
}

impl<H: Host> fmt::Debug for Arrivals<H> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Arrivals")
            .field("inbound", &self.inbound)
            .field("epoch", &self.tables.epoch)
            .field("receivers", &self.tables.receivers.len())
            .finish_non_exhaustive()
    }
}

fn is_request(kind: MessageKind) -> bool {
    !matches!(kind, MessageKind::Tell)
}

/// Names are not: they have a budget of their own, and whoever talks to many has many.
fn is_cheap(event: &Event<'_>) -> bool {
    matches!(
        event,
        Event::Reset
            | Event::Cancel { .. }
            | Event::Request { .. }
            | Event::Unsupported { .. }
            | Event::RefusedRequest { .. }
            | Event::Ping { .. }
            | Event::Pong { .. }
            | Event::GoAway { .. }
    )
}

/// Takes the events of one read.
struct Taking<'a, H: Host> {
    tables: &'a mut Tables<H>,
    host: &'a mut H,
}

impl<H: Host> Sink for Taking<'_, H> {
    #[inline(always)]
    fn message(&mut self, message: Message) {
        self.tables.message(message, self.host);
    }

    fn event(&mut self, event: Event<'_>) {
        let Self { tables, host } = self;
        if is_cheap(&event) {
            tables.count_cheap();
        }
        match event {
            Event::Message(message) => tables.message(message, host),
            Event::Receiver { uid, path, .. } => {
                tables.count_name::<NamedReceiver<H::Receiver>>(path, host);
                tables.receivers.push(NamedReceiver::new(path, uid));
            }
            Event::Sender { address, .. } => {
                tables.count_name::<NamedSender<H::Sender>>(address, host);
                let (address, kept) = (address.into(), H::Sender::default());
                tables.names.senders.push(NamedSender { address, kept });
            }
            Event::Type { name, .. } => {
                tables.count_name::<()>(name, host);
                tables.names.types.push(name.into());
            }
            Event::Reset => tables.reset(host),
            Event::Refused(message) => tables.without_room(&message, host),
            Event::Skipped { receiver, raw_len } => tables.skipped(receiver, raw_len, host),
            Event::Cancel { corr } => {
                let new = tables.requests;
                if host.accepting(|accepting| accepting.handle_cancel(corr, new)) {
                    host.cancelled(corr);
                }
            }
            Event::Request { corr, remaining, operation, .. } => {
                tables.requests = tables.requests.saturating_add(1);
                tables.operations.push(Request { corr, remaining, operation });
            }
            Event::Unsupported { corr, code } => {
                let detail = format!("operation {code}");
                let failure = Failure::with_detail(Code::Unsupported, detail);
                tables.fail(corr, &failure, host);
            }
            Event::RefusedRequest { corr } => {
                let failure = host.no_room();
                tables.fail(corr, &failure, host);
            }
            Event::Ping { nonce } => tables.ping = Some(nonce),
            Event::GoAway { .. } => tables.is_drained = true,
            Event::Close { code, text } => tables.goodbye = Some((code, text.to_owned())),
            // A pong is heard by having been read; nothing else comes from a dialer.
            _ => {}
        }
    }
}

impl<H: Host> Budget for Taking<'_, H> {
    fn admit(&mut self, bytes: usize) -> bool {
        self.host.admit(bytes)
    }

    fn release(&mut self, bytes: usize) {
        self.host.release(bytes);
    }

    fn admit_head(&mut self, bytes: usize) -> Result<(), u64> {
        self.host.admit_head(bytes)
    }

    fn release_head(&mut self, bytes: usize) {
        self.host.release_head(bytes);
    }
}
