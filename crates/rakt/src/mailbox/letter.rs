//! One message on its way to a handler, and the place where its reply goes.

use std::any::{Any, TypeId};
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::task::Poll;
use std::time::Instant;

use bytes::Bytes;
use rakt_wire::metadata::Metadata;

use crate::error::Refusal;
use crate::message::{Encoded, Functions, Message};
use crate::reference::ActorRef;
use crate::slot::{Abandonment, Slot};

/// A message with what its handler can learn about it.
pub(crate) struct Letter<M: Message> {
    pub(crate) message: M,
    pub(crate) reply: Reply<M::Reply>,
    pub(crate) sender: Option<ActorRef>,
    pub(crate) about: Option<Box<About>>,
}

/// What most messages do without.
#[derive(Default)]
pub(crate) struct About {
    pub(crate) deadline: Option<Instant>,
    pub(crate) metadata: Option<Metadata>,
}

/// A letter whose type is known to its dispatch function alone.
pub(crate) trait AnyLetter: Send {
    fn message_type(&self) -> TypeId;
    fn message_name(&self) -> &'static str;
    fn sender(&self) -> Option<&ActorRef>;
    /// Answers whoever waits for a reply; the message is lost.
    fn refuse(self: Box<Self>, refusal: Refusal);
    fn into_any(self: Box<Self>) -> Box<dyn Any + Send>;
}

impl<M: Message> AnyLetter for Letter<M> {
    fn message_type(&self) -> TypeId {
        TypeId::of::<M>()
    }

    fn message_name(&self) -> &'static str {
        crate::actor::message_name::<M>()
    }

    fn sender(&self) -> Option<&ActorRef> {
        self.sender.as_ref()
    }

    fn refuse(self: Box<Self>, refusal: Refusal) {
        let Self { message, reply, .. } = *self;
        reply.send(Err(refusal));
        // Whoever discards a message is not to die of its destructor.
        let dropped = std::panic::catch_unwind(AssertUnwindSafe(|| drop(message)));
        if dropped.is_err() {
            tracing::error!(message = std::any::type_name::<M>(), "panicked while it was dropped");
        }
    }

    fn into_any(self: Box<Self>) -> Box<dyn Any + Send> {
        self
    }
}

/// Where a reply goes. Dropped without one, it says so to whoever waits.
pub(crate) struct Reply<R: Send + 'static>(Route<R>);

enum Route<R> {
    Nowhere,
    Local(Arc<Slot<Result<R, Refusal>>>),
    Remote { origin: Arc<dyn Origin>, corr: u64, functions: Functions<R> },
}

impl<R: Send + 'static> Reply<R> {
    /// Nobody waits for a reply.
    pub(crate) const fn nowhere() -> Self {
        Self(Route::Nowhere)
    }

    pub(crate) fn local(slot: Arc<Slot<Result<R, Refusal>>>) -> Self {
        Self(Route::Local(slot))
    }

    pub(crate) fn remote(origin: Arc<dyn Origin>, corr: u64, functions: Functions<R>) -> Self {
        Self(Route::Remote { origin, corr, functions })
    }

    pub(crate) fn is_wanted(&self) -> bool {
        !matches!(self.0, Route::Nowhere)
    }

    /// How the handler learns that the asker has given up.
    pub(crate) fn cancellation(&self) -> Cancellation {
        match &self.0 {
            Route::Nowhere => Cancellation::Never,
            Route::Local(slot) => Cancellation::Local(slot.clone()),
            Route::Remote { origin, corr, .. } => {
                Cancellation::Remote { origin: origin.clone(), corr: *corr }
            }
        }
    }

    pub(crate) fn send(mut self, reply: Result<R, Refusal>) {
        self.route(reply);
    }

    fn route(&mut self, reply: Result<R, Refusal>) {
        match std::mem::replace(&mut self.0, Route::Nowhere) {
            Route::Nowhere => {}
            Route::Local(slot) => drop(slot.answer(reply)),
            Route::Remote { origin, corr, functions } => match reply {
                Ok(value) => origin.reply(corr, &Encoded { value: &value, functions }),
                Err(refusal) => origin.refuse(corr, &refusal),
            },
        }
    }
}

impl<R: Send + 'static> Drop for Reply<R> {
    fn drop(&mut self) {
        if self.is_wanted() {
            let panicked = || Refusal::HandlerFailed { detail: "it panicked".into() };
            let refusal = if std::thread::panicking() { panicked() } else { Refusal::NoReply };
            self.route(Err(refusal));
        }
    }
}

/// Whether the asker of the message at hand still waits.
#[derive(Clone)]
pub(crate) enum Cancellation {
    Never,
    Local(Arc<dyn Abandonment>),
    Remote { origin: Arc<dyn Origin>, corr: u64 },
}

impl Cancellation {
    pub(crate) fn is_cancelled(&self) -> bool {
        match self {
            Self::Never => false,
            Self::Local(slot) => slot.is_abandoned(),
            Self::Remote { origin, corr } => origin.is_cancelled(*corr),
        }
    }

    pub(crate) fn poll_cancelled(&self, cx: &mut std::task::Context<'_>) -> Poll<()> {
        match self {
            Self::Never => Poll::Pending,
            Self::Local(slot) => slot.poll_abandoned(cx),
            Self::Remote { origin, corr } => origin.poll_cancelled(*corr, cx),
        }
    }
}

/// The connection that messages came from, as the actor side sees it. Each dialect has its own.
pub(crate) trait Origin: Send + Sync {
    /// Answers the request `corr`.
    fn reply(&self, corr: u64, payload: &dyn rakt_wire::native::Encode);
    /// Turns the request `corr` down.
    fn refuse(&self, corr: u64, refusal: &Refusal);
    /// The confirmed tell `corr` is in the mailbox.
    fn confirm(&self, corr: u64);
    /// A tell could not be delivered.
    fn nack(&self, from: Alias, sender: Option<u32>, type_id: u32, refusal: &Refusal);
    /// `cost` bytes of credit are free again.
    fn consumed(&self, from: Alias, cost: u64);
    /// `bytes` that counted against the node's budget are gone.
    fn release(&self, bytes: u64);
    /// Undoes the compression of a payload of `raw_len` bytes.
    fn decompress(&self, payload: &[u8], raw_len: u32) -> Result<Bytes, Refusal>;
    /// Whether the request `corr` was cancelled.
    fn is_cancelled(&self, corr: u64) -> bool;
    /// Completes when the request `corr` is cancelled.
    fn poll_cancelled(&self, corr: u64, cx: &mut std::task::Context<'_>) -> Poll<()>;
}

/// The number by which a connection knows the receiver of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Alias {
    pub(crate) id: u32,
    pub(crate) epoch: u32,
}
