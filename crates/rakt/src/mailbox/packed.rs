//! Letters of this process that are written down, since the life of a grain that handles them may be on another node.

use std::any::Any;
use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use rakt_wire::Encode;

use super::arrivals::Arrivals;
use super::current::Current;
use super::letter::Run;
use super::reply::{Cancellation, RemoteAsker, Reply, ReplyTo};
use super::run::AnyRun;
use crate::error::{Cause, Refusal};
use crate::message::allowance::{Hold, Room};
use crate::message::reader::reading;
use crate::message::{Functions, Message};
use crate::reference::ActorRef;
use crate::sync::Mutex;

/// A letter that is written down.
pub(crate) struct PackedLetter {
    /// Where its type is in the actor's list.
    pub(crate) entry: u16,
    pub(crate) payload: Bytes,
    pub(crate) asker: Option<RemoteAsker>,
    pub(crate) current: Current,
    /// What counts for it, where a peer has sent it.
    pub(crate) _hold: Option<Box<dyn Hold>>,
}

/// Hears of a letter that nobody waits for and that is turned down: where its type is in the actor's list, and its sender.
pub(crate) type Undelivered = dyn Fn(u16, Option<&ActorRef>, &Refusal) + Send + Sync;

/// What it takes to write down a run.
pub(crate) struct Packing {
    /// Where the type of its letters is in the actor's list.
    pub(crate) entry: u16,
    /// Who reads the replies.
    pub(crate) reader: u64,
    pub(crate) undelivered: Arc<Undelivered>,
}

/// Letters that are written down.
pub(crate) struct Packed {
    letters: VecDeque<PackedLetter>,
    undelivered: Arc<Undelivered>,
}

/// Writes a run down that may be of one type of message; gives it back if it is of another, or that has no codec.
pub(crate) type Pack = fn(Box<dyn AnyRun>, &Packing) -> Result<Packed, Box<dyn AnyRun>>;

/// Writes a run of `M` down. See [`Pack`].
pub(crate) fn pack<M: Message>(
    run: Box<dyn AnyRun>,
    packing: &Packing,
) -> Result<Packed, Box<dyn AnyRun>> {
    let (Some(wire), true) = (M::wire(), (&*run as &dyn Any).is::<Run<M>>()) else {
        return Err(run);
    };
    let mut packed = Packed { letters: VecDeque::new(), undelivered: packing.undelivered.clone() };
    let run: Box<dyn Any> = run;
    let Ok(mut run) = run.downcast::<Run<M>>() else { return Ok(packed) };
    while let Some(letter) = run.next() {
        let (mut current, mut reply, mut payload) =
            (Current::default(), Reply::nowhere(), Vec::new());
        let message = letter.open(&mut current, &mut reply);
        let written = wire.message.encode(&message, &mut payload);
        // Its destructor is the user's, and not to end what carries on others.
        let _ = catch_unwind(AssertUnwindSafe(|| drop(message)));
        let asker = reply.is_wanted().then(|| {
            let cancellation = reply.cancellation();
            let reply = Mutex::new(Some(reply));
            let to =
                Returned { reply, cancellation, functions: &wire.reply, reader: packing.reader };
            RemoteAsker { to: Arc::new(to), request: 0 }
        });
        let (entry, payload) = (packing.entry, payload.into());
        packed.letters.push_back(PackedLetter { entry, payload, asker, current, _hold: None });
        if let Err(error) = written {
            let refusal = Refusal::Unencodable { source: error.into() };
            packed.refuse_last(&refusal);
        }
    }
    Ok(packed)
}

impl Packed {
    /// One letter.
    pub(crate) fn of(letter: PackedLetter, undelivered: Arc<Undelivered>) -> Self {
        Self { letters: [letter].into(), undelivered }
    }

    fn refuse_last(&mut self, refusal: &Refusal) {
        let letter = self.letters.pop_back();
        self.refuse(letter, refusal);
    }

    fn refuse(&self, letter: Option<PackedLetter>, refusal: &Refusal) {
        let Some(PackedLetter { entry, asker, current, .. }) = letter else { return };
        match asker {
            Some(asker) => asker.to.refuse(asker.request, refusal),
            None => (self.undelivered)(entry, current.sender.as_ref(), refusal),
        }
    }
}

impl Arrivals for Packed {
    fn len(&self) -> usize {
        self.letters.len()
    }

    fn first(&self) -> Option<u16> {
        self.letters.front().map(|letter| letter.entry)
    }

    fn payload(&mut self) -> Result<Bytes, Refusal> {
        let first = self.letters.front();
        Ok(first.map(|letter| letter.payload.clone()).unwrap_or_default())
    }

    fn room(&self) -> &dyn Room {
        &Ours
    }

    fn take(&mut self, current: &mut Current) -> Option<RemoteAsker> {
        let letter = self.letters.pop_front()?;
        *current = letter.current;
        letter.asker
    }

    fn refuse_first(&mut self, refusal: &Refusal) {
        let letter = self.letters.pop_front();
        self.refuse(letter, refusal);
    }

    fn take_first(&mut self, n: usize) -> Box<dyn Arrivals> {
        let letters = self.letters.drain(..n.min(self.letters.len())).collect();
        Box::new(Self { letters, undelivered: self.undelivered.clone() })
    }

    fn compact(&mut self) {}

    /// They were in a mailbox before.
    fn confirm_all(&mut self) {}

    fn refuse_all(mut self: Box<Self>, refusal: &Refusal) {
        while !self.letters.is_empty() {
            self.refuse_first(refusal);
        }
    }
}

/// What this process has written itself counts nowhere: the mailbox that it comes from was its bound.
struct Ours;

impl Room for Ours {
    fn max_decoded(&self, _: usize) -> u64 {
        u64::MAX
    }

    fn begin(&self) -> Box<dyn Hold> {
        Box::new(Self)
    }
}

impl Hold for Ours {
    fn add(&mut self, _: u64) -> Result<(), Refusal> {
        Ok(())
    }

    fn again(&self) -> Box<dyn Hold> {
        Box::new(Self)
    }
}

/// Takes the reply to a letter that was written down, and reads it for whoever waits for it here.
struct Returned<R: Send + 'static> {
    reply: Mutex<Option<Reply<R>>>,
    cancellation: Cancellation,
    functions: &'static Functions<R>,
    reader: u64,
}

impl<R: Send + 'static> ReplyTo for Returned<R> {
    fn reply(&self, _: u64, _: Option<&'static str>, payload: &dyn Encode) {
        let Some(mut reply) = self.reply.lock().take() else { return };
        let mut bytes = Vec::new();
        let written = payload.encode(&mut bytes).map_err(rakt_wire::EncodeError::into_cause);
        let read = written.and_then(|()| {
            let read = reading(self.reader, || self.functions.decode_own(bytes.into()));
            read.map_err(Cause::from)
        });
        reply.send(read.map_err(|source| Refusal::Internal { source }));
    }

    fn refuse(&self, _: u64, refusal: &Refusal) {
        if let Some(mut reply) = self.reply.lock().take() {
            reply.send(Err(refusal.clone()));
        }
    }

    fn is_cancelled(&self, _: u64) -> bool {
        self.cancellation.is_cancelled()
    }

    fn poll_cancelled(&self, _: u64, cx: &mut Context<'_>) -> Poll<()> {
        self.cancellation.poll_cancelled(cx)
    }
}
