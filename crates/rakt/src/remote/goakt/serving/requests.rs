//! From a request to the actors it is for.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::task::Poll;
use std::time::{Duration, Instant, SystemTime};

use bytes::Bytes;
use rakt_wire::Metadata;
use rakt_wire::address::{Address, Dialect, MAX_ADDRESS_LEN, is_reserved};
use rakt_wire::goakt::error::ErrorCode;
use rakt_wire::goakt::{
    Error, GoAddress, Incoming, Procedure, RemoteMessage, RemoteMessages, Request,
};
use rakt_wire::native::cost;

use super::conn::{Answer, GoConn, Progress};
use super::delivery::Delivery;
use crate::cell::AnyCell;
use crate::context::Extensions;
use crate::error::Refusal;
use crate::mailbox::batch::{Batch, Charge, RawAbout, RawKind, RawMessage};
use crate::mailbox::letter::{Alias, Origin};
use crate::reference::ActorRef;
use crate::remote::driver::READ_LEN;
use crate::remote::serve;
use crate::timers::now;

/// An ask takes no longer than this, whatever it says. A year.
const LONGEST: Duration = Duration::from_secs(365 * 24 * 60 * 60);
/// Cost of handled messages from which on it is given back to the budget before their batch is done with.
const RETURN_AT: u64 = 64 * 1024;

/// Names that a connection used last: the next request most often has the same.
#[derive(Default)]
pub(super) struct Names {
    sender: Option<(String, Option<ActorRef>)>,
    type_name: Option<Arc<str>>,
}

impl Names {
    fn type_name(&mut self, name: &str) -> Arc<str> {
        match &self.type_name {
            Some(known) if **known == *name => known.clone(),
            _ => self.type_name.insert(name.into()).clone(),
        }
    }
}

/// Messages of one type that follow each other, for one actor.
pub(super) struct Run {
    cell: Arc<dyn AnyCell>,
    origin: Arc<Delivery>,
    entry: u16,
    messages: VecDeque<RawMessage>,
    senders: Vec<(u32, ActorRef)>,
    cost: u64,
}

/// What all messages of one request have in common.
struct Common<'a> {
    id: u64,
    procedure: Procedure,
    body: &'a Bytes,
    metadata: &'a Metadata,
}

impl GoConn {
    /// Hands a request on. Returns once all its messages are on their way, so that those of the next
    /// request come after them.
    pub(super) async fn hand_on(self: &Arc<Self>, incoming: Incoming, names: &mut Names) {
        let Incoming { id, request, metadata, deadline } = incoming;
        let until = deadline.map(|deadline| {
            let remaining = deadline.remaining(SystemTime::now()).min(LONGEST);
            now() + remaining
        });
        if let Err(error) = self.admit_request(&request, &metadata) {
            self.open_operation(id);
            return self.answer(id, Answer::Error(error));
        }
        match request {
            Request::Tell(messages) => self.tell(id, &messages, &metadata, names).await,
            Request::Ask { messages, timeout } => {
                self.ask(id, &messages, timeout, until, &metadata, names).await;
            }
            request => self.operate(id, &request, until),
        }
    }

    /// Whether anything may come of a request.
    fn admit_request(&self, request: &Request, metadata: &Metadata) -> Result<(), Error> {
        if self.system.is_shutting_down() {
            let failure = Refusal::ShuttingDown.to_wire();
            return Err(Error::from_failure(request.procedure(), "", &failure));
        }
        self.serving.local.admit(request)?;
        let (false, Some(propagator)) = (metadata.is_empty(), &self.net.propagator) else {
            return Ok(());
        };
        // Each message is read for its own context when its turn comes. But what cannot be read is
        // refused before anything is delivered.
        let read = || propagator.extract(metadata, &mut Extensions::default());
        let text = match std::panic::catch_unwind(AssertUnwindSafe(read)) {
            Ok(Ok(())) => return Ok(()),
            Ok(Err(error)) => error.to_string(),
            Err(_) => "the context propagator panicked".to_owned(),
        };
        Err(Error::new(ErrorCode::InvalidArgument, text))
    }

    async fn tell(
        self: &Arc<Self>,
        id: u64,
        messages: &RemoteMessages,
        metadata: &Metadata,
        names: &mut Names,
    ) {
        self.open_tell(id);
        let common = Common { id, procedure: Procedure::Tell, body: messages.body(), metadata };
        let mut run: Option<Run> = None;
        let mut answer = Answer::Done;
        for message in messages.iter() {
            let staged = match self.receiver(&common, &message) {
                Ok((cell, path)) => {
                    self.stage(&common, &message, cell, path, &mut run, names).await
                }
                Err(error) => Err(Some(error)),
            };
            match staged {
                Ok(()) => {}
                Err(Some(error)) => {
                    answer = Answer::Error(error);
                    break;
                }
                Err(None) => return,
            }
        }
        if let Some(run) = run {
            self.deliver(&common, run);
        }
        self.end_tell(id, answer);
    }

    /// Adds a message of a tell to those that go together. `Err(None)`: the request is answered.
    async fn stage(
        self: &Arc<Self>,
        common: &Common<'_>,
        message: &RemoteMessage<'_>,
        cell: Arc<dyn AnyCell>,
        path: &str,
        run: &mut Option<Run>,
        names: &mut Names,
    ) -> Result<(), Option<Error>> {
        let type_name = message.message.type_name();
        let follows = run
            .as_ref()
            .is_some_and(|run| run.cell.uid() == cell.uid() && *run.origin.type_name == *type_name);
        if !follows && let Some(before) = run.take() {
            // What goes to another mailbox waits, so that nothing overtakes a message that fails.
            self.deliver(common, before);
            if !self.reached(common.id, 0).await {
                return Err(None);
            }
        }
        if self.handle_framework(common.procedure, message, &cell, path)?.is_some() {
            return Ok(());
        }
        let run = match run {
            Some(run) => run,
            None => run.insert(self.start_run(common.procedure, message, cell, names)?),
        };
        let checked = run.cell.check(run.entry, message.message.value.clone());
        checked.map_err(|refusal| failed(common.procedure, message, &refusal))?;
        self.add(common, message, RawKind::Confirm(common.id), None, run, names)?;
        Ok(())
    }

    async fn ask(
        self: &Arc<Self>,
        id: u64,
        messages: &RemoteMessages,
        timeout: Duration,
        until: Option<Instant>,
        metadata: &Metadata,
        names: &mut Names,
    ) {
        let mut left = messages.len();
        self.open_ask(id, left);
        if left == 0 {
            return self.answer(id, Answer::Replies(Default::default()));
        }
        let common = Common { id, procedure: Procedure::Ask, body: messages.body(), metadata };
        for message in messages.iter() {
            let start = now();
            let by = start + timeout.min(LONGEST);
            let by = until.map_or(by, |until| by.min(until));
            if let Err(error) = self.ask_one(&common, &message, start, by, names) {
                return self.answer(id, Answer::Error(error));
            }
            left -= 1;
            if left > 0 && !self.reached(id, left).await {
                return;
            }
        }
    }

    fn ask_one(
        self: &Arc<Self>,
        common: &Common<'_>,
        message: &RemoteMessage<'_>,
        start: Instant,
        by: Instant,
        names: &mut Names,
    ) -> Result<(), Error> {
        let procedure = common.procedure;
        let (cell, path) = self.receiver(common, message)?;
        if by <= start {
            return Err(failed(procedure, message, &Refusal::DeadlineExceeded));
        }
        self.expect_reply(common.id, by);
        if let Some(reply) = self.handle_framework(procedure, message, &cell, path)? {
            if let Some(type_name) = reply {
                self.reply(common.id, type_name, &[]);
            }
            return Ok(());
        }
        let mut run = self.start_run(procedure, message, cell, names)?;
        self.add(common, message, RawKind::Ask(common.id), Some(by), &mut run, names)?;
        self.deliver(common, run);
        Ok(())
    }

    /// Waits until so many messages of a request are left; false if it is answered before.
    async fn reached(&self, id: u64, wanted: usize) -> bool {
        // Whatever changes it has the task that this is part of look again.
        poll_fn(|_| match self.progress(id) {
            Progress::Waits(left) if left <= wanted => Poll::Ready(true),
            Progress::Waits(_) => Poll::Pending,
            Progress::Over => Poll::Ready(false),
        })
        .await
    }

    /// The actor that a message is for, and its path.
    fn receiver<'a>(
        &self,
        common: &Common<'_>,
        message: &RemoteMessage<'a>,
    ) -> Result<(Arc<dyn AnyCell>, &'a str), Error> {
        let local = &self.serving.local;
        let path = local.receiver(common.procedure, message.receiver)?;
        local.admit_message(path, message.message.type_name())?;
        let cell = serve::find(&self.system, path, None)
            .map_err(|refusal| failed(common.procedure, message, &refusal))?;
        Ok((cell, path))
    }

    fn start_run(
        self: &Arc<Self>,
        procedure: Procedure,
        message: &RemoteMessage<'_>,
        cell: Arc<dyn AnyCell>,
        names: &mut Names,
    ) -> Result<Run, Error> {
        let name = message.message.type_name();
        let entry = cell.accepted(name).ok_or_else(|| not_accepted(procedure, name))?;
        let origin = Delivery {
            conn: self.clone(),
            path: cell.path().into(),
            type_name: names.type_name(name),
        };
        Ok(Run {
            cell,
            origin: Arc::new(origin),
            entry,
            messages: VecDeque::new(),
            senders: Vec::new(),
            cost: 0,
        })
    }

    fn add(
        &self,
        common: &Common<'_>,
        message: &RemoteMessage<'_>,
        kind: RawKind,
        deadline: Option<Instant>,
        run: &mut Run,
        names: &mut Names,
    ) -> Result<(), Error> {
        let sender = self.sender(common.procedure, message.sender, names)?;
        let sender = sender.map(|sender| {
            if run.senders.last().is_none_or(|(_, last)| *last != sender) {
                run.senders.push((0, sender));
            }
            run.senders.len() as u32 - 1
        });
        let charge = self.charge_metadata(common.metadata, &run.origin);
        let charge = charge.map_err(|refusal| failed(common.procedure, message, &refusal))?;
        let needs_about = deadline.is_some() || charge.is_some();
        let value = &message.message.value;
        // Where in the body it lies; an empty one lies anywhere.
        let start = match value.is_empty() {
            true => 0,
            false => value.as_ptr().addr() - common.body.as_ptr().addr(),
        };
        run.cost += cost(value.len());
        run.messages.push_back(RawMessage {
            entry: run.entry,
            kind,
            sender,
            type_id: 0,
            start: start as u32,
            len: value.len() as u32,
            raw_len: None,
            about: needs_about.then(|| {
                let metadata = charge.is_some().then(|| common.metadata.clone());
                Box::new(RawAbout { deadline, metadata, whole: None, _charge: charge })
            }),
        });
        Ok(())
    }

    /// Metadata takes up memory for each message that carries it.
    fn charge_metadata(
        &self,
        metadata: &Metadata,
        origin: &Arc<Delivery>,
    ) -> Result<Option<Charge>, Refusal> {
        if metadata.is_empty() {
            return Ok(None);
        }
        let pairs = metadata.len() * size_of::<(String, String)>();
        let bytes = (metadata.encoded_len() + pairs) as u64;
        self.charge(bytes)?;
        Ok(Some(Charge { origin: origin.clone(), bytes }))
    }

    /// Puts messages into the mailbox of their actor.
    fn deliver(&self, common: &Common<'_>, run: Run) {
        let Run { cell, origin, messages, senders, cost, .. } = run;
        if let Err(refusal) = self.charge(cost) {
            return origin.refuse(common.id, &refusal);
        }
        if common.procedure == Procedure::Tell {
            self.expect_confirmed(common.id, messages.len());
        }
        let mut batch = Batch {
            origin,
            from: Alias { id: 0, epoch: 0 },
            block: common.body.clone(),
            messages,
            has_confirms: common.procedure == Procedure::Tell,
            senders,
            unreturned: 0,
            return_at: RETURN_AT,
        };
        if batch.block.len() > READ_LEN {
            // A payload that an actor keeps would keep all of it.
            batch.compact();
        }
        cell.push_batch(batch);
    }

    /// Who a message is from, where that is an actor.
    fn sender(
        &self,
        procedure: Procedure,
        text: &str,
        names: &mut Names,
    ) -> Result<Option<ActorRef>, Error> {
        if let Some((known, sender)) = &names.sender
            && known == text
        {
            return Ok(sender.clone());
        }
        let address = self.serving.local.sender(procedure, text)?;
        let sender = address.and_then(|address| self.reference(address));
        // Who has a name here may change with every message.
        let is_own = address.is_some_and(|address| self.is_own(address));
        if !is_own && text.len() <= MAX_ADDRESS_LEN {
            names.sender = Some((text.to_owned(), sender.clone()));
        }
        Ok(sender)
    }

    /// A reference to an actor of a Go node, or to one here; `None` where nobody can be meant.
    pub(super) fn reference(&self, address: GoAddress<'_>) -> Option<ActorRef> {
        // A peer says who it is, and must not have us talk to an actor of the system in its name.
        if address.path.split('/').any(is_reserved) {
            return None;
        }
        if self.is_own(address) {
            return self.system.find(address.path);
        }
        let port = address.port.try_into().ok()?;
        let address = Address::new(address.path, address.system, address.host, port).ok()?;
        Some(self.system.actor(&address.with_dialect(Dialect::GoAkt)))
    }

    /// Whether an address is one of this node.
    pub(super) fn is_own(&self, address: GoAddress<'_>) -> bool {
        address.system == self.system.name()
            && self.serving.local.is_here(address.host, address.port)
    }
}

/// What a Go node is told of a message that was turned down here.
fn failed(procedure: Procedure, message: &RemoteMessage<'_>, refusal: &Refusal) -> Error {
    Error::from_failure(procedure, message.receiver, &refusal.to_wire())
}

/// What a Go node is told of a message that its actor does not take.
pub(super) fn not_accepted(procedure: Procedure, type_name: &str) -> Error {
    let shown = type_name.get(..type_name.len().min(100)).unwrap_or_default();
    Error::invalid_message(procedure, Refusal::NotAccepted { message: shown.to_owned() })
}
