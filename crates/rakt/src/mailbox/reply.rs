//! Where the reply to a message goes: to an asker in this process, to one on another node, or nowhere.

use std::sync::Arc;
use std::task::{Context, Poll};

use rakt_wire::Encode;

use crate::error::Refusal;
use crate::message::{Encoded, Functions};
use crate::slot::{Abandonment, Slot};

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

    #[inline(always)]
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

    /// Sends the reply, if it is still wanted; after that it is not.
    #[inline(always)]
    pub(crate) fn send(&mut self, reply: Result<R, Refusal>) {
        if self.is_wanted() {
            self.route(reply);
        }
    }

    /// Has somebody else reply.
    pub(crate) fn take(&mut self) -> Self {
        std::mem::replace(self, Self::nowhere())
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

    pub(crate) fn poll_cancelled(&self, cx: &mut Context<'_>) -> Poll<()> {
        match self {
            Self::Never => Poll::Pending,
            Self::Local(slot) => slot.poll_abandoned(cx),
            Self::Remote(asker) => asker.to.poll_cancelled(asker.request, cx),
        }
    }
}

/// An ask of a peer that is to be answered once.
#[derive(Clone)]
pub(crate) struct RemoteAsker {
    pub(crate) to: Arc<dyn ReplyTo>,
    /// Which request, of those that go by `to`.
    pub(crate) request: u64,
}

/// Where replies to a peer go. Of `reply`, `confirm` and `refuse` one is called for each request, once.
pub(crate) trait ReplyTo: Send + Sync {
    /// Answers a request, with a reply that may have a wire name.
    fn reply(&self, request: u64, name: Option<&'static str>, payload: &dyn Encode);
    /// Says that the message is in a mailbox, where that is what was asked for.
    fn confirm(&self, request: u64) {
        self.reply(request, None, &[].as_slice());
    }
    /// Turns a request down.
    fn refuse(&self, request: u64, refusal: &Refusal);
    /// Whether nobody waits for the answer any more.
    fn is_cancelled(&self, request: u64) -> bool;
    /// Completes when nobody waits for the answer any more.
    fn poll_cancelled(&self, request: u64, cx: &mut Context<'_>) -> Poll<()>;
}
