//! Messages on their way to actors here: what one read brought goes to each actor as one batch.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use rakt_wire::native::{
    Accepting, Alias, Arrivals, Body, Budget, CloseCode, Host, Inbound, LinkError, Message,
    MessageKind, NamedReceiver, NamedSender, Names, Request, Session, Span,
};
use rakt_wire::{Address, Failure, Metadata, Verb, is_reserved};

use super::accepted::{Accepted, Replies};
use super::batch::{BATCH_COST, Batch, RawAbout, RawMessage, Wanted};
use super::block::{Block, Cost};
use super::conn::{Conn, Half};
use super::driver::Reader;
use super::serve::{Watches, serve};
use crate::error::{Chain, Refusal};
use crate::mailbox::arrivals::Arrivals as _;
use crate::mailbox::arrivals::{Plain, Reachable};
use crate::message::allowance::SMALL_LEN;
use crate::reference::ActorRef;
use crate::remote::access::Access;
use crate::remote::account::Charge;
use crate::remote::budget::Part;
use crate::remote::serve::{find, relay};
use crate::system::ActorSystem;

/// Types that are remembered for a receiver; a peer that uses more than these of one actor has them
/// looked up.
const MAX_ENTRIES: usize = 32;
/// Room for this many messages more than came is not worth giving back.
const MANY_SPARE: usize = 64;

pub(crate) struct ArrivalsReader {
    arrivals: Arrivals<Actors>,
    actors: Actors,
}

/// The actors of a system, as a connection of a peer reaches them.
struct Actors {
    system: ActorSystem,
    conn: Arc<Conn<Accepted>>,
    watches: Watches,
    access: Access,
    now: Instant,
    /// What the read at hand brought, once a message of it is handed on, where batches share its charge.
    block: Option<Block>,
}

/// What is kept for a receiver that the peer has named.
#[derive(Default)]
struct Known {
    cell: Option<Arc<dyn Reachable>>,
    /// Which of the peer's types the actor accepts and the peer may tell it, or ask, and where they are in its list.
    entries: Entries,
    staged: Staged,
    /// How many messages the last two batches had, as a hint for the next one: a full read is often cut in two.
    last_lens: [usize; 2],
}

impl Known {
    /// The first message of a read has come. All that the read brings goes to one actor, as it is known by the places of
    /// types in that one's list: the actor that had the name before, where that has not ended, or whoever has it now. One that
    /// has ended is let go of.
    #[inline]
    fn begin_read(&mut self) {
        if self.cell.as_ref().is_some_and(|cell| cell.has_ended()) {
            (self.cell, self.entries) = (None, Entries::default());
        }
    }
}

/// Where types of the peer's are in an actor's list, by what they are used for.
#[derive(Default)]
struct Entries {
    /// The one that was looked up last: most messages are of the type of the one before.
    last: Option<(u32, Verb, u16)>,
    known: VecDeque<(u32, Verb, u16)>,
}

/// The messages of the read at hand for one receiver.
#[derive(Default)]
struct Staged {
    messages: Vec<RawMessage>,
    has_confirms: bool,
    senders: Vec<(u32, ActorRef)>,
    /// What they count together besides their block, in bytes.
    charge: u64,
}

impl ArrivalsReader {
    pub(crate) fn new(system: ActorSystem, conn: Arc<Conn<Accepted>>, session: &Session) -> Self {
        let watches = Watches::new(conn.clone());
        let access = Access::new(conn.resources.clone(), conn.peer.who.clone());
        let now = crate::timers::now();
        let actors = Actors { system, conn, watches, access, now, block: None };
        Self { arrivals: Arrivals::new(session), actors }
    }

    /// Something has been read. What was allowed under another policy is to be asked again.
    fn begin(&mut self, now: Instant) {
        self.actors.now = now;
        if self.actors.access.renew() {
            self.arrivals.receivers().for_each(|receiver| receiver.kept.entries.clear());
            self.arrivals.senders().for_each(|sender| sender.kept = None);
            self.actors.watches.review(&self.actors.access);
        }
    }
}

impl Reader for ArrivalsReader {
    type Half = Accepted;

    fn inbound(&mut self) -> &mut Inbound {
        self.arrivals.inbound()
    }

    fn handle_bytes(&mut self, now: Instant, buf: &[u8]) -> Result<usize, LinkError> {
        self.begin(now);
        self.arrivals.handle_bytes(buf, &mut self.actors)
    }

    fn handle_filled(&mut self, now: Instant) -> Result<(), LinkError> {
        self.begin(now);
        self.arrivals.handle_filled(&mut self.actors)
    }

    fn finish(&mut self, block: Bytes) -> Result<(), LinkError> {
        let finished = self.arrivals.finish(block, &mut self.actors);
        self.actors.block = None;
        finished
    }

    fn take_cheap(&mut self) -> u32 {
        self.arrivals.take_cheap()
    }

    fn take_goodbye(&mut self) -> Option<(CloseCode, String)> {
        self.arrivals.take_goodbye()
    }

    fn tidy(&mut self) {
        self.arrivals.receivers().for_each(|receiver| receiver.kept.begin_read());
    }

    fn end(&mut self) {
        self.arrivals.clear(&mut self.actors);
        self.actors.watches.clear();
    }
}

impl Host for Actors {
    type Receiver = Known;
    type Sender = Option<ActorRef>;
    type Replies = Replies;

    fn accepting<T>(&mut self, f: impl FnOnce(&mut Accepting<Replies>) -> T) -> T {
        // The driver writes what comes of it once it is done with the read: nobody has to wake it.
        f(self.conn.lock().half.session())
    }

    fn cancelled(&mut self, corr: u64) {
        self.conn.cancelled(corr);
    }

    fn count_name(&mut self, bytes: usize) -> Result<(), u64> {
        match self.conn.account.charge(Part::Names, bytes as u64) {
            true => Ok(()),
            false => Err(self.conn.account.limit(Part::Names)),
        }
    }

    fn forget_names(&mut self) {
        self.conn.account.release_all(Part::Names);
    }

    /// Notes a message for the batch of its receiver. Inlined, so that no message is moved from place to place.
    #[inline(always)]
    fn take(
        &mut self,
        receiver: &mut NamedReceiver<Known>,
        names: &mut Names<Option<ActorRef>>,
        message: Message,
        _cost: u64,
    ) -> Result<(), Failure> {
        let taken = self.stage(receiver, names, message);
        taken.map_err(|refusal| {
            let (peer, receiver) = (&self.conn.peer.name, &receiver.path);
            tracing::debug!(%peer, %receiver, refusal = %Chain(&refusal), "refused a message");
            refusal.to_wire()
        })
    }

    fn deliver(
        &mut self,
        from: Alias,
        receiver: &mut NamedReceiver<Known>,
        block: Bytes,
        overrun: Option<Failure>,
    ) {
        let conn = &self.conn;
        let Staged { mut messages, has_confirms, senders, charge } =
            std::mem::take(&mut receiver.kept.staged);
        let (block, no_room) = match &self.block {
            Some(block) => (block.clone(), None),
            None => match Block::of_read(&conn.account, block) {
                Ok(block) => {
                    self.block = block.is_counted().then(|| block.clone());
                    (block, None)
                }
                Err(refusal) => (Block::default(), Some(refusal)),
            },
        };
        receiver.kept.last_lens = [messages.len(), receiver.kept.last_lens[0]];
        trim(&mut messages);
        let own = BATCH_COST + block.uncounted_len();
        let mut batch = Box::new(Batch {
            conn: conn.clone(),
            from,
            block,
            messages: messages.into_iter(),
            has_confirms,
            senders,
            taken_type: 0,
            unreturned: Cost { credit: 0, charge: own },
            return_at: u64::from(conn.limits.receiver_window / 4),
        });
        let has_room = conn.account.charge(Part::Messages, charge + own) && no_room.is_none();
        if let Some(failure) = overrun {
            return batch.refuse_all(&Refusal::from_wire(failure));
        }
        if !has_room {
            return batch.refuse_all(&conn.account.exhausted(Part::Messages));
        }
        let cell = receiver.kept.cell.clone().expect("it has told where its types are");
        if batch.has_confirms {
            batch.check_confirmed(&*cell);
        }
        if batch.len() > 0 {
            cell.push_arrivals(batch);
        }
    }

    fn operate(&mut self, request: Request) {
        let peer = (&mut self.watches, &self.access);
        serve(self.system.clone(), self.conn.clone(), peer, request);
    }

    fn no_room(&self) -> Failure {
        self.conn.account.exhausted(Part::Messages).to_wire()
    }
}

impl Budget for Actors {
    fn admit(&mut self, bytes: usize) -> bool {
        self.conn.account.admit(Part::Messages, bytes as u64)
    }

    fn release(&mut self, bytes: usize) {
        self.conn.account.release(Part::Messages, bytes as u64);
    }

    fn admit_head(&mut self, bytes: usize) -> Result<(), u64> {
        self.conn.account.admit_head(bytes)
    }

    fn release_head(&mut self, bytes: usize) {
        self.conn.account.release_head(bytes);
    }
}

impl Actors {
    #[inline(always)]
    fn stage(
        &mut self,
        receiver: &mut NamedReceiver<Known>,
        names: &mut Names<Option<ActorRef>>,
        message: Message,
    ) -> Result<(), Refusal> {
        let Message { kind, type_id, remaining, metadata, raw_len, body, .. } = message;
        let verb = kind.verb();
        if receiver.kept.staged.messages.is_empty() {
            receiver.kept.begin_read();
        }
        let entry = match receiver.kept.entries.find(type_id, verb) {
            Some(entry) => entry,
            None => self.accept(receiver, &names.types, type_id, verb)?,
        };
        let (Span { start, len }, whole) = match body {
            Body::Block(span) => (span, None),
            Body::Whole(bytes) => (Span { start: 0, len: bytes.len() as u32 }, Some(bytes)),
        };
        let deadline = remaining.and_then(|left| self.now.checked_add(left));
        let (wanted, deadline) = match kind {
            MessageKind::Tell => (Wanted::Nothing, deadline),
            MessageKind::Confirm { corr } => (Wanted::Confirmation { corr }, deadline),
            MessageKind::Ask { corr } => (Wanted::Reply { corr, deadline }, None),
        };
        let has_about = deadline.is_some() || metadata.is_some() || whole.is_some();
        let about = if has_about { Some(self.about(deadline, metadata, whole)?) } else { None };
        let Known { staged, last_lens, .. } = &mut receiver.kept;
        let sender = match message.sender {
            Some(alias) => {
                let named = &mut names.senders[alias as usize];
                let known = match &named.kept {
                    Some(known) => Some(known.clone()),
                    None => {
                        let name = &names.types[type_id as usize];
                        self.sender(named, (verb, &receiver.path, name))?
                    }
                };
                known.map(|known| staged.note_sender(alias, known))
            }
            None => None,
        };
        if staged.messages.is_empty() {
            staged.messages.reserve_exact(last_lens[0].max(last_lens[1]));
        }
        staged.has_confirms |= matches!(kind, MessageKind::Confirm { .. });
        let has_nothing = sender.is_none() && about.is_none() && raw_len.is_none();
        let is_plain =
            matches!(kind, MessageKind::Tell) && has_nothing && (len as usize) < SMALL_LEN;
        let plain = Plain::of(entry).unless(is_plain);
        let raw = RawMessage { plain, wanted, sender, type_id, start, len, raw_len, about };
        staged.charge += raw.cost().charge;
        staged.messages.push(raw);
        Ok(())
    }

    /// Where a type is in the actor's list that was not told it yet, or asked, or why the message is refused.
    fn accept(
        &self,
        receiver: &mut NamedReceiver<Known>,
        types: &[Box<str>],
        type_id: u32,
        verb: Verb,
    ) -> Result<u16, Refusal> {
        let name = &types[type_id as usize];
        self.access.may(verb, &receiver.path, name)?;
        let cell = match &receiver.kept.cell {
            Some(cell) => cell,
            None => {
                let found = find(&self.system, &receiver.path, receiver.uid);
                let found =
                    found.or_else(|refusal| relay(&self.system, &receiver.path).ok_or(refusal))?;
                receiver.kept.cell.insert(found)
            }
        };
        // Who asks one life of a grain, which is not here, learns of the next one; who tells it does not.
        let is_elsewhere = cell.uid() != receiver.uid.unwrap_or(cell.uid());
        if is_elsewhere && verb != Verb::Tell {
            return Err(Refusal::StaleIncarnation);
        }
        let entry = cell.accepted(name);
        let entry = entry.ok_or_else(|| Refusal::NotAccepted { message: name.to_string() })?;
        receiver.kept.entries.remember((type_id, verb, entry));
        Ok(entry)
    }

    /// The sender that a peer has named, whom no message has needed before, or whom each message needs a right to name.
    #[cold]
    fn sender(
        &self,
        named: &mut NamedSender<Option<ActorRef>>,
        message: (Verb, &str, &str),
    ) -> Result<Option<ActorRef>, Refusal> {
        let Ok(address) = named.address.parse::<Address>() else { return Ok(None) };
        // A peer says who it is, and must not have us talk to an actor of the system in its name.
        if is_reserved(address.path()) {
            return Ok(None);
        }
        let sender = self.system.actor(&address);
        if self.access.limits_senders() && !self.conn.peer.has(&address) {
            self.access.may_as(&named.address, message)?;
        } else {
            named.kept = Some(sender.clone());
        }
        Ok(Some(sender))
    }

    /// What most messages do without.
    fn about(
        &self,
        deadline: Option<Instant>,
        metadata: Option<Box<Metadata>>,
        whole: Option<Bytes>,
    ) -> Result<Box<RawAbout>, Refusal> {
        let charge =
            metadata.as_deref().map(|metadata| self.charge_metadata(metadata)).transpose()?;
        let metadata = metadata.map(|metadata| *metadata);
        Ok(Box::new(RawAbout { deadline, metadata, whole, _charge: charge }))
    }

    /// Metadata is no part of what a message costs its sender, but takes up memory here.
    fn charge_metadata(&self, metadata: &Metadata) -> Result<Charge, Refusal> {
        let pairs = metadata.len() * size_of::<(String, String)>();
        let bytes = (metadata.encoded_len() + pairs) as u64;
        self.conn.account.charged(Part::Messages, bytes)
    }
}

/// Gives back room that was made for as many messages as came the last time, where that is much: these
/// may wait for long, and only what they are counts against the budget.
fn trim(messages: &mut Vec<RawMessage>) {
    if messages.capacity() > 2 * messages.len() + MANY_SPARE {
        messages.shrink_to_fit();
    }
}

impl Entries {
    /// Where the type is in the actor's list, if it came before.
    #[inline(always)]
    fn find(&mut self, type_id: u32, verb: Verb) -> Option<u16> {
        match self.last {
            Some((known, by, entry)) if known == type_id && by == verb => Some(entry),
            _ => self.search(type_id, verb),
        }
    }

    fn search(&mut self, type_id: u32, verb: Verb) -> Option<u16> {
        let is_it = |(known, by, _): &&(u32, Verb, u16)| *known == type_id && *by == verb;
        self.last = self.known.iter().find(is_it).copied();
        self.last.map(|(_, _, entry)| entry)
    }

    fn remember(&mut self, entry: (u32, Verb, u16)) {
        if self.known.len() >= MAX_ENTRIES {
            self.known.pop_front();
        }
        self.known.push_back(entry);
        self.last = Some(entry);
    }

    fn clear(&mut self) {
        self.known.clear();
        self.last = None;
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

#[cfg(test)]
mod tests {
    use rakt_wire::native::{FrameKind, Limits};

    use super::*;
    use crate::remote::native::tests::{accepted, session};
    use crate::remote::resources::tests::resources;

    async fn reader() -> ArrivalsReader {
        let system = ActorSystem::builder("tests").start().await.expect("it starts");
        let session = session(Limits::default());
        ArrivalsReader::new(system, accepted(&resources()), &session)
    }

    fn read(reader: &mut ArrivalsReader, kind: FrameKind, body: &[u8]) -> Result<(), LinkError> {
        let frame = [&[kind.as_u8(), 0, 0, 0, body.len() as u8], body].concat();
        let handled = reader.handle_bytes(crate::timers::now(), &frame);
        let finished = reader.finish(Bytes::from(frame));
        handled.map(drop).and(finished)
    }

    #[tokio::test]
    async fn names_for_which_nobody_has_room_end_the_connection() {
        let define: [(FrameKind, &[u8]); 3] = [
            (FrameKind::Receiver, b"\0\0\x01a"),
            (FrameKind::Sender, b"\0\x0drakt://s@h:1/a"),
            (FrameKind::Type, b"\0\x0atests.Note"),
        ];
        for (kind, body) in define {
            let mut reader = reader().await;
            let budget = &reader.actors.conn.resources.budget;
            let limit = budget.limit(Part::Names);
            let _others = budget.crowd(Part::Names, 1);
            let mut body = body.to_vec();
            if kind == FrameKind::Sender {
                body[1] = (body.len() - 2) as u8;
            }
            let error = read(&mut reader, kind, &body).expect_err("there is no room");
            assert_eq!(error.close_code(), CloseCode::Limit);
            let (text, parts) =
                (error.close_text(), ["no room for more names", &format!("{limit} bytes")]);
            assert!(parts.iter().all(|part| text.contains(part)), "{text}");
        }
    }

    #[tokio::test]
    async fn the_room_of_names_is_given_back_with_a_reset() {
        const NAME_OVERHEAD: u64 = 128;
        let mut reader = reader().await;
        let names = |reader: &ArrivalsReader| reader.actors.conn.resources.budget.used(Part::Names);
        for alias in 0..10 {
            let body = [alias, 0, 1, b'a'];
            read(&mut reader, FrameKind::Receiver, &body).expect("there is room");
        }
        assert!(names(&reader) > 10 * NAME_OVERHEAD);
        read(&mut reader, FrameKind::Reset, &[]).expect("it may reset");
        assert_eq!(names(&reader), 0);
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

        let actors = reader().await.actors;
        actors.system.spawn("reader", || Reader).await.expect("it starts");
        let mut receiver = NamedReceiver::<Known>::new("reader", None);
        // A peer may give one name any number of numbers.
        let types = vec![Box::<str>::from("tests.Note"); 100];
        for type_id in 0..100 {
            for verb in [Verb::Tell, Verb::Ask] {
                let accepted = actors.accept(&mut receiver, &types, type_id, verb);
                accepted.expect("it is accepted");
                assert!(receiver.kept.entries.find(type_id, verb).is_some());
            }
            let known = receiver.kept.entries.known.len();
            assert!(known <= MAX_ENTRIES, "{known}");
        }
    }

    #[test]
    fn a_few_messages_do_not_keep_the_room_of_many() {
        let message = || RawMessage {
            plain: Plain::of(0),
            wanted: Wanted::Nothing,
            sender: None,
            type_id: 0,
            start: 0,
            len: 0,
            raw_len: None,
            about: None,
        };
        for (room, len) in [(7000, 1), (7000, 3000), (8, 1), (3000, 3000)] {
            let mut messages = Vec::with_capacity(room);
            messages.extend((0..len).map(|_| message()));
            trim(&mut messages);
            assert_eq!(messages.len(), len);
            assert!(messages.capacity() <= 2 * len + MANY_SPARE, "{}", messages.capacity());
        }
    }
}
