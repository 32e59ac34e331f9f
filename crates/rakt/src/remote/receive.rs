//! Messages on their way to actors here: what one read brought goes to each actor as one batch.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use rakt_wire::native::{Body, Budget, CloseCode, Event, Message, MessageKind, Sink};
use rakt_wire::{Address, Metadata, cost, is_reserved};

use rakt_wire::Operation;

use super::budget::Charge;
use super::conn::{Alias, Batch, Conn, RawAbout, RawMessage};
use super::driver::{Broken, Side, closed_by_peer};
use super::serve::{self, Watches};
use crate::cell::AnyCell;
use crate::error::Refusal;
use crate::mailbox::arrivals::{Arrivals, ReplyTo};
use crate::reference::ActorRef;
use crate::system::ActorSystem;

/// The acceptor's side of a connection.
pub(crate) struct Receive {
    system: ActorSystem,
    conn: Arc<Conn>,
    receivers: Vec<Receiver>,
    senders: Vec<Sender>,
    types: Vec<Box<str>>,
    epoch: u32,
    /// Receivers with staged messages.
    staged: Vec<u32>,
    /// Receivers of an epoch that ended while messages for them were staged.
    retired: Vec<(Alias, Receiver)>,
    requests: u32,
    now: Instant,
    watches: Watches,
    /// Operations of the read at hand: they are carried out after its messages are delivered.
    operations: Vec<(u64, Option<Duration>, Operation)>,
    goodbye: Option<String>,
    /// Why the connection must end.
    broken: Option<Broken>,
}

/// Types that are remembered for a receiver; a peer that uses more than these of one actor has them
/// looked up.
const MAX_ENTRIES: usize = 32;
/// Room for this many messages more than came is not worth giving back.
const MANY_SPARE: usize = 64;
/// What a name takes up besides its text, in bytes.
const NAME_OVERHEAD: usize = 128;

/// A receiver that the peer has named.
#[derive(Default)]
struct Receiver {
    path: Box<str>,
    uid: Option<u64>,
    cell: Option<Arc<dyn AnyCell>>,
    /// Which of the peer's types the actor accepts, and where they are in its list.
    entries: VecDeque<(u32, u16)>,
    staged: Staged,
    /// How many messages the last batch had, as a hint for the next one.
    last_len: usize,
    /// Cost of all messages that ever came, to compare with the credit given.
    received: u64,
    /// What had been granted when that was last looked up.
    granted: u64,
}

/// The messages of the read at hand for one receiver.
#[derive(Default)]
struct Staged {
    messages: VecDeque<RawMessage>,
    has_confirms: bool,
    senders: Vec<(u32, ActorRef)>,
    /// What they cost together, and the most that one costs.
    cost: u64,
    largest: u64,
}

/// A sender that the peer has named; the reference is made when a message needs it.
struct Sender {
    address: Box<str>,
    actor: Option<ActorRef>,
}

impl Receive {
    pub(crate) fn new(system: ActorSystem, conn: Arc<Conn>) -> Self {
        Self {
            system,
            watches: Watches::new(conn.clone()),
            conn,
            receivers: Vec::new(),
            senders: Vec::new(),
            types: Vec::new(),
            epoch: 0,
            staged: Vec::new(),
            retired: Vec::new(),
            requests: 0,
            now: crate::timers::now(),
            operations: Vec::new(),
            goodbye: None,
            broken: None,
        }
    }

    /// Notes a message for the batch of its receiver, or refuses it. Takes out of the message what it
    /// keeps: moving all of it from place to place took as long as the rest of this.
    fn stage(&mut self, message: &mut Message) {
        let raw_len = message.raw_len.unwrap_or(message.body.len() as u32);
        let is_request = !matches!(message.kind, MessageKind::Tell);
        self.requests += u32::from(is_request);
        let cost = cost(raw_len as usize);
        let receiver = &mut self.receivers[message.receiver as usize];
        receiver.received += cost;
        let entry = match receiver.known(message.type_id) {
            Some(entry) => entry,
            None => match receiver.accept(&self.system, &self.types, message.type_id) {
                Ok(entry) => entry,
                Err(refusal) => return self.refuse(message, cost, &refusal),
            },
        };
        let has_about = message.remaining.is_some()
            || message.metadata.is_some()
            || matches!(message.body, Body::Whole(_));
        let about = if has_about {
            match self.about(message) {
                Ok(about) => Some(about),
                Err(refusal) => return self.refuse(message, cost, &refusal),
            }
        } else {
            None
        };
        self.push(message, entry, cost, about);
    }

    /// What most messages do without.
    fn about(&self, message: &mut Message) -> Result<Box<RawAbout>, Refusal> {
        let charge = match &message.metadata {
            Some(metadata) => Some(self.charge_metadata(metadata)?),
            None => None,
        };
        let whole = match &mut message.body {
            Body::Whole(bytes) => Some(std::mem::take(bytes)),
            Body::Block(_) => None,
        };
        let deadline = message.remaining.and_then(|left| self.now.checked_add(left));
        let metadata = message.metadata.take().map(|metadata| *metadata);
        Ok(Box::new(RawAbout { deadline, metadata, whole, _charge: charge }))
    }

    /// Metadata is no part of what a message costs its sender, but takes up memory here.
    fn charge_metadata(&self, metadata: &Metadata) -> Result<Charge, Refusal> {
        let pairs = metadata.len() * size_of::<(String, String)>();
        let bytes = (metadata.encoded_len() + pairs) as u64;
        let has_room = self.conn.charge(bytes);
        let charge = Charge { account: self.conn.clone(), bytes };
        if has_room { Ok(charge) } else { Err(exhausted_budget(&self.conn)) }
    }

    fn push(&mut self, message: &Message, entry: u16, cost: u64, about: Option<Box<RawAbout>>) {
        let receiver = &mut self.receivers[message.receiver as usize];
        let whole = about.as_ref().and_then(|about| about.whole.as_ref());
        let (start, len) = match (&message.body, whole) {
            (Body::Block(span), _) => (span.start, span.len),
            (Body::Whole(_), whole) => (0, whole.map_or(0, |bytes| bytes.len() as u32)),
        };
        let sender = message.sender.and_then(|alias| {
            let known = self.senders[alias as usize].actor(&self.system)?;
            Some(receiver.staged.note_sender(alias, known))
        });
        let staged = &mut receiver.staged;
        if staged.messages.is_empty() {
            self.staged.push(message.receiver);
            staged.messages.reserve_exact(receiver.last_len);
        }
        staged.has_confirms |= matches!(message.kind, MessageKind::Confirm { .. });
        staged.cost += cost;
        staged.largest = staged.largest.max(cost);
        staged.messages.push_back(RawMessage {
            entry,
            kind: message.kind,
            sender,
            type_id: message.type_id,
            start,
            len,
            raw_len: message.raw_len,
            about,
        });
    }

    /// Turns a message down, and gives its credit back.
    fn refuse(&mut self, message: &Message, cost: u64, refusal: &Refusal) {
        tracing::debug!(peer = %self.conn.peer.name, receiver = %self.receivers[message.receiver as usize].path, %refusal, "refused a message");
        let from = Alias { id: message.receiver, epoch: self.epoch };
        match message.kind {
            MessageKind::Tell => {
                self.conn.nack(from, message.sender, message.type_id, refusal);
            }
            MessageKind::Confirm { corr } | MessageKind::Ask { corr } => {
                self.conn.refuse(corr, refusal);
            }
        }
        self.conn.charge(cost);
        self.conn.consumed(from, cost);
    }
}

/// Hands the staged messages of one receiver over.
fn deliver(
    system: &ActorSystem,
    conn: &Arc<Conn>,
    receiver: &mut Receiver,
    from: Alias,
    block: &Bytes,
) -> Result<(), Broken> {
    let window = u64::from(conn.limits.receiver_window);
    let Staged { mut messages, has_confirms, senders, cost, largest } =
        std::mem::take(&mut receiver.staged);
    receiver.last_len = messages.len();
    trim(&mut messages);
    let mut batch = Box::new(Batch {
        conn: conn.clone(),
        from,
        block: block.clone(),
        messages,
        has_confirms,
        senders,
        unreturned: 0,
        return_at: window / 4,
    });
    let has_room = conn.charge(cost);
    if receiver.received - receiver.granted > window {
        receiver.granted = conn.granted(from);
    }
    // One message may exceed the window, whatever its size.
    if receiver.received.saturating_sub(receiver.granted) > window + largest {
        let bound = "receiver window (bytes)".to_owned();
        batch.refuse_all(&Refusal::ResourceExhausted { bound, limit: window });
        let text = format!("more than the window of {window} bytes is under way to one receiver");
        return Err(Broken { code: CloseCode::Limit, text });
    }
    if !has_room {
        batch.refuse_all(&exhausted_budget(conn));
        return Ok(());
    }
    match receiver.live_cell(system) {
        Some(cell) => {
            if batch.has_confirms {
                batch.check_confirmed(&*cell);
            }
            if batch.len() > 0 {
                cell.push_arrivals(batch);
            }
        }
        None => batch.refuse_all(&receiver.missing(system)),
    }
    Ok(())
}

/// Gives back room that was made for as many messages as came the last time, where that is much: these
/// may wait for long, and only what they are counts against the budget.
fn trim(messages: &mut VecDeque<RawMessage>) {
    if messages.capacity() > 2 * messages.len() + MANY_SPARE {
        messages.shrink_to_fit();
    }
}

pub(crate) fn exhausted_budget(conn: &Conn) -> Refusal {
    Refusal::ResourceExhausted {
        bound: "inbound budget (bytes)".to_owned(),
        limit: conn.resources.budgets.inbound.limit(),
    }
}

impl Receiver {
    /// Where the type is in the actor's list, if it came before.
    #[inline]
    fn known(&self, type_id: u32) -> Option<u16> {
        self.entries.iter().find(|(known, _)| *known == type_id).map(|(_, entry)| *entry)
    }

    /// Where a new type is in the actor's list, or why the message is refused.
    fn accept(
        &mut self,
        system: &ActorSystem,
        types: &[Box<str>],
        type_id: u32,
    ) -> Result<u16, Refusal> {
        let Some(cell) = self.live_cell(system) else { return Err(self.missing(system)) };
        let name = &types[type_id as usize];
        let entry = cell.accepted(name);
        let entry = entry.ok_or_else(|| Refusal::NotAccepted { message: name.to_string() })?;
        if self.entries.len() >= MAX_ENTRIES {
            self.entries.pop_front();
        }
        self.entries.push_back((type_id, entry));
        Ok(entry)
    }

    /// The actor that is meant, if it lives.
    fn live_cell(&mut self, system: &ActorSystem) -> Option<Arc<dyn AnyCell>> {
        match &self.cell {
            Some(cell) if !cell.has_ended() => return Some(cell.clone()),
            Some(_) => {
                self.cell = None;
                self.entries.clear();
            }
            None => {}
        }
        let found = serve::find(system, &self.path, self.uid).ok()?;
        self.cell = Some(found.clone());
        Some(found)
    }

    fn missing(&self, system: &ActorSystem) -> Refusal {
        serve::find(system, &self.path, self.uid).err().unwrap_or(Refusal::Stopped)
    }
}

impl Staged {
    /// The place of a sender in the batch.
    fn note_sender(&mut self, alias: u32, actor: ActorRef) -> u32 {
        if self.senders.last().is_none_or(|(last, _)| *last != alias) {
            self.senders.push((alias, actor));
        }
        self.senders.len() as u32 - 1
    }
}

impl Sender {
    fn actor(&mut self, system: &ActorSystem) -> Option<ActorRef> {
        if self.actor.is_none() {
            let address = self.address.parse::<Address>().ok()?;
            // A peer says who it is, and must not have us talk to an actor of the system in its name.
            if is_reserved(address.path()) {
                return None;
            }
            self.actor = Some(system.actor(&address));
        }
        self.actor.clone()
    }
}

impl Sink for Receive {
    fn event(&mut self, mut event: Event<'_>) {
        if let Event::Message(message) = &mut event {
            return self.stage(message);
        }
        match event {
            Event::Receiver { uid, path, .. } => {
                self.charge_name(path.len() + size_of::<Receiver>());
                self.receivers.push(Receiver { path: path.into(), uid, ..Receiver::default() });
            }
            Event::Sender { address, .. } => {
                self.charge_name(address.len() + size_of::<Sender>());
                self.senders.push(Sender { address: address.into(), actor: None });
            }
            Event::Type { name, .. } => {
                self.charge_name(name.len());
                self.types.push(name.into());
            }
            Event::Reset => self.reset(),
            Event::Refused(message) => {
                let cost = cost(message.raw_len.unwrap_or(0) as usize);
                self.requests += u32::from(!matches!(message.kind, MessageKind::Tell));
                self.receivers[message.receiver as usize].received += cost;
                self.refuse(&message, cost, &exhausted_budget(&self.conn));
            }
            Event::Cancel { corr } => self.conn.handle_cancel(corr),
            Event::Request { corr, remaining, operation, .. } => {
                self.requests += 1;
                self.operations.push((corr, remaining, operation));
            }
            Event::Unsupported { corr, code } => {
                self.requests += 1;
                let detail = format!("operation {code}");
                self.conn.respond(corr, Err(Refusal::Unsupported { detail }));
            }
            Event::RefusedRequest { corr } => {
                self.requests += 1;
                self.conn.respond(corr, Err(exhausted_budget(&self.conn)));
            }
            Event::Ping { nonce } => self.conn.write(|out| out.pong(nonce)),
            Event::Close { text, .. } => {
                self.goodbye = Some(closed_by_peer(text));
            }
            _ => {}
        }
    }
}

impl Budget for Receive {
    fn admit(&mut self, bytes: usize) -> bool {
        self.conn.admit(bytes as u64)
    }

    fn release(&mut self, bytes: usize) {
        self.conn.release(bytes as u64);
    }
}

impl Receive {
    /// Counts a name that takes up so many bytes until the next reset.
    fn charge_name(&mut self, bytes: usize) {
        if !self.conn.charge_names((bytes + NAME_OVERHEAD) as u64) {
            let limit = self.conn.resources.budgets.names.limit();
            let text = format!("no room for more names: all peers together may use {limit} bytes");
            self.broken.get_or_insert(Broken { code: CloseCode::Limit, text });
        }
    }

    /// All numbers are forgotten. What is staged goes by them still, and is kept for `finish`.
    fn reset(&mut self) {
        for alias in std::mem::take(&mut self.staged) {
            let receiver = std::mem::take(&mut self.receivers[alias as usize]);
            self.retired.push((Alias { id: alias, epoch: self.epoch }, receiver));
        }
        self.receivers.clear();
        self.senders.clear();
        self.types.clear();
        self.conn.release_names();
        self.epoch = self.epoch.wrapping_add(1);
    }
}

impl Side for Receive {
    fn begin(&mut self, now: Instant) {
        self.now = now;
    }

    fn finish(&mut self, block: Bytes) -> Result<(), Broken> {
        let mut result = self.broken.take().map_or(Ok(()), Err);
        if self.requests > 0 && !self.conn.count_requests(std::mem::take(&mut self.requests)) {
            let text = format!("more than {} requests in flight", self.conn.limits.max_in_flight);
            result = result.and(Err(Broken { code: CloseCode::Limit, text }));
        }
        for (from, mut receiver) in std::mem::take(&mut self.retired) {
            let done = deliver(&self.system, &self.conn, &mut receiver, from, &block);
            result = result.and(done);
        }
        for alias in self.staged.drain(..) {
            let from = Alias { id: alias, epoch: self.epoch };
            let receiver = &mut self.receivers[alias as usize];
            let done = deliver(&self.system, &self.conn, receiver, from, &block);
            result = result.and(done);
        }
        for (corr, remaining, operation) in self.operations.drain(..) {
            let (system, conn) = (self.system.clone(), self.conn.clone());
            serve::serve(system, conn, &mut self.watches, corr, remaining, operation);
        }
        if let Some(goodbye) = self.goodbye.take() {
            self.conn.close(&goodbye);
        }
        result
    }

    fn end(&mut self) {
        self.watches.clear();
        self.conn.release_names();
    }

    fn is_needed(&self) -> bool {
        true
    }
}

#[cfg(test)]
mod tests {
    use rakt_wire::native::Role;

    use super::*;
    use crate::remote::budget::Share;
    use crate::remote::conn::tests::conn;
    use crate::remote::resources::tests::resources;

    async fn receive() -> Receive {
        let system = ActorSystem::builder("tests").start().await.expect("it starts");
        Receive::new(system, conn(&resources(), Role::Acceptor))
    }

    #[tokio::test]
    async fn names_for_which_nobody_has_room_end_the_connection() {
        let define: [fn(&mut Receive); 3] = [
            |receive| receive.event(Event::Receiver { alias: 0, uid: None, path: "a" }),
            |receive| receive.event(Event::Sender { alias: 0, address: "rakt://s@h:1/a" }),
            |receive| receive.event(Event::Type { id: 0, name: "tests.Note" }),
        ];
        for define in define {
            let (mut receive, others) = (receive().await, Share::default());
            let names = &receive.conn.resources.budgets.names;
            names.add(&others, names.limit() - 1);
            define(&mut receive);
            let broken = receive.finish(Bytes::new()).expect_err("there is no room");
            assert_eq!(broken.code, CloseCode::Limit);
            let parts = ["no room for more names", "1073741824 bytes"];
            assert!(parts.iter().all(|part| broken.text.contains(part)), "{}", broken.text);
        }
    }

    #[tokio::test]
    async fn the_room_of_names_is_given_back_with_a_reset() {
        let mut receive = receive().await;
        let names = |receive: &Receive| receive.conn.resources.budgets.names.used();
        for alias in 0..10 {
            receive.event(Event::Receiver { alias, uid: None, path: "a" });
        }
        assert!(names(&receive) > 10 * NAME_OVERHEAD as u64);
        receive.event(Event::Reset);
        assert_eq!(names(&receive), 0);
    }

    #[cfg(feature = "prost")]
    #[tokio::test]
    async fn a_few_types_are_remembered_for_a_receiver() {
        #[derive(Clone, PartialEq, prost::Message)]
        struct Note {}
        crate::messages! { Note as "tests.Note" }

        struct Reader;
        impl crate::Actor for Reader {
            fn accepts(accepts: &mut crate::Accepts<Self>) {
                accepts.remote::<Note>();
            }
        }
        impl crate::Handler<Note> for Reader {
            async fn handle(&mut self, _: Note, _: &mut crate::Context<Self>) -> crate::Result {
                Ok(())
            }
        }

        let system = ActorSystem::builder("tests").start().await.expect("it starts");
        system.spawn("reader", || Reader).await.expect("it starts");
        let mut receiver = Receiver { path: "reader".into(), ..Receiver::default() };
        // A peer may give one name any number of numbers.
        let types = vec![Box::<str>::from("tests.Note"); 100];
        for type_id in 0..100 {
            receiver.accept(&system, &types, type_id).expect("it is accepted");
            assert!(receiver.known(type_id).is_some());
            assert!(receiver.entries.len() <= MAX_ENTRIES, "{}", receiver.entries.len());
        }
    }

    #[test]
    fn a_few_messages_do_not_keep_the_room_of_many() {
        let message = || RawMessage {
            entry: 0,
            kind: MessageKind::Tell,
            sender: None,
            type_id: 0,
            start: 0,
            len: 0,
            raw_len: None,
            about: None,
        };
        for (room, len) in [(7000, 1), (7000, 3000), (8, 1), (3000, 3000)] {
            let mut messages = VecDeque::with_capacity(room);
            messages.extend((0..len).map(|_| message()));
            trim(&mut messages);
            assert_eq!(messages.len(), len);
            assert!(messages.capacity() <= 2 * len + MANY_SPARE, "{}", messages.capacity());
        }
    }
}
