//! Messages of Go nodes to grains that live here, and bringing one to life.
//!
//! Both kinds of message are answered once the grain has handled them, and a Go node sends nothing further over the
//! connection before that. So each is on its way alone, and an activation that ends meanwhile is followed by the next.

use std::future::poll_fn;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use bytes::Bytes;
use rakt_wire::goakt::{GoError, Procedure, Request, SystemMessage, proto};
use rakt_wire::{Encode, Metadata, Verb, cost};
use tokio::sync::oneshot;

use super::conn::{Answer, GoConn};
use super::delivery::{About, Answers, Batch, Delivery, Message, encode_reply};
use super::window::InLine;
use crate::error::Refusal;
use crate::grain::GrainId;
use crate::mailbox::arrivals::Reachable;
use crate::mailbox::reply::{RemoteAsker, ReplyTo};
use crate::remote::access::Access;
use crate::remote::account::Charge;
use crate::remote::budget::Part;
use crate::remote::goakt::limits::LONGEST;
use crate::sync::Mutex;
use crate::system::core::GrainHost;
use crate::timers::now;

/// How long a message to a grain may take that says nothing of it, as on a Go node.
const TELL_LIMIT: Duration = Duration::from_secs(5);

/// What a message takes up besides its payload and its headers, in bytes, while it waits for its grain: a task, and an
/// activation in part.
const OVERHEAD: u64 = 3072;

/// A grain of a kind that lives here.
struct Grain {
    host: Arc<dyn GrainHost>,
    id: GrainId,
}

/// What a grain is to do.
enum Work {
    Live,
    Stop,
    Handle(Told),
}

/// A message to a grain.
#[derive(Clone)]
struct Told {
    /// Its number in the list of the grain.
    entry: u16,
    type_name: Arc<str>,
    /// A copy: what else was in the frame is not kept with it.
    payload: Bytes,
    metadata: Option<Metadata>,
    by: Instant,
    wants_reply: bool,
}

impl Told {
    fn cost(&self) -> u64 {
        cost(self.payload.len())
    }

    /// What counts for it besides that.
    fn extra(&self) -> u64 {
        OVERHEAD + self.metadata.as_ref().map_or(0, |metadata| metadata.encoded_len() as u64)
    }
}

/// What a grain has answered: a message with its name, if it did more than to acknowledge.
type Answered = Result<Option<(&'static str, Vec<u8>)>, Refusal>;

impl GoConn {
    /// Has a grain do what a Go node wants of it, and answers that.
    ///
    /// # Errors
    /// The answer, where nothing was begun.
    pub(super) fn call_grain(
        self: &Arc<Self>,
        id: u64,
        request: &Request,
        grain: &proto::Grain,
        (metadata, until): (Metadata, Option<Instant>),
        access: &Access,
    ) -> Result<(), GoError> {
        let procedure = request.procedure();
        let identity = self.terms.local.grain(grain)?;
        let subject = identity.to_string();
        let failed =
            |refusal: Refusal| GoError::from_failure(procedure, &subject, &refusal.to_wire());
        let known = self.system.0.grains.iter();
        let mut known = known.filter(|(name, _)| name.eq_ignore_ascii_case(&identity.kind));
        let Some((name, host)) = known.next() else {
            return Err(failed(Refusal::KindNotRegistered { kind: identity.kind.clone() }));
        };
        let key = GrainId::new(name, &identity.name);
        let key =
            key.map_err(|error| Refusal::InvalidArgument { source: error.to_string().into() });
        let grain = Grain { host: host.clone(), id: key.map_err(failed)? };

        let limit = match request {
            Request::AskGrain { timeout, .. } => (*timeout).min(LONGEST),
            Request::TellGrain { .. } => TELL_LIMIT,
            _ => self.system.ask_timeout(),
        };
        let by = until.map_or(now() + limit, |until| until.min(now() + limit));
        let work = self.grain_work(&grain, request, (metadata, by), access).map_err(failed)?;
        if by <= now() {
            return Err(failed(Refusal::DeadlineExceeded));
        }
        let (cost, extra) = match &work {
            Work::Handle(told) => (told.cost(), told.extra()),
            Work::Live | Work::Stop => (0, OVERHEAD),
        };
        let charge = self.account.charged(Part::Messages, cost + extra).map_err(failed)?;

        let conn = self.clone();
        self.system.runtime().spawn(async move {
            let answered = async {
                let work = conn.work_on_grain(id, &grain, work, charge);
                let answered = tokio::time::timeout_at(by.into(), work).await;
                answered.unwrap_or(Err(Refusal::DeadlineExceeded))
            };
            let answered = tokio::select! {
                answered = answered => answered,
                () = conn.gone.opened() => return,
            };
            let answer = match answered {
                Ok(reply) if procedure == Procedure::AskGrain => Answer::GrainReply(reply),
                Ok(_) => Answer::Done,
                Err(refusal) => {
                    Answer::Error(GoError::from_failure(procedure, &subject, &refusal.to_wire()))
                }
            };
            conn.answer(id, answer);
        });
        Ok(())
    }

    /// What a request wants of a grain, if the peer may want it and the grain takes it.
    fn grain_work(
        &self,
        grain: &Grain,
        request: &Request,
        (metadata, by): (Metadata, Instant),
        access: &Access,
    ) -> Result<Work, Refusal> {
        let path = grain.id.path();
        let (message, wants_reply) = match request {
            Request::AskGrain { message, .. } => (message.get(), true),
            Request::TellGrain { message, .. } => (message.get(), false),
            // That takes up what a message without a name would.
            _ => return access.may(Verb::Tell, &path, "").map(|()| Work::Live),
        };
        let name = message.type_name();
        if let Ok(Some(SystemMessage::PoisonPill)) = SystemMessage::read(&message) {
            access.may_manage(&self.system, Verb::Stop, &path, &mut None)?;
            return Ok(Work::Stop);
        }
        access.may(if wants_reply { Verb::Ask } else { Verb::Tell }, &path, name)?;
        let not_accepted = || Refusal::NotAccepted { message: name.chars().take(100).collect() };
        let entry = grain.host.accepted(&self.system, name).ok_or_else(not_accepted)?;
        Ok(Work::Handle(Told {
            entry,
            type_name: name.into(),
            payload: Bytes::copy_from_slice(&message.value),
            metadata: (!metadata.is_empty()).then_some(metadata),
            by,
            wants_reply,
        }))
    }

    async fn work_on_grain(
        self: &Arc<Self>,
        id: u64,
        grain: &Grain,
        work: Work,
        mut charge: Charge,
    ) -> Answered {
        let (system, key) = (&self.system, grain.id.key());
        let told = match work {
            Work::Live => {
                grain.host.activate(system, key).await?;
                return Ok(None);
            }
            Work::Stop => {
                grain.host.deactivate(system, key).await?;
                return Ok(None);
            }
            Work::Handle(told) => told,
        };
        let mut closed = None;
        loop {
            let cell = grain.host.clone().enter(system, key, closed).await?;
            let mut answered = self.tell_grain(id, &*cell, &told, charge).await;
            match answered.try_recv() {
                // It takes in no more.
                Ok(Err(Refusal::Stopped)) => closed = Some(cell.uid()),
                Ok(answered) => return answered,
                Err(_) => {
                    // The mailbox has it, and counts it as long as it is there.
                    drop(told);
                    return answered.await.unwrap_or(Err(Refusal::NoReply));
                }
            }
            charge = self.account.charged(Part::Messages, told.cost() + told.extra())?;
        }
    }

    /// Puts a message into the mailbox of an activation. What comes of it is told; at once if that takes in no more.
    async fn tell_grain(
        self: &Arc<Self>,
        id: u64,
        cell: &dyn Reachable,
        told: &Told,
        mut charge: Charge,
    ) -> oneshot::Receiver<Answered> {
        let (windows, bytes) = (&self.terms.windows, told.cost() + told.extra());
        let (window, mut line) = (windows.of(cell.uid(), cell.path()), InLine::default());
        let room = poll_fn(|cx| match line.enter(windows, (&window, bytes), cx.waker()) {
            Some(room) => Poll::Ready(room),
            None => Poll::Pending,
        });
        let mut room = room.await;
        let room_of_message = room.split(told.cost());
        // The batch releases it.
        charge.leave(told.cost());
        let (answer, answered) = oneshot::channel();
        let asker = GrainAsker {
            conn: self.clone(),
            answer: Mutex::new(Some(answer)),
            wants_reply: told.wants_reply,
        };
        let Told { entry, type_name, payload, metadata, by, .. } = told.clone();
        let path = cell.path().into();
        let delivery =
            Delivery { conn: self.clone(), path, type_name, _charge: charge, _room: room };
        let asker = RemoteAsker { to: Arc::new(asker), request: id };
        let about = Some(Box::new(About { deadline: Some(by), metadata }));
        let message = Message { sender: None, start: 0, len: payload.len() as u32, about };
        let batch = Batch::new(
            Arc::new(delivery),
            Answers::Reply(asker),
            entry,
            payload,
            [message].into(),
            Vec::new(),
            room_of_message,
        );
        cell.push_arrivals(batch);
        answered
    }
}

/// Takes what a grain answers.
struct GrainAsker {
    conn: Arc<GoConn>,
    answer: Mutex<Option<oneshot::Sender<Answered>>>,
    wants_reply: bool,
}

impl GrainAsker {
    fn answer(&self, answered: Answered) {
        if let Some(answer) = self.answer.lock().take() {
            // Nobody may wait for it any more.
            let _ = answer.send(answered);
        }
    }
}

impl ReplyTo for GrainAsker {
    fn reply(&self, _: u64, name: Option<&'static str>, payload: &dyn Encode) {
        // A message without a reply is acknowledged.
        if !self.wants_reply || (name.is_none() && payload.encoded_len() == Some(0)) {
            return self.answer(Ok(None));
        }
        let limit = self.conn.resources.options.max_frame_size;
        self.answer(encode_reply(name, payload, limit).map(Some));
    }

    fn refuse(&self, _: u64, refusal: &Refusal) {
        self.answer(Err(refusal.clone()));
    }

    fn is_cancelled(&self, request: u64) -> bool {
        self.conn.is_cancelled(request)
    }

    fn poll_cancelled(&self, request: u64, cx: &mut Context<'_>) -> Poll<()> {
        self.conn.poll_cancelled(request, cx)
    }
}
