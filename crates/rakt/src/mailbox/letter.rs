//! One message on its way to a handler, and the place where its reply goes.

use std::any::Any;
use std::collections::VecDeque;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::task::Poll;
use std::time::Instant;

use rakt_wire::Metadata;

use super::arrivals::RemoteAsker;
use crate::context::Current;
use crate::error::Refusal;
use crate::message::{Encoded, Functions, Message};
use crate::reference::ActorRef;
use crate::slot::{Abandonment, Slot};

/// A message with what its handler can learn about it.
pub(crate) struct Letter<M: Message> {
    pub(crate) message: M,
    pub(crate) asker: Asker<M::Reply>,
    pub(crate) sender: Option<ActorRef>,
    pub(crate) about: Option<Box<About<M::Reply>>>,
}

/// What most messages do without.
pub(crate) struct About<R: Send + 'static> {
    pub(crate) deadline: Option<Instant>,
    pub(crate) metadata: Option<Metadata>,
    /// Where the reply goes, if not to an asker in this process.
    pub(crate) reply: Reply<R>,
}

/// Who waits in this process for the reply to a letter, if anybody does. Hears of it when the letter
/// is dropped.
pub(crate) struct Asker<R: Send + 'static>(pub(crate) Option<Arc<Slot<Result<R, Refusal>>>>);

impl<R: Send + 'static> Asker<R> {
    pub(crate) fn into_reply(mut self) -> Reply<R> {
        self.0.take().map_or(Reply::nowhere(), Reply::local)
    }
}

impl<R: Send + 'static> Drop for Asker<R> {
    fn drop(&mut self) {
        if let Some(slot) = self.0.take() {
            drop(Reply::local(slot));
        }
    }
}

impl<M: Message> Letter<M> {
    /// Takes the letter apart, into what a handler gets and what it can ask its context for.
    ///
    /// Always inlined: else it depends on how the crate is cut into units, and that on where code stands.
    #[inline(always)]
    pub(crate) fn open(self, current: &mut Current) -> (M, Reply<M::Reply>) {
        let Self { message, asker, sender, about } = self;
        let mut deadline = asker.0.as_ref().and_then(|slot| slot.deadline());
        let mut reply = asker.into_reply();
        let mut metadata = None;
        if let Some(about) = about {
            deadline = deadline.or(about.deadline);
            metadata = about.metadata;
            if about.reply.is_wanted() {
                reply = about.reply;
            }
        }
        current.begin(sender, deadline, metadata, reply.cancellation());
        (message, reply)
    }

    /// Answers whoever waits for a reply; the message is lost.
    fn refuse(self, refusal: Refusal) {
        let (message, reply) = self.open(&mut Current::default());
        reply.send(Err(refusal));
        // Whoever discards a message is not to die of its destructor.
        let dropped = std::panic::catch_unwind(AssertUnwindSafe(|| drop(message)));
        if dropped.is_err() {
            tracing::error!(message = std::any::type_name::<M>(), "panicked while it was dropped");
        }
    }
}

/// Letters of one type that follow each other.
pub(crate) struct Run<M: Message> {
    letters: VecDeque<Letter<M>>,
}

/// A run has at most this many letters; more of them make another.
const RUN_LEN: usize = 128;

impl<M: Message> Run<M> {
    pub(crate) fn of(letter: Letter<M>) -> Box<Self> {
        Box::new(Self { letters: VecDeque::from([letter]) })
    }

    pub(crate) fn next(&mut self) -> Option<Letter<M>> {
        self.letters.pop_front()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.letters.is_empty()
    }
}

/// A run whose type is known to its dispatch function alone.
pub(crate) trait AnyRun: Any + Send {
    fn len(&self) -> usize;
    /// How many letters there is memory for.
    fn room(&self) -> usize;
    /// Takes the first letter off, as a run of its own.
    fn take_first(&mut self) -> Option<Box<dyn AnyRun>>;
    /// Turns every letter down, after telling `lost` the name of the message and its sender.
    fn refuse_all(
        self: Box<Self>,
        refusal: &Refusal,
        lost: &dyn Fn(&'static str, Option<&ActorRef>),
    );
}

impl<M: Message> AnyRun for Run<M> {
    fn len(&self) -> usize {
        self.letters.len()
    }

    fn room(&self) -> usize {
        self.letters.capacity()
    }

    fn take_first(&mut self) -> Option<Box<dyn AnyRun>> {
        Some(Self::of(self.letters.pop_front()?))
    }

    fn refuse_all(
        self: Box<Self>,
        refusal: &Refusal,
        lost: &dyn Fn(&'static str, Option<&ActorRef>),
    ) {
        for letter in self.letters {
            lost(crate::actor::message_name::<M>(), letter.sender.as_ref());
            letter.refuse(refusal.clone());
        }
    }
}

/// A letter that may be taken into a mailbox, or stays where it is.
pub(crate) trait Loose {
    /// Moves the letter into `run`, if that is of its type and not full.
    fn join(&mut self, run: &mut dyn AnyRun) -> bool;
    /// Moves the letter into a run of its own.
    fn begin(&mut self) -> Box<dyn AnyRun>;
    fn message_name(&self) -> &'static str;
}

/// Empty once the letter has been taken in.
impl<M: Message> Loose for Option<Letter<M>> {
    fn join(&mut self, run: &mut dyn AnyRun) -> bool {
        match (run as &mut dyn Any).downcast_mut::<Run<M>>() {
            Some(run) if run.letters.len() < RUN_LEN => {
                if let Some(letter) = self.take() {
                    run.letters.push_back(letter);
                }
                true
            }
            _ => false,
        }
    }

    fn begin(&mut self) -> Box<dyn AnyRun> {
        Run::of(self.take().expect("a letter is taken in once"))
    }

    fn message_name(&self) -> &'static str {
        crate::actor::message_name::<M>()
    }
}

/// Where a reply goes. Dropped without one, it says so to whoever waits.
pub(crate) struct Reply<R: Send + 'static>(Route<R>);

enum Route<R: 'static> {
    Nowhere,
    Local(Arc<Slot<Result<R, Refusal>>>),
    Remote(RemoteAsker, &'static Functions<R>),
}

impl<R: Send + 'static> Reply<R> {
    /// Nobody waits for a reply.
    pub(crate) const fn nowhere() -> Self {
        Self(Route::Nowhere)
    }

    pub(crate) fn local(slot: Arc<Slot<Result<R, Refusal>>>) -> Self {
        Self(Route::Local(slot))
    }

    pub(crate) fn remote(asker: RemoteAsker, functions: &'static Functions<R>) -> Self {
        Self(Route::Remote(asker, functions))
    }

    pub(crate) fn is_wanted(&self) -> bool {
        !matches!(self.0, Route::Nowhere)
    }

    /// How the handler learns that the asker has given up.
    pub(crate) fn cancellation(&self) -> Cancellation {
        match &self.0 {
            Route::Nowhere => Cancellation::Never,
            Route::Local(slot) => Cancellation::Local(slot.clone()),
            Route::Remote(asker, _) => Cancellation::Remote(asker.clone()),
        }
    }

    pub(crate) fn send(mut self, reply: Result<R, Refusal>) {
        self.route(reply);
    }

    fn route(&mut self, reply: Result<R, Refusal>) {
        match std::mem::replace(&mut self.0, Route::Nowhere) {
            Route::Nowhere => {}
            Route::Local(slot) => drop(slot.answer(reply)),
            Route::Remote(RemoteAsker { to, request }, functions) => match reply {
                Ok(value) => {
                    to.reply(request, functions.name, &Encoded { value: &value, functions });
                }
                Err(refusal) => to.refuse(request, &refusal),
            },
        }
    }
}

impl<R: Send + 'static> Drop for Reply<R> {
    fn drop(&mut self) {
        if self.is_wanted() {
            let panicked = || Refusal::HandlerFailed { source: "it panicked".into() };
            let refusal = if std::thread::panicking() { panicked() } else { Refusal::NoReply };
            self.route(Err(refusal));
        }
    }
}

/// Whether the asker of the message at hand still waits.
#[derive(Clone, Default)]
pub(crate) enum Cancellation {
    #[default]
    Never,
    Local(Arc<dyn Abandonment>),
    Remote(RemoteAsker),
}

impl From<Option<&RemoteAsker>> for Cancellation {
    fn from(asker: Option<&RemoteAsker>) -> Self {
        asker.map_or(Self::Never, |asker| Self::Remote(asker.clone()))
    }
}

impl Cancellation {
    pub(crate) fn is_cancelled(&self) -> bool {
        match self {
            Self::Never => false,
            Self::Local(slot) => slot.is_abandoned(),
            Self::Remote(asker) => asker.to.is_cancelled(asker.request),
        }
    }

    pub(crate) fn poll_cancelled(&self, cx: &mut std::task::Context<'_>) -> Poll<()> {
        match self {
            Self::Never => Poll::Pending,
            Self::Local(slot) => slot.poll_abandoned(cx),
            Self::Remote(asker) => asker.to.poll_cancelled(asker.request, cx),
        }
    }
}
