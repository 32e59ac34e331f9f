//! A message from this process on its way to a handler, and runs of those.

use std::any::Any;
use std::collections::VecDeque;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Instant;

use rakt_wire::Metadata;

use super::current::{Current, Exclusive};
use super::reply::Reply;
use super::run::{AnyRun, Loose, Lost};
use crate::error::Refusal;
use crate::log::may_log;
use crate::message::allowance::Kept;
use crate::message::{Message, message_name};
use crate::peer::Peer;
use crate::reference::ActorRef;
use crate::slot::Slot;

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
    /// Dropped once the letter is handled, or is not going to be.
    pub(crate) token: Option<Arc<()>>,
    /// What counts for the message as long as it is here.
    pub(crate) kept: Option<Kept>,
    /// The peer that the message came from at first.
    pub(crate) peer: Option<Peer>,
}

/// Who waits in this process for the reply to a letter, if anybody does. Hears of it when the letter
/// is dropped.
pub(crate) struct Asker<R: Send + 'static>(pub(crate) Option<Arc<Slot<Result<R, Refusal>>>>);

impl<R: Send + 'static> Default for About<R> {
    fn default() -> Self {
        let (deadline, metadata, token, kept, peer) = Default::default();
        Self { deadline, metadata, reply: Reply::nowhere(), token, kept, peer }
    }
}

impl<R: Send + 'static> About<R> {
    /// Makes a letter with this the one at hand; `asker` becomes where its reply goes.
    fn open(
        self,
        asker: &mut Reply<R>,
        sender: Option<ActorRef>,
        deadline: Option<Instant>,
        current: &mut Current,
    ) {
        let Self { deadline: own, metadata, reply, token, kept, peer } = self;
        if reply.is_wanted() {
            *asker = reply;
        }
        current.begin(sender, deadline.or(own), metadata, asker.cancellation());
        if let Some(peer) = peer {
            current.set_peer(peer);
        }
        if token.is_some() {
            current.attached().token = token;
        }
        if kept.is_some() {
            current.attached().kept = Exclusive::new(kept);
        }
    }
}

impl<R: Send + 'static> Drop for Asker<R> {
    #[inline]
    fn drop(&mut self) {
        if let Some(slot) = self.0.take() {
            drop(Reply::local(slot));
        }
    }
}

impl<M: Message> Letter<M> {
    /// A message with nothing that its handler could learn about it.
    #[inline]
    pub(crate) fn plain(message: M) -> Self {
        Self { message, asker: Asker(None), sender: None, about: None }
    }

    /// The message and its sender, if there is nothing more, as with most tells; else the letter.
    #[inline(always)]
    pub(crate) fn into_plain(self) -> Result<(M, Option<ActorRef>), Self> {
        let is_plain = self.asker.0.is_none() && self.about.is_none();
        if is_plain { Ok((self.message, self.sender)) } else { Err(self) }
    }

    /// Takes the letter apart, into what a handler gets and what it can ask its context for.
    ///
    /// Always inlined: else it depends on how the crate is cut into units, and that on where code stands.
    #[inline(always)]
    pub(crate) fn open(self, current: &mut Current, reply: &mut Reply<M::Reply>) -> M {
        let Self { message, mut asker, sender, about } = self;
        if asker.0.is_none() && about.is_none() {
            current.begin_plain(sender);
            return message;
        }
        let slot = asker.0.take();
        let deadline = slot.as_ref().and_then(|slot| slot.deadline());
        *reply = slot.map_or(Reply::nowhere(), Reply::local);
        match about {
            None => current.begin(sender, deadline, None, reply.cancellation()),
            Some(about) => about.open(reply, sender, deadline, current),
        }
        message
    }

    /// Answers whoever waits for a reply; the message is lost.
    fn refuse(self, refusal: Refusal) {
        let mut reply = Reply::nowhere();
        let message = self.open(&mut Current::default(), &mut reply);
        reply.send(Err(refusal));
        // Whoever discards a message is not to die of its destructor.
        let dropped = std::panic::catch_unwind(AssertUnwindSafe(|| drop(message)));
        let (topic, name) = ("panicked while it was dropped", std::any::type_name::<M>());
        if dropped.is_err() && may_log(topic, name) {
            tracing::error!(message = name, "{topic}");
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

    fn refuse_all(self: Box<Self>, refusal: &Refusal, lost: &Lost<'_>) {
        for letter in self.letters {
            lost(message_name::<M>(), &|| letter.sender.as_ref().map(ActorRef::address));
            letter.refuse(refusal.clone());
        }
    }
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
        message_name::<M>()
    }
}
