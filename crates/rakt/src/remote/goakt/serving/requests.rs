//! From a message to the actor it is for.

use std::collections::VecDeque;
use std::sync::Arc;
use std::task::Waker;
use std::time::Instant;

use bytes::Bytes;
use rakt_wire::goakt::{
    GoAddress, GoError, Procedure, RemoteMessage, RemoteMessages, SystemMessage,
};
use rakt_wire::{Address, Dialect, MAX_ADDRESS_LEN, Metadata, Verb, cost, is_reserved};

use super::conn::{Answer, GoConn};
use super::delivery::{About, Answers, Batch, Delivery, Message};
use super::window::{InLine, Room, Window};
use crate::error::Refusal;
use crate::mailbox::arrivals::{Arrivals, Reachable};
use crate::mailbox::reply::RemoteAsker;
use crate::reference::ActorRef;
use crate::remote::access::Access;
use crate::remote::budget::Part;
use crate::remote::io::spare::READ_LEN;
use crate::remote::serve;

/// Messages that go to a mailbox together. What of theirs is not a part of their cost, such as their
/// senders, counts until all of them are handled.
const RUN_COUNT: usize = 1024;
/// Payload, headers and senders of messages that go together, in bytes; one alone may have more. A
/// payload that an actor keeps pins what came with it.
const RUN_LEN: usize = READ_LEN;
/// What a sender takes up besides the text of its address, in bytes.
const SENDER_OVERHEAD: usize = 512;

/// What all messages of one request have in common.
pub(super) struct Common {
    pub(super) id: u64,
    pub(super) procedure: Procedure,
    pub(super) messages: RemoteMessages,
    pub(super) metadata: Metadata,
}

/// What became of a message that may be one of GoAkt itself.
pub(super) enum Framework {
    /// It is not: it is the actor's own affair.
    NotOurs,
    /// What it asks for is done.
    Done,
    /// What it asks for is done, and an ask is answered by an empty message of this name.
    Replied(&'static str),
    /// It asks an actor in the name of somebody who wants the answer as a message.
    Asks(Box<Run>),
}

/// What the peer may do, and names that it used last: the next request most often has the same.
pub(super) struct Names {
    access: Access,
    /// What was allowed last: to do this with the actor of that path, and the name of the message.
    allowed: Option<(Verb, Box<str>, Box<str>)>,
    sender: Option<(String, Option<ActorRef>)>,
    type_name: Option<Arc<str>>,
    /// Of the actor with that number.
    path: Option<(u64, Arc<str>)>,
    window: Option<(u64, Window)>,
}

impl Names {
    pub(super) fn new(access: Access) -> Self {
        let (allowed, sender, type_name, path, window) = Default::default();
        Self { access, allowed, sender, type_name, path, window }
    }

    /// What the peer may do.
    pub(super) fn access(&self) -> &Access {
        &self.access
    }

    /// Something is to be handed on. What was allowed under another policy is to be asked again.
    pub(super) fn renew(&mut self) {
        if self.access.renew() {
            self.allowed = None;
            self.sender = None;
        }
    }

    /// Whether the peer may send a message.
    fn may_send(&mut self, verb: Verb, path: &str, name: &str) -> Result<(), Refusal> {
        let is_it = |(by, to, what): &(Verb, Box<str>, Box<str>)| {
            *by == verb && **to == *path && **what == *name
        };
        if !self.allowed.as_ref().is_some_and(is_it) {
            self.access.may(verb, path, name)?;
            self.allowed = Some((verb, path.into(), name.into()));
        }
        Ok(())
    }

    fn type_name(&mut self, name: &str) -> Arc<str> {
        match &self.type_name {
            Some(known) if **known == *name => known.clone(),
            _ => self.type_name.insert(name.into()).clone(),
        }
    }

    fn path(&mut self, cell: &dyn Reachable) -> Arc<str> {
        match &self.path {
            Some((uid, known)) if *uid == cell.uid() => known.clone(),
            _ => self.path.insert((cell.uid(), cell.path().into())).1.clone(),
        }
    }

    fn window(&mut self, conn: &GoConn, cell: &dyn Reachable) -> &Window {
        let uid = cell.uid();
        if self.window.as_ref().is_none_or(|(known, _)| *known != uid) {
            self.window = Some((uid, conn.terms.windows.of(uid, cell.path())));
        }
        &self.window.as_ref().expect("it was just looked up").1
    }
}

/// Messages of one type that follow each other, for one actor.
pub(super) struct Run {
    cell: Arc<dyn Reachable>,
    type_name: Arc<str>,
    path: Arc<str>,
    entry: u16,
    messages: VecDeque<Message>,
    senders: Vec<ActorRef>,
    payload_len: usize,
    cost: u64,
    /// Bytes of headers and senders.
    extra: u64,
    /// Of an asynchronous request, which goes alone.
    asked: Option<Asked>,
}

/// An asynchronous request.
pub(super) struct Asked {
    /// Where the answer goes.
    pub(super) asker: RemoteAsker,
    /// The payload. A copy: what else is in the frame must not stay in memory with it, since it is not charged.
    pub(super) payload: Bytes,
}

impl Run {
    /// An asynchronous request.
    pub(super) fn of_request(
        cell: Arc<dyn Reachable>,
        type_name: Arc<str>,
        entry: u16,
        sender: Option<ActorRef>,
        asked: Asked,
    ) -> Self {
        let len = asked.payload.len();
        let message = Message {
            sender: sender.is_some().then_some(0),
            start: 0,
            len: len as u32,
            about: None,
        };
        Self {
            path: cell.path().into(),
            cell,
            type_name,
            entry,
            messages: [message].into(),
            senders: sender.into_iter().collect(),
            payload_len: len,
            cost: cost(len),
            extra: 0,
            asked: Some(asked),
        }
    }

    /// Whether a message goes with those that are there.
    pub(super) fn takes(&self, cell: &dyn Reachable, message: &RemoteMessage<'_>) -> bool {
        let len = self.payload_len + self.extra as usize + message.message.value.len();
        self.asked.is_none()
            && self.cell.uid() == cell.uid()
            && *self.type_name == *message.message.type_name()
            && self.messages.len() < RUN_COUNT
            && len <= RUN_LEN
    }

    pub(super) fn is_empty(&self) -> bool {
        self.messages.is_empty()
    }

    /// Room in the window of the actor, or a place in the line for it.
    pub(super) fn enter(
        &self,
        line: &mut InLine,
        conn: &Arc<GoConn>,
        names: &mut Names,
    ) -> Option<Room> {
        let window = names.window(conn, &*self.cell);
        let waker = Waker::from(conn.clone());
        line.enter(&conn.terms.windows, (window, self.cost + self.extra), &waker)
    }
}

impl GoConn {
    /// Does what a message of GoAkt itself asks for, or adds a message of a tell to those that go
    /// together.
    pub(super) fn stage(
        self: &Arc<Self>,
        common: &Common,
        message: &RemoteMessage<'_>,
        (cell, read): (Arc<dyn Reachable>, Option<SystemMessage>),
        run: &mut Option<Run>,
        names: &mut Names,
    ) -> Result<(), GoError> {
        match self.handle_framework(common.procedure, read, &cell)? {
            Framework::NotOurs => {}
            Framework::Done | Framework::Replied(_) => return Ok(()),
            Framework::Asks(asks) => {
                *run = Some(*asks);
                return Ok(());
            }
        }
        let run = match run {
            Some(run) => run,
            None => run.insert(start_run(common.procedure, message, cell, names)?),
        };
        let checked = run.cell.check(run.entry, message.message.value.clone(), &self.account);
        checked.map_err(|refusal| failed(common.procedure, message, &refusal))?;
        self.add(common, message, None, run, names)
    }

    /// What is to be delivered of one message of an ask; `None` where that is nothing.
    pub(super) fn ask_one(
        self: &Arc<Self>,
        common: &Common,
        message: &RemoteMessage<'_>,
        start: Instant,
        by: Instant,
        names: &mut Names,
    ) -> Result<Option<Run>, GoError> {
        let procedure = common.procedure;
        let (cell, read) = self.receiver(procedure, message, names)?;
        if by <= start {
            return Err(failed(procedure, message, &Refusal::DeadlineExceeded));
        }
        self.expect_reply(common.id, by);
        match self.handle_framework(procedure, read, &cell)? {
            Framework::NotOurs => {}
            Framework::Done => return Ok(None),
            Framework::Replied(type_name) => {
                self.reply(common.id, type_name, &[]);
                return Ok(None);
            }
            Framework::Asks(run) => return Ok(Some(*run)),
        }
        let mut run = start_run(procedure, message, cell, names)?;
        self.add(common, message, Some(by), &mut run, names)?;
        Ok(Some(run))
    }

    /// The actor that a message is for, and what that says where it is one of GoAkt itself.
    pub(super) fn receiver(
        &self,
        procedure: Procedure,
        message: &RemoteMessage<'_>,
        names: &mut Names,
    ) -> Result<(Arc<dyn Reachable>, Option<SystemMessage>), GoError> {
        let (local, name) = (&self.terms.local, message.message.type_name());
        let path = local.receiver(procedure, message.receiver)?;
        local.admit_message(&path, name)?;
        let read = SystemMessage::read(&message.message)
            .map_err(|error| GoError::invalid_message(procedure, error))?;
        let (verb, name) = match &read {
            Some(SystemMessage::AsyncRequest(request)) => {
                (Verb::Ask, request.message.as_ref().map_or("", |message| message.type_name()))
            }
            Some(read) => (read.verb(), name),
            None if procedure == Procedure::Ask => (Verb::Ask, name),
            None => (Verb::Tell, name),
        };
        let mut uid = None;
        let allowed = match verb {
            Verb::Stop => names.access.may_manage(&self.system, verb, &path, &mut uid),
            verb => names.may_send(verb, &path, name),
        };
        let asker = match &read {
            Some(SystemMessage::AsyncRequest(request)) => &request.reply_to,
            _ => message.sender,
        };
        let allowed = match verb {
            Verb::Tell | Verb::Ask if names.access.limits_senders() => {
                allowed.and_then(|()| self.may_name(asker, (verb, &path, name), names))
            }
            _ => allowed,
        };
        let found = allowed.and_then(|()| serve::find(&self.system, &path, uid));
        let cell = found.map_err(|refusal| failed(procedure, message, &refusal))?;
        Ok((cell, read))
    }

    fn add(
        &self,
        common: &Common,
        message: &RemoteMessage<'_>,
        deadline: Option<Instant>,
        run: &mut Run,
        names: &mut Names,
    ) -> Result<(), GoError> {
        let sender = self.sender(common.procedure, message.sender, names)?;
        let sender = sender.map(|sender| {
            if run.senders.last().is_none_or(|last| *last != sender) {
                run.senders.push(sender);
                run.extra += (message.sender.len() + SENDER_OVERHEAD) as u64;
            }
            run.senders.len() as u32 - 1
        });
        let metadata = (!common.metadata.is_empty()).then(|| common.metadata.clone());
        run.extra += metadata.as_ref().map_or(0, metadata_len);
        let value = &message.message.value;
        // Where in the body it lies; an empty one lies anywhere.
        let start = match value.is_empty() {
            true => 0,
            false => value.as_ptr().addr() - common.messages.body().as_ptr().addr(),
        };
        run.payload_len += value.len();
        run.cost += cost(value.len());
        let needs_about = deadline.is_some() || metadata.is_some();
        run.messages.push_back(Message {
            sender,
            start: start as u32,
            len: value.len() as u32,
            about: needs_about.then(|| Box::new(About { deadline, metadata })),
        });
        Ok(())
    }

    /// Puts messages into the mailbox of their actor, for which they have `room`. Where they are the last ones of
    /// a tell, `end` is the answer to it once they are there.
    pub(super) fn deliver(
        self: &Arc<Self>,
        common: &Common,
        run: Run,
        mut room: Room,
        mut end: Option<Answer>,
        is_open: bool,
    ) {
        let Run { cell, type_name, path, entry, messages, senders, cost, extra, asked, .. } = run;
        let is_tell = common.procedure == Procedure::Tell;
        if is_tell {
            // That an asynchronous request is in its mailbox, nobody wants to hear.
            let (confirmed, last) = match asked {
                Some(_) => (0, None),
                None => (messages.len(), end.take()),
            };
            self.expect_confirmed(common.id, confirmed, last, is_open);
        }
        let mut charge = match self.account.charged(Part::Messages, cost + extra) {
            Ok(charge) => charge,
            Err(_) => {
                let failure = self.account.no_room(Part::Messages, cost + extra);
                return self.fail(common.id, &path, &failure);
            }
        };
        // The batch releases it.
        charge.leave(cost);
        let room_of_messages = room.split(cost);
        let delivery =
            Delivery { conn: self.clone(), path, type_name, _charge: charge, _room: room };
        let delivery = Arc::new(delivery);
        let (answers, block) = match asked {
            Some(Asked { asker, payload }) => (Answers::Reply(asker), payload),
            None if is_tell => (Answers::Confirm(common.id), common.messages.body().clone()),
            None => {
                let asker = RemoteAsker { to: delivery.clone(), request: common.id };
                (Answers::Reply(asker), common.messages.body().clone())
            }
        };
        let mut batch =
            Batch::new(delivery, answers, entry, block, messages, senders, room_of_messages);
        // Unless they are most of the request: what is not copied keeps all of it, and the read buffer
        // that it is in.
        batch.compact();
        cell.push_arrivals(batch);
        if let Some(answer) = end {
            self.end_tell(common.id, answer);
        }
    }

    /// Who a message is from, where that is an actor.
    fn sender(
        &self,
        procedure: Procedure,
        text: &str,
        names: &mut Names,
    ) -> Result<Option<ActorRef>, GoError> {
        if let Some((known, sender)) = &names.sender
            && known == text
        {
            return Ok(sender.clone());
        }
        let address = self.terms.local.sender(procedure, text)?;
        let sender = address.and_then(|address| self.reference(address));
        // Who has a name here may change with every message.
        let is_own = address.is_some_and(|address| self.is_own(address));
        if !is_own && text.len() <= MAX_ADDRESS_LEN {
            names.sender = Some((text.to_owned(), sender.clone()));
        }
        Ok(sender)
    }

    /// Whether the peer may send a message whose answers go to that address.
    fn may_name(
        &self,
        asker: &str,
        message: (Verb, &str, &str),
        names: &Names,
    ) -> Result<(), Refusal> {
        match GoAddress::parse(asker) {
            Ok(address) if address.is_no_sender() || self.peer.has_host(address.host) => Ok(()),
            Ok(_) => names.access.may_as(asker, message),
            // That is told when it is read.
            Err(_) => Ok(()),
        }
    }

    /// A reference to an actor of a Go node, or to one here; `None` where nobody can be meant.
    pub(super) fn reference(&self, address: GoAddress<'_>) -> Option<ActorRef> {
        // A peer says who it is, and must not have us talk to an actor of the system in its name.
        let path = address.actor_path();
        if path.split('/').any(is_reserved) {
            return None;
        }
        if self.is_own(address) {
            return self.system.find(&path);
        }
        let port = address.port.try_into().ok()?;
        let address = Address::new(path, address.system, address.host, port).ok()?;
        Some(self.system.actor(&address.with_dialect(Dialect::GoAkt)))
    }

    /// Whether an address is one of this node.
    pub(super) fn is_own(&self, address: GoAddress<'_>) -> bool {
        address.system == self.system.name() && self.terms.local.is_here(address.host, address.port)
    }
}

/// Begins a run with the actor and the type of a message.
fn start_run(
    procedure: Procedure,
    message: &RemoteMessage<'_>,
    cell: Arc<dyn Reachable>,
    names: &mut Names,
) -> Result<Run, GoError> {
    let name = message.message.type_name();
    let entry = cell.accepted(name).ok_or_else(|| not_accepted(procedure, name))?;
    Ok(Run {
        path: names.path(&*cell),
        type_name: names.type_name(name),
        cell,
        entry,
        messages: VecDeque::new(),
        senders: Vec::new(),
        payload_len: 0,
        cost: 0,
        extra: 0,
        asked: None,
    })
}

/// What the headers of a message take up: each has its own.
fn metadata_len(metadata: &Metadata) -> u64 {
    (metadata.encoded_len() + metadata.len() * size_of::<(String, String)>()) as u64
}

/// What a Go node is told of a message that was turned down here.
fn failed(procedure: Procedure, message: &RemoteMessage<'_>, refusal: &Refusal) -> GoError {
    GoError::from_failure(procedure, message.receiver, &refusal.to_wire())
}

/// What a Go node is told of a message that its actor does not take.
pub(super) fn not_accepted(procedure: Procedure, type_name: &str) -> GoError {
    let shown = type_name.get(..type_name.len().min(100)).unwrap_or_default();
    let not_accepted = Refusal::NotAccepted { message: shown.to_owned() };
    GoError::of_name("message type", type_name)
        .err()
        .unwrap_or_else(|| GoError::invalid_message(procedure, not_accepted))
}
